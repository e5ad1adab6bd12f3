"""Fused evaluation: all candidates on all splits in the passes of a few fits."""

from __future__ import annotations

import time
import traceback
import uuid
import warnings
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import chain, islice
from typing import Any, NamedTuple

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import scipy.sparse as sp
from sklearn.base import is_classifier
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags
from sklearn.utils.validation import has_fit_parameter

from daskml_kit.base import n_outputs_of, precision_of
from daskml_kit.data.collections import fits, is_dask, n_features_of
from daskml_kit.engines.engine import Engine, LocalEngine
from daskml_kit.engines.open import find_client, open_engine
from daskml_kit.engines.runtime import computing
from daskml_kit.exceptions import NotShared
from daskml_kit.interchange import as_pandas
from daskml_kit.model_selection.search.cv_results import FitKey, Outcome
from daskml_kit.model_selection.search.fused_scores import FusedScores, ScoredModel, Scores, with_error_score
from daskml_kit.model_selection.search.pipelines import (
    Parts,
    Shown,
    fit_before,
    fit_shared,
    last_step,
    parts_of,
    weight_name,
)
from daskml_kit.model_selection.search.scoring import MissingScore, fused_scorer
from daskml_kit.model_selection.search.search_plan import EvaluationData, EvaluationSpec, decide_by_kind, with_params
from daskml_kit.model_selection.splits.folds import Folds
from daskml_kit.reductions.frames import Keeping
from daskml_kit.reductions.kept_rows import Forget, forget
from daskml_kit.reductions.missing_counts import gaps_of
from daskml_kit.reductions.moments import Moments
from daskml_kit.reductions.summary import SAMPLE_BYTES, Summary, position_of
from daskml_kit.solvers.run import Driver, Key, Returned
from daskml_kit.solvers.types import DataSpec, Fit, LikeFits, Subset
from daskml_kit.typing import Labels
from daskml_kit.validation import like

CANDIDATES_AT_ONCE = 50
"""The fits on all rows of so many are kept, to start those on folds from."""
DRAWN_BYTES = 2**28
"""Bytes of the rows that fits at one time have drawn, each of its own rows, and hold."""


class WholeFit(NamedTuple):
    """A model of all rows, which fits on folds started from, and the warnings of its fit."""

    model: Any
    warnings: Sequence[warnings.WarningMessage]

    def kept(self) -> Any:
        """Return the model, and give the warnings, as a fit of this one alone does."""
        for held in self.warnings:
            warnings.warn_explicit(held.message, held.category, held.filename, held.lineno)
        return self.model


class Fused(NamedTuple):
    """Outcomes of candidates on splits; models of all rows, by candidate; and candidates left out, with the reason."""

    outcomes: dict[FitKey, Outcome]
    whole: dict[int, WholeFit]
    passes: int
    unshared: dict[int, str]


def why_not(estimator: Any, scoring: Mapping[str, Any], fit_params: Mapping[str, Any]) -> str | None:
    """Return why fits of ``estimator`` cannot share passes; None where they can."""
    parts = parts_of(estimator)
    if isinstance(parts, str):
        return parts
    strange = [name for name, scorer in scoring.items() if fused_scorer(scorer, estimator) is None]
    if strange:
        return f"scoring {', '.join(strange)} is not made of sums over blocks"
    takes = has_fit_parameter(last_step(estimator), "sample_weight")
    others = [n for n, value in fit_params.items() if value is not None and not (takes and n == weight_name(estimator))]
    return f"fit takes {', '.join(others)} too" if others else None


def run_fused(
    spec: EvaluationSpec, data: EvaluationData, numbers: Sequence[int] | None = None, *, from_whole: bool = True
) -> Fused:
    """Fit each candidate on all rows, then from there on each split's training rows, in lock step; score all at once.

    The gradients of all fits at their own coefficients are one matrix product a tile of rows; rows that a fit leaves
    out are set to zero there. X is not copied.

    Parameters
    ----------
    spec : EvaluationSpec
    data : EvaluationData
        Folds without splits are for fits on all rows alone. ``fit`` may be given weights of the rows; scorers have them
        too where they are given any.
    numbers : sequence of int, optional
        The candidates; by default all.
    from_whole : bool, default True
        Whether to fit on all rows first, which pays where there are several splits. Else candidates are fitted one
        after another, each from where the last one has ended on the same rows.
    """
    candidates = {c: spec.candidates[c] for c in (range(len(spec.candidates)) if numbers is None else numbers)}
    apart: dict[int, str] = {}
    if not is_dask(data.X):
        reasons = decide_by_kind(candidates.values(), partial(_why_apart, spec.estimator))
        apart = {c: reason for c, reason in zip(candidates, reasons, strict=True) if reason is not None}
    shared = {c: params for c, params in candidates.items() if c not in apart}
    found = _run_shared(spec, data, shared, from_whole=from_whole) if shared else Fused({}, {}, 0, {})
    return found._replace(unshared=apart | found.unshared)


def _why_apart(estimator: Any, params: Mapping[str, Any]) -> str | None:
    """Return why fits on data in memory cannot share passes; None where they can."""
    whole = with_params(estimator, params)
    steps = [step for _, step in whole.steps] if isinstance(whole, Pipeline) else [whole]
    apart = [type(step).__name__ for step in steps if getattr(step, "fits_apart_in_memory", False)]
    return f"{' and '.join(apart)} learns from rows in memory as scikit-learn's does" if apart else None


def _run_shared(
    spec: EvaluationSpec, data: EvaluationData, candidates: Mapping[int, Mapping[str, Any]], *, from_whole: bool
) -> Fused:
    """Fit and score candidates that share passes, as `run_fused` says."""
    estimator, folds = spec.estimator, data.folds
    weight = data.params.fit.get(weight_name(estimator))
    X = as_pandas(data.X) if hasattr(data.X, "__arrow_c_stream__") else data.X
    X = X if hasattr(X, "shape") else np.asarray(X)
    y = data.y if get_tags(last_step(estimator)).target_tags.required else None
    y = y if y is None or hasattr(y, "dtype") or hasattr(y, "dtypes") else np.asarray(y)
    if is_classifier(estimator) and (n_outputs_of(y) or 1) > 1:
        return Fused({}, {}, 0, dict.fromkeys(candidates, "y has several columns of labels"))
    with open_engine(_matrix(X), y, weight, n_jobs=spec.n_jobs, fold=fold_ids(folds)) as engine, computing():
        labels = _encode(engine, y) if is_classifier(estimator) else None
        n_ids = [n_fold_ids(folds, column) for column in range(len(folds.ids))]
        driver = Driver(engine, n_ids, weighted=weight is not None)
        started = time.perf_counter()
        if _imputes(estimator, candidates.values()):
            driver.gaps = gaps_of(driver.answer(Moments()))
        subsets = [driver.subset(split.column, split.train) for split in folds.splits]
        fits = CandidateFits(driver, estimator, X, y, labels, engine)
        whole, fitted = fits.run(candidates, subsets) if from_whole else ({}, fits.run_in_turn(candidates, subsets))
        refused = {c: str(r.error) for c, r in whole.items() if isinstance(r.error, NotShared)}
        refused |= {c: str(r.error) for (c, _), r in fitted.items() if isinstance(r.error, NotShared)}
        fitted = {place: returned for place, returned in fitted.items() if place[0] not in refused}
        errors = [returned.error for returned in fitted.values() if returned.error is not None]
        if errors and spec.raises:
            raise errors[0]
        middle = time.perf_counter()
        models = {place: returned.value for place, returned in fitted.items() if returned.error is None}
        scorer = FusedScores(driver, spec.scoring, data.params.score.get("sample_weight") is not None, labels)

        def scores_on(side: str) -> dict[FitKey, dict[str, float]]:
            splits = [folds.splits[s] for _, s in models]
            rows = [driver.subset(split.column, getattr(split, side)) for split in splits]
            found = _scored(scorer, list(map(ScoredModel, models.values(), rows)), spec)
            return with_error_score(dict(zip(models, found, strict=True)), spec.error_score)

        scores = scores_on("test")
        train = scores_on("train") if spec.with_train else {}
        ended = time.perf_counter()
        passes = engine.profile.passes
    share = (middle - started) / max(len(fitted), 1), (ended - middle) / max(len(fitted), 1)
    outcomes = {}
    for place, returned in fitted.items():
        if returned.error is None:
            outcomes[place] = Outcome(scores[place], train.get(place), *share, estimator=returned.value)
        else:
            outcomes[place] = Outcome({}, None, *share, error="".join(traceback.format_exception(returned.error)))
    models_of_all = {c: WholeFit(found.value, fits.held[c]) for c, found in whole.items() if found.error is None}
    return Fused(outcomes, models_of_all, passes, refused)


def _scored(scorer: FusedScores, models: Sequence[ScoredModel], spec: EvaluationSpec) -> list[Scores]:
    """Return the scores of models; where one refuses its rows, as a transformer may, those of each by itself."""
    try:
        return scorer.of(models)
    except ValueError as error:
        if spec.raises:
            raise
        if len(models) == 1:
            return [dict.fromkeys(spec.scoring, MissingScore(str(error)))]
        return [_scored(scorer, [model], spec)[0] for model in models]


def holding_warnings(fit: Fit, held: list[warnings.WarningMessage]) -> Fit:
    """Run a fit whose warnings go to ``held``.

    Examples
    --------
    >>> def fit():
    ...     warnings.warn("constant")
    ...     return (yield "reduction")
    >>> held = []
    >>> asking = holding_warnings(fit(), held)
    >>> next(asking), str(held[0].message)
    ('reduction', 'constant')
    """
    reply = None
    while True:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")  # also where they are errors: this is no fit that was asked for
            try:
                asked = fit.send(reply)
            except StopIteration as stop:
                return stop.value
            finally:
                held.extend(caught)
        reply = yield asked


class CandidateFits:
    """Fits of candidates on all rows and on subsets of them.

    Parameters
    ----------
    driver : Driver
    estimator : estimator
    X, y : data
        As the user has them.
    labels : array, optional
        Where given, the blocks have targets by their positions among these.
    engine : Engine
    """

    def __init__(self, driver: Driver, estimator: Any, X: Any, y: Any, labels: Labels | None, engine: Engine) -> None:
        self.driver, self.estimator = driver, estimator
        self.held: dict[Hashable, list[warnings.WarningMessage]] = defaultdict(list)
        """Warnings of the fits on all rows, by candidate."""
        self.X, self.y = _like(X), None if y is None else _target_like(y)
        self.spec = DataSpec(
            n_features_of(self.X),
            n_outputs_of(y),
            precision_of(self.X),
            engine.n_blocks,
            example=like(None, self.X),
            labels=labels,
            gaps=driver.gaps,
            streams=engine.streams,
        )

    def run(
        self, candidates: Mapping[int, Mapping[str, Any]], subsets: Sequence[Subset]
    ) -> tuple[dict[int, Returned], dict[FitKey, Returned]]:
        """Fit the candidates, some at a time, on all rows, and from there on each subset, those that share passes.

        On all rows not where that is no help to the others: the best one is fitted in the end.
        """
        whole: dict[int, Returned] = {}
        fitted: dict[FitKey, Returned] = {}
        for first in range(0, len(candidates), CANDIDATES_AT_ONCE):
            some = dict(islice(candidates.items(), first, first + CANDIDATES_AT_ONCE))
            starts: dict[int, dict[Hashable, Any]] = {c: {} for c in some}
            helps = decide_by_kind(some.values(), self._starts_from_whole)
            helped = {c: (some[c], None, starts[c]) for c, so in zip(some, helps, strict=True) if so}
            whole |= self._fit(helped, self.held)
            fitted |= self._fit(
                {
                    (c, s): (params, subset, dict(starts[c]))
                    for c, params in some.items()
                    if c not in whole or not isinstance(whole[c].error, NotShared)
                    for s, subset in enumerate(subsets)
                }
            )
        return whole, fitted

    def run_in_turn(
        self, candidates: Mapping[int, Mapping[str, Any]], subsets: Sequence[Subset]
    ) -> dict[FitKey, Returned]:
        """Fit the candidates one after another, each from where the last one has ended."""
        ends = [LikeFits() for _ in subsets]
        fitted: dict[FitKey, Returned] = {}
        for c, params in candidates.items():
            rows = zip(subsets, ends, strict=True)
            fitted |= self._fit({(c, s): (params, subset, start) for s, (subset, start) in enumerate(rows)})
        return fitted

    def _starts_from_whole(self, params: Mapping[str, Any]) -> bool:
        parts = parts_of(with_params(self.estimator, params))
        return isinstance(parts, Parts) and bool(parts.model.starts_from_whole) and not parts.keeps_rows

    def _fit(
        self,
        wanted: Mapping[Key, tuple[Mapping[str, Any], Subset | None, dict[Hashable, Any]]],
        held: dict[Hashable, list[warnings.WarningMessage]] | None = None,
    ) -> dict[Key, Returned]:
        """Fit each on its rows: parameters, subset, and where to start; put warnings into ``held``, where it is given.

        Models that read transformed rows are fitted together as long as all of these fit in memory, others after them;
        linear ones each from where the last one on the same rows has ended.
        """
        specs = {
            k: replace(self.spec, start=start, shared=self.driver.shared[s]) for k, (_, s, start) in wanted.items()
        }
        estimators = {key: with_params(self.estimator, params) for key, (params, _, _) in wanted.items()}
        subsets = {key: subset for key, (_, subset, _) in wanted.items()}
        parts = {key: parts_of(estimator) for key, estimator in estimators.items()}
        keeping = {key: part for key, part in parts.items() if isinstance(part, Parts) and part.keeps_rows}
        ended: dict[Key, Returned] = {}

        def fit(keys: Iterable[Key]) -> None:
            own = {key: fit_shared(estimators[key], specs[key], self.X, self.y) for key in keys}
            if held is not None:
                own = {key: holding_warnings(fit, held[key]) for key, fit in own.items()}
            ended.update(self.driver.run(own, subsets))

        shown = self.driver.run({key: fit_before(part, specs[key]) for key, part in keeping.items()}, subsets)
        ended |= {key: returned for key, returned in shown.items() if returned.error is not None}
        alike: dict[str, list[Key]] = defaultdict(list)
        for key in (key for key in keeping if key not in ended):
            if shown[key].value.is_read_often(keeping[key].model):
                alike[shown[key].value.name].append(key)
        waiting = {*ended, *chain.from_iterable(alike.values())}
        for group in self._holding_little([key for key in wanted if key not in waiting], parts, subsets):
            fit(group)
        self.driver.leave_views()
        sizes = {name: self._bytes_of(shown[keys[0]].value) for name, keys in alike.items()}
        for names in _in_room(sizes):
            ends: dict[Hashable, LikeFits] = defaultdict(LikeFits)
            turns: dict[Hashable, list[Key]] = defaultdict(list)
            for name in names:
                for key in alike[name]:
                    specs[key] = replace(specs[key], start=ends[name, subsets[key]])
                    turns[id(wanted[key][0]) if keeping[key].model.starts_from_whole else None].append(key)
            with self._keeping(sum(sizes[name] for name in names)):
                for turn in turns.values():
                    try:
                        fit(turn)
                    except ValueError as error:  # of a transformer, which fits one by one give the rows of a side only
                        reason = NotShared(f"the steps before the model refuse rows: {error}")
                        ended.update(dict.fromkeys(turn, Returned(None, reason)))
        refused = NotShared("rows as the steps before the model make them do not fit in memory")
        return {key: ended.get(key, Returned(None, refused)) for key in wanted}

    def _holding_little(
        self, keys: Sequence[Key], parts: Mapping[Key, Parts | str], subsets: Mapping[Key, Subset | None]
    ) -> Iterator[Sequence[Key]]:
        """Yield fits in groups whose draws of rows may be held together; those on the same rows have one draw."""
        sizes: dict[Subset | None, int] = defaultdict(int)
        for key in keys:
            n_rows = part.model.draws_rows if isinstance(part := parts[key], Parts) else 0
            drawn = min(n_rows * 8 * (self.spec.n_features + 1), SAMPLE_BYTES)
            sizes[subsets[key]] = max(sizes[subsets[key]], drawn)
        for together in _in_groups(sizes, lambda total: total <= DRAWN_BYTES):
            yield [key for key in keys if subsets[key] in together]

    def _bytes_of(self, shown: Shown) -> float:
        """Return the size of all rows as the steps before a model show them."""
        return float(self.driver.answer(Moments()).n_rows * shown.spec.n_features * 8)

    @contextmanager
    def _keeping(self, n_bytes: float) -> Iterator[None]:
        """Keep rows of so many bytes, as the steps before models show them, between the passes inside."""
        keeping = Keeping(uuid.uuid4().hex, n_bytes)
        self.driver.keeping = keeping
        try:
            yield
            if not isinstance(self.driver.engine, LocalEngine):
                self.driver.ask([Forget(keeping.fit)])
        finally:
            forget(keeping.fit)
            self.driver.keeping = None
            self.driver.leave_views()


def _in_room(sizes: Mapping[str, float]) -> Iterator[list[str]]:
    """Yield names in groups whose sizes fit in memory together; those that do not fit by themselves are left out."""
    client = find_client()
    fitting = {name: size for name, size in sizes.items() if fits(client, size)}
    return _in_groups(fitting, lambda total: fits(client, total))


def _in_groups(sizes: Mapping[Key, float], fit: Callable[[float], bool]) -> Iterator[list[Key]]:
    """Yield keys in groups, in order, of which the total sizes fit, or that have one key.

    Examples
    --------
    >>> list(_in_groups({"a": 1, "b": 1, "c": 3, "d": 1}, lambda total: total <= 2))
    [['a', 'b'], ['c'], ['d']]
    """
    group, total = list[Key](), 0.0
    for key, size in sizes.items():
        if group and not fit(total + size):
            yield group
            group, total = [], 0.0
        group.append(key)
        total += size
    if group:
        yield group


def _imputes(estimator: Any, candidates: Iterable[Mapping[str, Any]]) -> bool:
    """Return whether some candidate imputes before its model."""
    if not isinstance(estimator, Pipeline):
        return False
    parts = (parts_of(with_params(estimator, params)) for params in candidates)
    return any(not isinstance(part, str) and part.imputes for part in parts)


def _encode(engine: Engine, y: Any) -> Labels | None:
    """Make labels that are not numbers their positions among the sorted labels, and return these."""
    dtype = getattr(y, "dtype", None)
    if isinstance(dtype, np.dtype) and dtype.kind in "fiub":
        return None
    labels: Labels = engine.answer(Summary(True))[0].labels
    engine.relabel(partial(position_of, labels))
    return labels


def fold_ids(folds: Folds) -> Any:
    """Return the columns of ids as `open_engine` takes them."""
    if not folds.ids:
        return None
    if not is_dask(folds.ids[0]):
        return np.column_stack(folds.ids)
    return da.stack(folds.ids, axis=1).rechunk({1: -1}) if len(folds.ids) > 1 else folds.ids[0][:, None]


def n_fold_ids(folds: Folds, column: int) -> int:
    """Return the number of ids in a column."""
    ids = folds.ids[column]
    if not is_dask(ids):
        return int(ids.max()) + 1
    used = max(max(split.train + split.test) for split in folds.splits if split.column == column)
    return used + 2  # there may be rows of neither side


def _like(X: Any) -> Any:
    """Return an X of Dask as wide as this and named as this, that no one reads."""
    if is_dask(X):
        return X
    if isinstance(X, pd.DataFrame):
        return dd.from_pandas(X.iloc[:1], npartitions=1)
    rows = da.zeros(X.shape, dtype=X.dtype, chunks=(-1, -1))
    return rows.map_blocks(sp.csr_array, meta=sp.csr_array((0, 0), dtype=X.dtype)) if sp.issparse(X) else rows


def _target_like(y: Any) -> Any:
    shape = (1,) if len(np.shape(y) if not is_dask(y) else y.shape) == 1 else (1, y.shape[1])
    return da.zeros(shape, dtype=np.float64)


def _matrix(X: Any) -> Any:
    return X.to_numpy() if isinstance(X, pd.DataFrame) else X

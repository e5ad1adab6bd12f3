"""Fused evaluation: all candidates on all splits in the passes of a few fits."""

from __future__ import annotations

import time
import traceback
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import scipy.sparse as sp
from sklearn.base import clone, is_classifier
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags

from daskml_kit.base import n_outputs_of, precision_of
from daskml_kit.data.collections import is_dask, n_features_of
from daskml_kit.engines.engine import Engine
from daskml_kit.engines.open import open_engine
from daskml_kit.engines.runtime import computing
from daskml_kit.exceptions import NotShared
from daskml_kit.model_selection.search.cv_results import Outcome
from daskml_kit.model_selection.search.fused_scores import Place, scores_of, with_error_score
from daskml_kit.model_selection.search.pipelines import (
    Parts,
    fit_behind,
    fit_prefix,
    last_step,
    parts_of,
    with_prefix,
)
from daskml_kit.model_selection.search.scoring import fused_scorer
from daskml_kit.model_selection.splits.folds import Folds
from daskml_kit.reductions.missing_counts import gaps_of
from daskml_kit.reductions.moments import Moments
from daskml_kit.reductions.summary import Summary, position_of
from daskml_kit.solvers.run import Driver, Returned
from daskml_kit.solvers.types import DataSpec, Subset
from daskml_kit.typing import Labels
from daskml_kit.validation import like

CANDIDATES_AT_ONCE = 50
"""The fits on all rows of so many are kept, to start those on folds from."""


class Fused(NamedTuple):
    """Outcomes of candidates on splits; models of all rows, by candidate; and candidates left out, with the reason."""

    outcomes: dict[Place, Outcome]
    whole: dict[int, Any]
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
    taken = () if isinstance(estimator, Pipeline) else ("sample_weight",)
    others = [name for name, value in fit_params.items() if name not in taken and value is not None]
    return f"fit takes {', '.join(others)} too" if others else None


def run_fused(
    estimator: Any,
    candidates: Sequence[Mapping[str, Any]],
    X: Any,
    y: Any,
    folds: Folds,
    scoring: Mapping[str, Any],
    *,
    sample_weight: Any = None,
    return_train_score: bool = False,
    n_jobs: int | None = None,
    error_score: Any = np.nan,
    weighted_scores: bool = False,
) -> Fused:
    """Fit every candidate on all rows, then from there on each split's training rows, in lock step; score all at once.

    The gradients of all fits at their own coefficients are one matrix product a tile of rows; rows that a fit leaves
    out are set to zero there. X is not copied.
    """
    X = X if hasattr(X, "shape") else np.asarray(X)
    y = y if y is None or hasattr(y, "dtype") or hasattr(y, "dtypes") else np.asarray(y)
    y = y if get_tags(last_step(estimator)).target_tags.required else None
    with open_engine(_matrix(X), y, sample_weight, n_jobs=n_jobs, fold=_ids(folds)) as engine, computing():
        labels = _encode(engine, y) if is_classifier(estimator) else None
        n_ids = [_n_ids(folds, column) for column in range(len(folds.ids))]
        driver = Driver(engine, n_ids, weighted=sample_weight is not None)
        started = time.perf_counter()
        if _imputes(estimator, candidates):
            driver.gaps = gaps_of(driver.answer(Moments()))
        subsets = [driver.subset(split.column, split.train) for split in folds.splits]
        fits = CandidateFits(driver, estimator, X, y, labels, engine.n_blocks)
        whole, fitted = fits.run(candidates, subsets)
        errors = [returned.error for returned in fitted.values() if returned.error is not None]
        if errors and error_score == "raise":
            raise errors[0]
        middle = time.perf_counter()
        models = {place: returned.value for place, returned in fitted.items() if returned.error is None}
        score = partial(scores_of, driver, folds, models, scoring, weighted_scores, labels)
        scores = with_error_score(score("test"), error_score)
        train = with_error_score(score("train"), error_score) if return_train_score else {}
        ended = time.perf_counter()
        passes = engine.profile.passes
    share = (middle - started) / max(len(fitted), 1), (ended - middle) / max(len(fitted), 1)
    outcomes = {}
    for place, returned in fitted.items():
        if returned.error is None:
            outcomes[place] = Outcome(scores[place], train.get(place), *share, estimator=returned.value)
        else:
            outcomes[place] = Outcome({}, None, *share, error="".join(traceback.format_exception(returned.error)))
    models_of_all = {c: returned.value for c, returned in whole.items() if returned.error is None}
    unshared = {c: str(returned.error) for c, returned in whole.items() if isinstance(returned.error, NotShared)}
    return Fused(outcomes, models_of_all, passes, unshared)


class CandidateFits:
    """Fits of candidates on all rows and on subsets of them.

    What the steps before a model learn is learned once for all candidates that have them alike.

    Parameters
    ----------
    driver : Driver
    estimator : estimator
    X, y : data
        As the user has them.
    labels : array, optional
        Where given, the blocks have targets by their positions among these.
    n_blocks : int
    """

    def __init__(self, driver: Driver, estimator: Any, X: Any, y: Any, labels: Labels | None, n_blocks: int) -> None:
        self.driver, self.estimator = driver, estimator
        self.X, self.y = _like(X), None if y is None else _target_like(y)
        self.spec = DataSpec(
            n_features_of(self.X),
            n_outputs_of(y),
            precision_of(self.X),
            n_blocks,
            example=like(None, self.X),
            labels=labels,
            gaps=driver.gaps,
        )
        self._prefixes: dict[tuple[Hashable, Subset | None], Returned] = {}

    def run(
        self, candidates: Sequence[Mapping[str, Any]], subsets: Sequence[Subset]
    ) -> tuple[dict[int, Returned], dict[Place, Returned]]:
        """Fit the candidates, some at a time, on all rows, and from there on each subset, those that share passes."""
        whole: dict[int, Returned] = {}
        fitted: dict[Place, Returned] = {}
        for first in range(0, len(candidates), CANDIDATES_AT_ONCE):
            some = dict(enumerate(candidates[first : first + CANDIDATES_AT_ONCE], first))
            starts: dict[int, dict[Hashable, Any]] = {c: {} for c in some}
            whole |= self._fit({c: (params, None, starts[c]) for c, params in some.items()})
            fitted |= self._fit(
                {
                    (c, s): (params, subset, dict(starts[c]))
                    for c, params in some.items()
                    if not isinstance(whole[c].error, NotShared)
                    for s, subset in enumerate(subsets)
                }
            )
        return whole, fitted

    def _fit(self, wanted: Mapping[Any, tuple[Mapping[str, Any], Subset | None, dict[Hashable, Any]]]) -> Any:
        """Fit each on its rows: parameters, subset, and where to start."""
        estimators = {key: _with(self.estimator, params) for key, (params, _, _) in wanted.items()}
        subsets = {key: subset for key, (_, subset, _) in wanted.items()}
        prefixes = self._fit_prefixes({key: (_parts(estimators[key]), subset) for key, subset in subsets.items()})
        fits = {
            key: fit_behind(last_step(estimators[key]), prefix.value, self.X, self.y, wanted[key][2])
            for key, prefix in prefixes.items()
            if prefix.error is None
        }
        ended = self.driver.run(fits, subsets)
        found: dict[Any, Returned] = {}
        for key, prefix in prefixes.items():
            found[key] = prefix if prefix.error is not None else ended[key]
            if found[key].error is None:
                found[key] = Returned(with_prefix(estimators[key], prefix.value), None)
        return found

    def _fit_prefixes(self, wanted: Mapping[Any, tuple[Parts, Subset | None]]) -> dict[Any, Returned]:
        names = {key: (parts.key(), subset) for key, (parts, subset) in wanted.items()}
        new = {names[key]: both for key, both in wanted.items() if names[key] not in self._prefixes}
        fits = {
            name: fit_prefix(parts, replace(self.spec, shared=self.driver.shared[subset]))
            for name, (parts, subset) in new.items()
        }
        self._prefixes |= self.driver.run(fits, {name: subset for name, (_, subset) in new.items()})
        return {key: self._prefixes[name] for key, name in names.items()}


def _parts(estimator: Any) -> Parts:
    parts = parts_of(estimator)
    if isinstance(parts, str):
        raise TypeError(parts)
    return parts


def _imputes(estimator: Any, candidates: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether some candidate imputes before its model."""
    if not isinstance(estimator, Pipeline):
        return False
    parts = (parts_of(_with(estimator, params)) for params in candidates)
    return any(not isinstance(part, str) and part.imputes for part in parts)


def _with(estimator: Any, params: Mapping[str, Any]) -> Any:
    return clone(estimator).set_params(**{name: clone(value, safe=False) for name, value in params.items()})


def _encode(engine: Engine, y: Any) -> Labels | None:
    """Make labels that are not numbers their positions among the sorted labels, and return these."""
    dtype = getattr(y, "dtype", None)
    if isinstance(dtype, np.dtype) and dtype.kind in "fiub":
        return None
    labels: Labels = engine.answer(Summary(True))[0].labels
    engine.relabel(partial(position_of, labels))
    return labels


def _ids(folds: Folds) -> Any:
    if not is_dask(folds.ids[0]):
        return np.column_stack(folds.ids)
    return da.stack(folds.ids, axis=1).rechunk({1: -1}) if len(folds.ids) > 1 else folds.ids[0][:, None]


def _n_ids(folds: Folds, column: int) -> int:
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

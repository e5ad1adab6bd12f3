"""Search over any estimator by a task for each batch of fits, which share folds and fitted transformers."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from typing import Any

import dask
import dask.array as da
from sklearn import config_context
from sklearn.base import ClassifierMixin, RegressorMixin, clone
from sklearn.pipeline import Pipeline

from daskml_kit.data.collections import FIT_FRACTION, array_bytes, fits, free_memory, is_dask
from daskml_kit.engines.open import find_client
from daskml_kit.model_selection.search.common_rows import fit_fused_models, fit_on_common_rows
from daskml_kit.model_selection.search.cv_results import FitKey, Outcome
from daskml_kit.model_selection.search.dispatcher import Dispatcher, WorkQueue, shared_groups
from daskml_kit.model_selection.search.fit_and_score import outcome_of, score
from daskml_kit.model_selection.search.fold import Fold, FoldData
from daskml_kit.model_selection.search.pipeline_cache import cache_transformers, is_cacheable
from daskml_kit.model_selection.search.search_plan import EvaluationData, EvaluationSpec, decide_by_kind, with_params
from daskml_kit.model_selection.search.slivers import fit_on_dask
from daskml_kit.model_selection.search.task_pool import open_fit_pool
from daskml_kit.solvers.types import LikeFits, starting_where_last_ended

DISTRIBUTED = ("daskml_kit", "xgboost.dask", "lightgbm.dask", "dask_ml")
"""Packages whose estimators take Dask data, known by their names: an estimator of theirs has imported them."""
Keep = Callable[[FitKey, Outcome], None]


def run_tasks(
    spec: EvaluationSpec,
    data: EvaluationData,
    keep: Keep,
    numbers: Sequence[int] | None = None,
    known: Collection[FitKey] = frozenset(),
) -> None:
    """Fit and score each candidate on each split; ``keep`` is called with (candidate, split) and outcome as they come.

    Each fit has a single thread, and sees a NumPy array, a CSR matrix or a data frame. A fold is made once for the
    workers of a machine, which work on one fold at a time where there are candidates enough. Transformers in a pipeline
    are fitted once for all candidates that have them and the steps before them in common; those without a seed make one
    draw for all of these. They are fitted anew only where an idle worker would otherwise wait for much longer. The time
    of a shared fit is that of the candidate which came first.

    Candidates that are themselves distributed are given Dask data, and fitted one after another, first.

    Parameters
    ----------
    spec : EvaluationSpec
        Its candidates may be lazy, as `ParameterGrid` is. Where there is no cluster, ``n_jobs`` is the number of
        threads: by default one a processor, inside a Dask task one; -1 is all.
    data : EvaluationData
        X and y are Dask collections, or arrays, CSR matrices or data frames. Parameters with a value for each row are
        split, too.
    keep : callable
    numbers : sequence of int, optional
        The candidates; by default all.
    known : collection of (candidate, split)
        Fits that are not to be done.

    Raises
    ------
    LostDataError
        Where data was lost that cannot be computed again.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import Ridge
    >>> from daskml_kit.model_selection import KFold
    >>> X = np.arange(8.0).reshape(4, 2)
    >>> spec = EvaluationSpec(Ridge(), [{"alpha": 1e-9}], {"r2": "r2"})
    >>> found = {}
    >>> run_tasks(spec, EvaluationData(X, X[:, 0], KFold(2).assign(X)), found.__setitem__)
    >>> [(key, round(found[key].test["r2"], 6)) for key in sorted(found)]
    [((0, 0), 1.0), ((0, 1), 1.0)]
    """
    candidates = spec.candidates
    numbers = range(len(candidates)) if numbers is None else numbers
    fit_spec = spec.for_fits()
    rows = FoldData.of(data, spec.estimator)
    on_dask = distributed_candidates(spec.estimator, candidates, numbers) if is_dask(data.X) else set()
    given = {number: candidates[number] for number in sorted(on_dask)}
    fit_sequentially(fit_spec, given, rows, keep, known, spec.scoring)
    alone = [number for number in numbers if number not in on_dask]
    if not alone:
        return
    wanted = set(alone)
    known = {key for key in known if key[0] in wanted}
    queue = WorkQueue(*shared_groups(spec.estimator, candidates, alone), len(data.folds.splits), known)
    with open_fit_pool(fit_spec, candidates, rows) as pool:
        Dispatcher(pool, queue, keep).run()


def is_distributed(estimator: Any) -> bool:
    """Return whether the estimator takes Dask data; in a pipeline each step has to.

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> is_distributed(Ridge())
    False
    """
    if isinstance(estimator, Pipeline):
        return all(step in (None, "passthrough") or is_distributed(step) for _, step in estimator.steps)
    modules = [base.__module__ for base in type(estimator).__mro__]
    return any(module == name or module.startswith(f"{name}.") for module in modules for name in DISTRIBUTED)


def distributed_candidates(estimator: Any, candidates: Sequence[Mapping[str, Any]], numbers: Iterable[int]) -> set[int]:
    """Return those of the numbered candidates that take Dask data: in a pipeline they may put other steps in.

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> from daskml_kit.linear_model import Lasso
    >>> grid = [{"model__alpha": 0.1}, {"model": Lasso()}]
    >>> distributed_candidates(Pipeline([("model", Ridge())]), grid, [0, 1])
    {1}
    """
    if not isinstance(estimator, Pipeline):
        return set(numbers) if is_distributed(estimator) else set()
    numbers = list(numbers)
    chosen = (candidates[number] for number in numbers)
    decisions = decide_by_kind(chosen, lambda params: is_distributed(with_params(estimator, params)))
    return {number for number, decision in zip(numbers, decisions, strict=True) if decision}


def fit_sequentially(
    spec: EvaluationSpec,
    candidates: Mapping[int, Any],
    data: FoldData,
    keep: Keep,
    known: Collection[FitKey],
    scoring: Mapping[str, Any],
) -> None:
    """Fit candidates, by number, on the Dask data of each split, but where known; score them by their predictions.

    Those that differ in their last step only are fitted in common passes, where that step and ``scoring``, as it was
    given, allow it; on all splits, where their transformers are fitted on a part of the rows by one for all rows.
    """
    with config_context(**spec.config):
        common = fit_on_common_rows(spec._replace(scoring=scoring), candidates, data, known)
    for key, outcome in common.items():
        keep(key, outcome)
    known = {*known, *common}
    with dask.config.set({"optimization.fuse.active": False}):  # else tasks of a name differ from one graph to another
        for split in range(len(data.folds.splits)):
            missing = [number for number in candidates if (number, split) not in known]
            if not missing:
                continue
            sides = _persisted(data.take(split))
            needed = {name: parts for name, parts in sides.items() if name == "y" or name.startswith("score.")}
            fold = Fold(sides, data.constants).with_cache(FIT_FRACTION * free_memory(find_client())).protected()
            scored = Fold({**fold.sides, **dask.compute(needed)[0]}, data.constants)
            ends = Ends(spec.estimator)
            with config_context(**spec.config):
                fused = fit_fused_models(spec._replace(scoring=scoring), {n: candidates[n] for n in missing}, fold)
            for number, outcome in fused.items():
                keep((number, split), outcome)
            for number in (number for number in missing if number not in fused):
                with config_context(**spec.config), starting_where_last_ended(ends.of(candidates[number])):
                    keep((number, split), _outcome(spec, fold, scored, candidates[number]))


class Ends:
    """Ends of the fits on one split, from which those start that differ in parameters of the last step only."""

    def __init__(self, estimator: Any) -> None:
        self._last = f"{estimator.steps[-1][0]}__" if isinstance(estimator, Pipeline) else ""
        self._before: Any = None
        self._ends: dict[Hashable, LikeFits] = {}

    def of(self, params: Mapping[str, Any]) -> dict[Hashable, LikeFits]:
        """Return the ends of the last like fits, which are forgotten as soon as other rows come to the model."""
        # a grid has each value once: what is not the same object may be another
        before = {name: id(value) for name, value in params.items() if not name.startswith(self._last)}
        if before != self._before:
            self._before, self._ends = before, {}
        return self._ends


def _persisted(sides: Mapping[str, tuple[Any, Any]]) -> Mapping[str, tuple[Any, Any]]:
    """Return the sides of a split computed once for all candidates, where they fit in memory."""
    parts = [part for parts in sides.values() for part in parts]
    known = all(isinstance(part, da.Array) for part in parts)
    if not known or not fits(find_client(), sum(map(array_bytes, parts))):
        return sides
    return dask.persist(sides)[0]  # type: ignore[no-any-return]


class ComputedPredictions:
    """Fitted estimator whose predictions on Dask data are in memory, each computed once.

    Parameters
    ----------
    estimator : estimator
    y : Dask collection or array
        The target of the rows that it is scored on, which a ``score`` of its own takes as it is; scikit-learn's takes
        the one in memory.
    """

    def __init__(self, estimator: Any, y: Any) -> None:
        self.estimator, self.y = estimator, y
        self.found: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.estimator, name)
        if name not in ("predict", "predict_proba", "predict_log_proba", "decision_function", "transform"):
            return value

        def computed(X: Any) -> Any:
            if name not in self.found:
                (self.found[name],) = dask.compute(value(X))
            return self.found[name]

        computed.__name__ = name
        return computed

    def score(self, X: Any, y: Any = None, **params: Any) -> Any:
        own = type(self.estimator).score
        if own in (ClassifierMixin.score, RegressorMixin.score):
            return own(self, X, y, **params)
        target = () if y is None else (self.y,)
        return dask.compute(self.estimator.score(X, *target, **params))[0]


def _outcome(spec: EvaluationSpec, fold: Fold, scored: Fold, params: Mapping[str, Any]) -> Outcome:
    """Fit a candidate on ``fold``, and score it on what is ``scored``: the same with targets in memory."""
    warned: list[str] = []

    def score_side(fitted: Any, fold: Fold, side: int) -> dict[str, float]:
        return score(spec, warned, ComputedPredictions(fitted, fold.side("y", side)), scored, side)

    estimator = with_params(spec.estimator, params)
    outcome = outcome_of(spec, fold, estimator, lambda: (_fitted(estimator, fold), fold), score_side)
    for message in warned:
        warnings.warn(message, UserWarning, stacklevel=2)
    return outcome


def _fitted(estimator: Any, fold: Fold) -> Any:
    given = cache_transformers(estimator, fold.cache, "fold") if is_cacheable(estimator) else clone(estimator)
    return fit_on_dask(given, fold.X[0], fold.side("y", 0), **fold.fit_params)

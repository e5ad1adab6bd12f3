"""Evaluation of candidates on splits: fused passes where fits can share them, tasks for all others."""

from __future__ import annotations

import numbers
from collections.abc import Iterable, Mapping, Sized
from typing import Any, NamedTuple

import dask
import numpy as np
import sklearn.model_selection
from sklearn import get_config
from sklearn.base import clone, is_classifier
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.metrics import check_scoring
from sklearn.model_selection import check_cv
from sklearn.utils import indexable
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing

from daskml_kit.activity import recorded
from daskml_kit.arguments import check_number, naming
from daskml_kit.base import n_outputs_of
from daskml_kit.data.align import align_rows
from daskml_kit.data.collections import is_dask, n_rows, without_bag
from daskml_kit.model_selection.search.cv_results import Outcomes, fill_failures
from daskml_kit.model_selection.search.fused import WholeFit, run_fused, why_not
from daskml_kit.model_selection.search.pipelines import weight_name
from daskml_kit.model_selection.search.progress import SearchProgress, fingerprint_of
from daskml_kit.model_selection.search.scoring import SINGLE, scorers_of
from daskml_kit.model_selection.search.search_plan import (
    EvaluationData,
    EvaluationSpec,
    RoutedParams,
    SearchPlan,
    decide_by_kind,
    with_params,
)
from daskml_kit.model_selection.search.task_search import run_tasks
from daskml_kit.model_selection.splits.base import folds_in_memory
from daskml_kit.model_selection.splits.folds import Folds
from daskml_kit.model_selection.splits.k_fold import KFold, StratifiedKFold
from daskml_kit.model_selection.splits.stratify import stratified_folds_in_memory
from daskml_kit.workers.connection import telling_lost_scheduler

N_SPLITS = 5


def folds_of(cv: Any, estimator: Any, X: Any, y: Any, groups: Any = None, **params: Any) -> Folds:
    """Return the folds that ``cv`` makes of the data.

    Parameters
    ----------
    cv : int, splitter of ours or scikit-learn's, iterable of (train, test), Folds, or None
        None is five folds; a number is that of folds, stratified where ``estimator`` is a classifier. Splitters of
        scikit-learn and iterables give numbers of rows: on Dask data y and groups are fetched for them.
    **params
        Other metadata for the splitter.
    """
    if isinstance(cv, Folds):
        return cv
    _check(cv)
    lazy = any(map(is_dask, (X, y, groups)))
    if lazy and (cv is None or isinstance(cv, numbers.Integral)):
        n_splits = N_SPLITS if cv is None else int(cv)
        with naming("cv"):
            stratified = is_classifier(estimator) and y is not None and (n_outputs_of(y) or 1) == 1
            cv = StratifiedKFold(n_splits) if stratified else KFold(n_splits)
    if hasattr(cv, "assign"):
        folds: Folds = cv.assign(X, y, groups, **params)
        return folds
    if not lazy:
        with naming("cv"):
            splitter = check_cv(N_SPLITS if cv is None else cv, y, classifier=is_classifier(estimator))
        own = None
        if type(splitter) is sklearn.model_selection.StratifiedKFold and not splitter.shuffle and groups is None:
            own = stratified_folds_in_memory(y, n_rows(X), splitter.n_splits)
        return own or folds_in_memory(n_rows(X), splitter.split(X, y, groups=groups, **params))
    length = align_rows({"X": X}).n_rows
    splits: Iterable[tuple[Any, Any]] = cv
    if hasattr(cv, "split"):
        y, given = dask.compute(y, {"groups": groups, **params})
        fetched = {name: None if part is None else np.asarray(part) for name, part in given.items()}
        splits = cv.split(np.empty((length, 1)), None if y is None else np.asarray(y), **fetched)
    return folds_in_memory(length, dask.compute(list(splits))[0])


def compute_n_splits(cv: Any, X: Any = None, y: Any = None, groups: Any = None) -> int:
    """Return the number of splits that ``cv`` makes, without making them.

    Parameters
    ----------
    cv : int, splitter of ours or scikit-learn's, list of (train, test), Folds, or None
    X, y, groups : as in `daskml_kit.model_selection.GridSearchCV.fit`, optional
        For splitters that have to see them.

    Returns
    -------
    int
        As scikit-learn's ``get_n_splits`` does.

    Raises
    ------
    ValueError
        Where that is known only once they are made.

    See Also
    --------
    check_cv : The splitter itself.

    Examples
    --------
    >>> compute_n_splits(None), compute_n_splits(3), compute_n_splits(KFold(4))
    (5, 3, 4)
    """
    _check(cv)
    if cv is None or isinstance(cv, numbers.Integral):
        check_number("cv", N_SPLITS if cv is None else cv, low=2, integer=True)
        return N_SPLITS if cv is None else int(cv)
    if isinstance(cv, Folds):
        return len(cv.splits)
    if hasattr(cv, "get_n_splits"):
        return int(cv.get_n_splits(X, y, groups))
    if not isinstance(cv, Sized):
        raise ValueError("cv: expected splits that can be counted without using them up, got an iterator; give a list")
    return len(cv)


def _check(cv: Any) -> None:
    whole = cv is None or (isinstance(cv, numbers.Integral) and not isinstance(cv, bool))
    if isinstance(cv, str) or not (whole or hasattr(cv, "split") or isinstance(cv, Iterable)):
        raise ValueError(f"cv: expected a number of folds, a splitter, or an iterable of (train, test), got {cv!r}")


class Evaluation(NamedTuple):
    """Outcomes by (candidate, split), models of all rows that came with them, by candidate, plan, folds and names."""

    outcomes: Outcomes
    whole: dict[int, WholeFit]
    plan: SearchPlan
    folds: Folds
    names: list[str]


def routing_enabled() -> bool:
    """Return whether scikit-learn routes metadata to those who request them."""
    return bool(get_config()["enable_metadata_routing"])


def route(
    owner: str, spec: EvaluationSpec, cv: Any, groups: Any, params: Mapping[str, Any], callee: str = "fit"
) -> RoutedParams:
    """Return the metadata of a validation function by consumer, as scikit-learn routes them.

    Raises
    ------
    ValueError
        Where routing is enabled and ``groups`` is given outside of ``params``.
    UnsetMetadataPassedError
        Where nobody has requested, or refused, some metadata.
    """
    if not routing_enabled():
        return RoutedParams({"groups": groups}, params)
    if groups is not None:
        raise ValueError(
            "`groups` can only be passed if metadata routing is not enabled via "
            "`sklearn.set_config(enable_metadata_routing=True)`. When routing is enabled, pass `groups` alongside "
            "other metadata via the `params` argument instead."
        )
    scorers = scorers_of(spec.estimator, spec.scoring)
    consumers = [("splitter", cv, "split"), ("estimator", spec.estimator, callee)]
    if scorers:
        scorer = check_scoring(spec.estimator, scoring=scorers) if list(scorers) != [SINGLE] else scorers[SINGLE]
        consumers.append(("scorer", scorer, "score"))
    router = MetadataRouter(owner=owner)
    for name, consumer, method in consumers:
        router.add(method_mapping=MethodMapping().add(caller="fit", callee=method), **{name: consumer})
    try:
        routed = process_routing(router, "fit", **params)
    except UnsetMetadataPassedError as error:  # it names a method of the owner, which is a function
        raise UnsetMetadataPassedError(
            message=str(error).replace(f"{owner}.fit", owner),
            unrequested_params=error.unrequested_params,
            routed_params=error.routed_params,
        ) from None
    return RoutedParams(routed.splitter.split, routed.estimator[callee], routed.scorer.score if scorers else {})


def evaluate(
    spec: EvaluationSpec, X: Any, y: Any, cv: Any, params: RoutedParams, progress: SearchProgress | None = None
) -> Evaluation:
    """Fit and score every candidate on every split, but what ``progress`` has already; it takes outcomes as they come.

    Raises
    ------
    ValueError
        Where there are no candidates or splits, ``cv`` or scoring is not understood, or all fits fail.
    """
    progress = progress or SearchProgress()
    with telling_lost_scheduler(progress.checkpoint), recorded(f"cross-validation of {type(spec.estimator).__name__}"):
        return _evaluate(spec, X, y, cv, params, progress)


def _evaluate(
    spec: EvaluationSpec, X: Any, y: Any, cv: Any, params: RoutedParams, progress: SearchProgress
) -> Evaluation:
    X = without_bag(X)
    if not any(map(is_dask, (X, y, *params.split.values()))):
        X, y = indexable(X, y)
    scorers_of(spec.estimator, spec.scoring)  # refuses what is not known, before anything is read
    folds = folds_of(cv, spec.estimator, X, y, **params.split)
    if not len(spec.candidates) or not folds.splits:
        raise ValueError("No fits were performed. Was the CV iterator empty? Were there no candidates?")
    plan = plan_of(spec, len(folds.splits), params)
    data = EvaluationData(X, y, folds, params)
    with progress:
        progress.begin(plan, lambda: _fingerprint(spec, data))
        whole: dict[int, WholeFit] = {}
        if missing := progress.missing(plan.fused):
            found = run_fused(spec, data, missing)
            progress.keep(found.outcomes)
            whole, plan = found.whole, plan.without(found.unshared)
        alone = [number for number, reason in enumerate(plan.reasons) if reason is not None]
        if missing := progress.missing(alone):
            run_tasks(spec, data, lambda key, outcome: progress.keep({key: outcome}), missing, progress.outcomes)
    names = names_of(spec, progress.outcomes)
    fill_failures(progress.outcomes, names, spec.error_score, spec.with_train)
    return Evaluation(progress.outcomes, whole, plan, folds, names)


def names_of(spec: EvaluationSpec, outcomes: Outcomes) -> list[str]:
    """Return the names of the scores; a single callable may have returned a dict of them."""
    return (callable(spec.scoring.get(SINGLE)) and outcomes.names) or list(spec.scoring)


def plan_of(spec: EvaluationSpec, n_splits: int, params: RoutedParams) -> SearchPlan:
    """Return which candidates share passes.

    Raises
    ------
    ValueError
        Where a candidate sets a parameter that the estimator has not.
    """
    return SearchPlan(n_splits, decide_by_kind(spec.candidates, lambda candidate: _reason(spec, candidate, params)))


def _reason(spec: EvaluationSpec, candidate: Mapping[str, Any], params: RoutedParams) -> str | None:
    estimator = with_params(spec.estimator, candidate)
    reason = why_not(estimator, spec.scoring, params.fit)
    weight = params.fit.get(weight_name(estimator))
    others = [
        n for n, value in params.score.items() if value is not None and (n != "sample_weight" or value is not weight)
    ]
    return reason or (f"scores take {', '.join(others)} too" if others else None)


def _fingerprint(spec: EvaluationSpec, data: EvaluationData) -> str:
    """Return a hash of all that the outcomes depend on."""
    estimator, candidates = clone(spec.estimator), [dict(candidate) for candidate in spec.candidates]
    asked = estimator, candidates, dict(spec.scoring), spec.error_score, spec.with_train, dict(data.params.score)
    folds = data.folds
    return fingerprint_of(data.X, data.y, dict(data.params.fit), folds.ids, (folds.splits, folds.orders), asked)

"""Evaluation of candidates on splits: fused passes where fits can share them, tasks for all others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sklearn.base import clone

from daskml_kit.model_selection.search.cv import folds_of
from daskml_kit.model_selection.search.cv_results import Outcomes, fill_failures
from daskml_kit.model_selection.search.fused import run_fused, why_not
from daskml_kit.model_selection.search.plan import SearchPlan, decide_by_kind
from daskml_kit.model_selection.search.progress import SearchProgress, fingerprint_of
from daskml_kit.model_selection.search.scoring import scorers_of
from daskml_kit.model_selection.search.task_search import run_tasks
from daskml_kit.model_selection.splits.folds import Folds


class EvaluationSpec(NamedTuple):
    """Specification of an evaluation: estimator, candidates and scoring.

    Parameters
    ----------
    estimator : estimator
        Not changed.
    candidates : sequence of mappings
        Parameters to set.
    scoring : mapping of names to what scikit-learn takes as ``scoring``
    error_score : "raise" or float
    with_train : bool
        Whether training rows are scored too.
    n_jobs : int, optional
    weighted_scores : bool
        Whether ``sample_weight`` counts in scores too, as in scikit-learn's searches, not in its `cross_validate`.
    with_models : bool
        Whether outcomes hold the fitted estimators.
    """

    estimator: Any
    candidates: Sequence[Mapping[str, Any]]
    scoring: Mapping[str, Any]
    error_score: Any
    with_train: bool
    n_jobs: int | None = None
    weighted_scores: bool = False
    with_models: bool = False


class Evaluation(NamedTuple):
    """Outcomes by (candidate, split); models of all rows that came with them, by candidate; and how it was done."""

    outcomes: Outcomes
    whole: dict[int, Any]
    plan: SearchPlan
    folds: Folds


class EvaluationData(NamedTuple):
    """Data, folds, and the parameters of ``fit``."""

    X: Any
    y: Any
    folds: Folds
    params: Mapping[str, Any]


def evaluate(
    spec: EvaluationSpec,
    X: Any,
    y: Any,
    groups: Any,
    cv: Any,
    params: Mapping[str, Any],
    progress: SearchProgress | None = None,
) -> Evaluation:
    """Fit and score every candidate on every split, but what ``progress`` has already; it takes outcomes as they come.

    Raises
    ------
    ValueError
        Where there are no candidates, ``cv`` or scoring is not understood, or all fits fail.
    """
    if not len(spec.candidates):
        raise ValueError("No fits were performed. Were there no candidates?")
    scorers = scorers_of(spec.estimator, spec.scoring)
    folds = folds_of(cv, spec.estimator, X, y, groups)
    plan = plan_of(spec, len(folds.splits), params)
    data = EvaluationData(X, y, folds, params)
    with progress or SearchProgress() as progress:
        progress.begin(plan, lambda: _fingerprint(spec, data))
        whole, unshared = _run_fused(spec, progress, plan.fused, data)
        plan = plan.without(unshared)
        alone = [number for number, reason in enumerate(plan.reasons) if reason is not None]
        _run_alone(spec, progress, alone, data, scorers)
    fill_failures(progress.outcomes, list(spec.scoring), spec.error_score, spec.with_train)
    return Evaluation(progress.outcomes, whole, plan, folds)


def _run_fused(
    spec: EvaluationSpec, progress: SearchProgress, numbers: Sequence[int], data: EvaluationData
) -> tuple[dict[int, Any], dict[int, str]]:
    """Do what is missing of the candidates that share passes; return their models of all rows, and who could not."""
    missing = progress.missing(numbers)
    if not missing:
        return {}, {}
    found = run_fused(
        spec.estimator,
        [spec.candidates[number] for number in missing],
        data.X,
        data.y,
        data.folds,
        spec.scoring,
        sample_weight=data.params.get("sample_weight"),
        return_train_score=spec.with_train,
        n_jobs=spec.n_jobs,
        error_score=spec.error_score,
        weighted_scores=spec.weighted_scores,
    )
    progress.keep({(missing[c], s): outcome for (c, s), outcome in found.outcomes.items()})
    whole = {missing[c]: model for c, model in found.whole.items()}
    return whole, {missing[c]: why for c, why in found.unshared.items()}


def _run_alone(
    spec: EvaluationSpec,
    progress: SearchProgress,
    numbers: Sequence[int],
    data: EvaluationData,
    scorers: Mapping[str, Any],
) -> None:
    """Do what is missing of the other candidates."""
    missing = progress.missing(numbers)
    if not missing:
        return
    all_of_them = len(missing) == len(spec.candidates)
    places = {number: place for place, number in enumerate(missing)} if progress.outcomes else {}
    weight = data.params.get("sample_weight")
    run_tasks(
        spec.estimator,
        spec.candidates if all_of_them else [spec.candidates[number] for number in missing],
        data.X,
        data.y,
        data.folds,
        scorers,
        fit_params=data.params,
        score_params={"sample_weight": weight} if spec.weighted_scores and weight is not None else {},
        return_train_score=spec.with_train,
        error_score=spec.error_score,
        return_estimator=spec.with_models,
        n_jobs=spec.n_jobs,
        keep=lambda place, outcome: progress.keep({(missing[place[0]], place[1]): outcome}),
        known={(places[c], s) for c, s in progress.outcomes if c in places},
    )


def plan_of(spec: EvaluationSpec, n_splits: int, params: Mapping[str, Any]) -> SearchPlan:
    """Return which candidates share passes.

    Raises
    ------
    ValueError
        Where a candidate sets a parameter that the estimator has not.
    """
    return SearchPlan(n_splits, decide_by_kind(spec.candidates, lambda candidate: _reason(spec, candidate, params)))


def _reason(spec: EvaluationSpec, candidate: Mapping[str, Any], params: Mapping[str, Any]) -> str | None:
    estimator = clone(spec.estimator).set_params(**candidate)
    return why_not(estimator, spec.scoring, params)


def _fingerprint(spec: EvaluationSpec, data: EvaluationData) -> str:
    """Return a hash of all that the outcomes depend on."""
    estimator, candidates = clone(spec.estimator), [dict(candidate) for candidate in spec.candidates]
    asked = estimator, candidates, dict(spec.scoring), spec.error_score, spec.with_train, spec.weighted_scores
    folds = data.folds
    return fingerprint_of(data.X, data.y, dict(data.params), folds.ids, folds.splits, asked)

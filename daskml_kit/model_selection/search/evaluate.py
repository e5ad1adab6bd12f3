"""Candidates on splits: those that can share passes together, the others each by itself."""

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


class Task(NamedTuple):
    """What to evaluate.

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


class Given(NamedTuple):
    """The data, how it is split, and what ``fit`` is given beside."""

    X: Any
    y: Any
    folds: Folds
    params: Mapping[str, Any]


def evaluate(
    task: Task, X: Any, y: Any, groups: Any, cv: Any, params: Mapping[str, Any], progress: SearchProgress | None = None
) -> Evaluation:
    """Fit and score every candidate on every split, but what ``progress`` has already; it takes outcomes as they come.

    Raises
    ------
    ValueError
        Where there are no candidates, ``cv`` or scoring is not understood, or all fits fail.
    """
    if not len(task.candidates):
        raise ValueError("No fits were performed. Were there no candidates?")
    scorers = scorers_of(task.estimator, task.scoring)
    folds = folds_of(cv, task.estimator, X, y, groups)
    plan = plan_of(task, len(folds.splits), params)
    given = Given(X, y, folds, params)
    with progress or SearchProgress() as progress:
        progress.begin(plan, lambda: _fingerprint(task, given))
        whole, unshared = _run_fused(task, progress, plan.fused, given)
        plan = plan.without(unshared)
        alone = [number for number, reason in enumerate(plan.reasons) if reason is not None]
        _run_alone(task, progress, alone, given, scorers)
    fill_failures(progress.outcomes, list(task.scoring), task.error_score, task.with_train)
    return Evaluation(progress.outcomes, whole, plan, folds)


def _run_fused(
    task: Task, progress: SearchProgress, numbers: Sequence[int], given: Given
) -> tuple[dict[int, Any], dict[int, str]]:
    """Do what is missing of the candidates that share passes; return their models of all rows, and who could not."""
    missing = progress.missing(numbers)
    if not missing:
        return {}, {}
    found = run_fused(
        task.estimator,
        [task.candidates[number] for number in missing],
        given.X,
        given.y,
        given.folds,
        task.scoring,
        sample_weight=given.params.get("sample_weight"),
        return_train_score=task.with_train,
        n_jobs=task.n_jobs,
        error_score=task.error_score,
        weighted_scores=task.weighted_scores,
    )
    progress.keep({(missing[c], s): outcome for (c, s), outcome in found.outcomes.items()})
    whole = {missing[c]: model for c, model in found.whole.items()}
    return whole, {missing[c]: why for c, why in found.unshared.items()}


def _run_alone(
    task: Task, progress: SearchProgress, numbers: Sequence[int], given: Given, scorers: Mapping[str, Any]
) -> None:
    """Do what is missing of the other candidates."""
    missing = progress.missing(numbers)
    if not missing:
        return
    all_of_them = len(missing) == len(task.candidates)
    places = {number: place for place, number in enumerate(missing)} if progress.outcomes else {}
    weight = given.params.get("sample_weight")
    run_tasks(
        task.estimator,
        task.candidates if all_of_them else [task.candidates[number] for number in missing],
        given.X,
        given.y,
        given.folds,
        scorers,
        fit_params=given.params,
        score_params={"sample_weight": weight} if task.weighted_scores and weight is not None else {},
        return_train_score=task.with_train,
        error_score=task.error_score,
        return_estimator=task.with_models,
        n_jobs=task.n_jobs,
        keep=lambda place, outcome: progress.keep({(missing[place[0]], place[1]): outcome}),
        known={(places[c], s) for c, s in progress.outcomes if c in places},
    )


def plan_of(task: Task, n_splits: int, params: Mapping[str, Any]) -> SearchPlan:
    """Return which candidates share passes.

    Raises
    ------
    ValueError
        Where a candidate sets a parameter that the estimator has not.
    """
    return SearchPlan(n_splits, decide_by_kind(task.candidates, lambda candidate: _reason(task, candidate, params)))


def _reason(task: Task, candidate: Mapping[str, Any], params: Mapping[str, Any]) -> str | None:
    estimator = clone(task.estimator).set_params(**candidate)
    return why_not(estimator, task.scoring, params)


def _fingerprint(task: Task, given: Given) -> str:
    """Return a hash of all that the outcomes depend on."""
    estimator, candidates = clone(task.estimator), [dict(candidate) for candidate in task.candidates]
    asked = estimator, candidates, dict(task.scoring), task.error_score, task.with_train, task.weighted_scores
    folds = given.folds
    return fingerprint_of(given.X, given.y, dict(given.params), folds.ids, folds.splits, asked)

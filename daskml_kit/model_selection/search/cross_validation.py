"""Cross-validation of an estimator: cross_validate, cross_val_score, permutation_test_score."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dask
import dask.array as da
import numpy as np

from daskml_kit.arguments import check_flags, check_mapping, check_number, random_state_of
from daskml_kit.data.align import align_rows
from daskml_kit.data.collections import is_dask, n_rows, take
from daskml_kit.documentation import documented_like
from daskml_kit.model_selection.search.evaluate import Evaluation, evaluate, route
from daskml_kit.model_selection.search.scoring import SINGLE, check_error_score, named_scoring
from daskml_kit.model_selection.search.search_plan import EvaluationSpec
from daskml_kit.model_selection.splits.base import legacy_random_state
from daskml_kit.typing import Array

PRE_DISPATCH = ("2*n_jobs", "all")


def cross_validate(
    estimator: Any,
    X: Any,
    y: Any = None,
    *,
    groups: Any = None,
    scoring: Any = None,
    cv: Any = None,
    n_jobs: int | None = None,
    verbose: int = 0,
    params: Mapping[str, Any] | None = None,
    pre_dispatch: str = "2*n_jobs",
    return_train_score: bool = False,
    return_estimator: bool = False,
    return_indices: bool = False,
    error_score: Any = np.nan,
) -> dict[str, Any]:
    """Fit and score an estimator on each split.

    All fits of one of our own linear models share passes over the data. On data in memory any other estimator gives
    scikit-learn's numbers.

    Parameters
    ----------
    estimator : estimator
        Not changed.
    X : Dask array or DataFrame, or anything in memory that the estimator takes
    y : as X, of shape (n_samples,) or (n_samples, n_outputs), optional
    groups : as X, of shape (n_samples,), optional
        For splitters that keep the rows of a group together.
    scoring : str, callable, list, tuple, dict or None, default None
        One scorer or several, as in scikit-learn; None is the estimator's own ``score``.
    cv : int, splitter, iterable of (train, test), Folds or None, default None
        Splits; an integer is the number of folds, None is 5.
    n_jobs : int, optional
        Threads where there is no cluster.
    verbose : int, default 0
        Above 0, print how the fits run.
    params : dict, optional
        For ``fit``; values with an entry for each row are split with them. With scikit-learn's metadata routing
        enabled, for splitter, estimator and scorers, as these request.
    pre_dispatch : str, default "2*n_jobs"
        Only scikit-learn's default.
    return_train_score : bool, default False
        Whether training rows are scored too.
    return_estimator : bool, default False
        Whether the fitted estimators are returned.
    return_indices : bool, default False
        Whether the row numbers of the splits are returned.
    error_score : "raise" or number, default nan
        Score of a fit that fails.

    Returns
    -------
    dict
        ``test_score`` (or ``test_<name>`` with several scorers), ``train_...``, ``fit_time``, ``score_time``,
        ``estimator`` and ``indices``, as in scikit-learn.

    Raises
    ------
    ValueError
        Where parameters are not understood, or all fits fail.

    See Also
    --------
    cross_val_score : The scores of a single scorer.
    cross_val_predict : Predictions of the test rows.
    GridSearchCV : Several candidates in the same passes.

    Examples
    --------
    >>> import dask.array as da
    >>> from daskml_kit.linear_model import Ridge
    >>> X = da.random.default_rng(0).normal(size=(1_000, 3), chunks=(250, 3))
    >>> cross_validate(Ridge(), X, X.sum(axis=1), cv=3)["test_score"].round(3)
    array([1., 1., 1.])
    """
    check_flags(return_train_score=return_train_score, return_estimator=return_estimator, return_indices=return_indices)
    named = named_scoring(scoring)
    spec = EvaluationSpec(estimator, [{}], named, error_score, return_train_score, n_jobs, with_models=return_estimator)
    found = run_validation("cross_validate", spec, X, y, groups, cv, params, pre_dispatch, verbose)
    row = [found.outcomes[0, s] for s in range(found.plan.n_splits)]
    result: dict[str, Any] = {name: np.array([getattr(o, name) for o in row]) for name in ("fit_time", "score_time")}
    if return_estimator:
        result["estimator"] = [outcome.estimator for outcome in row]
    if return_indices:
        train, test = zip(*((np.asarray(a), np.asarray(b)) for a, b in found.folds.numbers()), strict=True)
        result["indices"] = {"train": train, "test": test}
    for name in found.names:
        result[f"test_{name}"] = np.array([outcome.test[name] for outcome in row])
        if return_train_score:
            result[f"train_{name}"] = np.array([(outcome.train or {})[name] for outcome in row])
    return result


@documented_like(cross_validate)
def cross_val_score(
    estimator: Any,
    X: Any,
    y: Any = None,
    *,
    groups: Any = None,
    scoring: Any = None,
    cv: Any = None,
    n_jobs: int | None = None,
    verbose: int = 0,
    params: Mapping[str, Any] | None = None,
    pre_dispatch: str = "2*n_jobs",
    error_score: Any = np.nan,
) -> Array:
    """Cross-validated scores of an estimator, one a split.

    Parameters
    ----------
    scoring : str, callable or None, default None
        A single scorer that returns a number; None is the estimator's own ``score``.
    params : dict, optional
        For ``fit``, splitter and scorers; see `cross_validate`.

    Returns
    -------
    array of shape (n_splits,)
        Scores of the test rows.

    See Also
    --------
    cross_validate : Several scorers, training scores, times.

    Examples
    --------
    >>> import dask.array as da
    >>> from daskml_kit.linear_model import LogisticRegression
    >>> X = da.random.default_rng(0).normal(size=(1_000, 3), chunks=(250, 3))
    >>> cross_val_score(LogisticRegression(C=100), X, (X[:, 0] > 0).astype(int), cv=3).round(1)
    array([1., 1., 1.])
    """
    if not (scoring is None or isinstance(scoring, str) or callable(scoring)):
        raise ValueError(f"scoring: expected one scorer, got {scoring!r}; cross_validate takes several")
    spec = EvaluationSpec(estimator, [{}], {SINGLE: scoring}, error_score, False, n_jobs)
    found = run_validation("cross_val_score", spec, X, y, groups, cv, params, pre_dispatch, verbose)
    if found.names != [SINGLE]:
        raise ValueError(f"scoring: expected a scorer that returns a number, got scores {found.names}")
    scores: Array = found.outcomes.scores("test", SINGLE)[0]
    return scores


@documented_like(cross_validate)
def permutation_test_score(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    groups: Any = None,
    cv: Any = None,
    n_permutations: int = 100,
    n_jobs: int | None = None,
    random_state: Any = 0,
    verbose: int = 0,
    scoring: Any = None,
    params: Mapping[str, Any] | None = None,
) -> tuple[float, Array, float]:
    """Permutation test: a cross-validated score beside those with permuted targets.

    Parameters
    ----------
    y : as X, of shape (n_samples,) or (n_samples, n_outputs)
        Of Dask data it is fetched, to be permuted.
    groups : as X, of shape (n_samples,), optional
        For splitters; targets are permuted within them.
    n_permutations : int, default 100
    random_state : int, RandomState, Generator or None, default 0
        Seed of the permutations.
    scoring : str, callable or None, default None
        A single scorer that returns a number; None is the estimator's own ``score``.
    params : dict, optional
        For ``fit``, splitter and scorers; see `cross_validate`.

    Returns
    -------
    score : float
        Mean score of the test rows.
    permutation_scores : array of shape (n_permutations,)
        Mean scores with y permuted, within groups where these are given.
    pvalue : float
        ``(C + 1) / (n_permutations + 1)``, with C permutations that score at least as well.

    See Also
    --------
    cross_val_score : The scores alone.

    References
    ----------
    Ojala and Garriga, "Permutation Tests for Studying Classifier Performance", JMLR 11 (2010).

    Examples
    --------
    >>> import dask.array as da
    >>> from daskml_kit.linear_model import Ridge
    >>> X = da.random.default_rng(0).normal(size=(100, 3), chunks=(25, 3))
    >>> score, permuted, pvalue = permutation_test_score(Ridge(), X, X.sum(axis=1), n_permutations=9)
    >>> bool(score > permuted.max()), pvalue
    (True, 0.1)
    """
    check_number("n_permutations", n_permutations, low=0, integer=True)
    check_number("verbose", verbose, low=0)
    targets, within = dask.compute(y, groups)
    draw = random_state_of(legacy_random_state(random_state))
    spec = EvaluationSpec(estimator, [{}], {SINGLE: scoring}, "raise", False, n_jobs)

    def mean_score(target: Any) -> float:
        found = run_validation("permutation_test_score", spec, X, target, groups, cv, params, "all", 0)
        return float(found.outcomes.scores("test", SINGLE).mean())

    score = mean_score(y)
    scores = np.empty(n_permutations)
    for number in range(n_permutations):
        permuted = take(targets, _permutation(n_rows(targets), within, draw))
        scores[number] = mean_score(_in_blocks_of(permuted, X) if is_dask(X) else permuted)
    if verbose:
        print(f"permutation test: {n_permutations} permutations, score {score}")
    return score, scores, float((np.sum(scores >= score) + 1.0) / (n_permutations + 1))


def _permutation(length: int, groups: Any, draw: np.random.RandomState) -> Array:
    """Return a permutation of the rows, within each group where there are groups."""
    if groups is None:
        return draw.permutation(length)
    rows, groups = np.arange(length), np.asarray(groups)
    for group in np.unique(groups):
        of_group = groups == group
        rows[of_group] = draw.permutation(rows[of_group])
    return rows


def _in_blocks_of(values: Any, X: Any) -> da.Array:
    return da.from_array(np.asarray(values), chunks=(align_rows({"X": X}).lengths, *np.shape(values)[1:]))


def check_pre_dispatch(pre_dispatch: str) -> None:
    """Raise a `ValueError` where it is not scikit-learn's default."""
    if pre_dispatch not in PRE_DISPATCH:
        raise ValueError(f"pre_dispatch: only scikit-learn's default is supported, got {pre_dispatch!r}")


def check_run(spec: EvaluationSpec, params: Any, verbose: Any) -> None:
    """Raise where a parameter that all functions of a validation have is not of its kind."""
    check_number("verbose", verbose, low=0)
    check_error_score(spec.error_score)
    if params is not None:
        check_mapping("params", params)


def run_validation(
    owner: str,
    spec: EvaluationSpec,
    X: Any,
    y: Any,
    groups: Any,
    cv: Any,
    params: Mapping[str, Any] | None,
    pre_dispatch: str,
    verbose: int,
) -> Evaluation:
    """Evaluate for the function ``owner``, with its metadata routed."""
    check_pre_dispatch(pre_dispatch)
    check_run(spec, params, verbose)
    found = evaluate(spec, X, y, cv, route(owner, spec, cv, groups, params or {}))
    if verbose:
        print(f"[{owner}] {found.plan}")
    return found

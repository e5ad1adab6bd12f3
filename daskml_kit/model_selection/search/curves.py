"""Learning curves and validation curves: scores by the number of training rows, and by a parameter."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import dask
import dask.array as da
import numpy as np
from joblib import Parallel, delayed
from sklearn.base import clone, is_classifier
from sklearn.utils import indexable

from daskml_kit.arguments import check_flags, check_inner, naming, random_state_of
from daskml_kit.data.collections import is_dask, join
from daskml_kit.documentation import documented_like
from daskml_kit.model_selection.search.cross_validation import (
    check_pre_dispatch,
    check_run,
    cross_validate,
    run_validation,
)
from daskml_kit.model_selection.search.cv_results import Outcome
from daskml_kit.model_selection.search.evaluate import evaluate, folds_of, route
from daskml_kit.model_selection.search.fit_and_score import score
from daskml_kit.model_selection.search.fold import Fold, FoldData
from daskml_kit.model_selection.search.scoring import SINGLE
from daskml_kit.model_selection.search.search_plan import EvaluationData, EvaluationSpec
from daskml_kit.model_selection.splits.base import legacy_random_state
from daskml_kit.model_selection.splits.folds import Folds, Split
from daskml_kit.typing import Array


@documented_like(cross_validate)
def validation_curve(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    param_name: str,
    param_range: Sequence[Any],
    groups: Any = None,
    cv: Any = None,
    scoring: Any = None,
    n_jobs: int | None = None,
    pre_dispatch: str = "all",
    verbose: int = 0,
    error_score: Any = np.nan,
    params: Mapping[str, Any] | None = None,
) -> tuple[Array, Array]:
    """Validation curve: training and test scores for each value of a parameter.

    Parameters
    ----------
    y : as X, of shape (n_samples,) or (n_samples, n_outputs)
    param_name : str
        Name of the parameter.
    param_range : sequence
        Its values.
    scoring : str, callable or None, default None
        A single scorer that returns a number; None is the estimator's own ``score``.
    pre_dispatch : str, default "all"
        Only scikit-learn's default.
    params : dict, optional
        For ``fit``, splitter and scorers; see `cross_validate`.

    Returns
    -------
    train_scores, test_scores : arrays of shape (n_values, n_splits)
        Scores by value and split.

    See Also
    --------
    learning_curve : Scores by the number of training rows.
    GridSearchCV : Several parameters, and the best model.

    Examples
    --------
    >>> import dask.array as da
    >>> from daskml_kit.linear_model import Ridge
    >>> X = da.random.default_rng(0).normal(size=(100, 3), chunks=(25, 3))
    >>> train, test = validation_curve(Ridge(), X, X.sum(axis=1), param_name="alpha", param_range=[0.1, 1, 10])
    >>> test.shape
    (3, 5)
    """
    check_inner("estimator", estimator, "get_params")
    if not isinstance(param_name, str) or param_name not in estimator.get_params():
        raise ValueError(f"param_name: expected a parameter of {type(estimator).__name__}, got {param_name!r}")
    if isinstance(param_range, str):
        raise ValueError(f"param_range: expected a sequence of values, got {param_range!r}")
    with naming("param_range"):
        candidates = [{param_name: value} for value in param_range]
    spec = EvaluationSpec(estimator, candidates, {SINGLE: scoring}, error_score, True, n_jobs)
    found = run_validation("validation_curve", spec, X, y, groups, cv, params, pre_dispatch, verbose)
    return found.outcomes.scores("train", SINGLE), found.outcomes.scores("test", SINGLE)


@documented_like(cross_validate)
def learning_curve(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    groups: Any = None,
    train_sizes: Any = (0.1, 0.325, 0.55, 0.775, 1.0),
    cv: Any = None,
    scoring: Any = None,
    exploit_incremental_learning: bool = False,
    n_jobs: int | None = None,
    pre_dispatch: str = "all",
    verbose: int = 0,
    shuffle: bool = False,
    random_state: Any = None,
    error_score: Any = np.nan,
    return_times: bool = False,
    params: Mapping[str, Any] | None = None,
) -> tuple[Array, ...]:
    """Learning curve: training and test scores by the number of training rows.

    The sizes of a split are folds within its training rows, so all sizes of all splits share passes.

    Parameters
    ----------
    y : as X, of shape (n_samples,) or (n_samples, n_outputs)
    train_sizes : sequence of float or int, default (0.1, 0.325, 0.55, 0.775, 1.0)
        Fractions of the training rows of the first split, or numbers of rows.
    scoring : str, callable or None, default None
        A single scorer that returns a number; None is the estimator's own ``score``.
    exploit_incremental_learning : bool, default False
        Train one model a split by ``partial_fit``, on the rows that each size adds, in place of one a size.
    pre_dispatch : str, default "all"
        Only scikit-learn's default.
    shuffle : bool, default False
        Whether the training rows are drawn at random instead of taken from the first on.
    random_state : int, RandomState, Generator or None, optional
        Seed of ``shuffle``.
    return_times : bool, default False
        Whether fit and score times are returned too.
    params : dict, optional
        For ``fit``, splitter and scorers; see `cross_validate`.

    Returns
    -------
    tuple of arrays
        Sizes (n_sizes,), training and test scores (n_sizes, n_splits), and the times.

    See Also
    --------
    validation_curve : Scores by the value of a parameter.

    Examples
    --------
    >>> import dask.array as da
    >>> from daskml_kit.linear_model import Ridge
    >>> X = da.random.default_rng(0).normal(size=(100, 3), chunks=(25, 3))
    >>> sizes, train, test = learning_curve(Ridge(), X, X.sum(axis=1), train_sizes=[0.5, 1.0])
    >>> sizes, test.shape
    (array([40, 80]), (2, 5))
    """
    check_flags(exploit_incremental_learning=exploit_incremental_learning, shuffle=shuffle, return_times=return_times)
    method = "partial_fit" if exploit_incremental_learning else "fit"
    check_inner("estimator", estimator, "fit")
    if not hasattr(estimator, method):
        raise ValueError("An estimator must support the partial_fit interface to exploit incremental learning")
    if not any(map(is_dask, (X, y, groups))):
        X, y = indexable(X, y)
    spec = EvaluationSpec(estimator, [{}], {SINGLE: scoring}, error_score, True, n_jobs)
    check_run(spec, params, verbose)
    routed = route("learning_curve", spec, cv, groups, params or {}, method)
    folds = folds_of(cv, estimator, X, y, **routed.split)
    sizes, nested = nested_training_folds(folds, train_sizes, shuffle, random_state, exploit_incremental_learning)
    routed = routed._replace(split={})
    if exploit_incremental_learning:
        outcomes = fit_incrementally(spec, EvaluationData(X, y, nested, routed), len(sizes))
    else:
        check_pre_dispatch(pre_dispatch)
        found = evaluate(spec, X, y, nested, routed)
        outcomes = [found.outcomes[0, split] for split in range(found.plan.n_splits)]
    if verbose:
        print(f"[learning_curve] {len(outcomes)} fits: {len(sizes)} sizes on {len(folds.splits)} splits")
    columns = [[o.train[SINGLE] for o in outcomes], [o.test[SINGLE] for o in outcomes]]  # type: ignore[index]
    if return_times:
        columns += [[o.fit_time for o in outcomes], [o.score_time for o in outcomes]]
    return (np.asarray(sizes), *(np.reshape(column, (len(folds.splits), len(sizes))).T for column in columns))


def nested_training_folds(
    folds: Folds, train_sizes: Any, shuffle: bool, random_state: Any, increments: bool = False
) -> tuple[list[int], Folds]:
    """Return sizes, and for each split one split a size, of the first so many training rows.

    Each split has a column: the ids of training rows are the steps by which they join, then come the test rows' id and
    that of rows that never join. With ``increments`` a split trains on the rows alone that its step adds.
    """
    in_memory = folds._replace(ids=dask.compute(folds.ids)[0], counts=())
    draw = random_state_of(legacy_random_state(random_state))
    rows_of = [in_memory.row_numbers(number) for number in range(len(folds.splits))]
    sizes = training_sizes(train_sizes, len(rows_of[0][0]))
    n_steps = len(sizes)
    ids, splits = [], []
    orders: list[tuple[Array, Array] | None] = []
    for number, (train, test) in enumerate(rows_of):
        order = draw.permutation(train) if shuffle else train
        column = np.full(len(in_memory.ids[0]), n_steps + 1, np.int16)
        column[test] = n_steps
        column[order] = _steps(len(order), sizes)
        ids.append(column)
        for step, (begin, size) in enumerate(zip([0, *sizes], sizes, strict=False)):
            first = step if increments else 0
            splits.append(Split(number, tuple(range(first, step + 1)), (n_steps,)))
            ordered = shuffle or (bool(folds.orders) and folds.orders[number] is not None)
            orders.append((order[begin if increments else 0 : size], test) if ordered else None)
    return sizes, Folds(tuple(ids), splits, orders=tuple(orders) if any(o is not None for o in orders) else ())


def training_sizes(train_sizes: Any, most: int) -> list[int]:
    """Return ascending numbers of rows, given as fractions or as numbers of at most ``most``.

    Raises
    ------
    ValueError
        Where they are out of range.

    Examples
    --------
    >>> training_sizes([0.5, 1.0], 80), training_sizes([10, 20], 80)
    ([40, 80], [10, 20])
    """
    given = np.asarray(train_sizes)
    if given.ndim != 1 or given.size == 0 or given.dtype.kind not in "fiu":
        raise ValueError(f"train_sizes: expected fractions or numbers of rows, got {train_sizes!r}")
    is_fraction = given.dtype.kind == "f"
    highest = 1 if is_fraction else most
    if not (given.min() > 0 and given.max() <= highest):
        raise ValueError(f"train_sizes: expected values above 0 and at most {highest}, got {train_sizes!r}")
    whole = np.clip((given * most).astype(int), 1, most) if is_fraction else given.astype(int)
    sizes = np.unique(whole)
    if len(sizes) < len(whole):
        warnings.warn(
            "Removed duplicate entries from 'train_sizes'. Number of ticks will be less than the size of "
            f"'train_sizes': {len(sizes)} instead of {len(whole)}.",
            RuntimeWarning,
            stacklevel=4,
        )
    return sizes.tolist()  # type: ignore[no-any-return]


def _steps(n_rows: int, sizes: Sequence[int]) -> Array:
    """Return for each of ``n_rows`` rows, in their order, by which size it has joined; the never joining come last."""
    steps = np.searchsorted(sizes, np.arange(n_rows), side="right")
    return np.where(steps == len(sizes), len(sizes) + 1, steps)


def fit_incrementally(spec: EvaluationSpec, data: EvaluationData, n_steps: int) -> list[Outcome]:
    """Train one model for each ``n_steps`` splits by ``partial_fit``, and score it after each of these steps.

    A split of Dask data is gathered by the task that trains on it.
    """
    study = spec.for_fits()
    rows, y = FoldData.of(data, spec.estimator), data.y
    classes = None
    if is_classifier(spec.estimator) and y is not None:
        classes = np.unique(np.asarray(dask.compute(da.unique(y) if isinstance(y, da.Array) else y)[0]))
    steps = [range(first, first + n_steps) for first in range(0, len(data.folds.splits), n_steps)]
    run = dask.delayed(_train_by_steps, pure=False) if rows.is_lazy else delayed(_train_by_steps)
    jobs = (run(study, classes, [rows.take(s) for s in some], rows.constants) for some in steps)
    found = dask.compute(*jobs) if rows.is_lazy else Parallel(n_jobs=spec.n_jobs, prefer="threads")(jobs)
    for message in dict.fromkeys(message for _, warned in found for message in warned):
        warnings.warn(message, UserWarning, stacklevel=3)
    return [outcome for outcomes, _ in found for outcome in outcomes]


def _train_by_steps(
    study: EvaluationSpec, classes: Array | None, steps: Sequence[Mapping[str, Any]], constants: Mapping[str, Any]
) -> tuple[list[Outcome], list[str]]:
    model, outcomes = clone(study.estimator), []
    known = {} if classes is None else {"classes": classes}
    warned: list[str] = []
    for number, sides in enumerate(steps):
        added = Fold(sides, constants)
        started = time.perf_counter()
        target = () if added.side("y", 0) is None else (added.side("y", 0),)
        model.partial_fit(added.X[0], *target, **known, **added.fit_params)
        fit_time, started = time.perf_counter() - started, time.perf_counter()
        so_far = {name: (join([s[name][0] for s in steps[: number + 1]]), rows[1]) for name, rows in sides.items()}
        seen = Fold(so_far, constants)
        test, train = (score(study, warned, model, seen, side) for side in (1, 0))
        outcomes.append(Outcome(test, train, fit_time, time.perf_counter() - started, seen.n_test))
    return outcomes, warned

"""Scores of features, each by itself, for a target: one pass each."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import scipy.special
import scipy.stats
import sklearn.feature_selection

from daskml_kit.arguments import check_flags
from daskml_kit.data.collections import is_dask
from daskml_kit.engines.open import open_engine
from daskml_kit.engines.runtime import computing
from daskml_kit.feature_selection.mutual_information import information_steps
from daskml_kit.linear_model.base import require_rows
from daskml_kit.reductions.moments import Covariances, Moments
from daskml_kit.reductions.per_class import ClassResults, PerClass, Unweighted
from daskml_kit.reductions.sums import Extremes, FeatureSums
from daskml_kit.solvers.run import run
from daskml_kit.solvers.types import Fit
from daskml_kit.typing import Array


def f_classif(X: Any, y: Any) -> tuple[Array, Array]:
    """Return the F statistics of an analysis of variance between classes, and their p-values.

    Parameters
    ----------
    X : Dask array or DataFrame, or anything that scikit-learn takes, of shape (n_samples, n_features)
    y : array or Dask array of shape (n_samples,)
        Classes.

    Returns
    -------
    f_statistic, p_values : array of shape (n_features,)
        A statistic for each feature, and its probability where the feature has no influence.

    See Also
    --------
    chi2 : For counts.
    f_regression : For a target of numbers.

    Examples
    --------
    >>> import dask.array as da
    >>> X = da.from_array(np.array([[1.0, 5.0], [2.0, 3.0], [4.0, 4.0], [5.0, 5.0]]), chunks=(2, 2))
    >>> f_classif(X, da.from_array(np.array([0, 0, 1, 1]), chunks=2))[0]
    array([18. ,  0.2])
    """
    found: tuple[Array, Array] = _scores(sklearn.feature_selection.f_classif, X, y)
    return found


def chi2(X: Any, y: Any) -> tuple[Array, Array]:
    """Return the chi-squared statistics of counts between classes, and their p-values.

    Parameters
    ----------
    X : Dask array or DataFrame, or anything that scikit-learn takes, of shape (n_samples, n_features)
        None may be negative.
    y : array or Dask array of shape (n_samples,)
        Classes.

    Returns
    -------
    chi2, p_values : array of shape (n_features,)
        A statistic for each feature, and its probability where the feature has no influence.

    See Also
    --------
    f_classif : For features of any sign.

    Examples
    --------
    >>> import dask.array as da
    >>> X = da.from_array(np.array([[1, 1, 3], [0, 1, 5], [5, 4, 1], [6, 6, 2], [1, 4, 0], [0, 0, 0]]), chunks=(2, 3))
    >>> chi2(X, da.from_array(np.array([1, 1, 0, 0, 2, 2]), chunks=2))[0].round(1)
    array([15.4,  6.5,  8.9])
    """
    found: tuple[Array, Array] = _scores(sklearn.feature_selection.chi2, X, y)
    return found


def r_regression(X: Any, y: Any, *, center: bool = True, force_finite: bool = True) -> Array:
    """Return the correlation of each feature with the target.

    Parameters
    ----------
    X : Dask array or DataFrame, or anything that scikit-learn takes, of shape (n_samples, n_features)
    y : array or Dask array of shape (n_samples,)
    center : bool, default True
        Whether means are subtracted.
    force_finite : bool, default True
        Whether the correlation of a constant is 0, else NaN.

    Returns
    -------
    array of shape (n_features,)
        Correlations.

    See Also
    --------
    f_regression : Their F statistics.

    Examples
    --------
    >>> import dask.array as da
    >>> X = da.from_array(np.array([[1.0, 7.0], [2.0, 7.0], [3.0, 7.0]]), chunks=(2, 2))
    >>> r_regression(X, da.from_array(np.array([3.0, 2.0, 1.0]), chunks=2))
    array([-1.,  0.])
    """
    scores: Array = _scores(sklearn.feature_selection.r_regression, X, y, center=center, force_finite=force_finite)
    return scores


def f_regression(X: Any, y: Any, *, center: bool = True, force_finite: bool = True) -> tuple[Array, Array]:
    """Return the F statistics of a linear regression of the target on each feature, and their p-values.

    Parameters
    ----------
    X : Dask array or DataFrame, or anything that scikit-learn takes, of shape (n_samples, n_features)
    y : array or Dask array of shape (n_samples,)
    center : bool, default True
        Whether means are subtracted.
    force_finite : bool, default True
        Whether the statistic of a constant is 0, and of the target itself the largest number, else NaN and infinity.

    Returns
    -------
    f_statistic, p_values : array of shape (n_features,)
        A statistic for each feature, and its probability where the feature has no influence.

    See Also
    --------
    r_regression : The correlations.

    Examples
    --------
    >>> import dask.array as da
    >>> X = da.from_array(np.array([[1.0, 7.0], [2.0, 7.0], [3.0, 7.0]]), chunks=(2, 2))
    >>> f_regression(X, da.from_array(np.array([3.0, 2.0, 2.0]), chunks=2))[0].round(6)
    array([3., 0.])
    """
    options = {"center": center, "force_finite": force_finite}
    found: tuple[Array, Array] = _scores(sklearn.feature_selection.f_regression, X, y, **options)
    return found


def steps_of(score_func: Any) -> Callable[[], Fit] | None:
    """Return the fit that gives the scores of a function, ours or scikit-learn's; None of any other.

    Examples
    --------
    >>> steps_of(partial(f_regression, center=False)) is not None, steps_of(max) is None
    (True, True)
    """
    options = score_func.keywords if isinstance(score_func, partial) and not score_func.args else {}
    function = score_func.func if options else score_func
    name = getattr(function, "__name__", "")
    known = STEPS.get(name)
    modules = ("daskml_kit.",) if name in BINNED else ("daskml_kit.", "sklearn.")  # whose estimate is another
    if known is None or not function.__module__.startswith(modules):
        return None
    return partial(known, **options)


def _scores(function: Any, X: Any, y: Any, **options: Any) -> Any:
    check_flags(**options)
    if not is_dask(X) and not is_dask(y):
        return function(X, y, **options)
    with open_engine(X, y, many_passes=False) as engine, computing():
        return run(engine, {None: STEPS[function.__name__](**options)})[None]


def _f_classif() -> Fit:
    found, extremes = yield PerClass(Unweighted(Moments())), Extremes()
    constant = extremes.low == extremes.high  # which rounding would make vary
    counts = np.array([spread.n_rows for spread in found.results], dtype=np.float64)
    require_rows(len(counts), counts.sum(), len(extremes.low))
    means = np.array([spread.mean for spread in found.results])
    n_rows, between = counts.sum(), len(counts) - 1
    whole = counts @ means / n_rows
    above = np.where(constant, 0.0, counts @ (means - whole) ** 2 / np.float64(between))
    within = np.where(constant, 0.0, sum(spread.squares for spread in found.results) / np.float64(n_rows - len(counts)))
    if constant.any():
        warnings.warn(f"Features {np.flatnonzero(constant)} are constant.", UserWarning, stacklevel=2)
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = above / within
    return statistic, scipy.special.fdtrc(between, n_rows - len(counts), statistic)


def _chi2() -> Fit:
    found: ClassResults = yield PerClass(Unweighted(FeatureSums()))
    observed = np.array([totals.sums for totals in found.results])
    counts = np.array([totals.weight for totals in found.results])
    require_rows(len(counts), counts.sum(), observed.shape[-1])
    expected = np.outer(counts / counts.sum(), observed.sum(axis=0))
    with np.errstate(invalid="ignore"):
        statistic = ((observed - expected) ** 2 / expected).sum(axis=0)
    return statistic, scipy.special.chdtrc(max(len(counts), 2) - 1, statistic)


def _correlations(center: bool, force_finite: bool) -> Fit:
    found, extremes = yield Covariances(), Extremes()
    n, mean, target_mean = found.n_rows, found.mean, found.target_mean
    require_rows(n, n, len(mean))
    if center:
        squares = np.where(extremes.low == extremes.high, 0.0, found.squares)  # rounding would make a constant vary
        products, target = found.products, found.target_squares
    else:
        squares, products = found.squares + n * mean**2, found.products + n * mean * target_mean
        target = found.target_squares + n * target_mean**2
    with np.errstate(divide="ignore", invalid="ignore"):
        r = products / np.sqrt(squares) / np.sqrt(target)
    r = np.where((squares > 0) & (target > 0), r, np.nan)
    return (np.nan_to_num(r, nan=0.0) if force_finite else r), n


def _r_regression(center: bool = True, force_finite: bool = True) -> Fit:
    r, _ = yield from _correlations(center, force_finite)
    return r


def _f_regression(center: bool = True, force_finite: bool = True) -> Fit:
    r, n = yield from _correlations(center, force_finite)
    freedom = n - (2 if center else 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = r**2 / (1 - r**2) * freedom
        p_values = scipy.stats.f.sf(statistic, 1, freedom)
    if force_finite:
        unknown = np.isnan(statistic)
        statistic = np.where(unknown, 0.0, np.minimum(statistic, np.finfo(np.float64).max))
        p_values = np.where(unknown, 1.0, p_values)
    return statistic, p_values


STEPS: dict[str, Callable[..., Fit]] = {
    "chi2": _chi2,
    "f_classif": _f_classif,
    "f_regression": _f_regression,
    "mutual_info_classif": partial(information_steps, True),
    "mutual_info_regression": partial(information_steps, False),
    "r_regression": _r_regression,
}
"""Fits that give scores, by the names of the functions."""
BINNED = ("mutual_info_classif", "mutual_info_regression")
"""Functions of which scikit-learn's give other scores."""

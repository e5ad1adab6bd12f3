"""Regression metrics: squared and absolute errors, R² and D², on Dask in one pass."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import sklearn.metrics
from sklearn.exceptions import UndefinedMetricWarning

from daskml_kit.exceptions import DataError
from daskml_kit.metrics.inputs import any_dask, reduce_scores, require_rows
from daskml_kit.numerics.deviance import generator
from daskml_kit.reductions.residuals import Residuals, ResidualTotals
from daskml_kit.typing import Array


def mean_squared_error(
    y_true: Any, y_pred: Any, *, sample_weight: Any = None, multioutput: Any = "uniform_average"
) -> float | Array:
    """Mean squared error, weighted.

    Parameters
    ----------
    y_true, y_pred : array-like or Dask collection of shape (n,) or (n, n_outputs)
    sample_weight : array-like or Dask collection of shape (n,), optional
    multioutput : {"raw_values", "uniform_average"} or array-like of shape (n_outputs,)
        An array with one number an output, their plain mean, or their mean with these weights.

    Raises
    ------
    DataError
        Where shapes or lengths differ, or a value is NaN or infinite; it names the argument and the block.

    Examples
    --------
    >>> import dask.array as da
    >>> mean_squared_error(da.from_array([3.0, -0.5, 2.0, 7.0], chunks=2), [2.5, 0.0, 2.0, 8.0])
    0.375
    """
    if not any_dask(y_true, y_pred, sample_weight):
        return sklearn.metrics.mean_squared_error(  # type: ignore[no-any-return]
            y_true, y_pred, sample_weight=sample_weight, multioutput=multioutput
        )
    total = _residuals(y_true, y_pred, sample_weight)
    return _average(total.deviance / total.weight, multioutput)


def root_mean_squared_error(
    y_true: Any, y_pred: Any, *, sample_weight: Any = None, multioutput: Any = "uniform_average"
) -> float | Array:
    """Root mean squared error, output by output; see `mean_squared_error`."""
    if not any_dask(y_true, y_pred, sample_weight):
        return sklearn.metrics.root_mean_squared_error(  # type: ignore[no-any-return]
            y_true, y_pred, sample_weight=sample_weight, multioutput=multioutput
        )
    total = _residuals(y_true, y_pred, sample_weight)
    return _average(np.sqrt(total.deviance / total.weight), multioutput)


def mean_absolute_error(
    y_true: Any, y_pred: Any, *, sample_weight: Any = None, multioutput: Any = "uniform_average"
) -> float | Array:
    """Mean absolute error, weighted; see `mean_squared_error`."""
    if not any_dask(y_true, y_pred, sample_weight):
        return sklearn.metrics.mean_absolute_error(  # type: ignore[no-any-return]
            y_true, y_pred, sample_weight=sample_weight, multioutput=multioutput
        )
    total = _residuals(y_true, y_pred, sample_weight)
    return _average(total.absolute / total.weight, multioutput)


def r2_score(
    y_true: Any,
    y_pred: Any,
    *,
    sample_weight: Any = None,
    multioutput: Any = "uniform_average",
    force_finite: bool = True,
) -> float | Array:
    r"""Coefficient of determination :math:`R^2 = 1 - \sum_i w_i (y_i - \hat y_i)^2 / \sum_i w_i (y_i - \bar y)^2`.

    Parameters
    ----------
    y_true, y_pred : array-like or Dask collection of shape (n,) or (n, n_outputs)
    sample_weight : array-like or Dask collection of shape (n,), optional
    multioutput : {"raw_values", "uniform_average", "variance_weighted"}, array-like of shape (n_outputs,) or None
        None is the plain mean, as in scikit-learn.
    force_finite : bool
        Whether constant targets score 1 where they are predicted perfectly and else 0, in place of NaN and -inf.

    Examples
    --------
    >>> import dask.array as da
    >>> r2_score(da.from_array([1.0, 2.0, 3.0], chunks=2), [1.0, 2.0, 2.0])
    0.5
    """
    if not any_dask(y_true, y_pred, sample_weight):
        return sklearn.metrics.r2_score(  # type: ignore[no-any-return]
            y_true, y_pred, sample_weight=sample_weight, multioutput=multioutput, force_finite=force_finite
        )
    total = _residuals(y_true, y_pred, sample_weight)
    if _too_few(total, "R^2"):
        return float("nan")
    if force_finite:
        scores = np.where(total.deviance > 0, 0.0, 1.0)
        defined = (total.squares > 0) & (total.deviance > 0)
        scores[defined] = 1 - total.deviance[defined] / total.squares[defined]
    else:
        with np.errstate(divide="ignore", invalid="ignore"):
            scores = 1 - total.deviance / total.squares
    if isinstance(multioutput, str) and multioutput == "variance_weighted":
        return float(np.average(scores, weights=total.squares if total.squares.any() else None))
    return _average(scores, "uniform_average" if multioutput is None else multioutput)


def d2_tweedie_score(y_true: Any, y_pred: Any, *, sample_weight: Any = None, power: float = 0) -> float:
    r"""D² score: fraction of the Tweedie deviance explained, :math:`1 - D(y, \hat y) / D(y, \bar y)`.

    Parameters
    ----------
    y_true, y_pred : array-like or Dask collection of shape (n,)
    sample_weight : array-like or Dask collection of shape (n,), optional
    power : float
        At most 0, or at least 1: 0 is R², 1 Poisson, 2 Gamma, 3 inverse Gaussian.

    Raises
    ------
    DataError
        Where ``power`` is between 0 and 1, or values lie outside the domain of the deviance.

    Examples
    --------
    >>> import dask.array as da
    >>> round(d2_tweedie_score(da.from_array([1.0, 2.0, 4.0], chunks=2), [1.0, 2.0, 3.0], power=1), 6)
    0.84933
    """
    if not any_dask(y_true, y_pred, sample_weight):
        return float(sklearn.metrics.d2_tweedie_score(y_true, y_pred, sample_weight=sample_weight, power=power))
    if 0 < power < 1:
        raise DataError(f"power: expected at most 0 or at least 1, got {power}")
    total = _residuals(y_true, y_pred, sample_weight, power)
    if len(total.mean) > 1:
        raise DataError(f"y_true: Multioutput not supported in d2_tweedie_score, got {len(total.mean)} columns")
    if _too_few(total, "D^2"):
        return float("nan")
    if power == 0:
        null = total.squares
    else:
        null = 2 * total.weight * (total.convex / total.weight - generator(total.mean, power))
    with np.errstate(divide="ignore", invalid="ignore"):
        return float((1 - total.deviance / null)[0])


def _residuals(y_true: Any, y_pred: Any, sample_weight: Any, power: float = 0.0) -> ResidualTotals:
    total: ResidualTotals = reduce_scores(Residuals(power), y_true, y_pred, sample_weight)
    require_rows(total.n_rows, total.weight)
    return total


def _too_few(total: ResidualTotals, name: str) -> bool:
    if total.n_rows < 2:
        message = f"{name} score is not well-defined with less than two samples."
        warnings.warn(message, UndefinedMetricWarning, stacklevel=3)
    return total.n_rows < 2


def _average(values: Array, multioutput: Any) -> float | Array:
    if isinstance(multioutput, str):
        if multioutput == "raw_values":
            return values
        if multioutput == "uniform_average":
            return float(values.mean())
        raise DataError(f"multioutput: expected 'raw_values', 'uniform_average' or weights, got {multioutput!r}")
    weights = np.asarray(multioutput, dtype=np.float64)
    if len(values) == 1:
        raise DataError("multioutput: Custom weights are useful only in multi-output cases.")
    if weights.shape != values.shape:
        raise DataError(f"multioutput: expected {len(values)} weights, one an output, got shape {weights.shape}")
    return float(np.average(values, weights=weights))

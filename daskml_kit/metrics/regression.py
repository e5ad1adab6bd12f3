"""Regression metrics: squared and absolute errors, R² and D², on Dask in one pass."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import sklearn.metrics
from sklearn.exceptions import UndefinedMetricWarning

from daskml_kit.data.block import Block
from daskml_kit.exceptions import DataError
from daskml_kit.metrics.documented import one_pass_metric, with_parts
from daskml_kit.metrics.inputs import in_memory_by, reduce_scores, require_rows
from daskml_kit.numerics.deviance import generator
from daskml_kit.reductions.class_losses import weights_of
from daskml_kit.reductions.frames import Delegate
from daskml_kit.reductions.moments import Moments, Spread
from daskml_kit.reductions.reduction import Reduction
from daskml_kit.reductions.residuals import Residuals, ResidualTotals, errors_of
from daskml_kit.typing import Array


@with_parts(lambda options: _mean_parts(_squared, **options))
@in_memory_by(sklearn.metrics.mean_squared_error)
def mean_squared_error(
    y_true: Any, y_pred: Any, *, sample_weight: Any = None, multioutput: Any = "uniform_average", compute: bool = True
) -> Any:
    """Mean squared error, weighted.

    Parameters
    ----------
    y_true, y_pred : array-like or Dask collection of shape (n,) or (n, n_outputs)
    sample_weight : array-like or Dask collection of shape (n,), optional
    multioutput : {"raw_values", "uniform_average"} or array-like of shape (n_outputs,)
        An array with one number an output, their plain mean, or their mean with these weights.
    compute : bool, default True
        False gives a Delayed in place of the number.

    Returns
    -------
    float, or array of shape (n_outputs,) with ``multioutput="raw_values"``
        The smaller the better, in the squared unit of y.

    Raises
    ------
    DataError
        Where shapes or lengths differ, or a value is NaN or infinite; it names the argument and the block.

    See Also
    --------
    mean_absolute_error : Less sensitive to outliers.

    Examples
    --------
    >>> import dask.array as da
    >>> mean_squared_error(da.from_array([3.0, -0.5, 2.0, 7.0], chunks=2), [2.5, 0.0, 2.0, 8.0])
    0.375
    """
    return _mean_error(_squared, y_true, y_pred, sample_weight, multioutput, compute)


@with_parts(lambda options: _mean_parts(_root_squared, **options))
@in_memory_by(sklearn.metrics.root_mean_squared_error)
def root_mean_squared_error(
    y_true: Any, y_pred: Any, *, sample_weight: Any = None, multioutput: Any = "uniform_average", compute: bool = True
) -> Any:
    """Root mean squared error, output by output.

    Parameters
    ----------
    y_true, y_pred : array-like or Dask collection of shape (n,) or (n, n_outputs)
    sample_weight : array-like or Dask collection of shape (n,), optional
    multioutput : {"raw_values", "uniform_average"} or array-like of shape (n_outputs,), default "uniform_average"
        As in `mean_squared_error`.
    compute : bool, default True
        False gives a Delayed in place of the number.

    Returns
    -------
    float, or array of shape (n_outputs,) with ``multioutput="raw_values"``
        The smaller the better, in the unit of y.

    See Also
    --------
    mean_squared_error : Also for what is raised.

    Examples
    --------
    >>> import dask.array as da
    >>> float(round(root_mean_squared_error(da.from_array([3.0, -0.5, 2.0, 7.0], chunks=2), [2.5, 0.0, 2.0, 8.0]), 3))
    0.612
    """
    return _mean_error(_root_squared, y_true, y_pred, sample_weight, multioutput, compute)


@with_parts(lambda options: _mean_parts(_absolute, **options))
@in_memory_by(sklearn.metrics.mean_absolute_error)
def mean_absolute_error(
    y_true: Any, y_pred: Any, *, sample_weight: Any = None, multioutput: Any = "uniform_average", compute: bool = True
) -> Any:
    """Mean absolute error, weighted.

    Parameters
    ----------
    y_true, y_pred : array-like or Dask collection of shape (n,) or (n, n_outputs)
    sample_weight : array-like or Dask collection of shape (n,), optional
    multioutput : {"raw_values", "uniform_average"} or array-like of shape (n_outputs,), default "uniform_average"
        As in `mean_squared_error`.
    compute : bool, default True
        False gives a Delayed in place of the number.

    Returns
    -------
    float, or array of shape (n_outputs,) with ``multioutput="raw_values"``
        The smaller the better, in the unit of y.

    See Also
    --------
    mean_squared_error : Also for what is raised.

    Examples
    --------
    >>> import dask.array as da
    >>> float(round(mean_absolute_error(da.from_array([3.0, -0.5, 2.0, 7.0], chunks=2), [2.5, 0.0, 2.0, 8.0]), 3))
    0.5
    """
    return _mean_error(_absolute, y_true, y_pred, sample_weight, multioutput, compute)


def _squared(total: ResidualTotals) -> Array:
    return total.deviance / total.weight


def _root_squared(total: ResidualTotals) -> Array:
    return np.sqrt(_squared(total))


def _absolute(total: ResidualTotals) -> Array:
    return total.absolute / total.weight


def _mean_error(
    error: Callable[[ResidualTotals], Array], y_true: Any, y_pred: Any, weight: Any, multioutput: Any, compute: bool
) -> Any:
    return reduce_scores(*_mean_parts(error, multioutput), y_true, y_pred, weight, compute)


def _mean_parts(
    error: Callable[[ResidualTotals], Array], multioutput: Any = "uniform_average"
) -> tuple[Reduction, Callable[[Any], Any]]:
    return Residuals(), partial(_average_error, error, multioutput)


def _average_error(error: Callable[[ResidualTotals], Array], multioutput: Any, total: ResidualTotals) -> float | Array:
    require_rows(total.n_rows, total.weight)
    return over_outputs(error(total), multioutput)


@with_parts(lambda options: _r2_parts(**options))
@in_memory_by(sklearn.metrics.r2_score)
def r2_score(
    y_true: Any,
    y_pred: Any,
    *,
    sample_weight: Any = None,
    multioutput: Any = "uniform_average",
    force_finite: bool = True,
    compute: bool = True,
) -> Any:
    r"""Coefficient of determination :math:`R^2 = 1 - \sum_i w_i (y_i - \hat y_i)^2 / \sum_i w_i (y_i - \bar y)^2`.

    Parameters
    ----------
    y_true, y_pred : array-like or Dask collection of shape (n,) or (n, n_outputs)
    sample_weight : array-like or Dask collection of shape (n,), optional
    multioutput : {"raw_values", "uniform_average", "variance_weighted"}, array-like of shape (n_outputs,) or None
        None is the plain mean, as in scikit-learn.
    force_finite : bool
        Whether constant targets score 1 where they are predicted perfectly and else 0, in place of NaN and -inf.
    compute : bool, default True
        False gives a Delayed in place of the number.

    Returns
    -------
    float, or array of shape (n_outputs,) with ``multioutput="raw_values"``
        1 for perfect predictions, 0 for those of the mean.

    See Also
    --------
    d2_tweedie_score : The same for other deviances.

    Examples
    --------
    >>> import dask.array as da
    >>> r2_score(da.from_array([1.0, 2.0, 3.0], chunks=2), [1.0, 2.0, 2.0])
    0.5
    """
    return reduce_scores(*_r2_parts(multioutput, force_finite), y_true, y_pred, sample_weight, compute)


def _r2_parts(
    multioutput: Any = "uniform_average", force_finite: bool = True
) -> tuple[Reduction, Callable[[Any], Any]]:
    return Residuals(), partial(_r2, multioutput=multioutput, force_finite=force_finite)


def _r2(total: ResidualTotals, multioutput: Any, force_finite: bool) -> float | Array:
    require_rows(total.n_rows, total.weight)
    if too_few(total.n_rows, "R^2"):
        return float("nan")
    return _explained(total.deviance, total.squares, multioutput, force_finite)


def _explained(deviance: Array, squares: Array, multioutput: Any, force_finite: bool) -> float | Array:
    scores = explained_fraction(deviance, squares, force_finite)
    if isinstance(multioutput, str) and multioutput == "variance_weighted":
        return float(np.average(scores, weights=squares if squares.any() else None))
    return over_outputs(scores, "uniform_average" if multioutput is None else multioutput)


def explained_fraction(loss: Array, null: Array, force_finite: bool = True) -> Array:
    """Return 1 - loss / null of each output; by force 1 of no loss, and 0 of a loss where the null model has none."""
    if not force_finite:
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(1 - loss / null)
    scores = np.where(loss > 0, 0.0, 1.0)
    defined = (null > 0) & (loss > 0)
    scores[defined] = 1 - loss[defined] / null[defined]
    return scores


class _ErrorMoments(Delegate):
    """Moments of the targets, and behind them of the errors."""

    def view(self, block: Block) -> Block:
        return block._replace(X=np.hstack(errors_of(block)), y=None, weight=weights_of(block))


def _explained_variance(options: dict[str, Any]) -> tuple[Reduction, Callable[[Any], Any]]:
    finish = partial(_of_moments, **{"multioutput": "uniform_average", "force_finite": True, **options})
    return _ErrorMoments(Moments()), finish


def _of_moments(total: Spread, multioutput: Any, force_finite: bool) -> float | Array:
    require_rows(total.n_rows, float(total.weight[0]))
    squares, deviance = np.split(total.squares, 2)
    return _explained(deviance, squares, multioutput, force_finite)


explained_variance_score = one_pass_metric(
    sklearn.metrics.explained_variance_score,
    _explained_variance,
    "On Dask collections one pass joins the means and variances of blocks. Negative weights are refused.",
)


@with_parts(lambda options: _d2_parts(**options))
@in_memory_by(sklearn.metrics.d2_tweedie_score)
def d2_tweedie_score(
    y_true: Any, y_pred: Any, *, sample_weight: Any = None, power: float = 0, compute: bool = True
) -> Any:
    r"""D² score: fraction of the Tweedie deviance explained, :math:`1 - D(y, \hat y) / D(y, \bar y)`.

    Parameters
    ----------
    y_true, y_pred : array-like or Dask collection of shape (n,)
    sample_weight : array-like or Dask collection of shape (n,), optional
    power : float
        At most 0, or at least 1: 0 is R², 1 Poisson, 2 Gamma, 3 inverse Gaussian.
    compute : bool, default True
        False gives a Delayed in place of the number.

    Returns
    -------
    float
        1 for perfect predictions, 0 for those of the mean.

    References
    ----------
    Hastie, Tibshirani and Wainwright, "Statistical Learning with Sparsity" (2015), equation 3.11.

    See Also
    --------
    r2_score : The case of squared errors.

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
    return reduce_scores(*_d2_parts(power), y_true, y_pred, sample_weight, compute)


def _d2_parts(power: float = 0) -> tuple[Reduction, Callable[[Any], Any]]:
    if 0 < power < 1:
        raise DataError(f"power: expected at most 0 or at least 1, got {power}")
    return Residuals(power), partial(_d2, power=power)


def _d2(total: ResidualTotals, power: float) -> float:
    require_rows(total.n_rows, total.weight)
    if len(total.mean) > 1:
        raise DataError(f"y_true: Multioutput not supported in d2_tweedie_score, got {len(total.mean)} columns")
    if too_few(total.n_rows, "D^2"):
        return float("nan")
    if power == 0:
        null = total.squares
    else:
        null = 2 * total.weight * (total.convex / total.weight - generator(total.mean, power))
    with np.errstate(divide="ignore", invalid="ignore"):
        return float((1 - total.deviance / null)[0])


def too_few(n_rows: int, name: str) -> bool:
    """Return whether a score of a spread has less than two rows, with a warning."""
    if n_rows < 2:
        message = f"{name} score is not well-defined with less than two samples."
        warnings.warn(message, UndefinedMetricWarning, stacklevel=3)
    return n_rows < 2


def over_outputs(values: Array, multioutput: Any) -> float | Array:
    """Return the values of the outputs, or their mean, with or without weights."""
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

"""Regression metrics: squared and absolute errors, R² and D², on Dask in one pass.

Examples
--------
>>> import dask.array as da
>>> y_true, y_pred = da.from_array([3.0, 0.5, 2.0, 7.0], chunks=2), [2.5, 1.0, 2.0, 8.0]
>>> mean_squared_error(y_true, y_pred)
0.375
>>> round(root_mean_squared_error(y_true, y_pred), 3), mean_absolute_error(y_true, y_pred)
(0.612, 0.5)
>>> round(r2_score(y_true, y_pred), 3), round(d2_tweedie_score(y_true, y_pred, power=1), 3)
(0.935, 0.928)
"""

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
from daskml_kit.metrics.documented import one_pass_metric
from daskml_kit.metrics.inputs import require_rows
from daskml_kit.reductions.class_losses import weights_of
from daskml_kit.reductions.moments import Moments, Spread
from daskml_kit.reductions.reduction import Delegate, Reduction
from daskml_kit.reductions.residuals import Residuals, ResidualTotals, errors_of, generator
from daskml_kit.typing import Array

NOTE = "On Dask collections one pass sums the errors of the rows. Negative weights are refused."


def _squared(total: ResidualTotals) -> Array:
    return total.deviance / total.weight


def _root_squared(total: ResidualTotals) -> Array:
    return np.sqrt(_squared(total))


def _absolute(total: ResidualTotals) -> Array:
    return total.absolute / total.weight


def _average_error(error: Callable[[ResidualTotals], Array], multioutput: Any, total: ResidualTotals) -> float | Array:
    require_rows(total.n_rows, total.weight)
    return over_outputs(error(total), multioutput)


def _mean_error(theirs: Callable[..., Any], error: Callable[[ResidualTotals], Array]) -> Callable[..., Any]:
    def parts(multioutput: Any = "uniform_average") -> tuple[Reduction, Callable[[Any], Any]]:
        return Residuals(), partial(_average_error, error, multioutput)

    return one_pass_metric(theirs, parts, NOTE)


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


def _variance_parts(
    multioutput: Any = "uniform_average", force_finite: bool = True
) -> tuple[Reduction, Callable[[Any], Any]]:
    return _ErrorMoments(Moments()), partial(_of_moments, multioutput=multioutput, force_finite=force_finite)


def _of_moments(total: Spread, multioutput: Any, force_finite: bool) -> float | Array:
    require_rows(total.n_rows, float(total.weight[0]))
    squares, deviance = np.split(total.squares, 2)
    return _explained(deviance, squares, multioutput, force_finite)


def _d2_parts(power: float = 0) -> tuple[Reduction, Callable[[Any], Any]]:
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


d2_tweedie_score = one_pass_metric(sklearn.metrics.d2_tweedie_score, _d2_parts, NOTE)
explained_variance_score = one_pass_metric(
    sklearn.metrics.explained_variance_score,
    _variance_parts,
    "On Dask collections one pass joins the means and variances of blocks. Negative weights are refused.",
)
mean_absolute_error = _mean_error(sklearn.metrics.mean_absolute_error, _absolute)
mean_squared_error = _mean_error(sklearn.metrics.mean_squared_error, _squared)
r2_score = one_pass_metric(sklearn.metrics.r2_score, _r2_parts, NOTE)
root_mean_squared_error = _mean_error(sklearn.metrics.root_mean_squared_error, _root_squared)

"""Regression residuals as a reduction: squares, absolute values and deviances of errors in one pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import xlogy

from daskml_kit.data.block import Block
from daskml_kit.exceptions import DataError
from daskml_kit.numerics.targets import tile_rows, tiles
from daskml_kit.reductions.class_losses import predictions, require_finite, weights_of
from daskml_kit.reductions.reduction import SingleReduction
from daskml_kit.typing import Array


def tweedie_deviance(y: Array, prediction: Array, power: float) -> Array:
    r"""Return the unit deviance :math:`2(\phi(y) - \phi(m) - \phi'(m)(y - m))` of each element.

    Parameters
    ----------
    y, prediction : arrays of one shape
        Inside the domain that `outside` checks.
    power : float
        0 is the squared error, 1 Poisson, 2 Gamma, 3 inverse Gaussian.

    Examples
    --------
    >>> tweedie_deviance(np.array([3.0]), np.array([1.0]), 0)
    array([4.])
    """
    if power == 0:
        return np.asarray(np.square(y - prediction))
    if power == 1:
        return np.asarray(2 * (xlogy(y, y / prediction) - y + prediction))
    if power == 2:
        return np.asarray(2 * (np.log(prediction / y) + y / prediction - 1))
    tail = prediction ** (2 - power) / (2 - power) - y * prediction ** (1 - power) / (1 - power)
    return np.asarray(2 * (generator(y, power) + tail))


def generator(y: Array, power: float) -> Array:
    r"""Return the convex :math:`\phi` whose Bregman divergence is half the unit deviance, up to a linear term.

    The deviance of all rows from their mean is twice their weight times :math:`\overline{\phi(y)} - \phi(\bar y)`.
    """
    if power == 0:
        return np.asarray(np.square(y) / 2)
    if power == 1:
        return np.asarray(xlogy(y, y))
    if power == 2:
        return np.asarray(-np.log(y))
    base = np.maximum(y, 0) if power < 0 else y
    return np.asarray(base ** (2 - power) / ((1 - power) * (2 - power)))


def outside(y: Array, prediction: Array, power: float) -> str | None:
    """Return what the deviance expects where ``y`` or ``prediction`` lies outside of its domain, else None."""
    if power == 0:
        return None
    if (prediction <= 0).any():
        return "strictly positive y_pred"
    if 1 <= power < 2 and (y < 0).any():
        return "non-negative y_true"
    if power >= 2 and (y <= 0).any():
        return "strictly positive y_true"
    return None


class ResidualTotals(NamedTuple):
    r"""Residual sums: rows and weight, and for each output (t,) weighted sums.

    ``mean`` is that of y, ``squares`` are about it; ``convex`` is the sum of :math:`\phi(y)`
    (`daskml_kit.reductions.residuals.generator`).
    """

    n_rows: int
    weight: float
    mean: Array
    squares: Array
    absolute: Array
    deviance: Array
    convex: Array


@dataclass(frozen=True, eq=False)
class Residuals(SingleReduction):
    """Sums of errors, deviances of the Tweedie ``power``, and the spread of y, joined by Chan et al. (1983)."""

    power: float = 0.0

    def chunk(self, block: Block) -> ResidualTotals:
        """Read the block tile by tile, in double precision.

        Raises
        ------
        DataError
            Where shapes differ, values are not finite, or lie outside the domain of the deviance.
        """
        truth = targets_of(block)
        weight, predicted = weights_of(block), predictions(block, "y_pred")
        zeros = np.zeros(truth.shape[1])
        total = ResidualTotals(0, 0.0, zeros, zeros, zeros, zeros, zeros)
        for rows in tiles(block.n_rows, tile_rows(block.X, 2 * truth.shape[1])):
            y, prediction = truth[rows].astype(np.float64), predicted[rows].astype(np.float64)
            require_finite(y, "y_true", block.index)
            require_finite(prediction, "y_pred", block.index)
            total = self.combine(total, self._sum(y, prediction, weight[rows], block.index))
        return total

    def combine(self, a: ResidualTotals, b: ResidualTotals) -> ResidualTotals:
        weight = a.weight + b.weight
        share = b.weight / weight if weight else 0.0
        apart = b.mean - a.mean
        squares = a.squares + b.squares + apart**2 * (a.weight * share)
        sums = (x + y for x, y in zip(a[4:], b[4:], strict=True))
        return ResidualTotals(a.n_rows + b.n_rows, weight, a.mean + apart * share, squares, *sums)

    def _sum(self, y: Array, prediction: Array, weight: Array, index: int) -> ResidualTotals:
        expected = outside(y, prediction, self.power)
        if expected:
            raise DataError(f"power={self.power}: the deviance expects {expected}, got others in block {index}")
        mass = float(weight.sum())
        mean = weight @ y / mass if mass else np.zeros(y.shape[1])
        convex = weight @ generator(y, self.power) if self.power else np.zeros(y.shape[1])
        deviance = weight @ tweedie_deviance(y, prediction, self.power)
        return ResidualTotals(
            len(y), mass, mean, weight @ (y - mean) ** 2, weight @ abs(y - prediction), deviance, convex
        )


def targets_of(block: Block) -> Array:
    """Return the block's targets, numbers of shape (n_rows, n_outputs) as the predictions have.

    Raises
    ------
    DataError
        Where there are none, they are no numbers, or shapes differ.
    """
    if block.y is None:
        raise DataError("y_true: expected numbers, got none")
    truth = _numbers(block.y, block.index)
    truth = truth[:, None] if truth.ndim == 1 else truth
    if truth.shape[1] != block.X.shape[1]:
        raise DataError(
            f"y_true and y_pred have different number of output ({truth.shape[1]}!={block.X.shape[1]}) "
            f"in block {block.index}"
        )
    return truth


def errors_of(block: Block) -> tuple[Array, Array]:
    """Return the block's targets and what they are above the predictions, finite doubles (n_rows, n_outputs)."""
    truth, predicted = (part.astype(np.float64) for part in (targets_of(block), predictions(block, "y_pred")))
    require_finite(truth, "y_true", block.index)
    require_finite(predicted, "y_pred", block.index)
    return truth, truth - predicted


def _numbers(y: Array, index: int) -> Array:
    if y.dtype.kind in "fiub":
        return y
    try:
        return y.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"y_true: expected numbers, got dtype {y.dtype} in block {index}: {error}") from None

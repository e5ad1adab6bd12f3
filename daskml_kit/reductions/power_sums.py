"""Moments of power-transformed features, for several exponents in one pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from daskml_kit.data.block import Block
from daskml_kit.reductions.reduction import SingleReduction
from daskml_kit.typing import Array

SMALL = 1e-2
"""Exponents up to this lose digits where one is subtracted from a power."""


class PowerMoments(NamedTuple):
    """Of each feature: values that are not missing, the sum of their logarithms, and for each exponent the mean of the
    transformed values and the sum of squares about it."""

    count: Array  # type: ignore[assignment]  # a tuple has a method of this name, which nothing here calls
    logs: Array
    mean: Array
    squares: Array

    def log_likelihood(self, lambdas: Array) -> Array:
        """Return the log-likelihood of each exponent, divided by the number of values; -inf where it is none."""
        with np.errstate(all="ignore"):
            value = -0.5 * np.log(self.squares / self.count) + (lambdas - 1) * self.logs / self.count
        return np.where(np.isfinite(value), value, -np.inf)


@dataclass(frozen=True, eq=False)
class PowerSums(SingleReduction):
    r"""Sums of which the likelihood of power transformations is made (Box & Cox 1964; Yeo & Johnson 2000).

    Parameters
    ----------
    lambdas : array of shape (n_exponents, n_features)
    signed : bool
        Whether the transformation is Yeo and Johnson's, which takes any numbers, else Box and Cox's.

    Examples
    --------
    >>> asked = PowerSums(np.array([[1.0]]), signed=False)
    >>> asked.finalize(asked.chunk(Block(np.array([[1.0], [3.0]]))))[0].mean
    array([[1.]])
    """

    lambdas: Array
    signed: bool

    answer_type: ClassVar[type[PowerMoments]] = PowerMoments

    def chunk(self, block: Block) -> list[Any]:
        columns = [self._column(column, own) for column, own in zip(block.X.T, self.lambdas.T, strict=True)]
        count, logs, mean, squares = zip(*columns, strict=True)
        return [np.stack(count, axis=-1), np.array(logs), np.stack(mean, axis=-1), np.stack(squares, axis=-1)]

    def combine(self, a: list[Any], b: list[Any]) -> list[Any]:
        mean, squares = joined((a[0][:, None], *a[2:]), (b[0][:, None], *b[2:]))
        return [a[0] + b[0], a[1] + b[1], mean, squares]

    def finalize(self, total: list[Any]) -> list[PowerMoments]:
        count, logs, mean, squares = total
        groups = []
        for number, exponents in enumerate((self.lambdas, 2 - self.lambdas)):
            raw = np.abs(exponents) > SMALL
            divisor = np.where(raw, exponents, 1.0)
            own = np.where(count[number] > 0, (mean[number] - raw) / divisor, 0.0)
            groups.append((count[number], (own, -own)[number], squares[number] / divisor**2))
        return [PowerMoments(count.sum(axis=0), logs, *joined(*groups))]

    def _column(self, column: Array, lambdas: Array) -> tuple[Array, float, Array, Array]:
        """Return sums of the values that are not below 0, and of those below, whose powers are of other exponents."""
        x = column[~np.isnan(column)].astype(np.float64)
        below = x < 0
        up, down = (np.log1p(x[~below]), np.log1p(-x[below])) if self.signed else (np.log(x), x[:0])
        parts = _moments(up, lambdas), _moments(down, 2 - lambdas)
        mean, squares = (np.stack(part) for part in zip(*parts, strict=True))
        return np.array([len(up), len(down)], np.float64), float(up.sum() - down.sum()), mean, squares


def joined(a: Any, b: Any) -> tuple[Array, Array]:
    """Return mean and squares of two parts, each of count, mean and squares."""
    count = a[0] + b[0]
    share = np.divide(b[0], count, out=np.zeros(np.shape(count)), where=np.asarray(count) > 0)
    with np.errstate(all="ignore"):
        apart = b[1] - a[1]
        return a[1] + apart * share, a[2] + b[2] + apart**2 * a[0] * share


def _moments(logs: Array, exponents: Array) -> tuple[Array, Array]:
    """Return mean and squares of the powers of numbers with these logarithms; of small exponents those of (p - 1) / e.

    Otherwise the difference to 1, which small powers would be lost in, is left to the end.
    """
    mean, squares = np.zeros(len(exponents)), np.zeros(len(exponents))
    if not len(logs):
        return mean, squares
    powers = np.empty_like(logs)
    with np.errstate(all="ignore"):
        for number, exponent in enumerate(exponents):
            np.multiply(logs, exponent, out=powers)
            if exponent == 0:
                powers[:] = logs
            elif abs(exponent) <= SMALL:
                np.expm1(powers, out=powers)
                powers /= exponent
            else:
                np.exp(powers, out=powers)
            mean[number] = powers.mean()
            powers -= mean[number]
            squares[number] = powers @ powers
    return mean, squares

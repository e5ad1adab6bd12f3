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
    >>> PowerSums(np.array([[1.0]]), signed=False).chunk(Block(np.array([[1.0], [3.0]]))).mean
    array([[1.]])
    """

    lambdas: Array
    signed: bool

    answer_type: ClassVar[type[PowerMoments]] = PowerMoments

    def chunk(self, block: Block) -> PowerMoments:
        columns = [self._column(column, own) for column, own in zip(block.X.T, self.lambdas.T, strict=True)]
        count, logs, mean, squares = zip(*columns, strict=True)
        return PowerMoments(np.array(count), np.array(logs), np.stack(mean, axis=1), np.stack(squares, axis=1))

    def combine(self, a: PowerMoments, b: PowerMoments) -> PowerMoments:
        count = a.count + b.count
        mean, squares = joined((a.count, a.mean, a.squares), (b.count, b.mean, b.squares))
        return PowerMoments(count, a.logs + b.logs, mean, squares)

    def _column(self, column: Array, lambdas: Array) -> tuple[float, float, Array, Array]:
        x = column[~np.isnan(column)].astype(np.float64)
        if not self.signed:
            logs = np.log(x)
            return len(x), float(logs.sum()), *_moments(logs, lambdas, 1)
        below = x < 0
        up, down = np.log1p(x[~below]), np.log1p(-x[below])
        parts = ((len(up), *_moments(up, lambdas, 1)), (len(down), *_moments(down, 2 - lambdas, -1)))
        return len(x), float(up.sum() - down.sum()), *joined(*parts)


def joined(a: Any, b: Any) -> tuple[Array, Array]:
    """Return mean and squares of two parts, each of count, mean and squares."""
    count = a[0] + b[0]
    share = np.divide(b[0], count, out=np.zeros(np.shape(count)), where=np.asarray(count) > 0)
    with np.errstate(all="ignore"):
        apart = b[1] - a[1]
        return a[1] + apart * share, a[2] + b[2] + apart**2 * a[0] * share


def _moments(logs: Array, exponents: Array, sign: int) -> tuple[Array, Array]:
    """Return mean and squares of the powers of numbers with these logarithms."""
    mean, squares = np.zeros(len(exponents)), np.zeros(len(exponents))
    if not len(logs):
        return mean, squares
    powers = np.empty_like(logs)
    with np.errstate(all="ignore"):
        for number, exponent in enumerate(exponents):
            if exponent == 0:
                powers[:] = logs
            else:
                np.multiply(logs, exponent, out=powers)
                if abs(exponent) <= SMALL:
                    np.expm1(powers, out=powers)
                else:
                    np.exp(powers, out=powers)
                    powers -= 1
                powers /= exponent
            mean[number] = powers.mean()
            powers -= mean[number]
            squares[number] = powers @ powers
    return sign * mean, squares

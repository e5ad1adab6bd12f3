"""Moments of features, missing values left out: means, variances, higher powers, and covariances with a target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import scipy.sparse as sp

from daskml_kit.data.block import Block, check_dense, check_finite
from daskml_kit.exceptions import DataError
from daskml_kit.numerics.csr import transposed_times
from daskml_kit.numerics.targets import tile_rows, tiles
from daskml_kit.reductions.gram import overflow
from daskml_kit.reductions.reduction import SingleReduction
from daskml_kit.reductions.summary import position_of
from daskml_kit.typing import Array, Labels


class Spread(NamedTuple):
    """Per feature: rows and weight that are not missing, mean, and the weighted sum of squares about it."""

    n_rows: int
    count: Array  # type: ignore[assignment]  # a tuple has a method of this name, which nothing here calls
    weight: Array
    mean: Array
    squares: Array

    @property
    def variance(self) -> Array:
        """The population variance; NaN where nothing was observed."""
        with np.errstate(invalid="ignore"):
            return np.asarray(self.squares / self.weight)

    def require_finite(self) -> None:
        """Raise where the squares of finite values overflow.

        Raises
        ------
        DataError
            With what to do about it.
        """
        if not np.isfinite(self.squares).all():
            raise DataError(overflow(np.float64, "X"))


@dataclass(frozen=True, eq=False)
class Moments(SingleReduction):
    """Mean and variance of every feature, NaN left out, joined by Chan, Golub & LeVeque (1983)."""

    answer_type: ClassVar[type[Spread]] = Spread

    def chunk(self, block: Block) -> Spread:
        with np.errstate(over="ignore"):  # who needs the squares sees that they are infinite
            return _sparse_spread(block) if sp.issparse(block.X) else self._dense_spread(block)

    def combine(self, a: Spread, b: Spread) -> Spread:
        weight = a.weight + b.weight
        share = np.divide(b.weight, weight, out=np.zeros_like(weight), where=weight > 0)
        apart = b.mean - a.mean
        with np.errstate(over="ignore", invalid="ignore"):
            between = np.where((a.weight > 0) & (share > 0), apart**2 * a.weight * share, 0.0)  # not 0 times infinity
            squares = a.squares + b.squares + between
        return Spread(a.n_rows + b.n_rows, a.count + b.count, weight, a.mean + apart * share, squares)

    def _dense_spread(self, block: Block) -> Spread:
        zeros = np.zeros(block.X.shape[1])
        total = Spread(0, zeros, zeros, zeros, zeros)
        length = tile_rows(block.X, block.X.shape[1])
        scratch = np.empty((min(length, block.n_rows), block.X.shape[1]))  # memory that is new costs more than sums
        for rows in tiles(block.n_rows, length):
            tile, off = block.X[rows], scratch[: rows.stop - rows.start]
            if tile.dtype != np.float64:
                np.copyto(off, tile)
                tile = off
            weight = np.ones(len(tile)) if block.weight is None else block.weight[rows].astype(np.float64)
            total = self.combine(total, _tile_spread(tile, weight, off))
        return total


def _tile_spread(tile: Array, weight: Array, scratch: Array) -> Spread:
    sums, total = weight @ tile, float(weight.sum())
    if total > 0 and not np.isnan(sums).any():  # nothing is missing: fewer steps
        mean = sums / total
        off = np.subtract(tile, mean, out=scratch)
        weights, count = np.full(tile.shape[1], total), np.full(tile.shape[1], float(len(tile)))
        return Spread(len(tile), count, weights, mean, weight @ np.multiply(off, off, out=off))
    return _spread_of_present(tile.copy(), weight)


def _spread_of_present(tile: Array, weight: Array) -> Spread:
    missing = np.isnan(tile)
    if missing.any():
        present = (~missing).astype(np.float64)
        tile[missing] = 0
        count, weights = present.sum(axis=0), weight @ present
    else:
        present = None
        count, weights = np.full(tile.shape[1], float(len(tile))), np.full(tile.shape[1], weight.sum())
    mean = np.divide(weight @ tile, weights, out=np.zeros_like(weights), where=weights > 0)
    tile -= mean
    if present is not None:
        tile *= present
    return Spread(len(tile), count, weights, mean, weight @ (tile * tile))


def _sparse_spread(block: Block) -> Spread:
    X = sp.csr_array(block.X).astype(np.float64).tocsc()
    weight = np.ones(block.n_rows) if block.weight is None else block.weight.astype(np.float64)
    row, column, d = X.indices, np.repeat(np.arange(X.shape[1]), np.diff(X.indptr)), X.shape[1]
    missing = np.isnan(X.data)
    gone = np.bincount(column[missing], weight[row[missing]], minlength=d)
    weights = weight.sum() - gone
    total = np.bincount(column[~missing], (weight[row] * X.data)[~missing], minlength=d)
    mean = np.divide(total, weights, out=np.zeros_like(weights), where=weights > 0)
    off = np.where(missing, 0, X.data - mean[column])
    stored = np.bincount(column, weight[row], minlength=d)
    squares = np.bincount(column, weight[row] * off * off, minlength=d) + (weight.sum() - stored) * mean**2
    count = block.n_rows - np.bincount(column[missing], minlength=d).astype(np.float64)
    return Spread(block.n_rows, count, weights, mean, squares)


class WithTarget(NamedTuple):
    """Rows; of each feature the mean, the sum of squares about it, and of products with the target about both means;
    of the target the mean and the sum of squares."""

    n_rows: int
    mean: Array
    squares: Array
    products: Array
    target_mean: float
    target_squares: float


@dataclass(frozen=True, eq=False)
class Covariances(SingleReduction):
    """Sums of squares and of products with the target, joined by Chan, Golub & LeVeque (1983).

    Examples
    --------
    >>> found = Covariances().chunk(Block(np.array([[1.0], [3.0]]), np.array([5.0, 9.0])))
    >>> found.squares.tolist(), found.products.tolist(), found.target_squares
    ([2.0], [4.0], 8.0)
    """

    answer_type: ClassVar[type[WithTarget]] = WithTarget

    def chunk(self, block: Block) -> WithTarget:
        if block.y is None:
            raise TypeError("covariances need a target")
        check_finite(block)
        X: Any = block.X
        spread = Moments().chunk(block._replace(weight=None))
        y = block.y.astype(np.float64)
        mean = float(y.mean()) if len(y) else 0.0
        y -= mean
        if sp.issparse(X):  # y sums to zero, so that X need not be centered
            products = transposed_times(X.astype(np.float64), y)
        else:
            products = np.zeros(X.shape[1])
            for rows in tiles(block.n_rows, tile_rows(X, 1)):
                products += y[rows] @ (X[rows] - spread.mean)
        return WithTarget(block.n_rows, spread.mean, spread.squares, products, mean, float(y @ y))

    def combine(self, a: WithTarget, b: WithTarget) -> WithTarget:
        n_rows = a.n_rows + b.n_rows
        share, apart, other = b.n_rows / max(n_rows, 1), b.mean - a.mean, b.target_mean - a.target_mean
        return WithTarget(
            n_rows,
            a.mean + apart * share,
            a.squares + b.squares + apart**2 * (a.n_rows * share),
            a.products + b.products + apart * other * (a.n_rows * share),
            a.target_mean + other * share,
            a.target_squares + b.target_squares + other**2 * (a.n_rows * share),
        )


@dataclass(frozen=True, eq=False)
class FourthMoments(SingleReduction):
    r"""The sums :math:`\sum_i \|(x_i - m) / s\|^4` of the rows of each class, or of all rows.

    Parameters
    ----------
    means, scales : array of shape (n_classes, n_features)
        m and s above.
    labels : array of shape (n_classes,), optional
        The sorted labels of the classes; without them all rows are of one.

    Examples
    --------
    >>> FourthMoments(np.zeros((1, 2)), np.ones((1, 2))).chunk(Block(np.array([[1.0, 1.0], [0.0, 3.0]])))
    array([85.])
    """

    means: Array
    scales: Array
    labels: Labels | None = None

    def chunk(self, block: Block) -> Array:
        check_dense(block)
        totals = np.zeros(len(self.means))
        for rows in tiles(block.n_rows, tile_rows(block.X, block.X.shape[1])):
            codes = self._codes(block, rows)
            near = block.X[rows] - self.means[codes]
            near /= self.scales[codes]
            squares = np.einsum("ij,ij->i", near, near)
            if isinstance(codes, slice):
                totals += squares @ squares
            else:
                totals += np.bincount(codes, squares * squares, minlength=len(totals))
        return totals

    def _codes(self, block: Block, rows: slice) -> Array | slice:
        """Return the position of each row's class, or of the only one."""
        if self.labels is None:
            return slice(1)
        if block.y is None:
            raise TypeError("classes need targets")
        return position_of(self.labels, block.y[rows])

    def combine(self, a: Array, b: Array) -> Array:
        return a + b


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

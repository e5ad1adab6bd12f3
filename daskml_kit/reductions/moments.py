"""Count, mean and variance of each feature, missing values left out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
import scipy.sparse as sp

from daskml_kit.data.block import Block
from daskml_kit.exceptions import DataError
from daskml_kit.numerics.targets import tile_rows, tiles
from daskml_kit.reductions.gram import overflow
from daskml_kit.reductions.reduction import SingleReduction
from daskml_kit.typing import Array


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

"""Distinct values of one feature, sorted, with the weight and the sum of the targets of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from daskml_kit.data.block import Block, check_finite, check_not_negative
from daskml_kit.exceptions import DataError
from daskml_kit.numerics.pooling import Points, merged
from daskml_kit.reductions.reduction import SingleReduction
from daskml_kit.typing import Array


class SortedTotals(NamedTuple):
    """Rows of positive weight, an upper bound of the number of distinct x, and the points.

    Where there are more points than were asked for, ``x`` is a part of them that is spread evenly, without sums.
    """

    n_rows: int
    n_points: int
    x: Array
    weight: Array
    total: Array

    @property
    def points(self) -> Points | None:
        """The points; None where there are too many."""
        return Points(self.x, self.weight, self.total) if len(self.x) == len(self.weight) else None


@dataclass(frozen=True, eq=False)
class SortedSums(SingleReduction):
    """The distinct values of x from ``low`` to below ``high``, with weights and weighted sums of the targets.

    Parameters
    ----------
    most : int
        Values at most; of more, only some tell how they are spread.
    low, high : float

    Examples
    --------
    >>> SortedSums(9).chunk(Block(np.array([[2.0], [1.0], [2.0]]), np.array([5.0, 6.0, 7.0]))).points
    Points(x=array([1., 2.]), weight=array([1., 2.]), total=array([ 6., 12.]))
    """

    most: int
    low: float = -np.inf
    high: float = np.inf

    answer_type: ClassVar[type[SortedTotals]] = SortedTotals

    def chunk(self, block: Block) -> SortedTotals:
        x, y, weight = columns_of(block)
        kept = (weight > 0) & (x >= self.low) & (x < self.high)
        points = merged(x[kept], weight[kept], weight[kept] * y[kept])
        return self._bounded(SortedTotals(int(kept.sum()), len(points.x), *points))

    def combine(self, a: SortedTotals, b: SortedTotals) -> SortedTotals:
        n_rows = a.n_rows + b.n_rows
        if a.points is not None and b.points is not None:
            points = merged(*(np.concatenate(pair) for pair in zip(a.points, b.points, strict=True)))
            return self._bounded(SortedTotals(n_rows, len(points.x), *points))
        x, none = np.union1d(a.x, b.x), np.empty(0)
        return self._bounded(SortedTotals(n_rows, a.n_points + b.n_points, x, none, none))

    def _bounded(self, found: SortedTotals) -> SortedTotals:
        if len(found.x) <= self.most:
            return found
        step = -(-len(found.x) // (self.most // 2))
        return found._replace(x=found.x[::step], weight=np.empty(0), total=np.empty(0))


@dataclass(frozen=True, eq=False)
class GatheredRows(SingleReduction):
    """All of x, the targets and the weights, in the order of the rows."""

    def chunk(self, block: Block) -> tuple[Array, Array, Array]:
        return columns_of(block)

    def combine(self, a: tuple[Array, ...], b: tuple[Array, ...]) -> tuple[Array, ...]:
        return tuple(np.concatenate(pair) for pair in zip(a, b, strict=True))


def columns_of(block: Block) -> tuple[Array, Array, Array]:
    """Return x, the targets and the weights of a block with one feature, checked, in double precision."""
    if block.y is None or block.y.dtype.kind not in "fiub":
        raise DataError(f"y: expected numbers, got {getattr(block.y, 'dtype', None)} in block {block.index}")
    check_finite(block)
    check_not_negative(block)
    weight = np.ones(block.n_rows) if block.weight is None else block.weight
    x, y, weight = (part.astype(np.float64) for part in (block.X[:, 0], block.y, weight))
    return x, y, weight

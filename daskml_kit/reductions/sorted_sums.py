"""Distinct values of one feature, sorted, with weights and sums of targets; and their pooling to rising means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
from scipy.optimize import isotonic_regression

from daskml_kit.data.block import Block, check_finite, check_not_negative
from daskml_kit.exceptions import DataError
from daskml_kit.reductions.reduction import SingleReduction
from daskml_kit.typing import Array


class Points(NamedTuple):
    """Distinct values of x, ascending, with their weight and the weighted sum of their targets."""

    x: Array
    weight: Array
    total: Array


class Pools(NamedTuple):
    """Runs of points that have one fitted value: the first and the last x, the weight, and the value."""

    first: Array
    last: Array
    weight: Array
    value: Array


NO_POOLS = Pools(np.empty(0), np.empty(0), np.empty(0), np.empty(0))


def merged(x: Array, weight: Array, total: Array) -> Points:
    """Return points whose x are distinct and ascending.

    Examples
    --------
    >>> merged(np.array([2.0, 1.0, 2.0]), np.ones(3), np.array([5.0, 6.0, 7.0]))
    Points(x=array([1., 2.]), weight=array([1., 2.]), total=array([ 6., 12.]))
    """
    distinct, place = np.unique(x, return_inverse=True)
    return Points(distinct, np.bincount(place, weight), np.bincount(place, total))


def grouped(points: Points, apart: float) -> Points:
    """Join points that are closer than ``apart`` to the first of their group, as scikit-learn does.

    Examples
    --------
    >>> grouped(Points(np.array([0.0, 0.6, 1.2]), np.ones(3), np.ones(3)), 1.0)
    Points(x=array([0. , 1.2]), weight=array([2., 1.]), total=array([2., 1.]))
    """
    x = points.x
    opens = np.append(True, np.diff(x) >= apart)[: len(x)]
    if not opens.all():
        first = 0.0
        for at in np.flatnonzero(~opens | np.append(~opens[1:], False)):  # all others are groups by themselves
            opens[at] = opens[at] or x[at] - first >= apart
            first = x[at] if opens[at] else first
    starts = np.flatnonzero(opens)
    if not len(starts):
        return points
    return Points(x[starts], np.add.reduceat(points.weight, starts), np.add.reduceat(points.total, starts))


def pooled(pools: Pools, points: Points, *, increasing: bool) -> Pools:
    """Return the isotonic fit of what is pooled already, and of points behind it.

    Adjacent violators are pooled in any order with the same end, so the fit of a run of points may be pooled with the
    points of the next run.

    Examples
    --------
    >>> found = pooled(NO_POOLS, Points(np.arange(3.0), np.ones(3), np.array([1.0, 3.0, 2.0])), increasing=True)
    >>> found.first.tolist(), found.last.tolist(), found.value.tolist()
    ([0.0, 1.0], [0.0, 2.0], [1.0, 2.5])
    """
    first, last = np.append(pools.first, points.x), np.append(pools.last, points.x)
    weight = np.append(pools.weight, points.weight)
    value = np.append(pools.value, points.total / points.weight)
    if not len(value):
        return pools
    found = isotonic_regression(value, weights=weight, increasing=increasing)
    starts = found.blocks[:-1]
    return Pools(first[starts], last[found.blocks[1:] - 1], np.add.reduceat(weight, starts), found.x[starts])


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

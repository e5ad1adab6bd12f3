"""Pools of adjacent violators: the isotonic fit of sorted points, which may come in several runs."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import isotonic_regression

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

"""Loops of k-means over the rows whose nearest center may have changed, compiled by Numba."""

from __future__ import annotations

import numpy as np
from numba import njit

from daskml_kit.numerics.compiled import NEAR_LANES, choose_nearest
from daskml_kit.typing import Array


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]  # Numba has no types of its own
def widest(rows: Array, chosen: Array, shift: Array, out: Array) -> None:
    """Raise ``out`` to the largest size of each feature, less the shift, of the chosen rows; NaN stays."""
    for i in range(len(chosen)):
        row = rows[np.uint64(chosen[i])]
        for j in range(len(out)):
            size = abs(row[j] - shift[j])
            if not size <= out[j]:
                out[j] = size


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def follow_centers(before: Array, centers: Array, reach: float, unit: float, drifts: Array, limits: Array) -> float:
    """Add to the drift of each cluster the way of its center and of the other that went farthest, at most.

    Write what a deadline has to be above for a label to be certain into ``limits``, a float32 array, and return a bound
    of the rounding error of half of a squared distance, less half of the row's squared length, by rows as long as
    ``reach``.
    """
    ways, most, second, length = np.empty(len(centers)), 0, 0.0, 0.0
    for k in range(len(centers)):
        way, square = 0.0, 0.0
        for j in range(centers.shape[1]):
            value = np.float64(centers[k, j])
            way += (value - np.float64(before[k, j])) ** 2
            square += value * value
        ways[k], length = np.sqrt(way), max(length, np.sqrt(square))
        if k > 0 and ways[k] > ways[most]:
            most, second = k, ways[most]
        elif k > 0:
            second = max(second, ways[k])
    noise: float = (centers.shape[1] + 8) * unit * (length * (length + reach) + reach * reach * unit)
    for k in range(len(centers)):
        drifts[k] += (ways[k] + (second if k == most else ways[most])) * (1 + 1e-6)
        limits[k] = np.float32((drifts[k] + 2 * np.sqrt(noise)) * (1 + 1e-6))
    return noise


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def suspects(labels: Array, deadlines: Array, limits: Array, out: Array) -> int:
    """Write the positions of the rows whose deadline is not above their label's limit into ``out``; return how many."""
    n = 0
    for i in range(len(labels)):
        label = labels[i]
        out[n] = i
        n += label < 0 or not deadlines[i] > limits[np.uint64(label)]
    return n


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def split_row(rows: Array, at: int, shift: Array, weight: float, grids: Array, parts: Array) -> None:
    """Write a row, less the shift and times its weight, and the weight itself, into two ``parts`` that add up to it.

    Numbers are rounded to the multiples of a power of two, and what is left to those of a much smaller one: all sums
    of either are exact, in any order, so that a row leaves no trace where it is taken from a sum.
    """
    last = np.uint64(len(shift))
    for j in range(last):
        value = weight * (rows[at, j] - shift[j])
        coarse = (value + grids[0, j]) - grids[0, j]
        parts[0, j] = coarse
        parts[1, j] = ((value - coarse) + grids[1, j]) - grids[1, j]
    coarse = (weight + grids[0, last]) - grids[0, last]
    parts[0, last] = coarse
    parts[1, last] = ((weight - coarse) + grids[1, last]) - grids[1, last]


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def move_row(parts: Array, old: int, new: int, sums: Array) -> None:
    """Take the parts of a row from the sums of cluster ``old``, unless that is negative, and add them to ``new``."""
    to, n = np.uint64(new), np.uint64(parts.shape[1])
    for part in range(2):
        for j in range(n):
            sums[part, to, j] += parts[part, j]
    if old >= 0:
        source = np.uint64(old)
        for part in range(2):
            for j in range(n):
                sums[part, source, j] -= parts[part, j]


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def assign_rows(
    rows: Array,
    chosen: Array,
    places: Array,
    shift: Array,
    weight: Array,
    centers: Array,
    noise: float,
    grids: Array,
    drifts: Array,
    labels: Array,
    deadlines: Array,
    sums: Array,
) -> None:
    """Assign some rows to their nearest centers, and find how far centers may drift before that can change.

    Parameters
    ----------
    rows : array of shape (n, n_features)
    chosen : int array of shape (n_chosen,)
        Positions in ``rows``.
    places : int array of shape (n_chosen,)
        Positions of the same rows in ``labels`` and ``deadlines``.
    shift : array of shape (n_features,)
    weight : array
        Of each place, or one for all.
    centers : array of shape (n_clusters, n_features)
        Less the shift.
    noise : float
        What rounding may add to half of a squared distance, at most.
    grids : array of shape (2, n_features + 1)
        See `split_row`.
    drifts : array of shape (n_clusters,)
        How much nearer other centers may have come to the rows of a cluster, in all passes so far.
    labels : int array, -1 where there is none yet
    deadlines : float32 array
        Drift up to which the label is certain.
    sums : array of shape (2, n_clusters, n_features + 1)
    """
    n_features, n_clusters = rows.shape[1], len(centers)
    turned = np.zeros((n_features, NEAR_LANES), centers.dtype)
    least, best = np.empty(NEAR_LANES, centers.dtype), np.empty(NEAR_LANES, centers.dtype)
    second, squares = np.empty(NEAR_LANES, centers.dtype), np.empty(NEAR_LANES, centers.dtype)
    gaps, parts = np.empty(NEAR_LANES, np.float64), np.empty((2, n_features + 1))
    halves = np.empty(n_clusters, centers.dtype)
    for k in range(n_clusters):
        halves[k] = (centers[k] * centers[k]).sum() / 2
    for start in range(0, len(chosen), NEAR_LANES):
        n = min(NEAR_LANES, len(chosen) - start)
        for i in range(n):
            row = rows[np.uint64(chosen[start + i])]
            for j in range(n_features):
                turned[j, i] = row[j] - shift[j]
        choose_nearest(turned, centers, halves, 0, n_clusters, least, best, second)
        squares[:] = 0
        for j in range(n_features):
            line = turned[j]
            for i in range(NEAR_LANES):
                squares[i] += line[i] * line[i]
        for i in range(NEAR_LANES):
            low, high, square = np.float64(least[i]), np.float64(second[i]), np.float64(squares[i])
            far = np.sqrt(2 * (max(2 * (square + high + low), 0.0) + 8 * noise))  # at least the sum of both distances
            gaps[i] = max(2 * (high - low) - 4 * noise, 0.0) / far * (1 - 1e-6)
        for i in range(n):
            place, new = np.uint64(places[start + i]), np.int64(best[i])
            gap = gaps[i] if n_clusters > 1 else np.inf
            deadlines[place] = np.float32((gap + drifts[new]) * (1 - 1e-6))
            old = np.int64(labels[place])
            if new != old:
                labels[place] = new
                own = weight[place] if len(weight) > 1 else weight[0]
                split_row(rows, np.uint64(chosen[start + i]), shift, own, grids, parts)
                move_row(parts, old, new, sums)


@njit(nogil=True, cache=True, fastmath={"contract", "reassoc"})  # type: ignore[untyped-decorator]
def squared_distances(
    rows: Array, chosen: Array, places: Array, shift: Array, weight: Array, centers: Array, labels: Array
) -> float:
    """Return the weighted sum of squared distances of the chosen rows from the centers of their labels."""
    total = 0.0
    for i in range(len(chosen)):
        place = np.uint64(places[i])
        row, center, distance = rows[np.uint64(chosen[i])], centers[np.uint64(labels[place])], centers.dtype.type(0)
        for j in range(len(shift)):
            apart = (row[j] - shift[j]) - center[j]
            distance += apart * apart
        total += distance * (weight[place] if len(weight) > 1 else weight[0])
    return total

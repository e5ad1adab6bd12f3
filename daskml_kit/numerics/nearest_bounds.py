"""Loops of k-means over the rows whose nearest center may have changed, compiled by Numba."""

from __future__ import annotations

import numpy as np
from numba import njit

from daskml_kit.numerics.compiled import NEAR_LANES, choose_nearest
from daskml_kit.numerics.prefetching import LINE_BYTES, prefetch
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
def follow_centers(
    before: Array, centers: Array, reach: float, unit: float, tiny: float, drifts: Array, limits: Array
) -> float:
    """Add to the drift of each cluster the way of its center and of the other that went farthest, at most.

    Write what a deadline has to be above for a label to be certain into ``limits``, a float32 array, and return a bound
    of the rounding error of half of a squared distance, less half of the row's squared length, by rows as long as
    ``reach``; numbers are rounded to a ``unit`` of themselves, and those below ``tiny`` more.
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
    noise: float = (centers.shape[1] + 8) * (unit * (length * (length + reach) + reach * reach * unit) + tiny)
    for k in range(len(centers)):
        drifts[k] += (ways[k] + (second if k == most else ways[most])) * (1 + 1e-6)
        limits[k] = np.float32((drifts[k] + 2 * np.sqrt(noise)) * (1 + 1e-6))
    return noise


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def suspects(labels: Array, deadlines: Array, limits: Array, out: Array) -> int:
    """Write the positions of the rows whose deadline is not above their label's limit into ``out``; return how many.

    All rows have labels. Most are certain by the largest limit: of these many are passed over at a time.
    """
    found, n_rows, step, most = np.uint64(0), np.uint64(len(labels)), np.uint64(64), limits.max()
    for start in range(np.uint64(0), n_rows, step):
        stop, doubtful = min(start + step, n_rows), 0
        for i in range(start, stop):
            doubtful += not deadlines[i] > most
        if doubtful:
            for i in range(start, stop):
                out[found] = i
                found += np.uint64(not deadlines[i] > limits[np.uint64(labels[i])])
    return int(found)


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def split_row(row: Array, shift: Array, weight: float, grids: Array, parts: Array) -> None:
    """Write a row, less the shift and times its weight, and the weight itself, as two parts that add up to it.

    They are side by side in ``parts``, of length 2 * (n_features + 1). Numbers are rounded to the multiples of a power
    of two, and what is left to those of a much smaller one: all sums of either are exact, in any order, so that a row
    leaves no trace where it is taken from a sum.
    """
    n_features, n_sums = np.uint64(len(shift)), np.uint64(len(shift) + 1)
    coarse_grid, fine_grid = grids[0], grids[1]
    for j in range(n_features):
        value = weight * (row[j] - shift[j])
        coarse = (value + coarse_grid[j]) - coarse_grid[j]
        parts[j] = coarse
        parts[n_sums + j] = ((value - coarse) + fine_grid[j]) - fine_grid[j]
    coarse = (weight + coarse_grid[n_features]) - coarse_grid[n_features]
    parts[n_features] = coarse
    parts[n_sums + n_features] = ((weight - coarse) + fine_grid[n_features]) - fine_grid[n_features]


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def turn_rows(rows: Array, chosen: Array, shift: Array, turned: Array, ahead: Array) -> None:
    """Write the chosen rows, less the shift, into the columns of ``turned``; four rows at a time, which is faster.

    Rows ``ahead``, which come next, are meanwhile on their way: waiting for memory takes most of the time.
    """
    n, n_features = len(chosen), np.uint64(len(shift))
    fours = n - n % 4
    first, n_bytes = np.uintp(rows.ctypes.data), np.uintp(rows.itemsize * rows.shape[1])
    for i in range(0, fours, 4):
        for k in range(i, min(i + 4, len(ahead))):
            row = first + np.uintp(ahead[k]) * n_bytes
            for offset in range(np.uintp(0), n_bytes, np.uintp(LINE_BYTES)):
                prefetch(row + offset)
        a, b = rows[np.uint64(chosen[i])], rows[np.uint64(chosen[i + 1])]
        c, d = rows[np.uint64(chosen[i + 2])], rows[np.uint64(chosen[i + 3])]
        for j in range(n_features):
            line, own = turned[j], shift[j]
            line[i], line[i + 1], line[i + 2], line[i + 3] = a[j] - own, b[j] - own, c[j] - own, d[j] - own
    for i in range(fours, n):
        a = rows[np.uint64(chosen[i])]
        for j in range(n_features):
            turned[j, i] = a[j] - shift[j]


@njit(nogil=True, cache=True, fastmath={"contract", "reassoc"})  # type: ignore[untyped-decorator]
def squared_lengths(turned: Array, out: Array) -> None:
    """Write the squared lengths of the columns of ``turned`` into ``out``."""
    n_features = len(turned)
    fours = n_features - n_features % 4
    out[:] = 0
    for j in range(0, fours, 4):
        a, b, c, d = turned[j], turned[j + 1], turned[j + 2], turned[j + 3]
        for i in range(NEAR_LANES):
            out[i] += a[i] * a[i] + b[i] * b[i] + c[i] * c[i] + d[i] * d[i]
    for j in range(fours, n_features):
        a = turned[j]
        for i in range(NEAR_LANES):
            out[i] += a[i] * a[i]


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def write_gaps(least: Array, second: Array, squares: Array, noise: float, gaps: Array) -> None:
    """Write by how much less rows are from the nearest center than from the next, at least; limits have room for eps.

    The difference of the squared distances is divided by at least the sum of the distances.
    """
    kind = gaps.dtype.type
    two, zero, wide, wider = kind(2), kind(0), kind(4 * noise), kind(8 * noise)
    for i in range(NEAR_LANES):
        low, high = least[i], second[i]
        far = np.sqrt(two * (max(two * (squares[i] + high + low), zero) + wider))
        gaps[i] = max(two * (high - low) - wide, zero) / far


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def half_squares(centers: Array) -> Array:
    """Return half of the squared length of each center."""
    halves = np.empty(len(centers), centers.dtype)
    for k in range(len(centers)):
        halves[k] = (centers[k] * centers[k]).sum() / 2
    return halves


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def assign_first(
    rows: Array,
    chosen: Array,
    places: Array,
    shift: Array,
    weight: Array,
    centers: Array,
    bounds: Array,
    noises: Array,
    grids: Array,
    labels: Array,
    deadlines: Array,
    sums: Array,
) -> None:
    """Assign rows to the nearest center of each set of centers; rows are read, and split, once for all.

    Parameters
    ----------
    rows, chosen, places, shift, weight, grids
        See `assign_rows`.
    centers : array of shape (n_centers, n_features)
        Of all sets, less the shift.
    bounds : int array of shape (n_sets + 1,)
        Where each set of centers begins, and the last one ends.
    noises : array of shape (n_sets,)
    labels, deadlines : int and float32 arrays of shape (n_sets, n_places)
    sums : array of shape (n_centers, 2 * (n_features + 1))
    """
    n_features, halves = rows.shape[1], half_squares(centers)
    turned = np.zeros((n_features, NEAR_LANES), centers.dtype)
    least, best = np.empty(NEAR_LANES, centers.dtype), np.empty(NEAR_LANES, centers.dtype)
    second, squares = np.empty(NEAR_LANES, centers.dtype), np.empty(NEAR_LANES, centers.dtype)
    gaps, parts = np.empty(NEAR_LANES, centers.dtype), np.empty((NEAR_LANES, 2 * (n_features + 1)))
    for start in range(0, len(chosen), NEAR_LANES):
        n = min(NEAR_LANES, len(chosen) - start)
        turn_rows(rows, chosen[start : start + n], shift, turned, chosen[start + n : start + n + NEAR_LANES])
        squared_lengths(turned, squares)
        for i in range(n):
            own = weight[np.uint64(places[start + i])] if len(weight) > 1 else weight[0]
            split_row(rows[np.uint64(chosen[start + i])], shift, own, grids, parts[i])
        for which in range(len(bounds) - 1):
            first, stop = bounds[which], bounds[which + 1]
            choose_nearest(turned, centers, halves, first, stop, least, best, second)
            write_gaps(least, second, squares, noises[which], gaps)
            own_labels, own_deadlines, only = labels[which], deadlines[which], stop == first + 1
            for i in range(n):
                place, new = np.uint64(places[start + i]), np.uint64(best[i])
                own_labels[place] = new - np.uint64(first)
                own_deadlines[place] = np.inf if only else np.float32(gaps[i] * (1 - 1e-6))
                line, part = sums[new], parts[i]
                for j in range(np.uint64(parts.shape[1])):
                    line[j] += part[j]


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
    labels : int array
    deadlines : float32 array
        Drift up to which the label is certain.
    sums : array of shape (n_clusters, 2 * (n_features + 1))
        The two parts of the sums side by side.
    """
    n_features, n_clusters, halves = rows.shape[1], len(centers), half_squares(centers)
    turned = np.zeros((n_features, NEAR_LANES), centers.dtype)
    least, best = np.empty(NEAR_LANES, centers.dtype), np.empty(NEAR_LANES, centers.dtype)
    second, squares = np.empty(NEAR_LANES, centers.dtype), np.empty(NEAR_LANES, centers.dtype)
    gaps, parts = np.empty(NEAR_LANES, centers.dtype), np.empty(2 * (n_features + 1))
    for start in range(0, len(chosen), NEAR_LANES):
        n = min(NEAR_LANES, len(chosen) - start)
        turn_rows(rows, chosen[start : start + n], shift, turned, chosen[start + n : start + n + NEAR_LANES])
        choose_nearest(turned, centers, halves, 0, n_clusters, least, best, second)
        squared_lengths(turned, squares)
        write_gaps(least, second, squares, noise, gaps)
        for i in range(n):
            place, new = np.uint64(places[start + i]), np.int64(best[i])
            deadlines[place] = np.float32((gaps[i] + drifts[new]) * (1 - 1e-6))
            old = np.int64(labels[place])
            if new != old:
                labels[place] = new
                own = weight[place] if len(weight) > 1 else weight[0]
                split_row(rows[np.uint64(chosen[start + i])], shift, own, grids, parts)
                to, source = sums[np.uint64(new)], sums[np.uint64(old)]
                for j in range(np.uint64(len(parts))):
                    to[j] += parts[j]
                for j in range(np.uint64(len(parts))):
                    source[j] -= parts[j]


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

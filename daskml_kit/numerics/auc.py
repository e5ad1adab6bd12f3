r"""Mergeable summary of ranked scores for the ROC AUC, in bounded memory.

A summary is exact, one entry a distinct score, until it has more than ``cap`` entries. Then scores are grouped in
cells of their order key (the bits of a double, so that order is kept) that hold the same leading bits. How many bits
are dropped is one number for all scores of one sign and exponent, hence cells of two summaries are equal or nested, and
merging them loses nothing but the finer of the two. A pair of a positive and a negative in one cell counts one half,
which is wrong by at most one half, and not at all where a cell holds a single score, so the area is known to

.. math:: \frac{1}{2 P N} \sum_g P_g N_g

over the cells g of more than one score. Cells are shared out by weight, so that the bound is about ``1 / (2 cap)``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from daskml_kit.typing import Array

EXPONENT_SHIFT = 52
N_REGIONS = 2**12
NO_SHIFT = np.zeros(N_REGIONS, np.uint64)
BIN_SHIFT = EXPONENT_SHIFT - 7
"""Bits that `bin_values` drops: cells are at most a 128th as wide as their values are large."""
MANY = 2**16
"""Cells from which compiled loops pay, which take a moment to load."""
FULL_SHIFT = np.full(N_REGIONS, EXPONENT_SHIFT, np.uint64)


class Ranking(NamedTuple):
    """Cells in the order of their scores.

    Parameters
    ----------
    low, high : uint64 arrays of shape (n_cells,)
        The order keys of the least and the greatest score in each cell.
    mass : array of shape (n_cells, n_labels)
        The weight of each label.
    shift : uint64 array of shape (4096,)
        How many bits are dropped from the keys with each sign and exponent.
    """

    low: Array
    high: Array
    mass: Array
    shift: Array


def order_keys(scores: Array) -> Array:
    """Return unsigned integers that are ordered as the finite ``scores`` are.

    Examples
    --------
    >>> keys = order_keys(np.array([-2.0, -0.0, 0.0, 1.5]))
    >>> bool(keys[0] < keys[1] == keys[2] < keys[3])
    True
    """
    bits = (scores.astype(np.float64) + 0.0).view(np.uint64)
    sign = np.uint64(1) << np.uint64(63)
    return np.where(bits & sign, ~bits, bits | sign)


def scores_of(keys: Array) -> Array:
    """Return the scores whose `order_keys` are given.

    Examples
    --------
    >>> scores_of(order_keys(np.array([-2.0, 0.0, 1.5])))
    array([-2. ,  0. ,  1.5])
    """
    sign = np.uint64(1) << np.uint64(63)
    return np.asarray(np.where(keys & sign, keys ^ sign, ~keys).view(np.float64))


def rank(scores: Array, codes: Array, weight: Array, n_labels: int) -> Ranking:
    """Return the exact ranking of ``scores`` (n,), whose labels are ``codes`` (n,) below ``n_labels``."""
    keys = order_keys(scores)
    if len(keys) >= MANY:
        from daskml_kit.numerics import compiled  # as in csr: only where much is to do

        low, mass = compiled.rank_keys(keys, codes, weight, n_labels)
        return Ranking(low, low, mass, NO_SHIFT)
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    mass = np.zeros((len(keys), n_labels))
    mass[np.arange(len(keys)), codes[order]] = weight[order]
    return _grouped(keys, keys, mass, NO_SHIFT)


def bin_values(values: Array, weight: Array) -> Ranking:
    """Return the ranking of finite ``values`` of one label in cells of their leading bits, without sorting them.

    Each cell reaches from the least to the greatest key with its bits, whatever values are there.
    """
    cells = (order_keys(values) >> np.uint64(BIN_SHIFT)).astype(np.int64)
    first = int(cells.min(initial=1 << 62))
    mass = np.bincount(cells - first, weight)
    found = np.flatnonzero(np.bincount(cells - first))
    low = (found + (first if len(found) else 0)).astype(np.uint64) << np.uint64(BIN_SHIFT)
    high = low | np.uint64((1 << BIN_SHIFT) - 1)
    return Ranking(low, high, mass[found][:, None], np.full(N_REGIONS, BIN_SHIFT, np.uint64))


def merge(a: Ranking, b: Ranking) -> Ranking:
    """Return the ranking of both, with the coarser cells of the two."""
    shift = np.maximum(a.shift, b.shift)
    if len(a.low) + len(b.low) >= MANY:
        return _joined(a, b, shift)
    low = np.concatenate([a.low, b.low])
    order = np.argsort(low, kind="stable")
    high, mass = np.concatenate([a.high, b.high])[order], np.concatenate([a.mass, b.mass])[order]
    return _grouped(low[order], high, mass, shift)


def coarsen(ranking: Ranking, cap: int, ceiling: Array = FULL_SHIFT) -> Ranking:
    """Group the cells until about ``cap`` are left; ``ceiling`` (4096,) limits the bits that may be dropped."""
    if len(ranking.low) <= cap:
        return ranking
    total = ranking.mass.sum(axis=0)
    share = (ranking.mass[:, total > 0] / total[total > 0]).mean(axis=1) if total.any() else np.zeros(len(ranking.low))
    regions, first = np.unique(ranking.low >> np.uint64(EXPONENT_SHIFT), return_index=True)
    allowed = np.maximum(cap * np.add.reduceat(share, first), 1)
    shift = ranking.shift.copy()
    for region, start, stop, most in zip(regions, first, [*first[1:], len(ranking.low)], allowed, strict=True):
        if stop - start > most:
            shift[region] = _least_shift(ranking.low[start:stop], most, int(shift[region]), int(ceiling[region]))
    return _grouped(ranking.low, ranking.high, ranking.mass, shift)


def areas(ranking: Ranking, starts: Array) -> tuple[float, Array]:
    """Return the weight of the (negative, positive) pairs in order, ties by half, and each cell's doubt about it.

    Only pairs between the same two of the keys ``starts`` count. ``mass`` has the columns negative, positive.
    """
    negative, positive = ranking.mass[:, 0], ranking.mass[:, 1]
    below = np.cumsum(negative) - negative
    first = np.searchsorted(ranking.low, starts)
    base = np.append(below, negative.sum())[first]
    below = below - base[np.searchsorted(starts, ranking.low, side="right") - 1]
    doubt = np.where(ranking.low < ranking.high, positive * negative / 2, 0)
    return float(positive @ (below + negative / 2)), doubt


def _least_shift(low: Array, most: float, floor: int, ceiling: int) -> int:
    """Bisect for the fewest bits to drop from the sorted keys ``low`` that leave at most ``most`` cells."""
    while floor < ceiling:
        middle = (floor + ceiling) // 2
        cells = low >> np.uint64(middle)
        if 1 + np.count_nonzero(cells[1:] != cells[:-1]) <= most:
            ceiling = middle
        else:
            floor = middle + 1
    return floor


def _grouped(low: Array, high: Array, mass: Array, shift: Array) -> Ranking:
    ranking = Ranking(low, high, mass, shift)
    if len(low) >= MANY:
        return _joined(ranking, Ranking(low[:0], high[:0], mass[:0], shift), shift)
    if not len(low):
        return ranking
    dropped = shift[low >> np.uint64(EXPONENT_SHIFT)]
    cell = (low >> dropped) << dropped
    first = np.flatnonzero(np.append(True, cell[1:] != cell[:-1]))
    return Ranking(low[first], np.maximum.reduceat(high, first), np.add.reduceat(mass, first, axis=0), shift)


def _joined(a: Ranking, b: Ranking, shift: Array) -> Ranking:
    from daskml_kit.numerics import compiled

    low, high, mass = compiled.merge_cells(*a[:3], *b[:3], shift, EXPONENT_SHIFT)
    return Ranking(low, high, mass, shift)

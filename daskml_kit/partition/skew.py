"""Skew of a hash partition: rows of its blocks beforehand, hot keys, and a plan to spread these over blocks."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import dask
import numpy as np
from numpy.typing import NDArray

from daskml_kit.data.align import Rows, check_lengths
from daskml_kit.partition.keys import HotKeyPlan, Keys, target_blocks
from daskml_kit.typing import Array

FINENESS = 8
"""Keys are counted that fill this part of the room between an even block and the largest that is allowed."""


class HotKey(NamedTuple):
    """Frequent key: its text, its hash, the block where it belongs, and its rows in each block of the data."""

    label: str
    hash: int
    block: int
    counts: Array

    @property
    def rows(self) -> int:
        """Rows in all blocks."""
        return int(np.sum(self.counts))


class Skew(NamedTuple):
    """Skew: rows that each block of the result would get, and the keys that overfill some, the most frequent first."""

    loads: Array
    hot: list[HotKey]


def measure_skew(rows: Rows, keys: Keys, npartitions: int, max_skew: float, *, to_split: bool) -> Skew:
    """Count the rows of each block of the result, by one pass over the keys; where one is too large, by another,
    the rows of the frequent keys in it.

    Every key is found that has more than ``(max_skew - 1) / (8 npartitions)`` of all rows. Where these are too few
    `to_split`, the blocks that are too large are read again for rarer ones.
    """
    share = (max_skew - 1) / (FINENESS * npartitions)
    loads, labels = _scan_keys(rows, keys, np.ones(npartitions, bool), share)
    overfull = loads > max_rows(loads, max_skew)
    if not overfull.any():
        return Skew(loads, [])
    hot = _hot_keys(rows, keys, overfull, labels)
    while to_split and (_excess(loads, hot, max_skew)[overfull] > 0).any():
        share /= FINENESS**2
        hot = _hot_keys(rows, keys, overfull, _scan_keys(rows, keys, overfull, share)[1])
    return Skew(loads, hot)


def max_rows(loads: Array, max_skew: float) -> float:
    """Return the most rows that a block may have: whole rows cannot be shared out below the mean, rounded up."""
    mean = loads.mean()
    return float(max(max_skew * mean, np.ceil(mean)))


def even_out(skew: Skew, max_skew: float) -> tuple[Array, HotKeyPlan]:
    """Spread hot keys until no block is too large; return the loads, and how.

    From a block that is too large its most frequent keys leave, no more rows than have to; they go where there is
    most room.
    """
    level, loads = _level(skew.loads, max_skew), skew.loads.copy()
    leaving = []
    for key in skew.hot:
        excess = min(max(int(loads[key.block]) - level, 0), key.rows)
        loads[key.block] -= excess
        if excess:
            leaving.append((key, excess))
    room = [(int(load), at) for at, load in enumerate(loads) if load < level]
    heapq.heapify(room)
    spread = [(key, [(key.block, key.rows - excess), *_fill(room, excess, level, loads)]) for key, excess in leaving]
    spread.sort(key=lambda pair: pair[0].hash)
    counts = np.array([key.counts for key, _ in spread]).T
    return loads, HotKeyPlan(
        np.array([key.hash for key, _ in spread], np.uint64),
        np.cumsum(counts, axis=0) - counts,
        [np.array([at for at, _ in shares]) for _, shares in spread],
        [np.cumsum([rows for _, rows in shares]) for _, shares in spread],
    )


def _level(loads: Array, max_skew: float) -> int:
    """Return the rows down to which blocks are emptied that are too large, and up to which others take them."""
    return int(max(np.floor((1 + max_skew) / 2 * loads.mean()), np.ceil(loads.mean())))


def _excess(loads: Array, hot: Sequence[HotKey], max_skew: float) -> Array:
    """Return the rows that each block would still have above the level if it had none of its hot keys."""
    movable = np.zeros_like(loads)
    for key in hot:
        movable[key.block] += key.rows
    return loads - movable - _level(loads, max_skew)


def _fill(room: list[tuple[int, int]], excess: int, level: int, loads: Array) -> list[tuple[int, int]]:
    """Return the blocks that take the ``excess`` rows, the emptiest first, with the rows; add these to ``loads``.

    There is always room: all rows together are no more than ``level`` a block.
    """
    shares = []
    while excess:
        load, at = heapq.heappop(room)
        taken = min(excess, level - load)
        shares.append((at, taken))
        loads[at] += taken
        excess -= taken
        if load + taken < level:
            heapq.heappush(room, (load + taken, at))
    return shares


def _scan_keys(rows: Rows, keys: Keys, within: Array, share: float) -> tuple[Array, dict[int, str]]:
    """Return the rows of each block of the result, and how the keys read, by hash, that belong to the blocks where
    the mask ``within`` is true and have more than a ``share`` of the rows of some block of the data."""
    names = [column.name for column in rows.columns]
    count = dask.delayed(_count_block)
    found = dask.compute(
        *[
            count(keys, names, index, length, list(parts), within, share)
            for index, (length, parts) in enumerate(zip(rows.lengths, _blocks(rows), strict=True))
        ]
    )
    loads = sum((loads for loads, _ in found), np.zeros(len(within), np.int64))
    return loads, {key: label for _, frequent in found for key, label in frequent.items()}


def _hot_keys(rows: Rows, keys: Keys, within: Array, labels: Mapping[int, str]) -> list[HotKey]:
    """Return those of the keys ``labels`` that belong to the blocks where ``within`` is true, the most frequent
    first."""
    hashes = np.sort(np.fromiter(labels, np.uint64, len(labels)))
    hashes = hashes[within[target_blocks(hashes, len(within))]]
    if not len(hashes):
        return []
    count, wanted = dask.delayed(_count), dask.delayed(hashes, traverse=False)
    counts = np.array(
        dask.compute(*[count(keys, index, list(parts), wanted) for index, parts in enumerate(_blocks(rows))])
    )
    hot = [
        HotKey(labels[int(key)], int(key), int(at), counts[:, i])
        for i, (key, at) in enumerate(zip(hashes, target_blocks(hashes, len(within)), strict=True))
    ]
    return sorted(hot, key=lambda key: -key.rows)


def _blocks(rows: Rows) -> list[tuple[Any, ...]]:
    return list(zip(*(column.blocks for column in rows.columns), strict=True))


def _count_block(
    keys: Keys, names: Sequence[str], index: int, length: int, parts: Sequence[Any], within: Array, share: float
) -> tuple[Array, Mapping[int, str]]:
    """Return how many rows of a block go where, and how its frequent keys read, by hash."""
    check_lengths(names, parts, index, length)
    hashes = keys.hashes(index, parts)
    homes = target_blocks(hashes, len(within))
    found, first, counts = np.unique(hashes, return_index=True, return_counts=True)
    frequent = (counts > share * length) & within[homes[first]]
    columns = [np.asarray(values) for _, values in keys.of(parts)]
    return np.bincount(homes, minlength=len(within)), {
        int(key): ", ".join(str(column[row]) for column in columns)
        for key, row in zip(found[frequent], first[frequent], strict=True)
    }


def _count(keys: Keys, index: int, parts: Sequence[Any], wanted: NDArray[np.uint64]) -> Array:
    """Return how many rows of a block have each of the ``wanted`` hashes, which ascend."""
    hashes = keys.hashes(index, parts)
    found = np.minimum(np.searchsorted(wanted, hashes), len(wanted) - 1)
    return np.bincount(found[wanted[found] == hashes], minlength=len(wanted))

"""Which worker reads which blocks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple


class Shard(NamedTuple):
    """Blocks that one task reads, and the worker they lie on; any worker may take over."""

    worker: str
    positions: list[int]


def place(holders: Sequence[Sequence[str]], sizes: Sequence[int]) -> list[str]:
    """Return one of its holders for each block, so that each reads about as much.

    Examples
    --------
    >>> place([["a", "b"], ["a", "b"], ["a"]], [8, 8, 16])
    ['b', 'b', 'a']
    """
    load: dict[str, int] = defaultdict(int)
    homes = dict.fromkeys(range(len(holders)), "")
    for position in sorted(homes, key=lambda p: len(holders[p])):  # those without a choice first
        home = min(sorted(holders[position]), key=load.__getitem__)
        load[home] += max(sizes[position], 1)
        homes[position] = home
    return list(homes.values())


def runs(positions: Sequence[int], n_runs: int) -> list[list[int]]:
    """Cut ``positions`` into runs of about equal length.

    Examples
    --------
    >>> runs([0, 1, 2, 5, 6], 2)
    [[0, 1], [2, 5, 6]]
    """
    edges = [len(positions) * i // n_runs for i in range(n_runs + 1)]
    return [list(positions[a:b]) for a, b in pairwise(edges) if b > a]

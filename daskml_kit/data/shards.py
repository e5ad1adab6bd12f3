"""Assignment of blocks to the workers that read them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np


class Shard(NamedTuple):
    """Blocks that one task reads, and the worker they lie on; any worker may take over."""

    worker: str
    positions: list[int]


def choose_holders(holders: Sequence[Sequence[str]], sizes: Sequence[int]) -> list[str]:
    """Return one of its holders for each block, so that each reads about as much.

    Examples
    --------
    >>> choose_holders([["a", "b"], ["a", "b"], ["a"]], [8, 8, 16])
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


def balance(
    homes: Sequence[str],
    sizes: Sequence[float],
    shares: Mapping[str, float],
    receivers: Collection[str] | None = None,
) -> list[str]:
    """Move as few blocks as it takes, so that the worker that is last to finish a pass finishes early.

    Blocks leave the worker with the most to do for its share, as long as that helps, for the one that would finish
    soonest; those on a worker without a share leave in any case.

    Parameters
    ----------
    homes, sizes : sequences, one entry a block
    shares : mapping
        How much each worker does in a time, in any unit; positive.
    receivers : collection of str, optional
        The workers that may be given blocks; by default all of ``shares``.

    Examples
    --------
    >>> balance(["a", "a", "a", "a"], [1, 1, 1, 1], {"a": 1, "b": 1})
    ['b', 'b', 'a', 'a']
    >>> balance(["a", "a", "b", "b"], [1, 1, 1, 1], {"a": 3, "b": 1})
    ['a', 'a', 'a', 'b']
    """
    placed = list(homes)
    weights = [max(float(size), 1.0) for size in sizes]
    held: dict[str, list[int]] = {worker: [] for worker in [*shares, *homes]}
    for position, home in enumerate(placed):
        held[home].append(position)
    load = {worker: sum(weights[p] for p in positions) for worker, positions in held.items()}
    takers = sorted(shares if receivers is None else receivers)

    def move(position: int) -> bool:
        source = placed[position]
        target = min(takers, key=lambda worker: (load[worker] + weights[position]) / shares[worker])
        stays = load[source] / shares[source] if source in shares else float("inf")
        if target == source or (load[target] + weights[position]) / shares[target] >= stays:
            return False
        held[source].remove(position)
        held[target].append(position)
        load[source] -= weights[position]
        load[target] += weights[position]
        placed[position] = target
        return True

    for position in [p for p, home in enumerate(homes) if home not in shares]:
        move(position)
    while takers:
        last = max(sorted(shares), key=lambda worker: load[worker] / shares[worker])
        if not any(move(position) for position in sorted(held[last], key=lambda p: (-weights[p], p))):
            break
    return placed


def in_runs(homes: Sequence[str], sizes: Sequence[float], shares: Mapping[str, float]) -> list[str]:
    """Return homes where each worker has blocks that follow each other, as many bytes as its share of the work.

    The order of the workers is that of the blocks that they have now.

    Parameters
    ----------
    homes, sizes : sequences, one entry a block
    shares : mapping
        See `balance`.

    Examples
    --------
    >>> in_runs(["a", "b", "a", "b"], [8, 8, 8, 8], {"a": 1, "b": 1})
    ['a', 'a', 'b', 'b']
    """
    places: dict[str, list[int]] = {worker: [] for worker in shares}
    for position, home in enumerate(homes):
        places.setdefault(home, []).append(position)
    workers = sorted(shares, key=lambda worker: (sum(places[worker]) / max(len(places[worker]), 1), worker))
    weights = np.array([max(float(size), 1.0) for size in sizes])
    middles = (np.cumsum(weights) - weights / 2) / weights.sum()
    ends = np.cumsum([shares[worker] for worker in workers])
    return [workers[at] for at in np.searchsorted(ends / ends[-1], middles)]

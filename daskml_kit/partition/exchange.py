"""All-to-all exchange of rows in memory: each worker thread sorts its rows by block, then gathers its share."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from operator import getitem
from typing import Any, NamedTuple, Protocol

import numpy as np
from dask.base import tokenize
from dask.highlevelgraph import HighLevelGraph
from distributed import Client

from daskml_kit.data.align import Rows, check_lengths
from daskml_kit.data.collections import cut, join, take
from daskml_kit.data.shards import choose_holders, runs
from daskml_kit.engines.engine import available_threads
from daskml_kit.typing import Array
from daskml_kit.workers.connection import finish, held_futures

MAX_GROUPS = 128
MAX_PIECES = 8_192
"""Tasks that hand rows from one worker thread to another; with more, fewer and larger groups are made."""


class Partitioner(Protocol):
    """Gives each row a place: a number that no other row has, and by which the rows of the result are sorted.

    ``edges``, of length n_blocks + 1, are the places from which on each block of the result begins.
    """

    @property
    def edges(self) -> Array: ...

    @property
    def lengths(self) -> list[float]:
        """Rows of each block of the result, NaN where it is not known beforehand."""

    def places(self, index: int, start: int, parts: Sequence[Any]) -> Array:
        """Return the places, int64, of the rows of block ``index``, the first of which is row number ``start``."""


class RowSlice(NamedTuple):
    """Rows of one block that go to one group of blocks of the result, sorted by these: ``counts`` go to each."""

    index: int  # type: ignore[assignment]  # as in Block
    places: Array
    counts: Array
    parts: list[Any]


def exchange(rows: Rows, partitioner: Partitioner, client: Client | None) -> tuple[HighLevelGraph, list[list[Any]]]:
    """Return the graph that cuts and orders ``rows`` as ``partitioner`` says, and the keys of each column's blocks.

    Of n worker threads each splits its blocks into n pieces and joins n pieces to its share of the result: about
    n^2 + blocks tasks, whatever the number of blocks.
    """
    shards = _shards(rows, client)
    n_groups = _n_groups(len(shards), len(partitioner.edges) - 1, client)
    groups = runs(range(len(partitioner.edges) - 1), n_groups)
    names = [column.name for column in rows.columns]
    sources = [block for column in rows.columns for block in column.blocks]
    name = f"daskml-exchange-{tokenize(partitioner, [s.key for s in sources], rows.lengths, shards)}"
    layer: dict[Any, Any] = {(name, "partitioner"): partitioner}
    for s, shard in enumerate(shards):
        blocks = [
            [index, rows.starts[index], rows.lengths[index], [c.blocks[index].key for c in rows.columns]]
            for index in shard
        ]
        layer[(name, "split", s)] = (split, (name, "partitioner"), [group[0] for group in groups], names, blocks)
        for g in range(len(groups)):
            layer[(name, "piece", s, g)] = (getitem, (name, "split", s), g)
    for g, group in enumerate(groups):
        pieces = [(name, "piece", s, g) for s in range(len(shards))]
        layer[(name, "group", g)] = (gather, partitioner.edges[group[0] : group[-1] + 2], pieces)
        for position, partition in enumerate(group):
            for c in range(len(names)):
                layer[(name, "pick", partition, c)] = (getitem, (getitem, (name, "group", g), position), c)
    graph = HighLevelGraph.from_collections(name, layer, dependencies=sources)
    return graph, [[(name, "pick", p, c) for p in range(len(partitioner.edges) - 1)] for c in range(len(names))]


def split(
    partitioner: Partitioner, firsts: Sequence[int], names: Sequence[str], blocks: Sequence[Any]
) -> list[list[RowSlice]]:
    """Return for each group of the result, which begin at the blocks ``firsts``, what it gets of the ``blocks``."""
    edges = partitioner.edges
    bounds = [*firsts, len(edges) - 1]
    groups: list[list[RowSlice]] = [[] for _ in firsts]
    for index, start, length, parts in blocks:
        check_lengths(names, parts, index, length)
        places = partitioner.places(index, start, parts)
        target = np.searchsorted(edges, places, side="right") - 1
        order = np.argsort(target.astype(np.min_scalar_type(len(edges))), kind="stable")
        counts = np.bincount(target, minlength=len(edges) - 1)
        ends = np.concatenate([[0], np.cumsum(counts)])
        for group, (first, last) in zip(groups, pairwise(bounds), strict=True):
            taken = order[ends[first] : ends[last]]
            group.append(RowSlice(index, places[taken], counts[first:last], [take(part, taken) for part in parts]))
    return groups


def gather(edges: Array, pieces: Sequence[Sequence[RowSlice]]) -> list[list[Any]]:
    """Return the parts of each block of a group, its rows in the order of their places."""
    inward = sorted((piece for shard in pieces for piece in shard), key=lambda piece: piece.index)
    ends = [np.concatenate([[0], np.cumsum(piece.counts)]) for piece in inward]
    blocks = []
    for number, (first, last) in enumerate(pairwise(edges)):
        spans = [(end[number], end[number + 1]) for end in ends]
        places = np.concatenate([piece.places[a:b] for piece, (a, b) in zip(inward, spans, strict=True)])
        columns = zip(*(piece.parts for piece in inward), strict=True)
        joined = [join([cut(part, a, b) for part, (a, b) in zip(parts, spans, strict=True)]) for parts in columns]
        if len(places) == last - first:  # no place is free: each says where its row goes
            order = np.empty(len(places), np.int64)
            order[places - first] = np.arange(len(places))
            joined = [take(part, order) for part in joined]
        blocks.append(joined)  # else the rows come in the order of their places: by block, and by row
    return blocks


def _shards(rows: Rows, client: Client | None) -> list[list[int]]:
    """Return the blocks that one task splits: those a worker thread holds, else each by its own."""
    positions = range(len(rows.lengths))
    if client is None:
        return runs(positions, available_threads())
    blocks = max(rows.columns, key=lambda column: column.meta.ndim).blocks
    futures = {future.key: future for future in held_futures(blocks)}
    if not all(block.key in futures for block in blocks):
        return [[position] for position in positions]
    finish(list(futures.values()))
    threads = client.nthreads()
    holders = client.who_has([futures[block.key] for block in blocks])
    homes = choose_holders([holders.get(block.key) or sorted(threads) for block in blocks], rows.lengths)
    held = defaultdict(list)
    for position, home in enumerate(homes):
        held[home].append(position)
    return [run for home in sorted(held) for run in runs(held[home], threads.get(home, 1))]


def _n_groups(n_shards: int, n_blocks: int, client: Client | None) -> int:
    threads = available_threads() if client is None else sum(client.nthreads().values())
    return max(min(threads, n_blocks, MAX_GROUPS, MAX_PIECES // n_shards), 1)

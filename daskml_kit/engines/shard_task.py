"""Tasks of a pass on a worker: the answer for the blocks of a shard, and the combination of some answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from distributed import get_worker

from daskml_kit.data.block import Block
from daskml_kit.data.collections import Lazy, Place, size_of
from daskml_kit.engines.block_cache import cache_of_task
from daskml_kit.engines.engine import chunk_of, load
from daskml_kit.engines.relocation import travels_alike
from daskml_kit.engines.runtime import computing
from daskml_kit.reductions.reduction import Node, Reduction, Tree, reduce_nodes


class Recipes:
    """Lazy blocks and the name of their cache in one opaque value: the scheduler does not look into their graphs."""

    def __init__(self, blocks: Sequence[Lazy], cache: str | None) -> None:
        self.blocks, self.cache = blocks, cache


class Places:
    """The places of blocks in one opaque value; their parts lie beside it as flat lists of futures."""

    def __init__(self, places: Sequence[Place]) -> None:
        self.places = places


class Pace(NamedTuple):
    """The bytes of X that a worker's threads read in a pass, and the seconds that took them together."""

    n_bytes: float
    seconds: float

    @property
    def rate(self) -> float:
        """Bytes a second of one thread."""
        return max(self.n_bytes, 1.0) / max(self.seconds, 1e-9)


class Part(NamedTuple):
    """Results of a shard: combined partials, what its worker did for them, and whether its blocks `travels_alike`."""

    nodes: list[Node]
    paces: dict[str, Pace]
    travels: bool


def add_paces(paces: Iterable[Mapping[str, Pace]]) -> dict[str, Pace]:
    """Return what each worker did in all.

    Examples
    --------
    >>> add_paces([{"a": Pace(8, 1.0)}, {"a": Pace(8, 3.0)}])["a"].rate
    4.0
    """
    total: dict[str, Pace] = {}
    for pace in paces:
        for worker, (n_bytes, seconds) in pace.items():
            before = total.get(worker, Pace(0, 0))
            total[worker] = Pace(before.n_bytes + n_bytes, before.seconds + seconds)
    return total


def answer_shard(reduction: Reduction, change: Callable[[Any], Any] | None, n_blocks: int, sources: Any) -> Part:
    """Answer ``reduction`` for one shard, on its worker, one block after another."""
    started = time.perf_counter()
    tree = Tree(reduction, n_blocks)
    n_bytes, travels = 0.0, True
    with computing():
        for loaded in loads_of(sources, change):
            block = loaded()
            n_bytes += 8 * np.prod(block.X.shape) if isinstance(block.X, pd.DataFrame) else size_of(block.X)
            tree.add(Node(0, block.index, chunk_of(reduction, block)))
            travels = travels and travels_alike(block)
            del block
    return Part(tree.nodes(), {get_worker().address: Pace(n_bytes, time.perf_counter() - started)}, travels)


def loads_of(sources: Any, change: Callable[[Any], Any] | None) -> list[Callable[[], Block]]:
    """Return what loads each block of a task's argument, on its worker."""
    if isinstance(sources, Recipes):
        cache = cache_of_task(sources.cache)
        return [partial(load if cache is None else cache.load, recipe, change) for recipe in sources.blocks]
    places, *columns = sources
    return [partial(place.block, parts) for place, *parts in zip(places.places, *columns, strict=True)]


def merge_shards(reduction: Reduction, n_blocks: int, parts: Sequence[Part]) -> Part:
    """Combine the answers of some shards, on a worker."""
    nodes = reduce_nodes(reduction, [node for part in parts for node in part.nodes], n_blocks)
    return Part(nodes, add_paces(part.paces for part in parts), all(part.travels for part in parts))

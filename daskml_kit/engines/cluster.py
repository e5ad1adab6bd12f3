"""The engine that answers on the workers of a Dask cluster, through futures."""

from __future__ import annotations

import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from functools import partial
from itertools import count
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from dask.highlevelgraph import HighLevelGraph, MaterializedLayer
from distributed import Client, Future, futures_of, get_worker

from daskml_kit.data.block import Block
from daskml_kit.data.collections import Lazy, Place, size_of
from daskml_kit.data.shards import Shard, balance, choose_holders, runs
from daskml_kit.engines.block_cache import cache_of_task, close_on_worker, open_on_worker
from daskml_kit.engines.engine import Profile, chunk_of, load
from daskml_kit.engines.runtime import computing
from daskml_kit.reductions.reduction import Node, Reduction, Tree, reduce_nodes
from daskml_kit.workers.connection import gather, settle, wait_for_workers
from daskml_kit.workers.environment import run_on_workers
from daskml_kit.workers.hedging import Hedge, silent_workers

MERGE_WIDTH = 8
SHARD_MEMORY = 0.2
"""A shard's share of its worker's memory, over all the worker's threads."""


class Remote(NamedTuple):
    """A block whose parts are futures, or keys of the engine's graph."""

    X: Any
    y: Future | None
    weight: Future | None
    fold: Future | None
    place: Place


class FuturesEngine(AbstractContextManager["FuturesEngine"]):
    """One task a worker thread a pass, beside the blocks it reads; partials combine in a tree.

    Blocks are read where they lie. Workers that hold none, such as those that join, take a share of them in their
    first pass; how much the passes before have shown each worker to do in a time says how much is moved.

    Parameters
    ----------
    client : distributed.Client
        A synchronous client.
    blocks : sequence of Remote or Lazy
        Futures of persisted data, or blocks that a worker loads anew in each pass.
    graph : HighLevelGraph, optional
        The parts of the blocks are keys of this graph, which the scheduler carries out anew in each pass.
    cache : float, optional
        What a cache of the blocks that a worker loads may take there, see `cache_limit`; by default there is none.
    """

    def __init__(
        self,
        client: Client,
        blocks: Sequence[Remote] | Sequence[Lazy],
        graph: HighLevelGraph | None = None,
        cache: float | None = None,
    ) -> None:
        self.client, self.graph = client, graph
        self.blocks: list[Remote | Lazy] = list(blocks)
        self.n_blocks = len(self.blocks)
        self.change: Callable[[Any], Any] | None = None
        self._shards: list[Shard] = []
        self._sources: list[Any] = []
        self._paces: dict[str, Pace] = {}
        self._threads: Mapping[str, int] = {}
        self._name, self._passes, self._cache = uuid.uuid4().hex, count(), cache
        self._hedge, self._avoided = Hedge(client), set[str]()
        self.profile = Profile(where="on the workers of the cluster")
        self._follow_workers()

    def answer(self, reduction: Reduction) -> list[Any]:
        """Answer ``reduction`` by one pass.

        Raises
        ------
        LostDataError
            Where a block was lost that cannot be computed again, as scattered data cannot.
        """
        self._follow_workers()
        graph, top = self._graph(reduction)
        futures = self.client.get(graph, top, sync=False)
        try:
            parts = gather(self.client, futures, self._sources, self._hedge)
        except BaseException:
            if self.client.status == "running":
                self._hedge.release()
                self.client.cancel(futures)
            raise
        for future in futures:
            future.release()  # what a silent worker was to do, too
        self._adopt({key: future for key, future in self._hedge.stand_ins.items() if future.status == "finished"})
        nodes = reduce_nodes(reduction, [node for part in parts for node in part.nodes], self.n_blocks)
        self._paces = add_paces(part.paces for part in parts)
        self.profile.add(sum(pace.seconds for pace in self._paces.values()), len(graph) - len(self.graph or ()))
        return reduction.finalize(nodes[0].partial)

    def _graph(self, reduction: Reduction) -> tuple[HighLevelGraph, list[Any]]:
        """Return the tasks of a pass, which are sent as one message, and those of them that are gathered."""
        name = f"daskml-{type(reduction).__name__.lower()}-{self._name}-{next(self._passes)}"
        answer = partial(answer_shard, reduction, self.change, self.n_blocks)
        tasks = {(name, number): (answer, sources) for number, sources in enumerate(self._sources)}
        workers = {key: [shard.worker] for key, shard in zip(tasks, self._shards, strict=True)}
        placed = None if self.graph else {"workers": workers.__getitem__, "allow_other_workers": True}
        layers = {name: MaterializedLayer(tasks, annotations=placed)}
        merge, top = partial(merge_shards, reduction, self.n_blocks), list(tasks)
        merges: dict[tuple[str, int], Any] = {}
        while len(top) > MERGE_WIDTH:
            groups = [top[i : i + MERGE_WIDTH] for i in range(0, len(top), MERGE_WIDTH)]
            top = [(f"{name}-merge", len(merges) + i) for i in range(len(groups))]
            merges.update({key: (merge, group) for key, group in zip(top, groups, strict=True)})
        if merges:
            layers[f"{name}-merge"] = MaterializedLayer(merges)
        dependencies = {layer: {name} - {layer} for layer in layers}
        if self.graph:
            dependencies[name] = set(self.graph.layers)
            layers, dependencies = {**self.graph.layers, **layers}, {**self.graph.dependencies, **dependencies}
        return HighLevelGraph(layers, dependencies), top

    def homes(self) -> list[str]:
        """Return for each block a worker that holds it, or is to load it, and is not silent."""
        self._avoid(silent_workers(self.client))
        self._follow_workers()
        return self._homes()[0]

    def sources(self, positions: Sequence[int]) -> Any:
        """Return some blocks as an argument of a task, which `loads_of` takes."""
        blocks = [self.blocks[position] for position in positions]
        recipes = [block for block in blocks if isinstance(block, Lazy)]
        if recipes:
            return Recipes(recipes, self._name if self._cache else None)
        return [
            Places([block.place for block in blocks]),
            *([*column] for column in zip(*(block[:4] for block in blocks), strict=True)),
        ]

    def relabel(self, change: Callable[[Any], Any]) -> None:
        if any(isinstance(block, Lazy) for block in self.blocks):
            self.change = change
            return
        worker = {position: shard.worker for shard in self._shards for position in shard.positions}
        self.blocks = [
            block._replace(y=self._submit(change, block.y, worker=worker[position]))
            for position, block in enumerate(self.blocks)
            if isinstance(block, Remote)
        ]
        self._collect()

    def __exit__(self, *details: object) -> None:
        self.profile.stop()
        if self._cache:
            with suppress(OSError):  # where the cluster is gone, so are its files
                run_on_workers(self.client, close_on_worker, self._name)

    def _submit(self, function: Callable[..., Any], *args: Any, worker: str, key: str | None = None) -> Future:
        return self.client.submit(function, *args, key=key, pure=False, workers=[worker], allow_other_workers=True)

    def _follow_workers(self) -> None:
        """Share the blocks out anew where workers joined, left, fell silent or are back since the last pass."""
        threads = wait_for_workers(self.client)
        if self._hedge.silent or not self._threads:
            self._avoid(silent_workers(self.client))
        threads = {worker: n_threads for worker, n_threads in threads.items() if worker not in self._avoided}
        if threads != self._threads:
            joined = [worker for worker in threads if worker not in self._threads]
            if self._cache and joined:
                run_on_workers(self.client, open_on_worker, self._name, self._cache, workers=joined)
            self._threads = threads
            self.profile.n_threads = sum(threads.values())
            self._plan()

    def _avoid(self, silent: Mapping[str, float]) -> None:
        """Give silent workers no blocks, and let others compute those that nobody else has."""
        if self._avoided != silent.keys():
            self._avoided = set(silent)
            self._hedge.look(futures_of([tuple(block) for block in self.blocks if isinstance(block, Remote)]))
            started = dict(self._hedge.stand_ins)
            settled = settle(self.client, list(started.values()))
            self._adopt({key: settled[future.key] for key, future in started.items()})

    def _adopt(self, stand_ins: Mapping[Any, Future]) -> None:
        """Read from now on the blocks that were computed again in place of those of silent workers."""
        for position, block in enumerate(self.blocks):
            if stand_ins and isinstance(block, Remote) and not self.graph:
                X, y, weight, fold = (part and stand_ins.get(part.key, part) for part in block[:4])
                self.blocks[position] = Remote(X, y, weight, fold, block.place)
        self._hedge.stand_ins.clear()

    def _plan(self) -> None:
        """Share the blocks out: those a worker holds in runs for its threads, no run above its share of memory."""
        workers = self.client.scheduler_info(n_workers=-1)["workers"]
        limits = {address: worker["memory_limit"] for address, worker in workers.items()}
        homes, sizes = self._homes()
        held = defaultdict(list)
        for position, home in enumerate(homes):
            held[home].append(position)
        self._shards = []
        for home, positions in held.items():
            n_threads = self._threads.get(home, 1)
            total = sum(sizes[p] for p in positions)
            share = SHARD_MEMORY * limits.get(home, 0) / n_threads
            wanted = len(positions) if self.graph else max(n_threads, int(-(-total // share)) if share else 1)
            n_shards = min(len(positions), wanted)
            self._shards += [Shard(home, run) for run in runs(positions, n_shards)]
        self._shards.sort(key=lambda shard: shard.positions[0])
        self._collect()

    def _homes(self) -> tuple[list[str], list[int]]:
        workers = sorted(self._threads)
        if self.graph or isinstance(self.blocks[0], Lazy):
            return [workers[p * len(workers) // self.n_blocks] for p in range(self.n_blocks)], [0] * self.n_blocks
        futures = [block.X for block in self.blocks if isinstance(block, Remote)]
        holders: Mapping[Any, Sequence[str]] = self.client.who_has(futures)
        sizes = self.client.nbytes([future.key for future in futures], summary=False)
        read = [sizes.get(future.key, 0) for future in futures]
        live = [[worker for worker in holders.get(future.key, ()) if worker in self._threads] for future in futures]
        homes = choose_holders([held or workers for held in live], read)
        idle = set(workers).difference(homes)
        return balance(homes, read, self._shares(), idle) if idle else homes, read

    def _shares(self) -> dict[str, float]:
        """Return how much each worker does in a time, those not seen yet as much a thread as the others' median."""
        seen = {worker: pace.rate for worker, pace in self._paces.items() if worker in self._threads}
        typical = float(np.median(list(seen.values()))) if seen else 1.0
        return {worker: n_threads * seen.get(worker, typical) for worker, n_threads in self._threads.items()}

    def _collect(self) -> None:
        """Gather what each shard's task takes: futures as flat lists, or one future of the recipes."""
        self._sources = []
        for shard in self._shards:
            sources = self.sources(shard.positions)
            lazy = isinstance(sources, Recipes)
            self._sources.append(self._submit(_hold, sources, worker=shard.worker) if lazy else sources)


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
    """Results of a shard: combined partials, and what its worker did for them."""

    nodes: list[Node]
    paces: dict[str, Pace]


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
    n_bytes = 0.0
    with computing():
        for loaded in loads_of(sources, change):
            block = loaded()
            n_bytes += 8 * np.prod(block.X.shape) if isinstance(block.X, pd.DataFrame) else size_of(block.X)
            tree.add(Node(0, block.index, chunk_of(reduction, block)))
            del block
    return Part(tree.nodes(), {get_worker().address: Pace(n_bytes, time.perf_counter() - started)})


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
    return Part(nodes, add_paces(part.paces for part in parts))


def _hold(recipes: Recipes) -> Recipes:
    return recipes

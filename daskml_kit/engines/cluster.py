"""The engine that answers on the workers of a Dask cluster, through futures."""

from __future__ import annotations

import logging
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from functools import partial
from itertools import count
from typing import Any, NamedTuple, cast

import numpy as np
from dask.highlevelgraph import HighLevelGraph, MaterializedLayer
from distributed import Client, Future, futures_of

from daskml_kit.data.block import Block
from daskml_kit.data.collections import Lazy, Place, fits, size_of, workers_of
from daskml_kit.data.shards import Shard, balance, choose_holders, in_runs, runs
from daskml_kit.engines.block_cache import close_on_worker, open_on_worker
from daskml_kit.engines.engine import LocalEngine, Profile, counts_of_places
from daskml_kit.engines.relocation import Fetching, Scattered, count_nodes
from daskml_kit.engines.shard_task import Pace, Part, Places, Recipes, add_paces, answer_shard, merge_shards
from daskml_kit.reductions.picked_rows import RowCounts
from daskml_kit.reductions.reduction import Reduction, reduce_nodes
from daskml_kit.workers.connection import gather, release, settle, wait_for_workers
from daskml_kit.workers.environment import run_on_workers
from daskml_kit.workers.hedging import Hedge

logger = logging.getLogger(__name__)
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
    first pass; how much the passes before have shown each worker to do in a time says how much is moved. Where passes
    cost more than to move the blocks, these are moved: beside their neighbors in the tree, so that fewer partial
    answers are sent, or to this process.

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
    fetching : Fetching, optional
        When to fetch the blocks, which are futures; by default never.
    own : sequence of Future
        Released when the engine closes.
    """

    def __init__(
        self,
        client: Client,
        blocks: Sequence[Remote] | Sequence[Lazy],
        graph: HighLevelGraph | None = None,
        cache: float | None = None,
        fetching: Fetching | None = None,
        own: Sequence[Future] = (),
    ) -> None:
        self.client, self.graph, self._own = client, graph, own
        self.blocks: list[Remote | Lazy] = list(blocks)
        self.n_blocks = len(self.blocks)
        self.change: Callable[[Any], Any] | None = None
        self._shards: list[Shard] = []
        self._sources: list[Any] = []
        self._paces: dict[str, Pace] = {}
        self._threads: Mapping[str, int] = {}
        self._name, self._passes, self._cache = uuid.uuid4().hex, count(), cache
        self._hedge, self._avoided = Hedge(client), set[str]()
        self._fetching, self._fetched = fetching, cast(LocalEngine | None, None)
        self._scattered = Scattered()
        self.profile = Profile(where="on the workers of the cluster")
        self._follow_workers()

    @property
    def streams(self) -> bool:
        return self.graph is not None or any(isinstance(block, Lazy) for block in self.blocks)

    @property
    def row_counts(self) -> RowCounts | None:
        return counts_of_places([block.place for block in self.blocks], self.n_blocks)

    def answer(self, reduction: Reduction) -> list[Any]:
        """Answer ``reduction`` by one pass.

        Raises
        ------
        LostDataError
            Where a block was lost that cannot be computed again, as scattered data cannot.
        """
        if self._fetching is not None and self._fetching.pays:
            self._fetch(self._fetching)
        if self._fetched is not None:
            return self._fetched.answer(reduction)
        started = time.perf_counter()
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
        computing = sum(pace.seconds for pace in self._paces.values())
        self.profile.add(computing, len(graph) - len(self.graph or ()))
        self._consider_moves(parts, time.perf_counter() - started, computing)
        return reduction.finalize(nodes[0].partial)

    def _consider_moves(self, parts: Sequence[Part], seconds: float, computing: float) -> None:
        """Count what a pass has cost, and share the blocks out in runs where that will have cost less."""
        if not all(part.travels for part in parts):
            self._fetching = None
            return
        if self._fetching is not None:
            self._fetching.count(seconds, computing)
        self._scattered = self._scattered.after(parts[0].nodes[0].partial)
        if self._scattered.pays and fits(self.client, self._scattered.to_move):
            self._scattered = self._scattered._replace(in_runs=True)
            self._plan()

    def _fetch(self, fetching: Fetching) -> None:
        """Fetch the blocks for all passes to come, unless the first of them comes too slowly."""
        started = time.perf_counter()
        blocks = self._load(self.blocks[:1])
        fetching.measure(size_of(blocks[0].X), time.perf_counter() - started)
        if fetching.pays:
            blocks += self._load(self.blocks[1:])
            self._fetching, self._fetched = None, LocalEngine(blocks, fetching.n_threads)
            self.profile.where += f" at first, {fetching.told(self.profile.passes)}"
            self.profile.n_threads, self._fetched.profile = self._fetched.profile.n_threads, self.profile
            logger.info("fitted %s", self.profile.where)

    def _load(self, blocks: Sequence[Remote | Lazy]) -> list[Block]:
        futures = [part for block in blocks if isinstance(block, Remote) for part in block[:4] if part is not None]
        found = iter(gather(self.client, futures, self._sources, self._hedge))
        own = [
            (block.place, [part and next(found) for part in block[:4]]) for block in blocks if isinstance(block, Remote)
        ]
        return [place.block(parts) for place, parts in own]

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
        self._avoid(self._hedge.find_silent())
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
        if self._fetched is not None:
            self._fetched.relabel(change)
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
        if self._fetched is not None:
            self._fetched.__exit__(*details)
        if self._cache:
            with suppress(OSError):  # where the cluster is gone, so are its files
                run_on_workers(self.client, close_on_worker, self._name)
        release(self._own)

    def _submit(self, function: Callable[..., Any], *args: Any, worker: str, key: str | None = None) -> Future:
        return self.client.submit(function, *args, key=key, pure=False, workers=[worker], allow_other_workers=True)

    def _follow_workers(self) -> None:
        """Share the blocks out anew where workers joined, left, fell silent or are back since the last pass."""
        threads = wait_for_workers(self.client)
        if self._hedge.silent or not self._threads:
            self._avoid(self._hedge.find_silent())
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
        homes, sizes = self._homes()
        workers = workers_of(self.client)
        limits = {address: worker["memory_limit"] for address, worker in workers.items()}
        self._shards = self._shards_of(homes, sizes, limits)
        if not (self.graph or isinstance(self.blocks[0], Lazy)):
            ordered = in_runs(homes, sizes, self._shares())
            excess = count_nodes(self._shards, self.n_blocks)
            excess -= count_nodes(self._shards_of(ordered, sizes, limits), self.n_blocks)
            to_move = sum(size for size, *pair in zip(sizes, homes, ordered, strict=True) if pair[0] != pair[1])
            self._scattered = self._scattered._replace(excess=excess, to_move=to_move)
        self._collect()

    def _shards_of(self, homes: Sequence[str], sizes: Sequence[int], limits: Mapping[str, int]) -> list[Shard]:
        held, shards = defaultdict(list), list[Shard]()
        for position, home in enumerate(homes):
            held[home].append(position)
        for home, positions in held.items():
            n_threads = self._threads.get(home, 1)
            total = sum(sizes[p] for p in positions)
            share = SHARD_MEMORY * limits.get(home, 0) / n_threads
            wanted = len(positions) if self.graph else max(n_threads, int(-(-total // share)) if share else 1)
            n_shards = min(len(positions), wanted)
            shards += [Shard(home, run) for run in runs(positions, n_shards)]
        return sorted(shards, key=lambda shard: shard.positions[0])

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
        if self._scattered.in_runs:
            return in_runs(homes, read, self._shares()), read
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


def _hold(recipes: Recipes) -> Recipes:
    return recipes

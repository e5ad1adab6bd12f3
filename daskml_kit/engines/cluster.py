"""The engine that answers on the workers of a Dask cluster, through futures."""

from __future__ import annotations

import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from distributed import CancelledError, Client, Future, get_worker

from daskml_kit.data.block import Block, as_block
from daskml_kit.data.collections import Lazy
from daskml_kit.data.memory import size_of
from daskml_kit.data.shards import Shard, balance, choose_holders, runs
from daskml_kit.engines.engine import load
from daskml_kit.engines.profile import Profile
from daskml_kit.engines.runtime import computing
from daskml_kit.exceptions import LostDataError
from daskml_kit.reductions.reduction import Node, Reduction, reduce_nodes

MERGE_WIDTH = 8
SHARD_MEMORY = 0.2
"""A shard's share of its worker's memory, over all the worker's threads."""


class Remote(NamedTuple):
    """A block whose parts are futures."""

    X: Future
    y: Future | None
    weight: Future | None
    fold: Future | None
    index: int  # type: ignore[assignment]  # as in Block
    n_features: int


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
    """

    def __init__(self, client: Client, blocks: Sequence[Remote] | Sequence[Lazy]) -> None:
        self.client = client
        self.blocks: list[Remote | Lazy] = list(blocks)
        self.n_blocks = len(self.blocks)
        self.change: Callable[[Any], Any] | None = None
        self._shards: list[Shard] = []
        self._sources: list[Any] = []
        self._paces: dict[str, Pace] = {}
        self._threads: Mapping[str, int] = {}
        self.profile = Profile()
        self._follow_workers()

    def answer(self, reduction: Reduction) -> list[Any]:
        """Answer ``reduction`` by one pass.

        Raises
        ------
        LostDataError
            Where a block was lost that cannot be computed again, as scattered data cannot.
        """
        self._follow_workers()
        name = f"daskml-{type(reduction).__name__.lower()}-{uuid.uuid4().hex}"
        futures: list[Future] = []
        try:
            for number, (shard, sources) in enumerate(zip(self._shards, self._sources, strict=True)):
                futures.append(
                    self._submit(
                        answer_shard,
                        reduction,
                        sources,
                        self.change,
                        self.n_blocks,
                        key=f"{name}-{number}",
                        worker=shard.worker,
                    )
                )
            n_tasks = len(futures)
            top = futures
            while len(top) > MERGE_WIDTH:
                groups = [top[i : i + MERGE_WIDTH] for i in range(0, len(top), MERGE_WIDTH)]
                top = [
                    self.client.submit(merge_shards, reduction, group, self.n_blocks, pure=False) for group in groups
                ]
                futures += top
                n_tasks += len(top)
            parts = self.client.gather(top)
        except CancelledError as error:
            raise LostDataError(
                "a block of the data was lost with its worker and cannot be computed again: persist data, or read it "
                "from storage; data that was scattered has no recipe"
            ) from error
        except BaseException:
            self.client.cancel(futures)
            raise
        nodes = reduce_nodes(reduction, [node for part in parts for node in part.nodes], self.n_blocks)
        self._paces = add_paces(part.paces for part in parts)
        self.profile.add(sum(pace.seconds for pace in self._paces.values()), n_tasks)
        return reduction.finalize(nodes[0].partial)

    def homes(self) -> list[str]:
        """Return for each block a worker that holds it, or is to load it."""
        return self._homes()[0]

    def sources(self, positions: Sequence[int]) -> Any:
        """Return some blocks as an argument of a task, which `loads_of` takes."""
        blocks = [self.blocks[position] for position in positions]
        recipes = [block for block in blocks if isinstance(block, Lazy)]
        return Recipes(recipes) if recipes else [tuple(block) for block in blocks]

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

    def _submit(self, function: Callable[..., Any], *args: Any, worker: str, key: str | None = None) -> Future:
        return self.client.submit(function, *args, key=key, pure=False, workers=[worker], allow_other_workers=True)

    def _follow_workers(self) -> None:
        """Share the blocks out anew where workers joined or left since the last pass."""
        threads = self.client.nthreads()
        if threads != self._threads:
            self._threads = threads
            self.profile.n_threads = sum(threads.values())
            self._plan()

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
            n_shards = min(len(positions), max(n_threads, int(-(-total // share)) if share else 1))
            self._shards += [Shard(home, run) for run in runs(positions, n_shards)]
        self._shards.sort(key=lambda shard: shard.positions[0])
        self._collect()

    def _homes(self) -> tuple[list[str], list[int]]:
        workers = sorted(self._threads)
        if isinstance(self.blocks[0], Lazy):
            return [workers[p * len(workers) // self.n_blocks] for p in range(self.n_blocks)], [0] * self.n_blocks
        futures = [block.X for block in self.blocks if isinstance(block, Remote)]
        holders: Mapping[Any, Sequence[str]] = self.client.who_has(futures)
        sizes = self.client.nbytes([future.key for future in futures], summary=False)
        read = [sizes.get(future.key, 0) for future in futures]
        homes = choose_holders([holders.get(future.key) or workers for future in futures], read)
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
    """Lazy blocks in one opaque value, so that the scheduler does not look into their graphs."""

    def __init__(self, blocks: Sequence[Lazy]) -> None:
        self.blocks = blocks


class Pace(NamedTuple):
    """The bytes of X that a worker's threads read in a pass, and the seconds that took them together."""

    n_bytes: float
    seconds: float

    @property
    def rate(self) -> float:
        """Bytes a second of one thread."""
        return max(self.n_bytes, 1.0) / max(self.seconds, 1e-9)


class Part(NamedTuple):
    """What a shard answers: combined partials, and what its worker did for them."""

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


def answer_shard(reduction: Reduction, sources: Any, change: Callable[[Any], Any] | None, n_blocks: int) -> Part:
    """Answer ``reduction`` for one shard, on its worker, one block after another."""
    started = time.perf_counter()
    nodes: list[Node] = []
    n_bytes = 0.0
    with computing():
        for loaded in loads_of(sources, change):
            block = loaded()
            n_bytes += size_of(block.X)
            nodes = reduce_nodes(reduction, [*nodes, Node(0, block.index, reduction.chunk(block))], n_blocks)
            del block
    return Part(nodes, {get_worker().address: Pace(n_bytes, time.perf_counter() - started)})


def loads_of(sources: Any, change: Callable[[Any], Any] | None) -> list[Callable[[], Block]]:
    """Return what loads each block of a task's argument, on its worker."""
    if isinstance(sources, Recipes):
        return [partial(load, recipe, change) for recipe in sources.blocks]
    return [partial(_assemble, *source) for source in sources]


def merge_shards(reduction: Reduction, parts: Sequence[Part], n_blocks: int) -> Part:
    """Combine the answers of some shards, on a worker."""
    nodes = reduce_nodes(reduction, [node for part in parts for node in part.nodes], n_blocks)
    return Part(nodes, add_paces(part.paces for part in parts))


def _hold(recipes: Recipes) -> Recipes:
    return recipes


def _assemble(X: Any, y: Any, weight: Any, fold: Any, index: int, n_features: int) -> Block:
    return as_block(X, y, weight, fold, index=index, n_features=n_features)

"""The engine that answers on the workers of a Dask cluster, through futures."""

from __future__ import annotations

import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from distributed import CancelledError, Client, Future

from daskml_kit.block import Block, as_block
from daskml_kit.engines.blas import one_blas_thread
from daskml_kit.engines.blocks import Lazy
from daskml_kit.engines.engine import load
from daskml_kit.engines.profile import Profile
from daskml_kit.engines.shards import Shard, place, runs
from daskml_kit.errors import LostDataError
from daskml_kit.queries.query import Node, Query, reduce_nodes

MERGE_WIDTH = 8
SHARD_MEMORY = 0.2
"""A shard's share of its worker's memory, over all the worker's threads."""


class Remote(NamedTuple):
    """A block whose parts are futures."""

    X: Future
    y: Future | None
    weight: Future | None
    index: int  # type: ignore[assignment]  # as in Block
    n_features: int


class FuturesEngine(AbstractContextManager["FuturesEngine"]):
    """One task a worker thread a pass, beside the blocks it reads; partials combine in a tree.

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
        self._change: Callable[[Any], Any] | None = None
        self._shards: list[Shard] = []
        self._sources: list[Any] = []
        self._plan()
        self.profile = Profile(n_threads=sum(client.nthreads().values()))

    def answer(self, query: Query) -> list[Any]:
        """Answer ``query`` by one pass.

        Raises
        ------
        LostDataError
            Where a block was lost that cannot be computed again, as scattered data cannot.
        """
        name = f"daskml-{type(query).__name__.lower()}-{uuid.uuid4().hex}"
        futures: list[Future] = []
        try:
            for number, (shard, sources) in enumerate(zip(self._shards, self._sources, strict=True)):
                futures.append(
                    self._submit(
                        answer_shard,
                        query,
                        sources,
                        self._change,
                        self.n_blocks,
                        key=f"{name}-{number}",
                        worker=shard.worker,
                    )
                )
            n_tasks = len(futures)
            top = futures
            while len(top) > MERGE_WIDTH:
                groups = [top[i : i + MERGE_WIDTH] for i in range(0, len(top), MERGE_WIDTH)]
                top = [self.client.submit(merge_shards, query, group, self.n_blocks, pure=False) for group in groups]
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
        nodes = reduce_nodes(query, [node for part in parts for node in part.nodes], self.n_blocks)
        self.profile.add(sum(part.seconds for part in parts), n_tasks)
        return query.split(nodes[0].partial)

    def relabel(self, change: Callable[[Any], Any]) -> None:
        if any(isinstance(block, Lazy) for block in self.blocks):
            self._change = change
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

    def _plan(self) -> None:
        """Share the blocks out: those a worker holds in runs for its threads, no run above its share of memory."""
        threads = self.client.nthreads()
        limits = {
            address: worker["memory_limit"] for address, worker in self.client.scheduler_info()["workers"].items()
        }
        homes, sizes = self._homes(sorted(threads))
        held = defaultdict(list)
        for position, home in enumerate(homes):
            held[home].append(position)
        self._shards = []
        for home, positions in held.items():
            n_threads = threads.get(home, 1)
            total = sum(sizes[p] for p in positions)
            share = SHARD_MEMORY * limits.get(home, 0) / n_threads
            n_shards = min(len(positions), max(n_threads, int(-(-total // share)) if share else 1))
            self._shards += [Shard(home, run) for run in runs(positions, n_shards)]
        self._shards.sort(key=lambda shard: shard.positions[0])
        self._collect()

    def _homes(self, workers: Sequence[str]) -> tuple[list[str], list[int]]:
        if isinstance(self.blocks[0], Lazy):
            return [workers[p * len(workers) // self.n_blocks] for p in range(self.n_blocks)], [0] * self.n_blocks
        futures = [block.X for block in self.blocks if isinstance(block, Remote)]
        holders: Mapping[Any, Sequence[str]] = self.client.who_has(futures)
        sizes = self.client.nbytes([future.key for future in futures], summary=False)
        read = [sizes.get(future.key, 0) for future in futures]
        return place([holders.get(future.key) or workers for future in futures], read), read

    def _collect(self) -> None:
        """Gather what each shard's task takes: futures as flat lists, or one future of the recipes."""
        self._sources = []
        for shard in self._shards:
            blocks = [self.blocks[p] for p in shard.positions]
            recipes = [block for block in blocks if isinstance(block, Lazy)]
            if recipes:
                self._sources.append(self._submit(_hold, Recipes(recipes), worker=shard.worker))
            else:
                self._sources.append([tuple(block) for block in blocks])


class Recipes:
    """Lazy blocks in one opaque value, so that the scheduler does not look into their graphs."""

    def __init__(self, blocks: Sequence[Lazy]) -> None:
        self.blocks = blocks


class Part(NamedTuple):
    """What a shard answers: combined partials, and the seconds they took."""

    nodes: list[Node]
    seconds: float


def answer_shard(query: Query, sources: Any, change: Callable[[Any], Any] | None, n_blocks: int) -> Part:
    """Answer ``query`` for one shard, on its worker, one block after another."""
    started = time.perf_counter()
    blocks = sources.blocks if isinstance(sources, Recipes) else sources
    nodes: list[Node] = []
    with one_blas_thread():
        for source in blocks:
            block = load(source, change) if isinstance(source, Lazy) else _assemble(*source)
            nodes = reduce_nodes(query, [*nodes, Node(0, block.index, query.chunk(block))], n_blocks)
            del block
    return Part(nodes, time.perf_counter() - started)


def merge_shards(query: Query, parts: Sequence[Part], n_blocks: int) -> Part:
    """Combine the answers of some shards, on a worker."""
    nodes = reduce_nodes(query, [node for part in parts for node in part.nodes], n_blocks)
    return Part(nodes, sum(part.seconds for part in parts))


def _hold(recipes: Recipes) -> Recipes:
    return recipes


def _assemble(X: Any, y: Any, weight: Any, index: int, n_features: int) -> Block:
    return as_block(X, y, weight, index=index, n_features=n_features)

"""Half-steps of alternating least squares on the workers of a cluster, which exchange the factors they need."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any, NamedTuple

import dask
import dask.array as da
import numpy as np
from dask.highlevelgraph import HighLevelGraph, MaterializedLayer
from distributed import Client, Future

from daskml_kit.data.align import align_rows
from daskml_kit.data.collections import n_rows
from daskml_kit.engines.engine import Profile
from daskml_kit.engines.runtime import computing
from daskml_kit.numerics.factor_rows import RatingRows, RidgeSetting
from daskml_kit.partition.keys import ROW_BITS
from daskml_kit.partition.shuffle import shuffle
from daskml_kit.recommendation.alternation import HalfStep, SolvedShard, cut_rows, gram_of, solve_shard
from daskml_kit.recommendation.rating_tables import (
    OTHER,
    SIDES,
    CodedRatings,
    Feedback,
    IdCounts,
    RatingTotals,
    Side,
    find_codes,
    shard_edges,
    table_of,
)
from daskml_kit.typing import Array
from daskml_kit.workers.connection import gather, settle
from daskml_kit.workers.hedging import Hedge

MOST_PICKED = 0.5
"""Share of another shard's rows above which all of them are sent: once to a worker, rather than to each task."""


class Needed(NamedTuple):
    """Ratings of a shard, and the factors that it needs of the other side.

    ``picks`` has for each shard of that side the rows needed, None for all of them.
    """

    rows: RatingRows
    picks: list[Array | None]


@dataclass(frozen=True)
class CodePartitioner:
    """Partitioner of coded ratings into ranges of the codes of one column, each with known numbers of ratings."""

    column: int
    bounds: tuple[int, ...]
    counted: tuple[int, ...]

    @property
    def edges(self) -> Array:
        return np.arange(len(self.bounds)) << ROW_BITS

    @property
    def lengths(self) -> list[float]:
        return list(self.counted)

    def places(self, index: int, start: int, parts: Sequence[Any]) -> Array:
        targets = np.searchsorted(self.bounds, parts[0][:, self.column], side="right") - 1
        return np.asarray((targets << ROW_BITS) | np.arange(start, start + n_rows(parts[0])))


class RemoteAlternation(AbstractContextManager["RemoteAlternation"]):
    """Half-steps on workers: a task a shard, that receives factors from the tasks of the half-step before.

    Parameters
    ----------
    client : distributed.Client
    blocks : sequence of Future
        Of `CodedRatings`.
    totals : RatingTotals
        With sorted ids.
    feedback : Feedback
    """

    def __init__(self, client: Client, blocks: Sequence[Future], totals: RatingTotals, feedback: Feedback) -> None:
        self.client, self._hedge = client, Hedge(client)
        self.profile = Profile(where="on the workers of the cluster", n_threads=sum(client.nthreads().values()))
        self.edges = {side: shard_edges(getattr(totals, side).counts) for side in SIDES}
        self._name, self._steps = uuid.uuid4().hex, count()
        self._shards = self._partition(blocks, totals, feedback)
        self._picked: dict[Side, list[list[str]]] = {}
        for side in SIDES:
            summaries = client.map(_summary, self._shards[side], pure=False)
            self._picked[side] = gather(client, summaries, self._shards[side], self._hedge)

    def place(self, side: Side, factors: Array) -> list[Future]:
        return [self.client.submit(_given, part, pure=False) for part in cut_rows(factors, self.edges[side])]

    def solve(
        self, side: Side, other: Sequence[Future], start: Sequence[Future] | None, ridge: RidgeSetting
    ) -> HalfStep:
        name = f"daskml-als-{side}-{self._name}-{next(self._steps)}"
        sources = [self._live(shard) for shard in other]
        tasks: dict[Any, Any] = {}
        gram = None
        if ridge.gram is not None:
            tasks = {(f"{name}-gram", q): (_gram, source) for q, source in enumerate(sources)}
            gram = f"{name}-gram-sum"
            tasks[gram] = (sum, list(tasks))
        solved = [(f"{name}-solve", p) for p in range(len(self._shards[side]))]
        for p, key in enumerate(solved):
            shard = self._live(self._shards[side][p])
            pieces: list[Any] = []
            for q, picked in enumerate(self._picked[side][p]):
                if picked == "some":
                    tasks[f"{name}-pick", p, q] = (partial(_pick, q), shard, sources[q])
                    pieces.append((f"{name}-pick", p, q))
                elif picked == "all":
                    pieces.append(sources[q])
            tasks[key] = (partial(_solve, ridge), shard, pieces, gram, None if start is None else self._live(start[p]))
            tasks[f"{name}-sums", p] = (_sums, key)
        return self._run(name, tasks, solved)

    def fetch(self, factors: Sequence[Future]) -> Array:
        shards = gather(self.client, [self._live(shard) for shard in factors], (), self._hedge)
        return np.concatenate([shard.factors for shard in shards])

    def __exit__(self, *details: object) -> None:
        self.profile.stop()
        if self.client.status == "running":
            self._hedge.release()

    def _run(self, name: str, tasks: dict[Any, Any], solved: list[Any]) -> HalfStep:
        sums = [(f"{name}-sums", p) for p in range(len(solved))]
        graph = HighLevelGraph({name: MaterializedLayer(tasks)}, {name: set()})
        futures = self.client.get(graph, [*solved, *sums], sync=False)
        factors, found = futures[: len(solved)], futures[len(solved) :]
        try:
            values = gather(self.client, found, factors, self._hedge)
        except BaseException:
            if self.client.status == "running":
                self._hedge.release()
                self.client.cancel(futures)
            raise
        self.profile.add(sum(seconds for *_, seconds in values), len(tasks))
        return HalfStep(factors, sum(loss for loss, _, _ in values), sum(penalty for _, penalty, _ in values))

    def _live(self, shard: Future) -> Future:
        """Return the stand-in of what only a silent worker has."""
        return self._hedge.stand_ins.get(shard.key, shard)

    def _partition(
        self, blocks: Sequence[Future], totals: RatingTotals, feedback: Feedback
    ) -> dict[Side, list[Future]]:
        """Bring the ratings of each shard together, coded by the ids of all blocks, and hold them on the workers."""
        ids = [dask.delayed(getattr(totals, side).values, pure=True) for side in SIDES]
        dtype = np.dtype(np.float32 if totals.single else np.float64)
        encode, ratings_of = dask.delayed(_encode, pure=True), dask.delayed(_ratings, pure=True)
        lengths = gather(self.client, self.client.map(_length, blocks, pure=False), blocks, self._hedge)
        pairs, ratings = [], []
        for block, length in zip(blocks, lengths, strict=True):
            pairs.append(da.from_delayed(encode(block, *ids), (length, 2), np.int32))
            ratings.append(da.from_delayed(ratings_of(block, dtype), (length,), dtype))
        whole = align_rows({"pairs": da.concatenate(pairs), "ratings": da.concatenate(ratings)})
        build, shards = dask.delayed(_build, pure=True), {}
        for column, side in enumerate(SIDES):
            own, other = self.edges[side], self.edges[OTHER[side]]
            counts: IdCounts = getattr(totals, side)
            sizes = np.add.reduceat(counts.counts, own[:-1])
            moved = shuffle(whole, CodePartitioner(column, tuple(own.tolist()), tuple(sizes.tolist())))
            columns = zip(*(np.ravel(part.to_delayed(optimize_graph=False)) for part in moved), strict=True)
            shards[side] = [build(*part, column, own[p : p + 2], other, feedback) for p, part in enumerate(columns)]
        started = self.client.persist([shard for side in SIDES for shard in shards[side]])
        futures = {block.key: future for block in started for future in block.dask.values()}
        settled = settle(self.client, list(futures.values()))
        return {side: [settled[shard.key] for shard in shards[side]] for side in SIDES}


def _length(block: CodedRatings) -> int:
    return len(block.ratings)


def _encode(block: CodedRatings, users: Any, items: Any) -> Array:
    """Return the codes of a block by the ids of all blocks, of shape (n, 2)."""
    sides = zip((users, items), (block.users, block.items), strict=True)
    return np.column_stack([find_codes(ids, own.values).astype(np.int32)[own.codes] for ids, own in sides])


def _ratings(block: CodedRatings, dtype: np.dtype[Any]) -> Array:
    return block.ratings.astype(dtype, copy=False)


def _build(pairs: Array, ratings: Array, column: int, own: Array, other: Array, feedback: Feedback) -> Needed:
    """Return a shard's ratings by row, their indices those of the factors that it needs, joined."""
    needed, places = np.unique(pairs[:, 1 - column], return_inverse=True)
    picks: list[Array | None] = []
    rows, n_sent = np.empty(len(needed), np.int64), 0
    for start, stop in zip(other[:-1].tolist(), other[1:].tolist(), strict=True):
        low, high = np.searchsorted(needed, (start, stop))
        inside = needed[low:high] - start
        whole = high - low > MOST_PICKED * (stop - start)
        picks.append(None if whole else inside)
        rows[low:high] = n_sent + (inside if whole else np.arange(high - low))
        n_sent += stop - start if whole else high - low
    shape = (int(own[1] - own[0]), n_sent)
    return Needed(table_of(pairs[:, column] - own[0], rows[places.ravel()], ratings, shape, feedback), picks)


def _summary(shard: Needed) -> list[str]:
    """Return of each shard of the other side whether all, some or none of its factors are needed."""
    return ["all" if rows is None else "some" if len(rows) else "none" for rows in shard.picks]


def _given(factors: Array) -> SolvedShard:
    return SolvedShard(factors)


def _gram(shard: SolvedShard) -> Array:
    with computing():
        return gram_of(shard.factors)


def _pick(q: int, needed: Needed, shard: SolvedShard) -> SolvedShard:
    """Return the factors that one shard needs of another, number ``q``."""
    return SolvedShard(shard.factors[needed.picks[q]])


def _solve(
    ridge: RidgeSetting, needed: Needed, pieces: Sequence[SolvedShard], gram: Array | None, start: SolvedShard | None
) -> SolvedShard:
    other = np.concatenate([piece.factors for piece in pieces])
    with computing():
        return solve_shard(needed.rows, other, ridge._replace(gram=gram), None if start is None else start.factors)


def _sums(solved: SolvedShard) -> tuple[float, float, float]:
    return solved.loss, solved.penalty, solved.seconds

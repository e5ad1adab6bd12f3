"""Half-steps of alternating least squares over shards of ratings, in threads of this process."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from itertools import pairwise
from typing import Any, NamedTuple, Protocol

import numpy as np

from daskml_kit.activity import note_loss
from daskml_kit.engines.engine import INLINE_ELEMENTS, Profile, available_threads
from daskml_kit.engines.runtime import computing
from daskml_kit.numerics.factor_rows import RatingRows, RidgeSetting, solve_factor_rows
from daskml_kit.recommendation.rating_tables import (
    OTHER,
    SIDES,
    CodedRatings,
    Feedback,
    RatingTotals,
    Side,
    cut_table,
    find_codes,
    shard_edges,
    table_of,
)
from daskml_kit.typing import Array


class SolvedShard(NamedTuple):
    """Factors of a shard's rows, what they minimize with their penalty, this penalty alone, and the seconds it took."""

    factors: Array
    loss: float = 0.0
    penalty: float = 0.0
    seconds: float = 0.0


class HalfStep(NamedTuple):
    """Factors of one side, where they lie; what they minimize with their penalty, and this penalty alone."""

    factors: Any
    loss: float
    penalty: float


class Alternation(Protocol):
    """Ratings by users and by items, for which it computes the factors of one side from those of the other."""

    profile: Profile

    def place(self, side: Side, factors: Array) -> Any:
        """Return factors as `solve` takes them."""

    def solve(self, side: Side, other: Any, start: Any, ridge: RidgeSetting) -> HalfStep:
        """Return the factors of a side, the best for those of the other; ``start`` may be None."""

    def fetch(self, factors: Any) -> Array:
        """Return the factors of all rows of a side."""


def solve_shard(rows: RatingRows, other: Array, ridge: RidgeSetting, start: Array | None) -> SolvedShard:
    """Return the factors of a shard's rows."""
    started = time.perf_counter()
    factors, loss = solve_factor_rows(rows, other, ridge, start)
    squares = np.einsum("ij,ij->i", factors, factors, dtype=np.float64)
    penalty = ridge.strength * float((squares * np.diff(rows.indptr) if ridge.by_count else squares).sum())
    return SolvedShard(factors, loss, penalty, time.perf_counter() - started)


def gram_of(factors: Array) -> Array:
    """Return the sum of the rows' outer products, in double precision."""
    wide = factors.astype(np.float64)  # a copy also where it is: in aligned memory of its own
    return np.asarray(wide.T @ wide)


class LocalAlternation(AbstractContextManager["LocalAlternation"]):
    """Half-steps in threads of this process.

    Parameters
    ----------
    blocks : sequence of CodedRatings
    totals : RatingTotals
        With sorted ids.
    feedback : Feedback
    n_threads : int, optional
        By default one a processor that this process may use.
    """

    def __init__(
        self, blocks: Sequence[CodedRatings], totals: RatingTotals, feedback: Feedback, n_threads: int | None
    ) -> None:
        codes = {side: _all_codes([getattr(b, side) for b in blocks], getattr(totals, side).values) for side in SIDES}
        dtype = np.float32 if totals.single else np.float64
        ratings = np.concatenate([block.ratings for block in blocks]).astype(dtype, copy=False)
        self.edges = {side: shard_edges(getattr(totals, side).counts) for side in SIDES}
        self.shards: dict[Side, list[RatingRows]] = {}
        for side in SIDES:
            shape = (int(self.edges[side][-1]), int(self.edges[OTHER[side]][-1]))
            table = table_of(codes[side], codes[OTHER[side]], ratings, shape, feedback)
            self.shards[side] = cut_table(table, self.edges[side])
        inline = len(ratings) < INLINE_ELEMENTS
        wanted = 1 if inline else min(n_threads or available_threads(), max(map(len, self.shards.values())))
        self.profile = Profile(n_threads=wanted)
        self._pool = ThreadPoolExecutor(wanted, "daskml-kit") if wanted > 1 else None

    def place(self, side: Side, factors: Array) -> Array:
        return factors

    def fetch(self, factors: Array) -> Array:
        return factors

    def solve(self, side: Side, other: Array, start: Array | None, ridge: RidgeSetting) -> HalfStep:
        if ridge.gram is not None:
            grams: Any = map(gram_of, cut_rows(other, self.edges[OTHER[side]]))
            ridge = ridge._replace(gram=sum(grams))
        starts: Iterable[Array | None] = cut_rows(start, self.edges[side])
        apply = self._pool.map if self._pool else map
        with computing():
            shards = list(apply(lambda rows, own: solve_shard(rows, other, ridge, own), self.shards[side], starts))
        self.profile.add(sum(shard.seconds for shard in shards), len(shards))
        factors = np.concatenate([shard.factors for shard in shards])
        return HalfStep(factors, sum(shard.loss for shard in shards), sum(shard.penalty for shard in shards))

    def __exit__(self, *details: object) -> None:
        self.profile.stop()
        if self._pool:
            self._pool.shutdown(cancel_futures=True)


def cut_rows(factors: Array | None, edges: Array) -> list[Any]:
    """Return the rows between neighboring edges; None for each where there are none."""
    return [None if factors is None else factors[a:b] for a, b in pairwise(edges.tolist())]


def _all_codes(blocks: Sequence[Any], ids: Any) -> Array:
    return np.concatenate([find_codes(ids, block.values).astype(np.int32)[block.codes] for block in blocks])


class Fitted(NamedTuple):
    """Factors of both sides, and what was minimized after each iteration."""

    factors: Mapping[Side, Array]
    objective: Array


def alternate(
    alternation: Alternation, last: Side, start: Array, ridge: RidgeSetting, max_iter: int, tol: float
) -> Fitted:
    """Alternate between users and items, from factors of the side that is solved for last.

    It ends when an iteration makes the objective better by less than ``tol`` of it, or after ``max_iter`` of them.
    """
    first = OTHER[last]
    factors: dict[Side, Any] = {first: None, last: alternation.place(last, start)}
    objective: list[float] = []
    for _ in range(max_iter):
        half = alternation.solve(first, factors[last], factors[first], ridge)
        whole = alternation.solve(last, half.factors, factors[last], ridge)
        factors = {first: half.factors, last: whole.factors}
        objective.append(whole.loss + half.penalty)
        note_loss(objective[-1], "objective")
        if len(objective) > 1 and tol and objective[-2] - objective[-1] < tol * abs(objective[-2]):
            break
    return Fitted({side: alternation.fetch(factors[side]) for side in SIDES}, np.array(objective))

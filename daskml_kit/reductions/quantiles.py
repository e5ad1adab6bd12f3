"""The median of each column, exactly, in bounded memory and few passes."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from daskml_kit.data.block import Block
from daskml_kit.exceptions import DataError
from daskml_kit.reductions.frames import is_sparse
from daskml_kit.reductions.reduction import Reduction, SingleReduction
from daskml_kit.typing import Array

LIMIT = 8192
"""The most distinct values of one column that a partial answer holds."""
TOTAL_LIMIT, LEAST_LIMIT = 4_000_000, 1024


class BracketSummary(NamedTuple):
    """Summary of a bracket of one column: distinct values in order, and how many values each stands for.

    ``below`` counts the values under the bracket, and ``n_seen`` all that are not missing. The weights of the values up
    to any point sum to their true number within ``error``; 0 says that every value is here.
    """

    below: int
    n_seen: int
    values: Array
    weights: Array
    error: float


@dataclass(frozen=True, eq=False)
class Brackets(SingleReduction):
    """The values of each column from ``low`` to ``high``, ends included; of too many distinct ones a summary.

    An empty bracket, ``low > high``, asks nothing about its column. The summary is a weighted sample at evenly spaced
    ranks, its error known, as in Manku, Rajagopalan & Lindsay (SIGMOD 1998); values that come often stay exact.
    """

    low: Array | float = -np.inf
    high: Array | float = np.inf
    limit: int = LIMIT

    def chunk(self, block: Block) -> list[BracketSummary]:
        columns: Any = block.X
        columns = columns.tocsc() if is_sparse(columns) else columns
        d = columns.shape[1]
        bounds = zip(np.broadcast_to(self.low, d), np.broadcast_to(self.high, d), strict=True)
        return [self._within(columns, j, low, high) for j, (low, high) in enumerate(bounds)]

    def combine(self, a: list[BracketSummary], b: list[BracketSummary]) -> list[BracketSummary]:
        return [self._join(x, y, len(a)) for x, y in zip(a, b, strict=True)]

    def _within(self, columns: Any, position: int, low: float, high: float) -> BracketSummary:
        if low > high:
            return BracketSummary(0, 0, np.empty(0), np.empty(0), 0.0)
        column = columns[:, [position]].toarray()[:, 0] if is_sparse(columns) else columns[:, position]
        seen = column[~np.isnan(column)]
        values, counts = np.unique(seen[(seen >= low) & (seen <= high)].astype(np.float64), return_counts=True)
        here = BracketSummary(int((seen < low).sum()), len(seen), values, counts.astype(np.float64), 0.0)
        return _thin(here, self._room(columns.shape[1]))

    def _join(self, a: BracketSummary, b: BracketSummary, n_columns: int) -> BracketSummary:
        values, weights = _merged(np.concatenate([a.values, b.values]), np.concatenate([a.weights, b.weights]))
        both = BracketSummary(a.below + b.below, a.n_seen + b.n_seen, values, weights, a.error + b.error)
        return _thin(both, self._room(n_columns))

    def _room(self, n_columns: int) -> int:
        return max(min(self.limit, TOTAL_LIMIT // n_columns), LEAST_LIMIT)


def medians(limit: int = LIMIT) -> Generator[Reduction, list[BracketSummary], Array]:
    """Ask for brackets until each column's median is known, and return them; NaN where nothing was seen.

    The first bracket is everything. Each further one is what the summary's error leaves open, a few thousandths of the
    last: one pass for data of few distinct values, two up to some ten million rows.

    Raises
    ------
    DataError
        Where the data differ from one pass to the next.

    Examples
    --------
    >>> asking = medians()
    >>> everything = next(asking)
    >>> try:
    ...     asking.send(everything.chunk(Block(np.array([[4.0], [np.nan], [1.0]]))))
    ... except StopIteration as end:
    ...     end.value
    array([2.5])
    """
    answer = yield Brackets(limit=limit)
    low, high = np.full(len(answer), -np.inf), np.full(len(answer), np.inf)
    found = np.full(len(answer), np.nan)
    while True:
        for j in np.flatnonzero(low <= high):
            here = answer[j]
            if here.n_seen == 0 or here.error == 0:
                found[j], low[j], high[j] = _median(here), np.inf, -np.inf
            else:
                low[j], high[j] = _narrowed(here, low[j], high[j])
        if not (low <= high).any():
            return found
        answer = yield Brackets(low.copy(), high.copy(), limit)


def _median(here: BracketSummary) -> float:
    if not here.n_seen:
        return float("nan")
    ranks = np.array([(here.n_seen - 1) // 2, here.n_seen // 2]) - here.below
    ends = np.cumsum(here.weights)
    if not len(ends) or ranks[0] < 0 or ranks[1] >= ends[-1]:
        raise DataError("X: the data differ from one pass to the next; make them deterministic, or persist them")
    lower, upper = here.values[np.searchsorted(ends, ranks, side="right")]
    return float(lower if lower == upper else (lower + upper) / 2)


def _narrowed(here: BracketSummary, low: float, high: float) -> tuple[float, float]:
    """Return the bracket in which both middle values must lie."""
    ends = np.cumsum(here.weights)
    lower, upper = (here.n_seen - 1) // 2 - here.below, here.n_seen // 2 - here.below
    first = np.searchsorted(ends, lower - here.error, side="right")
    last = np.searchsorted(ends, upper + here.error + 1, side="right")
    return here.values[first - 1] if first else low, here.values[last] if last < len(ends) else high


def _merged(values: Array, weights: Array) -> tuple[Array, Array]:
    """Return the distinct values in order, with the sums of their weights."""
    order = np.argsort(values, kind="stable")  # of two sorted runs: linear
    values = values[order]
    first = np.flatnonzero(np.diff(values, prepend=np.nan) != 0)
    return values[first], np.add.reduceat(weights[order], first) if len(first) else weights


def _thin(run: BracketSummary, limit: int) -> BracketSummary:
    """Keep at most ``limit`` values: the heavy ones, and of the others those at evenly spaced ranks."""
    if len(run.values) <= limit:
        return run
    n_keep = limit // 2
    heavy = run.weights >= run.weights.sum() / n_keep
    light = run.values[~heavy]
    ends = np.cumsum(run.weights[~heavy])
    step = ends[-1] / n_keep
    at = np.searchsorted(ends, (np.arange(n_keep) + 0.5) * step, side="left")
    values = np.concatenate([run.values[heavy], light[at]])
    weights = np.concatenate([run.weights[heavy], np.full(n_keep, step)])
    order = np.argsort(values, kind="stable")
    return BracketSummary(run.below, run.n_seen, values[order], weights[order], run.error + step)

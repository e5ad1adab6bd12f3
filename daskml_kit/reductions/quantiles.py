"""Quantiles of each column, exactly, in bounded memory and few passes."""

from __future__ import annotations

from collections.abc import Generator, Sequence
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
VALUES_A_QUANTILE = 256
"""So many values of a column are held for each of its quantiles, where these are many."""
MOST_LEFT = 0.95
"""The share of a column's values that a pass may leave in question."""
FEW = 4
"""Of more brackets than these a column is sorted rather than compared with each end."""
EVERYTHING = np.array([[-np.inf, np.inf]])


class BracketSummary(NamedTuple):
    """Summary of the brackets of one column: distinct values in order, and how many values each stands for.

    ``below`` and ``within`` count, for each bracket, the values under it and in it, and ``n_seen`` all that are not
    missing. The weights of the values up to any point sum to their true number within ``error``; 0 says that every
    value is here.
    """

    below: Array
    within: Array
    n_seen: int
    values: Array
    weights: Array
    error: float


@dataclass(frozen=True, eq=False)
class Brackets(SingleReduction):
    """The values of each column in its brackets, ends included; of too many distinct ones a summary.

    The summary is a weighted sample at evenly spaced ranks, its error known, as in Manku, Rajagopalan & Lindsay (SIGMOD
    1998); values that come often stay exact.

    Parameters
    ----------
    brackets : sequence of array of shape (n_brackets, 2), optional
        Of each column the ends of its brackets, in order and apart; none asks nothing. By default one of everything.
    limit : int
        The most distinct values of a column that are held.
    """

    brackets: Sequence[Array] | None = None
    limit: int = LIMIT

    def chunk(self, block: Block) -> list[BracketSummary]:
        columns: Any = block.X
        columns = columns.tocsc() if is_sparse(columns) else columns
        d = columns.shape[1]
        every = [EVERYTHING] * d if self.brackets is None else self.brackets
        return [self._within(columns, position, brackets) for position, brackets in enumerate(every)]

    def combine(self, a: list[BracketSummary], b: list[BracketSummary]) -> list[BracketSummary]:
        return [self._join(x, y, len(a)) for x, y in zip(a, b, strict=True)]

    def _within(self, columns: Any, position: int, brackets: Array) -> BracketSummary:
        if not len(brackets):
            return BracketSummary(np.empty(0), np.empty(0), 0, np.empty(0), np.empty(0), 0.0)
        column = columns[:, [position]].toarray()[:, 0] if is_sparse(columns) else columns[:, position]
        seen = column[~np.isnan(column)]
        below, inside = _split(seen, brackets)
        within = np.array([len(part) for part in inside])
        values, counts = np.unique(np.concatenate(inside).astype(np.float64, copy=False), return_counts=True)
        here = BracketSummary(below, within, len(seen), values, counts.astype(np.float64), 0.0)
        return _thin(here, self._room(columns.shape[1]))

    def _join(self, a: BracketSummary, b: BracketSummary, n_columns: int) -> BracketSummary:
        values, weights = _merged(np.concatenate([a.values, b.values]), np.concatenate([a.weights, b.weights]))
        below, within = a.below + b.below, a.within + b.within
        both = BracketSummary(below, within, a.n_seen + b.n_seen, values, weights, a.error + b.error)
        return _thin(both, self._room(n_columns))

    def _room(self, n_columns: int) -> int:
        return max(min(self.limit, TOTAL_LIMIT // n_columns), LEAST_LIMIT)


def quantiles(
    levels: Any, *, method: str = "linear", limit: int = LIMIT
) -> Generator[Reduction, list[BracketSummary], Array]:
    """Ask for brackets until quantiles of each column are known, and return them; NaN where nothing was seen.

    The first bracket is everything. Each further one is what the summary's error leaves open, a few thousandths of the
    last: one pass for data of few distinct values, two up to some ten million rows, for hundreds of quantiles one more.

    Parameters
    ----------
    levels : array of shape (n_levels,)
        From 0 to 1, in order.
    method : {"linear", "averaged_inverted_cdf"}, default "linear"
        As in `numpy.quantile`.
    limit : int
        The most distinct values of a column that are held, where there are few levels.

    Returns
    -------
    array of shape (n_levels, n_columns)

    Raises
    ------
    DataError
        Where the data differ from one pass to the next, or the columns are too many for so many quantiles.

    Examples
    --------
    >>> asking = quantiles([0.25, 0.5])
    >>> everything = next(asking)
    >>> try:
    ...     asking.send(everything.chunk(Block(np.array([[4.0], [np.nan], [1.0]]))))
    ... except StopIteration as end:
    ...     end.value
    array([[1.75],
           [2.5 ]])
    """
    levels = np.asarray(levels, np.float64)
    limit = max(limit, VALUES_A_QUANTILE * len(levels))
    answer = yield Brackets(limit=limit)
    found = np.full((len(levels), len(answer)), np.nan)
    asked = [EVERYTHING] * len(answer)
    while True:
        for j, (here, brackets) in enumerate(zip(answer, asked, strict=True)):
            if not len(brackets):
                continue
            asked[j] = brackets[:0]
            if here.n_seen and here.error == 0:
                found[:, j] = _values(here, levels, method)
            elif here.n_seen:
                asked[j] = _narrowed(here, brackets, levels, method)
                if _held(here, asked[j]) > MOST_LEFT * here.within.sum():
                    raise DataError(
                        f"X: {len(levels)} exact quantiles of {len(answer)} columns need more values than "
                        f"{TOTAL_LIMIT} at once; take fewer quantiles, fewer columns or a sample of rows"
                    )
        if not any(map(len, asked)):
            return found
        answer = yield Brackets(list(asked), limit)


def medians(limit: int = LIMIT) -> Generator[Reduction, list[BracketSummary], Array]:
    """Ask for brackets until each column's median is known, and return them; see `quantiles`."""
    found = yield from quantiles([0.5], limit=limit)
    middle: Array = found[0]
    return middle


def _split(seen: Array, brackets: Array) -> tuple[Array, list[Array]]:
    """Return how many values are under each bracket, and the values in each."""
    if len(brackets) > FEW:
        seen = np.sort(seen)
        below, upto = seen.searchsorted(brackets[:, 0]), seen.searchsorted(brackets[:, 1], side="right")
        return below, [seen[first:last] for first, last in zip(below, upto, strict=True)]
    under = np.array([np.count_nonzero(seen < low) if low > -np.inf else 0 for low, _ in brackets])
    if len(brackets) == 1 and np.isinf(brackets).all():
        return under, [seen]
    return under, [seen[(seen >= low) & (seen <= high)] for low, high in brackets]


def _ranks(levels: Array, n_seen: int, method: str) -> tuple[Array, Array, Array]:
    """Return the ranks of the two values that each quantile lies between, and its share of the way."""
    at = (n_seen - 1) * levels if method == "linear" else n_seen * levels - 1
    lower = np.floor(at)
    share = at - lower
    if method != "linear":
        share = np.where(share == 0, 0.5, 1.0)
    ends = np.clip(np.stack([lower, lower + 1]), 0, n_seen - 1)
    return ends[0], ends[1], share


def _places(here: BracketSummary, levels: Array, method: str) -> tuple[Array, Array, Array]:
    """Return the same ranks among the values in all brackets."""
    *ends, share = _ranks(levels, here.n_seen, method)
    before = np.cumsum(here.within) - here.within
    own = [np.maximum(np.searchsorted(here.below, rank, side="right") - 1, 0) for rank in ends]
    lower, upper = (rank - here.below[at] + before[at] for rank, at in zip(ends, own, strict=True))
    return lower, upper, share


def _values(here: BracketSummary, levels: Array, method: str) -> Array:
    lower, upper, share = _places(here, levels, method)
    ends = np.cumsum(here.weights)
    if not len(ends) or lower.min(initial=0) < 0 or upper.max(initial=0) >= ends[-1]:
        raise DataError("X: the data differ from one pass to the next; make them deterministic, or persist them")
    low, high = (here.values[np.searchsorted(ends, rank, side="right")] for rank in (lower, upper))
    apart = high - low
    between = np.where(share < 0.5, low + apart * share, high - apart * (1 - share))  # as NumPy has it
    return np.where(low == high, low, np.where(share == 0.5, (low + high) / 2, between))


def _held(here: BracketSummary, brackets: Array) -> float:
    """Return the weight of the values in the brackets."""
    ends = np.concatenate([[0.0], np.cumsum(here.weights)])
    first, last = here.values.searchsorted(brackets[:, 0]), here.values.searchsorted(brackets[:, 1], side="right")
    return float((ends[last] - ends[first]).sum())


def _narrowed(here: BracketSummary, brackets: Array, levels: Array, method: str) -> Array:
    """Return the brackets in which the values that quantiles lie between must be."""
    lower, upper, _ = _places(here, levels, method)
    ends = np.cumsum(here.weights)
    first = np.searchsorted(ends, lower - here.error, side="right")
    last = np.searchsorted(ends, upper + here.error + 1, side="right")
    low = np.where(first > 0, here.values[np.maximum(first - 1, 0)], brackets[0, 0])
    high = np.where(last < len(ends), here.values[np.minimum(last, len(ends) - 1)], brackets[-1, 1])
    order = np.argsort(low, kind="stable")
    low, high = low[order], np.maximum.accumulate(high[order])
    begins = np.append(True, low[1:] > high[:-1])
    return np.column_stack([low[begins], high[np.append(np.flatnonzero(begins)[1:] - 1, len(low) - 1)]])


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
    return run._replace(values=values[order], weights=weights[order], error=run.error + step)

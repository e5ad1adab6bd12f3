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
from daskml_kit.reductions.row_sample import RowSample
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
SAMPLE, SAMPLED_LIMIT, FEW_LEVELS, DEVIATIONS = 2**15, 2**19, 16, 5.0
"""Rows of a first sample, the distinct values that are held after it, the most levels for which it pays, and the
standard deviations of a sample's ranks that brackets about them reach."""
EVERYTHING = np.array([[-np.inf, np.inf]])


class BracketSummary(NamedTuple):
    """Summary of the brackets of one column: distinct values in order, and how many values each stands for.

    ``below`` and ``within`` count, for each bracket, the values under it and in it, and ``n_seen`` all that are not
    missing. The weights of the values up to any point sum to their true number within ``error``; 0 says that every
    value is here. Until all blocks are joined values may come in any order, and more than once.
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
        values = np.concatenate(inside).astype(np.float64, copy=False)
        here = BracketSummary(below, within, len(seen), values, np.ones(len(values)), 0.0)
        return _thin(here, self._room(columns.shape[1]))

    def finalize(self, total: list[BracketSummary]) -> list[list[BracketSummary]]:
        return [[ordered(here) for here in total] if self.brackets is None else total]

    def _join(self, a: BracketSummary, b: BracketSummary, n_columns: int) -> BracketSummary:
        values, weights = np.concatenate([a.values, b.values]), np.concatenate([a.weights, b.weights])
        below, within = a.below + b.below, a.within + b.within
        both = BracketSummary(below, within, a.n_seen + b.n_seen, values, weights, a.error + b.error)
        return _thin(both, self._room(n_columns))

    def _room(self, n_columns: int) -> int:
        return max(min(self.limit, TOTAL_LIMIT // n_columns), LEAST_LIMIT)


def quantiles(
    levels: Any, *, method: str = "linear", limit: int = LIMIT, sampled: bool | None = None
) -> Generator[Reduction, Any, Array]:
    """Ask for brackets until quantiles of each column are known, and return them; NaN where nothing was seen.

    The first brackets of a few quantiles are about those of a sample of rows: data of no more rows take one pass, more
    two or three. Otherwise the first bracket is everything, and data of few distinct values take one pass. Each further
    bracket is what the summary's error leaves open, a few thousandths of the last.

    Parameters
    ----------
    levels : array of shape (n_levels,)
        From 0 to 1, in order.
    method : {"linear", "averaged_inverted_cdf"}, default "linear"
        As in `numpy.quantile`.
    limit : int
        The most distinct values of a column that are held, where there are few levels and no sample.
    sampled : bool, optional
        Whether a sample comes first; by default where there are few levels.

    Returns
    -------
    array of shape (n_levels, n_columns)

    Raises
    ------
    DataError
        Where the data differ from one pass to the next, or the columns are too many for so many quantiles.

    Examples
    --------
    >>> asking = quantiles([0.25, 0.5], sampled=False)
    >>> everything = next(asking)
    >>> try:
    ...     asking.send(everything.chunk(Block(np.array([[4.0], [np.nan], [1.0]]))))
    ... except StopIteration as end:
    ...     end.value
    array([[1.75],
           [2.5 ]])
    """
    search = _Search(np.asarray(levels, np.float64), method)
    asked: list[Array] | None = None
    limit = max(limit, VALUES_A_QUANTILE * len(search.levels))
    if len(search.levels) <= FEW_LEVELS if sampled is None else sampled:
        limit = SAMPLED_LIMIT
        sample = yield RowSample(SAMPLE, n_values=TOTAL_LIMIT)
        whole = [ordered(here) for here in Brackets(limit=SAMPLE).chunk(Block(sample.X))]
        if sample.complete:
            return np.column_stack([search.values(here) for here in whole])
        asked = [search.about(here) for here in whole]
    guesses = asked is not None
    answer = yield Brackets(asked, limit)
    asked = asked or [EVERYTHING] * len(answer)
    found = np.full((len(search.levels), len(answer)), np.nan)
    while True:
        for j, (here, brackets) in enumerate(zip(answer, asked, strict=True)):
            if not len(brackets):
                continue
            if guesses and here.n_seen and not search.inside(here):
                asked[j] = EVERYTHING  # a bad guess
            elif here.n_seen and here.error:
                asked[j] = search.narrowed(ordered(here), brackets)
            else:
                asked[j] = brackets[:0]
                found[:, j] = search.values(here)
        if not any(map(len, asked)):
            return found
        guesses = False
        answer = yield Brackets(list(asked), limit)


def medians(limit: int = LIMIT) -> Generator[Reduction, list[BracketSummary], Array]:
    """Ask for brackets until each column's median is known, and return them; see `quantiles`."""
    found = yield from quantiles([0.5], limit=limit, sampled=False)
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


@dataclass(frozen=True)
class _Search:
    """Levels of quantiles, and where their values are in summaries."""

    levels: Array
    method: str

    def values(self, here: BracketSummary) -> Array:
        """Return the quantiles of a summary that holds every value; NaN where nothing was seen."""
        if not here.n_seen:
            return np.full(len(self.levels), np.nan)
        if not self.inside(here):
            raise DataError("X: the data differ from one pass to the next; make them deterministic, or persist them")
        lower, upper, share = self._places(here)
        low, high = _at_ranks(here, np.stack([lower, upper]))
        apart = high - low
        between = np.where(share < 0.5, low + apart * share, high - apart * (1 - share))  # as NumPy has it
        values: Array = np.where(low == high, low, np.where(share == 0.5, (low + high) / 2, between))
        return values

    def inside(self, here: BracketSummary) -> bool:
        """Return whether all the values that quantiles lie between are in a bracket."""
        *ends, _ = self._ranks(here.n_seen)
        past = [rank - here.below[at] for rank, at in zip(ends, self._brackets(here, ends), strict=True)]
        own = [here.within[at] for at in self._brackets(here, ends)]
        return all(((p >= 0) & (p < width)).all() for p, width in zip(past, own, strict=True))

    def narrowed(self, here: BracketSummary, brackets: Array) -> Array:
        """Return the brackets in which the values that quantiles lie between must be.

        Raises
        ------
        DataError
            Where they hold about as much as before.
        """
        lower, upper, _ = self._places(here)
        ends = np.cumsum(here.weights)
        first = np.searchsorted(ends, lower - here.error, side="right")
        last = np.searchsorted(ends, upper + here.error + 1, side="right")
        low = np.where(first > 0, here.values[np.maximum(first - 1, 0)], brackets[0, 0])
        high = np.where(last < len(ends), here.values[np.minimum(last, len(ends) - 1)], brackets[-1, 1])
        found = _apart(low, high)
        if _held(here, found) > MOST_LEFT * here.within.sum():
            raise DataError(
                f"X: {len(self.levels)} exact quantiles of each column need more values than {TOTAL_LIMIT:,} at once; "
                "take fewer quantiles, fewer columns or a sample of rows"
            )
        return found

    def about(self, sample: BracketSummary) -> Array:
        """Return brackets in which the quantiles of all rows are, but for one sample in a million."""
        if not sample.n_seen:
            return EVERYTHING
        n, ends = sample.n_seen, np.cumsum(sample.weights)
        off = DEVIATIONS * np.sqrt(n * self.levels * (1 - self.levels)) + DEVIATIONS**2
        first = np.searchsorted(ends, n * self.levels - off, side="right")
        last = np.searchsorted(ends, n * self.levels + off, side="right")
        low = np.where(n * self.levels > off, sample.values[np.minimum(first, len(ends) - 1)], -np.inf)
        high = np.where(last < len(ends), sample.values[np.minimum(last, len(ends) - 1)], np.inf)
        return _apart(low, high)

    def _ranks(self, n_seen: int) -> tuple[Array, Array, Array]:
        """Return the ranks of the two values that each quantile lies between, and its share of the way."""
        at = (n_seen - 1) * self.levels if self.method == "linear" else n_seen * self.levels - 1
        lower = np.floor(at)
        share = at - lower
        if self.method != "linear":
            share = np.where(share == 0, 0.5, 1.0)
        ends = np.clip(np.stack([lower, lower + 1]), 0, n_seen - 1)
        return ends[0], ends[1], share

    def _brackets(self, here: BracketSummary, ranks: Sequence[Array]) -> list[Array]:
        return [np.maximum(np.searchsorted(here.below, rank, side="right") - 1, 0) for rank in ranks]

    def _places(self, here: BracketSummary) -> tuple[Array, Array, Array]:
        """Return the same ranks among the values in all brackets."""
        *ends, share = self._ranks(here.n_seen)
        before = np.cumsum(here.within) - here.within
        own = self._brackets(here, ends)
        lower, upper = (rank - here.below[at] + before[at] for rank, at in zip(ends, own, strict=True))
        return lower, upper, share


def _at_ranks(here: BracketSummary, ranks: Array) -> Array:
    """Return the values of these ranks."""
    if len(ranks.T) <= FEW_LEVELS and (here.weights == 1).all():  # a sort would take ten times as long
        at = ranks.astype(np.intp)
        return np.partition(here.values, np.unique(at))[at]
    whole = ordered(here)
    return whole.values[np.searchsorted(np.cumsum(whole.weights), ranks, side="right")]


def _apart(low: Array, high: Array) -> Array:
    """Return brackets in order, those that overlap as one."""
    order = np.argsort(low, kind="stable")
    low, high = low[order], np.maximum.accumulate(high[order])
    begins = np.append(True, low[1:] > high[:-1])
    return np.column_stack([low[begins], high[np.append(np.flatnonzero(begins)[1:] - 1, len(low) - 1)]])


def _held(here: BracketSummary, brackets: Array) -> float:
    """Return the weight of the values in the brackets."""
    ends = np.concatenate([[0.0], np.cumsum(here.weights)])
    first, last = here.values.searchsorted(brackets[:, 0]), here.values.searchsorted(brackets[:, 1], side="right")
    return float((ends[last] - ends[first]).sum())


def ordered(run: BracketSummary) -> BracketSummary:
    """Return the distinct values in order, with the sums of their weights."""
    values, weights = run.values, run.weights
    if (values[1:] > values[:-1]).all():
        return run
    if (weights == 1).all():
        values = np.sort(values)  # faster than an order
    else:
        order = np.argsort(values, kind="stable")
        values, weights = values[order], weights[order]
    first = np.flatnonzero(np.append(True, values[1:] != values[:-1]))
    return run._replace(values=values[first], weights=np.add.reduceat(weights, first))


def _thin(run: BracketSummary, limit: int) -> BracketSummary:
    """Keep at most ``limit`` values: the heavy ones, and of the others those at evenly spaced ranks.

    Fewer values are left as they come, since sorting them once in the end is faster.
    """
    if len(run.values) <= limit:
        return run
    run = ordered(run)
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

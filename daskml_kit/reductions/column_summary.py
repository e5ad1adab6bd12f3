"""Summaries of the columns of a data frame: counts, moments, extremes, sketches of distinct values and quantiles."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from daskml_kit.data.block import Block
from daskml_kit.reductions.reduction import SingleReduction
from daskml_kit.reductions.row_sample import least
from daskml_kit.typing import Array

N_HASHES = 4096
"""Smallest hashes of values that are kept: their spread tells the number of distinct values to some 1.6 %."""
N_SAMPLED = 20_000
"""Values of a column that are drawn, of which a quantile's rank is right to some 0.35 % of the rows."""
MOST_COUNTED = 1_000
"""Distinct values up to which each is counted."""
HASHES = 2.0**64


class ColumnSummary(NamedTuple):
    """Summary of a column; moments and extremes are None of what are no numbers, ``hashes`` of what has none.

    ``drawn`` are values with the smallest random ranks, ``counts`` the rows of each value, None where these are many.
    """

    n_rows: int
    present: int
    infinite: int
    mean: float | None
    squares: float | None
    low: Any
    high: Any
    hashes: Array | None
    counts: pd.Series[Any] | None
    ranks: Array
    drawn: Array

    def n_distinct(self) -> float:
        """Return the number of distinct values; an estimate where they are many (Bar-Yossef et al. 2002)."""
        if self.hashes is None:
            return np.nan
        if len(self.hashes) < N_HASHES:
            return float(len(self.hashes))
        return round((N_HASHES - 1) * HASHES / float(self.hashes[-1]))


@dataclass(frozen=True, eq=False)
class ColumnSummaries(SingleReduction):
    """The `ColumnSummary` of each column of a data frame."""

    seed: int = 0

    def chunk(self, block: Block) -> list[ColumnSummary]:
        frame: Any = block.X
        rank = np.random.default_rng((self.seed, block.index)).random(len(frame))
        return [_summary(frame.iloc[:, at], rank) for at in range(frame.shape[1])]

    def combine(self, a: list[ColumnSummary], b: list[ColumnSummary]) -> list[ColumnSummary]:
        return [_joined(one, other) for one, other in zip(a, b, strict=True)]


def _summary(column: pd.Series[Any], rank: Array) -> ColumnSummary:
    known = column.notna().to_numpy()
    values = column[known]
    mean = squares = low = high = None
    infinite, kind = 0, pd.api.types
    if kind.is_numeric_dtype(values.dtype) and len(values):
        numbers = values.to_numpy(np.float64)
        finite = numbers[np.isfinite(numbers)]
        infinite = len(numbers) - len(finite)
        if len(finite):
            mean = float(finite.mean())
            squares = float(np.square(finite - mean).sum())
            low, high = float(finite.min()), float(finite.max())
    elif kind.is_datetime64_any_dtype(values.dtype) and len(values):
        low, high = values.min(), values.max()
    kept = least(rank[known], N_SAMPLED)
    drawn = values.to_numpy(object)[kept] if mean is None else values.to_numpy(np.float64)[kept]
    hashes: Array | None = None
    counts: pd.Series[Any] | None = None
    with suppress(TypeError):  # of lists and other objects that have no hash
        hashes, counts = _hashed(values), _few(values.value_counts())
    return ColumnSummary(
        len(column), len(values), infinite, mean, squares, low, high, hashes, counts, rank[known][kept], drawn
    )


def _joined(a: ColumnSummary, b: ColumnSummary) -> ColumnSummary:
    if not a.present or not b.present:
        found = b if not a.present else a
        return found._replace(n_rows=a.n_rows + b.n_rows)
    mean = squares = None
    if a.mean is not None and b.mean is not None and a.squares is not None and b.squares is not None:
        n, m = a.present - a.infinite, b.present - b.infinite
        apart = b.mean - a.mean
        mean = a.mean + apart * m / (n + m)
        squares = a.squares + b.squares + apart * apart * n * m / (n + m)
    elif a.mean is not None or b.mean is not None:  # one has infinite values only
        mean, squares = (a.mean, a.squares) if b.mean is None else (b.mean, b.squares)
    known = [bound for bound in (a.low, b.low) if bound is not None], [h for h in (a.high, b.high) if h is not None]
    hashes = None if a.hashes is None or b.hashes is None else np.union1d(a.hashes, b.hashes)[:N_HASHES]
    counts = None if a.counts is None or b.counts is None else _few(a.counts.add(b.counts, fill_value=0))
    ranks, drawn = np.concatenate([a.ranks, b.ranks]), np.concatenate([a.drawn, b.drawn])
    kept = least(ranks, N_SAMPLED)
    rows, present, infinite = a.n_rows + b.n_rows, a.present + b.present, a.infinite + b.infinite
    low, high = min(known[0], default=None), max(known[1], default=None)
    return ColumnSummary(rows, present, infinite, mean, squares, low, high, hashes, counts, ranks[kept], drawn[kept])


def _hashed(values: pd.Series[Any]) -> Array:
    return np.unique(pd.util.hash_pandas_object(values, index=False).to_numpy())[:N_HASHES]


def _few(counts: pd.Series[Any]) -> pd.Series[Any] | None:
    return counts if len(counts) <= MOST_COUNTED else None

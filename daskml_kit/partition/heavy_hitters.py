"""Heavy hitters: the most frequent keys of a column, in bounded memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from daskml_kit.typing import Array

CAPACITY = 4096
ROWS = "rows"
BLOCKS = "blocks"


class HeavyHitters(NamedTuple):
    """Frequent keys with their rows, the most frequent first.

    A key has at least the rows that are written here, and at most ``error`` more, as has each key that is missing; it
    is in at least the blocks that are written here.

    Parameters
    ----------
    counts : DataFrame
        A row for each key: the columns of the key, called 0, 1, ..., its ``rows``, and how many ``blocks`` it is in.
    error : int
    """

    counts: pd.DataFrame
    error: int


def count_rows(columns: Sequence[Any]) -> pd.DataFrame:
    """Return the distinct rows of the ``columns`` of a block and how often each comes, in the order they first come.

    Missing values of any kind are one value.

    Examples
    --------
    >>> count_rows([np.array([3, 1, 3])])
       0  rows  blocks
    0  3     2       1
    1  1     1       1
    """
    frame = pd.DataFrame({number: _plain(column) for number, column in enumerate(columns)})
    return _summed(frame, {ROWS: np.ones(len(frame))}).assign(**{BLOCKS: 1})


def heaviest(counts: pd.DataFrame, error: int = 0, capacity: int = CAPACITY) -> HeavyHitters:
    """Return at most ``capacity`` of the counted keys.

    What the first key left out has is taken from all: of ``capacity + 1`` keys each loses as much, so over any
    number of blocks and merges ``error`` stays below rows / (capacity + 1) (Misra and Gries).

    References
    ----------
    P. Agarwal et al.: Mergeable summaries, PODS 2012.

    Examples
    --------
    >>> kept, error = heaviest(count_rows([np.array(list("aaabbc"))]), capacity=1)
    >>> kept[0].tolist(), kept["rows"].tolist(), error
    (['a'], [1], 2)
    """
    ordered = counts.sort_values(ROWS, ascending=False, kind="stable", ignore_index=True)
    if len(ordered) <= capacity:
        return HeavyHitters(ordered, error)
    least = int(ordered[ROWS].iloc[capacity])
    kept = ordered[ordered[ROWS] > least]
    return HeavyHitters(kept.assign(**{ROWS: kept[ROWS] - least}), error + least)


def merge_heavy_hitters(parts: Sequence[HeavyHitters], capacity: int = CAPACITY) -> HeavyHitters:
    """Return the keys of several blocks, as `heaviest` keeps them."""
    return heaviest(_sum_counts([part.counts for part in parts]), sum(part.error for part in parts), capacity)


def _sum_counts(counts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return the sum of counts, as of one `count_rows`; empty ones have no say in the types."""
    filled = [part for part in counts if len(part)]
    if not filled:
        return counts[0]
    every = pd.concat(filled, ignore_index=True)
    totals = {name: every.pop(name).to_numpy() for name in (ROWS, BLOCKS)}
    return _summed(every, totals)


def _summed(keys: pd.DataFrame, totals: Mapping[str, Array]) -> pd.DataFrame:
    codes = np.zeros(len(keys), np.int64)
    for number, column in keys.items():
        own, distinct = pd.factorize(column, use_na_sentinel=False)
        codes = pd.factorize(codes * max(len(distinct), 1) + own)[0] if number else own
    first = np.empty(codes.max(initial=-1) + 1, np.intp)
    first[codes[::-1]] = np.arange(len(codes))[::-1]
    sums = {name: np.bincount(codes, values).astype(np.int64) for name, values in totals.items()}
    return keys.take(first).reset_index(drop=True).assign(**sums)


def _plain(column: Any) -> Any:
    """Return categories as the values they stand for: the blocks' own lists of them may differ."""
    if isinstance(column, pd.Series) and not isinstance(column.dtype, pd.CategoricalDtype):
        return column.array
    return np.asarray(column)

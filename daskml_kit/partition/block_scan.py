"""Scan of blocks in one pass: rows, bytes, classes and the most frequent keys of each, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

import dask
import numpy as np
import pandas as pd
from dask.base import is_dask_collection

from daskml_kit.data.align import check_lengths
from daskml_kit.data.collections import n_rows, size_of
from daskml_kit.exceptions import DataError
from daskml_kit.partition.block_layout import BlockLayout
from daskml_kit.partition.keys import Keys

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
    return _summed(frame.assign(**{ROWS: 1, BLOCKS: 1})).assign(**{BLOCKS: 1})


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
    return _summed(pd.concat(filled, ignore_index=True))


def _summed(counts: pd.DataFrame) -> pd.DataFrame:
    """Return the distinct keys, in the order they first come, with the sums of their counts."""
    keys = [name for name in counts.columns if name not in (ROWS, BLOCKS)]
    return counts.groupby(keys, sort=False, dropna=False, observed=True, as_index=False)[[ROWS, BLOCKS]].sum()


def _plain(column: Any) -> Any:
    """Return categories as the values they stand for: the blocks' own lists of them may differ."""
    if isinstance(column, pd.Series) and not isinstance(column.dtype, pd.CategoricalDtype):
        return column.array
    return np.asarray(column)


MAX_CLASSES = 1000
MAX_NUMBERS = 20
"""Distinct floats above which they look like a quantity rather than classes."""
MERGE_WIDTH = 8


class BlockScan(NamedTuple):
    """Facts of some blocks.

    Parameters
    ----------
    lengths : list of int
        Rows of each block.
    sizes : list of list of int
        Of each block its bytes in each collection.
    classes : list of DataFrame
        For each block the counts of its labels, if they were asked for.
    keys : HeavyHitters or None
        The most frequent keys of all blocks, if they were asked for.
    """

    lengths: list[int]
    sizes: list[list[int]]
    classes: list[pd.DataFrame]
    keys: HeavyHitters | None


def scan_blocks(layouts: Sequence[BlockLayout], labels: Keys | None, by: Keys | None) -> BlockScan:
    """Read each block once, where it lies, if there is anything to find out.

    Only collections of which something is asked or unknown are read. Nothing that is read is kept; the keys are
    merged in a tree.

    Parameters
    ----------
    layouts : sequence of BlockLayout
    labels, by : Keys, optional
        Columns of the classes and of the keys, if those are to be counted.
    """
    asked = {keys.part for keys in (labels, by) if keys is not None}
    read = [c.lengths is None or c.sizes is None or at in asked for at, c in enumerate(layouts)]
    lengths = next((c.lengths for c in layouts if c.lengths is not None), None)
    blocks = list(
        zip(*(c.pieces if r else [[]] * len(c.pieces) for c, r in zip(layouts, read, strict=True)), strict=True)
    )
    names = [layout.name for layout in layouts]
    scans = [partial(scan_block, labels, by, names, i, lengths[i] if lengths else None) for i in range(len(blocks))]
    if not any(read):
        found = BlockScan(lengths or [], [[0] * len(layouts)] * len(blocks), [], None)
    elif is_dask_collection(layouts[0].pieces[0][0]):
        found = _compute(scans, blocks)
    else:
        found = merge_scans([scan(block) for scan, block in zip(scans, blocks, strict=True)])
    known = [c.sizes if c.sizes is not None else [size[at] for size in found.sizes] for at, c in enumerate(layouts)]
    return found._replace(sizes=[list(sizes) for sizes in zip(*known, strict=True)])


def _compute(scans: Sequence[Any], blocks: Sequence[Sequence[list[Any]]]) -> BlockScan:
    merge = dask.delayed(merge_scans)
    top = [dask.delayed(scan)(block) for scan, block in zip(scans, blocks, strict=True)]
    while len(top) > 1:
        top = [merge(top[i : i + MERGE_WIDTH]) for i in range(0, len(top), MERGE_WIDTH)]
    found: BlockScan = top[0].compute()
    return found


def merge_scans(scans: Sequence[BlockScan]) -> BlockScan:
    """Return the scans of neighboring blocks as one."""
    lengths, sizes, classes, keys = zip(*scans, strict=True)
    counted = [found for found in keys if found is not None]
    merged = merge_heavy_hitters(counted) if counted else None
    return BlockScan(_flat(lengths), _flat(sizes), _flat(classes), merged)


def _flat(lists: Iterable[list[Any]]) -> list[Any]:
    return list(chain.from_iterable(lists))


def scan_block(
    labels: Keys | None,
    by: Keys | None,
    names: Sequence[str],
    index: int,
    length: int | None,
    pieces: Sequence[Sequence[Any]],
) -> BlockScan:
    """Return the facts of block ``index``.

    Parameters
    ----------
    labels, by : Keys, optional
    names : sequence of str
        Those of the collections.
    index : int
    length : int, optional
        Rows of the block, where they are known.
    pieces : sequence of sequences
        What the block consists of in each collection, nothing where it is not read.

    Raises
    ------
    DataError
        Where collections differ in length, or labels are no classes.
    """
    first = {name: block[0] for name, block in zip(names, pieces, strict=True) if block}
    rows = n_rows(next(iter(first.values()))) if length is None else length
    check_lengths(list(first), list(first.values()), index, rows)
    classes = [] if labels is None else [count_rows(_values(pieces, labels))]
    for counts in classes:
        require_classes(counts[0], f" in block {index}")
    keys = None if by is None else heaviest(count_rows(_values(pieces, by)))
    return BlockScan([rows], [[sum(size_of(piece) for piece in block) for block in pieces]], classes, keys)


def require_classes(distinct: pd.Series[Any], where: str) -> None:
    """Raise a `DataError` where the distinct labels are too many to be classes, or some are fractions and many."""
    bins = "cut a continuous target into bins first, for instance by dask.array.digitize"
    if len(distinct) > MAX_CLASSES:
        raise DataError(
            f"labels: expected classes, got {len(distinct)} distinct values{where}, more than {MAX_CLASSES}; {bins}"
        )
    if not pd.api.types.is_float_dtype(distinct.dtype):
        return
    numbers = distinct.dropna()
    fractions = numbers[numbers % 1 > 0]
    if len(numbers) > MAX_NUMBERS and len(fractions):
        raise DataError(
            f"labels: expected classes, got {len(numbers)} distinct numbers{where}, among them {fractions.iloc[0]}; "
            f"{bins}"
        )


def _values(pieces: Sequence[Sequence[Any]], keys: Keys) -> list[Any]:
    block = pieces[keys.part]
    whole = block[0] if len(block) == 1 else np.concatenate(block, axis=1)
    return [values for _, values in keys._replace(part=0).of([whole])]

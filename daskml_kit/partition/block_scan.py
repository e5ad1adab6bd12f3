"""Scan of blocks in one pass: rows, bytes, classes and frequent keys of each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from dask.base import is_dask_collection, tokenize
from dask.delayed import Delayed
from dask.highlevelgraph import HighLevelGraph

from daskml_kit.data.align import check_lengths
from daskml_kit.data.collections import n_rows, size_of
from daskml_kit.exceptions import DataError
from daskml_kit.partition.block_layout import BlockLayout
from daskml_kit.partition.heavy_hitters import HeavyHitters, count_rows, heaviest, merge_heavy_hitters
from daskml_kit.partition.keys import Keys

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
    needed = [piece for block in blocks for pieces in block for piece in pieces]
    name = f"daskml-scan-{tokenize(scans, [piece.key for piece in needed])}"
    layer: dict[Any, Any] = {
        (name, 0, i): (scan, [[piece.key for piece in pieces] for pieces in block])
        for i, (scan, block) in enumerate(zip(scans, blocks, strict=True))
    }
    top, level = list(layer), 0
    while len(top) > 1:
        level += 1
        groups = [top[i : i + MERGE_WIDTH] for i in range(0, len(top), MERGE_WIDTH)]
        top = [(name, level, i) for i in range(len(groups))]
        layer.update({key: (merge_scans, group) for key, group in zip(top, groups, strict=True)})
    found: BlockScan = Delayed(top[0], HighLevelGraph.from_collections(name, layer, needed), layer=name).compute()
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

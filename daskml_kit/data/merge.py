"""Merging of tiny blocks: runs of them are read as one block, whatever reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dask
import dask.array as da
import numpy as np
import scipy.sparse as sp
from dask.array.utils import meta_from_array
from dask.base import tokenize
from dask.highlevelgraph import HighLevelGraph

from daskml_kit.data.block import Run, as_block
from daskml_kit.data.collections import (
    BLOCK_BYTES,
    MAX_BLOCKS,
    PARTS,
    block_keys,
    has_unknown,
    join,
    n_rows,
    with_lengths,
)
from daskml_kit.exceptions import DataError

TINY_BYTES = 2**19
"""Nothing is merged where the rows of X of the first block take more."""
MERGED_BYTES = BLOCK_BYTES
"""The most that the rows of X of a merged block take: as many bytes as a block that is cut from memory.

Measured with 64 MB in 4,096 blocks: merged to one megabyte a pass on two workers takes 1.8 times that of 8 blocks.
"""
SPARSE_WIDTH = 128
"""Columns of a row of CSR count as so many at most."""


def merge_tiny(arrays: Mapping[str, da.Array]) -> tuple[dict[str, da.Array], list[Run]]:
    """Merge runs of tiny blocks of aligned arrays, which a pass reads as fast as a few blocks of the same rows.

    Up to `MAX_BLOCKS` blocks stay as they are, and so do all where the first with rows takes more than `TINY_BYTES`. Of
    others, blocks that follow each other are merged as long as the rows of X in them take at most
    `MERGED_BYTES`. This depends on the blocks' lengths alone, never on the workers or on where blocks lie, so the same
    blocks give the same bits anywhere. Sums over merged blocks round as sums over fewer, longer blocks do: relative to
    a sum a block they differ by some units in the last place, no more than those of another chunking.

    A merged block is a copy that its parts give anew if it is lost. It is computed once where data is held, which then
    takes up to twice the memory of the caller's own persisted blocks, of this small size.

    Parameters
    ----------
    arrays : mapping
        X and what lies beside it, in as many blocks each; lengths that are needed and not known are computed.

    Returns
    -------
    arrays : dict
        Of merged blocks.
    runs : list of Run
        The caller's blocks of each; none where nothing was merged.
    """
    X = arrays["X"]
    row_bytes = _row_bytes(X)
    if X.numblocks[0] <= MAX_BLOCKS or _first_length(X) * row_bytes > TINY_BYTES:
        return dict(arrays), []
    known = [array for array in arrays.values() if not has_unknown(array)] or [
        with_lengths(min(arrays.values(), key=lambda array: array.ndim))
    ]
    runs = tiny_runs([int(length) for length in known[0].chunks[0]], MERGED_BYTES // row_bytes)
    if len(runs) == X.numblocks[0]:
        return dict(arrays), []
    return {name: _merged(name, array, runs) for name, array in arrays.items()}, runs


def tiny_runs(lengths: Sequence[int], most_rows: int) -> list[Run]:
    """Cut blocks into runs of at most ``most_rows`` rows; a longer block is a run of its own.

    Examples
    --------
    >>> [run.lengths for run in tiny_runs([3, 1, 9, 2, 2, 2], 5)]
    [(3, 1), (9,), (2, 2), (2,)]
    """
    starts, rows = [0], 0
    for position, length in enumerate(lengths):
        if rows + length > most_rows and position > starts[-1]:
            starts.append(position)
            rows = 0
        rows += length
    return [Run(start, tuple(lengths[start:stop])) for start, stop in zip(starts, [*starts[1:], None], strict=True)]


def _row_bytes(X: da.Array) -> int:
    width = min(X.shape[1], SPARSE_WIDTH) if sp.issparse(meta_from_array(X)) else X.shape[1]
    return max(int(width), 1) * int(X.dtype.itemsize)


def _first_length(array: da.Array) -> int:
    """Return the length of the first block that has rows."""
    for position, length in enumerate(array.chunks[0]):
        if np.isnan(length):
            (block,) = np.ravel(array.blocks[position].to_delayed())
            length = dask.delayed(n_rows)(block).compute()
        if length:
            return int(length)
    return 0


def _merged(name: str, array: da.Array, runs: Sequence[Run]) -> da.Array:
    keys = block_keys(array)
    width = array.shape[1] if name == "X" else None
    merged = f"daskml-merge-{tokenize(array.name, runs)}"
    tail = (0,) * (array.ndim - 1)
    layer = {
        (merged, i, *tail): (_Join(name, run, width), keys[run.first : run.first + len(run.lengths)])
        for i, run in enumerate(runs)
    }
    graph = HighLevelGraph.from_collections(merged, layer, [array])
    chunks = (tuple(sum(run.lengths) for run in runs), *array.chunks[1:])
    return da.Array(graph, merged, chunks, meta=meta_from_array(array))


class _Join:
    """Join the parts of a merged block, each checked as the block of the caller that it is."""

    def __init__(self, name: str, run: Run, n_features: int | None) -> None:
        self.name, self.run, self.n_features = name, run, n_features

    def __call__(self, parts: Sequence[Any]) -> Any:
        for index, (part, length) in enumerate(zip(parts, self.run.lengths, strict=True), self.run.first):
            if self.name == "X":
                as_block(part, index=index, n_features=self.n_features)
            else:
                as_block(
                    np.empty((length, 0)), *(part if name == self.name else None for name in PARTS[1:]), index=index
                )
            if n_rows(part) != length:
                raise DataError(f"{self.name}: expected {length} rows, got {n_rows(part)} in block {index}")
        rows = join(parts)
        return rows if sp.issparse(rows) else np.ascontiguousarray(rows)  # one order, whatever that of the parts: bits

"""Collections of any kind as blocks of the same rows, and back again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import scipy.sparse as sp
from dask.array.utils import meta_from_array
from dask.base import tokenize
from dask.dataframe.utils import make_meta
from dask.delayed import Delayed
from dask.highlevelgraph import HighLevelGraph

from daskml_kit.data.collections import (
    BLOCK_BYTES,
    MAX_BLOCKS,
    as_partitioned,
    check_total,
    cut,
    has_unknown,
    is_dask,
    join,
    n_rows,
    size_of,
    with_lengths,
)
from daskml_kit.exceptions import DataError


class Column(NamedTuple):
    """One collection as blocks of rows.

    Parameters
    ----------
    name : str
        What errors call it.
    meta : array, CSR matrix, DataFrame or Series without rows
    blocks : list of Delayed
    """

    name: str
    meta: Any
    blocks: list[Delayed]


class Rows(NamedTuple):
    """Collections cut into the same blocks of rows: ``lengths`` are those of the blocks.

    Parameters
    ----------
    columns : list of Column
    lengths : list of int
        A column whose own lengths are not known may still differ; `check_lengths` finds out where its blocks are.
    """

    columns: list[Column]
    lengths: list[int]

    @property
    def n_rows(self) -> int:
        return sum(self.lengths)

    @property
    def starts(self) -> list[int]:
        """The number of the first row of each block."""
        return [0, *accumulate(self.lengths)][:-1]


def align_rows(collections: Mapping[str, Any]) -> Rows:
    """Return the collections cut into the blocks of the first Dask collection among them.

    Lengths that are needed and not known are counted, by one pass over the cheapest collection of these blocks.

    Parameters
    ----------
    collections : mapping of names to Dask arrays, DataFrames, Series, NumPy arrays, pandas objects or CSR matrices

    Raises
    ------
    DataError
        Where one is of another type, or lengths differ.

    Examples
    --------
    >>> rows = align_rows({"X": da.zeros((5, 2), chunks=(3, 2)), "y": np.arange(5)})
    >>> rows.lengths, [column.name for column in rows.columns]
    ([3, 2], ['X', 'y'])
    """
    lazy = {name: _whole_rows(name, c) for name, c in collections.items() if is_dask(c)}
    if not lazy:
        name, values = next(iter(collections.items()))
        lazy[name] = _from_memory(name, values, None, name)
    first, lengths = next(iter(lazy)), _common_lengths(lazy)
    columns = []
    for name, collection in collections.items():
        if name in lazy:
            columns.append(_recut(_column(name, lazy[name]), lazy[name], lengths, first))
        else:
            columns.append(_column(name, _from_memory(name, collection, lengths, first)))
    return Rows(columns, lengths)


def check_lengths(names: Sequence[str], parts: Sequence[Any], index: int, length: int) -> None:
    """Raise a `DataError` where one of the ``parts`` of block ``index`` has not ``length`` rows."""
    for name, part in zip(names, parts, strict=True):
        if n_rows(part) != length:
            raise DataError(
                f"{name}: Found input variables with inconsistent numbers of samples: "
                f"expected {length} rows, got {n_rows(part)} in block {index}"
            )


def collect(meta: Any, graph: HighLevelGraph, keys: Sequence[Any], lengths: Sequence[float], name: str) -> Any:
    """Return a Dask collection of the kind of ``meta`` whose blocks are the tasks ``keys`` of ``graph``.

    Parameters
    ----------
    meta : array, CSR matrix, DataFrame or Series without rows
    graph : HighLevelGraph
    keys : sequence
    lengths : sequence of float
        Rows of each block, NaN where not known.
    name : str
        The prefix of the keys.
    """
    if isinstance(meta, (pd.DataFrame, pd.Series)):
        # `dd.from_delayed` would check each block by a task that may run on another worker, and change object columns
        return dd.from_graph(graph.to_dict(), meta, (None,) * (len(keys) + 1), list(keys), name)
    name = f"{name}-{tokenize(keys)}"
    tail = meta.shape[1:]
    named = {(name, i, *(0 for _ in tail)): key for i, key in enumerate(keys)}
    layers, dependencies = {**graph.layers, name: named}, {**graph.dependencies, name: _layers_of(keys, graph)}
    chunks = (tuple(lengths), *((width,) for width in tail))
    return da.Array(HighLevelGraph(layers, dependencies), name, chunks, meta=meta)


def _layers_of(keys: Sequence[Any], graph: HighLevelGraph) -> set[str]:
    """Return the layers that hold the tasks ``keys``, which mostly are called after them."""
    names = {key[0] if isinstance(key, tuple) else key for key in keys}
    if names <= graph.layers.keys():
        return names
    return {name for name, tasks in graph.layers.items() if any(key in tasks for key in keys)}


def _whole_rows(name: str, collection: Any) -> Any:
    if not isinstance(collection, da.Array):
        return collection
    if collection.ndim == 0:
        raise DataError(f"{name}: expected rows, got an array without dimensions")
    if max(collection.numblocks[1:], default=1) > 1:
        return collection.rechunk(dict.fromkeys(range(1, collection.ndim), -1))
    return collection


def _column(name: str, collection: Any) -> Column:
    if isinstance(collection, da.Array):
        meta = meta_from_array(collection)
        if sp.issparse(meta):
            kind = sp.csr_matrix if isinstance(meta, sp.spmatrix) else sp.csr_array
            meta = kind((0, collection.shape[1]), dtype=collection.dtype)
        else:
            meta = np.empty((0, *collection.shape[1:]), collection.dtype)
        return Column(name, meta, list(np.ravel(collection.to_delayed(optimize_graph=False))))
    with as_partitioned():
        return Column(name, make_meta(collection), list(collection.to_delayed()))


def _from_memory(name: str, values: Any, lengths: Sequence[int] | None, like: str) -> Any:
    """Return values in memory as a Dask collection, cut as ``lengths`` say."""
    if not isinstance(values, (pd.DataFrame, pd.Series)) and not sp.issparse(values):
        values = np.asarray(values)
        if values.ndim == 0:
            raise DataError(f"{name}: expected rows, got {values!r}")
    if sp.issparse(values):
        values = values.tocsr()
    total = n_rows(values)
    if lengths is None:
        n_blocks = int(min(max(size_of(values) // BLOCK_BYTES, 1), MAX_BLOCKS, max(total, 1)))
        lengths = [total * (i + 1) // n_blocks - total * i // n_blocks for i in range(n_blocks)]
    check_total(name, lengths, [total], like)
    edges = [0, *accumulate(lengths)]
    parts = [cut(values, a, b) for a, b in pairwise(edges)]
    layer = f"daskml-memory-{tokenize(values, lengths)}"
    keys = [(layer, i) for i in range(len(parts))]
    graph = HighLevelGraph({layer: dict(zip(keys, parts, strict=True))}, {layer: set()})
    return collect(cut(values, 0, 0), graph, keys, lengths, "daskml-cut")


def _common_lengths(collections: Mapping[str, Any]) -> list[int]:
    """Return the lengths of the blocks of the first collection."""
    first = next(iter(collections.values()))
    if isinstance(first, da.Array) and not has_unknown(first):
        return _counted(first)
    alike = [c for c in collections.values() if c.npartitions == first.npartitions]
    known = [c for c in alike if isinstance(c, da.Array) and not has_unknown(c)]
    return _counted(min(known or alike, key=lambda c: c.ndim))


def _counted(collection: Any) -> list[int]:
    if isinstance(collection, da.Array):
        return [int(length) for length in with_lengths(collection).chunks[0]]
    if isinstance(collection, dd.DataFrame) and len(collection.columns):
        collection = collection[[collection.columns[0]]]  # all that a columnar file has to be read for
    with as_partitioned():
        return [int(length) for length in collection.map_partitions(len).compute()]


def _recut(column: Column, collection: Any, lengths: list[int], like: str) -> Column:
    """Return the column with its rows cut into blocks of ``lengths``.

    As many blocks of unknown lengths are taken as they are: `check_lengths` looks at each where it lies.
    """
    unknown = not isinstance(collection, da.Array) or has_unknown(collection)
    if unknown and len(column.blocks) == len(lengths):
        return column
    own = _counted(collection)
    if own == lengths:
        return column
    check_total(column.name, lengths, own, like)
    old, new = [0, *accumulate(own)], [0, *accumulate(lengths)]
    piece, joined = dask.delayed(cut, pure=True), dask.delayed(join, pure=True)
    blocks = []
    for start, stop in pairwise(new):
        overlapping = [i for i in range(len(own)) if old[i] < stop and old[i + 1] > start] or [0]
        blocks.append(
            joined([piece(column.blocks[i], max(start - old[i], 0), max(stop - old[i], 0)) for i in overlapping])
        )
    return column._replace(blocks=blocks)

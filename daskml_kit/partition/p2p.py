"""Shuffle through disk, by Dask's own peer-to-peer shuffle, for data that does not fit in memory."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from typing import Any

import dask
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pyarrow as pa
import scipy.sparse as sp
from dask.base import tokenize
from dask.dataframe.utils import has_known_categories
from dask.highlevelgraph import HighLevelGraph

from daskml_kit.data.align import Rows, check_lengths
from daskml_kit.partition.exchange import Partitioner
from daskml_kit.typing import Array

PLACE = "place"
BYTES = pd.ArrowDtype(pa.large_binary())


def pack(places: Array, parts: Sequence[Any], metas: Sequence[Any]) -> pd.DataFrame:
    """Return a frame of the ``places`` and of all ``parts``, of the kinds of ``metas``, row by row.

    A row of a dense array becomes one binary value, a row of a CSR matrix two; a frame keeps its columns and its
    index. A column is called after the number of its part and what it is in there. Objects are pickled: the shuffle
    would make strings of them, and of None another missing value.
    """
    columns: dict[str, Any] = {PLACE: places}
    for number, (part, meta) in enumerate(zip(parts, metas, strict=True)):
        for name, values in _columns(part, meta).items():
            columns[f"{number}.{name}"] = values
    return pd.DataFrame(columns)


def unpack(packed: pd.DataFrame, number: int, meta: Any) -> Any:
    """Return part ``number`` of a packed frame, of the kind of ``meta``."""
    if isinstance(meta, pd.Series):
        return unpack(packed, number, meta.to_frame()).iloc[:, 0].rename(meta.name)
    if isinstance(meta, pd.DataFrame):
        index = pd.Index(_restored(packed[f"{number}.index"], meta.index.dtype).array, name=meta.index.name)
        columns = [_restored(packed[f"{number}.{i}"], dtype) for i, dtype in enumerate(meta.dtypes)]
        frame = pd.DataFrame({i: column.array for i, column in enumerate(columns)}, index=index)
        return frame.set_axis(meta.columns, axis=1)
    if sp.issparse(meta):
        values, _ = _from_bytes(packed[f"{number}.values"], meta.dtype)
        indices, ends = _from_bytes(packed[f"{number}.indices"], np.dtype(np.int64))
        return type(meta)((values, indices, ends), shape=(len(packed), meta.shape[1]))
    if meta.dtype.kind in "OUST":
        values = _unpickled(packed[f"{number}.rows"], meta.shape[1:])
        return values if meta.dtype.kind == "O" else _as_text(values, meta.dtype)
    return _from_bytes(packed[f"{number}.rows"], meta.dtype)[0].reshape(len(packed), *meta.shape[1:])


def _columns(part: Any, meta: Any) -> dict[str, Any]:
    if isinstance(part, pd.Series):
        return _columns(part.to_frame(), meta)
    if isinstance(part, pd.DataFrame):
        own = {str(i): _plain(part.iloc[:, i]) for i in range(part.shape[1])}
        return {**own, "index": _plain(part.index)}
    if sp.issparse(part):
        values, indices = part.data.astype(meta.dtype, copy=False), part.indices.astype(np.int64)
        return {"values": _to_bytes(values, part.indptr), "indices": _to_bytes(indices, part.indptr)}
    if meta.dtype.kind in "OUST":
        return {"rows": _pickled(part)}
    width = int(np.prod(part.shape[1:]))
    return {"rows": _to_bytes(np.ascontiguousarray(part, meta.dtype), np.arange(len(part) + 1) * width)}


def _plain(column: pd.Series[Any] | pd.Index[Any]) -> Any:
    """Return categories as the values they stand for: the blocks' own lists of them may differ."""
    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return _plain(column.astype(dtype.categories.dtype))
    return _pickled(column) if pd.api.types.is_object_dtype(dtype) else column.array


def _restored(column: pd.Series[Any], dtype: Any) -> pd.Series[Any]:
    if column.dtype == BYTES and dtype != BYTES:
        column = pd.Series(_unpickled(column), dtype=object)
    if isinstance(dtype, pd.CategoricalDtype) and not has_known_categories(pd.Series([], dtype=dtype)):
        return column.astype("category")
    return column.astype(dtype)


def _pickled(values: Any) -> Any:
    """Return each row as a binary value."""
    return pd.array(pa.array([pickle.dumps(value) for value in values], pa.large_binary()), dtype=BYTES)


def _unpickled(column: pd.Series[Any], tail: tuple[int, ...] = ()) -> Array:
    values = np.empty((len(column), *tail), object)
    for row, value in enumerate(column):
        values[row] = pickle.loads(value)
    return values


def _as_text(values: Array, dtype: np.dtype[Any]) -> Array:
    """Return strings as an array of the kind of ``dtype``, or of a wider one where that would cut them off."""
    text = values.astype(dtype.type if dtype.kind in "US" else dtype)
    return text.astype(np.promote_types(dtype, text.dtype), copy=False)


def _to_bytes(values: Array, ends: Array) -> Any:
    """Return the values between neighboring ``ends`` as binary values."""
    offsets = pa.py_buffer(np.ascontiguousarray(ends, np.int64) * values.itemsize)
    data = pa.py_buffer(values.reshape(-1).view(np.uint8))
    return pd.array(pa.Array.from_buffers(pa.large_binary(), len(ends) - 1, [None, offsets, data]), dtype=BYTES)


def _from_bytes(column: pd.Series[Any], dtype: np.dtype[Any]) -> tuple[Array, Array]:
    """Return the values of all rows, and where those of each row end, beginning with 0."""
    rows = pa.array(column)
    rows = rows.combine_chunks() if isinstance(rows, pa.ChunkedArray) else rows
    _, offsets, data = rows.buffers()
    ends = np.frombuffer(offsets, np.int64)[rows.offset : rows.offset + len(rows) + 1]
    values = np.frombuffer(data, np.uint8)[ends[0] : ends[-1]] if len(rows) else np.empty(0, np.uint8)
    return values.view(dtype).copy(), (ends - ends[0]) // dtype.itemsize


def shuffle_through_disk(rows: Rows, partitioner: Partitioner) -> tuple[HighLevelGraph, list[list[Any]]]:
    """Return the graph that cuts and orders ``rows`` as ``partitioner`` says, and the keys of each column's blocks.

    All collections travel as one frame, sorted by place: `dask.dataframe.DataFrame.set_index` with the edges of the
    partitioner as divisions, which on a cluster goes from worker to worker and spills, with as many tasks as blocks.
    """
    names = [column.name for column in rows.columns]
    packing, shared = dask.delayed(_pack, pure=True), dask.delayed(partitioner, pure=True, traverse=False)
    blocks = zip(rows.starts, rows.lengths, zip(*(c.blocks for c in rows.columns), strict=True), strict=True)
    metas = [column.meta for column in rows.columns]
    kinds = dask.delayed(metas, traverse=False)
    packed = [
        packing(shared, names, kinds, index, start, length, list(parts))
        for index, (start, length, parts) in enumerate(blocks)
    ]
    meta = pack(partitioner.edges[:0], metas, metas)
    edges = [int(edge) for edge in partitioner.edges]
    shuffled = dd.from_delayed(packed, meta=meta).set_index(PLACE, divisions=edges, sort=True).to_delayed()
    name = f"daskml-unpack-{tokenize([part.key for part in shuffled])}"
    keys = [[(name, position, c) for position in range(len(shuffled))] for c in range(len(metas))]
    layer = {(name, i, c): (unpack, shuffled[i].key, c, metas[c]) for own in keys for name, i, c in own}
    return HighLevelGraph.from_collections(name, layer, dependencies=list(shuffled)), keys


def _pack(
    partitioner: Partitioner,
    names: Sequence[str],
    metas: Sequence[Any],
    index: int,
    start: int,
    length: int,
    parts: Sequence[Any],
) -> pd.DataFrame:
    check_lengths(names, parts, index, length)
    return pack(partitioner.places(index, start, parts), parts, metas)

"""Methods of a fitted model over the blocks of Dask data, lazily."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import cloudpickle
import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
from dask.delayed import Delayed

from daskml_kit.data.block import native
from daskml_kit.data.collections import as_partitioned
from daskml_kit.exceptions import DataError
from daskml_kit.numerics.encoding import transform_rows
from daskml_kit.reductions.frames import is_sparse

SMALL_MODEL = 2**20
"""Bytes of a model that each task on a data frame may hold."""


def map_rows(model: Any, method: str, X: Any, meta: Any) -> Any:
    """Return the lazy results of ``model.method`` over the blocks of ``X``.

    The model is one node of the graph, not a copy in each task, except for small models on data frames, whose result
    Dask may then go on optimizing. ``meta``, an empty result, decides what comes back: a Dask DataFrame for a data
    frame, else a Dask array (of CSR blocks where it is sparse). Rows of one dimension are labels or documents.
    """
    name = f"daskml-{method.replace('_', '-')}"
    meta = _as_csr(meta)
    if isinstance(X, (dd.DataFrame, dd.Series)):
        with as_partitioned():
            if len(cloudpickle.dumps(model)) <= SMALL_MODEL:
                return X.map_partitions(_call, model, method, meta, meta=meta, token=name)
            # Dask fuses a shared node of an expression wrongly: "Cannot fuse tasks with multiple outputs"
            parts = _delayed_calls(X.to_delayed(), model, method, meta)
        if isinstance(meta, (pd.DataFrame, pd.Series)):
            return dd.from_delayed(parts, meta=meta, divisions=X.divisions)
        shape = (np.nan, *meta.shape[1:])
        arrays = [da.from_delayed(part, shape, dtype=meta.dtype, meta=meta) for part in parts]
        return da.concatenate(arrays, allow_unknown_chunksizes=True)
    if X.ndim == 2 and X.numblocks[1] > 1:
        X = X.rechunk({1: -1})
    if isinstance(meta, pd.DataFrame):
        return dd.from_delayed(_delayed_calls(X.to_delayed().ravel(), model, method, meta), meta=meta)
    shared = dask.delayed(model, pure=True)
    options: dict[str, Any] = {"model": shared, "method": method, "meta_": meta, "dtype": meta.dtype, "meta": meta}
    options["token"] = name
    if meta.ndim == 1:
        return X.map_blocks(_call, drop_axis=[1] if X.ndim == 2 else None, **options)
    chunks = (X.chunks[0], (meta.shape[1],))
    return X.map_blocks(_call, chunks=chunks, new_axis=[1] if X.ndim == 1 else None, **options)


def _delayed_calls(blocks: Iterable[Any], model: Any, method: str, meta: Any) -> list[Delayed]:
    """Return a call for each block, to all of which the model is one node."""
    call, shared = dask.delayed(_call), dask.delayed(model, pure=True)
    return [call(block, shared, method, meta, block_id=(number,)) for number, block in enumerate(blocks)]


def _call(block: Any, model: Any, method: str, meta_: Any, partition_info: Any = None, block_id: Any = None) -> Any:
    if block.shape[0] == 0:  # scikit-learn refuses to work on no rows
        return meta_.copy()
    block = native(block)
    try:
        found = transform_rows(model, block) if method == "transform" else getattr(model, method)(block)
        return _as_csr(found)
    except ValueError as error:
        number = block_id[0] if block_id else partition_info["number"] if partition_info else None
        raise DataError(f"{error} (in block {number})") from error


def _as_csr(rows: Any) -> Any:
    """Return rows as they are, but those of a sparse matrix of another format as CSR, which Dask can put together."""
    return rows.tocsr() if is_sparse(rows) and rows.format != "csr" else rows


def with_meta(result: Any, meta: Any) -> Any:
    """Say that the blocks are sparse, which Dask forgets on the way from a data frame."""
    if not is_sparse(meta) or not isinstance(result, da.Array):
        return result
    return da.Array(result.dask, result.name, result.chunks, meta=_as_csr(meta))

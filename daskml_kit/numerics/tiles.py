"""Rows in pieces, so that the temporaries of a pass stay small and near the processor.

A piece is a few times the L2 cache, not smaller: threads that leave and enter NumPy often wait for each other longer
than the outer cache costs (measured: 27 ms a pass at 8,000 rows of 28 features, 23 ms at 30,000, 22 ms at 60,000).
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import scipy.sparse as sp

from daskml_kit.typing import Array, Matrix

TILE_BYTES = 8 * 2**20
MIN_ROWS, MAX_ROWS = 256, 32_768


class _Scratch(threading.local):
    def __init__(self) -> None:
        self.open, self.buffers = False, dict[str, Array]()


_scratch = _Scratch()


@contextmanager
def scratch_memory() -> Iterator[None]:
    """Let `scratch` take memory that this thread keeps, while inside.

    A thread keeps about a tile's temporaries. New memory for each of them, which an allocator gives back to the system
    at once, takes as long to touch for the first time as what is computed in it (measured on Dask workers: a fifth of
    a logistic fit's processor time).
    """
    before, _scratch.open = _scratch.open, True
    try:
        yield
    finally:
        _scratch.open = before


def scratch(name: str, shape: tuple[int, ...], dtype: np.dtype) -> Array:
    """Return an array to be written; inside of `scratch_memory` it is valid until the same ``name`` is taken again."""
    size, dtype = math.prod(shape), np.dtype(dtype)
    n_bytes = size * dtype.itemsize
    if not _scratch.open or n_bytes > TILE_BYTES:
        return np.empty(shape, dtype)
    buffer = _scratch.buffers.get(name)
    if buffer is None or buffer.nbytes < n_bytes:
        buffer = _scratch.buffers[name] = np.empty(n_bytes, np.uint8)
    return buffer[:n_bytes].view(dtype).reshape(shape)


def tile_rows(X: Matrix, n_columns: int) -> int:
    """Return the number of rows of ``X`` that, beside ``n_columns`` temporaries a row, fit in `TILE_BYTES`."""
    width = X.nnz / max(X.shape[0], 1) * 1.5 if sp.issparse(X) else X.shape[1]
    row_bytes = 8 * (width + 6 * n_columns)
    return int(min(max(TILE_BYTES / max(row_bytes, 1), MIN_ROWS), MAX_ROWS))


def tiles(n_rows: int, size: int) -> Iterator[slice]:
    """Cut ``n_rows`` into slices of ``size`` rows.

    Examples
    --------
    >>> list(tiles(5, 2))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    return (slice(start, min(start + size, n_rows)) for start in range(0, n_rows, size))


def rows_by_id(ids: Array) -> Iterator[tuple[int, slice | Array]]:
    """Yield each id that is there with its rows, ascending: a slice where they follow each other.

    Examples
    --------
    >>> list(rows_by_id(np.array([2, 2, 0, 1, 0])))
    [(0, array([2, 4])), (1, slice(3, 4, None)), (2, slice(0, 2, None))]
    """
    order = None if (ids[:-1] <= ids[1:]).all() else np.argsort(ids, kind="stable")
    ordered = ids if order is None else ids[order]
    starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1])) if len(ids) else np.empty(0, int)
    for start, stop in zip(starts.tolist(), [*starts[1:].tolist(), len(ids)], strict=False):
        rows = slice(start, stop) if order is None else order[start:stop]
        if not isinstance(rows, slice) and rows[-1] - rows[0] == stop - start - 1:
            rows = slice(int(rows[0]), int(rows[-1]) + 1)
        yield int(ordered[start]), rows

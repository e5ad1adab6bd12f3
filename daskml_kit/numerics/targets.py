"""Targets of losses: how a tile of stored targets becomes the numbers that a loss compares with."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import scipy.sparse as sp

from daskml_kit.typing import Array, Labels, Matrix

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


def float_type(X: Matrix) -> np.dtype[Any]:
    """Return the type to compute with rows in: float32 for float32, else float64, as whole numbers have no fractions.

    Examples
    --------
    >>> float_type(np.ones((1, 1), np.int8)), float_type(np.ones((1, 1), np.float32))
    (dtype('float64'), dtype('float32'))
    """
    return np.dtype(np.float32 if X.dtype == np.float32 else np.float64)


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


class Read(NamedTuple):
    """Targets of shape (1 or n_columns, n_rows) and weights that broadcast against them."""

    y: Array
    weight: Array | None


class Target(Protocol):
    """A way to read targets; those of one kind join, so that one pass can answer for many."""

    def read(self, y: Array, weight: Array | None, dtype: np.dtype) -> Read:
        """Return the targets and weights of one tile."""

    def join(self, others: Sequence[Target]) -> Target:
        """Return the target whose columns are those of this one, then those of ``others``."""

    def pick(self, columns: Array) -> Target:
        """Return the target whose columns are some of this one's."""

    def key(self) -> object:
        """Return what must be equal for two targets to join."""


@dataclass(frozen=True, eq=False)
class Numbers:
    """The targets as they are, the ``outputs`` (of shape (n_columns,)) of them where there are several."""

    outputs: Array

    def read(self, y: Array, weight: Array | None, dtype: np.dtype) -> Read:
        columns = y.reshape(1, -1) if y.ndim == 1 else y.T[self.outputs]
        return Read(columns.astype(dtype, copy=False), weight)

    def join(self, others: Sequence[Target]) -> Target:
        return Numbers(np.concatenate([t.outputs for t in (self, *others) if isinstance(t, Numbers)]))

    def pick(self, columns: Array) -> Target:
        return Numbers(self.outputs[columns])

    def key(self) -> object:
        return "numbers"


@dataclass(frozen=True, eq=False)
class OneVsRest:
    """One column a label: -1 where the target is that label, else 1: the sign that makes a margin of a predictor.

    Parameters
    ----------
    labels : array of shape (n_columns,)
    class_weight : array of shape (n_columns, 2), optional
        What the weights of the rest, and of the label, are multiplied with.
    """

    labels: Array
    class_weight: Array | None = None

    def read(self, y: Array, weight: Array | None, dtype: np.dtype) -> Read:
        labels, factors = self.labels, self.class_weight
        if (labels == labels[0]).all():  # as in a search: one row of signs serves all columns
            labels = labels[:1]
        chosen = y.reshape(1, -1) == labels[:, None]
        if factors is not None:
            factor = np.where(chosen, factors[:, 1:], factors[:, :1])
            weight = factor if weight is None else factor * weight
        signs = scratch("signs", chosen.shape, dtype)
        np.multiply(chosen, -2, out=signs)
        signs += 1
        return Read(signs, weight)

    def join(self, others: Sequence[Target]) -> Target:
        every = [t for t in (self, *others) if isinstance(t, OneVsRest)]
        weights = [t.class_weight for t in every if t.class_weight is not None]
        factors = np.concatenate(weights) if weights else None
        return OneVsRest(np.concatenate([t.labels for t in every]), factors)

    def pick(self, columns: Array) -> Target:
        return OneVsRest(self.labels[columns], None if self.class_weight is None else self.class_weight[columns])

    def key(self) -> object:
        return ("one-vs-rest", self.class_weight is None)


@dataclass(frozen=True, eq=False)
class Codes:
    """The position of each target among the sorted ``labels``.

    Parameters
    ----------
    labels : array of shape (n_classes,)
    class_weight : array of shape (n_classes,), optional
    """

    labels: Labels
    class_weight: Array | None = None

    def read(self, y: Array, weight: Array | None, dtype: np.dtype) -> Read:
        # rows that a fit leaves out may have labels that it does not know, beyond the last one
        codes = np.minimum(np.searchsorted(self.labels, y), len(self.labels) - 1)
        if self.class_weight is not None:
            factor = self.class_weight[codes]
            weight = factor if weight is None else factor * weight
        return Read(codes.reshape(1, -1), weight)

    def join(self, others: Sequence[Target]) -> Target:
        return self

    def pick(self, columns: Array) -> Target:
        return self

    def key(self) -> object:
        return ("codes", self.labels.tobytes(), None if self.class_weight is None else self.class_weight.tobytes())

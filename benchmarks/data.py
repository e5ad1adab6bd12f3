"""Data sets of the benchmarks, made part by part so that no temporary has the size of the data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import dask
import dask.array as da
import numpy as np
import numpy.typing as npt
from distributed import wait

Array: TypeAlias = npt.NDArray[Any]
PART_ROWS = 8_192


class Data(NamedTuple):
    """Features of shape (n_rows, n_features) and a target of shape (n_rows,)."""

    X: Array
    y: Array


Maker: TypeAlias = Callable[[int, int], Data]
"""Makes the rows of part number ``part``: ``maker(part, n_rows)``."""


def badly_scaled(part: int, n_rows: int) -> Data:
    """28 correlated features of scales e^-1 to e^1 and means that are not zero; labels of a logistic model."""
    d, fixed = 28, np.random.default_rng(1)
    mix = fixed.normal(size=(d, d)) / np.sqrt(d) + np.eye(d)
    scale = np.exp(np.linspace(-1, 1, d))
    mean, gradients = fixed.normal(size=d) * scale, fixed.normal(size=d) / scale / np.sqrt(d)
    rng = np.random.default_rng([2, part])
    X = rng.normal(size=(n_rows, d)) @ mix * scale
    y = rng.random(n_rows) < 1 / (1 + np.exp(-(X @ gradients)))
    return Data(X + mean, y.astype(np.int64))


def low_rank(part: int, n_rows: int) -> Data:
    """100 features, a signal of rank 20 plus noise, and a linear target plus noise."""
    d, rank, fixed = 100, 20, np.random.default_rng(3)
    factors, gradients = fixed.normal(size=(rank, d)), fixed.normal(size=d)
    rng = np.random.default_rng([4, part])
    X = rng.normal(size=(n_rows, rank)) @ factors + 0.1 * rng.normal(size=(n_rows, d))
    return Data(X, X @ gradients + rng.normal(size=n_rows) + 3)


def ten_classes(part: int, n_rows: int) -> Data:
    """50 features and ten classes of a multinomial logistic model."""
    d, k, fixed = 50, 10, np.random.default_rng(5)
    gradients = fixed.normal(size=(d, k)) / np.sqrt(d) * 2
    rng = np.random.default_rng([6, part])
    X = rng.normal(size=(n_rows, d))
    return Data(X, (X @ gradients + rng.gumbel(size=(n_rows, k))).argmax(axis=1))


def in_memory(make: Maker, n_rows: int, first: int = 0) -> Data:
    """Return ``n_rows`` rows from part ``first`` on as NumPy arrays."""
    like = make(0, 1)
    X, y = np.empty((n_rows, like.X.shape[1])), np.empty(n_rows, like.y.dtype)
    for part, start in enumerate(range(0, n_rows, PART_ROWS), first):
        stop = min(start + PART_ROWS, n_rows)
        X[start:stop], y[start:stop] = make(part, stop - start)
    return Data(X, y)


def on_dask(data: Data, n_blocks: int) -> tuple[da.Array, da.Array]:
    """Return the rows as Dask arrays, persisted in this process, of ``n_blocks`` blocks unless those are small."""
    rows = max(-(-len(data.y) // n_blocks), PART_ROWS)
    X = da.from_array(data.X, chunks=(rows, data.X.shape[1]))
    X, y = dask.persist(X, da.from_array(data.y, chunks=rows), scheduler="threads")
    return X, y


def on_workers(make: Maker, n_rows: int, n_blocks: int) -> tuple[da.Array, da.Array]:
    """Return the rows of `in_memory` in about ``n_blocks`` blocks of Dask arrays, made and persisted on the cluster."""
    parts = max(-(-n_rows // PART_ROWS // n_blocks), 1)
    like, blocks = make(0, 1), []
    for first in range(0, -(-n_rows // PART_ROWS), parts):
        size = min(parts * PART_ROWS, n_rows - first * PART_ROWS)
        block = dask.delayed(in_memory, pure=True)(make, size, first)
        shapes = ((size, like.X.shape[1]), (size,))
        blocks.append([da.from_delayed(block[i], shapes[i], dtype=like[i].dtype) for i in (0, 1)])
    X, y = dask.persist(*(da.concatenate(column) for column in zip(*blocks, strict=True)))
    wait([X, y])
    return X, y

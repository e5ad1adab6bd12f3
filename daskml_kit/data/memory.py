"""Memory limits: sizes of data, and the room for them here or on a cluster."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import dask
import dask.array as da
import numpy as np
import psutil
import scipy.sparse as sp
from dask.array.utils import meta_from_array
from distributed import Client

from daskml_kit.data.collections import has_unknown

FIT_FRACTION = 0.5
"""Data up to this share of the free memory is persisted; larger data streams from its graph in each pass."""


def fits(client: Client | None, n_bytes: float) -> bool:
    """Return whether so many bytes may be held in the free memory of the cluster, or of this machine."""
    return n_bytes <= FIT_FRACTION * free_memory(client)


def free_memory(client: Client | None) -> float:
    """Return the bytes that are free on all workers together, or without a client here."""
    if client is None:
        return float(psutil.virtual_memory().available)
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    free = (max(w["memory_limit"] - w["metrics"]["memory"], 0) if w["memory_limit"] else np.inf for w in workers)
    return float(sum(free))


def array_bytes(array: da.Array) -> float:
    """Return the size of ``array``; where its blocks do not tell, that of the first with rows times their number."""
    if not has_unknown(array) and not sp.issparse(meta_from_array(array)):
        return float(array.nbytes)
    return blocks_bytes(np.ravel(array.to_delayed()))


def blocks_bytes(blocks: Iterable[Any]) -> float:
    """Return the size of the first of the delayed ``blocks`` that has any, times their number."""
    every = list(blocks)
    for block in every:
        (size,) = dask.compute(dask.delayed(size_of)(block))
        if size:
            return float(size) * len(every)
    return 0.0


def size_of(block: Any) -> int:
    """Return the bytes of a data frame, an array or a CSR matrix.

    Examples
    --------
    >>> size_of(np.zeros(3)), size_of(sp.csr_array((2, 2)))
    (24, 0)
    """
    if hasattr(block, "memory_usage"):
        return int(np.sum(block.memory_usage(deep=True))) if len(block) else 0
    if sp.issparse(block):
        return int(block.data.nbytes + block.indices.nbytes)
    return int(block.nbytes)

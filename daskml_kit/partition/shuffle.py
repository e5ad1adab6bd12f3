"""Shuffle of rows between blocks: in memory where there is room, else through disk."""

from __future__ import annotations

from typing import Any

import numpy as np
from distributed import Client, futures_of

from daskml_kit.data.align import Column, Rows
from daskml_kit.data.collections import blocks_bytes, fits
from daskml_kit.engines.open import find_client
from daskml_kit.exceptions import DataError
from daskml_kit.partition.exchange import Partitioner, exchange
from daskml_kit.partition.p2p import shuffle_through_disk

COPIES = 3
"""The rows, sorted by where they go, and joined where they came: what an exchange in memory holds at its height."""


def shuffle(rows: Rows, partitioner: Partitioner) -> list[Any]:
    """Return the collections of ``rows``, lazy, cut and ordered as ``partitioner`` says.

    Blocks without a row are what Dask's shuffle does not make: fewer rows than blocks are exchanged in memory.
    """
    client = find_client()
    n_bytes = sum(_bytes(column, rows.n_rows, client) for column in rows.columns)
    if rows.n_rows < len(partitioner.edges) or fits(client, COPIES * n_bytes):
        return exchange(rows, partitioner, client)
    return shuffle_through_disk(rows, partitioner)


def named(collections: tuple[Any, ...]) -> dict[str, Any]:
    """Return the collections with the names that errors call them by.

    Raises
    ------
    DataError
        Where there are none.
    """
    if not collections:
        raise DataError("collections: expected at least one array, DataFrame or Series, got none")
    return {f"collections[{number}]": collection for number, collection in enumerate(collections)}


def unwrapped(results: list[Any]) -> Any:
    """Return the only result, or all as a tuple."""
    return results[0] if len(results) == 1 else tuple(results)


def check_npartitions(npartitions: Any, default: int) -> int:
    """Return the number of blocks of the result.

    Raises
    ------
    DataError
        Where it is not a positive integer.
    """
    if npartitions is None:
        return default
    if isinstance(npartitions, bool) or not isinstance(npartitions, (int, np.integer)) or npartitions < 1:
        raise DataError(f"npartitions: expected a number of blocks, at least 1, got {npartitions!r}")
    return int(npartitions)


def _bytes(column: Column, n_rows: int, client: Client | None) -> float:
    if isinstance(column.meta, np.ndarray) and not column.meta.dtype.hasobject:
        return float(n_rows * column.meta.itemsize * np.prod(column.meta.shape[1:], dtype=float))
    held = {future.key for future in futures_of(column.blocks)}
    if client is not None and all(block.key in held for block in column.blocks):
        return float(sum(client.nbytes([block.key for block in column.blocks], summary=False).values()))
    return blocks_bytes(column.blocks)

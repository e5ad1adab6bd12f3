"""Where the blocks of collections lie, and what is known of them before any is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import dask.array as da
import numpy as np
from dask.array.utils import meta_from_array
from dask.task_spec import Alias
from distributed import Client, Future, futures_of, wait

from daskml_kit.data.align import align_rows
from daskml_kit.data.collections import check_total, has_unknown, is_dask
from daskml_kit.data.indexing import n_rows
from daskml_kit.data.memory import size_of
from daskml_kit.exceptions import DataError


class Laid(NamedTuple):
    """One collection in blocks of rows.

    Parameters
    ----------
    name : str
        What errors call it.
    pieces : list of list
        What each block consists of: more than one piece where an array is cut between columns too. Delayed, or the
        values themselves where all collections are in memory.
    lengths : list of int or None
        Rows of each block; None where they have to be counted.
    sizes : list of int or None
        Bytes of each block; None where they have to be measured.
    held : list of dict
        Of each block: the bytes that each worker holds.
    """

    name: str
    pieces: list[list[Any]]
    lengths: list[int] | None
    sizes: list[int] | None
    held: list[dict[str, int]]


def lay(collections: Mapping[str, Any], client: Client | None) -> list[Laid]:
    """Return the collections in the same blocks of rows, as they lie wherever they are cut alike.

    Others are cut as the first Dask collection is, for which lengths that are not known are counted.

    Raises
    ------
    DataError
        Where one is no collection of rows, or lengths differ.
    """
    for name, collection in collections.items():
        if is_dask(collection) and collection.ndim == 0:
            raise DataError(f"{name}: expected rows, got an array without dimensions")
    if not any(is_dask(collection) for collection in collections.values()):
        return _in_memory(collections)
    laid = _as_they_are(collections) if _cut_alike(collections.values()) else _aligned(collections)
    return laid if client is None else _with_holders(laid, collections.values(), client)


def _in_memory(collections: Mapping[str, Any]) -> list[Laid]:
    laid: list[Laid] = []
    for name, collection in collections.items():
        values = collection if hasattr(collection, "shape") else np.asarray(collection)
        if not values.shape:
            raise DataError(f"{name}: expected rows, got {collection!r}")
        lengths = [n_rows(values)]
        if laid:
            check_total(name, laid[0].lengths or [], lengths, laid[0].name)
        laid.append(Laid(name, [[values]], lengths, [size_of(values)], [{}]))
    return laid


def _cut_alike(collections: Iterable[Any]) -> bool:
    every = list(collections)
    if not all(is_dask(c) for c in every):
        return False
    known = {c.chunks[0] for c in every if isinstance(c, da.Array) and not has_unknown(c)}
    return len(known) <= 1 and len({_n_blocks(c) for c in every}) == 1


def _n_blocks(collection: Any) -> int:
    return int(collection.numblocks[0] if isinstance(collection, da.Array) else collection.npartitions)


def _as_they_are(collections: Mapping[str, Any]) -> list[Laid]:
    laid = []
    for name, collection in collections.items():
        if isinstance(collection, da.Array):
            grid = collection.to_delayed(optimize_graph=False).reshape(collection.numblocks[0], -1)
            known = None if has_unknown(collection) else [int(length) for length in collection.chunks[0]]
            meta, tail = meta_from_array(collection), collection.shape[1:]
            laid.append(_described(name, grid.tolist(), known, meta, tail))
        else:
            laid.append(_described(name, [[block] for block in collection.to_delayed()], None, None, ()))
    return laid


def _aligned(collections: Mapping[str, Any]) -> list[Laid]:
    rows = align_rows(collections)
    laid = []
    for column, collection in zip(rows.columns, collections.values(), strict=True):
        sure = not is_dask(collection) or (isinstance(collection, da.Array) and not has_unknown(collection))
        pieces = [[block] for block in column.blocks]
        laid.append(_described(column.name, pieces, rows.lengths if sure else None, column.meta, column.meta.shape[1:]))
    return laid


def _described(name: str, pieces: list[list[Any]], lengths: list[int] | None, meta: Any, tail: Sequence[float]) -> Laid:
    plain = isinstance(meta, np.ndarray) and not meta.dtype.hasobject and bool(np.isfinite(tail).all())
    row = int(meta.dtype.itemsize * np.prod(tail)) if plain else 0
    sizes = [row * length for length in lengths] if plain and lengths is not None else None
    return Laid(name, pieces, lengths, sizes, [{} for _ in pieces])


def _with_holders(laid: list[Laid], collections: Iterable[Any], client: Client) -> list[Laid]:
    """Add which workers hold what; what the scheduler says of sizes stands for what would be measured."""
    futures = {future.key: future for future in futures_of(list(collections))}
    if not futures:
        return laid
    origins = [_origins(column, futures) for column in laid]
    wanted = list({key: futures[key] for found in origins for key in found.values()}.values())
    wait(wanted)
    for future in wanted:
        if future.status != "finished":
            future.result()
    keys = [future.key for future in wanted]
    sizes, holders = client.nbytes(keys, summary=False), client.who_has(wanted)
    there = {key: dict.fromkeys(holders[key], sizes[key]) for key in keys if holders.get(key) and key in sizes}
    return [_held(column, found, there) for column, found in zip(laid, origins, strict=True)]


def _origins(column: Laid, futures: Mapping[Any, Future]) -> dict[Any, Any]:
    """Return the keys of the futures that the pieces are but other names of."""
    graph, found = dict(column.pieces[0][0].dask), {}
    for piece in (piece for block in column.pieces for piece in block):
        key = piece.key
        while (target := _other_name(graph.get(key))) is not None:
            key = target
        if key in futures and piece.key in graph:
            found[piece.key] = key
    return found


def _other_name(task: Any) -> Any:
    """Return the key that a task is but another name of, None where it is more."""
    if isinstance(task, Alias):
        return task.target
    return task if isinstance(task, tuple) and task and isinstance(task[0], str) else None


def _held(column: Laid, origins: Mapping[Any, Any], there: Mapping[Any, dict[str, int]]) -> Laid:
    held: list[dict[str, int]] = []
    sizes: list[int] = []
    for block in column.pieces:
        places = [there.get(origins.get(piece.key), {}) for piece in block]
        bytes_on: dict[str, int] = {}
        for place in places:
            for worker, size in place.items():
                bytes_on[worker] = bytes_on.get(worker, 0) + size
        held.append(bytes_on)
        if all(places):
            sizes.append(sum(max(place.values()) for place in places))
    return column._replace(held=held, sizes=sizes if len(sizes) == len(held) else column.sizes)

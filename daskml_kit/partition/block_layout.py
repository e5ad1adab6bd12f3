"""Layout of collections: their blocks, what is known of each before any is read, and the workers that hold it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import dask.array as da
import numpy as np
from dask.array.utils import meta_from_array
from dask.task_spec import Alias
from distributed import Client, Future

from daskml_kit.data.align import align_rows
from daskml_kit.data.collections import check_total, has_unknown, is_dask, n_rows, size_of
from daskml_kit.exceptions import DataError
from daskml_kit.workers.connection import finish, held_futures


class BlockLayout(NamedTuple):
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
    held : list of mappings
        Of each block: the bytes that each worker holds.
    """

    name: str
    pieces: list[list[Any]]
    lengths: list[int] | None
    sizes: list[int] | None
    held: Sequence[Mapping[str, int]]


def block_layouts(collections: Mapping[str, Any], client: Client | None) -> list[BlockLayout]:
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
    layouts = _as_they_are(collections) if _cut_alike(collections.values()) else _aligned(collections)
    return layouts if client is None else _with_holders(layouts, collections.values(), client)


def _in_memory(collections: Mapping[str, Any]) -> list[BlockLayout]:
    layouts: list[BlockLayout] = []
    for name, collection in collections.items():
        values = collection if hasattr(collection, "shape") else np.asarray(collection)
        if not values.shape:
            raise DataError(f"{name}: expected rows, got {collection!r}")
        lengths = [n_rows(values)]
        if layouts:
            check_total(name, layouts[0].lengths or [], lengths, layouts[0].name)
        layouts.append(BlockLayout(name, [[values]], lengths, [size_of(values)], [{}]))
    return layouts


def _cut_alike(collections: Iterable[Any]) -> bool:
    every = list(collections)
    if not all(is_dask(collection) for collection in every):
        return False
    known = {c.chunks[0] for c in every if isinstance(c, da.Array) and not has_unknown(c)}
    return len(known) <= 1 and len({c.numblocks[0] if isinstance(c, da.Array) else c.npartitions for c in every}) == 1


def _as_they_are(collections: Mapping[str, Any]) -> list[BlockLayout]:
    layouts = []
    for name, collection in collections.items():
        if isinstance(collection, da.Array):
            pieces = collection.to_delayed(optimize_graph=False).reshape(collection.numblocks[0], -1).tolist()
            known = None if has_unknown(collection) else [int(length) for length in collection.chunks[0]]
            layouts.append(_described(name, pieces, known, meta_from_array(collection), collection.shape[1:]))
        else:
            layouts.append(_described(name, [[block] for block in collection.to_delayed()], None, None, ()))
    return layouts


def _aligned(collections: Mapping[str, Any]) -> list[BlockLayout]:
    rows = align_rows(collections)
    layouts = []
    for column, collection in zip(rows.columns, collections.values(), strict=True):
        sure = not is_dask(collection) or (isinstance(collection, da.Array) and not has_unknown(collection))
        pieces, known = [[block] for block in column.blocks], rows.lengths if sure else None
        layouts.append(_described(column.name, pieces, known, column.meta, column.meta.shape[1:]))
    return layouts


def _described(
    name: str, pieces: list[list[Any]], lengths: list[int] | None, meta: Any, tail: Sequence[float]
) -> BlockLayout:
    plain = isinstance(meta, np.ndarray) and not meta.dtype.hasobject and bool(np.isfinite(tail).all())
    row = int(meta.dtype.itemsize * np.prod(tail)) if plain else 0
    sizes = [row * length for length in lengths] if plain and lengths is not None else None
    return BlockLayout(name, pieces, lengths, sizes, [{} for _ in pieces])


def _with_holders(layouts: list[BlockLayout], collections: Iterable[Any], client: Client) -> list[BlockLayout]:
    futures = {future.key: future for future in held_futures(list(collections))}
    if not futures:
        return layouts
    origins = [_origins(layout, futures) for layout in layouts]
    wanted = list({key: futures[key] for found in origins for key in found.values()}.values())
    finish(wanted)
    keys = [future.key for future in wanted]
    sizes, holders = client.nbytes(keys, summary=False), client.who_has(wanted)
    there = {key: dict.fromkeys(holders[key], sizes[key]) for key in keys if holders.get(key) and key in sizes}
    return [_held(layout, found, there) for layout, found in zip(layouts, origins, strict=True)]


def _origins(layout: BlockLayout, futures: Mapping[Any, Future]) -> dict[Any, Any]:
    """Return the keys of the futures that the pieces are but other names of."""
    graph, found = dict(layout.pieces[0][0].dask), {}
    for piece in (piece for block in layout.pieces for piece in block):
        key = piece.key
        while (target := _aliased(graph.get(key))) is not None:
            key = target
        if key in futures and piece.key in graph:
            found[piece.key] = key
    return found


def _aliased(task: Any) -> Any:
    """Return the key that a task is but another name of, None where it is more."""
    if isinstance(task, Alias):
        return task.target
    return task if isinstance(task, tuple) and task and isinstance(task[0], str) else None


def _held(layout: BlockLayout, origins: Mapping[Any, Any], there: Mapping[Any, dict[str, int]]) -> BlockLayout:
    places = [[there.get(origins.get(piece.key), {}) for piece in block] for block in layout.pieces]
    sizes = [sum(max(place.values()) for place in block) for block in places if all(block)]
    known = sizes if len(sizes) == len(places) else layout.sizes
    return layout._replace(held=[total_bytes(block) for block in places], sizes=known)


def total_bytes(places: Iterable[Mapping[str, int]]) -> Counter[str]:
    """Return the bytes that each worker holds of all ``places`` together."""
    total: Counter[str] = Counter()
    for place in places:
        total.update(place)
    return total

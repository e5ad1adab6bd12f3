"""Pairs of users and items that recommendations leave out."""

from __future__ import annotations

from typing import Any, NamedTuple

import dask
import dask.array as da
import numpy as np
import pandas as pd

from daskml_kit.data.collections import as_partitioned, is_dask
from daskml_kit.exceptions import DataError
from daskml_kit.recommendation.rating_tables import find_codes, id_columns, merged_ids
from daskml_kit.typing import Array


class SeenPairs(NamedTuple):
    """Pairs by the users' distinct ids: ``rows`` are places among these, ``items`` codes of known items."""

    users: pd.Index[Any]
    rows: Array
    items: Array

    def by_place(self, wanted: Array) -> Array:
        """Return the pairs of users that are in ``wanted``, each with the places that its user has there."""
        places = find_codes(self.users, wanted)
        order = np.argsort(places, kind="stable")
        low, high = (np.searchsorted(places[order], self.rows, side=side) for side in ("left", "right"))
        times = high - low
        first = np.repeat(low - np.concatenate([[0], np.cumsum(times)[:-1]])[: len(times)], times)
        return np.column_stack([order[first + np.arange(times.sum())], np.repeat(self.items, times)])


def seen_pairs(wanted: Array | None, exclude: Any, items: Array) -> SeenPairs:
    """Return the pairs of ``exclude`` whose user is wanted, and whose item is among ``items``.

    Parameters
    ----------
    wanted : array of shape (n,), optional
        Ids of users; by default all.
    exclude : array, frame or Dask collection of shape (m, 2)
    items : array of shape (n_items,)
    """
    if not is_dask(exclude):
        return _of_block(exclude, wanted, items)
    shape = exclude.shape
    if len(shape) != 2 or shape[1] != 2:
        raise DataError(f"exclude: expected two columns, users and items, got shape {shape}")
    if isinstance(exclude, da.Array) and exclude.numblocks[1] > 1:
        exclude = exclude.rechunk({1: -1})
    read, known, own = dask.delayed(_of_block, pure=True), dask.delayed(items), dask.delayed(wanted)
    with as_partitioned():
        parts = dask.compute(*(read(block, own, known) for block in np.ravel(exclude.to_delayed())))
    users = merged_ids([part.users for part in parts])
    rows = [find_codes(users, part.users)[part.rows] for part in parts]
    return SeenPairs(users, np.concatenate(rows), np.concatenate([part.items for part in parts]))


def _of_block(pairs: Any, wanted: Array | None, items: Array) -> SeenPairs:
    try:
        users, own = id_columns(pairs)
    except DataError as error:
        raise DataError(str(error).replace("X:", "exclude:", 1)) from None
    codes = find_codes(pd.Index(items, dtype=items.dtype), own)
    kept = codes >= 0
    if wanted is not None:
        kept &= find_codes(merged_ids([wanted]), users) >= 0
    rows, ids = pd.factorize(np.asarray(users)[kept])
    return SeenPairs(merged_ids([ids]), rows, codes[kept])

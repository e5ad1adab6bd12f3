"""Model of factors by ids: predictions of pairs, and the best items of users, but for pairs to leave out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import dask
import dask.array as da
import numpy as np
import pandas as pd

from daskml_kit.data.collections import as_partitioned, is_dask
from daskml_kit.exceptions import DataError
from daskml_kit.numerics.targets import tiles
from daskml_kit.recommendation.base import Recommendations, first_items, nothing_of
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


TILE_PAIRS = 2**16


@dataclass(frozen=True, eq=False)
class FactorModel:
    """Predictor of ratings by the factors of ids.

    Parameters
    ----------
    users, items : arrays of shape (n_users,) and (n_items,)
    user_factors, item_factors : arrays of shape (n_users, n_factors) and (n_items, n_factors)
    unknown : float
        Prediction for pairs of which an id is not known.
    """

    users: Array
    items: Array
    user_factors: Array
    item_factors: Array
    unknown: float

    def predict(self, X: Any) -> Array:
        """Return the rating of each pair, of shape (n,)."""
        columns = zip((self.users, self.items), id_columns(X), strict=True)
        users, items = (find_codes(pd.Index(ids, dtype=ids.dtype), values) for ids, values in columns)
        known = np.flatnonzero((users >= 0) & (items >= 0))
        rating = np.full(len(users), self.unknown, self.user_factors.dtype)
        for tile in tiles(len(known), TILE_PAIRS):
            rows = known[tile]
            rating[rows] = np.einsum("ij,ij->i", self.user_factors[users[rows]], self.item_factors[items[rows]])
        return rating

    def recommend(self, users: Any, k: int, seen: SeenPairs | None = None) -> Recommendations:
        """Return the best k items of each user; see `ALS.recommend`."""
        rows = find_codes(pd.Index(self.users, dtype=self.users.dtype), users)
        pairs = np.empty((0, 2), np.int64) if seen is None else seen.by_place(users)
        factors = self.user_factors[rows] if len(self.user_factors) else np.empty((len(rows), 1))
        first = first_items(factors, self.item_factors, np.zeros(len(self.items), factors.dtype), k, pairs)
        missing = (first.items < 0) | (rows < 0)[:, None]
        items = self.items[np.where(missing, 0, first.items)]
        items[missing] = nothing_of(items.dtype)
        return Recommendations(items, np.where(missing, np.nan, first.ratings))


def recommend_block(model: FactorModel, users: Any, k: int, seen: SeenPairs | None) -> Recommendations:
    """Return the best items of a block of users."""
    return model.recommend(np.asarray(users), k, seen)

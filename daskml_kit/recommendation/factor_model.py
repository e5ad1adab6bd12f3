"""Model of factors by ids: predictions of pairs, and the best items of users."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from daskml_kit.numerics.targets import tiles
from daskml_kit.recommendation.rating_tables import find_codes, id_columns
from daskml_kit.recommendation.seen_items import SeenPairs
from daskml_kit.recommendation.top_scores import Recommendations, first_items, nothing_of
from daskml_kit.typing import Array

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

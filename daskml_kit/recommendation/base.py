"""Base of models of ratings: predictions for pairs of a user and an item, and their score."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from daskml_kit.arguments import check_number
from daskml_kit.blockwise import map_rows
from daskml_kit.data.collections import is_dask, n_features_of
from daskml_kit.exceptions import DataError
from daskml_kit.metrics import r2_score
from daskml_kit.recommendation.top_scores import Neighbors, similar_rows
from daskml_kit.typing import Array


class RatingModel(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Model of the rating of a pair of a user and an item."""

    user_factors_: Array

    def predict(self, X: Any) -> Any:
        """Return the rating of each pair of a user and an item; lazily on Dask input.

        Parameters
        ----------
        X : array, Dask array or frame of shape (n, 2)
            Users and items, as they were in `fit`; the class says what those get that it has not seen.

        Returns
        -------
        array or Dask array of shape (n,)
            The predicted ratings; of implicit feedback the preferences, mostly from 0 to 1.
        """
        check_is_fitted(self)
        if not is_dask(X):
            return self._predictor().predict(X)
        check_pairs(X)
        return map_rows(self._predictor(), "predict", X, np.empty(0, self.user_factors_.dtype))

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the coefficient of determination on the given data, a float also on Dask input.

        Parameters
        ----------
        X : array, Dask array or frame of shape (n, 2)
            Users and items, as they were in `fit`.
        y : array, Series or Dask array of shape (n,)
            Their ratings.
        sample_weight : array of shape (n,), optional
            Weights of the ratings.

        Returns
        -------
        float
            At most 1.
        """
        if not is_dask(X) and not is_dask(y):
            return float(super().score(X, y, sample_weight))
        return float(r2_score(y, self.predict(X), sample_weight=sample_weight))

    def similar_items(self, items: Any, k: int = 10) -> Neighbors:
        """Return the k items whose factors are most like those of each of some items, by the cosine.

        Similarities are computed for tiles of items, never of all pairs at a time.

        Parameters
        ----------
        items : array of shape (n,)
            Ids, as they were in `fit`.
        k : int, default 10
            Other items for each.

        Returns
        -------
        Neighbors
            ``ids`` and ``similarities``, of shape (n, k), the most similar first; an item is none of its own. Where
            fewer than k have factors, and for items that `fit` has not seen, the similarity is NaN, and the id None
            (-1 for integers, NaN for floats).
        """
        return self._similar("items", items, k)

    def similar_users(self, users: Any, k: int = 10) -> Neighbors:
        """Return the k users whose factors are most like those of each of some users, by the cosine.

        Parameters
        ----------
        users : array of shape (n,)
            Ids, as they were in `fit`.
        k : int, default 10
            Other users for each.

        Returns
        -------
        Neighbors
            As of `similar_items`.
        """
        return self._similar("users", users, k)

    def _similar(self, side: str, wanted: Any, k: int) -> Neighbors:
        check_is_fitted(self)
        check_number("k", k, low=1, integer=True)
        ids, factors = self._factors_of(side)
        if k >= len(ids):
            raise ValueError(f"k: expected at most the number of other {side}, {len(ids) - 1}, got {k}")
        if is_dask(wanted):
            raise DataError(f"{side}: expected ids in memory, got a Dask collection")
        vector = np.asarray(wanted)
        if vector.ndim != 1:
            raise DataError(f"{side}: expected a vector of ids, got shape {vector.shape}")
        return similar_rows(ids, factors, vector, int(k))

    def _factors_of(self, side: str) -> tuple[Array, Array]:
        """Return the ids of users or items, and their factors."""
        raise NotImplementedError

    def _predictor(self) -> Any:
        """Return what predicts for the pairs of a block."""
        raise NotImplementedError


def check_pairs(X: Any) -> None:
    """Raise where X has other columns than users and items."""
    if n_features_of(X) != 2:
        raise DataError(f"X: expected two columns, users and items, got {n_features_of(X)}")

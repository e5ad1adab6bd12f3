"""Base of models of ratings: predictions for pairs and their score, best items, and rows with similar factors."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from daskml_kit.arguments import check_number
from daskml_kit.blockwise import map_rows
from daskml_kit.data.collections import is_dask, n_features_of
from daskml_kit.exceptions import DataError
from daskml_kit.metrics import r2_score
from daskml_kit.numerics.targets import tiles
from daskml_kit.recommendation.rating_tables import find_codes
from daskml_kit.typing import Array

SCORES = 4 * 2**20
"""Scores held at a time."""


class Recommendations(NamedTuple):
    """Recommended items of each user, of shape (users, k), and their predicted ratings.

    Where all but fewer than k items are left out, the rest are -1, of rating NaN.
    """

    items: Array
    ratings: Array


def first_items(users: Array, items: Array, biases: Array, k: int, seen: Array) -> Recommendations:
    """Rank the items by the products of the rows of ``users`` and ``items``, and the items' biases.

    Parameters
    ----------
    users : array of shape (n, n_factors)
    items : array of shape (n_items, n_factors)
    biases : array of shape (n_items,)
    k : int
    seen : array of integers of shape (m, 2)
        Rows of ``users`` and numbers of items that are left out.

    Examples
    --------
    >>> factors = np.array([[1.0], [2.0], [3.0]])
    >>> first_items(np.array([[1.0], [-1.0]]), factors, np.zeros(3), 2, np.array([[0, 2]])).items
    array([[1, 0],
           [0, 1]])
    """
    order = np.argsort(seen[:, 0], kind="stable")
    rows, columns = seen[order].T
    found = []
    for part in tiles(len(users), max(1, SCORES // len(items))):
        scores = users[part] @ items.T
        scores += biases
        own = slice(*np.searchsorted(rows, (part.start, part.start + len(scores))))
        scores[rows[own] - part.start, columns[own]] = -np.inf
        found.append(_first(scores, k))
    none = Recommendations(np.empty((0, k), np.intp), np.empty((0, k)))
    return Recommendations(*(np.concatenate(arrays) for arrays in zip(*found, strict=True))) if found else none


def _first(scores: Array, k: int) -> Recommendations:
    few = np.argpartition(-scores, k - 1, axis=1)[:, :k] if k < scores.shape[1] else np.arange(scores.shape[1])[None]
    few = np.sort(np.broadcast_to(few, (len(scores), k)), axis=1)  # of equal scores the lower number comes first
    values = np.take_along_axis(scores, few, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    items, values = np.take_along_axis(few, order, axis=1), np.take_along_axis(values, order, axis=1)
    left_out = np.isneginf(values)
    return Recommendations(np.where(left_out, -1, items), np.where(left_out, np.nan, values))


class Neighbors(NamedTuple):
    """Most similar ids of each of some, and their cosine similarities, of shape (n, k); the most similar come first.

    Where there are fewer than k, the rest have the similarity NaN, and no id.
    """

    ids: Array
    similarities: Array


def similar_rows(ids: Array, factors: Array, wanted: Array, k: int) -> Neighbors:
    """Return the k other ids whose factors have the largest cosines with those of each wanted id.

    Those without factors, of numbers all zero, are similar to none.

    Examples
    --------
    >>> found = similar_rows(np.array([5, 6, 7]), np.array([[1.0, 0.0], [3.0, 4.0], [0.0, 2.0]]), np.array([6]), 2)
    >>> found.ids.tolist(), found.similarities.round(12).tolist()
    ([[7, 5]], [[0.8, 0.6]])
    """
    places = find_codes(pd.Index(ids, dtype=ids.dtype), wanted)
    lengths = np.linalg.norm(factors.astype(np.float64), axis=1)
    units = factors / np.where(lengths > 0, lengths, 1)[:, None]
    known = np.flatnonzero((places >= 0) & (lengths[places] > 0))
    itself = np.column_stack([np.arange(len(known)), places[known]])
    first = first_items(units[places[known]], units, np.where(lengths > 0, 0.0, -np.inf), k, itself)
    found, values = np.full((len(wanted), k), -1), np.full((len(wanted), k), np.nan)
    found[known], values[known] = first
    neighbors = ids[np.maximum(found, 0)]
    neighbors[found < 0] = nothing_of(neighbors.dtype)
    return Neighbors(neighbors, values)


def nothing_of(dtype: np.dtype[Any]) -> Any:
    """Return what stands for no item: None, NaN, NaT or -1 (of unsigned integers the largest, of booleans False)."""
    if dtype.kind == "O":
        return None
    if dtype.kind == "f":
        return np.nan
    if dtype.kind in "mM":
        return np.array("NaT", dtype)
    return np.array(-1).astype(dtype) if dtype.kind in "iu" else False


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

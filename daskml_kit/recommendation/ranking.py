"""Recommendations: the items with the highest predicted ratings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from daskml_kit.numerics.factorization import FactorizationLoss
from daskml_kit.numerics.targets import tiles
from daskml_kit.recommendation.factor_step import whole_pairs
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
        SparseRows of ``users`` and numbers of items that are left out.

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


def left_out(users: Array, exclude: Any, n_items: int) -> Array:
    """Return the pairs to leave out, each by the positions of its user in ``users``."""
    if exclude is None or not len(users):
        return np.empty((0, 2), np.int64)
    pairs = whole_pairs(exclude)
    pairs = pairs[(pairs[:, 1] >= 0) & (pairs[:, 1] < n_items)]
    order = np.argsort(users, kind="stable")
    low, high = (np.searchsorted(users[order], pairs[:, 0], side=side) for side in ("left", "right"))
    times = high - low
    first = np.repeat(low - np.concatenate([[0], np.cumsum(times)[:-1]]), times)
    return np.column_stack([order[first + np.arange(times.sum())], np.repeat(pairs[:, 1], times)])


@dataclass(frozen=True, eq=False)
class RatingPredictor:
    """Predictor of ratings; a user or an item that is not known has no factors and no bias.

    Parameters
    ----------
    params : dict of arrays
        By the names of `FactorizationLoss`.
    mean : float
    """

    params: dict[str, Array]
    mean: float

    def predict(self, X: Any) -> Array:
        """Return the rating of each pair, of shape (n,)."""
        pairs = whole_pairs(X)
        sizes = np.array([len(self.params["user_factors"]), len(self.params["item_factors"])])
        known = (pairs >= 0) & (pairs < sizes)
        both = known.all(axis=1)
        rating = np.full(len(pairs), self.mean, self.params["user_factors"].dtype)
        rating[both] = FactorizationLoss(mean=self.mean).predict(self.params, pairs[both])
        for side, name in enumerate(("user_biases", "item_biases")):
            if name in self.params:
                alone = known[:, side] & ~both
                rating[alone] += self.params[name][pairs[alone, side]]
        return rating

"""Items with the highest scores, and rows of factors that point the same way, by tiles."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

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

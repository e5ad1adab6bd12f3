"""Ranking metrics of recommendations: precision, recall, mean average precision and NDCG of the first k."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from daskml_kit.arguments import check_number
from daskml_kit.data.block import Block
from daskml_kit.data.collections import is_dask
from daskml_kit.engines.open import open_table
from daskml_kit.exceptions import DataError
from daskml_kit.reductions.hits import Hits, HitTotals
from daskml_kit.typing import Array


def precision_at_k(y_true: Any, users: Any, items: Any, *, k: int = 10) -> float:
    """Precision of the first k: the share of relevant items among k recommended, averaged over users.

    Parameters
    ----------
    y_true : array, frame or Dask collection of shape (n_pairs, 2)
        Pairs of a user and an item that is relevant to it, such as those held out, each once.
    users : array of shape (n_users,)
        Distinct users that items were recommended to; those without a relevant item do not count.
    items : array of shape (n_users, n_items)
        Items recommended to each, the best first, at least k.
    k : int, default 10
        How many of them count.

    Returns
    -------
    float
        From 0 to 1.

    Raises
    ------
    DataError
        Where shapes do not fit, or no user has a relevant item.

    See Also
    --------
    recall_at_k : Share of the relevant items that were recommended.
    mean_average_precision_at_k : Precision at the ranks of relevant items.
    ndcg_at_k : Relevant items count the more the earlier they come.

    Examples
    --------
    >>> held_out = [["ann", "tea"], ["ann", "jam"], ["bob", "rye"]]
    >>> precision_at_k(held_out, ["ann", "bob"], [["tea", "rye"], ["tea", "jam"]], k=2)
    0.25
    """
    return float((_found(y_true, users, items, k).hits.sum(axis=1) / k).mean())


def recall_at_k(y_true: Any, users: Any, items: Any, *, k: int = 10) -> float:
    """Recall of the first k: the share of a user's relevant items that are among k recommended, averaged over users.

    Parameters
    ----------
    y_true : array, frame or Dask collection of shape (n_pairs, 2)
        Pairs of a user and an item that is relevant to it, such as those held out, each once.
    users : array of shape (n_users,)
        Distinct users that items were recommended to; those without a relevant item do not count.
    items : array of shape (n_users, n_items)
        Items recommended to each, the best first, at least k.
    k : int, default 10
        How many of them count.

    Returns
    -------
    float
        From 0 to 1.

    Raises
    ------
    DataError
        Where shapes do not fit, or no user has a relevant item.

    See Also
    --------
    precision_at_k : Share of the recommended items that are relevant.

    Examples
    --------
    >>> held_out = [["ann", "tea"], ["ann", "jam"], ["bob", "rye"]]
    >>> recall_at_k(held_out, ["ann", "bob"], [["tea", "rye"], ["tea", "rye"]], k=2)
    0.75
    """
    found = _found(y_true, users, items, k)
    return float((found.hits.sum(axis=1) / found.n_relevant).mean())


def mean_average_precision_at_k(y_true: Any, users: Any, items: Any, *, k: int = 10) -> float:
    """Mean average precision of the first k (MAP@k).

    The average precision of a user is the sum of the precision at each rank where a relevant item comes, over the
    number of relevant items, or over k where they are more.

    Parameters
    ----------
    y_true : array, frame or Dask collection of shape (n_pairs, 2)
        Pairs of a user and an item that is relevant to it, such as those held out, each once.
    users : array of shape (n_users,)
        Distinct users that items were recommended to; those without a relevant item do not count.
    items : array of shape (n_users, n_items)
        Items recommended to each, the best first, at least k.
    k : int, default 10
        How many of them count.

    Returns
    -------
    float
        From 0 to 1.

    Raises
    ------
    DataError
        Where shapes do not fit, or no user has a relevant item.

    See Also
    --------
    ndcg_at_k : Discounts ranks by their logarithm.

    Examples
    --------
    >>> held_out = [["ann", "tea"], ["ann", "jam"], ["bob", "rye"]]
    >>> mean_average_precision_at_k(held_out, ["ann", "bob"], [["tea", "rye"], ["tea", "rye"]], k=2)
    0.5
    """
    found = _found(y_true, users, items, k)
    precision = np.cumsum(found.hits, axis=1) / np.arange(1, k + 1)
    return float(((precision * found.hits).sum(axis=1) / np.minimum(found.n_relevant, k)).mean())


def ndcg_at_k(y_true: Any, users: Any, items: Any, *, k: int = 10) -> float:
    """Normalized discounted cumulative gain of the first k (NDCG@k), of items that are relevant or not.

    A relevant item at rank r gains 1 / log2(r + 1); the sum is divided by that of the best order.

    Parameters
    ----------
    y_true : array, frame or Dask collection of shape (n_pairs, 2)
        Pairs of a user and an item that is relevant to it, such as those held out, each once.
    users : array of shape (n_users,)
        Distinct users that items were recommended to; those without a relevant item do not count.
    items : array of shape (n_users, n_items)
        Items recommended to each, the best first, at least k.
    k : int, default 10
        How many of them count.

    Returns
    -------
    float
        From 0 to 1.

    Raises
    ------
    DataError
        Where shapes do not fit, or no user has a relevant item.

    See Also
    --------
    mean_average_precision_at_k : Precision at the ranks of relevant items.

    References
    ----------
    K. Järvelin & J. Kekäläinen, Cumulated gain-based evaluation of IR techniques, ACM TOIS 20 (4), 2002.

    Examples
    --------
    >>> held_out = [["ann", "tea"], ["ann", "jam"], ["bob", "rye"]]
    >>> round(ndcg_at_k(held_out, ["ann", "bob"], [["tea", "jam"], ["tea", "rye"]], k=2), 4)
    0.8155
    """
    found = _found(y_true, users, items, k)
    gains = 1 / np.log2(np.arange(2, k + 2))
    best = np.cumsum(gains)[np.minimum(found.n_relevant, k) - 1]
    return float((found.hits @ gains / best).mean())


def _found(y_true: Any, users: Any, items: Any, k: int) -> HitTotals:
    """Return the hits of the users that have relevant items."""
    check_number("k", k, low=1, integer=True)
    known, recommended = _vector(users), np.asarray(items)
    if recommended.ndim != 2 or len(recommended) != len(known) or recommended.shape[1] < k:
        raise DataError(
            f"items: expected the items of {len(known)} users, at least k={k} each, got shape {recommended.shape}"
        )
    if pd.Index(known, dtype=known.dtype).has_duplicates:
        raise DataError("users: expected each user once, got duplicates")
    reduction = Hits(known, recommended[:, :k])
    if is_dask(y_true):
        if len(y_true.shape) != 2:
            raise DataError(f"y_true: expected two columns, users and items, got shape {y_true.shape}")
        with open_table(y_true) as engine:
            total = engine.answer(reduction)[0]
    else:
        pairs = y_true if isinstance(y_true, pd.DataFrame) else np.asarray(y_true)
        total = reduction.chunk(Block(pairs))
    there = total.n_relevant > 0
    if not there.any():
        raise DataError("y_true: expected relevant items of some of the users, got none")
    return HitTotals(total.hits[there], total.n_relevant[there])


def _vector(users: Any) -> Array:
    values = np.asarray(users)
    if values.ndim != 1:
        raise DataError(f"users: expected a vector of ids, got shape {values.shape}")
    return values.astype(object) if values.dtype.kind in "US" else values

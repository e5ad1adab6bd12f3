"""Ranking metrics of recommendations: precision, recall, mean average precision and NDCG of the first k."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pandas as pd

from daskml_kit.arguments import check_number
from daskml_kit.data.block import Block
from daskml_kit.data.collections import is_dask
from daskml_kit.documentation import documented_like
from daskml_kit.engines.open import open_table
from daskml_kit.exceptions import DataError
from daskml_kit.reductions.reduction import SingleReduction
from daskml_kit.typing import Array


class HitTotals(NamedTuple):
    """Hits at each rank, booleans of shape (n_users, k), and each user's number of relevant items."""

    hits: Array
    n_relevant: Array


@dataclass(frozen=True, eq=False)
class Hits(SingleReduction):
    """Hits of recommended items among the pairs of users and relevant items that the rows are.

    Parameters
    ----------
    users : array of shape (n_users,)
        Distinct ids; pairs of others do not count.
    items : array of shape (n_users, k)
        Recommended to each, the best first.

    Examples
    --------
    >>> pairs = np.array([[7, 1], [7, 5], [8, 2], [9, 1]])
    >>> Hits(np.array([7, 8]), np.array([[5, 3], [1, 3]])).chunk(Block(pairs))
    HitTotals(hits=array([[ True, False],
           [False, False]]), n_relevant=array([2, 1]))
    """

    users: Array
    items: Array

    answer_type: ClassVar[type[HitTotals]] = HitTotals

    @cached_property
    def _known(self) -> tuple[pd.Index[Any], pd.Index[Any], Array]:
        """Users, distinct items, and the codes of the items recommended."""
        codes, items = pd.factorize(self.items.ravel())
        return _index(self.users), _index(items), codes.reshape(self.items.shape)

    def chunk(self, block: Block) -> HitTotals:
        """Compare the pairs of a block; one that comes twice there counts once.

        Raises
        ------
        DataError
            Where there are not two columns.
        """
        users, items, recommended = self._known
        own, relevant = _columns(block)
        rows = users.get_indexer(_index(own))
        kept = np.flatnonzero(rows >= 0)
        relevant_codes, _ = pd.factorize(relevant[kept])
        _, first = np.unique(np.column_stack([rows[kept], relevant_codes]), axis=0, return_index=True)
        kept = kept[first]
        codes, places = items.get_indexer(_index(relevant[kept])), rows[kept]
        found = (recommended[places] == codes[:, None]) & (codes >= 0)[:, None]
        hits = np.zeros(recommended.shape, bool)
        row, rank = np.nonzero(found)
        hits[places[row], rank] = True
        return HitTotals(hits, np.bincount(places, minlength=len(users)))

    def combine(self, a: HitTotals, b: HitTotals) -> HitTotals:
        return HitTotals(a.hits | b.hits, a.n_relevant + b.n_relevant)


def _index(values: Any) -> pd.Index[Any]:
    plain = np.asarray(values)
    plain = plain.astype(object) if plain.dtype.kind in "US" else plain
    return pd.Index(plain, dtype=plain.dtype)


def _columns(block: Block) -> tuple[Array, Array]:
    table: Any = block.X
    if len(table.shape) != 2 or table.shape[1] != 2:
        raise DataError(f"y_true: expected two columns, users and items, got shape {table.shape}")
    if isinstance(table, pd.DataFrame):
        return np.asarray(table.iloc[:, 0]), np.asarray(table.iloc[:, 1])
    return table[:, 0], table[:, 1]


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


@documented_like(precision_at_k)
def recall_at_k(y_true: Any, users: Any, items: Any, *, k: int = 10) -> float:
    """Recall of the first k: the share of a user's relevant items that are among k recommended, averaged over users.

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


@documented_like(precision_at_k)
def mean_average_precision_at_k(y_true: Any, users: Any, items: Any, *, k: int = 10) -> float:
    """Mean average precision of the first k (MAP@k).

    The average precision of a user is the sum of the precision at each rank where a relevant item comes, over the
    number of relevant items, or over k where they are more.

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


@documented_like(precision_at_k)
def ndcg_at_k(y_true: Any, users: Any, items: Any, *, k: int = 10) -> float:
    """Normalized discounted cumulative gain of the first k (NDCG@k), of items that are relevant or not.

    A relevant item at rank r gains 1 / log2(r + 1); the sum is divided by that of the best order.

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

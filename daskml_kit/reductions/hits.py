"""Hits of recommended items: the ranks at which relevant ones come, and the relevant items of each user."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pandas as pd

from daskml_kit.data.block import Block
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

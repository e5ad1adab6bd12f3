"""Rating tables: ids of any type as codes, and the ratings of each user or item together, without Dask."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import pandas as pd
import scipy.sparse as sp

from daskml_kit.data.block import native
from daskml_kit.exceptions import DataError
from daskml_kit.numerics.factor_rows import RatingRows
from daskml_kit.typing import Array

Side: TypeAlias = Literal["users", "items"]
SIDES: tuple[Side, Side] = ("users", "items")
OTHER: dict[Side, Side] = {"users": "items", "items": "users"}
SHARD_RATINGS = 2**14
"""Shards are about as many as the root of the ratings over this: they exchange factors, all with all."""
MAX_SHARDS = 256


class IdCodes(NamedTuple):
    """Ids of one side of a block: the distinct ones, and for each rating the place of its own among them."""

    codes: Array
    values: pd.Index[Any]


class CodedRatings(NamedTuple):
    """Checked ratings of a block, the ids of each side by codes of the block's own."""

    users: IdCodes
    items: IdCodes
    ratings: Array


class IdCounts(NamedTuple):
    """Distinct ids, and the number of ratings of each."""

    values: pd.Index[Any]
    counts: Array


class RatingTotals(NamedTuple):
    """Ids of both sides, the number and sum of ratings, and whether they are of float32."""

    users: IdCounts
    items: IdCounts
    n_ratings: int
    total: float
    single: bool


class Feedback(NamedTuple):
    """Meaning of ratings: explicit, or implicit with the confidence ``1 + alpha * abs(rating)``."""

    implicit: bool
    alpha: float


def id_columns(X: Any, where: str = "") -> tuple[Any, Any]:
    """Return the columns of users and of items.

    Raises
    ------
    DataError
        Where there are not two columns.
    """
    if sp.issparse(X):
        raise DataError(f"X: expected a frame or a dense array of users and items, got a sparse one {where}".rstrip())
    table = native(X if isinstance(X, pd.DataFrame) else np.asarray(X))
    if table.ndim != 2 or table.shape[1] != 2:
        raise DataError(f"X: expected two columns, users and items, got shape {table.shape} {where}".rstrip())
    if isinstance(table, pd.DataFrame):
        return table.iloc[:, 0], table.iloc[:, 1]
    return table[:, 0], table[:, 1]


def code_ids(values: Any, side: str, where: str = "") -> IdCodes:
    """Return ids as codes, in the order in which they come.

    Raises
    ------
    DataError
        Where an id is missing, or no value that can be told from others, such as a list.
    """
    if isinstance(values, np.ndarray) and values.dtype.kind in "US":
        values = values.astype(object)
    try:
        codes, found = pd.factorize(values)
    except TypeError as error:
        raise DataError(f"X: expected ids of {side}, numbers, strings or hashable objects: {error} {where}") from None
    if codes.min(initial=0) < 0:
        row = int(np.flatnonzero(codes < 0)[0])
        raise DataError(f"X: expected an id of {side} in every row, got a missing one {where}, row {row}")
    return IdCodes(codes.astype(np.int32), _plain_index(found))


def read_ratings(X: Any, y: Any, index: int = 0) -> CodedRatings:
    """Return the checked ratings of a block; without ``y`` each pair counts 1.

    Raises
    ------
    DataError
        Where an id is missing, or a rating is not a finite number.
    """
    where = f"in block {index}"
    users, items = (code_ids(column, side, where) for column, side in zip(id_columns(X, where), SIDES, strict=True))
    n_ratings = len(users.codes)
    ratings = np.ones(n_ratings) if y is None else _numbers(y)
    if ratings.ndim != 1 or ratings.dtype.kind not in "fiub":
        raise DataError(
            f"y: expected a number for each pair, got dtype {ratings.dtype} of shape {ratings.shape} {where}"
        )
    if len(ratings) != n_ratings:
        raise DataError(
            f"y: Found input variables with inconsistent numbers of samples: "
            f"expected {n_ratings} rows as in X, got {len(ratings)} {where}"
        )
    ratings = ratings if ratings.dtype == np.float32 else ratings.astype(np.float64, copy=False)
    if not np.isfinite(ratings).all():
        row = int(np.flatnonzero(~np.isfinite(ratings))[0])
        kind = "NaN" if np.isnan(ratings[row]) else "infinity"
        raise DataError(f"Input y contains {kind} {where}, row {row} of the block.")
    return CodedRatings(users, items, ratings)


def _numbers(y: Any) -> Array:
    if isinstance(y, pd.Series) and not isinstance(y.dtype, np.dtype) and pd.api.types.is_numeric_dtype(y.dtype):
        return np.asarray(y.to_numpy(np.float64, na_value=np.nan))  # nullable numbers
    ratings: Array = np.asarray(y)
    return ratings[:, 0] if ratings.shape[1:] == (1,) else ratings


def count_ratings(block: CodedRatings) -> RatingTotals:
    """Return the totals of a block."""
    users, items = (
        IdCounts(side.values, np.bincount(side.codes, minlength=len(side.values)))
        for side in (block.users, block.items)
    )
    single = block.ratings.dtype == np.float32
    return RatingTotals(users, items, len(block.ratings), float(block.ratings.sum(dtype=np.float64)), single)


def add_totals(totals: Sequence[RatingTotals]) -> RatingTotals:
    """Return the totals of several blocks, those without a rating passed over."""
    totals = [found for found in totals if found.n_ratings] or list(totals[:1])
    users, items = (_add_counts([getattr(found, side) for found in totals]) for side in SIDES)
    return RatingTotals(
        users,
        items,
        sum(found.n_ratings for found in totals),
        sum(found.total for found in totals),
        all(found.single for found in totals),
    )


def sort_ids(found: IdCounts, side: str) -> IdCounts:
    """Return the ids in ascending order.

    Raises
    ------
    DataError
        Where they are of kinds that have no order among each other, such as numbers and strings.
    """
    try:
        order = np.argsort(found.values.to_numpy(), kind="stable")
    except TypeError as error:
        raise DataError(f"X: expected ids of {side} of one kind, got a mixture: {error}") from None
    return IdCounts(found.values.take(order), found.counts[order])


def find_codes(ids: pd.Index[Any], values: Any) -> Array:
    """Return the place of each value among the ids, -1 for those that are not there; integers.

    Examples
    --------
    >>> find_codes(pd.Index(["a", "b"]), ["b", "c"])
    array([ 1, -1])
    """
    given = values if isinstance(values, pd.Index) else _plain_index(np.asarray(values))
    return np.asarray(ids.get_indexer(given))


def merged_ids(parts: Sequence[Any]) -> pd.Index[Any]:
    """Return the distinct ids of several vectors of them, those without any passed over.

    Examples
    --------
    >>> merged_ids([np.array([3, 1]), np.array([]), np.array([1, 2])]).tolist()
    [3, 1, 2]
    """
    found = [_plain_index(part) for part in parts if len(part)] or [_plain_index(part) for part in parts[:1]]
    return found[0].append(found[1:]).unique()


def _plain_index(values: Any) -> pd.Index[Any]:
    plain = np.asarray(values)
    if plain.dtype.kind in "US":
        plain = plain.astype(object)
    return pd.Index(plain, dtype=plain.dtype)


def _add_counts(counts: Sequence[IdCounts]) -> IdCounts:
    values = merged_ids([own.values for own in counts])
    summed = np.zeros(len(values), np.int64)
    for own in counts:
        summed[values.get_indexer(own.values)] += own.counts
    return IdCounts(values, summed)


def shard_edges(counts: Array) -> Array:
    """Return the codes at which shards of about equally many ratings begin, and the end.

    The shards depend on the numbers of ratings alone, neither on the blocks that these came in nor on the workers.

    Examples
    --------
    >>> shard_edges(np.array([5, 1, 1, 1]) * SHARD_RATINGS * 4)
    array([0, 1, 2, 4])
    """
    ends = np.cumsum(counts)
    total = int(ends[-1])
    n_shards = int(min(max(np.sqrt(total / SHARD_RATINGS), 1), MAX_SHARDS, len(counts)))
    cuts = np.searchsorted(ends, total * np.arange(1, n_shards) / n_shards) + 1
    return np.unique(np.concatenate([[0], np.minimum(cuts, len(counts)), [len(counts)]]))


def grouped(codes: Array, n_codes: int) -> tuple[Array, Array]:
    """Return the rows sorted by their codes, in their own order where these are equal, and where each code begins.

    Examples
    --------
    >>> [array.tolist() for array in grouped(np.array([1, 0, 1]), 2)]
    [[1, 0, 2], [0, 1, 3]]
    """
    n = len(codes)
    by_row = sp.csr_array((np.ones(n, bool), codes, np.arange(n + 1)), shape=(n, n_codes))
    by_code = by_row.tocsc()  # SciPy's transposition is a counting sort
    return by_code.indices, by_code.indptr.astype(np.int64)


def table_of(own: Array, other: Array, ratings: Array, shape: tuple[int, int], feedback: Feedback) -> RatingRows:
    """Return the ratings by the codes ``own``, those of each ascending by the codes ``other``; ``shape`` bounds both.

    Of implicit feedback the ratings of a pair that comes several times add up; explicit ones are ratings each.
    """
    first, _ = grouped(other, shape[1])
    order, indptr = grouped(own[first], shape[0])
    order = first[order]
    own, indices, values = own[order], other[order].astype(np.int32, copy=False), ratings[order]
    if feedback.implicit:
        new = np.append(np.ones(min(len(own), 1), bool), (own[1:] != own[:-1]) | (indices[1:] != indices[:-1]))
        if not new.all():
            places = np.flatnonzero(new)
            values, indices = np.add.reduceat(values, places), indices[places]
            indptr = np.append(0, np.cumsum(new, dtype=np.int64))[indptr]
        weights = feedback.alpha * np.abs(values)
        targets = np.where(values > 0, 1 + weights, 0).astype(values.dtype)
        constants = targets.astype(np.float64)
    else:
        weights, targets, constants = None, values, values.astype(np.float64) ** 2
    return RatingRows(indptr, indices, targets, weights, np.add.reduceat(constants, indptr[:-1]))


def cut_table(table: RatingRows, edges: Array) -> list[RatingRows]:
    """Return the rows between neighboring ``edges``, views."""
    shards = []
    for start, stop in pairwise(edges.tolist()):
        own = table.indptr[start : stop + 1]
        stored = slice(int(own[0]), int(own[-1]))
        weights = None if table.weights is None else table.weights[stored]
        shards.append(
            RatingRows(own - own[0], table.indices[stored], table.targets[stored], weights, table.constants[start:stop])
        )
    return shards

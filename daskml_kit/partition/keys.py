"""Key columns of rows, and the hash partitioner that brings the rows of a key together."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import scipy.sparse as sp
from dask.array.utils import meta_from_array
from numpy.typing import NDArray

from daskml_kit.data.collections import n_rows
from daskml_kit.exceptions import DataError
from daskml_kit.numerics.hashing import hash_keys
from daskml_kit.typing import Array

ROW_BITS = 40
"""A place is the number of a block, and below it that of the row, so that rows keep their order in a block."""


class Keys(NamedTuple):
    """Position of keys: in part ``part`` of a block, in its ``columns`` or, with none named, in all of it."""

    part: int
    columns: tuple[Any, ...] | None

    def of(self, parts: Sequence[Any]) -> list[tuple[str, Any]]:
        """Return the key columns of a block with their names."""
        part = parts[self.part]
        if self.columns is not None:
            return [(f"column {name!r}", part[name]) for name in self.columns]
        if isinstance(part, pd.DataFrame):
            return [(f"column {name!r}", part.iloc[:, i]) for i, name in enumerate(part.columns)]
        if part.ndim == 2:
            return [(f"column {i}", part[:, i]) for i in range(part.shape[1])]
        return [("the keys", part)]

    def hashes(self, index: int, parts: Sequence[Any]) -> NDArray[np.uint64]:
        """Return the hash of each row's key in block ``index``."""
        try:
            return hash_keys(self.of(parts))
        except DataError as error:
            raise DataError(f"{error} (in block {index})") from None


def find_keys(name: str, given: Any, collections: dict[str, Any], *, one_column: bool = False) -> Keys:
    """Return the position of keys among ``collections``, to which keys that are a collection of their own are added.

    Parameters
    ----------
    name : str
        What errors call the keys.
    given : column name, list of column names, or collection
        Columns of the first DataFrame, or the keys themselves.
    collections : dict
    one_column : bool

    Raises
    ------
    DataError
        Where a column is not there, or keys are no columns of dense values.
    """
    if isinstance(given, (str, int, tuple)) or (
        isinstance(given, list) and all(isinstance(column, Hashable) for column in given)
    ):
        columns = tuple(given) if isinstance(given, list) else (given,)
        found = Keys(_check_columns(name, columns, given, collections), columns)
        width = len(columns)
    else:
        shape: tuple[Any, ...] = getattr(given, "shape", ())
        is_sparse = sp.issparse(meta_from_array(given) if isinstance(given, da.Array) else given)
        if is_sparse or not 1 <= len(shape) <= 2 or 0 in shape[1:]:
            kind = "a sparse matrix" if is_sparse else f"rows of shape {shape[1:]}" if shape else repr(given)
            raise DataError(f"{name}: expected column names, or dense keys of one column or several, got {kind}")
        part = next((at for at, known in enumerate(collections.values()) if known is given), len(collections))
        if part == len(collections):
            collections[name] = given
        found, width = Keys(part, None), shape[1] if len(shape) == 2 else 1
    if one_column and width != 1:
        raise DataError(f"{name}: expected one column, got {width}")
    return found


def _check_columns(name: str, columns: tuple[Any, ...], given: Any, collections: dict[str, Any]) -> int:
    """Return the position of the first DataFrame among ``collections``, which has to have the columns."""
    for part, (frame, collection) in enumerate(collections.items()):
        if not isinstance(collection, (dd.DataFrame, pd.DataFrame)):
            continue
        have = list(collection.columns)
        missing = [column for column in columns if column not in have]
        if missing or not columns:
            got = ", ".join(map(repr, missing)) or "none"
            raise DataError(f"{name}: expected columns of {frame} ({', '.join(map(repr, have))}), got {got}")
        twice = [column for column in columns if have.count(column) > 1]
        if twice:
            raise DataError(f"{name}: {frame} has several columns {twice[0]!r}: give the keys as a Series")
        return part
    raise DataError(
        f"{name}: expected an array or Series of keys beside arrays, got {given!r}; there is no DataFrame given"
    )


def key_names(keys: Keys, given: Any) -> list[Any]:
    """Return the names of the columns of the keys; ``given`` is what the caller gave for them."""
    if keys.columns is not None:
        return list(keys.columns)
    if hasattr(given, "columns"):
        return list(given.columns)
    if len(given.shape) == 2:
        return [f"key {i}" for i in range(given.shape[1])] if given.shape[1] > 1 else ["key"]
    name = getattr(given, "name", None) if isinstance(given, (dd.Series, pd.Series)) else None
    return ["key" if name is None else name]


class HotKeyPlan(NamedTuple):
    """Plan of the keys whose rows do not, or not all, go where their hash says.

    Row r of all rows with ``hashes[k]``, in the order of the data, goes to the first of ``blocks[k]`` whose entry in
    ``ends[k]`` is above r.

    Parameters
    ----------
    hashes : uint64 array of shape (n_keys,), ascending
    ranks : int64 array of shape (n_blocks, n_keys)
        How many rows of each key lie before each block of the data.
    blocks, ends : list of int64 arrays
    """

    hashes: NDArray[np.uint64]
    ranks: Array
    blocks: list[Array]
    ends: list[Array]

    def redirect(self, index: int, hashes: NDArray[np.uint64], targets: Array) -> None:
        """Write into ``targets``, the blocks where the rows of block ``index`` go, those of the spread keys."""
        found = np.minimum(np.searchsorted(self.hashes, hashes), len(self.hashes) - 1)
        rows = np.flatnonzero(self.hashes[found] == hashes)
        rows = rows[np.argsort(found[rows], kind="stable")]
        spread, starts = np.unique(found[rows], return_index=True)
        for key, own in zip(spread, np.split(rows, starts[1:]), strict=False):
            ranks = self.ranks[index, key] + np.arange(len(own))
            targets[own] = self.blocks[key][np.searchsorted(self.ends[key], ranks, side="right")]


@dataclass(frozen=True)
class HashPartitioner:
    """Partitioner of rows by the hash of their key, but for keys that are spread."""

    keys: Keys
    npartitions: int
    counted: tuple[int, ...] | None = None
    spread: HotKeyPlan | None = None

    @property
    def edges(self) -> Array:
        return np.arange(self.npartitions + 1) << ROW_BITS

    @property
    def lengths(self) -> list[float]:
        return [float("nan")] * self.npartitions if self.counted is None else list(self.counted)

    def places(self, index: int, start: int, parts: Sequence[Any]) -> Array:
        hashes = self.keys.hashes(index, parts)
        targets = target_blocks(hashes, self.npartitions)
        if self.spread is not None:
            self.spread.redirect(index, hashes, targets)
        return (targets << ROW_BITS) | np.arange(start, start + n_rows(parts[0]))


def target_blocks(hashes: NDArray[np.uint64], npartitions: int) -> Array:
    """Return the block, int64, where each hash belongs."""
    return (hashes % np.uint64(npartitions)).astype(np.int64)

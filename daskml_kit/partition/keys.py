"""The route by which rows of a key lie together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from daskml_kit.data.indexing import n_rows
from daskml_kit.exceptions import DataError
from daskml_kit.numerics.hashing import hash_keys
from daskml_kit.typing import Array

ROW_BITS = 40
"""A place is the number of a block, and below it that of the row, so that rows keep their order in a block."""


class Keys(NamedTuple):
    """Where the keys are: in part ``part`` of a block, in its ``columns`` or, with none named, in all of it."""

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


class Spread(NamedTuple):
    """Keys whose rows do not, or not all, go where their hash says.

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
class Keyed:
    """Rows go where the hash of their key says, but for keys that are spread."""

    keys: Keys
    npartitions: int
    counted: tuple[int, ...] | None = None
    spread: Spread | None = None

    @property
    def edges(self) -> Array:
        return np.arange(self.npartitions + 1) << ROW_BITS

    @property
    def lengths(self) -> list[float]:
        return [float("nan")] * self.npartitions if self.counted is None else list(self.counted)

    def places(self, index: int, start: int, parts: Sequence[Any]) -> Array:
        hashes = self.keys.hashes(index, parts)
        targets = home(hashes, self.npartitions)
        if self.spread is not None:
            self.spread.redirect(index, hashes, targets)
        return (targets << ROW_BITS) | np.arange(start, start + n_rows(parts[0]))


def home(hashes: NDArray[np.uint64], npartitions: int) -> Array:
    """Return the block, int64, where each hash belongs."""
    return (hashes % np.uint64(npartitions)).astype(np.int64)

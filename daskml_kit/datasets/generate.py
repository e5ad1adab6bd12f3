"""Random rows that are the same for any blocks: drawn in tiles, each from a seed of its own."""

from __future__ import annotations

import itertools
import numbers
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import getitem
from typing import Any, NamedTuple, TypeAlias

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
from dask.highlevelgraph import HighLevelGraph
from dask.tokenize import tokenize

from daskml_kit.arguments import check_number
from daskml_kit.engines.runtime import computing
from daskml_kit.numerics.permutation import Permutation
from daskml_kit.typing import Array

TILE_NUMBERS = 2**17  # a megabyte, which a core keeps near while it is worked on
MAX_TILE_ROWS = 8192


Draw: TypeAlias = Callable[[np.random.Generator, Array], tuple[Array, ...]]
"""Draws the parts (X and y, say) of the rows with given numbers; small, for every task gets it."""


@dataclass(frozen=True, eq=False)
class RandomRows:
    """Rows of a data set, which are drawn when they are asked for.

    They are drawn in tiles whose size depends on their width alone, and the generator of a tile is seeded by its
    number. A block draws the tiles that it overlaps, so a row is the same in whichever block it lies.

    Parameters
    ----------
    draw : callable
        Of no rows it gives the types and widths of the parts.
    width : int
        Numbers in a row, about.
    n_rows : int
    seed : int
    """

    draw: Draw
    width: int
    n_rows: int
    seed: int

    @property
    def tile_rows(self) -> int:
        """Rows that are drawn from one seed."""
        return max(min(TILE_NUMBERS // max(self.width, 1), MAX_TILE_ROWS), 1)

    def empty(self) -> tuple[Array, ...]:
        """Return the parts of no rows."""
        return self.draw(np.random.default_rng(0), np.arange(0))

    def between(self, start: int, stop: int) -> tuple[Array, ...]:
        """Return the parts of the rows from ``start`` up to ``stop``."""
        size = self.tile_rows
        parts = tuple(np.empty((stop - start, *part.shape[1:]), part.dtype) for part in self.empty())
        with computing():
            for tile in range(start // size, -(-stop // size)):
                first, last = tile * size, min((tile + 1) * size, self.n_rows)
                seed = np.random.SeedSequence(self.seed, spawn_key=(tile,))
                drawn = self.draw(np.random.default_rng(seed), np.arange(first, last))
                low, high = max(first, start), min(last, stop)
                for part, whole_tile in zip(parts, drawn, strict=True):
                    part[low - start : high - start] = whole_tile[low - first : high - first]
        return parts


def draw_seed(state: np.random.RandomState) -> int:
    """Return 128 random bits."""
    return int.from_bytes(state.bytes(16))


def check_counts(least: int, **counts: Any) -> None:
    """Raise a `ValueError` that names the first of ``counts`` that is no integer of at least ``least``.

    Examples
    --------
    >>> check_counts(1, n_samples=0)
    Traceback (most recent call last):
    ...
    ValueError: n_samples: expected an integer of at least 1, got 0
    """
    for name, value in counts.items():
        check_number(name, value, low=least, integer=True)


def check_numbers(low: float = -np.inf, high: float = np.inf, **values: Any) -> None:
    """Raise a `ValueError` that names the first of ``values`` that is no finite number from ``low`` to ``high``."""
    for name, value in values.items():
        if not isinstance(value, numbers.Real) or not np.isfinite(float(value)) or not low <= float(value) <= high:
            above = f" of at least {low:g}" if low > -np.inf else ""
            wanted = f"a number from {low:g} to {high:g}" if high < np.inf else f"a finite number{above}"
            raise ValueError(f"{name}: expected {wanted}, got {value!r}")


BLOCK_BYTES = 16 * 2**20
Chunks: TypeAlias = int | Sequence[Any] | None


def row_chunks(chunks: Chunks, rows: RandomRows) -> tuple[int, ...]:
    """Return the number of rows of each block.

    Parameters
    ----------
    chunks : int, sequence or None
        Rows a block, -1 for all in one; the rows of each block; or the shape of a block as Dask takes it, of whole
        rows. None makes blocks of about `BLOCK_BYTES`.
    rows : RandomRows

    Raises
    ------
    ValueError
        Where the blocks do not make up the rows.
    """
    if chunks is None:
        tile = rows.tile_rows
        chunks = max(BLOCK_BYTES // (8 * rows.width * tile), 1) * tile
    sizes: Any = chunks
    part = rows.empty()[0]
    if isinstance(chunks, Sequence) and len(chunks) == 2 and part.ndim == 2 and not _fits(chunks, rows.n_rows):
        sizes = chunks[0] if chunks[1] in (part.shape[1], -1, (part.shape[1],)) else None  # None: rows would be cut
    if _is_count(sizes) and (sizes > 0 or sizes == -1):
        each = rows.n_rows if sizes == -1 else min(int(sizes), rows.n_rows)
        left = rows.n_rows % each
        sizes = [each] * (rows.n_rows // each) + ([left] if left else [])
    if not _fits(sizes, rows.n_rows):
        raise ValueError(
            f"chunks: expected the rows of a block, or of each block, {rows.n_rows} in all, and whole rows, "
            f"got {chunks!r}"
        )
    return tuple(int(size) for size in sizes)


def _fits(chunks: Any, n_rows: int) -> bool:
    return (
        isinstance(chunks, Sequence) and all(_is_count(size) and size > 0 for size in chunks) and sum(chunks) == n_rows
    )


def _is_count(value: Any) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, (bool, np.bool_))


class Groups(NamedTuple):
    """Groups of rows of given sizes, whose rows follow one another, or lie in a random order where there is one.

    Parameters
    ----------
    ends : int64 array of shape (n_groups,)
        How many rows there are up to the end of each group.
    order : Permutation, optional
        Of as many rows.

    Examples
    --------
    >>> Groups(np.cumsum([2, 0, 3])).of(np.arange(5))
    array([0, 0, 2, 2, 2])
    """

    ends: Array
    order: Permutation | None = None

    def places(self, rows: Array) -> Array:
        """Return the place of each of the ``rows`` where the groups follow one another."""
        return rows if self.order is None else self.order.of(rows)

    def at(self, places: Array) -> Array:
        """Return the group at each of the ``places``."""
        return np.searchsorted(self.ends, places, side="right")

    def of(self, rows: Array) -> Array:
        """Return the group of each of the ``rows``."""
        return self.at(self.places(rows))


def groups_of(sizes: Sequence[int] | Array, key: int | None) -> Groups:
    """Return groups of ``sizes``, in the random order of ``key`` unless it is None."""
    ends = np.cumsum(sizes)
    return Groups(ends, None if key is None else Permutation(int(ends[-1]), key))


def even_sizes(n_rows: int, n_groups: int, sizes: Sequence[int] | None = None) -> list[int]:
    """Return ``sizes`` with what is missing to ``n_rows`` dealt out one by one; equal sizes by default.

    Examples
    --------
    >>> even_sizes(8, 3)
    [3, 3, 2]
    """
    first = list(sizes) if sizes is not None else [n_rows // n_groups] * n_groups
    left = n_rows - sum(first)
    return [size + left // n_groups + (group < left % n_groups) for group, size in enumerate(first)]


Framing: TypeAlias = Callable[[list[Array], int], pd.DataFrame | pd.Series]
"""Makes a frame or a series of the parts of a block whose first row has the given number."""


def arrays(rows: RandomRows, chunks: Chunks) -> list[da.Array]:
    """Return each part of the rows as a Dask array, of blocks of the same rows."""
    sizes = row_chunks(chunks, rows)
    token = tokenize(rows, sizes)
    drawn, shared = f"draw-{token}", f"rows-{token}"
    draws: dict[Any, Any] = {shared: rows}
    for block, (start, stop) in enumerate(itertools.pairwise((0, *itertools.accumulate(sizes)))):
        draws[drawn, block] = (RandomRows.between, shared, start, stop)
    made = []
    for part, meta in enumerate(rows.empty()):
        name, corner = f"part{part}-{token}", (0,) * (meta.ndim - 1)
        picks = {(name, block, *corner): (getitem, (drawn, block), part) for block in range(len(sizes))}
        graph = HighLevelGraph({drawn: draws, name: picks}, {drawn: set(), name: {drawn}})
        made.append(da.Array(graph, name, (sizes, *((width,) for width in meta.shape[1:])), meta=meta))
    return made


def frame(framing: Framing, parts: list[da.Array]) -> Any:
    """Return what ``framing`` makes of the blocks of ``parts`` as a Dask DataFrame or Series with known divisions."""
    ends = [*itertools.accumulate(parts[0].chunks[0])]
    name = f"{framing.__name__}-{tokenize(parts)}"
    starts = [0, *ends[:-1]]
    tasks = {
        (name, block): (framing, [(part.name, block, *(0,) * (part.ndim - 1)) for part in parts], start)
        for block, start in enumerate(starts)
    }
    graph = {key: task for part in parts for key, task in dict(part.dask).items()}
    meta = framing([np.empty((0, *part.shape[1:]), part.dtype) for part in parts], 0)
    return dd.from_graph({**graph, **tasks}, meta, (*starts, ends[-1] - 1), list(tasks), name)

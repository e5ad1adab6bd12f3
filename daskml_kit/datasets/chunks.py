"""How many rows lie in each block."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from daskml_kit.datasets.rows import Rows

BLOCK_BYTES = 16 * 2**20
Chunks: TypeAlias = int | Sequence[Any] | None


def row_chunks(chunks: Chunks, rows: Rows) -> tuple[int, ...]:
    """Return the number of rows of each block.

    Parameters
    ----------
    chunks : int, sequence or None
        Rows a block, -1 for all in one; the rows of each block; or the shape of a block as Dask takes it, of whole
        rows. None makes blocks of about `BLOCK_BYTES`.
    rows : Rows

    Raises
    ------
    ValueError
        Where the blocks do not make up the rows.
    """
    if chunks is None:
        tile = rows.tile_rows
        chunks = max(BLOCK_BYTES // (8 * rows.recipe.width * tile), 1) * tile
    along_rows: Any = chunks if _is_count(chunks) or _fits(chunks, rows.n_rows) else _of_shape(chunks, rows)
    if _is_count(along_rows) and (along_rows > 0 or along_rows == -1):
        each = rows.n_rows if along_rows == -1 else min(int(along_rows), rows.n_rows)
        left = rows.n_rows % each
        return (each,) * (rows.n_rows // each) + ((left,) if left else ())
    if _fits(along_rows, rows.n_rows):
        return tuple(int(size) for size in along_rows)
    raise ValueError(
        f"chunks: expected the rows of a block, or of each block, {rows.n_rows} in all, and whole rows, got {chunks!r}"
    )


def _of_shape(chunks: Any, rows: Rows) -> Any:
    """Return what the shape ``chunks`` says along the rows, or None where it is none or cuts rows."""
    part = rows.recipe.empty()[0]
    if part.ndim != 2 or not isinstance(chunks, Sequence) or len(chunks) != 2:
        return None
    return chunks[0] if chunks[1] in (part.shape[1], -1, (part.shape[1],)) else None


def _fits(chunks: Any, n_rows: int) -> bool:
    return (
        isinstance(chunks, Sequence) and all(_is_count(size) and size > 0 for size in chunks) and sum(chunks) == n_rows
    )


def _is_count(value: Any) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, (bool, np.bool_))

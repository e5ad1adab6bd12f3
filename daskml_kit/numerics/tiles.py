"""Rows in pieces that stay in the processor's L2 cache, so that a pass reads memory once."""

from __future__ import annotations

from collections.abc import Iterator

import scipy.sparse as sp

from daskml_kit.typing import Matrix

TILE_BYTES = 512 * 1024
MIN_ROWS, MAX_ROWS = 256, 16_384


def tile_rows(X: Matrix, n_columns: int) -> int:
    """How many rows of ``X``, beside ``n_columns`` temporaries a row, fit in `TILE_BYTES`."""
    width = X.nnz / max(X.shape[0], 1) * 1.5 if sp.issparse(X) else X.shape[1]
    row_bytes = 8 * (width + 3 * n_columns)
    return int(min(max(TILE_BYTES / max(row_bytes, 1), MIN_ROWS), MAX_ROWS))


def tiles(n_rows: int, size: int) -> Iterator[slice]:
    """Cut ``n_rows`` into slices of ``size`` rows.

    Examples
    --------
    >>> list(tiles(5, 2))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    return (slice(start, min(start + size, n_rows)) for start in range(0, n_rows, size))

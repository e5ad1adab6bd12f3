"""One block of rows: what a single task sees."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse as sp

from daskml_kit.data.coded import aligned, codes_of
from daskml_kit.exceptions import DataError
from daskml_kit.typing import Array, Matrix


class Run(NamedTuple):
    """The caller's blocks that were merged into one: the first's position, and the rows of each."""

    first: int
    lengths: tuple[int, ...]


class Block(NamedTuple):
    """Some rows of a data set: plain NumPy or CSR, never a Dask object.

    Parameters
    ----------
    X : array of shape (n_rows, n_features), or CSR
    y : array of shape (n_rows,) or (n_rows, n_outputs), optional
    weight : array of shape (n_rows,), optional
        Sample weights.
    index : int
        Position in the data set: partial answers combine in this order.
    fold : int array of shape (n_rows, n_columns), optional
        The ids by which the splits of a cross-validation tell the rows, one column a repetition.
    run : Run, optional
        The caller's blocks that a merged block is made of.
    """

    X: Matrix
    y: Array | None = None
    weight: Array | None = None
    index: int = 0  # type: ignore[assignment]  # a tuple has a method of this name, which nothing here calls
    fold: Array | None = None
    run: Run | None = None

    @property
    def n_rows(self) -> int:
        return int(self.X.shape[0])

    def unmerged(self) -> Iterator[Block]:
        """Yield the caller's blocks that this one was merged from, by their own positions; none if it was not."""
        first, lengths = self.run or Run(0, ())
        for index, (start, stop) in enumerate(pairwise(accumulate(lengths, initial=0)), first):
            y, weight, fold = (None if part is None else part[start:stop] for part in (self.y, self.weight, self.fold))
            yield Block(self.X[start:stop], y, weight, index, fold)


def as_block(
    X: object,
    y: object = None,
    weight: object = None,
    fold: object = None,
    *,
    index: int = 0,
    n_features: int | None = None,
    run: Run | None = None,
) -> Block:
    """Return the parts as a checked `Block`.

    Raises
    ------
    DataError
        Where dtype, width or lengths do not fit; the message names the argument and the block.
    """
    where = f"in block {index}"
    matrix = _as_matrix(X, where)
    if n_features is not None and matrix.shape[1] != n_features:
        raise DataError(f"X: expected {n_features} features, got {matrix.shape[1]} {where}")
    if sp.issparse(y):
        raise DataError(f"y: expected a dense array, got a sparse one {where}")
    target = None if y is None else np.asarray(y)
    if target is not None and target.ndim == 2 and target.shape[1] == 1:
        target = target[:, 0]
    weights = None if weight is None else _as_numbers(np.asarray(weight), "sample_weight", where)
    for name, part in (("y", target), ("sample_weight", weights)):
        if part is not None and part.shape[0] != matrix.shape[0]:
            raise DataError(f"{name}: expected {matrix.shape[0]} rows as in X, got {part.shape[0]} {where}")
    if weights is not None and weights.ndim != 1:
        raise DataError(f"sample_weight: expected one dimension, got shape {weights.shape} {where}")
    ids = None if fold is None else _as_ids(fold, matrix.shape[0], where)
    return Block(_aligned(matrix), _aligned(target), _aligned(weights), index, _aligned(ids), run)


def _aligned(part: Any) -> Any:
    """Return a part in aligned memory, of the machine's order of bytes.

    What comes off the wire may not be aligned, and other routines round otherwise there; compiled loops take no other
    order.
    """
    if part is None:
        return None
    if (own := codes_of(part)) is not None:
        return aligned(own)
    if sp.issparse(part):
        arrays = (part.data, part.indices, part.indptr)
        if all(array.flags.aligned and array.dtype.isnative for array in arrays):
            return part
        return type(part)(tuple(map(_aligned, arrays)), shape=part.shape)
    return native(part) if part.flags.aligned else native(part).copy()


def native(part: Any) -> Any:
    """Return an array or the columns of a data frame in the machine's order of bytes, which hashing needs, too."""
    if isinstance(part, pd.DataFrame):
        swapped = {name: kind for name, kind in part.dtypes.items() if isinstance(kind, np.dtype) and not kind.isnative}
        return part.astype({name: kind.newbyteorder("=") for name, kind in swapped.items()}) if swapped else part
    if not isinstance(part, np.ndarray) or part.dtype.isnative:
        return part
    return part.astype(part.dtype.newbyteorder("="))


def check_finite(block: Block) -> None:
    """Raise a `DataError` that says where a NaN or an infinity lies in ``block``, if there is one."""
    values = block.X.data if sp.issparse(block.X) else block.X
    if not np.isfinite(values).all():
        dense = block.X.toarray() if sp.issparse(block.X) else np.asarray(block.X)
        row, column = np.argwhere(~np.isfinite(dense))[0]
        kind = "NaN" if np.isnan(dense[row, column]) else "infinity"
        raise DataError(f"Input X contains {kind} in block {block.index}, row {row} of the block, column {column}.")
    for name, part in (("y", block.y), ("sample_weight", block.weight)):
        if part is not None and part.dtype.kind == "f" and not np.isfinite(part).all():
            row = np.argwhere(~np.isfinite(part))[0][0]
            kind = "NaN" if np.isnan(part[row]).any() else "infinity"
            raise DataError(f"Input {name} contains {kind} in block {block.index}, row {row} of the block.")


def check_dense(block: Block) -> None:
    """Raise a `DataError` where X of ``block`` is sparse."""
    if sp.issparse(block.X):
        raise DataError(f"X: expected a dense array, got a sparse one in block {block.index}")


def check_not_negative(block: Block) -> None:
    """Raise a `DataError` where a sample weight of ``block`` is negative."""
    if block.weight is not None and (block.weight < 0).any():
        raise DataError(f"Negative values in data passed to `sample_weight`: block {block.index}")


def _as_matrix(X: Any, where: str) -> Matrix:
    if sp.issparse(X):
        return X if X.format == "csr" else X.tocsr()
    matrix = np.asarray(X)
    if matrix.ndim != 2:
        raise DataError(f"X: expected a 2-dimensional array, got {matrix.ndim} dimension(s) {where}")
    return _as_numbers(matrix, "X", where)


def _as_ids(fold: object, n_rows: int, where: str) -> Array:
    ids = np.asarray(fold)
    if ids.shape[0] != n_rows:
        raise DataError(f"cv: expected ids of {n_rows} rows as in X, got {ids.shape[0]} {where}")
    return ids if ids.ndim == 2 else ids[:, None]


def _as_numbers(values: Array, name: str, where: str) -> Array:
    if values.dtype.kind in "fiub":
        return values
    if values.dtype.kind == "c":
        raise DataError(f"{name}: Complex data not supported, got dtype {values.dtype} {where}")
    if values.dtype.kind in "mM":
        raise DataError(f"{name}: expected numbers, got dtype {values.dtype} {where}: a time is no number")
    try:
        if values.dtype == object:  # pd.NA is no number, and no NaN either
            values = np.where(pd.isna(values), np.nan, values)
        return values.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"{name}: expected numbers, got dtype {values.dtype} {where}: {error}") from None

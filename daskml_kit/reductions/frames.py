"""Reductions about other rows than those of blocks: tables before they are numbers, folds, transformed rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse as sp

from daskml_kit.data.block import Block, as_block, check_finite
from daskml_kit.data.coded import codes_of
from daskml_kit.exceptions import DataError
from daskml_kit.numerics.encoding import transform_rows
from daskml_kit.numerics.missing import Indicated
from daskml_kit.numerics.targets import rows_by_id
from daskml_kit.reductions.kept_rows import ShownRows, keep, take
from daskml_kit.reductions.reduction import Delegate, Reduction, SingleReduction
from daskml_kit.reductions.summary import Summary
from daskml_kit.typing import Array, Matrix


@dataclass(frozen=True, eq=False)
class Select(Delegate):
    """Ask about the columns at ``positions``; a single position gives one dimension."""

    positions: Sequence[int] | int

    def view(self, block: Block) -> Block:
        return block._replace(X=columns_at(block.X, self.positions))


class Keeping(NamedTuple):
    """Name that transformed rows are kept by between passes, and the bytes that there is room for."""

    fit: str
    room: float


@dataclass(frozen=True, eq=False)
class Through(Delegate):
    """Ask about the rows as ``model`` transforms them.

    Parameters
    ----------
    model : scikit-learn transformer
    name : str, default ""
        Models of the same name transform alike: the driver transforms rows once for all that is asked through them.
    keeping : Keeping, optional
        Where given, each block is transformed once, as long as there is room.
    """

    model: Any
    name: str = ""
    keeping: Keeping | None = None

    def view(self, block: Block) -> Block:
        if self.keeping is None:
            return block._replace(X=self._transformed(block.X))
        part = block.index, self.name
        kept = take(self.keeping.fit, part) or ShownRows(self._transformed(block.X))
        keep(self.keeping.fit, part, kept, self.keeping.room)
        return block._replace(X=kept.X)

    def _transformed(self, X: Any) -> Any:
        if X.shape[0]:
            return transform_rows(self.model, X)
        zeros: Any = np.zeros((1, X.shape[1]), X.dtype if hasattr(X, "dtype") else None)
        rows = (  # scikit-learn refuses to work on no rows
            pd.DataFrame(zeros, columns=X.columns)
            if hasattr(X, "columns")
            else type(X)(zeros)
            if is_sparse(X)
            else zeros
        )
        return self.model.transform(rows)[:0]


@dataclass(frozen=True, eq=False)
class AsNumbers(Delegate):
    """Ask about the rows as numbers, each missing one a NaN.

    Parameters
    ----------
    nan : bool
        Whether NaN may come in the data.

    Raises
    ------
    DataError
        Where a value is not a number, or infinite; it names the block and the column.
    """

    nan: bool = True

    def view(self, block: Block) -> Block:
        return as_numbers(block, nan=self.nan)


@dataclass(frozen=True, eq=False)
class Head(SingleReduction):
    """The first ``n_rows`` rows, as they are."""

    n_rows: int = 3

    def chunk(self, block: Block) -> Any:
        return first_rows(block.X, self.n_rows)

    def combine(self, a: Any, b: Any) -> Any:
        return a if a.shape[0] >= self.n_rows else first_rows(join_rows(a, b), self.n_rows)


def first_rows(table: Any, n_rows: int) -> Any:
    """Return a copy of the first rows, so that a block is not held by a view of it."""
    return (table.iloc[:n_rows] if hasattr(table, "iloc") else table[:n_rows]).copy()


def rows_like(rows: Any, head: Any) -> Any:
    """Return made-up rows as ``head`` has its own: with its column names, or as CSR.

    Examples
    --------
    >>> rows_like(np.ones((1, 2)), pd.DataFrame({"a": ["x"], "b": [0]}))
         a    b
    0  1.0  1.0
    """
    if hasattr(head, "columns"):
        return pd.DataFrame(rows, columns=head.columns)
    return sp.csr_array(rows) if is_sparse(head) else rows


def join_rows(a: Any, b: Any) -> Any:
    if hasattr(a, "iloc"):
        return pd.concat([a, b])
    return sp.vstack([a, b]).tocsr() if is_sparse(a) else np.concatenate([a, b])


def is_sparse(table: Any) -> bool:
    return bool(sp.issparse(table))


def columns_at(table: Any, positions: Sequence[int] | int) -> Any:
    """Return columns by position.

    Examples
    --------
    >>> columns_at(np.array([[1, 2, 3]]), [2, 0])
    array([[3, 1]])
    """
    wanted = positions if isinstance(positions, int) else list(positions)
    own = codes_of(table)
    if own is not None and np.isin(wanted, own.columns).all():  # else the codes would be lost
        found: Any = own.dense[:, np.searchsorted(own.columns, wanted)]
        return found
    return table.iloc[:, wanted] if hasattr(table, "iloc") else table[:, wanted]


def as_numbers(block: Block, *, nan: bool = True) -> Block:
    """Return the block as numbers; see `AsNumbers`."""
    X: Any = block.X
    if isinstance(X, pd.DataFrame):
        X = _frame_numbers(X, block.index)
    numbers = as_block(X, None, block.weight, index=block.index)
    values: Any = numbers.X.data if is_sparse(numbers.X) else numbers.X
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        if np.isinf(values).any():
            where = _place(block, numbers.X, np.isinf)
            raise DataError(f"Input X contains infinity or a value too large in block {block.index}{where}.")
        if not nan:
            raise DataError(f"Input X contains NaN in block {block.index}{_place(block, numbers.X, np.isnan)}.")
    return numbers


def _place(block: Block, rows: Any, wrong: Callable[[Any], Any]) -> str:
    """Return which column has a wrong value, for a message."""
    if is_sparse(rows):
        position = int(rows.indices[np.flatnonzero(wrong(rows.data))[0]])
    else:
        position = int(np.flatnonzero(wrong(rows).any(axis=0))[0])
    table: Any = block.X
    return f", column {(table.columns[position] if hasattr(table, 'columns') else position)!r}"


def _frame_numbers(frame: pd.DataFrame, index: int) -> Any:
    kinds = {np.dtype(dtype) if isinstance(dtype, np.dtype) else np.dtype(np.float64) for dtype in frame.dtypes}
    single = kinds == {np.dtype(np.float32)}
    numbers = np.empty(frame.shape, np.float32 if single else np.float64, order="F")
    for position in range(frame.shape[1]):
        column = frame.iloc[:, position]
        try:
            if column.dtype.kind in "mM":  # which NumPy takes for nanoseconds
                raise TypeError("a time is no number")
            numbers[:, position] = column.to_numpy(dtype=numbers.dtype, na_value=np.nan)
        except (TypeError, ValueError) as error:
            raise DataError(
                f"X: expected numeric columns, got {column.name!r} ({column.dtype}) in block {index}: {error}; "
                "encode it first, for instance by OneHotEncoder"
            ) from None
    return numbers


@dataclass(frozen=True, eq=False)
class PerFold(SingleReduction):
    """The partial answers of ``reduction`` for the rows of each id of a block's fold column.

    Partials combine, so those of the ids that a split trains on make the answer for its training rows: k splits cost
    no more than one pass, and no row is read twice.

    Parameters
    ----------
    reduction : Reduction
        One reduction.
    column : int
        Of `daskml_kit.data.block.Block.fold`.
    n_ids : int

    Examples
    --------
    >>> from daskml_kit.reductions.moments import Moments
    >>> block = Block(np.array([[1.0], [3.0], [8.0]]), fold=np.array([[0], [1], [0]]))
    >>> asked = PerFold(Moments(), 0, 2)
    >>> parts = asked.chunk(block)
    >>> [answer_for(Moments(), parts, ids).mean.tolist() for ids in [(0,), (1,), (0, 1)]]
    [[4.5], [3.0], [4.0]]
    """

    reduction: Reduction
    column: int
    n_ids: int

    answer_type: ClassVar[Callable[..., Any] | None] = None

    def chunk(self, block: Block) -> list[Any]:
        if block.fold is None:
            raise TypeError("the rows of a fold are asked for, and the blocks have no folds")
        rows = dict(rows_by_id(block.fold[:, self.column]))
        parts = [rows_of(block, rows.get(i, slice(0))) for i in range(self.n_ids)]
        try:
            return [self._asked(part.n_rows / max(block.n_rows, 1)).chunk(part) for part in parts]
        except DataError:
            check_finite(block)  # names the row as the block has it
            raise

    def combine(self, a: list[Any], b: list[Any]) -> list[Any]:
        return [self.reduction.combine(x, y) for x, y in zip(a, b, strict=True)]

    def _asked(self, share: float) -> Reduction:
        """Return what is asked of a share of a block's rows: of them, but that share of its sample."""
        return self.reduction.of_share(share) if isinstance(self.reduction, Summary) else self.reduction


@dataclass(frozen=True, eq=False)
class Restricted(Delegate):
    """The result of ``reduction`` over the rows that have one of ``ids`` in a column of the blocks' folds."""

    column: int
    ids: tuple[int, ...]

    def view(self, block: Block) -> Block:
        return rows_within(block, self.column, self.ids)


def answer_for(reduction: Reduction, partials: Sequence[Any], ids: Sequence[int]) -> Any:
    """Return the answer of ``reduction`` for the rows of ``ids``, from the partials of each id."""
    return reduction.finalize(reduce(reduction.combine, [partials[i] for i in ids]))[0]


def rows_of(block: Block, rows: slice | Array) -> Block:
    """Return some rows of a block: views of a slice of them, else copies."""
    parts = (block.X, block.y, block.weight, block.fold)
    if isinstance(rows, slice):
        X, y, weight, fold = (None if part is None else _cut(part, rows) for part in parts)
    else:
        X, y, weight, fold = (None if part is None else _taken(part, rows) for part in parts)
    return Block(X, y, weight, block.index, fold)


def rows_within(block: Block, column: int, ids: Sequence[int]) -> Block:
    """Return the rows of a block that have one of ``ids`` in a column of its folds."""
    if block.fold is None:
        raise TypeError("the rows of a fold are asked for, and the blocks have no folds")
    own = block.fold[:, column]
    rows = np.flatnonzero(own == ids[0] if len(ids) == 1 else np.isin(own, ids))
    if len(rows) and rows[-1] - rows[0] == len(rows) - 1:
        return rows_of(block, slice(int(rows[0]), int(rows[-1]) + 1))
    return rows_of(block, rows)


def _cut(part: Matrix, rows: slice) -> Matrix:
    return part.cut(rows) if isinstance(part, Indicated) else part[rows]


def _taken(part: Matrix, rows: Array) -> Matrix:
    if isinstance(part, np.ndarray):
        return np.take(part, rows, axis=0)  # which is faster than an index
    return part[rows]

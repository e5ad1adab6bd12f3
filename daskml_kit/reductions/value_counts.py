"""Counts of the distinct values of each column."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from daskml_kit.data.block import Block
from daskml_kit.exceptions import DataError
from daskml_kit.numerics.encoding import categories_at, codes_of, counted_codes
from daskml_kit.reductions.class_losses import union
from daskml_kit.reductions.frames import is_sparse
from daskml_kit.reductions.reduction import SingleReduction
from daskml_kit.reductions.summary import one_column, sorted_labels
from daskml_kit.typing import Array

SMALL_RANGE = 2**16


class Tally(NamedTuple):
    """The distinct values of a column, in any order, and the rows that have each.

    ``values`` is a Series where the column was one, else an array. None, NaN and pd.NA are three values.
    """

    values: Any
    counts: Array


class Counts(SingleReduction):
    """The `Tally` of each column of a data frame, array or CSR matrix of any type.

    What it holds grows with the number of distinct values, not with the rows.
    """

    def chunk(self, block: Block) -> list[Tally]:
        table: Any = block.X
        if len(table.shape) != 2:
            raise DataError(f"Expected 2D array, got {len(table.shape)}D array instead in block {block.index}")
        return [_counted(_column(table, j)) for j in range(table.shape[1])]

    def combine(self, a: list[Tally], b: list[Tally]) -> list[Tally]:
        return [_joined(x, y) for x, y in zip(a, b, strict=True)]


def _counted(values: Any) -> Tally:
    """Return the tally of a column; of integers in a small range no table of them is needed."""
    if isinstance(values.dtype, np.dtype) and values.dtype.kind in "iu" and len(values):
        numbers = np.asarray(values)
        numbers = numbers if numbers.itemsize == 8 else numbers.astype(np.int64)  # in which nothing overflows
        low, high = int(numbers.min()), int(numbers.max())
        if high - low < SMALL_RANGE:
            counts = np.bincount((numbers - low).astype(np.intp, copy=False))
            there = np.flatnonzero(counts)
            distinct: Any = (there.astype(numbers.dtype) + low).astype(values.dtype)
            distinct = pd.Series(distinct, name=values.name) if hasattr(values, "iloc") else distinct
            return Tally(distinct, counts[there].astype(np.int64))
    if isinstance(values.dtype, pd.CategoricalDtype):
        _, counts = counted_codes(values)
        there = np.flatnonzero(counts)
        return Tally(_plain(categories_at(values, there)), counts[there])
    codes, distinct = codes_of(values)
    return Tally(distinct, np.bincount(codes, minlength=len(distinct)))


def _plain(distinct: Any) -> Any:
    """Return values of no categorical type: blocks may know different categories."""
    plain = np.asarray(distinct)
    return pd.Series(plain, name=distinct.name, dtype=plain.dtype)


def _column(table: Any, position: int) -> Any:
    if is_sparse(table):
        return table[:, [position]].toarray()[:, 0]
    if not hasattr(table, "iloc"):
        return table[:, position]
    return table.iloc[:, position]


def _joined(a: Tally, b: Tally) -> Tally:
    """Sum the rows of equal values."""
    join: Any = pd.concat if hasattr(a.values, "iloc") else np.concatenate
    codes, distinct = codes_of(join([a.values, b.values]))
    counts = np.bincount(codes, np.concatenate([a.counts, b.counts]), minlength=len(distinct))
    return Tally(distinct, counts.astype(np.int64))


class Contents(NamedTuple):
    """Rows, values present and infinite in each column, and of the target: its distinct values, sorted, and the rows
    of each, None where they are many, and whether all of them are whole numbers; and the first rows of the table."""

    n_rows: int
    present: Array
    infinite: Array
    labels: Array | None
    counts: Array | None
    whole: bool
    first: pd.DataFrame


@dataclass(frozen=True, eq=False)
class Shares(SingleReduction):
    """Count the rows of each value of a data frame's only column."""

    def chunk(self, block: Block) -> pd.Series[Any]:
        frame: Any = block.X
        return frame[frame.columns[0]].value_counts()

    def combine(self, a: pd.Series[Any], b: pd.Series[Any]) -> pd.Series[Any]:
        return a.add(b, fill_value=0)

    def finalize(self, total: pd.Series[Any]) -> list[pd.Series[Any]]:
        return [total.astype(np.int64).sort_index()]


@dataclass(frozen=True, eq=False)
class Columns(SingleReduction):
    """Count the values of a data frame, and look at its column ``target``; up to ``most`` distinct values are kept."""

    target: str
    most: int = 100
    n_first: int = 1_000

    def chunk(self, block: Block) -> Contents:
        """Read every column of the block.

        Raises
        ------
        DataError
            Where targets of different types are mixed.
        """
        frame: Any = block.X
        y = frame[self.target].dropna()
        numeric = pd.api.types.is_numeric_dtype(y.dtype)
        values = np.asarray(y.to_numpy(np.float64) if numeric else y.to_numpy(object))
        codes, labels = pd.factorize(values)
        try:
            order = np.argsort(labels, kind="stable")
        except TypeError as error:
            raise DataError(f"column {self.target!r}: expected values of one type, got a mixture: {error}") from None
        known = self._few(labels[order], np.bincount(codes, minlength=len(labels))[order])
        whole = numeric and bool((labels == np.floor(labels)).all())
        present, infinite = frame.notna().sum().to_numpy(), [_n_infinite(frame[name]) for name in frame.columns]
        return Contents(len(frame), present, np.array(infinite), *known, whole, frame.head(self.n_first))

    def combine(self, a: Contents, b: Contents) -> Contents:
        known: tuple[Array | None, Array | None] = None, None
        if a.labels is not None and b.labels is not None and a.counts is not None and b.counts is not None:
            labels = union(a.labels, b.labels)
            counts = np.zeros(len(labels), np.int64)
            for own, rows in ((a.labels, a.counts), (b.labels, b.counts)):
                counts[np.searchsorted(labels, own)] += rows
            known = self._few(labels, counts)
        present, infinite = a.present + b.present, a.infinite + b.infinite
        first = a.first if len(a.first) else b.first
        return Contents(a.n_rows + b.n_rows, present, infinite, *known, a.whole and b.whole, first)

    def _few(self, labels: Array, counts: Array) -> tuple[Array | None, Array | None]:
        return (labels, counts) if len(labels) <= self.most else (None, None)


def _n_infinite(column: pd.Series[Any]) -> int:
    numbers = pd.api.types.is_float_dtype(column.dtype)
    return int(np.isinf(column.to_numpy(np.float64, na_value=np.nan)).sum()) if numbers else 0


@dataclass(frozen=True, eq=False)
class Distinct(SingleReduction):
    """The distinct labels, sorted; more than ``most`` are refused, as they are no classes."""

    most: int

    def chunk(self, block: Block) -> Array:
        return self._few(sorted_labels(one_column(block.y, "y_true", block.index), block.index)[1])

    def combine(self, a: Array, b: Array) -> Array:
        return self._few(union(a, b))

    def _few(self, labels: Array) -> Array:
        if len(labels) > self.most:
            some = f"{labels[:3].tolist()}, ..."
            raise DataError(f"y_true: expected at most {self.most} labels, one a column of scores, got {some}")
        return labels

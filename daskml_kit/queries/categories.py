"""How often each value of each column comes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from daskml_kit.block import Block
from daskml_kit.errors import DataError
from daskml_kit.queries.query import Alone
from daskml_kit.queries.tables import is_sparse
from daskml_kit.typing import Array


class Tally(NamedTuple):
    """The distinct values of a column, in the order they come, and the rows that have each.

    ``values`` is a Series where the column was one, else an array. None, NaN and pd.NA are three values.
    """

    values: Any
    counts: Array


class Counts(Alone):
    """The `Tally` of each column of a data frame, array or CSR matrix of any type.

    What it holds grows with the number of distinct values, not with the rows.
    """

    def chunk(self, block: Block) -> list[Tally]:
        table: Any = block.X
        if len(table.shape) != 2:
            raise DataError(f"Expected 2D array, got {len(table.shape)}D array instead in block {block.index}")
        return [_tally(_column(table, j), np.ones(table.shape[0], np.int64)) for j in range(table.shape[1])]

    def combine(self, a: list[Tally], b: list[Tally]) -> list[Tally]:
        return [_joined(x, y) for x, y in zip(a, b, strict=True)]


def _tally(values: Any, weight: Array) -> Tally:
    """Sum the weights of equal values."""
    codes = np.array(pd.factorize(values)[0])
    missing = codes < 0
    if missing.any():
        _code_missing(values, codes, np.flatnonzero(missing))
    n_values = int(codes.max(initial=-1)) + 1
    first = np.empty(n_values, np.intp)
    first[codes[::-1]] = np.arange(len(codes))[::-1]
    distinct = values.iloc[first] if hasattr(values, "iloc") else values[first]
    return Tally(distinct, np.bincount(codes, weight, minlength=n_values).astype(np.int64))


def _code_missing(values: Any, codes: Array, rows: Array) -> None:
    """Give the missing values codes of their own; objects may hold several kinds of them."""
    last = codes.max(initial=-1)
    if values.dtype != object:
        codes[rows] = last + 1
        return
    kinds = [_kind(value) for value in (values.iloc[rows] if hasattr(values, "iloc") else values[rows])]
    order = {kind: number for number, kind in enumerate(dict.fromkeys(kinds), 1)}
    codes[rows] = last + np.array([order[kind] for kind in kinds])


def _kind(value: Any) -> str:
    return "None" if value is None else "NA" if value is pd.NA else "NaN"


def _column(table: Any, position: int) -> Any:
    if is_sparse(table):
        return table[:, [position]].toarray()[:, 0]
    if not hasattr(table, "iloc"):
        return table[:, position]
    column = table.iloc[:, position]
    if isinstance(column.dtype, pd.CategoricalDtype):  # blocks may know different categories
        plain = np.asarray(column)
        return pd.Series(plain, name=column.name, dtype=plain.dtype)
    return column


def _joined(a: Tally, b: Tally) -> Tally:
    join: Any = pd.concat if hasattr(a.values, "iloc") else np.concatenate
    return _tally(join([a.values, b.values]), np.concatenate([a.counts, b.counts]))

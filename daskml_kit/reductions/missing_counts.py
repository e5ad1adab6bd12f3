"""Reductions about data with missing values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse as sp

from daskml_kit.data.block import Block
from daskml_kit.numerics.missing import Gaps, indicate, is_nan, missing_mask
from daskml_kit.reductions.frames import as_numbers, is_sparse
from daskml_kit.reductions.moments import Spread
from daskml_kit.reductions.reduction import Delegate, SingleReduction
from daskml_kit.typing import Array


class Seen(NamedTuple):
    """The number of rows, and for each column of values that are not missing, and of those that are also stored."""

    n_rows: int
    present: Array
    stored: Array


@dataclass(frozen=True, eq=False)
class Presence(SingleReduction):
    """Count the values of each column that are not ``marker``, in tables of any type."""

    marker: Any

    def chunk(self, block: Block) -> Seen:
        table: Any = block.X
        n_rows, n_columns = table.shape
        if is_sparse(table):
            X = sp.csr_array(table)
            missing = np.bincount(X.indices[missing_mask(X.data, self.marker)], minlength=n_columns)
            stored = np.bincount(X.indices, minlength=n_columns)
        else:
            stored = n_rows
            columns = (table.iloc[:, j] if hasattr(table, "iloc") else table[:, j] for j in range(n_columns))
            missing = np.array([missing_mask(column, self.marker).sum() for column in columns])
        return Seen(n_rows, n_rows - missing, stored - missing)

    def combine(self, a: Seen, b: Seen) -> Seen:
        return Seen(a.n_rows + b.n_rows, a.present + b.present, a.stored + b.stored)


@dataclass(frozen=True, eq=False)
class Masked(Delegate):
    """Ask about the rows as numbers, NaN wherever the value is ``marker``.

    Raises
    ------
    DataError
        Where a value is no number, is infinite, or is NaN and NaN is not the marker.
    """

    marker: Any

    def view(self, block: Block) -> Block:
        nan = self.marker is pd.NA or is_nan(self.marker)
        numbers = as_numbers(block, nan=nan)
        if nan:
            return numbers
        X: Any = numbers.X.copy() if is_sparse(numbers.X) else numbers.X
        dtype = np.float32 if X.dtype == np.float32 else np.float64
        if is_sparse(X):
            X = X.astype(dtype)
            X.data[missing_mask(X.data, self.marker)] = np.nan
            return numbers._replace(X=X)
        return numbers._replace(X=np.where(missing_mask(X, self.marker), np.nan, X).astype(dtype, copy=False))


@dataclass(frozen=True, eq=False)
class WithIndicators(Delegate):
    """Ask about the features :math:`[x_0, m]` of `daskml_kit.numerics.missing.Indicated`.

    Examples
    --------
    >>> from daskml_kit.reductions.gram import Gram
    >>> asked = WithIndicators(Gram(), Gaps(np.array([0]), np.array([2.0])))
    >>> asked.chunk(Block(np.array([[4.0], [np.nan]]))).mean
    array([3. , 0.5])
    """

    gaps: Gaps

    def view(self, block: Block) -> Block:
        return block._replace(X=indicate(block.X, self.gaps))


def gaps_of(spread: Spread) -> Gaps:
    """Return the columns with missing values, with about their means as stand-ins.

    These are numbers of single precision, so that they are the same in blocks of either.

    Examples
    --------
    >>> from daskml_kit.reductions.moments import Moments
    >>> gaps_of(Moments().chunk(Block(np.array([[4.0, 1.0], [np.nan, 2.0]]))))
    Gaps(columns=array([0]), base=array([4.]))
    """
    columns = np.flatnonzero(spread.count < spread.n_rows)
    with np.errstate(over="ignore"):
        base = spread.mean[columns].astype(np.float32).astype(np.float64)
    return Gaps(columns, np.where(np.isfinite(base), base, 0.0))

"""What a table holds, before anything is fitted to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from daskml_kit.block import Block
from daskml_kit.errors import DataError
from daskml_kit.queries.class_losses import union
from daskml_kit.queries.query import Alone
from daskml_kit.typing import Array


class Contents(NamedTuple):
    """Rows, values present in each column, and of the target: its distinct values, sorted, None where they are many,
    and whether all of them are whole numbers."""

    n_rows: int
    present: Array
    labels: Array | None
    whole: bool


@dataclass(frozen=True, eq=False)
class Shares(Alone):
    """Count the rows of each value of a data frame's only column."""

    def chunk(self, block: Block) -> pd.Series[Any]:
        frame: Any = block.X
        return frame[frame.columns[0]].value_counts()

    def combine(self, a: pd.Series[Any], b: pd.Series[Any]) -> pd.Series[Any]:
        return a.add(b, fill_value=0)

    def split(self, total: pd.Series[Any]) -> list[pd.Series[Any]]:
        return [total.astype(np.int64).sort_index()]


@dataclass(frozen=True, eq=False)
class Columns(Alone):
    """Count the values of a data frame, and look at its column ``target``; up to ``most`` distinct values are kept."""

    target: str
    most: int = 100

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
        try:
            labels = np.sort(pd.unique(values))
        except TypeError as error:
            raise DataError(f"column {self.target!r}: expected values of one type, got a mixture: {error}") from None
        whole = numeric and bool((labels == np.floor(labels)).all())
        return Contents(len(frame), frame.notna().sum().to_numpy(), self._few(labels), whole)

    def combine(self, a: Contents, b: Contents) -> Contents:
        known = None if a.labels is None or b.labels is None else self._few(union(a.labels, b.labels))
        return Contents(a.n_rows + b.n_rows, a.present + b.present, known, a.whole and b.whole)

    def _few(self, labels: Array) -> Array | None:
        return labels if len(labels) <= self.most else None

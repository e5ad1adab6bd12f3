"""Labels of rows that have several."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import Any

from daskml_kit.data.block import Block
from daskml_kit.exceptions import DataError
from daskml_kit.reductions.reduction import SingleReduction


class LabelSets(SingleReduction):
    """The set of all labels in a table's only column, whose values are collections of labels."""

    def chunk(self, block: Block) -> set[Any]:
        table: Any = block.X
        rows = table.iloc[:, 0] if hasattr(table, "iloc") else table[:, 0]
        for row in rows:
            if isinstance(row, str) or not isinstance(row, Iterable):
                raise DataError(f"y: expected a collection of labels in each row, got {row!r} in block {block.index}")
        return set(chain.from_iterable(rows))

    def combine(self, a: set[Any], b: set[Any]) -> set[Any]:
        return a | b

"""Which labels there are."""

from __future__ import annotations

from dataclasses import dataclass

from daskml_kit.block import Block
from daskml_kit.errors import DataError
from daskml_kit.queries.class_losses import sorted_labels, union
from daskml_kit.queries.query import Alone
from daskml_kit.queries.scores import one_column
from daskml_kit.typing import Array


@dataclass(frozen=True, eq=False)
class Distinct(Alone):
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

"""Several questions of different kinds in one pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from daskml_kit.block import Block
from daskml_kit.queries.query import Alone, Query


@dataclass(frozen=True, eq=False)
class Together(Alone):
    """The answers of single questions, a tuple in their order.

    Parameters
    ----------
    queries : tuple of Query
        Each with one answer.
    """

    queries: tuple[Query, ...]

    def chunk(self, block: Block) -> tuple[Any, ...]:
        return tuple(query.chunk(block) for query in self.queries)

    def combine(self, a: tuple[Any, ...], b: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(query.combine(*pair) for query, *pair in zip(self.queries, a, b, strict=True))

    def split(self, total: tuple[Any, ...]) -> list[Any]:
        return [tuple(query.split(part)[0] for query, part in zip(self.queries, total, strict=True))]

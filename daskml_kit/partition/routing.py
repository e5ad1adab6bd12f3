"""Where each row goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from daskml_kit.data.indexing import n_rows
from daskml_kit.numerics.permutation import Permutation
from daskml_kit.typing import Array


class Route(Protocol):
    """Gives each row a place: a number that no other row has, and by which the rows of the result are sorted.

    ``edges``, of length n_blocks + 1, says from which place on each block of the result begins.
    """

    @property
    def edges(self) -> Array: ...

    @property
    def lengths(self) -> list[float]:
        """Rows of each block of the result, NaN where it is not known beforehand."""

    def places(self, index: int, start: int, parts: Sequence[Any]) -> Array:
        """Return the places, int64, of the rows of block ``index``, the first of which is row number ``start``."""


@dataclass(frozen=True)
class Everywhere:
    """A random order of all rows, cut into blocks whose sizes differ by at most one."""

    order: Permutation
    npartitions: int

    @property
    def edges(self) -> Array:
        return self.order.n * np.arange(self.npartitions + 1) // self.npartitions

    @property
    def lengths(self) -> list[float]:
        return [int(length) for length in np.diff(self.edges)]

    def places(self, index: int, start: int, parts: Sequence[Any]) -> Array:
        return self.order.places(start, start + n_rows(parts[0]))

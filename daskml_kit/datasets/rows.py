"""Rows that are the same however they are cut: drawn in tiles, each by a generator of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from daskml_kit.engines.computing import computing
from daskml_kit.typing import Array

TILE_NUMBERS = 2**17  # a megabyte, which a core keeps near while it is worked on
MAX_TILE_ROWS = 8192


class Recipe(Protocol):
    """What the rows of a data set are made of; small, for every task gets it."""

    @property
    def width(self) -> int:
        """How many numbers there are in a row, about."""

    def draw(self, rng: np.random.Generator, rows: Array) -> tuple[Array, ...]:
        """Return the parts (X and y, say) of the rows with the numbers ``rows``, each with a row for each number."""

    def empty(self) -> tuple[Array, ...]:
        """Return the parts of no rows, which have the right types and widths."""
        return self.draw(np.random.default_rng(0), np.arange(0))


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of a data set, which are drawn when they are asked for.

    They are drawn in tiles whose size depends on their width alone, and the generator of a tile is seeded by its
    number. A block draws the tiles that it overlaps, so a row is the same in whichever block it lies.

    Parameters
    ----------
    recipe : Recipe
    n_rows : int
    seed : int
    """

    recipe: Recipe
    n_rows: int
    seed: int

    @property
    def tile_rows(self) -> int:
        return max(min(TILE_NUMBERS // max(self.recipe.width, 1), MAX_TILE_ROWS), 1)

    def between(self, start: int, stop: int) -> tuple[Array, ...]:
        """Return the parts of the rows from ``start`` up to ``stop``."""
        size = self.tile_rows
        parts = tuple(np.empty((stop - start, *part.shape[1:]), part.dtype) for part in self.recipe.empty())
        with computing():
            for tile in range(start // size, -(-stop // size)):
                first, last = tile * size, min((tile + 1) * size, self.n_rows)
                seed = np.random.SeedSequence(self.seed, spawn_key=(tile,))
                drawn = self.recipe.draw(np.random.default_rng(seed), np.arange(first, last))
                low, high = max(first, start), min(last, stop)
                for part, whole_tile in zip(parts, drawn, strict=True):
                    part[low - start : high - start] = whole_tile[low - first : high - first]
        return parts


def draw_seed(state: np.random.RandomState) -> int:
    """Return 128 random bits."""
    return int.from_bytes(state.bytes(16))

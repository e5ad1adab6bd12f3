"""A random order of so many things that the order itself is never written down.

The place of each is told from its number alone, so a block of rows knows which places its rows take, and two blocks
never give the same one away. It is a Feistel cipher over a rectangle that holds ``range(size)``, its round functions
tables of random numbers (Luby & Rackoff 1988), and what falls outside ``range(size)`` walks on until it is inside
(Black & Rogaway 2002).
"""

from __future__ import annotations

from functools import lru_cache
from math import isqrt

import numpy as np

from daskml_kit.typing import Array

ROUNDS = 6


@lru_cache(maxsize=4)
def _tables(size: int, seed: tuple[int, ...]) -> tuple[Array, ...]:
    """Return ``ROUNDS`` tables of about the square root of ``size`` numbers, each for the other side's next shift."""
    rng = np.random.default_rng(np.random.SeedSequence(seed))
    sides = rectangle(size)
    return tuple(rng.integers(sides[turn % 2], size=sides[1 - turn % 2]) for turn in range(ROUNDS))


def rectangle(size: int) -> tuple[int, int]:
    """Return the sides of the smallest nearly square rectangle of at least ``size`` cells.

    Examples
    --------
    >>> rectangle(10)
    (4, 3)
    """
    side = isqrt(size - 1) + 1
    return side, -(-size // side)


def scatter(places: Array, size: int, seed: tuple[int, ...], order: Array | None = None) -> Array:
    """Return where ``places`` go in a random order of ``range(size)``.

    Parameters
    ----------
    places : int64 array of shape (n,), from 0 up to ``size``
    size : int, at least 1
    seed : tuple of int
    order : int64 array of shape (n,), optional
        Which of many orders the place is taken from; one order for all by default.

    Returns
    -------
    int64 array of shape (n,)

    Examples
    --------
    >>> sorted(scatter(np.arange(7), 7, seed=(3,)).tolist())
    [0, 1, 2, 3, 4, 5, 6]
    """
    tables, walking = _tables(size, seed), np.arange(len(places))
    scattered = places.copy()
    while len(walking):
        moved = _permute(scattered[walking], None if order is None else order[walking], tables)
        scattered[walking] = moved
        walking = walking[moved >= size]
    return scattered


def _permute(cells: Array, order: Array | None, tables: tuple[Array, ...]) -> Array:
    """Return the cells of the rectangle that ``cells`` become."""
    sides = len(tables[1]), len(tables[0])
    at = list(np.divmod(cells, sides[1]))
    for turn, table in enumerate(tables):
        moved, other = turn % 2, 1 - turn % 2
        entry = at[other]
        if order is not None:
            entry = (entry + _start(order, turn)) % sides[other]
        at[moved] += table[entry]
        np.subtract(at[moved], sides[moved], out=at[moved], where=at[moved] >= sides[moved])
    return np.asarray(at[0] * sides[1] + at[1])


def _start(order: Array, turn: int) -> Array:
    """Return where each order begins to read the table of this turn, as if at random (Steele et al. 2014)."""
    word = (order.astype(np.uint64) * ROUNDS + turn + 1) * np.uint64(0x9E3779B97F4A7C15)
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(word >> np.uint64(33)).astype(np.int64)

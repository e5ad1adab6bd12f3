"""Places cut into parts: which fold a place is in."""

from __future__ import annotations

from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np

from daskml_kit.numerics.permutation import Permutation
from daskml_kit.typing import Array

SMALL_IDS = 2**15


def id_dtype(n_parts: int) -> np.dtype[Any]:
    """Return the type of the numbers of so many parts."""
    return np.dtype(np.int16 if n_parts <= SMALL_IDS else np.int32)


class Cut(NamedTuple):
    """The places ``0 .. n - 1`` cut into parts of exact sizes, one after the other, or at random.

    Parameters
    ----------
    sizes : tuple of int
        Places of each part.
    key : int, optional
        Which random order the places are put in before they are cut; by default they stay as they are.

    Examples
    --------
    >>> Cut((2, 1)).ids(0, 3)
    array([0, 0, 1], dtype=int16)
    >>> Cut((2, 1), key=5).counts(0, 3)
    array([2, 1])
    """

    sizes: tuple[int, ...]
    key: int | None = None

    def ids(self, start: int, stop: int) -> Array:
        """Return the number of the part of each of the places ``start .. stop - 1``."""
        dtype = id_dtype(len(self.sizes))
        if self.key is None:
            return np.repeat(np.arange(len(self.sizes), dtype=dtype), self.counts(start, stop))
        places = Permutation(sum(self.sizes), self.key).places(start, stop)
        return np.searchsorted(list(accumulate(self.sizes)), places, side="right").astype(dtype)

    def counts(self, start: int, stop: int) -> Array:
        """Return how many of the places ``start .. stop - 1`` each part has, int64."""
        if self.key is None:
            return np.diff(np.clip([0, *accumulate(self.sizes)], start, stop))
        return np.bincount(self.ids(start, stop), minlength=len(self.sizes))


def even_sizes(n: int, n_parts: int) -> tuple[int, ...]:
    """Return the sizes of parts of n places, the first ones larger by one where they cannot be equal.

    Examples
    --------
    >>> even_sizes(7, 3)
    (3, 2, 2)
    """
    return tuple(n // n_parts + (part < n % n_parts) for part in range(n_parts))

"""Which group each row belongs to, told from its number alone, with exact sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from daskml_kit.numerics.permutation import Permutation
from daskml_kit.typing import Array


@dataclass(frozen=True, eq=False)
class Groups:
    """Groups of given sizes, whose rows follow one another, or lie in a random order where there is one.

    Parameters
    ----------
    ends : int64 array of shape (n_groups,)
        How many rows there are up to the end of each group.
    order : Permutation, optional
        Of as many rows.

    Examples
    --------
    >>> Groups(np.cumsum([2, 0, 3])).of(np.arange(5))
    array([0, 0, 2, 2, 2])
    """

    ends: Array
    order: Permutation | None = None

    def places(self, rows: Array) -> Array:
        """Return the place of each of the ``rows`` where the groups follow one another."""
        return rows if self.order is None else self.order.of(rows)

    def at(self, places: Array) -> Array:
        """Return the group at each of the ``places``."""
        return np.searchsorted(self.ends, places, side="right")

    def of(self, rows: Array) -> Array:
        """Return the group of each of the ``rows``."""
        return self.at(self.places(rows))


def groups_of(sizes: Sequence[int] | Array, key: int | None) -> Groups:
    """Return groups of ``sizes``, in the random order of ``key`` unless it is None."""
    ends = np.cumsum(sizes)
    return Groups(ends, None if key is None else Permutation(int(ends[-1]), key))


def even_sizes(n_rows: int, n_groups: int, sizes: Sequence[int] | None = None) -> list[int]:
    """Return ``sizes`` with what is missing to ``n_rows`` dealt out one by one; equal sizes by default.

    Examples
    --------
    >>> even_sizes(8, 3)
    [3, 3, 2]
    """
    first = list(sizes) if sizes is not None else [n_rows // n_groups] * n_groups
    left = n_rows - sum(first)
    return [size + left // n_groups + (group < left % n_groups) for group, size in enumerate(first)]

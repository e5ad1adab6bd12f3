"""Random partitioning: a uniform shuffle of all rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from daskml_kit.data.align import align_rows
from daskml_kit.data.collections import n_rows
from daskml_kit.numerics.permutation import Permutation, key_of
from daskml_kit.partition.shuffle import check_npartitions, named, shuffle, unwrapped
from daskml_kit.typing import Array


@dataclass(frozen=True)
class RandomPartitioner:
    """Partitioner of rows into a random order, cut into blocks whose sizes differ by at most one."""

    order: Permutation
    npartitions: int

    @property
    def edges(self) -> Array:
        """Places where blocks of the result begin, and the end."""
        return self.order.n * np.arange(self.npartitions + 1) // self.npartitions

    @property
    def lengths(self) -> list[float]:
        """Rows of each block of the result."""
        return [int(length) for length in np.diff(self.edges)]

    def places(self, index: int, start: int, parts: Sequence[Any]) -> Array:
        """Return the places of the rows of a block, the first of which is row number ``start``."""
        return self.order.places(start, start + n_rows(parts[0]))


def random_partition(*collections: Any, npartitions: int | None = None, random_state: Any = None) -> Any:
    """Shuffle the rows of all collections alike, over all blocks.

    Every row may end at every place, each as likely: row r goes to place p(r), where p is a pseudo-random permutation
    that only the seed and the number of rows choose. So the result does not depend on the blocks the rows come in, on
    the workers or on what these lose on the way. Blocks are equal but for one row.

    The result is lazy. What fits in memory is exchanged there, by about two tasks a block; what does not goes through
    Dask's own shuffle, which spills to disk (on a cluster its buffers want workers of 1.5 GB or more). Ask for all
    results in one ``dask.persist`` or ``dask.compute``: each call shuffles again.

    Parameters
    ----------
    *collections : Dask array, DataFrame or Series, NumPy array, pandas object or CSR matrix
        Of equal length; unknown block lengths are counted, by a pass over the cheapest. DataFrames keep their index.
    npartitions : int, default=None
        Blocks of the results; by default as many as the first Dask collection has.
    random_state : int, RandomState instance or None, default=None
        As in scikit-learn: an int gives the same order each time.

    Returns
    -------
    Dask collection, or a tuple of them where several are given
        The collections with their rows in the new order; blocks differ by at most one row.

    Raises
    ------
    DataError
        Where lengths differ, the number of blocks is not positive, or nothing is given.

    See Also
    --------
    hash_partition : Bring the rows of a key together.
    partition_report : See how rows lie in blocks.

    References
    ----------
    J. Black, P. Rogaway: Ciphers with arbitrary finite domains, CT-RSA 2002 (the permutation).

    Examples
    --------
    >>> import dask.array as da
    >>> from daskml_kit.partition import random_partition
    >>> numbers = da.arange(10, chunks=5)
    >>> X, y = random_partition(numbers[:, None], numbers, npartitions=3, random_state=0)
    >>> y.chunks, bool((X[:, 0] == y).all())
    (((3, 3, 4),), True)
    """
    rows = align_rows(named(collections))
    seed = int(check_random_state(random_state).randint(np.iinfo(np.int32).max))
    n_blocks = check_npartitions(npartitions, len(rows.lengths))
    return unwrapped(shuffle(rows, RandomPartitioner(Permutation(rows.n_rows, key_of(seed)), n_blocks)))

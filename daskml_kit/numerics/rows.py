"""Some rows of a larger array."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from daskml_kit.typing import Array


def sum_rows(rows: Array, values: Array) -> tuple[Array, Array]:
    """Return the distinct ``rows``, sorted, and for each the sum of its ``values``, which have a row for each.

    A product with a sparse matrix of ones sums as fast as memory allows, in the order of the rows.

    Examples
    --------
    >>> sum_rows(np.array([4, 1, 4]), np.array([[1.0], [2.0], [3.0]]))
    (array([1, 4]), array([[2.],
           [4.]]))
    """
    distinct, codes = np.unique(rows, return_inverse=True)
    n = len(rows)
    ones = sp.csc_array((np.ones(n, values.dtype), codes, np.arange(n + 1)), shape=(len(distinct), n))
    sums = ones @ values.reshape(n, -1)
    return distinct, np.asarray(sums).reshape(len(distinct), *values.shape[1:])

"""Row-sparse gradients: some rows of a larger array."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from daskml_kit.typing import Array


class SparseRows(NamedTuple):
    """Row-sparse gradient: that of some rows of an array, such as a table of embeddings; rows that repeat are summed.

    Parameters
    ----------
    rows : integer array of shape (k,)
        Numbers of the rows.
    values : array of shape (k, ...)
        The gradient of each.

    See Also
    --------
    daskml_kit.parameter_server.WorkerClient.push : Takes it in place of an array.

    Examples
    --------
    >>> SparseRows(np.array([7, 3]), np.ones((2, 4))).values.shape
    (2, 4)
    """

    rows: Array
    values: Array


def sum_rows(rows: Array, values: Array) -> SparseRows:
    """Return the distinct ``rows``, and for each the sum of its ``values``, which have a row for each of ``rows``.

    A product with a sparse matrix of ones sums as fast as memory allows, in the order of the rows.

    Examples
    --------
    >>> sum_rows(np.array([4, 1, 4]), np.array([[1.0], [2.0], [3.0]]))
    SparseRows(rows=array([1, 4]), values=array([[2.],
           [4.]]))
    """
    distinct, codes = np.unique(rows, return_inverse=True)
    n = len(rows)
    ones = sp.csc_array((np.ones(n, values.dtype), codes, np.arange(n + 1)), shape=(len(distinct), n))
    sums = ones @ values.reshape(n, math.prod(values.shape[1:]))
    return SparseRows(distinct, np.asarray(sums).reshape(len(distinct), *values.shape[1:]))

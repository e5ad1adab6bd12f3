"""Some rows of a larger array."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from daskml_kit.typing import Array


class Rows(NamedTuple):
    """The gradient of some rows of an array, such as a table of embeddings; where rows repeat, it is their sum.

    Parameters
    ----------
    rows : integer array of shape (k,)
    values : array of shape (k, ...)

    Examples
    --------
    >>> Rows(np.array([7, 3]), np.ones((2, 4))).values.shape
    (2, 4)
    """

    rows: Array
    values: Array


def sum_rows(rows: Array, values: Array) -> Rows:
    """Return the distinct ``rows``, and for each the sum of its ``values``, which have a row for each of ``rows``.

    A product with a sparse matrix of ones sums as fast as memory allows, in the order of the rows.

    Examples
    --------
    >>> sum_rows(np.array([4, 1, 4]), np.array([[1.0], [2.0], [3.0]]))
    Rows(rows=array([1, 4]), values=array([[2.],
           [4.]]))
    """
    distinct, codes = np.unique(rows, return_inverse=True)
    n = len(rows)
    ones = sp.csc_array((np.ones(n, values.dtype), codes, np.arange(n + 1)), shape=(len(distinct), n))
    sums = ones @ values.reshape(n, math.prod(values.shape[1:]))
    return Rows(distinct, np.asarray(sums).reshape(len(distinct), *values.shape[1:]))

"""Missing values: masks, and columns with indicators of them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse as sp

from daskml_kit.typing import Array, Matrix


def missing_mask(values: Any, marker: Any) -> Array:
    """Return where ``values``, an array or a pandas column, are ``marker``, as scikit-learn's imputers see it.

    NaN is not None; pd.NA stands for every kind of missing value.

    Examples
    --------
    >>> missing_mask(np.array(["a", None, np.nan], dtype=object), np.nan)
    array([False, False,  True])
    >>> missing_mask(np.array([1, -1]), -1)
    array([False,  True])
    """
    if marker is pd.NA or (is_nan(marker) and values.dtype != object):
        return np.asarray(pd.isna(values))
    plain = np.asarray(values)
    if is_nan(marker):
        return np.fromiter((is_nan(value) for value in plain.flat), bool, plain.size).reshape(plain.shape)
    if marker is None:
        return np.fromiter((value is None for value in plain.flat), bool, plain.size).reshape(plain.shape)
    return np.asarray(plain == marker)


def is_nan(value: Any) -> bool:
    return isinstance(value, (float, np.floating)) and bool(np.isnan(value))


class Gaps(NamedTuple):
    """Columns with missing values, sorted, and the number that stands in each for those that are missing."""

    columns: Array
    base: Array


NO_GAPS = Gaps(np.empty(0, np.intp), np.empty(0))


class Indicated:
    r"""The features :math:`[x_0, m]` of dense rows, made a tile at a time.

    :math:`x_0` are the d columns with stand-ins for what is missing; :math:`m` says, for each column with gaps, where
    that is by ones. Whatever is filled in for missing values, the outcome is linear in these: f in place of the
    stand-in b gives :math:`x_0 + m (f - b)`. A stand-in near to f keeps the digits of sums of products.

    Rows cut by a slice are an array; rows by their numbers are taken as they are, and wait for a slice.

    Parameters
    ----------
    X : array of shape (n_rows, d)
    gaps : Gaps

    Examples
    --------
    >>> Indicated(np.array([[1.0, 4.0], [np.nan, 5.0]]), Gaps(np.array([0]), np.array([2.0])))[:]
    array([[1., 4., 0.],
           [2., 5., 1.]])
    """

    def __init__(self, X: Array, gaps: Gaps) -> None:
        self._X = X
        self._gaps = gaps
        self.shape = (X.shape[0], X.shape[1] + len(gaps.columns))
        self.dtype = X.dtype if X.dtype.kind == "f" else np.dtype(np.float64)

    def __getitem__(self, rows: Any) -> Any:
        part = self._X[rows]
        return self._filled(part) if isinstance(rows, slice) else Indicated(part, self._gaps)

    def cut(self, rows: slice) -> Indicated:
        """Return consecutive rows as they are."""
        return Indicated(self._X[rows], self._gaps)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return self[:].astype(dtype or self.dtype, copy=False)  # type: ignore[no-any-return]

    def _filled(self, X: Array) -> Array:
        columns, base = self._gaps
        d = X.shape[1]
        tile = np.empty((X.shape[0], self.shape[1]), self.dtype)
        tile[:, :d] = X
        held = tile[:, :d] if len(columns) == d else tile[:, columns]  # a view, or a copy
        missing = np.isnan(held)
        np.copyto(held, base.astype(self.dtype), where=missing)
        if len(columns) < d:
            tile[:, columns] = held
        tile[:, d:] = missing
        return tile


def indicate(X: Matrix, gaps: Gaps) -> Any:
    """Return `Indicated` rows; of sparse ones a CSR matrix.

    Examples
    --------
    >>> rows = sp.csr_array(np.array([[1.0, 0.0], [np.nan, 5.0]]))
    >>> indicate(rows, Gaps(np.array([0]), np.array([2.0]))).toarray()
    array([[1., 0., 0.],
           [2., 5., 1.]])
    """
    if not sp.issparse(X):
        return Indicated(X, gaps)
    stored = sp.csr_array(X)
    stored = sp.csr_array((stored.data.copy(), stored.indices, stored.indptr), shape=stored.shape)
    place = np.full(X.shape[1], -1)
    place[gaps.columns] = np.arange(len(gaps.columns))
    missing = np.flatnonzero(np.isnan(stored.data) & (place[stored.indices] >= 0))
    row = np.searchsorted(stored.indptr, missing, side="right") - 1
    gone = place[stored.indices[missing]]
    stored.data[missing] = gaps.base[gone]
    ones = np.ones(len(missing), stored.dtype)
    marks = sp.csr_array((ones, (row, gone)), shape=(X.shape[0], len(gaps.columns)))
    return sp.hstack([stored, marks], format="csr")

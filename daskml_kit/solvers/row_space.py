"""Ridge-penalized problems of few rows and many features, as problems of as many features as rows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import scipy.linalg as sl

from daskml_kit.solvers.objective import Problem
from daskml_kit.typing import Array, Matrix

DIGITS = 1e-10
"""Share of the largest squared singular value of X, above which a ridge hides what products of rows have lost."""
MOST_NUMBERS = 2**25
"""Numbers of X as a dense array, up to which it is factored."""


class RowSpace(NamedTuple):
    """Orthonormal coordinates of the space that the rows of X span: X'M has orthonormal columns, Z is XX'M.

    The least ridge-penalized coefficients lie in that space: w = X'Mu has the norm of u, and Xw is Zu (the representer
    theorem, Kimeldorf & Wahba 1971).
    """

    X: Matrix
    Z: Array
    M: Array

    def problem(self, whole: Problem) -> Problem:
        """Return the problem in these coordinates."""
        k, width = whole.shape
        r = self.Z.shape[1]
        of_whole = np.zeros((3, k * width))
        of_whole[:, whole.free] = whole.l2, whole.start, np.ones(len(whole.free))
        l2, start, free = of_whole.reshape(3, k, width)
        inner = np.column_stack([start[:, :-1] @ (self.X.T @ self.M), start[:, -1]])
        strength = np.column_stack([np.repeat(l2[:, :1], r, axis=1), l2[:, -1]])
        kept = np.flatnonzero(np.column_stack([np.ones((k, r)), free[:, -1]]))
        l2, start, no_l1 = strength.ravel()[kept], inner.ravel()[kept], np.zeros(len(kept))
        return replace(whole, shape=(k, r + 1), free=kept, l2=l2, l1=no_l1, start=start)

    def leave(self, inner: Array) -> Array:
        """Return coefficients of shape (outputs, features + 1) for those of the coordinates."""
        return np.column_stack([np.asarray((self.X.T @ (self.M @ inner[:, :-1].T)).T), inner[:, -1]])


def row_space(X: Matrix, ridge: float) -> RowSpace | None:
    """Return the coordinates; None where products of rows have too few digits, and X is too large to be factored.

    Parameters
    ----------
    X : CSR matrix of shape (n_rows, n_features)
    ridge : float
        The weight of half the squared coefficients over that of half the squared errors.

    Examples
    --------
    >>> import scipy.sparse as sp
    >>> space = row_space(sp.csr_array(np.array([[3.0, 0.0, 4.0]])), 1.0)
    >>> np.abs(space.Z), np.abs(space.X.T @ space.M).ravel()
    (array([[5.]]), array([0.6, 0. , 0.8]))
    """
    X = X.astype(np.float64)
    products: Any = (X @ X.T).toarray()
    values, vectors = np.linalg.eigh(products)
    if ridge >= DIGITS * values[-1]:
        kept = values > np.finfo(np.float64).eps * len(values) * values[-1]
        roots = np.sqrt(values[kept])
        return RowSpace(X, vectors[:, kept] * roots, vectors[:, kept] / roots)
    if X.shape[0] * X.shape[1] > MOST_NUMBERS:
        return None
    (R,) = sl.qr(X.T.toarray(), mode="r")
    R = R[: X.shape[0]]
    size = np.abs(np.diag(R))
    if size.min() <= 1e-8 * size.max():
        return None  # rows that repeat, or nearly so
    return RowSpace(X, R.T, sl.solve_triangular(R, np.eye(len(R))))

"""Products of CSR matrices, which linear predictors and their derivatives are: compiled where there is much to do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import scipy.sparse as sp

from daskml_kit.data.coded import codes_of, expanded, recognized, take_coded
from daskml_kit.numerics.arrow import Arrow
from daskml_kit.numerics.targets import Read
from daskml_kit.typing import Array

MANY_PAIRS = 2_000_000
"""Pairs of numbers that are stored in a row, over all rows, from which compiled loops pay.

Below, SciPy takes milliseconds, and the first call would wait for the compiler, or for its cache on disk.
"""
MANY_CODED_PAIRS = 250_000
"""The same of a block of codes, which has to be expanded for the routines of SciPy."""
MANY_PRODUCTS = 1_500_000
"""Products of numbers from which compiled loops pay, for the same reason."""


def row_slice(X: Any, rows: slice) -> Any:
    """Return rows of a CSR matrix that follow each other, by slices of its arrays; SciPy goes over their numbers.

    Examples
    --------
    >>> X = sp.csr_array(np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 0.0]]))
    >>> row_slice(X, slice(1, 3)).toarray()
    array([[0., 2.],
           [3., 0.]])
    """
    if codes_of(X) is not None:
        return X[rows]
    edges = X.indptr[rows.start : rows.stop + 1]
    stored = slice(int(edges[0]), int(edges[-1]))
    part = type(X)((X.data[stored], X.indices[stored], edges - edges[0]), shape=(len(edges) - 1, X.shape[1]))
    part.has_canonical_format = X.has_canonical_format  # found out once, not for each slice
    return part


@contextmanager
def remembering_columns(matrices: Sequence[Any]) -> Iterator[None]:
    """Let `take_columns` keep its last result for each of some CSR matrices, while inside.

    Every pass of a fit takes the same columns; what is kept has as many numbers as the matrix at most.
    """
    plain = [X for X in matrices if sp.issparse(X) and codes_of(X) is None]
    for X in plain:
        X.last_taken = None
    try:
        yield
    finally:
        for X in plain:
            vars(X).pop("last_taken", None)


_INTERNED: WeakValueDictionary[bytes, Array] = WeakValueDictionary()


def interned(columns: Array) -> Array:
    """Return the one array of these values that all have, as long as some have it, so that it is known by its id.

    Examples
    --------
    >>> first = interned(np.array([1, 3]))
    >>> interned(np.array([1, 3])) is first
    True
    """
    return _INTERNED.setdefault(columns.tobytes(), columns)


def take_columns(X: Any, columns: Array) -> Any:
    """Return some ``columns`` (ascending) of a CSR matrix; its data is shared where others have no numbers.

    See also `remembering_columns`.

    Examples
    --------
    >>> take_columns(sp.csr_array(np.array([[0.0, 1.0, 0.0, 2.0], [3.0, 0.0, 0.0, 4.0]])), np.array([1, 3])).toarray()
    array([[1., 2.],
           [0., 4.]])
    """
    if (own := codes_of(X)) is not None:
        return take_coded(own, columns)
    taken = vars(X).get("last_taken", (None, None))
    if taken is not None and taken[0] is columns:
        return taken[1]
    part = _taken(X, columns)
    if "last_taken" in vars(X):
        X.last_taken = columns, part
    return part


def _taken(X: Any, columns: Array) -> Any:
    places = np.full(X.shape[1], -1, X.indices.dtype)
    places[columns] = np.arange(len(columns))
    labels, data, indptr = places[X.indices], X.data, X.indptr
    if labels.min(initial=0) < 0:
        kept = labels >= 0
        indptr = np.append(np.zeros(1, indptr.dtype), np.cumsum(kept, dtype=indptr.dtype))[indptr]
        labels, data = labels[kept], data[kept]
    part = type(X)((data, labels, indptr), shape=(X.shape[0], len(columns)))
    part.has_canonical_format = X.has_canonical_format
    return part


def has_many_pairs(X: Any) -> bool:
    """Return whether a CSR matrix has so many pairs of stored numbers that `add_upper` pays, or is part of such codes.

    Of codes, see `plain_if_small`.
    """
    return codes_of(X) is not None or count_pairs(X) >= MANY_PAIRS


def has_many_codes(X: Any) -> bool:
    """Return whether X is a matrix of codes, of so many that loops over them, which are compiled, pay."""
    return codes_of(X) is not None and count_pairs(X) >= MANY_CODED_PAIRS


def plain_if_small(X: Any) -> Any:
    """Return a matrix of few codes as an ordinary one."""
    return X if codes_of(X) is None or has_many_codes(X) else expanded(X)


def with_codes(matrices: Sequence[Any]) -> Sequence[Any]:
    """Return the CSR blocks of a data set as codes, where they are one-hot columns and compiled loops pay."""
    if any(codes_of(X) is not None for X in matrices) or sum(map(count_pairs, matrices)) < MANY_PAIRS:
        return matrices
    return recognized(matrices)


def count_pairs(X: Any) -> float:
    """Return how many pairs of numbers are stored in the same row, over all rows of a CSR matrix."""
    if (own := codes_of(X)) is not None:
        return float(len(own.codes) * (own.codes.shape[1] + own.dense.shape[1]) ** 2)
    counts = np.diff(X.indptr).astype(np.float64)
    return float(counts @ counts)


def multiply(X: Any, matrix: Array, out: Array) -> Array:
    """Write X times a matrix into ``out``, compiled, and return it.

    Parameters
    ----------
    X : CSR matrix of shape (n_rows, n_features)
    matrix : C-contiguous array of shape (n_features, n_columns)
    out : array of shape (n_rows, n_columns)
    """
    from daskml_kit.numerics import compiled  # Numba takes a second to import: only where much is to do

    if (own := codes_of(X)) is not None:
        compiled.multiply_coded(*own[1:5], matrix, out)
        return out
    loop = compiled.multiply if matrix.shape[1] > 2 else compiled.multiply_pair
    loop(X.indptr, X.indices, X.data, matrix, out)
    return out


def add_transposed(X: Any, matrix: Array, out: Array) -> None:
    """Add X' times a matrix of shape (n_rows, n_columns) to ``out``, compiled."""
    from daskml_kit.numerics import compiled

    if (own := codes_of(X)) is not None:
        compiled.add_transposed_coded(*own[1:5], matrix, out)
    else:
        compiled.add_transposed(X.indptr, X.indices, X.data, matrix, out)


def predict_points(X: Any, table: Array, out: Array) -> Array:
    """Write the linear predictors of a matrix of codes into ``out``, of shape (n_points, n_rows), and return it.

    Parameters
    ----------
    X : CodedRows of shape (n_rows, n_features)
    table : C-contiguous array of shape (n_features + 1, n_points)
        The coefficients, intercepts in the last row.
    out : array of shape (n_points, n_rows)
    """
    from daskml_kit.numerics import compiled_points

    compiled_points.predict_coded(*codes_of(X)[1:5], table, out)
    return out


def add_gradients(X: Any, slopes: Array, out: Array) -> None:
    """Add to ``out``, of shape (n_features + 1, n_points), what `predict_points` makes of ``slopes`` backwards."""
    from daskml_kit.numerics import compiled_points

    compiled_points.add_gradients_coded(*codes_of(X)[1:5], slopes, out)


def add_logistic(X: Any, table: Array, read: Read, value: Array, out: Array, curvature: Array | None = None) -> None:
    """Add the logistic losses of a matrix of codes at several points to ``value``, and their gradients to ``out``.

    Second derivatives in the predictors are written to ``curvature``, if it is given. Other parameters are those of
    `daskml_kit.numerics.compiled_points.add_logistic_coded`, all float64.
    """
    from daskml_kit.numerics import compiled_points

    weights = np.empty((0, 0)) if read.weight is None else np.atleast_2d(read.weight)
    curvature = np.empty((0, 0)) if curvature is None else curvature
    compiled_points.add_logistic_coded(*codes_of(X)[1:5], table, read.y, weights, value, out, curvature)


def times(X: Any, matrix: Array) -> Array:
    """Return X times a matrix.

    Examples
    --------
    >>> times(sp.csr_array(np.array([[1.0, 2.0], [0.0, 3.0]])), np.array([[1.0], [2.0]]))
    array([[5.],
           [6.]])
    """
    if codes_of(X) is None:
        return np.asarray(X @ matrix)
    columns = np.ascontiguousarray(matrix, np.result_type(X, matrix))
    return multiply(X, columns, np.empty((X.shape[0], columns.shape[1]), columns.dtype))


def transposed_times(X: Any, matrix: Array) -> Array:
    """Return X' times a vector or a matrix.

    Examples
    --------
    >>> transposed_times(sp.csr_array(np.array([[1.0, 2.0], [0.0, 3.0]])), np.array([1.0, 2.0]))
    array([1., 8.])
    """
    if codes_of(X) is None:
        return np.asarray(X.T @ matrix)
    columns = np.ascontiguousarray(matrix.reshape(len(matrix), -1))
    out = np.zeros((X.shape[1], columns.shape[1]))
    add_transposed(X, columns, out)
    return out.reshape(X.shape[1], *matrix.shape[1:])


def add_upper(X: Any, weight: Array, out: Array) -> None:
    """Add the upper triangle of X' diag(weight) X to that of ``out``, compiled; the triangle below is left as it is.

    Parameters
    ----------
    X : CSR matrix of shape (n_rows, n_features)
    weight : array of shape (n_rows,)
        Of any sign.
    out : float64 array of shape (n_features, n_features)
        Or the first of more columns and rows; the numbers of a row follow each other.
    """
    from daskml_kit.numerics import compiled

    if (own := codes_of(X)) is not None:
        stride = out.strides[0] // out.itemsize
        flat = np.lib.stride_tricks.as_strided(out, ((len(out) - 1) * stride + len(out),), (out.itemsize,))
        compiled.add_upper_coded(*own[1:5], weight, flat, stride)
        return
    if not X.has_canonical_format:
        X = X.copy()
        X.sum_duplicates()
    compiled.add_upper(X.indptr, X.indices, X.data, weight, out)


def add_arrows(X: Any, weight: Array, span: tuple[int, int], points: Array, flat: Array) -> None:
    """Add Z' diag(weight) Z, where Z is X with a last column of ones, to the parts of an `Arrow` at several points.

    Of its ``rest`` only the upper triangle is added, the one below is left as it is.

    Parameters
    ----------
    X : CSR matrix of shape (n_rows, n_features)
    weight : array of shape (n_points, n_rows)
    span : tuple of (int, int)
        The columns of which no row has two.
    points : int array of shape (n_points,)
        The rows of ``flat`` that are added to.
    flat : array of shape (n, size)
        Parts of arrows, one behind the other.
    """
    start, stop = span
    if (own := codes_of(X)) is not None:
        from daskml_kit.numerics import compiled_arrows

        edges = start, stop, X.shape[1] + 1 - (stop - start)
        compiled_arrows.add_arrows_coded(*own[1:4], edges, weight, points, flat)
        return
    inner, outer = X[:, start:stop], sp.hstack([X[:, :start], X[:, stop:], np.ones((X.shape[0], 1))], format="csr")
    for point, row_weight in zip(points, weight, strict=True):
        hess = Arrow.unpacked(flat[point], X.shape[1] + 1, start, stop)
        scaled = outer.multiply(row_weight[:, None]).tocsr()
        hess.diagonal[:] += inner.multiply(inner).T @ row_weight
        hess.cross[:] += (inner.T @ scaled).toarray()
        hess.rest[:] += np.triu((outer.T @ scaled).toarray())


def mirror(square: Array) -> None:
    """Copy the upper triangle of a square matrix, or of each of a stack, to the lower.

    Examples
    --------
    >>> square = np.array([[1, 2], [0, 3]])
    >>> mirror(square)
    >>> square
    array([[1, 2],
           [2, 3]])
    """
    for row in range(1, square.shape[-1]):
        square[..., row, :row] = square[..., :row, row]


def sandwich(X: Any, weight: Array) -> Array:
    """Return X' diag(weight) X of a CSR matrix, in double precision.

    Parameters
    ----------
    X : CSR matrix of shape (n_rows, n_features)
        Indices may be unsorted, and may repeat.
    weight : array of shape (n_rows,)
        Of any sign.

    Returns
    -------
    array of shape (n_features, n_features)

    Examples
    --------
    >>> sandwich(sp.csr_array(np.array([[1.0, 2.0], [0.0, 3.0]])), np.array([1.0, 2.0]))
    array([[ 1.,  2.],
           [ 2., 22.]])
    """
    if not has_many_pairs(X):
        scaled = sp.csr_array(X).multiply(weight[:, None]).tocsr()
        return np.asarray((scaled.T @ X).toarray())
    out = np.zeros((X.shape[1], X.shape[1]))
    add_upper(X, weight, out)
    mirror(out)
    return out

"""Block Krylov iteration for the largest eigenvalues of a scatter matrix, a pass an iteration."""

from __future__ import annotations

import warnings
from collections.abc import Generator
from typing import Any, NamedTuple

import numpy as np
from scipy import linalg
from sklearn.exceptions import ConvergenceWarning

from daskml_kit.reductions.gram import Gram, Scatter, ScatterTimes
from daskml_kit.reductions.moments import Moments, Spread
from daskml_kit.typing import Array

MANY_FEATURES = 4_000
"""Features from which some eigenvectors are found without making the scatter matrix."""
SOME_FEATURES = 500
"""Features from which some eigenvectors of a matrix take less time than all."""
GUARD = 10
"""Columns of a block beyond those that are wanted."""
MOST_BLOCKS = 5
"""Blocks of a basis, after which it is made anew of its best vectors."""


class Eigen(NamedTuple):
    """Eigenvalues, descending, their eigenvectors as columns, passes, and whether they converged."""

    values: Array
    vectors: Array
    n_iter: int
    converged: bool


class Leading(NamedTuple):
    """Eigenvalues, descending, and eigenvectors of a scatter matrix, with the rows, mean and total scatter about it."""

    values: Array
    vectors: Array
    n_rows: int
    mean: Array
    total: float


def leading_components(
    n_features: int, k: int | None, draw: np.random.RandomState, *, centered: bool
) -> Generator[Any, Any, Leading]:
    """Return the ``k`` leading eigenvectors of the rows' scatter about the mean or zero, or all where they cost little.

    Of few features the matrix is made, in one pass; of many, `largest_eigenvalues` makes passes until they are found.
    """
    if n_features <= MANY_FEATURES or k is None or 4 * (k + GUARD) > n_features:
        scatter: Scatter = yield Gram()
        scatter.require_finite()
        product = scatter.product[:n_features, :n_features]
        matrix = product if centered else scatter.about_zero()[:n_features, :n_features]
        if k is not None and n_features >= SOME_FEATURES and 4 * k < n_features:
            values, vectors = linalg.eigh(matrix, subset_by_index=[n_features - k, n_features - 1])
        else:
            values, vectors = np.linalg.eigh(matrix)
        mean = scatter.mean[:n_features]
        return Leading(np.maximum(values[::-1], 0), vectors[:, ::-1], scatter.n_rows, mean, float(np.trace(product)))
    spread: Spread = yield Moments()
    used = np.flatnonzero((spread.squares > 0) | (spread.mean != 0))
    found = yield from largest_eigenvalues(used, k, spread.mean if centered else np.zeros(n_features), draw)
    total = float(spread.squares.sum())
    if not found.converged:
        warnings.warn("eigenvectors did not converge: they are close to each other", ConvergenceWarning, stacklevel=2)
    return Leading(np.maximum(found.values, 0), found.vectors, spread.n_rows, spread.mean, total)


def largest_eigenvalues(
    used: Array, k: int, shift: Array, draw: np.random.RandomState, *, tol: float = 1e-8, max_iter: int = 200
) -> Generator[Any, Any, Eigen]:
    r"""Return the ``k`` largest eigenvalues of :math:`\sum_i (x_i - m)(x_i - m)^\top`, and their eigenvectors.

    The block Lanczos method with thick restarts: each pass multiplies the matrix with the newest block of an
    orthonormal basis; the Ritz vectors of all blocks converge much faster than powers do.

    Parameters
    ----------
    used : array of int
        Features that are not zero in all rows.
    k : int
    shift : array of shape (n_features,)
        m above.
    draw : numpy.random.RandomState
        For the first block.
    tol : float
        It ends when the residual of each wanted vector is at most so much of the largest eigenvalue.
    max_iter : int
        Passes at most.

    References
    ----------
    Musco and Musco, "Randomized block Krylov methods for stronger and faster approximate singular value decomposition",
    NIPS 2015. Wu and Simon, "Thick-restart Lanczos method for large symmetric eigenvalue problems", 2000.
    """
    n, width = len(used), min(k + GUARD, len(used))
    basis = np.empty((n, min(MOST_BLOCKS * width, n)), order="F")
    basis[:, :width], _ = orthonormal(draw.normal(size=(n, width)))
    small, size = np.zeros((0, 0)), width
    for n_iter in range(1, max_iter + 1):
        old, newest = len(small), np.zeros((len(shift), size - len(small)))
        newest[used] = basis[:, old:size]
        image: Array = yield ScatterTimes(newest, shift if shift.any() else None)
        rest, inside = less_projection(image[used], basis[:, :size])
        small = np.pad(small, (0, size - old))
        small[:, old:] = inside
        small[old:] = inside.T
        values, mix = (found[..., ::-1] for found in np.linalg.eigh((small + small.T) / 2))
        beyond, factor = orthonormal(rest)
        residual = np.linalg.norm(factor @ mix[old:, :k], axis=0)
        if residual.max(initial=0) <= tol * max(values[0], 0) or size == n or n_iter == max_iter:
            break
        if size + width > basis.shape[1] < n:
            basis[:, :width], small, size = basis[:, :size] @ mix[:, :width], np.diag(values[:width]), width
        if np.abs(np.diag(factor)).min() <= 1e-10 * np.abs(np.diag(factor)).max():  # some columns are noise
            beyond, _ = orthonormal(less_projection(beyond, basis[:, :size])[0])
        more = min(beyond.shape[1], basis.shape[1] - size)
        basis[:, size : size + more] = beyond[:, :more]
        size += more
    vectors = np.zeros((len(shift), k))
    vectors[used, : min(k, size)] = basis[:, :size] @ mix[:, :k]
    converged = bool(residual.max(initial=0) <= tol * max(values[0], 0) or size == n)
    return Eigen(np.pad(values[:k], (0, max(k - size, 0))), vectors, n_iter, converged)


def orthonormal(block: Array) -> tuple[Array, Array]:
    """Return an orthonormal basis of the columns of ``block``, and the triangular factor that makes them of it.

    By two Cholesky decompositions of small products, a tenth of the time of a QR decomposition of many rows, which
    serves where these fail (Fukaya et al. 2014, CholeskyQR2).

    Examples
    --------
    >>> basis, factor = orthonormal(np.array([[3.0, 1.0], [4.0, 0.0], [0.0, 2.0]]))
    >>> (basis.T @ basis).round(12).tolist(), (basis @ factor).round(12).tolist()
    ([[1.0, 0.0], [0.0, 1.0]], [[3.0, 1.0], [4.0, 0.0], [0.0, 2.0]])
    """
    basis, factor = block, np.eye(block.shape[1])
    try:
        for _ in range(2):
            triangle = np.linalg.cholesky(basis.T @ basis).T
            if np.diag(triangle).min() < 1e-7 * np.diag(triangle).max():
                raise np.linalg.LinAlgError("columns are nearly dependent")
            basis, factor = basis @ np.linalg.inv(triangle), triangle @ factor
    except np.linalg.LinAlgError:
        return np.linalg.qr(block)
    return basis, factor


def less_projection(block: Array, basis: Array) -> tuple[Array, Array]:
    """Return what of ``block`` is not in the span of an orthonormal ``basis``, and the coefficients of what is.

    Examples
    --------
    >>> less_projection(np.array([[3.0], [4.0]]), np.array([[1.0], [0.0]]))
    (array([[0.],
           [4.]]), array([[3.]]))
    """
    inside = basis.T @ block
    rest = block - basis @ inside
    again = basis.T @ rest  # once is not enough where little is left
    return rest - basis @ again, inside + again

"""Block Krylov iteration for the largest eigenvalues of a scatter matrix, a pass an iteration."""

from __future__ import annotations

import warnings
from collections.abc import Generator
from typing import Any, NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from daskml_kit.reductions.gram import Gram, Scatter, ScatterTimes
from daskml_kit.reductions.moments import Moments, Spread
from daskml_kit.typing import Array

MANY_FEATURES = 4_000
"""Features from which some eigenvectors are found without making the scatter matrix."""
GUARD = 10
"""Columns of a block beyond those that are wanted."""
MOST_BLOCKS = 8
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
    converged: bool = True


def leading_components(
    n_features: int, k: int | None, draw: np.random.RandomState, *, centered: bool
) -> Generator[Any, Any, Leading]:
    """Return the ``k`` leading eigenvectors of the rows' scatter about the mean or zero, or all where they cost little.

    Of few features the matrix is made, in one pass; of many, `largest_eigenvalues` makes passes until they are found.
    """
    if n_features <= MANY_FEATURES or k is None or 4 * (k + GUARD) > n_features:
        scatter: Scatter = yield Gram()
        product = scatter.product[:n_features, :n_features]
        values, vectors = np.linalg.eigh(product if centered else scatter.about_zero()[:n_features, :n_features])
        mean = scatter.mean[:n_features]
        return Leading(np.maximum(values[::-1], 0), vectors[:, ::-1], scatter.n_rows, mean, float(np.trace(product)))
    spread: Spread = yield Moments()
    found = yield from largest_eigenvalues(n_features, k, spread.mean if centered else None, draw)
    total = float(spread.squares.sum())
    return Leading(np.maximum(found.values, 0), found.vectors, spread.n_rows, spread.mean, total, found.converged)


of_many_features = property(lambda self: self.n_features_in_ > MANY_FEATURES)
"""Whether an estimator may take many passes: an attribute of its class."""


def warn_unless_converged(found: Leading) -> None:
    """Warn where the passes did not suffice."""
    if not found.converged:
        warnings.warn("eigenvectors did not converge: they are close to each other", ConvergenceWarning, stacklevel=2)


def largest_eigenvalues(
    n_features: int, k: int, shift: Array | None, draw: np.random.RandomState, *, tol: float = 1e-8, max_iter: int = 100
) -> Generator[Any, Any, Eigen]:
    r"""Return the ``k`` largest eigenvalues of :math:`\sum_i (x_i - m)(x_i - m)^\top`, and their eigenvectors.

    Each pass multiplies the matrix with the newest block of an orthonormal basis; the Rayleigh-Ritz vectors of all
    blocks converge much faster than powers do.

    Parameters
    ----------
    n_features, k : int
    shift : array of shape (n_features,), optional
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
    NIPS 2015.
    """
    width = min(k + GUARD, n_features)
    newest, _ = np.linalg.qr(draw.normal(size=(n_features, width)))
    basis, images = np.empty((n_features, 0)), np.empty((n_features, 0))
    for n_iter in range(1, max_iter + 1):
        image: Array = yield ScatterTimes(newest, shift)
        basis, images = np.hstack([basis, newest]), np.hstack([images, image])
        small = basis.T @ images
        values, mix = np.linalg.eigh((small + small.T) / 2)
        values, mix = values[::-1], mix[:, ::-1]
        best = basis @ mix[:, :k]
        residual = np.linalg.norm(images @ mix[:, :k] - best * values[:k], axis=0)
        if residual.max() <= tol * max(values[0], 0) or basis.shape[1] + 1 > n_features:
            return Eigen(values[:k], best, n_iter, True)
        if basis.shape[1] >= MOST_BLOCKS * width:
            kept = mix[:, : 2 * width]
            basis, images = basis @ kept, images @ kept
        newest = orthonormal(image, basis)
    return Eigen(values[:k], best, n_iter, False)


def orthonormal(block: Array, basis: Array) -> Array:
    """Return an orthonormal basis of what of ``block`` is not in ``basis``, of as many columns as there is room for."""
    room = len(basis) - basis.shape[1]
    for _ in range(2):
        block = block - basis @ (basis.T @ block)
        block, _ = np.linalg.qr(block)
    return block[:, :room]

"""Symmetric systems, solved as well as their condition allows."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
import scipy.linalg as sl
from scipy.optimize import nnls

from daskml_kit.typing import Array


def solve_positive(hess: Array, right: Array) -> Array:
    """Solve a symmetric positive system by Cholesky, equilibrated.

    Where it is singular, the solution has the least norm of unknowns scaled like the roots of the diagonal.
    ``right`` has shape (p,) or (p, t).
    """
    by_cholesky = _cholesky_solution(hess, right)
    return _Spectrum(hess).solve(right)[0] if by_cholesky is None else by_cholesky


def solve_consistent(hess: Array, right: Array) -> tuple[Array, Array]:
    """Solve as `solve_positive` does; return the solution, and the way along which ``right`` has none.

    Along that way x, which is zero unless the system is singular, Hx is zero, and ``right`` times x is positive.

    Examples
    --------
    >>> solve_consistent(np.ones((2, 2)), np.array([3.0, 1.0]))
    (array([1., 1.]), array([ 1., -1.]))
    """
    by_cholesky = _cholesky_solution(hess, right)
    if by_cholesky is not None:
        left = np.abs(hess @ by_cholesky - right).max(initial=0)
        if left <= 1e-8 * np.abs(right).max(initial=0):  # else it is singular, and rounding has hidden it
            return by_cholesky, np.zeros(right.shape)
    return _Spectrum(hess).solve(right)


def solve_least_norm(hess: Array, right: Array) -> Array:
    """Solve as `solve_positive` does; where it is singular, with the least norm of the unknowns as they are.

    Examples
    --------
    >>> solve_least_norm(np.array([[1.0, 2.0], [2.0, 4.0]]), np.array([5.0, 10.0]))
    array([1., 2.])
    """
    by_cholesky = _cholesky_solution(hess, right)
    if by_cholesky is not None:
        return by_cholesky
    spectrum = _Spectrum(hess)
    null, _ = np.linalg.qr(spectrum.rest / spectrum.scale[:, None])
    solution, _ = spectrum.solve(right)
    return np.asarray(solution - null @ (null.T @ solution))


class _Spectrum:
    """Spectrum of a symmetric positive matrix, equilibrated, apart where it is zero to rounding."""

    def __init__(self, hess: Array) -> None:
        self.scale = _scale(hess)
        values, vectors = np.linalg.eigh(hess / np.outer(self.scale, self.scale))
        keep = values > 1e-12 * max(values.max(), 1e-300)
        self.values, self.part, self.rest = values[keep], vectors[:, keep], vectors[:, ~keep]

    def solve(self, right: Array) -> tuple[Array, Array]:
        """Return the solution of least norm, scaled, and the way along which ``right`` has none."""
        scale, part, rest = self.scale, self.part, self.rest
        columns = right.reshape(len(scale), -1) / scale[:, None]
        found = part @ ((part.T @ columns) / self.values[:, None]), rest @ (rest.T @ columns)
        solution, way = (np.asarray(x / scale[:, None]).reshape(right.shape) for x in found)
        return solution, way


def _cholesky_solution(hess: Array, right: Array) -> Array | None:
    """Return the solution by Cholesky factors; None where ``hess``, scaled, is not positive definite to rounding."""
    found = Factored.of(hess)
    return None if found is None else found @ right


class Factored:
    """Inverse of a symmetric positive matrix as its Cholesky factor, equilibrated, to be multiplied by vectors.

    Examples
    --------
    >>> Factored.of(np.diag([2.0, 4.0])) @ np.array([2.0, 2.0])
    array([1. , 0.5])
    >>> Factored.of(np.ones((2, 2))) is None
    True
    """

    def __init__(self, scale: Array, factor: tuple[Array, bool]) -> None:
        self.scale, self.factor = scale, factor

    @classmethod
    def of(cls, hess: Array) -> Factored | None:
        """Return the inverse; None where ``hess``, scaled, is not positive definite to rounding."""
        scale = _scale(hess)
        with suppress(sl.LinAlgError):
            factor = sl.cho_factor(hess / np.outer(scale, scale), lower=True)
            if np.diag(factor[0]).min() > 1e-7:
                return cls(scale, factor)
        return None

    def __matmul__(self, right: Array) -> Array:
        solution = sl.cho_solve(self.factor, right.reshape(len(self.scale), -1) / self.scale[:, None])
        return np.asarray(solution / self.scale[:, None]).reshape(right.shape)


def _scale(hess: Array) -> Array:
    scale: Array = np.sqrt(np.maximum(np.diag(hess), 0))
    scale[scale == 0] = 1
    return scale


def solve_nonnegative(hess: Array, right: Array) -> Array:
    """Minimize u'Hu/2 - right'u over u >= 0, by the active sets of Lawson & Hanson on a square root of H."""
    values, vectors = np.linalg.eigh(hess)
    keep = values > 1e-14 * max(values.max(initial=0), 1e-300)
    if not keep.any():  # of a matrix without rows SciPy returns what memory held
        return np.zeros(len(right))
    root = np.sqrt(values[keep])[:, None] * vectors[:, keep].T
    return np.asarray(nnls(root, (vectors[:, keep].T @ right) / np.sqrt(values[keep]))[0])


def scale_of(variance: Array, mean: Array, n_rows: Any) -> Array:
    """Return the standard deviations, with 1 for features that are constant up to rounding.

    Examples
    --------
    >>> scale_of(np.array([4.0, 1e-30]), np.array([0.0, 3.0]), 10)
    array([2., 1.])
    """
    return np.where(constant_features(variance, mean, n_rows), 1.0, np.sqrt(variance))


def constant_features(variance: Array, mean: Array, n_rows: Any) -> Array:
    """Return whether each feature is constant up to rounding.

    The bound is that on the error of the two-pass algorithm (Chan, Golub & LeVeque 1983), as in scikit-learn.
    """
    eps = np.finfo(np.float64).eps
    return np.asarray(variance <= n_rows * eps * variance + (n_rows * mean * eps) ** 2)

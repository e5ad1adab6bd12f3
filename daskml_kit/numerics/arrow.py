"""Symmetric matrices with a large diagonal block, as Hessians are where each row has one of many categories."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from daskml_kit.numerics.linalg import solve_positive
from daskml_kit.typing import Array


@dataclass(frozen=True, eq=False)
class Arrow:
    """A symmetric matrix whose block of the rows and columns ``start .. start + b - 1`` is diagonal.

    Its size is that of its parts, and it is solved by the Schur complement of the diagonal block, so that b may be
    large.

    Parameters
    ----------
    start : int
    diagonal : array of shape (b,)
    cross : array of shape (b, r)
        The rows of the block, without it.
    rest : array of shape (r, r)

    Examples
    --------
    >>> hess = Arrow(1, np.array([2.0, 4.0]), np.array([[1.0], [0.0]]), np.array([[3.0]]))
    >>> hess @ np.array([1.0, 1.0, 1.0])
    array([4., 3., 4.])
    >>> hess.solve(np.array([4.0, 3.0, 4.0]))
    array([1., 1., 1.])
    """

    start: int
    diagonal: Array
    cross: Array
    rest: Array

    @classmethod
    def unpacked(cls, flat: Array, width: int, start: int, stop: int) -> Arrow:
        """Return the matrix of ``width`` rows whose parts follow each other in ``flat``: diagonal, cross, and rest."""
        b, r = stop - start, width - (stop - start)
        return cls(start, flat[:b], flat[b : b + b * r].reshape(b, r), flat[b + b * r :].reshape(r, r))

    def __mul__(self, factor: float) -> Arrow:
        parts = {name: getattr(self, name) * factor for name in ("diagonal", "cross", "rest")}
        return replace(self, **parts)

    def __matmul__(self, vector: Array) -> Array:
        inner, outer = self._split(vector)
        return self._joined(self.diagonal * inner + self.cross @ outer, inner @ self.cross + self.rest @ outer)

    def with_ridge(self, strength: Array) -> Arrow:
        """Return the matrix with ``strength`` added to its diagonal."""
        inner, outer = self._split(strength)
        return replace(self, diagonal=self.diagonal + inner, rest=self.rest + np.diag(outer))

    def mean_of_diagonal(self) -> float:
        return float(np.mean(np.concatenate([self.diagonal, np.diag(self.rest)])))

    def solve(self, right: Array) -> Array:
        """Solve as `daskml_kit.numerics.linalg.solve_positive` does; a zero on the diagonal makes a zero."""
        inner, outer = self._split(right)
        root, scaled = self._reduced()
        found = solve_positive(self.rest - scaled.T @ scaled, outer - (inner * root) @ scaled)
        return self._joined((inner * root - scaled @ found) * root, found)

    def inverse(self) -> ArrowInverse:
        """Return the inverse, to be multiplied by several vectors."""
        root, scaled = self._reduced()
        rest = solve_positive(self.rest - scaled.T @ scaled, np.eye(len(self.rest)))
        return ArrowInverse(self, root, scaled, rest)

    def _reduced(self) -> tuple[Array, Array]:
        """Return the square root of the inverse of the diagonal block, and that times the rows beside it.

        BLAS takes half the time for the product of a matrix with itself.
        """
        inverse = np.divide(1.0, self.diagonal, out=np.zeros_like(self.diagonal), where=self.diagonal > 0)
        root = np.sqrt(inverse)
        return root, self.cross * root[:, None]

    def _split(self, vector: Array) -> tuple[Array, Array]:
        stop = self.start + len(self.diagonal)
        return vector[self.start : stop], np.delete(vector, slice(self.start, stop))

    def _joined(self, inner: Array, outer: Array) -> Array:
        return np.concatenate([outer[: self.start], inner, outer[self.start :]])


class ArrowInverse:
    """Inverse of an `Arrow`, as a product with a vector.

    Parameters
    ----------
    arrow : Arrow
    root : array of shape (b,)
        The square root of the inverse of its diagonal block.
    scaled : array of shape (b, r)
        That times the rows beside it.
    rest : array of shape (r, r)
        Inverse of the Schur complement of the block.

    Examples
    --------
    >>> hess = Arrow(1, np.array([2.0, 4.0]), np.array([[1.0], [0.0]]), np.array([[3.0]]))
    >>> hess.inverse() @ np.array([4.0, 3.0, 4.0])
    array([1., 1., 1.])
    """

    def __init__(self, arrow: Arrow, root: Array, scaled: Array, rest: Array) -> None:
        self.arrow, self.root, self.scaled, self.rest = arrow, root, scaled, rest

    def __matmul__(self, vector: Array) -> Array:
        inner, outer = self.arrow._split(vector)
        inner = inner * self.root
        found = self.rest @ (outer - inner @ self.scaled)
        return self.arrow._joined((inner - self.scaled @ found) * self.root, found)


def packed_size(width: int, start: int, stop: int) -> int:
    """Return how many numbers a matrix of so many rows takes whose block ``start .. stop - 1`` is diagonal."""
    b = stop - start
    return b + b * (width - b) + (width - b) ** 2

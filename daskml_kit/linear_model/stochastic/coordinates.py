"""The coordinates in which steps are made: features of one size about zero, though no row is ever scaled."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from daskml_kit.typing import Array, Matrix


@dataclass(frozen=True, eq=False)
class Coordinates:
    r"""Coefficients u of the features :math:`(x - m) / s`, in place of w of x: the same models, other steps.

    A vector holds the coefficients of the features and then the intercept, b in place of :math:`b + w^\top m`.

    Parameters
    ----------
    scale : array of shape (n_features + 1,)
        s above; the last, the intercept's, is 1.
    shift : array of shape (n_features,), optional
        m above; None is zero.
    size : float
        The expected norm of a row in these coordinates, its 1 for the intercept included.

    Examples
    --------
    >>> there = Coordinates(np.array([2.0, 1.0]), np.array([10.0]))
    >>> there.enter(np.array([[3.0, 1.0]]))
    array([[ 6., 31.]])
    >>> there.leave(np.array([[6.0, 31.0]]))
    array([[3., 1.]])
    """

    scale: Array
    shift: Array | None = None
    size: float = 1.0

    def enter(self, coef: Array) -> Array:
        """Return u for coefficients w, of shape (n_columns, n_features + 1)."""
        inside = coef * self.scale
        if self.shift is not None:
            inside[:, -1] += coef[:, :-1] @ self.shift
        return inside

    def leave(self, inside: Array) -> Array:
        """Return w for u."""
        coef = inside / self.scale
        if self.shift is not None:
            coef[:, -1] -= coef[:, :-1] @ self.shift
        return coef


def plain(n_features: int) -> Coordinates:
    """Return the coordinates that are those of the features."""
    return Coordinates(np.ones(n_features + 1))


def even(sample: Matrix, weight: Array, *, centred: bool) -> Coordinates:
    r"""Return the coordinates in which the features of a sample have one size.

    The size is :math:`\sqrt{\sum z^4 / \sum z^2}`: that of the values which a feature has where it has one, so that a
    rare indicator is not blown up, as its standard deviation would. CSR is not centred: its zeros stay.

    Parameters
    ----------
    sample : array of shape (n, n_features), or CSR
    weight : array of shape (n,)
    centred : bool

    Examples
    --------
    >>> even(np.array([[1.0, 5.0], [3.0, 5.0]]), np.ones(2), centred=True).scale
    array([1., 1., 1.])
    """
    total = weight.sum()
    shift = None
    if sp.issparse(sample):
        squares = sample.astype(np.float64).power(2)
        second, fourth = weight @ squares, weight @ squares.power(2)
    else:
        values = np.asarray(sample, np.float64)
        if centred:
            shift = weight @ values / total
            values = values - shift
        squares = values * values
        second, fourth = weight @ squares, weight @ (squares * squares)
    seen = fourth > (total * np.finfo(float).eps * (1 if shift is None else shift**2)) ** 2 / total
    scale = np.sqrt(np.divide(fourth, second, out=np.ones_like(second), where=seen))
    size = float(np.sqrt(1 + np.sum(second[seen] / scale[seen] ** 2) / total))
    return Coordinates(np.append(scale, 1.0), shift, size)

"""Nonnegative factors of a matrix: updates of one factor where the other is given, and the divergence of a product."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from daskml_kit.numerics.csr import times, transposed_times
from daskml_kit.numerics.targets import tiles
from daskml_kit.typing import Array, Matrix

EPSILON = np.finfo(np.float32).eps
"""Least value that is divided by, as in scikit-learn."""
SMALLEST = np.finfo(np.float64).eps
SMALL_START, SMALL_SINGULAR = 1e-6, 1e-7
"""First factors below the one are zero, and singular values that are less than so much of the largest."""
TILE_ROWS = 4096


class Penalty(NamedTuple):
    """Factors of the sum of a factor's values, and of half the sum of their squares."""

    l1: float = 0.0
    l2: float = 0.0


class Numerator(NamedTuple):
    """Sums for a multiplicative update of H: its numerator, and what makes the denominator."""

    cross: Array
    gram: Array


def descend_coordinates(W: Array, gram: Array, cross: Array, penalty: Penalty, order: Array) -> float:
    """Minimize over one column of W after another, in place; return the sum of projected gradients (HALS).

    Parameters
    ----------
    W : array of shape (n_rows, k)
    gram : array of shape (k, k)
        H H'.
    cross : array of shape (n_rows, k)
        X H'.
    penalty : Penalty
    order : int array of shape (k,)

    Examples
    --------
    >>> W = np.zeros((1, 2))
    >>> descend_coordinates(W, np.eye(2), np.array([[3.0, -1.0]]), Penalty(), np.arange(2)), W.tolist()
    (3.0, [[3.0, 0.0]])
    """
    gram = gram + penalty.l2 * np.eye(len(gram))
    violation = 0.0
    for rows in tiles(len(W), TILE_ROWS):
        tile = np.asfortranarray(W[rows])
        for t in order:
            gradient = tile @ gram[t] - (cross[rows, t] - penalty.l1)
            violation += float(np.abs(np.where(tile[:, t] == 0, np.minimum(gradient, 0), gradient)).sum())
            if gram[t, t] != 0:
                np.maximum(tile[:, t] - gradient / gram[t, t], 0, out=tile[:, t])
        W[rows] = tile
    return violation


def multiply_rows(X: Matrix, W: Array, H: Array, beta: float, penalty: Penalty) -> Array:
    """Return W after a multiplicative update for the beta-divergence of X from WH."""
    if beta == 2:
        numerator, denominator = times(X, H.T), W @ (H @ H.T)
    else:
        numerator, denominator = np.empty_like(W), np.empty_like(W)
        for rows in tiles(len(W), TILE_ROWS):
            ratio, power = _ratio(X[rows], W[rows], H, beta)
            numerator[rows] = ratio @ H.T
            denominator[rows] = H.sum(axis=1) if power is None else power @ H.T
    updated = multiplied(W, numerator, denominator, beta, penalty)
    if beta < 1:
        updated[updated < SMALLEST] = 0
    return updated


def numerator_of(X: Matrix, W: Array, H: Array, beta: float) -> Numerator:
    """Return what the rows contribute to the multiplicative update of H."""
    if beta == 2:
        return Numerator(np.ascontiguousarray(transposed_times(X, W).T), W.T @ W)
    total = Numerator(np.zeros_like(H), np.zeros(len(H)) if beta == 1 else np.zeros_like(H))
    for rows in tiles(len(W), TILE_ROWS):
        ratio, power = _ratio(X[rows], W[rows], H, beta)
        total.cross[:] += np.asarray(ratio.T @ W[rows]).T
        total.gram[:] += W[rows].sum(axis=0) if power is None else W[rows].T @ power
    return total


def multiply_components(H: Array, found: Numerator, beta: float, penalty: Penalty) -> Array:
    """Return H after a multiplicative update, from the sums of all rows."""
    if beta == 2:
        denominator = found.gram @ H
    elif beta == 1:
        denominator = np.where(found.gram == 0, 1.0, found.gram)[:, None]
    else:
        denominator = found.gram
    updated = multiplied(H, found.cross, np.broadcast_to(denominator, H.shape), beta, penalty)
    if beta <= 1:
        updated[updated < SMALLEST] = 0
    return updated


def multiplied(factor: Array, numerator: Array, denominator: Array, beta: float, penalty: Penalty) -> Array:
    """Return a factor times the ratio that makes the penalized divergence less (Fevotte and Idier 2011).

    Examples
    --------
    >>> multiplied(np.array([[2.0]]), np.array([[3.0]]), np.array([[2.0]]), 2.0, Penalty(l1=1.0))
    array([[2.]])
    """
    whole = denominator + penalty.l1 + penalty.l2 * factor
    whole[whole == 0] = EPSILON
    ratio = numerator / whole
    if beta < 1 or beta > 2:
        ratio **= 1 / (2 - beta) if beta < 1 else 1 / (beta - 1)
    return np.asarray(factor * ratio)


def divergence(X: Matrix, W: Array, H: Array, beta: float) -> float:
    """Return the beta-divergence of X from WH, of beta 2 half the sum of squared differences.

    Examples
    --------
    >>> divergence(np.array([[3.0, 1.0]]), np.array([[1.0]]), np.array([[1.0, 1.0]]), 2.0)
    2.0
    """
    if beta == 2 and sp.issparse(X):
        inner = float(np.vdot(W.T @ W, H @ H.T))
        return (float(X.data @ X.data) + inner) / 2 - float(np.vdot(times(X, H.T), W))
    return sum(_tile_divergence(X[rows], W[rows], H, beta) for rows in tiles(len(W), TILE_ROWS))


def _tile_divergence(X: Matrix, W: Array, H: Array, beta: float) -> float:
    if beta == 2:
        return float(((X - W @ H) ** 2).sum()) / 2
    values = np.asarray(X.data if sp.issparse(X) else X, dtype=np.float64).ravel()
    fitted = product_at(X, W, H).ravel() if sp.issparse(X) else (W @ H).ravel()
    inside = values > EPSILON
    values, at = values[inside], np.maximum(fitted[inside], EPSILON)
    if beta == 1:
        return float(values @ np.log(values / at)) + float(W.sum(axis=0) @ H.sum(axis=1)) - float(values.sum())
    if beta == 0:
        return float((values / at).sum()) - float(np.prod(X.shape)) - float(np.log(values / at).sum())
    whole = float(((W @ H) ** beta).sum())
    total = float((values**beta).sum()) - beta * float(values @ at ** (beta - 1)) + whole * (beta - 1)
    return total / (beta * (beta - 1))


def product_at(X: Any, W: Array, H: Array) -> Array:
    """Return WH where the CSR X has numbers.

    Examples
    --------
    >>> product_at(sp.csr_array(np.array([[0.0, 5.0]])), np.array([[2.0]]), np.array([[3.0, 4.0]]))
    array([8.])
    """
    rows = np.repeat(np.arange(X.shape[0]), np.diff(X.indptr))
    at = np.zeros(len(rows))
    for component, column in enumerate(W.T):
        at += column[rows] * H[component, X.indices]
    return at


def _ratio(X: Matrix, W: Array, H: Array, beta: float) -> tuple[Any, Array | None]:
    """Return X (WH)^(beta - 2), and (WH)^(beta - 1), for which None says one."""
    if sp.issparse(X):
        at = product_at(X, W, H)
        at = (np.maximum(at, EPSILON) if beta < 2 else at) ** (beta - 2)
        ratio = sp.csr_array((X.data * at, X.indices, X.indptr), shape=X.shape)
        if beta == 1:
            return ratio, None
        fitted = W @ H
    else:
        fitted = W @ H
        ratio = X * (np.maximum(fitted, EPSILON) if beta < 2 else fitted) ** (beta - 2)
    return ratio, None if beta == 1 else (np.maximum(fitted, EPSILON) if beta < 1 else fitted) ** (beta - 1)


class SingularStart(NamedTuple):
    """First factors from singular vectors: W is the part of ``X maps`` that is positive, its columns scaled."""

    maps: Array
    scale: Array
    H: Array


def start_of_svd(vectors: Array, norms: Array) -> SingularStart:
    """Return the nonnegative double singular value decomposition (Boutsidis and Gallopoulos 2008).

    Parameters
    ----------
    vectors : array of shape (n_features, k)
        Right singular vectors V.
    norms : array of shape (2, k)
        Norms of the positive and of the negative parts of X V.
    """
    k = vectors.shape[1]
    maps, scale, H = vectors.copy(), np.zeros(k), np.zeros((k, len(vectors)))
    singular = np.hypot(*norms)
    for j in range(k):
        if singular[j] <= SMALL_SINGULAR * singular[0]:
            continue
        if j == 0:
            scale[0], H[0] = 1 / np.sqrt(singular[0]), np.sqrt(singular[0]) * np.abs(vectors[:, 0])
            continue
        own = np.maximum(vectors[:, j], 0), np.maximum(-vectors[:, j], 0)
        length = [float(np.linalg.norm(part)) for part in own]
        side = 0 if norms[0, j] * length[0] > norms[1, j] * length[1] else 1
        if not norms[side, j] * length[side] > 0:
            continue
        root = np.sqrt(norms[side, j] * length[side])
        maps[:, j] *= 1 - 2 * side
        scale[j], H[j] = root / norms[side, j], root / length[side] * own[side]
    H[SMALL_START > H] = 0
    return SingularStart(maps, scale, H)

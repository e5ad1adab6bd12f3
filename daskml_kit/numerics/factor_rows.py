"""Regressions of alternating least squares, one a row of ratings: by Cholesky, conjugate gradients or descent."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from daskml_kit.numerics.targets import tiles
from daskml_kit.typing import Array

MANY_PRODUCTS = 500_000
"""Products of numbers from which compiled loops pay: below, NumPy takes milliseconds, and the compiler a second."""
TILE_NUMBERS = 2**20
"""Numbers of the outer products that the loop in NumPy holds at a time."""
CONVERGED = 1e-20
"""Square of the residual, over that of the right-hand side, at which conjugate gradients stop."""
MOST_SWEEPS = 1000
"""Rounds of coordinate descent, which end where no factor moves by more than a `STILL` share of the largest."""
STILL = 1e-12
BATCH = 256
"""Ratings of a row that are gathered at a time."""


class RatingRows(NamedTuple):
    """Ratings as rows of users (or items), each with the places of its items (or users) in a table of factors.

    A row adds ``weight * (target / weight - x @ v)**2`` for each rating, plus ``constant``, to what is minimized:
    where ``weight`` is None, it is 1 for all.

    Parameters
    ----------
    indptr : int64 array of shape (n_rows + 1,)
        Where the ratings of each row begin; no row is empty.
    indices : int32 array of shape (n_ratings,)
        Rows of the table of factors, ascending in a row.
    targets : array of shape (n_ratings,)
        What factors are multiplied with on the right-hand side.
    weights : array of shape (n_ratings,), optional
        What their outer products are multiplied with.
    constants : float64 array of shape (n_rows,)
        The part of the loss that does not depend on factors.
    """

    indptr: Array
    indices: Array
    targets: Array
    weights: Array | None
    constants: Array

    @property
    def n_rows(self) -> int:
        return len(self.indptr) - 1


class RidgeSetting(NamedTuple):
    """Penalties and common part of the regressions.

    Parameters
    ----------
    strength : float
    by_count : bool
        Whether the penalty of a row is multiplied by its number of ratings.
    gram : array of shape (n_factors, n_factors), optional
        Added to each row's normal equations.
    cg_steps : int
        Steps of conjugate gradients from the factors so far; 0 solves by Cholesky.
    nonnegative : bool
        Whether factors are at least 0: found by coordinate descent from the factors so far.
    """

    strength: float
    by_count: bool
    gram: Array | None = None
    cg_steps: int = 0
    nonnegative: bool = False


def solve_factor_rows(
    rows: RatingRows, other: Array, ridge: RidgeSetting, start: Array | None = None
) -> tuple[Array, float]:
    """Return the factors of all rows, and the sum of what was minimized, penalties included.

    Parameters
    ----------
    rows : RatingRows
    other : array of shape (n_other, n_factors)
        Factors of the other side.
    ridge : RidgeSetting
    start : array of shape (n_rows, n_factors), optional
        Start of conjugate gradients; by default zeros.

    Examples
    --------
    >>> ratings = np.array([2.0, 4.0])
    >>> rows = RatingRows(np.array([0, 2]), np.array([0, 1], np.int32), ratings, None, np.array([20.0]))
    >>> factors, loss = solve_factor_rows(rows, np.array([[1.0], [2.0]]), RidgeSetting(0.0, False))
    >>> bool(abs(factors - 2).max() < 1e-12), bool(abs(loss) < 1e-12)
    (True, True)
    """
    n_factors = other.shape[1]
    gram = np.zeros((n_factors, n_factors)) if ridge.gram is None else ridge.gram
    penalties = np.full(rows.n_rows, ridge.strength)
    if ridge.by_count:
        penalties *= np.diff(rows.indptr)
    found = np.zeros((rows.n_rows, n_factors), other.dtype) if start is None else start.copy()
    if len(rows.indices) * n_factors * (4 * ridge.cg_steps or n_factors) < MANY_PRODUCTS:
        return found, _solve_tiles(rows, other, gram, penalties, ridge, found)
    weights = np.empty(0, rows.targets.dtype) if rows.weights is None else rows.weights
    table = (rows.indptr, rows.indices, rows.targets, weights, rows.constants)
    if ridge.cg_steps:
        return found, float(conjugate_gradient_rows(table, other, gram, penalties, ridge.cg_steps, found))
    return found, float(factored_rows(table, other, gram, penalties, ridge.nonnegative, found))


def _solve_tiles(
    rows: RatingRows, other: Array, gram: Array, penalties: Array, ridge: RidgeSetting, out: Array
) -> float:
    """Write the solution of each row into ``out``; the twin of the compiled loops in NumPy."""
    n_factors, loss = other.shape[1], 0.0
    longest = int(np.diff(rows.indptr).max(initial=1))
    for tile in tiles(rows.n_rows, max(1, TILE_NUMBERS // (longest * n_factors**2))):
        edges = rows.indptr[tile.start : tile.stop + 1]
        stored = slice(int(edges[0]), int(edges[-1]))
        factors = other[rows.indices[stored]].astype(np.float64, copy=False)
        weighted = factors if rows.weights is None else factors * rows.weights[stored, None]
        starts = edges[:-1] - edges[0]
        left = np.add.reduceat(weighted[:, :, None] * factors[:, None, :], starts, axis=0) + gram
        left += penalties[tile, None, None] * np.eye(n_factors)
        right = np.add.reduceat(factors * rows.targets[stored, None], starts, axis=0)
        if ridge.nonnegative:
            own = _descend_each(left, right, out[tile].astype(np.float64))
            residual = right - (left @ own[:, :, None])[:, :, 0]
        elif ridge.cg_steps:
            own, residual = _approach_each(left, right, out[tile].astype(np.float64), ridge.cg_steps)
        else:
            own, residual = _solve_each(left, right), np.zeros(1)
        out[tile] = own
        loss += float(rows.constants[tile].sum() - (own * (right + residual)).sum())
    return loss


def _solve_each(left: Array, right: Array) -> Array:
    try:
        return np.asarray(np.linalg.solve(left, right[:, :, None])[:, :, 0])
    except np.linalg.LinAlgError:  # without penalty, and fewer ratings than factors
        return np.asarray(np.linalg.pinv(left, hermitian=True) @ right[:, :, None])[:, :, 0]


def _descend_each(left: Array, right: Array, x: Array) -> Array:
    """Minimize each x'Ax/2 - b'x over x >= 0, over one coordinate after another, until none moves."""
    open_ = np.arange(len(x))
    for _ in range(MOST_SWEEPS):
        own, moved = x[open_], np.zeros(len(open_))
        for j in range(x.shape[1]):
            curve = left[open_, j, j]
            slope = (left[open_, j] * own).sum(axis=1) - right[open_, j]
            to = np.maximum(own[:, j] - np.divide(slope, curve, out=own[:, j].copy(), where=curve > 0), 0)
            moved = np.maximum(moved, np.abs(to - own[:, j]))
            own[:, j] = to
        x[open_] = own
        open_ = open_[moved > STILL * own.max(axis=1, initial=0)]
        if not len(open_):
            break
    return x


def _approach_each(left: Array, right: Array, x: Array, steps: int) -> tuple[Array, Array]:
    """Return where so many steps of conjugate gradients lead each row, and the residuals there."""
    residual = right - (left @ x[:, :, None])[:, :, 0]
    direction, square = residual.copy(), (residual * residual).sum(axis=1)
    least = CONVERGED * (right * right).sum(axis=1)
    for _ in range(steps):
        open_ = square > least
        product = (left @ direction[:, :, None])[:, :, 0]
        step = np.divide(square, (direction * product).sum(axis=1), out=np.zeros_like(square), where=open_)
        x += step[:, None] * direction
        residual -= step[:, None] * product
        before, square = square, (residual * residual).sum(axis=1)
        direction = residual + np.divide(square, before, out=np.zeros_like(square), where=open_)[:, None] * direction
    return x, residual


@njit(nogil=True, cache=True, fastmath={"reassoc", "contract", "nsz"})  # type: ignore[untyped-decorator]
def add_products(
    lines: Array, weighted: Array, targets: Array, n: int, n_factors: int, left: Array, right: Array
) -> None:
    """Add the products of so many columns to the lower triangle of ``left``, and to ``right``."""
    for i in range(n_factors):
        own, total = lines[i], 0.0
        for t in range(n):
            total += own[t] * targets[t]
        right[i] += total
        own = weighted[i]
        for j in range(i + 1):
            other, total = lines[j], 0.0
            for t in range(n):
                total += own[t] * other[t]
            left[i, j] += total


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def solve_cholesky(left: Array, right: Array) -> None:
    """Solve a positive definite system of the lower triangle ``left``, in place; directions without curvature get 0."""
    n = len(right)
    for j in range(n):
        scale = left[j, j]
        for p in range(j):
            left[j, j] -= left[j, p] * left[j, p]
        if left[j, j] <= 1e-13 * scale or scale == 0:
            left[j, j] = np.inf
        pivot = np.sqrt(left[j, j])
        left[j, j] = pivot
        for i in range(j + 1, n):
            total = left[i, j]
            for p in range(j):
                total -= left[i, p] * left[j, p]
            left[i, j] = total / pivot
    for i in range(n):
        total = right[i]
        for p in range(i):
            total -= left[i, p] * right[p]
        right[i] = total / left[i, i]
    for i in range(n - 1, -1, -1):
        total = right[i]
        for p in range(i + 1, n):
            total -= left[p, i] * right[p]
        right[i] = total / left[i, i]


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def descend(left: Array, right: Array, x: Array) -> float:
    """Do the same for one system of the lower triangle ``left``, whose upper one is filled; return x'(2b - Ax)."""
    n = len(x)
    for i in range(n):
        for j in range(i):
            left[j, i] = left[i, j]
    for _ in range(MOST_SWEEPS):
        moved, largest = 0.0, 0.0
        for j in range(n):
            line, slope, to = left[j], -right[j], 0.0
            for p in range(n):
                slope += line[p] * x[p]
            if line[j] > 0:
                to = max(x[j] - slope / line[j], 0.0)
            moved, largest = max(moved, abs(to - x[j])), max(largest, to)
            x[j] = to
        if moved <= STILL * largest:
            break
    gain = 0.0
    for j in range(n):
        line, rest = left[j], 2 * right[j]
        for p in range(n):
            rest -= line[p] * x[p]
        gain += x[j] * rest
    return gain


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def factored_rows(
    table: tuple[Array, Array, Array, Array, Array],
    other: Array,
    gram: Array,
    penalties: Array,
    nonnegative: bool,
    out: Array,
) -> float:
    """Write the solution of each row into ``out``, and return the sum of what was minimized.

    It is by Cholesky, or where factors are to be nonnegative by coordinate descent from ``out``.
    """
    indptr, indices, targets, weights, constants = table
    n_factors, loss = other.shape[1], 0.0
    left, right, kept = np.empty_like(gram), np.empty(n_factors), np.empty(n_factors)
    lines, weighted, own = np.empty((n_factors, BATCH)), np.empty((n_factors, BATCH)), np.empty(BATCH)
    for row in range(len(out)):
        left[:] = gram
        right[:] = 0
        start, stop = indptr[row], indptr[row + 1]
        for first in range(start, stop, BATCH):
            n = min(stop - first, BATCH)
            for t in range(n):
                at = np.uint64(first + t)
                factors = other[np.uint64(indices[at])]
                own[t] = targets[at]
                for k in range(n_factors):
                    lines[k, t] = factors[k]
                if len(weights):
                    weight = weights[at]
                    for k in range(n_factors):
                        weighted[k, t] = weight * factors[k]
            add_products(lines, weighted if len(weights) else lines, own, n, n_factors, left, right)
        for k in range(n_factors):
            left[k, k] += penalties[row]
            kept[k] = right[k]
        loss += constants[row]
        if nonnegative:
            kept[:] = out[row]
            loss -= descend(left, right, kept)
            out[row] = kept
            continue
        solve_cholesky(left, right)
        for k in range(n_factors):
            loss -= kept[k] * right[k]
            out[row, k] = right[k]
    return loss


@njit(nogil=True, cache=True, fastmath={"reassoc", "contract", "nsz"})  # type: ignore[untyped-decorator]
def times_normal(
    table: tuple[Array, Array, Array, Array, Array],
    row: int,
    other: Array,
    gram: Array,
    penalty: float,
    vector: Array,
    out: Array,
) -> None:
    """Write the row's normal equations times a vector into ``out``."""
    indptr, indices, _, weights, _ = table
    n_factors = other.shape[1]
    for i in range(n_factors):
        line, total = gram[i], penalty * vector[i]
        for k in range(n_factors):
            total += line[k] * vector[k]
        out[i] = total
    for at in range(np.uint64(indptr[row]), np.uint64(indptr[row + 1])):
        factors, product = other[np.uint64(indices[at])], 0.0
        for k in range(n_factors):
            product += factors[k] * vector[k]
        if len(weights):
            product *= weights[at]
        for k in range(n_factors):
            out[k] += product * factors[k]


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def conjugate_gradient_rows(
    table: tuple[Array, Array, Array, Array, Array], other: Array, gram: Array, penalties: Array, steps: int, out: Array
) -> float:
    """Go so many steps from ``out`` towards the solution of each row, and return the sum of what is minimized."""
    indptr, indices, targets, _, constants = table
    n_factors, loss = other.shape[1], 0.0
    right, residual, x = np.empty(n_factors), np.empty(n_factors), np.empty(n_factors)
    direction, product = np.empty(n_factors), np.empty(n_factors)
    for row in range(len(out)):
        right[:] = 0
        for at in range(np.uint64(indptr[row]), np.uint64(indptr[row + 1])):
            factors, target = other[np.uint64(indices[at])], targets[at]
            for k in range(n_factors):
                right[k] += target * factors[k]
        x[:] = out[row]
        times_normal(table, row, other, gram, penalties[row], x, product)
        residual[:] = right - product
        direction[:] = residual
        square = (residual * residual).sum()
        least = CONVERGED * (right * right).sum()
        for _ in range(steps):
            if square <= least:
                break
            times_normal(table, row, other, gram, penalties[row], direction, product)
            step = square / (direction * product).sum()
            for k in range(n_factors):
                x[k] += step * direction[k]
                residual[k] -= step * product[k]
            before, square = square, (residual * residual).sum()
            for k in range(n_factors):
                direction[k] = residual[k] + square / before * direction[k]
        loss += constants[row]
        for k in range(n_factors):
            loss -= x[k] * (right[k] + residual[k])
            out[row, k] = x[k]
    return loss

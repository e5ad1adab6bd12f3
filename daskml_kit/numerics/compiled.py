"""Loops that NumPy and SciPy have no routine for, compiled by Numba and free of the interpreter's lock."""

from __future__ import annotations

import numpy as np
from numba import njit

from daskml_kit.typing import Array


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]  # Numba has no types of its own
def add_upper(indptr: Array, indices: Array, data: Array, weight: Array, out: Array) -> None:
    """Add the upper triangle of X' diag(weight) X to that of ``out``; the indices of each row are sorted."""
    for row in range(len(indptr) - 1):
        # unsigned: no check for indices from the end, which takes half of the time
        start, stop = np.uint64(indptr[row]), np.uint64(indptr[row + 1])
        row_weight = weight[row]
        for i in range(start, stop):
            scaled = row_weight * data[i]
            line = out[np.uint64(indices[i])]
            for j in range(i, stop):
                line[np.uint64(indices[j])] += scaled * data[j]


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def sweep_over(
    hess: Array, residual: Array, u: Array, diagonal: Array, l1: Array, order: Array, positive: bool
) -> float:
    """Sweep of coordinate descent; see `daskml_kit.numerics.penalties.sweep_over`."""
    largest = 0.0
    for j in order:
        old, hessian, bound = u[j], diagonal[j], l1[j]
        gradient = residual[j] + hessian * old
        if gradient > bound:
            new = (gradient - bound) / hessian
        elif positive or gradient >= -bound:
            new = 0.0
        else:
            new = (gradient + bound) / hessian
        if new != old:
            u[j] = new
            line, change = hess[j], new - old
            for i in range(len(residual)):
                residual[i] -= line[i] * change
            largest = max(largest, abs(change) * hessian)
    return largest

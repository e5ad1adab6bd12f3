"""Loops over the stored numbers of CSR matrices, compiled by Numba and free of the interpreter's lock."""

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

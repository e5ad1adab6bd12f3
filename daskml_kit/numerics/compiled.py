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
def multiply(indptr: Array, indices: Array, data: Array, matrix: Array, out: Array) -> None:
    """Write X times ``matrix`` into ``out``; a row's numbers are read once for all columns."""
    for row in range(len(indptr) - 1):
        line = out[row]
        line[:] = 0
        for i in range(np.uint64(indptr[row]), np.uint64(indptr[row + 1])):
            value, other = data[i], matrix[np.uint64(indices[i])]
            for column in range(len(line)):
                line[column] += value * other[column]


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def multiply_pair(indptr: Array, indices: Array, data: Array, matrix: Array, out: Array) -> None:
    """Do the same for one column or two, of which a loop over columns takes three times as long."""
    n_columns = matrix.shape[1]
    for row in range(len(indptr) - 1):
        first = last = data.dtype.type(0)
        for i in range(np.uint64(indptr[row]), np.uint64(indptr[row + 1])):
            value, other = data[i], matrix[np.uint64(indices[i])]
            first += value * other[0]
            if n_columns == 2:
                last += value * other[1]
        out[row, n_columns - 1] = last
        out[row, 0] = first


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def add_transposed(indptr: Array, indices: Array, data: Array, matrix: Array, out: Array) -> None:
    """Add X' times ``matrix`` to ``out``; a row's numbers are read once for all columns."""
    n_columns = matrix.shape[1]
    for row in range(len(indptr) - 1):
        other = matrix[row]
        start, stop = np.uint64(indptr[row]), np.uint64(indptr[row + 1])
        if n_columns == 1:
            only = other[0]
            for i in range(start, stop):
                out[np.uint64(indices[i]), 0] += data[i] * only
            continue
        for i in range(start, stop):
            value, line = data[i], out[np.uint64(indices[i])]
            for column in range(n_columns):
                line[column] += value * other[column]


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def add_upper_coded(codes: Array, dense: Array, columns: Array, width: int, weight: Array, out: Array) -> None:
    """Add the upper triangle of X' diag(weight) X, where X is a matrix of codes of so many columns, to ``out``."""
    n_codes, n_dense, end = codes.shape[1], dense.shape[1], np.uint64(width)
    for row in range(len(weight)):
        row_weight, own = weight[row], codes[row]
        for i in range(n_codes):
            code = np.uint64(own[i])
            if code >= end:
                continue
            line = out[code]
            for j in range(i, n_codes):
                other = np.uint64(own[j])
                if other < end:
                    line[other] += row_weight
            for j in range(n_dense):
                column, value = np.uint64(columns[j]), row_weight * dense[row, j]
                if column > code:
                    line[column] += value
                else:
                    out[column, code] += value
        for i in range(n_dense):
            scaled, line = row_weight * dense[row, i], out[np.uint64(columns[i])]
            for j in range(i, n_dense):
                line[np.uint64(columns[j])] += scaled * dense[row, j]


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def add_arrow_coded(
    codes: Array,
    dense: Array,
    columns: Array,
    start: int,
    stop: int,
    weight: Array,
    diagonal: Array,
    cross: Array,
    rest: Array,
) -> None:
    """Add Z' diag(weight) Z, where Z is a matrix of codes with a last column of ones, to the parts of an `Arrow`.

    No row has two codes of ``start .. stop - 1``. Of ``rest`` the upper triangle is added.
    """
    low, high, last = np.uint64(start), np.uint64(stop), np.uint64(len(rest) - 1)
    width = high - low
    end = last + width  # the intercept's column
    n_codes, n_dense = codes.shape[1], dense.shape[1]
    places, values = np.empty(n_codes + n_dense + 1, np.uint64), np.empty(n_codes + n_dense + 1, dense.dtype)
    for row in range(len(weight)):
        n, category, row_weight = 0, np.int64(-1), weight[row]
        for i in range(n_codes):
            code = np.uint64(codes[row, i])
            if code >= end:
                continue
            if code < low or code >= high:
                places[n] = code if code < low else code - width
                values[n] = 1
                n += 1
            else:
                category = np.int64(code - low)
        for i in range(n_dense):
            column = np.uint64(columns[i])
            places[n] = column if column < low else column - width
            values[n] = dense[row, i]
            n += 1
        places[n], values[n] = last, 1
        n += 1
        for i in range(n):
            scaled, line = row_weight * values[i], rest[places[i]]
            for j in range(i, n):
                if places[j] >= places[i]:
                    line[places[j]] += scaled * values[j]
                else:
                    rest[places[j], places[i]] += scaled * values[j]
        if category >= 0:
            diagonal[category] += row_weight
            line = cross[category]
            for i in range(n):
                line[places[i]] += row_weight * values[i]


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def multiply_coded(codes: Array, dense: Array, columns: Array, width: int, matrix: Array, out: Array) -> None:
    """Write X times ``matrix``, where X is a matrix of codes of so many columns, into ``out``."""
    n_outputs, end = matrix.shape[1], np.uint64(width)
    for row in range(len(codes)):
        if n_outputs == 1:
            total = matrix.dtype.type(0)
            for i in range(codes.shape[1]):
                code = np.uint64(codes[row, i])
                if code < end:
                    total += matrix[code, 0]
            for i in range(dense.shape[1]):
                total += dense[row, i] * matrix[np.uint64(columns[i]), 0]
            out[row, 0] = total
            continue
        line = out[row]
        line[:] = 0
        for i in range(codes.shape[1]):
            code = np.uint64(codes[row, i])
            if code < end:
                other = matrix[code]
                for output in range(n_outputs):
                    line[output] += other[output]
        for i in range(dense.shape[1]):
            value, other = dense[row, i], matrix[np.uint64(columns[i])]
            for output in range(n_outputs):
                line[output] += value * other[output]


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def add_transposed_coded(codes: Array, dense: Array, columns: Array, width: int, matrix: Array, out: Array) -> None:
    """Add X' times ``matrix``, where X is a matrix of codes of so many columns, to ``out``."""
    n_outputs, end = matrix.shape[1], np.uint64(width)
    for row in range(len(codes)):
        other = matrix[row]
        if n_outputs == 1:
            only = other[0]
            for i in range(codes.shape[1]):
                code = np.uint64(codes[row, i])
                if code < end:
                    out[code, 0] += only
            for i in range(dense.shape[1]):
                out[np.uint64(columns[i]), 0] += dense[row, i] * only
            continue
        for i in range(codes.shape[1]):
            code = np.uint64(codes[row, i])
            if code < end:
                line = out[code]
                for output in range(n_outputs):
                    line[output] += other[output]
        for i in range(dense.shape[1]):
            value, line = dense[row, i], out[np.uint64(columns[i])]
            for output in range(n_outputs):
                line[output] += value * other[output]


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

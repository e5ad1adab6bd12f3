"""Compiled loops over codes for Hessians at several points whose largest block is diagonal."""

from __future__ import annotations

import numpy as np
from numba import njit

from daskml_kit.typing import Array


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def category_order(codes: Array, start: int, stop: int) -> tuple[Array, Array]:
    """Return the rows in the order of their category, and of each row that: from 1, or 0 where it has none.

    So numbers of one category, of which there are many, are added to one after the other.

    Parameters
    ----------
    codes : unsigned int array of shape (n_rows, n_codes)
        No row has two codes of ``start .. stop - 1``.
    """
    low, high = np.uint64(start), np.uint64(stop)
    category_of, order = np.zeros(len(codes), np.int64), np.empty(len(codes), np.int64)
    counts = np.zeros(stop - start + 2, np.int64)
    for row in range(len(codes)):
        for i in range(codes.shape[1]):
            code = np.uint64(codes[row, i])
            if low <= code < high:
                category_of[row] = np.int64(code - low) + 1
        counts[category_of[row] + 1] += 1
    for place in range(1, len(counts)):
        counts[place] += counts[place - 1]
    for row in range(len(codes)):
        order[counts[category_of[row]]] = row
        counts[category_of[row]] += 1
    return order, category_of


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def add_arrows_coded(
    codes: Array, dense: Array, columns: Array, span: tuple[int, int, int], weight: Array, points: Array, flat: Array
) -> None:
    """Add Z' diag(weight) Z, where Z is a matrix of codes with a last column of ones, at several points.

    Of the square part only the upper triangle is added. A row is taken apart once for all points.

    Parameters
    ----------
    codes, dense, columns : arrays
        The matrix; no row has two codes in the span.
    span : tuple of int
        The first column of the block that is diagonal, the one behind its last, and the number of all others, with
        that of ones.
    weight : array of shape (n_points, n_rows)
    points : int array of shape (n_points,)
        The rows of ``flat`` that these are added to.
    flat : array of shape (n, size)
        The parts of arrows, one behind the other; see `daskml_kit.numerics.arrow.Arrow`.
    """
    start, stop, n_others = span
    low, high, step = np.uint64(start), np.uint64(stop), np.uint64(n_others)
    block, last = high - low, np.uint64(n_others - 1)
    end, square = last + block, block + block * step
    n_codes, n_dense = codes.shape[1], dense.shape[1]
    most = n_codes + n_dense + 1
    places, values = np.empty(most, np.uint64), np.empty(most)
    pairs, products = np.empty(most * most, np.uint64), np.empty(most * most)
    order, category_of = category_order(codes, start, stop)
    for row in order:
        n = n_pairs = 0
        for i in range(n_codes):
            code = np.uint64(codes[row, i])
            if code < low or (code >= high and code < end):
                places[n] = code if code < low else code - block
                values[n] = 1
                n += 1
        for i in range(n_dense):
            column = np.uint64(columns[i])
            places[n] = column if column < low else column - block
            values[n] = dense[row, i]
            n += 1
        places[n], values[n] = last, 1
        n += 1
        for i in range(n):
            for j in range(i, n):
                own, other = places[i], places[j]
                pairs[n_pairs] = square + min(own, other) * step + max(own, other)
                products[n_pairs] = values[i] * values[j]
                n_pairs += 1
        category = category_of[row]
        for point in range(len(points)):
            row_weight, out = np.float64(weight[point, row]), flat[points[point]]
            for k in range(n_pairs):
                out[pairs[k]] += row_weight * products[k]
            if category > 0:
                place = np.uint64(category - 1)
                out[place] += row_weight
                line = block + place * step
                for i in range(n):
                    out[line + places[i]] += row_weight * values[i]

"""Compiled loops over codes for linear predictors at several points, and over the terms of a logistic loss."""

from __future__ import annotations

import numpy as np
from numba import njit

from daskml_kit.typing import Array

SHIFTER = 6755399441055744.0
"""1.5 * 2**52: a number plus this has its nearest whole number in the last bits."""
TILE = 512
LARGEST = 700.0
"""Of a margin: beyond, its exponential overflows, and the loss is the margin to all digits."""


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def predict_coded(codes: Array, dense: Array, columns: Array, width: int, table: Array, out: Array) -> None:
    """Write X times ``table`` (columns, points), and its last row added, into ``out`` (points, rows).

    Four points at a time, which are one load and one addition.
    """
    n_points, end, last = len(out), np.uint64(width), len(table) - 1
    for first in range(0, n_points, 4):
        if n_points - first < 4:
            for point in range(first, n_points):
                for row in range(len(codes)):
                    total = table[last, point]
                    for i in range(codes.shape[1]):
                        code = np.uint64(codes[row, i])
                        if code < end:
                            total += table[code, point]
                    for i in range(dense.shape[1]):
                        total += dense[row, i] * table[np.uint64(columns[i]), point]
                    out[point, row] = total
            break
        for row in range(len(codes)):
            a, b = table[last, first], table[last, first + 1]
            c, d = table[last, first + 2], table[last, first + 3]
            for i in range(codes.shape[1]):
                code = np.uint64(codes[row, i])
                if code < end:
                    a += table[code, first]
                    b += table[code, first + 1]
                    c += table[code, first + 2]
                    d += table[code, first + 3]
            for i in range(dense.shape[1]):
                value, column = dense[row, i], np.uint64(columns[i])
                a += value * table[column, first]
                b += value * table[column, first + 1]
                c += value * table[column, first + 2]
                d += value * table[column, first + 3]
            out[first, row] = a
            out[first + 1, row] = b
            out[first + 2, row] = c
            out[first + 3, row] = d


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def add_gradients_coded(codes: Array, dense: Array, columns: Array, width: int, slopes: Array, out: Array) -> None:
    """Add X' times the transpose of ``slopes`` (points, rows) to the first rows of ``out`` (columns + 1, points).

    The sums of the slopes are added to its last row.
    """
    n_points, end, last = len(slopes), np.uint64(width), len(out) - 1
    for first in range(0, n_points, 4):
        if n_points - first < 4:
            for point in range(first, n_points):
                total = 0.0
                for row in range(len(codes)):
                    slope = slopes[point, row]
                    total += slope
                    for i in range(codes.shape[1]):
                        code = np.uint64(codes[row, i])
                        if code < end:
                            out[code, point] += slope
                    for i in range(dense.shape[1]):
                        out[np.uint64(columns[i]), point] += dense[row, i] * slope
                out[last, point] += total
            break
        sum_a = sum_b = sum_c = sum_d = 0.0
        for row in range(len(codes)):
            a, b, c, d = slopes[first, row], slopes[first + 1, row], slopes[first + 2, row], slopes[first + 3, row]
            sum_a += a
            sum_b += b
            sum_c += c
            sum_d += d
            for i in range(codes.shape[1]):
                code = np.uint64(codes[row, i])
                if code < end:
                    out[code, first] += a
                    out[code, first + 1] += b
                    out[code, first + 2] += c
                    out[code, first + 3] += d
            for i in range(dense.shape[1]):
                value, column = dense[row, i], np.uint64(columns[i])
                out[column, first] += value * a
                out[column, first + 1] += value * b
                out[column, first + 2] += value * c
                out[column, first + 3] += value * d
        out[last, first] += sum_a
        out[last, first + 1] += sum_b
        out[last, first + 2] += sum_c
        out[last, first + 3] += sum_d


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "nsz"})  # type: ignore[untyped-decorator]
def logistic_terms(raw: Array, sign: Array, value: Array, slope: Array, scratch: Array) -> None:
    r"""Write :math:`\log(1 + e^{m})`, m = ``raw`` times ``sign``, and its derivative in ``raw``; ``raw`` is lost.

    Both functions are polynomials and a division, in loops that a compiler makes vector instructions of; NumPy has
    such loops for some processors only. Errors are a few units in the last place. All arrays are float64, flat.
    """
    bits, powers, exponents = raw.view(np.uint64), slope.view(np.uint64), scratch.view(np.uint64)
    n = len(raw)
    for i in range(n):
        margin = raw[i] * sign[i]
        value[i] = margin
        margin = LARGEST if margin > LARGEST else margin  # in this form NaN stays, and vector instructions do it
        margin = -LARGEST if margin < -LARGEST else margin
        shifted = margin * 1.4426950408889634 + SHIFTER
        whole = shifted - SHIFTER
        x = margin - whole * 0.6931471803691238
        x = x - whole * 1.9082149292705877e-10
        p = 1 / 479001600 + x * (1 / 6227020800)
        p = 1 / 39916800 + x * p
        p = 1 / 3628800 + x * p
        p = 1 / 362880 + x * p
        p = 1 / 40320 + x * p
        p = 1 / 5040 + x * p
        p = 1 / 720 + x * p
        p = 1 / 120 + x * p
        p = 1 / 24 + x * p
        p = 1 / 6 + x * p
        p = 0.5 + x * p
        p = 1.0 + x * p
        slope[i] = 1.0 + x * p
        raw[i] = shifted
    for i in range(n):
        powers[i] += bits[i] << np.uint64(52)
    for i in range(n):
        growth = slope[i]
        total = 1.0 + growth
        raw[i] = total
        slope[i] = sign[i] * growth / total
    # the logarithm of 2**exponent times a mantissa from sqrt(1/2) to sqrt(2)
    for i in range(n):
        exponent = (bits[i] - np.uint64(0x3FE6A09E667F3BCD)) >> np.uint64(52)
        bits[i] -= exponent << np.uint64(52)
        exponents[i] = exponent | np.uint64(0x4330000000000000)  # 2**52 and so much
    for i in range(n):
        mantissa = raw[i]
        s = (mantissa - 1.0) / (mantissa + 1.0)
        z = s * s
        p = 1 / 19 + z * (1 / 21)
        p = 1 / 17 + z * p
        p = 1 / 15 + z * p
        p = 1 / 13 + z * p
        p = 1 / 11 + z * p
        p = 1 / 9 + z * p
        p = 1 / 7 + z * p
        p = 1 / 5 + z * p
        p = 1 / 3 + z * p
        found = 2.0 * s + 2.0 * s * z * p
        found += (scratch[i] - 4503599627370496.0) * 0.6931471805599453
        value[i] = found if value[i] <= LARGEST else value[i]


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def add_logistic_coded(
    codes: Array,
    dense: Array,
    columns: Array,
    width: int,
    table: Array,
    sign: Array,
    weight: Array,
    value: Array,
    out: Array,
    curvature: Array,
) -> None:
    """Add logistic losses of rows of codes at several points to ``value``, and their gradients to ``out``.

    Some hundred rows at a time, so that what is computed of them stays in the processor's first cache.

    Parameters
    ----------
    codes, dense, columns, width : as in `predict_coded`
    table : array of shape (n_columns + 1, n_points)
    sign : array of shape (1 or n_points, n_rows)
    weight : array of shape (0, 1 or n_points, n_rows)
        With no row, all weigh 1.
    value : array of shape (n_points,)
    out : array of shape (n_columns + 1, n_points)
    curvature : array of shape (0 or n_points, n_rows)
        To it the weighted second derivatives in the predictors are written.
    """
    n_points, size = table.shape[1], TILE
    raw, terms, slope = np.empty((n_points, size)), np.empty((n_points, size)), np.empty((n_points, size))
    scratch = np.empty(size)
    for start in range(0, len(codes), size):
        stop = min(start + size, len(codes))
        n = stop - start
        predict_coded(codes[start:stop], dense[start:stop], columns, width, table, raw)
        for point in range(n_points):
            signs = sign[min(point, len(sign) - 1), start:stop]
            logistic_terms(raw[point, :n], signs, terms[point, :n], slope[point, :n], scratch[:n])
            if len(curvature):
                for row in range(n):
                    wrong = abs(slope[point, row])
                    curvature[point, start + row] = wrong * (1 - wrong)
            if len(weight):
                weights = weight[min(point, len(weight) - 1), start:stop]
                for row in range(n):
                    terms[point, row] *= weights[row]
                    slope[point, row] *= weights[row]
                if len(curvature):
                    for row in range(n):
                        curvature[point, start + row] *= weights[row]
            value[point] += terms[point, :n].sum()
        add_gradients_coded(codes[start:stop], dense[start:stop], columns, width, slope, out)

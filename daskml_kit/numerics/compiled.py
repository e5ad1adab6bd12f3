"""Loops that NumPy and SciPy have no routine for, compiled by Numba and free of the interpreter's lock."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numba import njit

from daskml_kit.typing import Array

LOGISTIC, HINGE, SQUARED_HINGE, MODIFIED_HUBER, SQUARED, BOUNDED_HUBER, INSENSITIVE, SQUARED_INSENSITIVE = range(8)
"""Losses of `loss_and_gradient`, those of a margin first."""
NEAR_LANES = 128
"""Rows that `add_to_nearest` takes at a time: what they need stays in the processor's first two caches."""
RowSettings: TypeAlias = tuple[int, float, float, float, float, float, bool]


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
def add_upper_coded(
    codes: Array, dense: Array, columns: Array, width: int, weight: Array, out: Array, stride: int
) -> None:
    """Add the upper triangle of X' diag(weight) X, where X is a matrix of codes of so many columns, to ``out``.

    That is flat, a row ``stride`` behind the last. Codes are taken four at a time, which halves the time of a loop over
    pairs; one that is none adds zeros to the first column.
    """
    n_codes, n_dense, end, zero = codes.shape[1], dense.shape[1], np.uint64(width), np.uint64(0)
    edge, step = np.zeros((n_dense, width)), np.uint64(stride)
    for row in range(len(weight)):
        row_weight, own = np.float64(weight[row]), codes[row]
        for i in range(0, n_codes, 4):
            n = n_codes - i
            a = np.uint64(own[i])
            b = np.uint64(own[i + 1]) if n > 1 else end
            c = np.uint64(own[i + 2]) if n > 2 else end
            d = np.uint64(own[i + 3]) if n > 3 else end
            in_b, in_c, in_d = 1.0 if b < end else 0.0, 1.0 if c < end else 0.0, 1.0 if d < end else 0.0
            of_a = row_weight if a < end else 0.0
            of_b, of_c, of_d = row_weight * in_b, row_weight * in_c, row_weight * in_d
            a, b, c, d = a if a < end else zero, b if b < end else zero, c if c < end else zero, d if d < end else zero
            at_a, at_b, at_c, at_d = a * step, b * step, c * step, d * step
            out[at_a + a] += of_a
            if n > 1:
                out[at_a + b] += of_a * in_b
                out[at_b + b] += of_b
            if n > 2:
                out[at_a + c] += of_a * in_c
                out[at_b + c] += of_b * in_c
                out[at_c + c] += of_c
            if n > 3:
                out[at_a + d] += of_a * in_d
                out[at_b + d] += of_b * in_d
                out[at_c + d] += of_c * in_d
                out[at_d + d] += of_d
            for j in range(i + 4, n_codes):
                code = np.uint64(own[j])
                inside = 1.0 if code < end else 0.0
                code = code if code < end else zero
                out[at_a + code] += of_a * inside
                out[at_b + code] += of_b * inside
                out[at_c + code] += of_c * inside
                out[at_d + code] += of_d * inside
        for i in range(n_dense):
            scaled, line = row_weight * dense[row, i], edge[i]
            for j in range(n_codes):
                code = np.uint64(own[j])
                if code < end:
                    line[code] += scaled
            for j in range(i, n_dense):
                line[np.uint64(columns[j])] += scaled * dense[row, j]
    for i in range(n_dense):
        column = columns[i]
        for j in range(width):
            out[min(column, j) * stride + max(column, j)] += edge[i, j]


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
def number_rows(codes: Array, extra: Array, most: int) -> tuple[Array, Array]:
    """Return a number for each row, the same of equal ones, and the first row of each, ascending.

    Once there are more than ``most`` of these, it ends there: there is one more, and numbers are not of use.

    Parameters
    ----------
    codes : unsigned int array of shape (n_rows, n)
    extra : int64 array of shape (n_rows, m)
        Further columns that tell rows apart.
    """
    n_rows, size, found = len(codes), 1024, 0
    ids, table, mask = np.empty(n_rows, np.int64), np.full(size, -1, np.int64), np.uint64(size - 1)
    first, hashes = np.empty(size // 2, np.int64), np.empty(size // 2, np.uint64)
    factor, shift = np.uint64(0x9E3779B97F4A7C15), np.uint64(29)
    for row in range(n_rows):
        key = np.uint64(0)
        for i in range(codes.shape[1]):
            key = (key ^ np.uint64(codes[row, i])) * factor
            key ^= key >> shift
        for i in range(extra.shape[1]):
            key = (key ^ np.uint64(extra[row, i])) * factor
            key ^= key >> shift
        place = key & mask
        while True:
            group = table[place]
            if group < 0:
                break
            if hashes[group] == key:
                other, same = first[group], True
                for i in range(codes.shape[1]):
                    same &= codes[row, i] == codes[other, i]
                for i in range(extra.shape[1]):
                    same &= extra[row, i] == extra[other, i]
                if same:
                    break
            place = (place + np.uint64(1)) & mask
        if group < 0:
            group = found
            table[place], first[group], hashes[group] = group, row, key
            found += 1
            if found > most:
                break
            if found == len(first):
                size *= 2
                mask, table = np.uint64(size - 1), np.full(size, -1, np.int64)
                first, hashes = np.append(first, np.empty_like(first)), np.append(hashes, np.empty_like(hashes))
                for known in range(found):
                    place = hashes[known] & mask
                    while table[place] >= 0:
                        place = (place + np.uint64(1)) & mask
                    table[place] = known
        ids[row] = group
    return ids, first[:found].copy()


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


@njit(nogil=True, cache=True, inline="always")  # type: ignore[untyped-decorator]
def loss_and_gradient(kind: int, bound: float, raw: float, y: float) -> tuple[float, float]:
    """Return a loss of `daskml_kit.numerics.losses` of one row, and its derivative; ``kind`` is its place there."""
    if kind <= MODIFIED_HUBER:
        margin = raw * y
        if kind == LOGISTIC:
            decay = np.exp(-abs(margin))
            return max(margin, 0.0) + np.log1p(decay), y * (1.0 if margin > 0 else decay) / (1 + decay)
        if kind == HINGE:
            return max(margin + bound, 0.0), y if margin + bound >= 0 else 0.0
        height = max(margin + 1, 0.0)
        if kind == MODIFIED_HUBER and height > 2:
            return 4 * margin, 4 * y
        return height * height, 2 * height * y
    residual = raw - y
    if kind == SQUARED:
        return 0.5 * residual * residual, residual
    size, sign = abs(residual), 1.0 if residual > 0 else -1.0
    if kind == BOUNDED_HUBER:
        if size <= bound:
            return 0.5 * residual * residual, residual
        return bound * (size - 0.5 * bound), bound * sign
    excess = size - bound
    if excess <= 0:
        return 0.0, 0.0
    return (excess, sign) if kind == INSENSITIVE else (excess * excess, 2 * excess * sign)


@njit(nogil=True, cache=True, inline="always")  # type: ignore[untyped-decorator]
def shrink_line(line: Array, settings: RowSettings, step: float) -> None:
    """Follow the penalty's slope for the steps since a feature was last seen; see `adagrad_rows`."""
    _, _, rate, eps, l1, l2, _ = settings
    n_columns = len(line) // 2 - 1
    scale, since = line[2 * n_columns + 1], line[2 * n_columns]
    line[2 * n_columns] = step
    if since == step or l1 + l2 == 0:
        return
    strength, pull = rate * l2 * scale * scale, rate * l1 * scale
    for k in range(n_columns):
        w, square = line[k], line[n_columns + k]
        if w == 0 or square == 0:
            continue
        root = np.sqrt(square) + eps
        if strength == 0:
            line[k] = np.sign(w) * max(abs(w) - pull / root * (step - since), 0.0)
            continue
        if strength * step <= root:
            kept = root / (root + strength * (step - since))
        elif strength * since >= root:  # here the rate is that of strong convexity
            kept = since / step
        else:
            kept = root / (2 * root - strength * since) * (root / (strength * step))
        if pull == 0:
            line[k] = w * kept
        else:
            line[k] = np.sign(w) * max(abs(w) * kept - pull / strength * (1 - kept), 0.0)


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def fill_table(table: Array, coef: Array, squares: Array, scale: Array, step: float) -> None:
    """Fill the table of `adagrad_rows` from arrays of shape (n_columns, n_features + 1)."""
    n_columns = len(coef)
    for feature in range(len(table)):
        line = table[feature]
        for k in range(n_columns):
            line[k], line[n_columns + k] = coef[k, feature], squares[k, feature]
        line[2 * n_columns], line[2 * n_columns + 1] = step, 1 / scale[feature]


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def take_last_steps(table: Array, settings: RowSettings, step: float, coef: Array, squares: Array) -> float:
    """Take the penalty's steps that are left, write the change of the arrays into them, and return the penalty."""
    n_columns, penalty = len(coef), 0.0
    _, _, _, _, l1, l2, _ = settings
    for feature in range(len(table)):
        line = table[feature]
        if feature < len(table) - 1:
            shrink_line(line, settings, step)
        for k in range(n_columns):
            w = line[k] * line[2 * n_columns + 1]
            if feature < len(table) - 1:
                penalty += l1 * abs(w) + l2 / 2 * w * w
            coef[k, feature], squares[k, feature] = (
                line[k] - coef[k, feature],
                line[n_columns + k] - squares[k, feature],
            )
    return penalty


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def adagrad_rows(
    rows: tuple[Array, Array, Array], y: Array, weight: Array, table: Array, settings: RowSettings, step: float
) -> float:
    r"""Make a step of Adagrad for each row of a CSR matrix, in place, and return the sum of the losses.

    The rate of a coefficient is Adagrad's, :math:`\eta / \sqrt{s}`, but at step t at most :math:`1 / \lambda t`, that
    of an objective with the l2 penalty :math:`\lambda`, which keeps a feature of few rows from its last row's whim. The
    penalty's steps are taken when a feature is seen again, all since as one: as a proximal step while the rate is
    Adagrad's, as their product, the ratio of the first step to the last, where it is bounded. So a step costs what its
    row has numbers.

    Parameters
    ----------
    rows : tuple of arrays
        Indices, numbers, and where each row's begin.
    y, weight : arrays of shape (1 or n_columns, n_rows)
    table : array of shape (n_features + 1, 2 * n_columns + 2)
        Of each feature, and last of the intercept, in one place of memory: the coefficients, the sums of the squares
        of their gradients, the step at which it was last seen, and what it is multiplied with.
    settings : tuple
        The loss, its parameter, the rate, epsilon, l1 and l2 penalty, and whether there is an intercept.
    step : float
        The steps before.
    """
    indices, data, indptr = rows
    kind, bound, rate, eps, _, l2, intercept = settings
    n_columns, last = table.shape[1] // 2 - 1, len(table) - 1
    one_y, one_weight = len(y) == 1, len(weight) == 1
    raw, gradient, total = np.empty(n_columns), np.empty(n_columns), 0.0
    for row in range(len(indptr) - 1):
        start, stop = np.uint64(indptr[row]), np.uint64(indptr[row + 1])
        raw[:] = table[last, :n_columns]
        for i in range(start, stop):
            line = table[np.uint64(indices[i])]
            shrink_line(line, settings, step)
            value = data[i] * line[2 * n_columns + 1]
            for k in range(n_columns):
                raw[k] += line[k] * value
        moving = False
        for k in range(n_columns):
            loss, slope = loss_and_gradient(kind, bound, raw[k], y[0 if one_y else k, row])
            own_weight = weight[0 if one_weight else k, row]
            total += own_weight * loss
            gradient[k] = own_weight * slope
            moving = moving or gradient[k] != 0
        step += 1
        if not moving:
            continue
        for i in range(start, stop):
            line = table[np.uint64(indices[i])]
            scale = line[2 * n_columns + 1]
            value, least = data[i] * scale, rate * l2 * scale * scale * step
            for k in range(n_columns):
                g = gradient[k] * value
                if g != 0:
                    line[n_columns + k] += g * g
                    line[k] -= rate * g / max(np.sqrt(line[n_columns + k]) + eps, least)
        if intercept:
            for k in range(n_columns):
                g = gradient[k]
                if g != 0:
                    table[last, n_columns + k] += g * g
                    table[last, k] -= rate * g / (np.sqrt(table[last, n_columns + k]) + eps)
    return total


@njit(nogil=True, cache=True, fastmath={"contract", "reassoc"})  # type: ignore[untyped-decorator]
def choose_nearest(
    turned: Array, centers: Array, halves: Array, first: int, stop: int, least: Array, best: Array, second: Array
) -> None:
    """Write the positions, in ``first .. stop - 1``, of the centers nearest to the columns of ``turned`` into ``best``.

    ``least`` and ``second`` are half of the squared distances from these and from the second nearest, less half of the
    squared length of the column. Two centers at a time, four features at a time: so a number is read once for eight
    products. All loops over rows have `NEAR_LANES` turns, which the compiler can rely on, and no branch.
    """
    n_features = centers.shape[1]
    fours = n_features - n_features % 4
    a, b = np.empty(NEAR_LANES, centers.dtype), np.empty(NEAR_LANES, centers.dtype)
    for i in range(NEAR_LANES):
        least[i], best[i], second[i] = np.inf, first, np.inf
    for k in range(first, stop, 2):
        other = min(k + 1, stop - 1)
        c, e, half_c = centers[k], centers[other], halves[k]
        half_e = halves[other] if other > k else centers.dtype.type(np.inf)
        for i in range(NEAR_LANES):
            a[i] = half_c
        for i in range(NEAR_LANES):
            b[i] = half_e
        for j in range(0, fours, 4):
            c0, c1, c2, c3 = c[j], c[j + 1], c[j + 2], c[j + 3]
            e0, e1, e2, e3 = e[j], e[j + 1], e[j + 2], e[j + 3]
            t0, t1, t2, t3 = turned[j], turned[j + 1], turned[j + 2], turned[j + 3]
            for i in range(NEAR_LANES):
                a[i] -= c0 * t0[i] + c1 * t1[i] + c2 * t2[i] + c3 * t3[i]
                b[i] -= e0 * t0[i] + e1 * t1[i] + e2 * t2[i] + e3 * t3[i]
        for j in range(fours, n_features):
            cj, ej, tj = c[j], e[j], turned[j]
            for i in range(NEAR_LANES):
                a[i] -= cj * tj[i]
                b[i] -= ej * tj[i]
        at_c, at_e = centers.dtype.type(k), centers.dtype.type(other)
        for i in range(NEAR_LANES):
            nearer = a[i] < least[i]
            low, at = (a[i], at_c) if nearer else (least[i], best[i])
            next_low = min(second[i], least[i] if nearer else a[i])
            nearer = b[i] < low
            second[i] = min(next_low, low if nearer else b[i])
            least[i], best[i] = (b[i], at_e) if nearer else (low, at)


@njit(nogil=True, cache=True, fastmath={"contract", "reassoc"})  # type: ignore[untyped-decorator]
def add_to_nearest(
    rows: Array,
    shift: Array,
    weight: Array,
    centers: Array,
    bounds: Array,
    sums: Array,
    weights: Array,
    inertia: Array,
) -> None:
    """Add each row, less the shift, to the ``sums`` of the nearest center of each set, and its weight to ``weights``.

    Rows are taken `NEAR_LANES` at a time, and turned, so that one instruction serves several of them.

    Parameters
    ----------
    rows : array of shape (n_rows, n_features)
    shift : array of shape (n_features,)
    weight : array of shape (n_rows,)
    centers : array of shape (n_centers, n_features)
        Of all sets, less the shift; they are fewer than a float of their type can count.
    bounds : int array of shape (n_sets + 1,)
        Where each set of centers begins, and the last one ends.
    sums, weights : arrays of shape (n_centers, n_features) and (n_centers,)
    inertia : array of shape (n_sets,)
        To it the weighted sums of squared distances are added.
    """
    n_rows, n_features = rows.shape
    own, turned = np.empty((NEAR_LANES, n_features), centers.dtype), np.zeros((n_features, NEAR_LANES), centers.dtype)
    least, best = np.empty(NEAR_LANES, centers.dtype), np.empty(NEAR_LANES, centers.dtype)
    halves, second = np.empty(len(centers), centers.dtype), np.empty(NEAR_LANES, centers.dtype)
    for k in range(len(centers)):
        halves[k] = (centers[k] * centers[k]).sum() / 2
    for start in range(0, n_rows, NEAR_LANES):
        n = min(NEAR_LANES, n_rows - start)
        for i in range(n):
            for j in range(n_features):
                own[i, j] = rows[start + i, j] - shift[j]
        for i in range(n):
            for j in range(n_features):
                turned[j, i] = own[i, j]
        for which in range(len(bounds) - 1):
            choose_nearest(turned, centers, halves, bounds[which], bounds[which + 1], least, best, second)
            total = 0.0
            for i in range(n):
                nearest, row_weight, row = np.uint64(best[i]), weight[start + i], own[i]
                center, line, distance = centers[nearest], sums[nearest], centers.dtype.type(0)
                for j in range(n_features):
                    apart = row[j] - center[j]
                    distance += apart * apart
                    line[j] += row_weight * row[j]
                total += row_weight * distance
                weights[nearest] += row_weight
            inertia[which] += total


@njit(nogil=True, cache=True, fastmath={"contract", "reassoc"})  # type: ignore[untyped-decorator]
def write_nearest(rows: Array, shift: Array, centers: Array, labels: Array) -> None:
    """Write the position of the center nearest to each row, less the shift, into ``labels``."""
    n_rows, n_features = rows.shape
    turned, halves = np.zeros((n_features, NEAR_LANES), centers.dtype), np.empty(len(centers), centers.dtype)
    least, best = np.empty(NEAR_LANES, centers.dtype), np.empty(NEAR_LANES, centers.dtype)
    second = np.empty(NEAR_LANES, centers.dtype)
    for k in range(len(centers)):
        halves[k] = (centers[k] * centers[k]).sum() / 2
    for start in range(0, n_rows, NEAR_LANES):
        n = min(NEAR_LANES, n_rows - start)
        for i in range(n):
            for j in range(n_features):
                turned[j, i] = rows[start + i, j] - shift[j]
        choose_nearest(turned, centers, halves, 0, len(centers), least, best, second)
        for i in range(n):
            labels[start + i] = np.int64(best[i])


DIGIT = 11
"""Bits of a key that one round of `radix_order` sorts by: its table of counts stays in the nearest cache."""


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def radix_order(keys: Array) -> Array:
    """Return the stable order of 64-bit unsigned ``keys``, at most 2**32; digits that all share are passed over."""
    n, mask = len(keys), np.uint64((1 << DIGIT) - 1)
    order, sorted_keys = np.arange(n).astype(np.uint32), keys.copy()
    other_order, other_keys = np.empty_like(order), np.empty_like(sorted_keys)
    for digit in range(0, 64, DIGIT):
        counts = np.zeros((1 << DIGIT) + 1, np.int64)
        for i in range(n):
            counts[np.int64((sorted_keys[i] >> np.uint64(digit)) & mask) + 1] += 1
        if counts.max() == n:
            continue
        counts = np.cumsum(counts)
        for i in range(n):
            own = np.int64((sorted_keys[i] >> np.uint64(digit)) & mask)
            place = counts[own]
            counts[own] = place + 1
            other_keys[place] = sorted_keys[i]
            other_order[place] = order[i]
        order, other_order = other_order, order
        sorted_keys, other_keys = other_keys, sorted_keys
    return order


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def rank_keys(keys: Array, codes: Array, weight: Array, n_labels: int) -> tuple[Array, Array]:
    """Return the distinct ``keys`` in order, and of each the weight of each label."""
    order = radix_order(keys)
    low, mass, n = np.empty(len(keys), np.uint64), np.zeros((len(keys), n_labels)), 0
    for i in range(len(keys)):
        row = order[i]
        if n == 0 or keys[row] != low[n - 1]:
            low[n] = keys[row]
            n += 1
        mass[n - 1, codes[row]] += weight[row]
    return low[:n].copy() if 2 * n < len(keys) else low[:n], mass[:n].copy() if 2 * n < len(keys) else mass[:n]


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def merge_cells(
    low_a: Array, high_a: Array, mass_a: Array, low_b: Array, high_b: Array, mass_b: Array, shift: Array, drop: int
) -> tuple[Array, Array, Array]:
    """Return the cells of two sorted runs in order, those of equal bits above their region's ``shift`` as one.

    The region of a key is what is left of it without ``drop`` bits.
    """
    n_a, n_b, n_labels = len(low_a), len(low_b), mass_a.shape[1]
    low, high = np.empty(n_a + n_b, np.uint64), np.empty(n_a + n_b, np.uint64)
    mass = np.empty((n_a + n_b, n_labels))
    i, j, n, last = 0, 0, 0, np.uint64(0)
    while i < n_a or j < n_b:
        first = j >= n_b or (i < n_a and low_a[i] <= low_b[j])
        if first:
            start, stop, own, row = low_a[i], high_a[i], mass_a, i
            i += 1
        else:
            start, stop, own, row = low_b[j], high_b[j], mass_b, j
            j += 1
        bits = shift[start >> np.uint64(drop)]
        cell = (start >> bits) << bits
        if n and cell == last:
            high[n - 1] = max(high[n - 1], stop)
            for label in range(n_labels):
                mass[n - 1, label] += own[row, label]
        else:
            low[n], high[n] = start, stop
            for label in range(n_labels):
                mass[n, label] = own[row, label]
            n, last = n + 1, cell
    if 2 * n < n_a + n_b:  # else a copy would take longer than the rest
        return low[:n].copy(), high[:n].copy(), mass[:n].copy()
    return low[:n], high[:n], mass[:n]

"""The Gram matrix of features and targets, and the triangular factor where it is ill conditioned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import scipy.sparse as sp

from daskml_kit.data.block import Block, check_finite, check_not_negative
from daskml_kit.data.coded import codes_of
from daskml_kit.exceptions import DataError
from daskml_kit.numerics.csr import (
    MANY_PRODUCTS,
    add_transposed,
    multiply,
    plain_if_small,
    sandwich,
    times,
    transposed_times,
)
from daskml_kit.numerics.targets import tile_rows, tiles
from daskml_kit.reductions.reduction import Delegate, SingleReduction
from daskml_kit.typing import Array, Labels


class Scatter(NamedTuple):
    """Weight, row count, means, and products about the means, of the columns [X, y]; X has the first d of them.

    ``sparse`` says whether a block was sparse.
    """

    weight: float
    n_rows: int
    mean: Array
    product: Array
    sparse: bool

    def about_zero(self) -> Array:
        """Return the products about zero, as a model without intercept needs them."""
        with np.errstate(all="ignore"):
            return np.asarray(self.product + self.weight * np.outer(self.mean, self.mean))

    def require_finite(self) -> None:
        """Raise where finite rows have products that are not.

        Raises
        ------
        DataError
            With what to do about it.
        """
        if not np.isfinite(self.product).all():
            raise DataError(overflow(self.product.dtype))


def overflow(dtype: Any, arguments: str = "X, y") -> str:
    """Return the message for rows whose squares a type of numbers does not hold.

    Examples
    --------
    >>> overflow(np.float32)
    'X, y: values are so large that their squares overflow float32: divide them, by MaxAbsScaler for example'
    """
    name = np.dtype(dtype).name
    return (
        f"{arguments}: values are so large that their squares overflow {name}: divide them, by MaxAbsScaler for example"
    )


@dataclass(frozen=True, eq=False)
class Gram(SingleReduction):
    r"""The products :math:`\sum_i s_i (z_i - \bar z)(z_i - \bar z)^\top` of z = [x, y], in double precision.

    Blocks are centered before they are multiplied and joined by Chan, Golub & LeVeque (1983), so that a large mean
    costs no digits.
    """

    answer_type: ClassVar[type[Scatter]] = Scatter

    def chunk(self, block: Block) -> Scatter:
        check_not_negative(block)
        y = None if block.y is None else _columns(block.y)
        partial = _sparse_scatter(block, y) if sp.issparse(block.X) else _dense_scatter(block, y)
        if not np.isfinite(partial.product).all():
            check_finite(block)
        return partial

    def combine(self, a: Scatter, b: Scatter) -> Scatter:
        weight = a.weight + b.weight
        if not a.weight or not b.weight:
            larger = a if a.weight else b
            return larger._replace(n_rows=a.n_rows + b.n_rows, sparse=a.sparse or b.sparse)
        apart = b.mean - a.mean
        mean = a.mean + apart * (b.weight / weight)
        with np.errstate(all="ignore"):  # as in a chunk: who needs the products sees that they are not finite
            product = a.product + b.product + np.outer(apart, apart) * (a.weight * b.weight / weight)
        return Scatter(weight, a.n_rows + b.n_rows, mean, product, a.sparse or b.sparse)


def _columns(y: Array) -> Array:
    return y[:, None] if y.ndim == 1 else y


def _dense_scatter(block: Block, y: Array | None) -> Scatter:
    X, n_rows = block.X, block.n_rows
    d, t = X.shape[1], 0 if y is None else y.shape[1]
    total = np.zeros((d + t + 1, d + t + 1))
    size = min(tile_rows(X, t + 1), max(n_rows, 1))
    first = slice(0, size)
    shift = np.zeros(d + t)
    if n_rows:
        shift[:d] = X[first].mean(axis=0, dtype=np.float64)
        if y is not None:
            shift[d:] = y[first].mean(axis=0, dtype=np.float64)
    buffer = np.empty((size, d + t + 1))
    with np.errstate(all="ignore"):
        for rows in tiles(n_rows, size):
            tile = buffer[: rows.stop - rows.start]
            np.subtract(X[rows], shift[:d], out=tile[:, :d])
            if y is not None:
                np.subtract(y[rows], shift[d:], out=tile[:, d:-1])
            tile[:, -1] = 1
            if block.weight is not None:
                tile *= np.sqrt(block.weight[rows].astype(np.float64))[:, None]
            total += tile.T @ tile
    return _centered(total, block, shift)


def _sparse_scatter(block: Block, y: Array | None) -> Scatter:
    X = plain_if_small(block.X)
    X = (sp.csr_array(X) if codes_of(X) is None else X).astype(np.float64)
    ones = np.ones((block.n_rows, 1))
    dense = ones if y is None else np.hstack([y.astype(np.float64), ones])
    weight = np.ones(block.n_rows) if block.weight is None else block.weight
    weighted = dense * weight[:, None]
    corner = transposed_times(X, weighted)
    total = np.block([[sandwich(X, weight), corner], [corner.T, dense.T @ weighted]])
    return _centered(total, block, np.zeros(total.shape[0] - 1))


def _centered(total: Array, block: Block, shift: Array) -> Scatter:
    weight, product = float(total[-1, -1]), total[:-1, :-1]
    mean = total[-1, :-1] / weight if weight else np.zeros_like(shift)
    product = product - weight * np.outer(mean, mean)
    return Scatter(weight, block.n_rows, shift + mean, product, sp.issparse(block.X))


@dataclass(frozen=True, eq=False)
class ScatterTimes(SingleReduction):
    r"""The product :math:`\sum_i (x_i - m)(x_i - m)^\top V` of a scatter matrix that is never made.

    Parameters
    ----------
    matrix : array of shape (n_features, n_columns)
        V above.
    shift : array of shape (n_features,), optional
        m above; by default zero. Sparse rows stay sparse.

    Examples
    --------
    >>> ScatterTimes(np.eye(2)).chunk(Block(np.array([[1.0, 2.0], [0.0, 1.0]])))
    array([[1., 2.],
           [2., 5.]])
    """

    matrix: Array
    shift: Array | None = None

    def chunk(self, block: Block) -> Array:
        check_finite(block)
        along = np.zeros(self.matrix.shape[1]) if self.shift is None else self.shift @ self.matrix
        if sp.issparse(block.X):  # a tile's product would be as large as the whole
            many = codes_of(block.X) is None and block.X.nnz * len(along) >= MANY_PRODUCTS
            X = block.X.astype(np.float64, copy=False) if many else block.X
            product = multiply(X, self.matrix, np.empty((block.n_rows, len(along)))) if many else times(X, self.matrix)
            product -= along
            total, mass = np.zeros_like(self.matrix), product.sum(axis=0)
            if many:
                add_transposed(X, product, total)
            else:
                total += transposed_times(X, product)
        else:
            total, mass = np.zeros_like(self.matrix), np.zeros(len(along))
            for rows in tiles(block.n_rows, tile_rows(block.X, len(along))):
                product = block.X[rows] @ self.matrix - along
                total += block.X[rows].T @ product
                mass += product.sum(axis=0)
        return total if self.shift is None else total - np.outer(self.shift, mass)

    def combine(self, a: Array, b: Array) -> Array:
        return a + b


@dataclass(frozen=True, eq=False)
class Triangle(SingleReduction):
    """The triangular factor R of the QR decomposition of sqrt(weight) * [1, X, y] (Demmel et al. 2012, TSQR).

    Its condition is that of the data, where the Gram matrix has its square. Dense blocks only.
    """

    def chunk(self, block: Block) -> Array:
        if sp.issparse(block.X):
            raise DataError("X: expected dense rows for a QR decomposition, got a sparse matrix")
        y = np.empty((block.n_rows, 0)) if block.y is None else _columns(block.y)
        width = 1 + block.X.shape[1] + y.shape[1]
        root = np.ones(block.n_rows) if block.weight is None else np.sqrt(block.weight)
        R: Array = np.zeros((0, width))
        for rows in tiles(block.n_rows, max(tile_rows(block.X, y.shape[1]), 2 * width)):
            tile = np.hstack([np.ones((rows.stop - rows.start, 1)), block.X[rows], y[rows]])
            R = np.asarray(np.linalg.qr(np.vstack([R, tile * root[rows, None]]), mode="r"))
        return R

    def combine(self, a: Array, b: Array) -> Array:
        return np.asarray(np.linalg.qr(np.vstack([a, b]), mode="r"))


@dataclass(frozen=True, eq=False)
class ClassTargets(Delegate):
    """Ask with targets of -1 and 1: a column for each of ``labels``, or for the second of two.

    Parameters
    ----------
    reduction : Reduction
    labels : array of shape (n_classes,)
    factors : array of shape (n_classes,), optional
        Weights of the classes, which multiply those of the rows.
    """

    labels: Labels
    factors: Array | None = None

    def view(self, block: Block) -> Block:
        if block.y is None:
            raise TypeError("classes need targets")
        labels = self.labels[1:] if len(self.labels) == 2 else self.labels
        y = np.where(block.y[:, None] == labels, 1.0, -1.0)
        weight = block.weight
        if self.factors is not None:
            weight = self.factors[np.searchsorted(self.labels, block.y)] * (1.0 if weight is None else weight)
        return block._replace(y=y, weight=weight)


@dataclass(frozen=True, eq=False)
class IndicatorColumns(Delegate):
    """Ask about the columns of the target in place of those of X; rows count alike.

    Raises
    ------
    DataError
        Where the target has other values than 0 and 1.
    """

    def view(self, block: Block) -> Block:
        return block._replace(X=_indicators(block).astype(np.float64), y=None, weight=None)


@dataclass(frozen=True, eq=False)
class IndicatorTargets(Delegate):
    """Ask with targets of -1 and 1, a column for each label.

    Parameters
    ----------
    reduction : Reduction
    factors : array of shape (2, n_labels), optional
        A row's weight is multiplied by those of what it is for each label.

    Raises
    ------
    DataError
        Where the target has other values than 0 and 1.

    Examples
    --------
    >>> view = IndicatorTargets(None, np.array([[1.0, 1.0], [2.0, 3.0]])).view
    >>> seen = view(Block(np.zeros((2, 1)), np.array([[0, 1], [1, 1]])))
    >>> seen.y.tolist(), seen.weight.tolist()
    ([[-1.0, 1.0], [1.0, 1.0]], [3.0, 6.0])
    """

    factors: Array | None = None

    def view(self, block: Block) -> Block:
        has = _indicators(block)
        weight = block.weight
        if self.factors is not None:
            factors = np.where(has, self.factors[1], self.factors[0]).prod(axis=1)
            weight = factors if weight is None else factors * weight
        return block._replace(y=np.where(has, 1.0, -1.0), weight=weight)


def _indicators(block: Block) -> Array:
    """Return whether each row has each label."""
    if block.y is None:
        raise TypeError("labels need targets")
    if not np.isin(block.y, (0, 1)).all():
        raise DataError(f"y: expected several columns of 0 and 1, got other values in block {block.index}")
    return np.asarray(block.y == 1)

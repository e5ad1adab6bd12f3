"""The loss, gradient and Hessian of a linear predictor at given coefficients."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import scipy.sparse as sp

from daskml_kit.data.block import Block, check_finite
from daskml_kit.data.coded import codes_of
from daskml_kit.numerics.arrow import Arrow, packed_size
from daskml_kit.numerics.csr import (
    MANY_PRODUCTS,
    add_arrows,
    add_gradients,
    add_logistic,
    add_transposed,
    add_upper,
    has_many_pairs,
    mirror,
    multiply,
    plain_if_small,
    predict_points,
    row_slice,
    sandwich,
    take_columns,
    times,
    transposed_times,
)
from daskml_kit.numerics.losses import Logistic, Loss, compiled_terms, hessian_times, target_powers
from daskml_kit.numerics.targets import (
    MAX_ROWS,
    Numbers,
    Read,
    Target,
    rows_by_id,
    scratch,
    scratch_memory,
    tile_rows,
    tiles,
)
from daskml_kit.reductions.equal_rows import merged_rows
from daskml_kit.reductions.frames import rows_of
from daskml_kit.typing import Array, Matrix

CODED_ROWS = 4096
"""Rows of codes in a tile: what is computed of them for some points stays in the processor's second cache."""


class Eval(NamedTuple):
    """A value with its gradient of shape (p,) and Hessian H of shape (p, p), or an `Arrow`, at one point.

    Of what was asked along a direction v, v'Hv takes the value's place and Hv the gradient's.
    """

    value: float
    grad: Array
    hess: Any = None


class Within(NamedTuple):
    """Rows that count at each of m points: those whose id, in a column of the blocks' folds, is kept.

    Parameters
    ----------
    columns : int array of shape (m,)
    kept : tuple of m tuples of int
    """

    columns: Array
    kept: tuple[tuple[int, ...], ...]

    def join(self, others: Sequence[Within | None]) -> Within:
        """Return the rows of these points and of ``others``."""
        every = [self, *(other for other in others if other is not None)]
        return Within(np.concatenate([w.columns for w in every]), sum((w.kept for w in every), ()))

    def parts(self, block: Block) -> Iterator[tuple[Array, slice | Array]]:
        """Yield rows of a block with the points at which they count, so that each counts once at each of its points."""
        if block.fold is None:
            raise TypeError("the rows of a fold are asked for, and the blocks have no folds")
        for column in dict.fromkeys(self.columns.tolist()):
            for own, rows in rows_by_id(block.fold[:, column]):
                counts = [at == column and own in kept for at, kept in zip(self.columns, self.kept, strict=True)]
                if any(counts):
                    yield np.flatnonzero(counts), rows


class ArrowParts(NamedTuple):
    """Parts of an `Arrow` at each point, of shape (n, size), and the rows of these that some points belong to."""

    flat: Array
    points: Array


class Sums(NamedTuple):
    """The partial answer of `LossAt`: values (m,), gradients (m, k, d + 1) and Hessians (m, k(d + 1), k(d + 1)).

    Hessians may be None, or parts of an `Arrow`; while these are added up, they are `ArrowParts`.
    """

    value: Array
    grad: Array
    hess: Any

    @property
    def n_bytes(self) -> int:
        return sum(term.nbytes for term in self if term is not None)

    def points(self, start: int, stop: int) -> Sums:
        """Return what is known at some of the points, in memory of its own."""
        hess = None if self.hess is None else self.hess[start:stop].copy()
        return Sums(self.value[start:stop].copy(), self.grad[start:stop].copy(), hess)


@dataclass(frozen=True, eq=False)
class LossAt:
    """The weighted sum of a loss over all rows, at m points at once.

    Parameters
    ----------
    loss : Loss
    target : Target
    coef : array of shape (m, k, d + 1)
        The points: k outputs of d features, the intercept last.
    order : {0, 1, 2}
        2 asks for the Hessian too.
    within : Within, optional
        Which rows count at each point; by default all.
    along : array of shape (m, k, d + 1), optional
        A direction v at each point: asks for v'Hv and Hv, where H is the Hessian, in place of value and gradient.
    columns : int array of shape (d,), optional
        The columns of X that the coefficients belong to, ascending; those of others are zero.
    exclusive : tuple of (int, int), optional
        The first of columns of which no row of a sparse X has two, and the one behind the last. With one output,
        Hessians are then the parts of a `daskml_kit.numerics.arrow.Arrow`, one behind the other.
    merged : bool
        Whether equal rows of categories are taken as one, with the sum of their weights.
    """

    loss: Loss
    target: Target
    coef: Array
    order: int = 1
    within: Within | None = None
    along: Array | None = None
    columns: Array | None = None
    exclusive: tuple[int, int] | None = None
    merged: bool = False

    answer_type: ClassVar[type[Eval]] = Eval

    def fusion_key(self) -> Hashable:
        which = self.order, self.within is None, self.along is None, id(self.columns), self.exclusive, self.merged
        return ("at", self.loss, self.target.key(), self.coef.shape[1:], *which)

    def fuse(self, others: Sequence[Self]) -> Self:
        target = self.target.join([q.target for q in others])
        within = None if self.within is None else self.within.join([q.within for q in others])
        coef, along = self.coef, self.along
        if others:  # coefficients of wide rows are too many to be copied for nothing
            coef = np.concatenate([coef, *(q.coef for q in others)])
            along = (
                None if along is None else np.concatenate([along, *(q.along for q in others if q.along is not None)])
            )
        return replace(self, target=target, coef=coef, within=within, along=along)

    def chunk(self, block: Block) -> Sums:
        """Read the block once, tile by tile.

        Raises
        ------
        DataError
            Where X holds a NaN or an infinity: they make the sums non-finite, so finding them costs no pass.
        """
        if block.y is None:
            raise TypeError("a loss needs targets")
        block = block._replace(X=plain_if_small(block.X))
        rows = merged_rows(block, self.powers) if self.merged else block
        with np.errstate(all="ignore"), scratch_memory():
            sums = self._sums(rows) if self.within is None else self._sums_within(rows, self.within)
        if not (np.isfinite(sums.value).all() and np.isfinite(sums.grad).all()):
            check_finite(block)
        return sums

    @property
    def powers(self) -> int | None:
        """Up to which power of a number that is the target the loss is a polynomial; None where it is none."""
        return target_powers(self.loss) if isinstance(self.target, Numbers) else None

    def combine(self, a: Sums, b: Sums) -> Sums:
        hess = None if a.hess is None or b.hess is None else a.hess + b.hess
        return Sums(a.value + b.value, a.grad + b.grad, hess)

    def finalize(self, total: Sums) -> list[Eval]:
        hess = [None] * len(total.value) if total.hess is None else list(total.hess)
        return [Eval(float(v), g.ravel(), h) for v, g, h in zip(total.value, total.grad, hess, strict=True)]

    def _zeros(self, by_feature: bool = False) -> Sums:
        """Return zeros; ``by_feature``, what belongs to a feature lies together in memory."""
        m, k, width = self.coef.shape
        shape = (k * width, k * width) if self.exclusive is None else (packed_size(width, *self.exclusive),)
        hess = np.zeros((m, *shape)) if self.order > 1 else None
        grad = np.zeros((width, m, k)).transpose(1, 2, 0) if by_feature else np.zeros((m, k, width))
        return Sums(np.zeros(m), grad, hess)

    def _sums_within(self, block: Block, within: Within) -> Sums:
        """Return the sums over the rows of each point: those that it leaves out are not even multiplied."""
        sums = self._zeros()
        if self.columns is not None and sp.issparse(block.X):  # of all rows, as that is remembered
            block = block._replace(X=take_columns(block.X, self.columns))
        columns = None if sp.issparse(block.X) else self.columns
        for points, rows in within.parts(block):
            along = None if self.along is None else self.along[points]
            target, coef = self.target.pick(points), self.coef[points]
            own = replace(self, target=target, coef=coef, within=None, along=along, columns=columns)
            cuts = [rows] if isinstance(rows, slice) else [rows[cut] for cut in tiles(len(rows), MAX_ROWS)]
            arrows = None
            if sums.hess is not None and self.exclusive is not None:  # they are large, and added to where they are
                arrows = ArrowParts(sums.hess, points)
            for cut in cuts:
                part = own._sums(rows_of(block, cut), arrows)
                for total, term in zip(sums, part, strict=True):
                    if total is not None and term is not arrows:
                        total[points] += term
        self._complete_arrows(sums.hess)
        return sums

    def _complete_arrows(self, hess: Array | None) -> None:
        if hess is not None and self.exclusive is not None:
            for flat in hess:
                mirror(Arrow.unpacked(flat, self.coef.shape[-1], *self.exclusive).rest)

    def _sums(self, block: Block, arrows: ArrowParts | None = None) -> Sums:
        """Return the sums over all rows; the upper parts of `Arrow` Hessians are added to those given."""
        if arrows is None and self.exclusive is not None and self.order > 1:
            whole = self._zeros().hess
            sums = self._sums(block, ArrowParts(whole, np.arange(len(self.coef))))._replace(hess=whole)
            self._complete_arrows(whole)
            return sums
        X, y = block.X, block.y
        if self.columns is not None:
            X = take_columns(X, self.columns) if sp.issparse(X) else X[:, self.columns]
        m, k, width = self.coef.shape
        dtype = X.dtype if X.dtype in (np.float32, np.float64) else np.dtype(np.float64)
        if isinstance(self.loss, Logistic) and codes_of(X) is not None and dtype == np.float64 and self.along is None:
            return self._logistic_sums(block._replace(X=X.astype(dtype, copy=False)), arrows)
        size = tile_rows(X, m * k * (k if self.order > 1 else 1))
        sparse, coded = sp.issparse(X), codes_of(X) is not None
        size = min(size, CODED_ROWS) if coded and self.order < 2 else size
        # of the whole block: bits depend on these
        halves = self.order > 1 and sparse and has_many_pairs(X)
        wide = coded or (sparse and m * k * (X.nnz + width * (block.n_rows // size)) >= MANY_PRODUCTS)
        sums = self._zeros(wide) if arrows is None else replace(self, order=1)._zeros(wide)._replace(hess=arrows)
        points = [v.reshape(m * k, width).astype(dtype, copy=False) for v in (self.coef, self.along) if v is not None]
        for rows in tiles(block.n_rows, size):
            tile = row_slice(X, rows) if sparse else X[rows]
            tile = tile if tile.dtype == dtype else tile.astype(dtype)
            weight = None if block.weight is None else block.weight[rows].astype(dtype, copy=False)
            read = self.target.read(y[rows], weight, dtype)  # type: ignore[index]  # `chunk` has looked
            raw, *along = self._predict_compiled(tile) if wide else predict(tile, points)
            if along:
                gradient = self._add_product(sums, raw, along[0], read)
            else:
                gradient = self._add(sums, tile, raw, read, halves)
            if coded:
                columns = sums.grad.transpose(2, 0, 1).reshape(width, m * k)
                add_gradients(tile, np.ascontiguousarray(gradient), columns)
            elif wide:
                columns = sums.grad.transpose(2, 0, 1).reshape(width, m * k)
                add_transposed(tile, np.ascontiguousarray(gradient.T), columns)
                columns[-1] += gradient.sum(axis=1, dtype=np.float64)
            else:
                flat = sums.grad.reshape(m * k, width)
                flat[:, :-1] += np.asarray((tile.T @ gradient.T).T if sparse else gradient @ tile)
                flat[:, -1] += gradient.sum(axis=1, dtype=np.float64)
        if sums.hess is not None and self.exclusive is None:
            _complete(sums.hess.reshape(m, k, width, k, width), halves)
        return sums

    def _logistic_sums(self, block: Block, arrows: ArrowParts | None) -> Sums:
        """Return the same of a logistic loss over rows of codes, by one loop for all terms but Hessians."""
        m, _, width = self.coef.shape
        sums = self._zeros(True) if arrows is None else replace(self, order=1)._zeros(True)._replace(hess=arrows)
        columns = sums.grad.transpose(2, 0, 1).reshape(width, m)
        for rows in tiles(block.n_rows, MAX_ROWS if self.order > 1 else max(block.n_rows, 1)):
            tile = row_slice(block.X, rows)
            weight = None if block.weight is None else block.weight[rows].astype(np.float64, copy=False)
            read = self.target.read(block.y[rows], weight, np.dtype(np.float64))  # type: ignore[index]
            curvature = scratch("curvature", (m, tile.shape[0]), np.dtype(np.float64)) if self.order > 1 else None
            add_logistic(tile, self._table(np.dtype(np.float64)), read, sums.value, columns, curvature)
            if curvature is not None:
                self._add_hessians(sums.hess, tile, curvature, True)
        if sums.hess is not None and arrows is None:
            _complete(sums.hess.reshape(m, 1, width, 1, width), True)
        return sums

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_tables"}

    @cached_property
    def _tables(self) -> dict[np.dtype, Array]:
        return {}

    def _table(self, dtype: np.dtype) -> Array:
        """Return the coefficients, then the directions, a row a feature, and a last row of intercepts.

        It is made once for the blocks of a task.
        """
        found = self._tables.get(dtype)
        if found is None:
            points = [v.reshape(-1, v.shape[-1]).T for v in (self.coef, self.along) if v is not None]
            table = np.ascontiguousarray(np.concatenate(points, axis=1), dtype)  # a feature's numbers side by side
            found = self._tables[dtype] = table
        return found

    def _predict_compiled(self, tile: Matrix) -> list[Array]:
        """Return what `predict` does, by compiled loops that read each number of a tile once."""
        table, n_columns = self._table(tile.dtype), self.coef.shape[0] * self.coef.shape[1]
        starts = range(0, table.shape[1], n_columns)
        if codes_of(tile) is not None:
            raw = predict_points(tile, table, scratch("product", (table.shape[1], tile.shape[0]), tile.dtype))
            return [raw[start : start + n_columns] for start in starts]
        linear = multiply(tile, table[:-1], scratch("product", (tile.shape[0], table.shape[1]), tile.dtype))
        linear += table[-1:]
        return [linear[:, start : start + n_columns].T for start in starts]

    def _add(self, sums: Sums, tile: Matrix, raw: Array, read: Read, halves: bool) -> Array:
        """Add the values and Hessians of a tile; return the gradient in the predictors."""
        m, k, _ = self.coef.shape
        if k == 1:
            terms = compiled_terms if codes_of(tile) is not None else type(self.loss).terms
            value, gradient, hessian = terms(self.loss, raw, read.y, self.order)
            if read.weight is not None:
                value, gradient = value * read.weight, gradient * read.weight
            sums.value[:] += value.sum(axis=1, dtype=np.float64)
            if hessian is not None and sums.hess is not None:
                weighted = hessian if read.weight is None else hessian * read.weight
                self._add_hessians(sums.hess, tile, weighted, halves)
            return gradient
        if m == 1:
            return self._add_coupled(sums, 0, tile, raw, read, halves)
        gradient = scratch("gradient", raw.shape, raw.dtype)
        for problem in range(m):
            part = slice(problem * k, (problem + 1) * k)
            gradient[part] = self._add_coupled(sums, problem, tile, raw[part], read, halves)
        return gradient

    def _add_hessians(self, hess: Any, tile: Matrix, weight: Array, halves: bool) -> None:
        if self.exclusive is not None:
            add_arrows(tile, weight, self.exclusive, hess.points, hess.flat)
            return
        for own, row_weight in zip(hess, weight, strict=True):
            add_gram(own, tile, row_weight, halves)

    def _add_product(self, sums: Sums, raw: Array, along: Array, read: Read) -> Array:
        """Add the products of a tile along the directions; return what the Hessian in the predictors makes of these."""
        m, k, _ = self.coef.shape
        moved = along.copy()
        if k == 1:
            turned = hessian_times(self.loss, raw, read.y, along)
        else:
            parts = [slice(problem * k, (problem + 1) * k) for problem in range(m)]
            turned = np.concatenate([hessian_times(self.loss, raw[p], read.y, along[p]) for p in parts])
        if read.weight is not None:
            turned = turned * read.weight
        sums.value[:] += np.einsum("kn,kn->k", moved, turned).reshape(m, k).sum(axis=1)
        return turned

    def _add_coupled(self, sums: Sums, problem: int, tile: Matrix, raw: Array, read: Read, halves: bool) -> Array:
        k, width = self.coef.shape[1:]
        value, gradient, hessian = self.loss.terms(raw, read.y, self.order)
        if read.weight is not None:
            value, gradient = value * read.weight, gradient * read.weight
        sums.value[problem] += value.sum(dtype=np.float64)
        if hessian is not None and sums.hess is not None:
            if read.weight is not None:
                hessian = hessian * read.weight
            hess = sums.hess[problem].reshape(k, width, k, width)
            for a in range(k):
                for b in range(a + 1):
                    add_gram(hess[a, :, b, :], tile, hessian[a, b], halves)
        return gradient


def predict(tile: Matrix, points: Sequence[Array]) -> list[Array]:
    """Return the linear predictors (n_columns, rows) of each of ``points`` (n_columns, d + 1), in scratch memory."""
    predictors = []
    for number, flat in enumerate(points):
        shape, slopes = (len(flat), tile.shape[0]), flat[:, :-1].T  # BLAS prefers the long side first
        if isinstance(tile, np.ndarray):
            linear = np.matmul(tile, slopes, out=scratch("product", shape[::-1], tile.dtype))
        else:
            linear = times(tile, slopes)
        predictors.append(np.add(linear.T, flat[:, -1:], out=scratch(f"predictor {number}", shape, tile.dtype)))
    return predictors


def add_gram(hess: Array, tile: Matrix, weight: Array, halves: bool) -> None:
    """Add Z' diag(weight) Z, where Z is ``tile`` with a last column of ones; by ``halves`` only above the diagonal."""
    if not halves:
        hess += gram_with_ones(tile, weight)
        return
    add_upper(tile, weight, hess)
    hess[:-1, -1] += transposed_times(tile, weight)
    hess[-1, -1] += weight.sum(dtype=np.float64)


def _complete(hess: Array, halves: bool) -> None:
    """Fill in what is symmetric: of Hessians (m, k, d + 1, k, d + 1) only pairs of outputs a >= b have been added."""
    for a in range(hess.shape[1]):
        for b in range(a + 1):
            if halves:
                mirror(hess[:, a, :, b, :])
            if a != b:
                hess[:, b, :, a, :] = hess[:, a, :, b, :].swapaxes(1, 2)


def gram_with_ones(tile: Matrix, weight: Array) -> Array:
    """Return the (d + 1, d + 1) matrix Z' diag(weight) Z where Z is ``tile`` with a last column of ones."""
    if weight.max(initial=0) <= 0 and weight.any():
        return -gram_with_ones(tile, -weight)
    d = tile.shape[1]
    gram = np.empty((d + 1, d + 1))
    if sp.issparse(tile):
        gram[:d, :d] = sandwich(tile, weight)
        edge = transposed_times(tile, weight)
    else:
        if weight.min(initial=0) >= 0:  # the symmetric product costs half of the general one
            root = tile * np.sqrt(weight)[:, None]
            gram[:d, :d] = root.T @ root
        else:
            gram[:d, :d] = (tile * weight[:, None]).T @ tile
        edge = weight @ tile
    gram[d, :d] = gram[:d, d] = edge
    gram[d, d] = weight.sum()
    return gram

"""View of rows whose columns are scaled, shifted or left out each by itself, so that codes stay codes."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import scipy.sparse as sp

from daskml_kit.data.coded import codes_of, expanded
from daskml_kit.numerics.arrow import Arrow
from daskml_kit.numerics.targets import float_type
from daskml_kit.reductions.gram import Scatter
from daskml_kit.reductions.loss import Eval, LossAt
from daskml_kit.reductions.summary import DataSummary
from daskml_kit.solvers.views import AffineView
from daskml_kit.typing import Array, Matrix


class ColumnsView(AffineView):
    """View of features ``x * factor + shift`` that are never computed; one with a factor of zero is left out.

    A range of one-hot columns, of which no row has two, stays one where none of them is scaled or shifted.

    Parameters
    ----------
    factor, shift : array of shape (d,)
    model : estimator
        A fitted transformer that computes the features.
    shared : dict, optional

    Examples
    --------
    >>> view = ColumnsView(np.array([1.0, 0.0, 2.0]), np.array([0.0, 0.0, -1.0]), None)
    >>> view.rows(np.array([[1.0, 7.0, 3.0]]))
    array([[1., 0., 5.]])
    """

    def __init__(self, factor: Array, shift: Array, model: Any, shared: dict[Hashable, Any] | None = None) -> None:
        d, moved = len(factor), np.flatnonzero(shift)
        places = np.arange(d + 1)
        where = np.append(places, np.full(len(moved), d)), np.append(places, moved)
        matrix = sp.csr_array((np.concatenate([factor, [1.0], shift[moved]]), where), shape=(d + 1, d + 1))
        super().__init__(matrix, model, (factor.tobytes(), shift.tobytes()), shared)
        self.factor, self.shift = factor, shift

    def reply(self, reduction: Any, answer: Any) -> Any:
        if not isinstance(reduction, LossAt) or reduction.exclusive is None:
            return super().reply(reduction, answer)
        span = reduction.exclusive
        return (
            [self._arrow_back(own, span) for own in answer]
            if isinstance(answer, list)
            else self._arrow_back(answer, span)
        )

    def scatter(self, answer: Scatter) -> Scatter:
        n_targets = len(answer.mean) - len(self.factor)
        factor, shift = np.append(self.factor, np.ones(n_targets)), np.append(self.shift, np.zeros(n_targets))
        return answer._replace(mean=answer.mean * factor + shift, product=answer.product * np.outer(factor, factor))

    def rows(self, X: Matrix) -> Matrix:
        if not sp.issparse(X):
            return np.asarray(X * self.factor + self.shift).astype(float_type(X), copy=False)
        own = codes_of(X)
        if own is None or not self._is_plain(own.spans):
            ones = np.ones((X.shape[0], 1))
            return sp.csr_array(sp.hstack([expanded(X), ones]) @ self.matrix[:, :-1])
        dense = own.dense * self.factor[own.columns] + self.shift[own.columns]
        codes, gone = own.codes, np.append(self.factor == 0, False)
        if gone.any():
            places = np.where(gone, own.n_columns, np.arange(own.n_columns + 1)).astype(codes.dtype)
            codes = places[np.minimum(codes, own.n_columns)]
        return own._replace(codes=codes, dense=dense.astype(own.dense.dtype, copy=False)).matrix()

    def span(self, answer: DataSummary) -> Array | None:
        return answer.exclusive if answer.exclusive is not None and self._is_plain(answer.exclusive[None]) else None

    def _is_plain(self, spans: Array) -> bool:
        """Return whether columns of these spans are left as they are, or left out."""
        return not any(
            self.shift[start:stop].any() or not np.isin(self.factor[start:stop], (0, 1)).all() for start, stop in spans
        )

    def _arrow_back(self, answer: Eval, span: tuple[int, int]) -> Eval:
        """Map a gradient and the parts of an `Arrow`, one behind the other."""
        grad, width = np.asarray(answer.grad @ self.matrix), len(answer.grad)
        if answer.hess is None:
            return Eval(answer.value, grad)
        whole, own = Arrow.unpacked(answer.hess, width, *span), self.factor[slice(*span)]
        outer = np.delete(np.arange(width - 1), slice(*span))
        factor, shift = np.append(self.factor[outer], 1.0), np.append(self.shift[outer], 0.0)
        moved = np.flatnonzero(shift)

        def seen(columns: Array) -> Array:
            found: Array = columns * factor
            found[:, moved] += np.outer(columns[:, -1], shift[moved])
            return found

        cross = seen(whole.cross)
        cross *= own[:, None]
        rest = seen(seen(whole.rest).T)
        return Eval(answer.value, grad, np.concatenate([whole.diagonal * own**2, cross.ravel(), rest.ravel()]))

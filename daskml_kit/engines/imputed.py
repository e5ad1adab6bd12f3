"""Questions about imputed features, answered from the features with stand-ins and indicators."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from daskml_kit.engines.engine import Engine
from daskml_kit.engines.profile import Profile
from daskml_kit.numerics.indicated import Gaps, indicate
from daskml_kit.queries.at import At, Eval
from daskml_kit.queries.gram import Gram, Scatter
from daskml_kit.queries.moments import Moments, Spread
from daskml_kit.queries.query import Query
from daskml_kit.queries.survey import Overview, Survey
from daskml_kit.typing import Array, Matrix


class Filling(NamedTuple):
    """What an imputer gives for each of d columns, NaN where it drops the column, and of which it adds indicators."""

    values: Array
    indicated: Array

    @property
    def kept(self) -> Array:
        return np.flatnonzero(~np.isnan(self.values))

    @property
    def width(self) -> int:
        """The number of imputed features."""
        return len(self.kept) + len(self.indicated)


class ImputedEngine(AbstractContextManager["ImputedEngine"]):
    r"""An engine over imputed features that never computes them.

    With f filled in where b stands in, a linear predictor of the imputed features is one of `Indicated` features:
    :math:`w^\top (x_0 + m (f - b)) = w^\top x_0 + (w (f - b))^\top m`. Points are mapped by this matrix, slopes and
    Hessians back by its transpose.

    Parameters
    ----------
    engine : Engine
        Answers `Moments` and `Survey` of the features as they are, and other questions of features with indicators.
    gaps : Gaps
    filling : Filling
    """

    def __init__(self, engine: Engine, gaps: Gaps, filling: Filling) -> None:
        self.engine, self.filling = engine, filling
        self.n_blocks = engine.n_blocks
        self.known: dict[Any, Any] | None = getattr(engine, "known", None)
        self.shared: dict[Any, Any] = getattr(engine, "shared", {})
        self._map = unfilling(gaps, filling)

    @property
    def profile(self) -> Profile:
        return self.engine.profile

    def answer(self, query: Query) -> list[Any]:
        """Answer losses at points, the Gram matrix, moments of rows that count alike, and the survey.

        Raises
        ------
        TypeError
            For any other question.
        """
        if isinstance(query, At):
            mapped = replace(query, coef=mapped_coefficients(self._map, query.coef))
            return [self._back(answer, query.coef.shape[1]) for answer in self.engine.answer(mapped)]
        if isinstance(query, Gram):
            return [self._scatter(answer) for answer in self.engine.answer(query)]
        if isinstance(query, Moments):
            return [imputed_spread(answer, self.filling) for answer in self.engine.answer(query)]
        if isinstance(query, Survey):
            return [self._shared_overview(a) for a in self.engine.answer(replace(query, missing=True))]
        raise TypeError(f"{type(query).__name__} is not asked of imputed features")

    def relabel(self, change: Callable[[Any], Any]) -> None:
        self.engine.relabel(change)

    def __exit__(self, *details: object) -> None:
        return None

    def _back(self, answer: Eval, n_outputs: int) -> Eval:
        grad = (answer.grad.reshape(n_outputs, -1) @ self._map).ravel()
        if answer.hess is None:
            return Eval(answer.value, grad)
        whole = sp.csr_array(sp.kron(sp.eye_array(n_outputs), self._map))
        return Eval(answer.value, grad, whole.T @ answer.hess @ whole)

    def _scatter(self, answer: Scatter) -> Scatter:
        n_targets = len(answer.mean) - self._map.shape[0] + 1
        whole = sp.block_diag([self._map[:-1, :-1], sp.eye_array(n_targets)], format="csr")
        return answer._replace(mean=whole.T @ answer.mean, product=whole.T @ answer.product @ whole)

    def _shared_overview(self, answer: Overview) -> Overview:
        """Impute the sample once for all fits on these rows."""
        key = ("imputed", id(answer), self.filling.values.tobytes(), self.filling.indicated.tobytes())
        if key not in self.shared:
            found = answer._replace(sample_X=imputed_rows(answer.sample_X, self.filling))
            self.shared[key] = answer, found  # the answer is kept, so that no other has its id
        overview: Overview = self.shared[key][1]
        return overview


def unfilling(gaps: Gaps, filling: Filling) -> Any:
    """Return the matrix that maps coefficients of imputed features to those of features with indicators.

    It is CSR; the last row and column are of the intercept.

    Examples
    --------
    >>> gaps = Gaps(np.array([1]), np.array([2.0]))
    >>> unfilling(gaps, Filling(np.array([0.0, 2.5]), np.array([], int))) @ [3.0, 4.0, 7.0]
    array([3., 4., 2., 7.])
    """
    d, kept = len(filling.values), filling.kept
    n_kept, p = len(kept), filling.width
    filled = np.flatnonzero(np.isin(kept, gaps.columns))
    place = np.searchsorted(gaps.columns, kept[filled])
    apart = filling.values[kept[filled]] - gaps.base[place]
    added = d + np.searchsorted(gaps.columns, filling.indicated)
    last = d + len(gaps.columns)
    rows = np.concatenate([kept, d + place, added, [last]])
    columns = np.concatenate([np.arange(n_kept), filled, np.arange(n_kept, p + 1)])
    values = np.concatenate([np.ones(n_kept), apart, np.ones(p + 1 - n_kept)])
    return sp.csr_array((values, (rows, columns)), shape=(last + 1, p + 1))


def mapped_coefficients(matrix: Any, coef: Array) -> Array:
    """Return the coefficients, the last axis of ``coef``, mapped by a sparse matrix."""
    return np.asarray(coef.reshape(-1, coef.shape[-1]) @ matrix.T).reshape(*coef.shape[:-1], matrix.shape[0])


def imputed_rows(X: Matrix, filling: Filling) -> Matrix:
    """Return rows imputed.

    Examples
    --------
    >>> imputed_rows(np.array([[4.0, 1.0], [np.nan, 2.0]]), Filling(np.array([6.0, np.nan]), np.array([0])))
    array([[4., 0.],
           [6., 1.]])
    """
    d = X.shape[1]
    whole = indicate(X, Gaps(np.arange(d), np.nan_to_num(filling.values)))[:]
    chosen: Matrix = whole[:, np.concatenate([filling.kept, d + filling.indicated])]
    return chosen


def imputed_spread(spread: Spread, filling: Filling) -> Spread:
    """Return what the moments are after imputation, each row counted once.

    Examples
    --------
    >>> from daskml_kit.block import Block
    >>> spread = Moments().chunk(Block(np.array([[4.0], [np.nan]])))
    >>> imputed_spread(spread, Filling(np.array([6.0]), np.array([0]))).mean
    array([5. , 0.5])
    """
    kept, indicated, n_rows = filling.kept, filling.indicated, spread.n_rows
    gone = n_rows - spread.count
    share, both = gone / max(n_rows, 1), spread.count * gone / max(n_rows, 1)
    apart = filling.values[kept] - spread.mean[kept]
    mean = np.concatenate([spread.mean[kept] + apart * share[kept], share[indicated]])
    squares = np.concatenate([spread.squares[kept] + both[kept] * apart**2, both[indicated]])
    every = np.full(len(mean), float(n_rows))
    return Spread(n_rows, every, every, mean, squares)

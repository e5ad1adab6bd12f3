"""Reductions about imputed features, answered from the features with stand-ins and indicators."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from daskml_kit.engines.engine import Engine
from daskml_kit.engines.mapped import MappedEngine
from daskml_kit.numerics.missing import Gaps, indicate
from daskml_kit.reductions.gram import Scatter
from daskml_kit.reductions.moments import Moments, Spread
from daskml_kit.reductions.reduction import Reduction
from daskml_kit.reductions.summary import Summary
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


class ImputedEngine(MappedEngine):
    r"""An engine over imputed features that never computes them.

    With f filled in where b stands in, a linear predictor of the imputed features is one of `Indicated` features:
    :math:`w^\top (x_0 + m (f - b)) = w^\top x_0 + (w (f - b))^\top m`.

    Parameters
    ----------
    engine : Engine
        Answers `Moments` and `Summary` of the features as they are, and other reductions of features with indicators.
    gaps : Gaps
    filling : Filling
    """

    kind = "imputed"

    def __init__(self, engine: Engine, gaps: Gaps, filling: Filling) -> None:
        name = (filling.values.tobytes(), filling.indicated.tobytes())
        super().__init__(engine, unfilling(gaps, filling), name)
        self.filling = filling

    def answer(self, reduction: Reduction) -> list[Any]:
        """Answer losses at points, the Gram matrix, moments of rows that count alike, and the survey."""
        if isinstance(reduction, Moments):
            return [imputed_spread(answer, self.filling) for answer in self.engine.answer(reduction)]
        return super().answer(replace(reduction, missing=True) if isinstance(reduction, Summary) else reduction)

    def _scatter(self, answer: Scatter) -> Scatter:
        n_targets = len(answer.mean) - self._map.shape[0] + 1
        whole = sp.block_diag([self._map[:-1, :-1], sp.eye_array(n_targets)], format="csr")
        return answer._replace(mean=whole.T @ answer.mean, product=whole.T @ answer.product @ whole)

    def _rows(self, X: Matrix) -> Matrix:
        return imputed_rows(X, self.filling)


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
    >>> from daskml_kit.data.block import Block
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

"""Views of the rows under a fit: standardized, imputed, mapped or transformed features, without a copy of X."""

from __future__ import annotations

import hashlib
import pickle
import uuid
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from daskml_kit.numerics.missing import Gaps, indicate
from daskml_kit.numerics.targets import float_type
from daskml_kit.reductions.frames import Select, Through
from daskml_kit.reductions.gram import Gram, Scatter
from daskml_kit.reductions.loss import Eval, LossAt
from daskml_kit.reductions.moments import Moments, Spread
from daskml_kit.reductions.summary import DataSummary, Summary
from daskml_kit.solvers.types import Fit
from daskml_kit.typing import Array, Matrix


class View:
    """Base of views: changes what a fit asks for, and the answers back.

    Parameters
    ----------
    ask : callable
        Makes of a reduction over the rows as a fit sees them one over the rows as they are.
    shows : str, default ""
        Name of the rows that it shows: views of the same name show the same.
    """

    def __init__(self, ask: Callable[[Any], Any], shows: str = "") -> None:
        self._ask, self.shows = ask, shows or uuid.uuid4().hex

    def ask(self, reduction: Any) -> Any:
        """Return the reduction over the rows as they are."""
        return self._ask(reduction)

    def reply(self, reduction: Any, answer: Any) -> Any:
        """Return the answer that the fit expects."""
        return answer


def seen(view: View, fit: Fit) -> Fit:
    """Run ``fit`` on the rows that ``view`` shows."""
    reply = None
    while True:
        try:
            asked = fit.send(reply)
        except StopIteration as stop:
            return stop.value
        parts = asked if isinstance(asked, tuple) else (asked,)
        answers = yield tuple(view.ask(part) for part in parts)
        replies = tuple(view.reply(part, answer) for part, answer in zip(parts, answers, strict=True))
        reply = replies if isinstance(asked, tuple) else replies[0]


def of_columns(positions: Sequence[int] | int) -> View:
    """Return the view of some columns, by their positions; a single one gives one dimension."""
    return View(partial(Select, positions=positions))


def through(model: Any, shows: str = "") -> View:
    """Return the view of rows as ``model.transform`` gives them; where it has a name, that of equal models."""
    shows = shows or uuid.uuid4().hex
    return View(partial(Through, model=model, name=shows), shows)


def name_of(model: Any) -> str:
    """Return a name that fitted models which are equal have in common.

    Examples
    --------
    >>> from sklearn.preprocessing import Normalizer
    >>> name_of(Normalizer()) == name_of(Normalizer())
    True
    """
    try:
        return hashlib.blake2b(pickle.dumps(model), digest_size=16).hexdigest()
    except (pickle.PicklingError, AttributeError, TypeError):  # such as of functions in functions
        return uuid.uuid4().hex


class AffineView(View):
    r"""View of features :math:`A^\top x + c` that are never computed.

    A linear predictor of the mapped features is one of the features: points are mapped by the matrix of the
    coefficients, gradients and Hessians back by its transpose. Reductions that know nothing of linear predictors are
    computed through ``model``.

    Parameters
    ----------
    matrix : matrix of shape (p + 1, q + 1)
        Maps coefficients of the q mapped features, the intercept last, to those of the p features.
    model : estimator
        A fitted scikit-learn transformer that computes the mapped features.
    name : hashable
        Tells views of a kind apart: what is made of a sample of rows is kept by it.
    shared : dict, optional
        Values that fits on the same rows have in common.
    """

    def __init__(
        self, matrix: Any, model: Any, name: Hashable = None, shared: dict[Hashable, Any] | None = None
    ) -> None:
        shows = uuid.uuid4().hex
        super().__init__(partial(Through, model=model, name=shows), shows)
        self.matrix, self.name = matrix, name
        self._shared = {} if shared is None else shared

    @property
    def width(self) -> int:
        """The number of mapped features."""
        return int(self.matrix.shape[1]) - 1

    def ask(self, reduction: Any) -> Any:
        if isinstance(reduction, LossAt):
            along = None if reduction.along is None else mapped_coefficients(self.matrix, reduction.along)
            return replace(reduction, coef=mapped_coefficients(self.matrix, reduction.coef), along=along)
        return reduction if isinstance(reduction, (Gram, Summary)) else super().ask(reduction)

    def reply(self, reduction: Any, answer: Any) -> Any:
        if isinstance(reduction, LossAt):
            n_outputs = reduction.coef.shape[1]
            if isinstance(answer, list):
                return [self._back(own, n_outputs) for own in answer]
            return self._back(answer, n_outputs)
        if isinstance(reduction, Gram):
            return self.scatter(answer)
        return self._shared_summary(answer) if isinstance(reduction, Summary) else answer

    def scatter(self, answer: Scatter) -> Scatter:
        """Return the scatter of the mapped features and the targets."""
        inner, shift = self.matrix[:-1, :-1], np.asarray(self.matrix[-1, :-1]).ravel()
        n_targets = len(answer.mean) - inner.shape[0]
        whole = np.zeros((len(answer.mean), inner.shape[1] + n_targets))
        whole[: inner.shape[0], : inner.shape[1]] = inner
        whole[inner.shape[0] :, inner.shape[1] :] = np.eye(n_targets)
        mean = whole.T @ answer.mean + np.append(shift, np.zeros(n_targets))
        return answer._replace(mean=mean, product=whole.T @ answer.product @ whole)

    def rows(self, X: Matrix) -> Matrix:
        """Return rows mapped."""
        return np.asarray(X @ self.matrix[:-1, :-1] + self.matrix[-1, :-1]).astype(float_type(X), copy=False)

    def span(self, answer: DataSummary) -> Array | None:
        """Return mapped features of which no row has two."""
        return None

    def _back(self, answer: Eval, n_outputs: int) -> Eval:
        grad = np.asarray(answer.grad.reshape(n_outputs, -1) @ self.matrix).ravel()
        if answer.hess is None:
            return Eval(answer.value, grad)
        whole = sp.csr_array(sp.kron(sp.eye_array(n_outputs), self.matrix))
        return Eval(answer.value, grad, whole.T @ answer.hess @ whole)

    def _shared_summary(self, answer: DataSummary) -> DataSummary:
        """Map the sample once for all fits on these rows."""
        key = (type(self).__name__, self.name, id(answer))
        if self.name is None or key not in self._shared:
            found = answer._replace(sample_X=self.rows(answer.sample_X), used=None, exclusive=self.span(answer))
            if self.name is None:
                return found
            self._shared[key] = answer, found  # the answer is kept, so that no other has its id
        summary: DataSummary = self._shared[key][1]
        return summary


def projected(maps: Array, offset: Array | float, model: Any, shared: dict[Hashable, Any]) -> AffineView:
    """Return the view of the rows times ``maps``, of shape (n_features, n_components), and plus ``offset``."""
    d, k = maps.shape
    matrix = np.zeros((d + 1, k + 1))
    matrix[:d, :k], matrix[d, :k], matrix[d, k] = maps, offset, 1.0
    return AffineView(matrix, model, matrix.tobytes(), shared)


class StandardizedView(AffineView):
    r"""View of features :math:`(x - \mu) / \sigma` that are never computed.

    A linear predictor of the standardized features is one of the features:
    :math:`v^\top (x - \mu) / \sigma + c = w^\top x + b` with :math:`w = v / \sigma` and
    :math:`b = c - v^\top (\mu / \sigma)`.

    Parameters
    ----------
    mean, scale : array of shape (d,)
    model : estimator
        scikit-learn's fitted scaler.
    shared : dict, optional
    """

    def __init__(self, mean: Array, scale: Array, model: Any, shared: dict[Hashable, Any] | None = None) -> None:
        super().__init__(unscaling(mean, scale), model, (mean.tobytes(), scale.tobytes()), shared)
        self.mean, self.scale = mean, scale

    def scatter(self, answer: Scatter) -> Scatter:
        others = np.zeros(len(answer.mean) - len(self.mean))
        by = np.concatenate([1 / self.scale, others + 1])
        mean = (answer.mean - np.concatenate([self.mean, others])) * by
        return answer._replace(mean=mean, product=answer.product * np.outer(by, by))

    def rows(self, X: Matrix) -> Matrix:
        if not sp.issparse(X):
            return ((X - self.mean) / self.scale).astype(float_type(X), copy=False)
        if self.mean.any():
            raise ValueError("Cannot center sparse matrices: pass `with_mean=False` instead")
        return sp.csr_array(X.multiply(1 / self.scale))


class ChosenView(AffineView):
    """View of some of the features.

    Parameters
    ----------
    positions : int array
    n_features : int
        Of which they are chosen.
    model : estimator
        scikit-learn's fitted selector.
    """

    def __init__(self, positions: Array, n_features: int, model: Any) -> None:
        chosen = np.append(positions, n_features)  # the intercept comes last
        places = (chosen, np.arange(len(chosen)))
        matrix = sp.csr_array((np.ones(len(chosen)), places), shape=(n_features + 1, len(chosen)))
        super().__init__(matrix, model)
        self.positions = positions

    def scatter(self, answer: Scatter) -> Scatter:
        kept = np.concatenate([self.positions, np.arange(self.matrix.shape[0] - 1, len(answer.mean))])
        return answer._replace(mean=answer.mean[kept], product=answer.product[np.ix_(kept, kept)])

    def rows(self, X: Matrix) -> Matrix:
        chosen: Matrix = X[:, self.positions]
        return chosen


class Filling(NamedTuple):
    """Values that an imputer fills into each of d columns, NaN where it drops one, and the columns with indicators."""

    values: Array
    indicated: Array

    @property
    def kept(self) -> Array:
        return np.flatnonzero(~np.isnan(self.values))

    @property
    def width(self) -> int:
        """The number of imputed features."""
        return len(self.kept) + len(self.indicated)


class ImputedView(AffineView):
    r"""View of imputed features that are never computed.

    With f filled in where b stands in, a linear predictor of the imputed features is one of the features with
    indicators m (`daskml_kit.numerics.missing.Indicated`), which the driver's reductions are over:
    :math:`w^\top (x_0 + m (f - b)) = w^\top x_0 + (w (f - b))^\top m`.

    Parameters
    ----------
    gaps : Gaps
    filling : Filling
    model : estimator
        scikit-learn's fitted imputer.
    shared : dict, optional
    """

    def __init__(self, gaps: Gaps, filling: Filling, model: Any, shared: dict[Hashable, Any] | None = None) -> None:
        name = (filling.values.tobytes(), filling.indicated.tobytes())
        super().__init__(unfilling(gaps, filling), model, name, shared)
        self.filling = filling

    def ask(self, reduction: Any) -> Any:
        if isinstance(reduction, Moments):
            return reduction
        return super().ask(replace(reduction, missing=True) if isinstance(reduction, Summary) else reduction)

    def reply(self, reduction: Any, answer: Any) -> Any:
        if isinstance(reduction, Moments):
            return imputed_spread(answer, self.filling)
        return super().reply(reduction, answer)

    def scatter(self, answer: Scatter) -> Scatter:
        n_targets = len(answer.mean) - self.matrix.shape[0] + 1
        whole = sp.block_diag([self.matrix[:-1, :-1], sp.eye_array(n_targets)], format="csr")
        return answer._replace(mean=whole.T @ answer.mean, product=whole.T @ answer.product @ whole)

    def rows(self, X: Matrix) -> Matrix:
        return imputed_rows(X, self.filling)


def mapped_coefficients(matrix: Any, coef: Array) -> Array:
    """Return the coefficients, the last axis of ``coef``, mapped by a matrix."""
    return np.asarray(coef.reshape(-1, coef.shape[-1]) @ matrix.T).reshape(*coef.shape[:-1], matrix.shape[0])


def unscaling(mean: Array, scale: Array) -> Any:
    """Return the (d + 1, d + 1) CSR matrix that maps coefficients of standardized features to those of the features.

    Examples
    --------
    >>> unscaling(np.array([3.0]), np.array([2.0])) @ [4.0, 1.0]
    array([ 2., -5.])
    """
    d = len(mean)
    places = np.arange(d)
    rows, columns = np.concatenate([places, np.full(d, d), [d]]), np.concatenate([places, places, [d]])
    values = np.concatenate([1 / scale, -mean / scale, [1.0]])
    return sp.csr_array((values, (rows, columns)), shape=(d + 1, d + 1))


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

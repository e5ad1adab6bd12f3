"""The elastic net, by coordinate descent on the Gram matrix."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple, Self

import numpy as np
import scipy.sparse as sp
import sklearn.linear_model
from sklearn.exceptions import ConvergenceWarning

from daskml_kit.engines.open import open_engine
from daskml_kit.linear_model import least_squares
from daskml_kit.linear_model.base import check_choice, check_number, check_share, output_count
from daskml_kit.linear_model.least_squares import LeastSquares, Normal, normal_equations
from daskml_kit.numerics.penalties import duality_gap, minimize_quadratic
from daskml_kit.typing import Array
from daskml_kit.validation import check_fit


class Descended(NamedTuple):
    """One output's coefficients, sweeps, duality gap, and whether the gap is small enough."""

    coef: Array
    sweeps: int
    gap: float
    converged: bool


class ElasticNet(LeastSquares):
    r"""Linear regression with an l1 and an l2 penalty.

    .. math:: \min \frac{1}{2 \sum_i s_i} \sum_i s_i (y_i - x_i^\top w - b)^2
        + \alpha \rho \|w\|_1 + \tfrac12 \alpha (1 - \rho) \|w\|_2^2

    One pass gathers the Gram matrix; coordinate descent on it costs no pass (Friedman, Hastie & Tibshirani 2010).

    Parameters
    ----------
    alpha : float, default 1.0
    l1_ratio : float, default 0.5
        :math:`\rho` above, from 0 to 1.
    fit_intercept : bool, default True
    precompute : bool, default False
        The Gram matrix is made in any case, up to 4000 features; an array is not supported.
    max_iter : int, default 1000
        Sweeps.
    copy_X : bool, default True
        X is never written to, whatever this says.
    tol : float, default 1e-4
        It has converged when the duality gap is at most ``tol`` times the squared norm of the centered target.
    warm_start : bool, default False
    positive : bool, default False
        Keep the coefficients at or above zero.
    random_state : int, optional
        Seed of the random order.
    selection : {"cyclic", "random"}, default "cyclic"

    Attributes
    ----------
    coef_ : array of shape (n_features,) or (n_outputs, n_features)
    intercept_ : float or array of shape (n_outputs,)
    n_iter_ : int or list of int
    dual_gap_ : float or array of shape (n_outputs,)
    profile_ : daskml_kit.engines.profile.Profile

    Examples
    --------
    >>> import dask.array as da
    >>> X = da.from_array([[0.0, 1.0], [1.0, 1.0], [2.0, 0.0]], chunks=(1, 2))
    >>> ElasticNet(alpha=0.1).fit(X, 3 * X[:, 0]).coef_.round(4)
    array([ 2.5502, -0.3671])
    """

    def __init__(
        self,
        alpha: float = 1.0,
        *,
        l1_ratio: float = 0.5,
        fit_intercept: bool = True,
        precompute: bool = False,
        max_iter: int = 1000,
        copy_X: bool = True,
        tol: float = 1e-4,
        warm_start: bool = False,
        positive: bool = False,
        random_state: int | None = None,
        selection: str = "cyclic",
    ) -> None:
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.fit_intercept = fit_intercept
        self.precompute = precompute
        self.max_iter = max_iter
        self.copy_X = copy_X
        self.tol = tol
        self.warm_start = warm_start
        self.positive = positive
        self.random_state = random_state
        self.selection = selection

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit the model to X of shape (n_samples, n_features) and y of shape (n_samples,) or (n_samples, n_outputs)."""
        self._check_parameters()
        with self._fitting():
            inputs = check_fit(self, X, y, sample_weight, multi_output=True)
            n_outputs, d = output_count(inputs.y), self.n_features_in_
            t = n_outputs or 1
            l1, l2 = self.alpha * self.l1_ratio, self.alpha * (1 - self.l1_ratio)
            with open_engine(*inputs) as engine:
                if d > least_squares.GRAM_FEATURES:
                    if self.positive:
                        raise ValueError(
                            f"positive=True is not supported beyond {least_squares.GRAM_FEATURES} features"
                        )
                    summary = self._survey(engine, labeled=False)
                    coef, intercept, n_iter = self._iterate(engine, summary, np.full(t, l1), np.full(t, l2))
                    sweeps, gaps = [n_iter] * t, np.full(t, np.nan)
                else:
                    normal = normal_equations(self._gather(engine), d, self.fit_intercept)
                    fits = [self._descend(normal, output, l1, l2) for output in range(t)]
                    coef, sweeps = np.array([fit.coef for fit in fits]), [fit.sweeps for fit in fits]
                    intercept, gaps = normal.intercept(coef), np.array([fit.gap for fit in fits])
                    self._warn(fits)
            self._keep(coef, intercept, n_outputs, X)
            self.n_iter_ = sweeps[0] if t == 1 else sweeps
            self.dual_gap_ = gaps[0] if t == 1 else gaps
            self.profile_ = engine.profile
        return self

    @property
    def sparse_coef_(self) -> Any:
        """`coef_` as a sparse matrix of shape (n_outputs, n_features)."""
        return sp.csr_matrix(np.atleast_2d(self.coef_))

    def to_sklearn(self) -> Any:
        """Return the fitted scikit-learn estimator of the same name."""
        twin = getattr(sklearn.linear_model, type(self).__name__)(**self.get_params())
        return self._hand_over(twin, "coef_", "intercept_", "n_iter_", "dual_gap_")

    def _descend(self, normal: Normal, output: int, l1: float, l2: float) -> Descended:
        d = len(normal.XX)
        hess, linear = normal.XX / normal.weight + l2 * np.eye(d), normal.Xy[:, output] / normal.weight
        size = float(normal.yy[output]) / normal.weight
        u = np.zeros(d)
        if self.warm_start and np.shape(getattr(self, "coef_", 0.0)) in ((d,), (len(normal.yy), d)):
            u = np.atleast_2d(self.coef_)[output].astype(np.float64)
        shuffle = np.random.default_rng(self.random_state) if self.selection == "random" else None
        change, sweeps, gap = 1e-3 * float(np.abs(linear).max(initial=0)), 0, np.inf
        while sweeps < self.max_iter:
            fit = minimize_quadratic(
                hess,
                linear,
                np.full(d, l1),
                u,
                tol=change,
                max_sweeps=self.max_iter - sweeps,
                positive=self.positive,
                shuffle=shuffle,
            )
            u, sweeps = fit.u, sweeps + fit.sweeps
            gap = duality_gap(u, hess, linear, size, l1, l2, self.positive)
            if gap <= self.tol * size or (fit.settled and change <= 1e-15 * float(np.abs(linear).max(initial=0))):
                return Descended(u, sweeps, gap, True)
            change *= 0.01
        return Descended(u, sweeps, gap, False)

    def _warn(self, fits: list[Descended]) -> None:
        if not all(fit.converged for fit in fits):
            worst = max(fit.gap for fit in fits)
            warnings.warn(
                f"{type(self).__name__} did not converge in {self.max_iter} sweeps: duality gap {worst:.3e}; increase "
                "max_iter or alpha, or scale the features",
                ConvergenceWarning,
                stacklevel=3,
            )

    def _check_parameters(self) -> None:
        check_number("alpha", self.alpha, low=0)
        check_share("l1_ratio", self.l1_ratio)
        check_number("tol", self.tol, low=0)
        check_number("max_iter", self.max_iter, low=1, integer=True)
        check_choice("selection", self.selection, ("cyclic", "random"))
        if not isinstance(self.precompute, (bool, np.bool_)):
            raise ValueError("precompute: expected True or False; a Gram matrix from outside is not supported")


class Lasso(ElasticNet):
    """Linear regression with an l1 penalty: `ElasticNet` with ``l1_ratio=1``, and its parameters but that.

    Examples
    --------
    >>> import dask.array as da
    >>> X = da.from_array([[0.0, 1.0], [1.0, 1.0], [2.0, 0.0]], chunks=(1, 2))
    >>> Lasso(alpha=0.1).fit(X, 3 * X[:, 0]).coef_.round(4)
    array([2.85, 0.  ])
    """

    l1_ratio = 1.0

    def __init__(
        self,
        alpha: float = 1.0,
        *,
        fit_intercept: bool = True,
        precompute: bool = False,
        copy_X: bool = True,
        max_iter: int = 1000,
        tol: float = 1e-4,
        warm_start: bool = False,
        positive: bool = False,
        random_state: int | None = None,
        selection: str = "cyclic",
    ) -> None:
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.precompute = precompute
        self.copy_X = copy_X
        self.max_iter = max_iter
        self.tol = tol
        self.warm_start = warm_start
        self.positive = positive
        self.random_state = random_state
        self.selection = selection

"""The elastic net, by coordinate descent on the Gram matrix."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
import sklearn.linear_model
from sklearn.exceptions import ConvergenceWarning

from daskml_kit.arguments import check_choice, check_number, check_share
from daskml_kit.documentation import with_inherited_docs
from daskml_kit.linear_model import least_squares
from daskml_kit.linear_model.least_squares import LeastSquares, Normal, normal_equations
from daskml_kit.numerics.penalties import duality_gap, minimize_quadratic
from daskml_kit.reductions.gram import Gram
from daskml_kit.solvers.types import DataSpec, Fit
from daskml_kit.typing import Array
from daskml_kit.validation import seed_of


class Descended(NamedTuple):
    """One output's coefficients, sweeps, duality gap, and whether the gap is small enough."""

    coef: Array
    sweeps: int
    gap: float
    converged: bool


class ElasticNet(LeastSquares, sklearn.linear_model.ElasticNet):  # type: ignore[misc]
    r"""Linear regression with an l1 and an l2 penalty.

    .. math:: \min \frac{1}{2 \sum_i s_i} \sum_i s_i (y_i - x_i^\top w - b)^2
        + \alpha \rho \|w\|_1 + \tfrac12 \alpha (1 - \rho) \|w\|_2^2

    One pass gathers the Gram matrix; coordinate descent on it costs no pass (Friedman, Hastie & Tibshirani 2010).

    Parameters
    ----------
    alpha : float, default 1.0
        Strength of the penalty; the intercept is not penalized.
    l1_ratio : float, default 0.5
        :math:`\rho` above, from 0 to 1.
    fit_intercept : bool, default True
    precompute : bool or array, default False
        The Gram matrix is made in any case, in one pass, up to 4000 features; one that is given is not used.
    max_iter : int, default 1000
        Sweeps.
    copy_X : bool, default True
        X is never written to, whatever this says.
    tol : float, default 1e-4
        It has converged when the duality gap is at most ``tol`` times the squared norm of the centered target.
    warm_start : bool, default False
    positive : bool, default False
        Keep the coefficients at or above zero.
    random_state : int, RandomState, Generator or None, optional
        Seed of the random order.
    selection : {"cyclic", "random"}, default "cyclic"
        Order of the coordinates in a sweep.

    Attributes
    ----------
    coef_ : array of shape (n_features,) or (n_outputs, n_features)
    intercept_ : float or array of shape (n_outputs,)
    n_iter_ : int or list of int
        Sweeps, for each output.
    dual_gap_ : float or array of shape (n_outputs,)
    profile_ : daskml_kit.engines.engine.Profile
        Passes, seconds and solver of the last fit.

    See Also
    --------
    Lasso : The l1 penalty alone.
    Ridge : The l2 penalty alone, its alpha not multiplied by the number of rows.

    References
    ----------
    Friedman, Hastie and Tibshirani, "Regularization paths for generalized linear models via coordinate descent", 2010.

    Examples
    --------
    >>> import dask.array as da
    >>> X = da.from_array([[0.0, 1.0], [1.0, 1.0], [2.0, 0.0]], chunks=(1, 2))
    >>> ElasticNet(alpha=0.1).fit(X, 3 * X[:, 0]).coef_.round(4)
    array([ 2.5502, -0.3671])
    """

    def _fit_steps(self, spec: DataSpec) -> Fit:
        t = spec.n_outputs or 1
        l1, l2 = self.alpha * self.l1_ratio, self.alpha * (1 - self.l1_ratio)
        if spec.n_features > least_squares.GRAM_FEATURES:
            if self.positive:
                raise ValueError(f"positive=True is not supported beyond {least_squares.GRAM_FEATURES} features")
            summary = yield from self._summarize(spec)
            coef, intercept, n_iter = yield from self._iterate(spec, summary, np.full(t, l1), np.full(t, l2))
            sweeps, gaps = [n_iter] * t, np.full(t, np.nan)
        else:
            scatter = yield from self._gather(Gram(), spec)
            scatter.require_finite()
            normal = normal_equations(scatter, spec.n_features, self.fit_intercept)
            fits = [self._descend(normal, output, l1, l2) for output in range(t)]
            coef, sweeps = np.array([fit.coef for fit in fits]), [fit.sweeps for fit in fits]
            intercept, gaps = normal.intercept(coef), np.array([fit.gap for fit in fits])
            self._warn(fits)
        return {
            **self._shaped(coef, intercept, spec),
            "n_iter_": sweeps[0] if t == 1 else sweeps,
            "dual_gap_": gaps[0] if t == 1 else gaps,
        }

    def _descend(self, normal: Normal, output: int, l1: float, l2: float) -> Descended:
        d = len(normal.XX)
        hess, linear = normal.XX / normal.weight + l2 * np.eye(d), normal.Xy[:, output] / normal.weight
        size = float(normal.yy[output]) / normal.weight
        u = np.zeros(d)
        if self.warm_start and np.shape(getattr(self, "coef_", 0.0)) in ((d,), (len(normal.yy), d)):
            u = np.atleast_2d(self.coef_)[output].astype(np.float64)
        seed = None if self.random_state is None else seed_of(self.random_state)
        shuffle = np.random.default_rng(seed) if self.selection == "random" else None
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
        if not isinstance(self.precompute, (bool, np.bool_)) and np.ndim(self.precompute) != 2:
            raise ValueError(f"precompute: expected True, False or a Gram matrix, got {self.precompute!r}")
        check_choice("selection", self.selection, ("cyclic", "random"))


@with_inherited_docs
class Lasso(ElasticNet, sklearn.linear_model.Lasso):  # type: ignore[misc]
    """Linear regression with an l1 penalty: `ElasticNet` with ``l1_ratio=1``.

    Parameters
    ----------
    warm_start : bool, default False
        Start from the last fit's coefficients.

    See Also
    --------
    ElasticNet : A mixture of both penalties.

    References
    ----------
    Tibshirani, "Regression shrinkage and selection via the lasso", 1996.

    Examples
    --------
    >>> import dask.array as da
    >>> X = da.from_array([[0.0, 1.0], [1.0, 1.0], [2.0, 0.0]], chunks=(1, 2))
    >>> Lasso(alpha=0.1).fit(X, 3 * X[:, 0]).coef_.round(4)
    array([2.85, 0.  ])
    """

    __init__ = sklearn.linear_model.Lasso.__init__

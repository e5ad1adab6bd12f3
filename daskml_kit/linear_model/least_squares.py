"""What the models that the Gram matrix decides have in common."""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import numpy as np
import sklearn.linear_model
from sklearn.base import MultiOutputMixin

from daskml_kit.engines.engine import Engine
from daskml_kit.engines.open import open_engine
from daskml_kit.linear_model.base import (
    LinearRegressor,
    as_fitted,
    check_choice,
    check_number,
    free_coefficients,
    is_single,
    output_count,
    spread_penalty,
)
from daskml_kit.numerics.linalg import solve_nonnegative, solve_positive
from daskml_kit.numerics.losses import Squared
from daskml_kit.numerics.targets import Numbers
from daskml_kit.reductions.gram import Gram, Scatter, Triangle
from daskml_kit.reductions.summary import DataSummary
from daskml_kit.solvers.objective import Problem
from daskml_kit.typing import Array
from daskml_kit.validation import check_fit

GRAM_FEATURES = 4000
"""Up to this many features the Gram matrix (here 128 MB a thread) is made; beyond, the fit is iterative."""
ITERATIONS = 10_000
"""The limit of an iterative fit whose ``max_iter`` is not given."""


class Normal(NamedTuple):
    """The normal equations: the moments that decide a least-squares fit, the intercept already taken out."""

    weight: float
    XX: Array
    Xy: Array
    yy: Array
    X_mean: Array
    y_mean: Array

    def intercept(self, coef: Array) -> Array:
        """Return the intercept of each output, for ``coef`` of shape (n_outputs, n_features)."""
        return np.asarray(self.y_mean - coef @ self.X_mean)


class Iterated(NamedTuple):
    """An iterative fit: coefficients (n_outputs, n_features), intercepts (n_outputs,), and iterations."""

    coef: Array
    intercept: Array
    n_iter: int


def normal_equations(scatter: Scatter, n_features: int, fit_intercept: bool) -> Normal:
    """Cut the scatter of [X, y] into the parts of the normal equations."""
    d = n_features
    product = scatter.product if fit_intercept else scatter.about_zero()
    mean = scatter.mean if fit_intercept else np.zeros_like(scatter.mean)
    return Normal(scatter.weight, product[:d, :d], product[:d, d:], np.diag(product)[d:], mean[:d], mean[d:])


class LeastSquares(MultiOutputMixin, LinearRegressor):  # type: ignore[misc]
    """Base of the models that the Gram matrix decides."""

    fit_intercept: bool
    tol: float

    def _gather(self, engine: Engine) -> Scatter:
        """Ask for the moments of the data in one pass, and refuse data without rows."""
        scatter: Scatter = engine.answer(Gram())[0]
        self._require_rows(scatter.n_rows, scatter.weight)
        return scatter

    def _iterate(self, engine: Engine, summary: DataSummary, l1: Array, l2: Array) -> Iterated:
        """Fit where the Gram matrix is too large; ``l1`` and ``l2`` (n_outputs,) penalize the mean squared error."""
        d = self.n_features_in_
        free = free_coefficients(1, d, self.fit_intercept)
        problems = {
            output: Problem(
                Squared(),
                Numbers(np.array([output])),
                (1, d + 1),
                free,
                spread_penalty(l2[output], 1, d, self.fit_intercept),
                spread_penalty(l1[output], 1, d, self.fit_intercept),
                1 / summary.weight,
                np.zeros(len(free)),
            )
            for output in range(len(l2))
        }
        results = self._minimize(engine, problems, summary, max_iter=getattr(self, "max_iter", None) or ITERATIONS)
        rows = np.array([problems[key].unravel(result.w)[0] for key, result in results.items()])
        return Iterated(rows[:, :-1], rows[:, -1], max(result.n_iter for result in results.values()))

    def _keep(self, coef: Array, intercept: Array, n_outputs: int | None, X: Any) -> None:
        """Set the fitted coefficients, in the shapes of the target and the precision of X."""
        single = is_single(X)
        self.coef_ = as_fitted(coef, n_outputs, single)
        self.intercept_ = as_fitted(intercept, n_outputs, single) if self.fit_intercept else 0.0


ILL_CONDITIONED = 1e-9
"""Below this ratio of eigenvalues the Gram matrix has lost too many digits."""


class LinearRegression(LeastSquares):
    r"""Ordinary least squares, :math:`\min \sum_i s_i (y_i - x_i^\top w - b)^2`.

    One pass gathers the Gram matrix. Where that is so ill conditioned that it has lost digits, a second pass makes the
    triangular factor of the data, which has not (TSQR, Demmel et al. 2012); of several solutions the one of least norm
    is taken, as in scikit-learn.

    Parameters
    ----------
    fit_intercept : bool, default True
    copy_X : bool, default True
        X is never written to, whatever this says.
    tol : float, default 1e-6
        Singular values below ``tol`` times the largest count as zero; beyond 4000 features, where the fit iterates, it
        is the gradient at which it has converged.
    n_jobs : int, optional
        Threads of a fit that needs no cluster; by default one a processor.
    positive : bool, default False
        Keep the coefficients at or above zero.

    Attributes
    ----------
    coef_ : array of shape (n_features,) or (n_outputs, n_features)
    intercept_ : float or array of shape (n_outputs,)
    rank_ : int
        Only for dense data of up to 4000 features.
    singular_ : array
        Singular values of the centered data, as far as `rank_` is there.
    profile_ : daskml_kit.engines.profile.Profile

    Examples
    --------
    >>> import dask.array as da
    >>> X = da.from_array([[0.0], [1.0], [2.0]], chunks=(1, 1))
    >>> model = LinearRegression().fit(X, 3 * X[:, 0] + 1)
    >>> round(float(model.coef_[0]), 9), round(float(model.intercept_), 9)
    (3.0, 1.0)
    """

    def __init__(
        self,
        *,
        fit_intercept: bool = True,
        copy_X: bool = True,
        tol: float = 1e-6,
        n_jobs: int | None = None,
        positive: bool = False,
    ) -> None:
        self.fit_intercept = fit_intercept
        self.copy_X = copy_X
        self.tol = tol
        self.n_jobs = n_jobs
        self.positive = positive

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit the model to X of shape (n_samples, n_features) and y of shape (n_samples,) or (n_samples, n_outputs)."""
        check_number("tol", self.tol, low=0)
        with self._fitting():
            inputs = check_fit(self, X, y, sample_weight, multi_output=True)
            n_outputs, d = output_count(inputs.y), self.n_features_in_
            extra: dict[str, Any] = {}
            with open_engine(*inputs, n_jobs=self.n_jobs) as engine:
                if d > GRAM_FEATURES and not self.positive:
                    none = np.zeros(n_outputs or 1)
                    coef, intercept, _ = self._iterate(engine, self._survey(engine, labeled=False), none, none)
                else:
                    scatter = self._gather(engine)
                    normal = normal_equations(scatter, d, self.fit_intercept)
                    coef, extra = self._solve(engine, normal, scatter.sparse)
                    intercept = normal.intercept(coef)
            self._keep(coef, intercept, n_outputs, X)
            self.profile_ = engine.profile
            self.__dict__.update(extra)
        return self

    def to_sklearn(self) -> Any:
        """Return the fitted `sklearn.linear_model.LinearRegression`."""
        twin = sklearn.linear_model.LinearRegression(
            fit_intercept=self.fit_intercept, tol=self.tol, positive=self.positive
        )
        return self._hand_over(twin, "coef_", "intercept_", "rank_", "singular_")

    def _solve(self, engine: Engine, normal: Normal, sparse: bool) -> tuple[Array, dict[str, Any]]:
        if self.positive:
            return np.array([solve_nonnegative(normal.XX, right) for right in normal.Xy.T]), {}
        if sparse:
            return solve_positive(normal.XX, normal.Xy).T, {}
        values = np.linalg.eigvalsh(normal.XX)
        if values[0] > ILL_CONDITIONED * values[-1]:
            return solve_positive(normal.XX, normal.Xy).T, {"rank_": len(values), "singular_": np.sqrt(values[::-1])}
        R = engine.answer(Triangle())[0]
        d = len(values)
        first = 1 if self.fit_intercept else 0
        coef, _, rank, singular = np.linalg.lstsq(R[first:, 1 : d + 1], R[first:, d + 1 :], rcond=self.tol)
        return coef.T, {"rank_": int(rank), "singular_": singular}


class Ridge(LeastSquares):
    r"""Ridge regression, :math:`\min \sum_i s_i (y_i - x_i^\top w - b)^2 + \alpha \|w\|_2^2`, in one pass.

    Parameters
    ----------
    alpha : float or array of shape (n_outputs,), default 1.0
    fit_intercept : bool, default True
    copy_X : bool, default True
        X is never written to, whatever this says.
    max_iter : int, optional
        Of the iterative solver, by default 10000.
    tol : float, default 1e-4
        Of the iterative solver.
    solver : {"auto", "cholesky", "lbfgs"}, default "auto"
        "cholesky" factors the Gram matrix; "lbfgs" iterates; "auto" iterates beyond 4000 features.
    positive : bool, default False
        Keep the coefficients at or above zero.
    random_state : int, optional
        Seed of the sample of rows that scales the iterative solver.

    Attributes
    ----------
    coef_ : array of shape (n_features,) or (n_outputs, n_features)
    intercept_ : float or array of shape (n_outputs,)
    n_iter_ : array of shape (n_outputs,)
        1 where the solution is direct.
    solver_ : str
    profile_ : daskml_kit.engines.profile.Profile

    Examples
    --------
    >>> import dask.array as da
    >>> X = da.from_array([[0.0], [1.0], [2.0]], chunks=(1, 1))
    >>> Ridge(alpha=2.0).fit(X, 3 * X[:, 0] + 1).coef_.round(6)
    array([1.5])
    """

    def __init__(
        self,
        alpha: Any = 1.0,
        *,
        fit_intercept: bool = True,
        copy_X: bool = True,
        max_iter: int | None = None,
        tol: float = 1e-4,
        solver: str = "auto",
        positive: bool = False,
        random_state: int | None = None,
    ) -> None:
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.copy_X = copy_X
        self.max_iter = max_iter
        self.tol = tol
        self.solver = solver
        self.positive = positive
        self.random_state = random_state

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit the model to X of shape (n_samples, n_features) and y of shape (n_samples,) or (n_samples, n_outputs)."""
        check_number("tol", self.tol, low=0)
        check_choice("solver", self.solver, ("auto", "cholesky", "lbfgs"))
        with self._fitting():
            inputs = check_fit(self, X, y, sample_weight, multi_output=True)
            n_outputs, d = output_count(inputs.y), self.n_features_in_
            alphas = self._alphas(n_outputs or 1)
            iterative = self.solver == "lbfgs" or (self.solver == "auto" and d > GRAM_FEATURES)
            if iterative and self.positive:
                raise ValueError("positive=True needs solver='cholesky': the iterative solver has no bounds")
            with open_engine(*inputs) as engine:
                n_iter = 1
                if iterative:
                    summary = self._survey(engine, labeled=False, seed=self.random_state or 0)
                    none = np.zeros(len(alphas))
                    coef, intercept, n_iter = self._iterate(engine, summary, none, alphas / summary.weight)
                else:
                    normal = normal_equations(self._gather(engine), d, self.fit_intercept)
                    solve = solve_nonnegative if self.positive else solve_positive
                    coef = np.array(
                        [solve(normal.XX + a * np.eye(d), b) for a, b in zip(alphas, normal.Xy.T, strict=True)]
                    )
                    intercept = normal.intercept(coef)
            self._keep(coef, intercept, n_outputs, X)
            self.n_iter_ = np.full(len(alphas), n_iter, np.int32)
            self.solver_ = "lbfgs" if iterative else "cholesky"
            self.profile_ = engine.profile
        return self

    def to_sklearn(self) -> Any:
        """Return the fitted `sklearn.linear_model.Ridge`."""
        keep = ("alpha", "fit_intercept", "max_iter", "tol", "positive", "random_state")
        twin = sklearn.linear_model.Ridge(**{name: getattr(self, name) for name in keep})
        return self._hand_over(twin, "coef_", "intercept_", "n_iter_", "solver_")

    def _alphas(self, n_outputs: int) -> Array:
        alphas = np.atleast_1d(np.asarray(self.alpha, dtype=np.float64))
        if (alphas < 0).any() or alphas.ndim != 1:
            raise ValueError(f"alpha: expected numbers of at least 0, got {self.alpha!r}")
        if len(alphas) not in (1, n_outputs):
            raise ValueError(
                f"alpha: Number of targets and number of penalties do not correspond: {len(alphas)} != {n_outputs}"
            )
        return np.broadcast_to(alphas, n_outputs)

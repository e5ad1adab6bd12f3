"""What the generalized linear models have in common."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
import sklearn.linear_model

from daskml_kit.data.collections import is_dask
from daskml_kit.engines.open import open_engine
from daskml_kit.linear_model.base import LinearRegressor, check_choice, check_number, free_coefficients, spread_penalty
from daskml_kit.linear_model.solve import SOLVERS
from daskml_kit.metrics import d2_tweedie_score
from daskml_kit.numerics.losses import Gamma, Loss, Poisson, Squared, Tweedie, TweedieIdentity
from daskml_kit.numerics.targets import Numbers
from daskml_kit.reductions.summary import DataSummary
from daskml_kit.solvers.objective import Problem
from daskml_kit.validation import check_fit


class GeneralizedLinearModel(LinearRegressor):
    """Base of the generalized linear models: half the mean unit deviance, plus ``alpha / 2`` times the squared norm."""

    alpha: float
    fit_intercept: bool
    solver: str
    max_iter: int
    tol: float
    warm_start: bool
    verbose: int
    _twin: ClassVar[str]

    def fit(self, X: Any, y: Any, sample_weight: Any = None, *, checkpoint: Any = None) -> Self:
        """Fit the model.

        Parameters
        ----------
        X : Dask array or DataFrame, NumPy array, pandas DataFrame or sparse matrix, of shape (n_samples, n_features)
        y : array or Series of shape (n_samples,)
        sample_weight : array of shape (n_samples,), optional
        checkpoint : path, optional
            A folder that keeps each pass's answer: called again with the same data, an interrupted fit resumes there.

        Raises
        ------
        ValueError
            Where a target is outside of the distribution's range.
        DataError
            Where the data cannot be used; it names the argument and the block.
        """
        self._check_parameters()
        with self._fitting():
            inputs = check_fit(self, X, y, sample_weight)
            with open_engine(*inputs, checkpoint=checkpoint, setting=self.get_params()) as engine:
                summary = self._survey(engine, labeled=False)
                self._check_range(float(summary.low[0]))
                problem = self._problem(summary)
                result = self._minimize(engine, {None: problem}, summary)[None]
            coef = problem.unravel(result.w)[0].astype(summary.precision)
            self.coef_, self.intercept_ = coef[:-1], coef[-1] if self.fit_intercept else 0.0
            self.n_iter_, self.profile_ = result.n_iter, engine.profile
        return self

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return D^2, the share of the deviance that the model explains, a float also on Dask input."""
        if not is_dask(X) and not is_dask(y):
            return float(self.to_sklearn().score(X, y, sample_weight))
        return float(d2_tweedie_score(y, self.predict(X), sample_weight=sample_weight, power=self._power()))

    def to_sklearn(self) -> Any:
        """Return the fitted scikit-learn estimator."""
        twin = getattr(sklearn.linear_model, self._twin)(**self._twin_parameters())
        if hasattr(self, "coef_"):  # a fit on made-up rows sets what its predictions need beside coefficients
            twin.fit(np.zeros((2, self.n_features_in_)), np.ones(2))
        return self._hand_over(twin, "coef_", "intercept_", "n_iter_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.positive_only = self._power() >= 1
        return tags

    def _loss(self) -> Loss:
        raise NotImplementedError

    def _power(self) -> float:
        raise NotImplementedError

    def _identity(self) -> bool:
        return False

    def _strength(self, weight: float) -> float:
        """Return the penalty, where the loss is a mean over rows of this total ``weight``."""
        return self.alpha

    def _twin_parameters(self) -> dict[str, Any]:
        return {**self.get_params(), "solver": "lbfgs"}

    def _problem(self, summary: DataSummary) -> Problem:
        d = self.n_features_in_
        free = free_coefficients(1, d, self.fit_intercept)
        start = np.zeros(len(free))
        if self.warm_start and hasattr(self, "coef_"):
            start = np.append(self.coef_, self.intercept_).astype(np.float64)[free]
        elif summary.sample_y is not None and self.fit_intercept:
            mean = max(float(np.average(summary.sample_y, weights=summary.sample_weight)), 1e-10)
            start[-1] = mean if self._identity() else np.log(mean)
        l2 = spread_penalty(self._strength(summary.weight), 1, d, self.fit_intercept)
        target = Numbers(np.zeros(1, np.int64))
        return Problem(self._loss(), target, (1, d + 1), free, l2, np.zeros(len(free)), 1 / summary.weight, start)

    def _check_range(self, low: float) -> None:
        power = self._power()
        if (power >= 2 and low <= 0) or (1 <= power < 2 and low < 0):
            least = "above 0" if power >= 2 else "of at least 0"
            raise ValueError(
                f"Some value(s) of y are out of the valid range of the loss {type(self._loss()).__name__!r}: "
                f"expected values {least}, got {low:g}"
            )

    def _check_parameters(self) -> None:
        check_number("alpha", self.alpha, low=0)
        check_number("tol", self.tol, low=0, strict=True)
        check_number("max_iter", self.max_iter, low=1, integer=True)
        check_choice("solver", self.solver, SOLVERS)


class PoissonRegressor(GeneralizedLinearModel):
    r"""Poisson regression with log link.

    .. math:: \min \frac{1}{2\sum_i s_i}\sum_i s_i \, d(y_i, e^{x_i^\top w + b}) + \frac{\alpha}{2}\|w\|_2^2

    where d is the unit deviance.

    Parameters
    ----------
    alpha : float, default 1.0
    fit_intercept : bool, default True
    solver : {"auto", "lbfgs", "newton-cholesky", "fista"}, default "auto"
    max_iter : int, default 100
    tol : float, default 1e-4
        It has converged when no gradient is above ``tol`` and the next step would gain less than a thousandth of
        ``tol`` of the objective.
    warm_start : bool, default False
    verbose : int, default 0
        Above 0, print a line for each pass.

    Attributes
    ----------
    coef_ : array of shape (n_features,)
    intercept_ : float
    n_iter_ : int
    profile_ : daskml_kit.engines.profile.Profile

    Examples
    --------
    >>> import dask.array as da
    >>> X = da.from_array([[0.0], [1.0], [2.0], [3.0]], chunks=(2, 1))
    >>> PoissonRegressor(alpha=0, tol=1e-8).fit(X, da.exp(X[:, 0])).coef_.round(4)
    array([1.])
    """

    _twin = "PoissonRegressor"

    def __init__(
        self,
        *,
        alpha: float = 1.0,
        fit_intercept: bool = True,
        solver: str = "auto",
        max_iter: int = 100,
        tol: float = 1e-4,
        warm_start: bool = False,
        verbose: int = 0,
    ) -> None:
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.solver = solver
        self.max_iter = max_iter
        self.tol = tol
        self.warm_start = warm_start
        self.verbose = verbose

    def _loss(self) -> Loss:
        return Poisson()

    def _power(self) -> float:
        return 1.0


class GammaRegressor(PoissonRegressor):
    """Gamma regression with log link; parameters and attributes are those of `PoissonRegressor`.

    Examples
    --------
    >>> import dask.array as da
    >>> X = da.from_array([[0.0], [1.0], [2.0], [3.0]], chunks=(2, 1))
    >>> GammaRegressor(alpha=0, tol=1e-8).fit(X, da.exp(X[:, 0])).coef_.round(4)
    array([1.])
    """

    _twin = "GammaRegressor"

    def _loss(self) -> Loss:
        return Gamma()

    def _power(self) -> float:
        return 2.0


class PoissonRegression(GeneralizedLinearModel):
    r"""Poisson regression under the name and parameters that dask-ml's users know.

    It minimizes :math:`C \sum_i s_i (e^{z_i} - y_i z_i) + \tfrac12 \|w\|_2^2`, :math:`z_i = x_i^\top w + b`: that of
    `PoissonRegressor` with ``alpha = 1 / (C * sum(s))``.

    Parameters
    ----------
    penalty : {"l2", None}, default "l2"
    C : float, default 1.0
        Inverse strength of the penalty.
    fit_intercept, solver, max_iter, tol, warm_start, verbose
        As in `PoissonRegressor`.

    Examples
    --------
    >>> import dask.array as da
    >>> X = da.from_array([[0.0], [1.0], [2.0], [3.0]], chunks=(2, 1))
    >>> PoissonRegression(penalty=None, tol=1e-8).fit(X, da.exp(X[:, 0])).coef_.round(4)
    array([1.])
    """

    _twin = "PoissonRegressor"

    def __init__(
        self,
        penalty: str | None = "l2",
        *,
        C: float = 1.0,
        fit_intercept: bool = True,
        solver: str = "auto",
        max_iter: int = 100,
        tol: float = 1e-4,
        warm_start: bool = False,
        verbose: int = 0,
    ) -> None:
        self.penalty = penalty
        self.C = C
        self.fit_intercept = fit_intercept
        self.solver = solver
        self.max_iter = max_iter
        self.tol = tol
        self.warm_start = warm_start
        self.verbose = verbose

    def _loss(self) -> Loss:
        return Poisson()

    def _power(self) -> float:
        return 1.0

    def _strength(self, weight: float) -> float:
        return 0.0 if self.penalty is None else 1 / (self.C * weight)

    def _twin_parameters(self) -> dict[str, Any]:
        keep = ("fit_intercept", "max_iter", "tol", "warm_start", "verbose")
        return {name: getattr(self, name) for name in keep}

    def _check_parameters(self) -> None:
        check_choice("penalty", self.penalty, ("l2", None))
        check_number("C", self.C, low=0, strict=True)
        check_number("tol", self.tol, low=0, strict=True)
        check_number("max_iter", self.max_iter, low=1, integer=True)
        check_choice("solver", self.solver, SOLVERS)


class TweedieRegressor(GeneralizedLinearModel):
    """Regression for a Tweedie distribution; parameters beyond those below are `PoissonRegressor`'s.

    Parameters
    ----------
    power : float, default 0.0
        0 is the normal distribution, 1 Poisson, between 1 and 2 compound Poisson-Gamma, 2 Gamma, 3 inverse Gaussian;
        between 0 and 1 there is none.
    link : {"auto", "identity", "log"}, default "auto"
        "auto" is the identity up to power 0, and the logarithm above.

    Examples
    --------
    >>> import dask.array as da
    >>> X = da.from_array([[0.0], [1.0], [2.0], [3.0]], chunks=(2, 1))
    >>> TweedieRegressor(power=1.5, alpha=0, tol=1e-8).fit(X, da.exp(X[:, 0])).coef_.round(4)
    array([1.])
    """

    _twin = "TweedieRegressor"

    def __init__(
        self,
        *,
        power: float = 0.0,
        alpha: float = 1.0,
        fit_intercept: bool = True,
        link: str = "auto",
        solver: str = "auto",
        max_iter: int = 100,
        tol: float = 1e-4,
        warm_start: bool = False,
        verbose: int = 0,
    ) -> None:
        self.power = power
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.link = link
        self.solver = solver
        self.max_iter = max_iter
        self.tol = tol
        self.warm_start = warm_start
        self.verbose = verbose

    def _loss(self) -> Loss:
        if self._identity():
            return Squared() if self.power == 0 else TweedieIdentity(float(self.power))
        return Poisson() if self.power == 1 else Gamma() if self.power == 2 else Tweedie(float(self.power))

    def _power(self) -> float:
        return float(self.power)

    def _identity(self) -> bool:
        return self.link == "identity" or (self.link == "auto" and self.power <= 0)

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_choice("link", self.link, ("auto", "identity", "log"))
        check_number("power", self.power, low=-np.inf)
        if 0 < self.power < 1:
            raise ValueError(f"power: no distribution has a power between 0 and 1, got {self.power!r}")

"""Generalized linear models: Poisson, Gamma and Tweedie regression."""

from __future__ import annotations

from typing import Any

import numpy as np
import sklearn.linear_model

from daskml_kit.arguments import check_choice, check_number
from daskml_kit.base import constructor
from daskml_kit.data.collections import is_dask
from daskml_kit.documentation import with_inherited_docs
from daskml_kit.linear_model.base import LinearModel, free_coefficients, spread_penalty, warm_start_of
from daskml_kit.linear_model.solve import check_solver
from daskml_kit.metrics import d2_tweedie_score
from daskml_kit.numerics.losses import Gamma, Loss, Poisson, Squared, Tweedie, TweedieIdentity
from daskml_kit.numerics.targets import Numbers
from daskml_kit.reductions.summary import DataSummary
from daskml_kit.solvers.objective import Problem
from daskml_kit.solvers.types import DataSpec, Fit


class GeneralizedLinearModel(LinearModel):
    """Base of the generalized linear models: half the mean unit deviance, plus ``alpha / 2`` times the squared norm.

    Parameters
    ----------
    alpha : float, default 1.0
        Strength of the penalty; the intercept is not penalized.
    fit_intercept : bool, default True
    solver : {"auto", "lbfgs", "newton-cholesky", "fista"}, default "auto"
        As in `PoissonRegressor`.
    max_iter : int, default 100
    tol : float, default 1e-4
        As in `PoissonRegressor`.
    warm_start : bool, default False
        Start from the last fit's coefficients.
    verbose : int, default 0
        Above 0, show a bar of the passes.

    Attributes
    ----------
    coef_ : array of shape (n_features,)
    intercept_ : float
    n_iter_ : int
    profile_ : daskml_kit.engines.engine.Profile
        Passes, seconds and solver of the last fit.
    """

    _score_is = "other"
    alpha: float
    fit_intercept: bool
    solver: str
    warm_start: bool

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Return D^2, the share of the deviance that the model explains.

        Parameters
        ----------
        X : Dask array or DataFrame, or anything that scikit-learn takes, of shape (n_samples, n_features)
        y : array or Dask array of shape (n_samples,)
        sample_weight : array or Dask array of shape (n_samples,), optional

        Returns
        -------
        float
            1 for a perfect model, 0 for one that predicts the mean.
        """
        if not is_dask(X) and not is_dask(y):
            return float(super().score(X, y, sample_weight))
        return float(d2_tweedie_score(y, self.predict(X), sample_weight=sample_weight, power=self._power()))

    def _made_up(self) -> tuple[Any, ...] | None:
        return (np.zeros((2, len(self.coef_))), np.ones(2)) if hasattr(self, "coef_") else None

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.positive_only = self._power() >= 1
        return tags

    def _fit_steps(self, spec: DataSpec) -> Fit:
        summary = yield from self._summarize(spec)
        self._check_range(float(summary.low[0]))
        problem = self._problem(spec, summary)
        result = (yield from self._minimize({None: problem}, summary, spec))[None]
        coef = problem.unravel(result.w)[0].astype(summary.precision)
        return {
            "coef_": coef[:-1],
            "intercept_": coef[-1] if self.fit_intercept else 0.0,
            "n_iter_": result.n_iter,
        }

    def _sklearn_parameters(self, genuine: type[Any]) -> dict[str, Any]:
        return {**super()._sklearn_parameters(genuine), "solver": "lbfgs"}

    def _loss(self) -> Loss:
        raise NotImplementedError

    def _power(self) -> float:
        raise NotImplementedError

    def _identity(self) -> bool:
        return False

    def _strength(self, weight: float) -> float:
        """Return the penalty, where the loss is a mean over rows of this total ``weight``."""
        return self.alpha

    def _problem(self, spec: DataSpec, summary: DataSummary) -> Problem:
        d = spec.n_features
        free = free_coefficients(1, d, self.fit_intercept)
        start = warm_start_of(self, 1, d).ravel()[free]
        warm = self.warm_start and hasattr(self, "coef_")
        if not warm and summary.sample_y is not None and self.fit_intercept:
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
        check_solver(self)


@with_inherited_docs
class PoissonRegressor(GeneralizedLinearModel, sklearn.linear_model.PoissonRegressor):  # type: ignore[misc]
    r"""Poisson regression with log link.

    .. math:: \min \frac{1}{2\sum_i s_i}\sum_i s_i \, d(y_i, e^{x_i^\top w + b}) + \frac{\alpha}{2}\|w\|_2^2

    where d is the unit deviance.

    Parameters
    ----------
    solver : {"auto", "lbfgs", "newton-cholesky", "fista"}, default "auto"
        scikit-learn's other names, and dask-ml's, stand for one of these: the minimum is the same.
    tol : float, default 1e-4
        It has converged when no gradient is above ``tol`` and the next step would gain less than a thousandth of
        ``tol`` of the objective.

    See Also
    --------
    TweedieRegressor : Other distributions, and other links.
    PoissonRegression : The same with an inverse strength ``C`` and dask-ml's parameters.

    References
    ----------
    Nelder and Wedderburn, "Generalized linear models", 1972.

    Examples
    --------
    >>> import dask.array as da
    >>> X = da.from_array([[0.0], [1.0], [2.0], [3.0]], chunks=(2, 1))
    >>> PoissonRegressor(alpha=0, tol=1e-8).fit(X, da.exp(X[:, 0])).coef_.round(4)
    array([1.])
    """

    __init__ = constructor(sklearn.linear_model.PoissonRegressor, solver="auto")

    def _loss(self) -> Loss:
        return Poisson()

    def _power(self) -> float:
        return 1.0


@with_inherited_docs
class GammaRegressor(GeneralizedLinearModel, sklearn.linear_model.GammaRegressor):  # type: ignore[misc]
    """Gamma regression with log link.

    The objective is that of `PoissonRegressor`, with the unit deviance of the Gamma distribution; targets are positive.

    See Also
    --------
    PoissonRegressor : Counts.
    TweedieRegressor : Distributions between Poisson and Gamma.

    References
    ----------
    Nelder and Wedderburn, "Generalized linear models", 1972.

    Examples
    --------
    >>> import dask.array as da
    >>> X = da.from_array([[0.0], [1.0], [2.0], [3.0]], chunks=(2, 1))
    >>> GammaRegressor(alpha=0, tol=1e-8).fit(X, da.exp(X[:, 0])).coef_.round(4)
    array([1.])
    """

    __init__ = constructor(sklearn.linear_model.GammaRegressor, solver="auto")

    def _loss(self) -> Loss:
        return Gamma()

    def _power(self) -> float:
        return 2.0


@with_inherited_docs
class PoissonRegression(PoissonRegressor):
    r"""Poisson regression under the name and parameters that dask-ml's users know.

    It minimizes :math:`C \sum_i s_i (e^{z_i} - y_i z_i) + \tfrac12 \|w\|_2^2`, :math:`z_i = x_i^\top w + b`: that of
    `PoissonRegressor` with ``alpha = 1 / (C * sum(s))``.

    Parameters
    ----------
    penalty : {"l2", None}, default "l2"
    C : float, default 1.0
        Inverse strength of the penalty.
    solver_kwargs : dict, optional
        Of dask-ml's solvers; not used, which a warning says.

    See Also
    --------
    PoissonRegressor : scikit-learn's name and parameters for the same.

    Examples
    --------
    >>> import dask.array as da
    >>> X = da.from_array([[0.0], [1.0], [2.0], [3.0]], chunks=(2, 1))
    >>> PoissonRegression(penalty=None, tol=1e-8).fit(X, da.exp(X[:, 0])).coef_.round(4)
    array([1.])
    """

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
        solver_kwargs: dict[str, Any] | None = None,
    ) -> None:
        self.penalty = penalty
        self.C = C
        self.fit_intercept = fit_intercept
        self.solver = solver
        self.max_iter = max_iter
        self.tol = tol
        self.warm_start = warm_start
        self.verbose = verbose
        self.solver_kwargs = solver_kwargs

    def _strength(self, weight: float) -> float:
        return 0.0 if self.penalty is None else 1 / (self.C * weight)

    def _sklearn_parameters(self, genuine: type[Any]) -> dict[str, Any]:
        keep = ("fit_intercept", "max_iter", "tol", "warm_start", "verbose")
        return {name: getattr(self, name) for name in keep}

    def _check_parameters(self) -> None:
        check_choice("penalty", self.penalty, ("l2", None))
        check_number("C", self.C, low=0, strict=True, infinite=True)
        check_number("tol", self.tol, low=0, strict=True)
        check_number("max_iter", self.max_iter, low=1, integer=True)
        check_solver(self)


@with_inherited_docs
class TweedieRegressor(GeneralizedLinearModel, sklearn.linear_model.TweedieRegressor):  # type: ignore[misc]
    """Regression for a Tweedie distribution.

    The objective is that of `PoissonRegressor`, with the unit deviance of the distribution and the inverse of the link.

    Parameters
    ----------
    power : float, default 0.0
        0 is the normal distribution, 1 Poisson, between 1 and 2 compound Poisson-Gamma, 2 Gamma, 3 inverse Gaussian;
        between 0 and 1 there is none.
    link : {"auto", "identity", "log"}, default "auto"
        "auto" is the identity up to power 0, and the logarithm above.

    See Also
    --------
    PoissonRegressor, GammaRegressor : Powers 1 and 2.

    References
    ----------
    Jorgensen, "The theory of dispersion models", 1997.

    Examples
    --------
    >>> import dask.array as da
    >>> X = da.from_array([[0.0], [1.0], [2.0], [3.0]], chunks=(2, 1))
    >>> TweedieRegressor(power=1.5, alpha=0, tol=1e-8).fit(X, da.exp(X[:, 0])).coef_.round(4)
    array([1.])
    """

    __init__ = constructor(sklearn.linear_model.TweedieRegressor, solver="auto")

    def _loss(self) -> Loss:
        if self._identity():
            return Squared() if self.power == 0 else TweedieIdentity(float(self.power))
        return Poisson() if self.power == 1 else Gamma() if self.power == 2 else Tweedie(float(self.power))

    def _power(self) -> float:
        return float(self.power)

    def _identity(self) -> bool:
        return bool(self.link == "identity" or (self.link == "auto" and self.power <= 0))

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_choice("link", self.link, ("auto", "identity", "log"))
        check_number("power", self.power, low=-np.inf)
        if 0 < self.power < 1:
            raise ValueError(f"power: no distribution has a power between 0 and 1, got {self.power!r}")

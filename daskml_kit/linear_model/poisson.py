"""Poisson and Gamma regression."""

from __future__ import annotations

from typing import Any

from daskml_kit.linear_model.generalized import GeneralizedLinearModel
from daskml_kit.linear_model.minimise import SOLVERS
from daskml_kit.linear_model.model import check_choice, check_number
from daskml_kit.numerics.losses import Gamma, Loss, Poisson


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
        It has converged when no slope is above ``tol`` and the next step would gain less than a thousandth of ``tol``
        of the objective.
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

    It minimises :math:`C \sum_i s_i (e^{z_i} - y_i z_i) + \tfrac12 \|w\|_2^2`, :math:`z_i = x_i^\top w + b`: that of
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

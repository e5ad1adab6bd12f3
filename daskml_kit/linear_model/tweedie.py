"""Tweedie regression."""

from __future__ import annotations

import numpy as np

from daskml_kit.linear_model.generalized import GeneralizedLinearModel
from daskml_kit.linear_model.model import check_choice, check_number
from daskml_kit.numerics.losses import Gamma, Loss, Poisson, Squared, Tweedie, TweedieIdentity


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

"""What the generalised linear models have in common."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
import sklearn.linear_model

from daskml_kit.engines.blocks import is_dask
from daskml_kit.engines.opening import open_engine
from daskml_kit.linear_model.minimise import SOLVERS
from daskml_kit.linear_model.model import check_choice, check_number, free_coefficients, spread_penalty
from daskml_kit.linear_model.problem import Problem
from daskml_kit.linear_model.regressor import LinearRegressor
from daskml_kit.metrics import d2_tweedie_score
from daskml_kit.numerics.losses import Loss
from daskml_kit.numerics.targets import Numbers
from daskml_kit.queries.survey import Overview
from daskml_kit.validation import check_fit


class GeneralizedLinearModel(LinearRegressor):
    """Base of the generalised linear models: half the mean unit deviance, plus ``alpha / 2`` times the squared norm."""

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
                overview = self._survey(engine, labelled=False)
                self._check_range(float(overview.low[0]))
                problem = self._problem(overview)
                result = self._minimise(engine, {None: problem}, overview)[None]
            coef = problem.unravel(result.w)[0].astype(overview.precision)
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

    def _problem(self, overview: Overview) -> Problem:
        d = self.n_features_in_
        free = free_coefficients(1, d, self.fit_intercept)
        start = np.zeros(len(free))
        if self.warm_start and hasattr(self, "coef_"):
            start = np.append(self.coef_, self.intercept_).astype(np.float64)[free]
        elif overview.sample_y is not None and self.fit_intercept:
            mean = max(float(np.average(overview.sample_y, weights=overview.sample_weight)), 1e-10)
            start[-1] = mean if self._identity() else np.log(mean)
        l2 = spread_penalty(self._strength(overview.weight), 1, d, self.fit_intercept)
        target = Numbers(np.zeros(1, np.int64))
        return Problem(self._loss(), target, (1, d + 1), free, l2, np.zeros(len(free)), 1 / overview.weight, start)

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

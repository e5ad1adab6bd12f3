"""What the models that the Gram matrix decides have in common."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from sklearn.base import MultiOutputMixin

from daskml_kit.engines.engine import Engine
from daskml_kit.linear_model.model import free_coefficients, spread_penalty
from daskml_kit.linear_model.problem import Problem
from daskml_kit.linear_model.regressor import LinearRegressor, as_fitted, is_single
from daskml_kit.numerics.losses import Squared
from daskml_kit.numerics.targets import Numbers
from daskml_kit.queries.gram import Gram, Scatter
from daskml_kit.queries.survey import Overview
from daskml_kit.typing import Array

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

    def _iterate(self, engine: Engine, overview: Overview, l1: Array, l2: Array) -> Iterated:
        """Fit where the Gram matrix is too large; ``l1`` and ``l2`` (n_outputs,) penalise the mean squared error."""
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
                1 / overview.weight,
                np.zeros(len(free)),
            )
            for output in range(len(l2))
        }
        results = self._minimise(engine, problems, overview, max_iter=getattr(self, "max_iter", None) or ITERATIONS)
        rows = np.array([problems[key].unravel(result.w)[0] for key, result in results.items()])
        return Iterated(rows[:, :-1], rows[:, -1], max(result.n_iter for result in results.values()))

    def _keep(self, coef: Array, intercept: Array, n_outputs: int | None, X: Any) -> None:
        """Set the fitted coefficients, in the shapes of the target and the precision of X."""
        single = is_single(X)
        self.coef_ = as_fitted(coef, n_outputs, single)
        self.intercept_ = as_fitted(intercept, n_outputs, single) if self.fit_intercept else 0.0

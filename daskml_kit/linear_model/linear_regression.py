"""Ordinary least squares, in one pass over the data."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import sklearn.linear_model

from daskml_kit.engines.engine import Engine
from daskml_kit.engines.opening import open_engine
from daskml_kit.linear_model import least_squares
from daskml_kit.linear_model.least_squares import LeastSquares, Normal, normal_equations
from daskml_kit.linear_model.model import check_number
from daskml_kit.linear_model.regressor import output_count
from daskml_kit.numerics.linalg import solve_nonnegative, solve_positive
from daskml_kit.queries.gram import Triangle
from daskml_kit.typing import Array
from daskml_kit.validation import check_fit

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
        is the slope at which it has converged.
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
        Singular values of the centred data, as far as `rank_` is there.
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
                if d > least_squares.GRAM_FEATURES and not self.positive:
                    none = np.zeros(n_outputs or 1)
                    coef, intercept, _ = self._iterate(engine, self._survey(engine, labelled=False), none, none)
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

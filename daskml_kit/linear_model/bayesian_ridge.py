"""Bayesian ridge regression: a ridge whose penalty the evidence chooses, on the Gram matrix."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import numpy as np
import sklearn.linear_model
from sklearn.utils.validation import check_is_fitted

from daskml_kit.arguments import check_number
from daskml_kit.base import DaskEstimator
from daskml_kit.data.collections import is_dask
from daskml_kit.exceptions import DataError
from daskml_kit.linear_model.base import require_rows
from daskml_kit.linear_model.least_squares import Normal, normal_equations
from daskml_kit.reductions.gram import Gram
from daskml_kit.solvers.types import DataSpec, Fit
from daskml_kit.typing import Array


class Precisions(NamedTuple):
    """Precisions of the noise and of the coefficients."""

    noise: float
    weights: float


class BayesianRidge(DaskEstimator, sklearn.linear_model.BayesianRidge):  # type: ignore[misc]
    r"""Ridge regression whose penalty and noise are estimated by the evidence of the data, in one pass.

    The Gram matrix is gathered in one pass; the iterations of MacKay (1992) are on its eigenvalues and cost none.

    Parameters
    ----------
    max_iter : int, default 300
    tol : float, default 1e-3
        It has converged when the coefficients change by less, in sum.
    alpha_1, alpha_2 : float, default 1e-6
        Shape and rate of the gamma prior of the precision of the noise.
    lambda_1, lambda_2 : float, default 1e-6
        Shape and rate of the gamma prior of the precision of the coefficients.
    alpha_init : float, optional
        First precision of the noise, by default one over the variance of the target.
    lambda_init : float, optional
        First precision of the coefficients, by default 1.
    compute_score : bool, default False
        Whether to keep the log marginal likelihood of each iteration.
    fit_intercept : bool, default True
    copy_X : bool, default True
        X is never written to, whatever this says.
    verbose : bool, default False

    Attributes
    ----------
    coef_ : array of shape (n_features,)
    intercept_ : float
    alpha_ : float
        Estimated precision of the noise.
    lambda_ : float
        Estimated precision of the coefficients.
    sigma_ : array of shape (n_features, n_features)
        Covariance of the coefficients.
    scores_ : array of one number more than ``n_iter_``
        Log marginal likelihoods, where ``compute_score`` is set.
    n_iter_ : int
    X_offset_, X_scale_ : array of shape (n_features,)
    profile_ : daskml_kit.engines.engine.Profile
        Passes, seconds and solver of the last fit.

    See Also
    --------
    Ridge : A penalty that is given.
    daskml_kit.impute.IterativeImputer : Imputation by this model.

    References
    ----------
    MacKay, "Bayesian interpolation", 1992.
    Tipping, "Sparse Bayesian learning and the relevance vector machine", 2001.

    Examples
    --------
    >>> import dask.array as da
    >>> X = da.from_array([[0.0], [1.0], [2.0], [3.0]], chunks=(2, 1))
    >>> model = BayesianRidge().fit(X, 3 * X[:, 0] + 1)
    >>> model.coef_.round(3), model.predict(X).compute().round(3)
    (array([3.]), array([ 1.,  4.,  7., 10.]))
    """

    many_passes: ClassVar[Any] = False

    def _check_parameters(self) -> None:
        check_number("max_iter", self.max_iter, low=1, integer=True)
        for name in ("tol", "alpha_1", "alpha_2", "lambda_1", "lambda_2"):
            check_number(name, getattr(self, name), low=0)
        for name in ("alpha_init", "lambda_init"):
            if getattr(self, name) is not None:
                check_number(name, getattr(self, name), low=0, strict=True)

    def _fit_steps(self, spec: DataSpec) -> Fit:
        d = spec.n_features
        scatter = yield Gram()
        require_rows(scatter.n_rows, scatter.weight, d)
        scatter.require_finite()
        normal = normal_equations(scatter, d, self.fit_intercept)
        variance = float(scatter.product[d, d]) / scatter.weight
        values, vectors = np.linalg.eigh(normal.XX)
        evidence = _Evidence(normal, np.maximum(values, 0), vectors, self)
        found, scores, n_iter = evidence.maximize(variance, self.max_iter, self.tol)
        coef, error = evidence.coefficients(found)
        if self.compute_score:
            scores.append(evidence.score(found, coef, error))
        dtype = spec.dtype
        return {
            "coef_": coef.astype(dtype),
            "intercept_": dtype(normal.intercept(coef)[0]) if self.fit_intercept else 0.0,
            "alpha_": dtype(found.noise),
            "lambda_": dtype(found.weights),
            "sigma_": evidence.covariance(found).astype(dtype),
            "scores_": np.array(scores) if self.compute_score else scores,
            "n_iter_": n_iter,
            "X_offset_": normal.X_mean.astype(dtype),
            "X_scale_": np.ones(d, dtype),
        }

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """Return the predictions: at once in memory, lazily on Dask input.

        Parameters
        ----------
        X : Dask array or DataFrame, or anything that scikit-learn takes, of shape (n_samples, n_features)
        return_std : bool, default False
            Whether to return standard deviations, too; not possible on Dask input.

        Returns
        -------
        array or Dask array of shape (n_samples,), or a pair of arrays
            Means, and with ``return_std`` standard deviations, of the predictive distribution.
        """
        if not return_std:
            return self._apply("predict", X)
        if is_dask(X):
            raise DataError("return_std: expected False on Dask input; to_sklearn().predict gives both for a block")
        check_is_fitted(self)
        return super(DaskEstimator, self).predict(X, return_std=True)


class _Evidence:
    """Log marginal likelihood of the precisions, in the coordinates of the eigenvectors of the Gram matrix."""

    def __init__(self, normal: Normal, values: Array, vectors: Array, priors: Any) -> None:
        self.weight, self.values, self.vectors, self.priors = normal.weight, values, vectors, priors
        self.right, self.square = vectors.T @ normal.Xy[:, 0], float(normal.yy[0])

    def maximize(self, variance: float, max_iter: int, tol: float) -> tuple[Precisions, list[float], int]:
        """Return the precisions, the score of each iteration if these are kept, and the number of iterations."""
        own = self.priors
        first = 1 / (variance + np.finfo(np.float64).eps) if own.alpha_init is None else own.alpha_init
        at = Precisions(first, 1.0 if own.lambda_init is None else own.lambda_init)
        scores: list[float] = []
        before: Array | None = None
        for number in range(1, max_iter + 1):
            coef, error = self.coefficients(at)
            if own.compute_score:
                scores.append(self.score(at, coef, error))
            gamma = float(np.sum(at.noise * self.values / (at.weights + at.noise * self.values)))
            at = Precisions(
                noise=(self.weight - gamma + 2 * own.alpha_1) / (error + 2 * own.alpha_2),
                weights=(gamma + 2 * own.lambda_1) / (float(coef @ coef) + 2 * own.lambda_2),
            )
            if before is not None and np.abs(before - coef).sum() < tol:
                if own.verbose:
                    print("Convergence after ", str(number - 1), " iterations")
                break
            before = coef
        return at, scores, number

    def coefficients(self, at: Precisions) -> tuple[Array, float]:
        """Return the mean of the coefficients, and the sum of squared errors there."""
        along = self.right / (self.values + at.weights / at.noise)
        error = self.square - 2 * float(along @ self.right) + float(along**2 @ self.values)
        return self.vectors @ along, max(error, 0.0)  # of an exact fit rounding would leave less than nothing

    def covariance(self, at: Precisions) -> Array:
        return np.asarray((self.vectors / (at.noise * self.values + at.weights)) @ self.vectors.T)

    def score(self, at: Precisions, coef: Array, error: float) -> float:
        """Return the log marginal likelihood."""
        own, (noise, weights) = self.priors, at
        prior = own.lambda_1 * np.log(weights) - own.lambda_2 * weights
        prior += own.alpha_1 * np.log(noise) - own.alpha_2 * noise
        fit = len(coef) * np.log(weights) + self.weight * (np.log(noise) - np.log(2 * np.pi))
        fit -= noise * error + weights * float(coef @ coef) + float(np.log(weights + noise * self.values).sum())
        return float(prior + 0.5 * fit)

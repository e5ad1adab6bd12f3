"""Gaussian mixture model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import sklearn.mixture
from sklearn.utils.validation import check_is_fitted

from daskml_kit.base import without_names
from daskml_kit.data.collections import is_dask
from daskml_kit.documentation import with_inherited_docs
from daskml_kit.engines.open import open_engine
from daskml_kit.mixture.base import MixtureModel, RowSpread, check_positive
from daskml_kit.numerics.gaussian_components import (
    Gaussians,
    Likeliest,
    MixtureSums,
    factors_of_precisions,
    maximized,
    precisions_of,
)
from daskml_kit.reductions.block_means import BlockScores
from daskml_kit.reductions.reduction import Joint
from daskml_kit.reductions.summary import Summary
from daskml_kit.typing import Array
from daskml_kit.validation import check_features


@with_inherited_docs
class GaussianMixture(MixtureModel, sklearn.mixture.GaussianMixture):  # type: ignore[misc]
    r"""Mixture of normal distributions, fitted by expectation-maximization, a pass an iteration.

    All starts advance in the same passes, and so do all candidates of a search.

    Parameters
    ----------
    n_components : int, default 1
    tol : float, default 1e-3
        It has converged when the mean log-likelihood gains less.
    n_init : int, default 1
        Starts, of which the one of the greatest likelihood is kept.
    weights_init : array of shape (n_components,), optional
    means_init : array of shape (n_components, n_features), optional
    precisions_init : array, optional
        Inverse covariances at the start, of the shape of ``precisions_``.

    Attributes
    ----------
    lower_bound_ : float
        Mean log-likelihood of the rows, before the last step.

    See Also
    --------
    BayesianGaussianMixture : Components that are not needed get no weight.
    daskml_kit.cluster.KMeans : Clusters of like size and shape, each row in one of them.

    References
    ----------
    Dempster, Laird and Rubin, "Maximum likelihood from incomplete data via the EM algorithm", 1977.

    Examples
    --------
    >>> import dask.array as da
    >>> X = da.from_array(np.array([[0.0], [1.0], [10.0], [11.0]]), chunks=(2, 1))
    >>> np.sort(GaussianMixture(2, random_state=0).fit(X).means_.ravel())
    array([ 0.5, 10.5])
    """

    _of_products = ("tied",)

    def bic(self, X: Any) -> float:
        """Return the Bayesian information criterion of the model on X: the lower, the better.

        Parameters
        ----------
        X : Dask array or DataFrame, or anything that scikit-learn takes, of shape (n_samples, n_features)

        Returns
        -------
        float
            Minus twice the log-likelihood, plus the logarithm of the number of rows for each parameter.
        """
        n_rows, likelihood = self._likelihood(X)
        return float(-2 * likelihood + self._n_free() * np.log(n_rows))

    def aic(self, X: Any) -> float:
        """Return Akaike's information criterion of the model on X: the lower, the better.

        Parameters
        ----------
        X : Dask array or DataFrame, or anything that scikit-learn takes, of shape (n_samples, n_features)

        Returns
        -------
        float
            Minus twice the log-likelihood, plus 2 for each parameter.
        """
        _, likelihood = self._likelihood(X)
        return float(-2 * likelihood + 2 * self._n_free())

    def _given(self, d: int) -> dict[str, Array]:
        names = ("weights_init", "means_init", "precisions_init")
        found = self._arrays(dict(zip(names, self._shapes(d).values(), strict=True)))
        weights = found.get("weights_init")
        if weights is not None and ((weights < 0).any() or not np.isclose(weights.sum(), 1.0)):
            raise ValueError(f"weights_init: expected numbers from 0 to 1 that sum to 1, got {weights}")
        if "precisions_init" in found:
            check_positive("precisions_init", found["precisions_init"], self.covariance_type)
        return found

    def _improvement(
        self, given: Mapping[str, Array], spread: RowSpread
    ) -> Callable[[Likeliest, MixtureSums], tuple[Likeliest, float]]:
        return partial(maximized, reg_covar=self.reg_covar, scatter=spread.products)

    def _start(self, rows: Array, shift: Array, given: Mapping[str, Array], draw: np.random.RandomState) -> Likeliest:
        weights, means, precisions = (given.get(name) for name in ("weights_init", "means_init", "precisions_init"))
        factors = None if precisions is None else factors_of_precisions(precisions, self.covariance_type)
        if weights is None or means is None or factors is None:
            changed = dict.fromkeys(("weights_init", "means_init", "precisions_init"))
            # covariances of the start, which may have no inverse, are not needed beside precisions
            reg_covar = self.reg_covar if factors is None else 1.0
            first = self._first(rows, draw, **changed, reg_covar=reg_covar, warm_start=False)
            weights = first.weights_ if weights is None else weights
            means = first.means_ + shift if means is None else means
            factors = first.precisions_cholesky_ if factors is None else factors
        return Likeliest(Gaussians(weights, means - shift, factors, self.covariance_type), None)

    def _last(self, shift: Array) -> Likeliest:
        weights, means, factors = self._remembered(self._shapes(len(shift)))
        return Likeliest(Gaussians(weights, means - shift, factors, self.covariance_type), None)

    def _shapes(self, d: int) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the arrays that describe the components."""
        k = self.n_components
        return {"weights_": (k,), "means_": (k, d), "precisions_cholesky_": self._shape_of_factors(d)}

    def _attributes(self, components: Likeliest, given: Mapping[str, Array], spread: RowSpread) -> dict[str, Any]:
        gaussians, covariances = components
        if covariances is None:
            precisions = precisions_of(gaussians.factors, gaussians.kind)
            covariances = np.linalg.inv(precisions) if gaussians.kind in ("full", "tied") else 1 / precisions
        return {
            "weights_": gaussians.weights,
            "means_": gaussians.means + spread.mean,
            "covariances_": covariances,
            "precisions_cholesky_": gaussians.factors,
        }

    def _likelihood(self, X: Any) -> tuple[int, float]:
        """Return the number of rows of X and their log-likelihood."""
        check_is_fitted(self)
        if not is_dask(X):
            samples = self.score_samples(X)
            return len(samples), float(samples.sum())
        check_features(self, X)
        asked = Joint((BlockScores(without_names(self.to_sklearn()), "mean"), Summary(False)))
        with open_engine(X, many_passes=False) as engine:
            (score,), (counted,) = engine.answer(asked)
        return counted.n_rows, counted.n_rows * float(score)

    def _n_free(self) -> int:
        """Return the number of free parameters."""
        k, d = self.means_.shape
        matrix = d * (d + 1) // 2
        of_covariances = {"full": k * matrix, "tied": matrix, "diag": k * d, "spherical": k}
        return int(of_covariances[self.covariance_type] + k * d + k - 1)

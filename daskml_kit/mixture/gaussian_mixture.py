"""Gaussian mixture model."""

from __future__ import annotations

import warnings
from typing import Any, Self

import numpy as np
import sklearn.mixture
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from daskml_kit.arguments import check_choice, check_number, naming, random_state_of
from daskml_kit.base import DaskEstimator, without_names
from daskml_kit.data.collections import is_dask
from daskml_kit.engines.open import open_engine
from daskml_kit.numerics.gaussian_components import KINDS, Gaussians, factors_of_precisions, precisions_of
from daskml_kit.reductions.block_scores import BlockScores
from daskml_kit.reductions.gram import Gram
from daskml_kit.reductions.moments import Moments
from daskml_kit.reductions.reduction import Joint
from daskml_kit.reductions.summary import DataSummary, Summary
from daskml_kit.solvers.expectation_maximization import Mixture, expectation_maximization
from daskml_kit.solvers.run import lockstep
from daskml_kit.solvers.types import DataSpec, Fit
from daskml_kit.typing import Array
from daskml_kit.validation import check_features, seed_of

SAMPLE_ROWS = 20_000
"""Rows of which the first components are made."""
STARTS = ("kmeans", "k-means++", "random", "random_from_data")


class GaussianMixture(DaskEstimator, sklearn.mixture.GaussianMixture):  # type: ignore[misc]
    r"""Mixture of normal distributions, fitted by expectation-maximization, a pass an iteration.

    All starts advance in the same passes, and so do all candidates of a search.

    Parameters
    ----------
    n_components : int, default 1
    covariance_type : {"full", "tied", "diag", "spherical"}, default "full"
        Each component has a covariance matrix, or all have the same, or each has a variance of each feature, or one.
    tol : float, default 1e-3
        It has converged when the mean log-likelihood gains less.
    reg_covar : float, default 1e-6
        Added to variances.
    max_iter : int, default 100
    n_init : int, default 1
        Starts, of which the one of the greatest likelihood is kept.
    init_params : {"kmeans", "k-means++", "random", "random_from_data"}, default "kmeans"
        Responsibilities at the start: clusters, single rows, or random numbers. They are those of a sample of some
        20,000 rows, which is all rows where there are fewer.
    weights_init : array of shape (n_components,), optional
    means_init : array of shape (n_components, n_features), optional
    precisions_init : array, optional
        Inverse covariances at the start, of the shape of ``precisions_``.
    random_state : int, RandomState or None, optional
    warm_start : bool, default False
        Whether a fit starts where the last one ended.
    verbose : int, default 0
        Above 0, print a line for each pass.
    verbose_interval : int, default 10
        Not used: each pass has its line.

    Attributes
    ----------
    weights_ : array of shape (n_components,)
    means_ : array of shape (n_components, n_features)
    covariances_, precisions_, precisions_cholesky_ : array
        Covariances, their inverses, and upper triangles U with U U' the inverse: of shape (n_components, n_features,
        n_features) if "full", (n_features, n_features) if "tied", (n_components, n_features) if "diag",
        (n_components,) if "spherical".
    converged_ : bool
    n_iter_ : int
    lower_bound_ : float
        Mean log-likelihood of the rows, before the last step.
    lower_bounds_ : list of float
        That of each iteration.
    profile_ : daskml_kit.engines.engine.Profile

    See Also
    --------
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

    _score_is = "mean"

    def fit(self, X: Any, y: Any = None) -> Self:  # type: ignore[override]
        """Fit the mixture to the rows of X.

        Parameters
        ----------
        X : Dask array or DataFrame, NumPy array or pandas DataFrame of shape (n_samples, n_features)
        y : ignored

        Returns
        -------
        GaussianMixture
            Itself.

        Raises
        ------
        DataError
            Where the data cannot be used; it names the argument and the block.
        ValueError
            Where a component has no variance left.
        """
        return self._fit_blocks(X)

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

    def _fit_steps(self, spec: DataSpec) -> Fit:
        given = self._given(spec.n_features)
        sample: DataSummary
        drawn = Summary(False, SAMPLE_ROWS, spec.n_blocks, seed_of(self.random_state), starts=True)
        sample, found = yield drawn, Gram() if self.covariance_type == "tied" else Moments()
        if sample.n_rows < max(self.n_components, 2):
            raise ValueError(
                f"Expected n_samples >= n_components but got n_components = {self.n_components}, n_samples = "
                f"{sample.n_rows}; a minimum of 2 is required."
            )
        warm, draw = self.warm_start and hasattr(self, "converged_"), random_state_of(self.random_state)
        options = {"tol": self.tol, "max_iter": self.max_iter, "reg_covar": self.reg_covar}
        if self.covariance_type == "tied":
            options["scatter"] = found.product[: spec.n_features, : spec.n_features]
        shift = found.mean[: spec.n_features]
        rows = sample.sample_X - shift
        starts = [self._last(shift)] if warm else [self._start(rows, shift, given, draw) for _ in range(self.n_init)]
        options["bound"] = self.lower_bound_ if warm else -np.inf
        ended = yield from lockstep(
            {at: expectation_maximization(start, shift, **options) for at, start in enumerate(starts)}
        )
        best = max(ended.values(), key=lambda mixture: mixture.bound)
        if not best.converged and self.max_iter:
            warnings.warn(
                "Best performing initialization did not converge. Try different init parameters, or increase max_iter, "
                "tol, or check for degenerate data.",
                ConvergenceWarning,
                stacklevel=2,
            )
        return self._fitted(best, shift, spec)

    def _fitted(self, best: Mixture, shift: Array, spec: DataSpec) -> dict[str, Any]:
        weights, means, factors, kind = best.gaussians
        precisions = precisions_of(factors, kind)
        if best.covariances is None:
            covariances = np.linalg.inv(precisions) if kind in ("full", "tied") else 1 / precisions
        else:
            covariances = best.covariances
        arrays = {
            "weights_": weights,
            "means_": means + shift,
            "covariances_": covariances,
            "precisions_": precisions,
            "precisions_cholesky_": factors,
        }
        return {
            **{name: value.astype(spec.dtype, copy=False) for name, value in arrays.items()},
            "converged_": best.converged,
            "n_iter_": len(best.bounds),
            "lower_bound_": best.bound,
            "lower_bounds_": best.bounds,
        }

    def _start(self, rows: Array, shift: Array, given: dict[str, Array], draw: np.random.RandomState) -> Gaussians:
        """Return the components that scikit-learn starts with on the sampled rows, less the shift."""
        weights, means, precisions = (given.get(name) for name in ("weights_init", "means_init", "precisions_init"))
        factors = None if precisions is None else factors_of_precisions(precisions, self.covariance_type)
        if weights is None or means is None or factors is None:
            names = ("n_components", "covariance_type", "init_params", "reg_covar")
            options = {name: getattr(self, name) for name in names}
            if factors is not None:  # covariances of the start, which may have no inverse, are not needed then
                options["reg_covar"] = 1.0
            first = sklearn.mixture.GaussianMixture(**options, max_iter=0, random_state=draw).fit(rows)
            weights = first.weights_ if weights is None else weights
            means = first.means_ + shift if means is None else means
            factors = first.precisions_cholesky_ if factors is None else factors
        return Gaussians(weights, means - shift, factors, self.covariance_type)

    def _last(self, shift: Array) -> Gaussians:
        for name, shape in self._shapes(len(shift)).items():
            if getattr(self, name).shape != shape:
                raise ValueError(
                    f"warm_start: expected {name} of shape {shape} from the last fit, got {getattr(self, name).shape}"
                )
        weights, means, factors = (np.array(getattr(self, name), np.float64) for name in self._shapes(len(shift)))
        return Gaussians(weights, means - shift, factors, self.covariance_type)

    def _shapes(self, d: int) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the arrays that describe the components."""
        k = self.n_components
        factors = {"full": (k, d, d), "tied": (d, d), "diag": (k, d), "spherical": (k,)}[self.covariance_type]
        return {"weights_": (k,), "means_": (k, d), "precisions_cholesky_": factors}

    def _given(self, d: int) -> dict[str, Array]:
        """Return the parts of the start that are parameters, checked."""
        found: dict[str, Array] = {}
        names = ("weights_init", "means_init", "precisions_init")
        for name, shape in zip(names, self._shapes(d).values(), strict=True):
            if getattr(self, name) is None:
                continue
            with naming(name):
                found[name] = np.array(getattr(self, name), dtype=np.float64)
            if found[name].shape != shape:
                raise ValueError(f"{name}: expected the shape {shape}, got {found[name].shape}")
            if not np.isfinite(found[name]).all():
                raise ValueError(f"{name}: expected finite numbers, got {getattr(self, name)!r:.60}")
        weights, precisions = found.get("weights_init"), found.get("precisions_init")
        if weights is not None and ((weights < 0).any() or not np.isclose(weights.sum(), 1.0)):
            raise ValueError(f"weights_init: expected numbers from 0 to 1 that sum to 1, got {weights}")
        if precisions is not None and not _positive(precisions, self.covariance_type):
            raise ValueError(f"precisions_init: '{self.covariance_type} precision' should be symmetric and positive")
        return found

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

    def _check_parameters(self) -> None:
        for name, low in {"n_components": 1, "max_iter": 0, "n_init": 1, "verbose_interval": 1}.items():
            check_number(name, getattr(self, name), low=low, integer=True)
        check_number("tol", self.tol, low=0)
        check_number("reg_covar", self.reg_covar, low=0)
        check_choice("covariance_type", self.covariance_type, KINDS)
        check_choice("init_params", self.init_params, STARTS)


def _positive(precisions: Array, kind: str) -> bool:
    if kind not in ("full", "tied"):
        return bool((precisions > 0).all())
    return bool(np.allclose(precisions, precisions.mT) and (np.linalg.eigvalsh(precisions) > 0).all())

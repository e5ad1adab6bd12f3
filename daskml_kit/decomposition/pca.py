"""Principal component analysis, and the truncated singular value decomposition: components of a scatter matrix."""

from __future__ import annotations

from typing import Any

import numpy as np
import sklearn.decomposition
from scipy.special import gammaln
from sklearn.utils.extmath import svd_flip

from daskml_kit.arguments import check_choice, check_number, random_state_of
from daskml_kit.base import UnsupervisedEstimator, without_names
from daskml_kit.reductions.gram import Triangle
from daskml_kit.reductions.moments import Moments
from daskml_kit.solvers.subspace import MANY_FEATURES, Leading, leading_components
from daskml_kit.solvers.types import DataSpec, Fit
from daskml_kit.solvers.views import AffineView, projected
from daskml_kit.typing import Array


class Components(UnsupervisedEstimator):
    """Estimator of components, on which it projects the rows."""

    @property
    def many_passes(self) -> bool:
        """True where the features are so many that one pass is not enough."""
        own: Any = self
        return bool(own.n_features_in_ > MANY_FEATURES)

    def _projection(self, spec: DataSpec, maps: Array, offset: Array | float = 0.0) -> AffineView:
        """Return the view of the rows times ``maps``, of shape (n_features, n_components), and plus ``offset``."""
        return projected(maps, offset, without_names(self.to_sklearn()), spec.shared)


SMALLEST = 1e-15
"""Variance below which there is none."""
SOLVERS = ("auto", "full", "covariance_eigh", "arpack", "randomized")


class PCA(Components, sklearn.decomposition.PCA):  # type: ignore[misc]
    """Principal component analysis, from the eigenvectors of the covariance matrix: in one pass, or of many features in
    some passes that never make it.

    Parameters
    ----------
    n_components : int, float from 0 to 1, "mle" or None, optional
        Number of components, or the share of the variance that they are to explain, or "mle" for the most likely number
        (Minka 2000); by default all.
    copy : bool, default True
        X is never written to, whatever this says.
    whiten : bool, default False
        Whether `transform` gives components of variance 1.
    svd_solver : {"auto", "full", "covariance_eigh", "arpack", "randomized"}, default "auto"
        All give the exact components here, of sparse rows, too.
    tol : float, default 0.0
        Of scikit-learn's iterative solvers, none of which is needed: not used.
    iterated_power : int or "auto", default "auto"
        Not used.
    n_oversamples : int, default 10
        Not used.
    power_iteration_normalizer : {"auto", "QR", "LU", "none"}, default "auto"
        Not used.
    random_state : int, RandomState or None, optional
        Of the first vectors where the features are many; the components do not depend on them.

    Attributes
    ----------
    components_ : array of shape (n_components, n_features)
    explained_variance_, explained_variance_ratio_, singular_values_ : array of shape (n_components,)
    mean_ : array of shape (n_features,)
    noise_variance_ : float
    n_components_, n_samples_ : int
    profile_ : daskml_kit.engines.engine.Profile

    See Also
    --------
    daskml_kit.preprocessing.StandardScaler : Features of variance 1, where their units are not comparable.

    References
    ----------
    Tipping and Bishop, "Probabilistic principal component analysis", 1999. Minka, "Automatic choice of dimensionality
    for PCA", 2000.

    Examples
    --------
    >>> import dask.array as da
    >>> X = da.from_array(np.array([[0.0, 0.0], [1.0, 2.0], [2.0, 4.0]]), chunks=(2, 2))
    >>> PCA(1).fit(X).components_.round(3)
    array([[0.447, 0.894]])
    """

    _score_is = "mean"

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True  # scikit-learn's solvers "full" and "randomized" are not for sparse rows
        return tags

    def _fit_steps(self, spec: DataSpec) -> Fit:
        d, whole = spec.n_features, isinstance(self.n_components, (int, np.integer))
        k = int(self.n_components) if whole and 0 < self.n_components <= d else None
        found = yield from leading_components(d, k, random_state_of(self.random_state), centered=True)
        n = found.n_rows
        if n < 2:
            raise ValueError(f"PCA: Found array with {n} sample(s) while a minimum of 2 is required.")
        values, total = found.values / (n - 1), found.total / (n - 1)
        _, components = svd_flip(None, found.vectors.T, u_based_decision=False)
        k = self._n_kept(values, min(d, n), total) if self.n_components != "mle" else likeliest_rank(values, n)
        ratio = values / total if total > 0 else values
        noise = np.float64(max(total - values[:k].sum(), 0.0)) / (min(d, n) - k) if k < min(d, n) else 0.0
        kept = {
            "components_": components[:k],
            "explained_variance_": values[:k],
            "explained_variance_ratio_": ratio[:k],
            "singular_values_": np.sqrt(values[:k] * (n - 1)),
        }
        fitted = {name: np.array(value, dtype=spec.dtype) for name, value in kept.items()}
        return {
            **fitted,
            "mean_": found.mean.astype(spec.dtype),
            "noise_variance_": noise,
            "n_components_": np.int64(k) if isinstance(self.n_components, (str, float)) else k,
            "n_samples_": n,
        }

    def _n_kept(self, values: Array, most: int, total: float) -> int:
        if self.n_components is None:
            return most
        if isinstance(self.n_components, (int, np.integer)) and 0 <= self.n_components <= most:
            return int(self.n_components)
        if isinstance(self.n_components, float) and 0 < self.n_components < 1:
            return int(np.searchsorted(np.cumsum(values / total), self.n_components, side="right")) + 1
        raise ValueError(
            f"n_components={self.n_components!r} must be between 0 and min(n_samples, n_features)={most}, or a share "
            "of the variance between 0 and 1"
        )

    def _view(self, spec: DataSpec) -> AffineView:
        maps = self.components_.T.astype(np.float64)
        if self.whiten:
            maps = maps / np.sqrt(self.explained_variance_)
        return self._projection(spec, maps, -(self.mean_ @ maps))

    def _check_parameters(self) -> None:
        check_choice("svd_solver", self.svd_solver, SOLVERS)
        check_choice("power_iteration_normalizer", self.power_iteration_normalizer, ("auto", "QR", "LU", "none"))
        check_number("tol", self.tol, low=0)
        check_number("n_oversamples", self.n_oversamples, low=1, integer=True)
        if self.iterated_power != "auto":
            check_number("iterated_power", self.iterated_power, low=0, integer=True)
        if self.n_components == "mle":
            check_choice("svd_solver, with n_components='mle',", self.svd_solver, ("auto", "full", "covariance_eigh"))
        elif self.n_components is not None and not isinstance(self.n_components, (int, float, np.integer)):
            raise ValueError(f"n_components: expected a number, 'mle' or None, got {self.n_components!r}")


def likeliest_rank(values: Array, n_samples: int) -> int:
    """Return the number of components of largest evidence, by Laplace's approximation (Minka 2000, equation 77).

    Parameters
    ----------
    values : array of shape (n_features,)
        Eigenvalues of the covariance, falling.
    n_samples : int

    Returns
    -------
    int
        Less than n_features.

    Raises
    ------
    ValueError
        Where there are fewer rows than features.

    Examples
    --------
    >>> likeliest_rank(np.array([9.0, 4.0, 0.12, 0.1, 0.09]), 100)
    2
    """
    d = len(values)
    if n_samples < d:
        raise ValueError(f"n_components='mle' is only supported if n_samples >= n_features, got {n_samples} < {d}")
    spectrum = np.where(values > d * np.finfo(np.float64).eps * values.max(initial=0), values, 0.0)
    evidence = [_evidence(spectrum, rank, n_samples) for rank in range(1, d)]
    return 1 + int(np.argmax(evidence)) if max(evidence, default=-np.inf) > -np.inf else 0


def _evidence(spectrum: Array, rank: int, n: int) -> float:
    """Return the logarithm of the evidence for a rank."""
    d = len(spectrum)
    if spectrum[rank - 1] < SMALLEST:
        return -np.inf
    sizes = d - np.arange(rank)
    uniform = float(np.sum(gammaln(sizes / 2) - np.log(np.pi) * sizes / 2)) - rank * np.log(2)
    noise = max(SMALLEST, float(spectrum[rank:].sum()) / (d - rank))
    n_free = d * rank - rank * (rank + 1) / 2
    smoothed = np.append(spectrum[:rank], np.full(d - rank, noise))
    left, right = np.triu_indices(rank, 1, d)
    with np.errstate(divide="ignore", invalid="ignore"):
        curvature = np.log((spectrum[left] - spectrum[right]) * (1 / smoothed[right] - 1 / smoothed[left])) + np.log(n)
    likelihood = -(np.log(spectrum[:rank]).sum() + np.log(noise) * (d - rank)) * n / 2
    rest = np.log(2 * np.pi) * (n_free + rank) / 2 - curvature.sum() / 2 - rank * np.log(n) / 2
    return float(uniform + likelihood + rest)


class TruncatedSVD(Components, sklearn.decomposition.TruncatedSVD):  # type: ignore[misc]
    """Truncated singular value decomposition, without centering (latent semantic analysis): dense or sparse rows.

    In one pass, or of many features in some passes that never make their Gram matrix.

    Parameters
    ----------
    n_components : int, default 2
        Components, at most as many as features.
    algorithm : {"randomized", "arpack", "tsqr"}, default "randomized"
        The first two give the same exact components here, from products of the features. "tsqr" (dask-ml's name) finds
        them by a QR decomposition of all rows, for singular values that are a millionth of the largest and less.
    n_iter : int, default 5
        Not used: passes go on until the components have converged.
    n_oversamples : int, default 10
        Not used.
    power_iteration_normalizer : {"auto", "QR", "LU", "none"}, default "auto"
        Not used.
    random_state : int, RandomState or None, optional
        Of the first vectors where the features are many; the components do not depend on them.
    tol : float, default 0.0
        Not used.

    Attributes
    ----------
    components_ : array of shape (n_components, n_features)
        Right singular vectors.
    explained_variance_, explained_variance_ratio_, singular_values_ : array of shape (n_components,)
    profile_ : daskml_kit.engines.engine.Profile

    See Also
    --------
    PCA : Of centered features.

    References
    ----------
    Musco and Musco, "Randomized block Krylov methods for stronger and faster approximate singular value decomposition",
    NIPS 2015. Demmel, Grigori, Hoemmen and Langou, "Communication-optimal parallel and sequential QR and LU
    factorizations", 2012 ("tsqr").

    Examples
    --------
    >>> import dask.array as da
    >>> X = da.from_array(np.array([[3.0, 0.0], [0.0, 2.0], [4.0, 0.0]]), chunks=(2, 2))
    >>> TruncatedSVD(1).fit(X).singular_values_
    array([5.])
    """

    def _fit_steps(self, spec: DataSpec) -> Fit:
        d, k = spec.n_features, int(self.n_components)
        if k > d:
            raise ValueError(f"n_components({k}) must be <= n_features({d}).")
        if self.algorithm == "tsqr":
            triangle, spread = yield Triangle(), Moments()
            _, singular, right = np.linalg.svd(triangle[:, 1:], full_matrices=False)
            found = Leading(singular**2, right.T, spread.n_rows, spread.mean, float(spread.squares.sum()))
        else:
            found = yield from leading_components(d, k, random_state_of(self.random_state), centered=False)
        if found.n_rows < 1:
            raise ValueError(f"Found array with 0 sample(s) (shape=(0, {d})) while a minimum of 1 is required.")
        _, components = svd_flip(None, found.vectors[:, :k].T, u_based_decision=False)
        variance = np.maximum(found.values[:k] / found.n_rows - (components @ found.mean) ** 2, 0)
        fitted = {
            "components_": components,
            "explained_variance_": variance,
            "explained_variance_ratio_": variance / (found.total / found.n_rows),
            "singular_values_": np.sqrt(found.values[:k]),
        }
        return {name: np.asarray(value, dtype=spec.dtype) for name, value in fitted.items()}

    def _view(self, spec: DataSpec) -> AffineView:
        return self._projection(spec, self.components_.T)

    def _check_parameters(self) -> None:
        check_number("n_components", self.n_components, low=1, integer=True)
        check_choice("algorithm", self.algorithm, ("randomized", "arpack", "tsqr"))
        check_choice("power_iteration_normalizer", self.power_iteration_normalizer, ("auto", "QR", "LU", "none"))
        check_number("n_iter", self.n_iter, low=0, integer=True)
        check_number("n_oversamples", self.n_oversamples, low=1, integer=True)
        check_number("tol", self.tol, low=0)

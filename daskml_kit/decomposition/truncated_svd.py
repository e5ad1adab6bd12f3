"""Truncated singular value decomposition."""

from __future__ import annotations

import numpy as np
import sklearn.decomposition
from sklearn.utils.extmath import svd_flip

from daskml_kit.arguments import check_choice, check_number, random_state_of
from daskml_kit.decomposition.base import Components
from daskml_kit.reductions.gram import Triangle
from daskml_kit.reductions.moments import Moments
from daskml_kit.solvers.subspace import Leading, leading_components
from daskml_kit.solvers.types import DataSpec, Fit
from daskml_kit.solvers.views import AffineView


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

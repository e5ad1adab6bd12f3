"""Linear discriminant analysis."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import scipy.linalg
import sklearn.discriminant_analysis

from daskml_kit.arguments import check_choice, check_number
from daskml_kit.base import without_names
from daskml_kit.discriminant_analysis.base import DiscriminantAnalysis, RowGroups
from daskml_kit.numerics.linalg import scale_of
from daskml_kit.solvers.run import lockstep
from daskml_kit.solvers.types import DataSpec, Fit
from daskml_kit.solvers.views import AffineView, projected
from daskml_kit.typing import Array


class LinearDiscriminantAnalysis(DiscriminantAnalysis, sklearn.discriminant_analysis.LinearDiscriminantAnalysis):  # type: ignore[misc]
    """Linear discriminant analysis: classes are normal with one covariance matrix; in one pass.

    Parameters
    ----------
    solver : {"svd", "lsqr", "eigen"}, default "svd"
        "lsqr" cannot transform rows; "lsqr" and "eigen" can shrink covariances.
    shrinkage : "auto", float from 0 to 1 or None, optional
        Of the classes' covariance matrices; "auto" is Ledoit and Wolf's, and takes a second pass.
    priors : array of shape (n_classes,), optional
        Probabilities of the classes; by default their shares of the rows.
    n_components : int, optional
        Number of components that `transform` gives; by default all, one less than classes at most.
    store_covariance : bool, default False
        Whether "svd" has ``covariance_``, too.
    tol : float, default 1e-4
        Singular values up to which directions within the classes are left out; "svd" only.
    covariance_estimator : EmpiricalCovariance, ShrunkCovariance, LedoitWolf or OAS, optional
        In place of ``shrinkage``, not for "svd": of `daskml_kit.covariance` or scikit-learn, with its parameters.

    Attributes
    ----------
    classes_ : array of shape (n_classes,)
    priors_ : array of shape (n_classes,)
    means_ : array of shape (n_classes, n_features)
    coef_ : array of shape (n_classes, n_features), or (1, n_features) of two classes
    intercept_ : array of shape (n_classes,), or (1,)
    covariance_ : array of shape (n_features, n_features)
        Within the classes; of "svd" only with ``store_covariance``.
    explained_variance_ratio_ : array of shape (n_components,)
        Not of "lsqr".
    scalings_ : array of shape (n_features, rank)
        Directions that tell the classes apart; not of "lsqr".
    xbar_ : array of shape (n_features,)
        Mean; "svd" only.
    profile_ : daskml_kit.engines.engine.Profile

    See Also
    --------
    QuadraticDiscriminantAnalysis : Each class has a covariance matrix of its own.
    daskml_kit.linear_model.LogisticRegression : Classes need not be normal.

    References
    ----------
    Hastie, Tibshirani and Friedman, "The elements of statistical learning", 2009, section 4.3.

    Examples
    --------
    >>> import dask.array as da
    >>> X = da.from_array(np.array([[0.0, 1.0], [1.0, 0.0], [8.0, 9.0], [9.0, 7.0]]), chunks=(2, 2))
    >>> y = da.from_array(np.array(["a", "a", "b", "b"]), chunks=2)
    >>> LinearDiscriminantAnalysis().fit(X, y).predict(X).compute().tolist()
    ['a', 'a', 'b', 'b']
    """

    def _fit_steps(self, spec: DataSpec) -> Fit:
        labels, classes, whole = yield from self._classes(spec)
        n, k = int(classes.rows.sum()), len(labels)
        if n < 2:
            raise ValueError(f"Found array with {n} sample(s) while a minimum of 2 is required.")
        if n == k:
            raise ValueError("The number of samples must be more than the number of classes.")
        most = min(k - 1, spec.n_features)
        if self.n_components is not None and self.n_components > most:
            raise ValueError(f"n_components cannot be larger than min(n_features, n_classes - 1), which is {most}.")
        priors = self._priors_of(classes.rows)
        if self.solver == "svd":
            fitted = self._by_svd(classes, priors)
        else:
            asked = {"classes": self._covariances(classes)}
            if self.solver == "eigen":
                asked["whole"] = self._covariances(whole)
            found = yield from lockstep(asked)
            within = np.tensordot(priors, found["classes"], 1)
            fitted = (
                self._by_lsqr(classes, within)
                if self.solver == "lsqr"
                else self._by_eigen(classes, within, found["whole"][0])
            )
            products = np.einsum("kd,kd->k", classes.means, fitted["coef_"])
            fitted |= {"covariance_": within, "intercept_": np.log(priors) - 0.5 * products}
        if k == 2:
            fitted["coef_"] = fitted["coef_"][1:] - fitted["coef_"][:1]
            fitted["intercept_"] = fitted["intercept_"][1:] - fitted["intercept_"][:1]
        if "explained_variance_ratio_" in fitted:
            kept = most if self.n_components is None else self.n_components
            fitted["explained_variance_ratio_"] = fitted["explained_variance_ratio_"][:kept]
        fitted |= {"means_": classes.means, "priors_": priors}
        arrays = {name: value.astype(spec.dtype, copy=False) for name, value in fitted.items()}
        return {**self._widths(k, spec.n_features), **arrays, "classes_": labels}

    def _by_svd(self, classes: RowGroups, priors: Array) -> dict[str, Array]:
        """Return what scikit-learn's "svd" finds; the singular values are roots of eigenvalues here."""
        n, k = classes.rows.sum(), len(priors)
        within, center = classes.products.sum(axis=0) / n, priors @ classes.means
        scale = scale_of(np.diag(within), np.abs(classes.means).max(axis=0), n)
        values, vectors = np.linalg.eigh(within / np.outer(scale, scale))
        roots, vectors = np.sqrt(np.maximum(values[::-1], 0)), vectors[:, ::-1]
        rank = int((roots > self.tol).sum())
        scalings = vectors[:, :rank] / scale[:, None] / roots[:rank]
        apart = np.sqrt(n * priors / max(k - 1, 1))[:, None] * (classes.means - center)
        _, between, directions = np.linalg.svd(apart @ scalings, full_matrices=False)
        with np.errstate(invalid="ignore"):
            ratio = between**2 / (between**2).sum()
        scalings = scalings @ directions.T[:, : int((between > self.tol * between.max(initial=0)).sum())]
        inside = (classes.means - center) @ scalings
        coef = inside @ scalings.T
        found = {
            "xbar_": center,
            "scalings_": scalings,
            "explained_variance_ratio_": ratio,
            "coef_": coef,
            "intercept_": np.log(priors) - 0.5 * (inside**2).sum(axis=1) - coef @ center,
        }
        if self.store_covariance:
            found["covariance_"] = np.tensordot(priors / classes.rows, classes.products, 1)
        return found

    def _by_lsqr(self, classes: RowGroups, within: Array) -> dict[str, Array]:
        return {"coef_": scipy.linalg.lstsq(within, classes.means.T)[0].T}

    def _by_eigen(self, classes: RowGroups, within: Array, total: Array) -> dict[str, Array]:
        values, vectors = scipy.linalg.eigh(total - within, within)
        scalings = vectors[:, ::-1]
        return {
            "scalings_": scalings,
            "explained_variance_ratio_": np.sort(values / values.sum())[::-1],
            "coef_": classes.means @ scalings @ scalings.T,
        }

    def _view(self, spec: DataSpec) -> AffineView:
        maps = self.scalings_[:, : len(self.explained_variance_ratio_)].astype(np.float64)
        offset = -(self.xbar_ @ maps) if self.solver == "svd" else 0.0
        return projected(maps, offset, without_names(self.to_sklearn()), spec.shared)

    def _widths(self, n_classes: int, n_features: int) -> dict[str, Any]:
        """Return what scikit-learn's `transform` needs beside public attributes, from a fit to a few made-up rows."""
        draw = np.random.default_rng(0)
        rows, labels = draw.normal(size=(n_classes + 1, n_features)), np.append(np.arange(n_classes), 0)
        twin = sklearn.discriminant_analysis.LinearDiscriminantAnalysis(n_components=self.n_components)
        twin.fit(rows, labels)
        return {name: value for name, value in vars(twin).items() if name.startswith("_")}

    def _priors_of(self, rows: Array) -> Array:
        priors = self._given_priors(rows)
        if abs(priors.sum() - 1.0) > 1e-5:
            warnings.warn("The priors do not sum to 1. Renormalizing", UserWarning, stacklevel=2)
            priors = priors / priors.sum()
        return priors

    def _check_parameters(self) -> None:
        check_choice("solver", self.solver, ("svd", "lsqr", "eigen"))
        super()._check_parameters()
        if self.n_components is not None:
            check_number("n_components", self.n_components, low=1, integer=True)

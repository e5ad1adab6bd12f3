"""Quadratic discriminant analysis."""

from __future__ import annotations

from typing import Any

import numpy as np
import sklearn.discriminant_analysis

from daskml_kit.arguments import check_choice, check_share
from daskml_kit.discriminant_analysis.base import DiscriminantAnalysis
from daskml_kit.solvers.types import DataSpec, Fit
from daskml_kit.typing import Array


class QuadraticDiscriminantAnalysis(DiscriminantAnalysis, sklearn.discriminant_analysis.QuadraticDiscriminantAnalysis):  # type: ignore[misc]
    """Quadratic discriminant analysis: each class is normal with a covariance matrix of its own; in one pass.

    Parameters
    ----------
    solver : {"svd", "eigen"}, default "svd"
        "svd" takes ``reg_param``, "eigen" takes ``shrinkage``.
    shrinkage : "auto", float from 0 to 1 or None, optional
        Of the covariance matrices; "auto" is Ledoit and Wolf's, and takes a second pass.
    priors : array of shape (n_classes,), optional
        Probabilities of the classes; by default their shares of the rows.
    reg_param : float from 0 to 1, default 0.0
        Share of the identity in covariance matrices; "svd" only.
    store_covariance : bool, default False
        Whether to keep ``covariance_``.
    tol : float, default 1e-4
        Variances up to which a class is taken not to have all directions, which is an error.
    covariance_estimator : EmpiricalCovariance, ShrunkCovariance, LedoitWolf or OAS, optional
        In place of ``shrinkage``, not for "svd": of `daskml_kit.covariance` or scikit-learn, with its parameters.

    Attributes
    ----------
    classes_ : array of shape (n_classes,)
    priors_ : array of shape (n_classes,)
    means_ : array of shape (n_classes, n_features)
    covariance_ : list of arrays of shape (n_features, n_features)
        One a class, with ``store_covariance``.
    rotations_ : list of arrays of shape (n_features, n_features)
        Eigenvectors of each class's covariance matrix, as columns.
    scalings_ : list of arrays of shape (n_features,)
        Variances along these, descending.
    profile_ : daskml_kit.engines.engine.Profile

    See Also
    --------
    LinearDiscriminantAnalysis : All classes have one covariance matrix.
    daskml_kit.naive_bayes.GaussianNB : Features are independent within a class.

    References
    ----------
    Hastie, Tibshirani and Friedman, "The elements of statistical learning", 2009, section 4.3.

    Examples
    --------
    >>> import dask.array as da
    >>> X = da.from_array(np.array([[0.0], [1.0], [8.0], [9.0]]), chunks=(2, 1))
    >>> y = da.from_array(np.array(["a", "a", "b", "b"]), chunks=2)
    >>> QuadraticDiscriminantAnalysis().fit(X, y).predict(X).compute().tolist()
    ['a', 'a', 'b', 'b']
    """

    def _fit_steps(self, spec: DataSpec) -> Fit:
        labels, classes, _ = yield from self._classes(spec)
        if len(labels) < 2:
            raise ValueError(f"The number of classes has to be greater than one. Got {len(labels)} class.")
        for label, rows in zip(labels, classes.rows, strict=True):
            if rows == 1:
                raise ValueError(f"y has only 1 sample in class {label}, covariance is ill defined.")
        priors = self._given_priors(classes.rows)
        found = yield from self._covariances(classes)
        scalings, rotations = [], []
        for label, rows, covariance in zip(labels, classes.rows, found, strict=True):
            values, vectors = np.linalg.eigh(covariance)
            values, vectors = values[::-1], vectors[:, ::-1]
            if self.solver == "svd":
                values = (1 - self.reg_param) * np.maximum(values, 0) + self.reg_param
            self._require_rank(label, values, int(rows))
            scalings.append(values.astype(spec.dtype, copy=False))
            rotations.append(vectors.astype(spec.dtype, copy=False))
            if self.solver == "svd":
                covariance[:] = (vectors * values) @ vectors.T
        fitted: dict[str, Any] = {
            "classes_": labels,
            "priors_": priors,
            "means_": classes.means.astype(spec.dtype, copy=False),
            "scalings_": scalings,
            "rotations_": rotations,
        }
        if self.store_covariance:
            fitted["covariance_"] = list(found.astype(spec.dtype, copy=False))
        return fitted

    def _require_rank(self, label: Any, values: Array, n_rows: int) -> None:
        d = len(values)
        if self.solver == "svd" and n_rows < d:
            raise np.linalg.LinAlgError(
                f"The covariance matrix of class {label} is not full rank. When using `solver='svd'` the number of "
                f"samples in each class should be more than the number of features, but class {label} has {n_rows} "
                f"samples and {d} features. Try using `solver='eigen'` and setting the parameter `shrinkage` for "
                "regularization."
            )
        if (values > self.tol).sum() < d:
            remedy = "shrinkage" if self.solver == "eigen" else "reg_param"
            raise np.linalg.LinAlgError(
                f"The covariance matrix of class {label} is not full rank. Increase the value of `{remedy}` to reduce "
                "the collinearity."
            )

    def _check_parameters(self) -> None:
        check_choice("solver", self.solver, ("svd", "eigen"))
        super()._check_parameters()
        check_share("reg_param", self.reg_param)
        if self.reg_param and self.solver == "eigen":
            raise ValueError(f"reg_param: expected 0 with solver='eigen', which takes shrinkage, got {self.reg_param}")

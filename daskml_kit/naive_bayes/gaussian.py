"""Gaussian naive Bayes classification."""

from __future__ import annotations

import numpy as np
import sklearn.naive_bayes

from daskml_kit.arguments import check_number, naming
from daskml_kit.linear_model.base import require_rows
from daskml_kit.naive_bayes.base import NaiveBayes
from daskml_kit.reductions.moments import Moments
from daskml_kit.reductions.per_class import ClassResults, PerClass, Unweighted
from daskml_kit.solvers.types import DataSpec, Fit
from daskml_kit.typing import Array
from daskml_kit.validation import check_labels


class GaussianNB(NaiveBayes, sklearn.naive_bayes.GaussianNB):  # type: ignore[misc]
    """Gaussian naive Bayes: each feature is normal within each class, and independent of the others; in one pass.

    Parameters
    ----------
    priors : array of shape (n_classes,), optional
        Probabilities of the classes; by default their shares of the rows.
    var_smoothing : float, default 1e-9
        Share of the largest variance of a feature that is added to all variances.

    Attributes
    ----------
    classes_ : array of shape (n_classes,)
    class_count_, class_prior_ : array of shape (n_classes,)
    theta_, var_ : array of shape (n_classes, n_features)
        Mean and variance of each feature in each class.
    epsilon_ : float
        The variance that was added.
    profile_ : daskml_kit.engines.engine.Profile

    See Also
    --------
    daskml_kit.linear_model.LogisticRegression : Features need not be independent within a class.

    References
    ----------
    Chan, Golub and LeVeque, "Algorithms for computing the sample variance", 1983.

    Examples
    --------
    >>> import dask.array as da
    >>> X = da.from_array(np.array([[0.0], [1.0], [8.0], [9.0]]), chunks=(2, 1))
    >>> GaussianNB().fit(X, da.from_array(np.array(["a", "a", "b", "b"]), chunks=2)).predict(X).compute().tolist()
    ['a', 'a', 'b', 'b']
    """

    _written = ("var_",)

    def _fit_steps(self, spec: DataSpec) -> Fit:
        found: ClassResults
        found, whole = yield PerClass(Moments()), Unweighted(Moments())
        count = np.array([float(moments.weight[0]) for moments in found.results])
        require_rows(whole.n_rows, count.sum(), spec.n_features)
        whole.require_finite()
        labels = found.labels if spec.labels is None else spec.labels[found.labels]
        check_labels(labels)
        epsilon = self.var_smoothing * float(whole.variance.max())
        with np.errstate(invalid="ignore"):
            variance = np.array([moments.variance for moments in found.results])
        return {
            "classes_": labels,
            "class_count_": count,
            "class_prior_": count / count.sum() if self.priors is None else self._given_priors(len(labels)),
            "theta_": np.array([moments.mean for moments in found.results]),
            "var_": variance + epsilon,
            "epsilon_": epsilon,
        }

    def _given_priors(self, n_classes: int) -> Array:
        with naming("priors"):
            priors = np.atleast_1d(np.asarray(self.priors, dtype=np.float64))
        if len(priors) != n_classes:
            raise ValueError("Number of priors must match number of classes.")
        if not np.isclose(priors.sum(), 1.0):
            raise ValueError("The sum of the priors should be 1.")
        if (priors < 0).any():
            raise ValueError("Priors must be non-negative.")
        return priors

    def _check_parameters(self) -> None:
        check_number("var_smoothing", self.var_smoothing, low=0)

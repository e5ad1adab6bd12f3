"""Classification by the nearest centroid of a class."""

from __future__ import annotations

import warnings
from collections.abc import Generator
from functools import partial, reduce
from typing import Any, Self

import numpy as np
import sklearn.neighbors

from daskml_kit.arguments import check_choice, check_number, check_priors
from daskml_kit.base import DaskEstimator
from daskml_kit.linear_model.base import require_rows
from daskml_kit.numerics.linalg import constant_features
from daskml_kit.reductions.moments import Moments, Spread
from daskml_kit.reductions.per_class import ClassResults, OfLabel, PerClass
from daskml_kit.reductions.quantiles import medians
from daskml_kit.solvers.run import lockstep
from daskml_kit.solvers.types import DataSpec, Fit
from daskml_kit.solvers.views import View, seen
from daskml_kit.typing import Array
from daskml_kit.validation import check_labels


class NearestCentroid(DaskEstimator, sklearn.neighbors.NearestCentroid):  # type: ignore[misc]
    """Classification by the nearest centroid of a class: means in one pass, medians exactly in some more.

    Parameters
    ----------
    metric : {"euclidean", "manhattan"}, default "euclidean"
        Centroids are means with the first, medians with the second.
    shrink_threshold : float, optional
        Number of standard deviations by which centroids are moved to the mean of all rows, or onto it.
    priors : {"uniform", "empirical"} or array of shape (n_classes,), default "uniform"
        Probabilities of the classes: equal, their shares of the rows, or as given.

    Attributes
    ----------
    classes_, class_prior_ : array of shape (n_classes,)
    centroids_ : array of shape (n_classes, n_features)
    deviations_ : array of shape (n_classes, n_features)
        Distances of the centroids from the mean of all rows, in standard deviations.
    within_class_std_dev_ : array of shape (n_features,)
        Standard deviation of each feature within the classes.
    profile_ : daskml_kit.engines.engine.Profile

    See Also
    --------
    daskml_kit.discriminant_analysis.LinearDiscriminantAnalysis : Features need not be independent within a class.

    References
    ----------
    Tibshirani, Hastie, Narasimhan and Chu, "Diagnosis of multiple cancer types by shrunken centroids of gene
    expression", 2002.

    Examples
    --------
    >>> import dask.array as da
    >>> X = da.from_array(np.array([[0.0], [1.0], [8.0], [9.0]]), chunks=(2, 1))
    >>> NearestCentroid().fit(X, da.from_array(np.array(["a", "a", "b", "b"]), chunks=2)).predict(X).compute().tolist()
    ['a', 'a', 'b', 'b']
    """

    @property
    def many_passes(self) -> bool:
        """True where medians are to be found."""
        return bool(self.metric == "manhattan")

    def fit(self, X: Any, y: Any) -> Self:  # type: ignore[override]
        """Fit the model.

        Parameters
        ----------
        X : Dask array or DataFrame, NumPy array, pandas DataFrame or sparse matrix, of shape (n_samples, n_features)
        y : array, Series, Dask array or Dask Series of shape (n_samples,)

        Returns
        -------
        NearestCentroid
            Itself.

        Raises
        ------
        DataError
            Where the data cannot be used; it names the argument and the block.
        """
        return self._fit_blocks(X, y)

    def _fit_steps(self, spec: DataSpec) -> Fit:
        found: ClassResults = yield PerClass(Moments())
        require_rows(len(found.results), 1.0, spec.n_features)
        labels = found.labels if spec.labels is None else spec.labels[found.labels]
        if len(labels) < 2:
            raise ValueError(f"The number of classes has to be greater than one; got {len(labels)} class")
        check_labels(labels)
        spreads: list[Spread] = found.results
        rows = np.array([float(spread.n_rows) for spread in spreads])
        priors = self._priors_of(rows)
        whole: Spread = reduce(Moments().combine, spreads)
        whole.require_finite()
        if constant_features(whole.variance, whole.mean, whole.n_rows).all():
            raise ValueError("All features have zero variance. Division by zero.")
        means = np.array([spread.mean for spread in spreads])
        centroids = (yield from _medians(found)) if self.metric == "manhattan" else means
        squares = sum(spread.squares for spread in spreads) + rows @ (means - centroids) ** 2
        std = _within(squares, np.abs(means).max(axis=0), whole.n_rows, len(labels))
        widths = np.sqrt(1 / rows - 1 / whole.n_rows)[:, None] * (std + np.median(std))
        with np.errstate(divide="ignore", invalid="ignore"):
            deviations = (centroids - whole.mean) / widths
        if self.shrink_threshold is not None:
            deviations = np.sign(deviations) * np.maximum(np.abs(deviations) - self.shrink_threshold, 0)
            centroids = whole.mean + widths * deviations
        return {
            "classes_": labels,
            "class_prior_": priors,
            "centroids_": centroids,
            "deviations_": deviations,
            "within_class_std_dev_": std,
        }

    def _priors_of(self, rows: Array) -> Array:
        if isinstance(self.priors, str):
            return np.asarray(rows / rows.sum()) if self.priors == "empirical" else np.full(len(rows), 1 / len(rows))
        priors = check_priors(self.priors, len(rows))
        if not np.isclose(priors.sum(), 1.0):
            warnings.warn(
                "The priors do not sum to 1. Normalizing such that it sums to one.", UserWarning, stacklevel=2
            )
            priors = priors / priors.sum()
        return priors

    def _check_parameters(self) -> None:
        check_choice("metric", self.metric, ("euclidean", "manhattan"))
        if isinstance(self.priors, str):
            check_choice("priors", self.priors, ("uniform", "empirical"))
        if self.shrink_threshold is not None:
            check_number("shrink_threshold", self.shrink_threshold, low=0, strict=True)


def _medians(found: ClassResults) -> Generator[Any, Any, Array]:
    """Return the medians of each class, which are found in common passes."""
    views = {at: View(partial(OfLabel, label=label)) for at, label in enumerate(found.labels)}
    every = yield from lockstep({at: seen(view, medians()) for at, view in views.items()})
    return np.array(list(every.values()))


def _within(squares: Array, size: Array, n_rows: int, n_classes: int) -> Array:
    """Return the standard deviations within the classes, exactly zero where they are so up to rounding."""
    with np.errstate(divide="ignore", invalid="ignore"):
        std = np.sqrt(squares / (n_rows - n_classes))
    std[constant_features(squares / n_rows, size, n_rows)] = 0
    if (std == 0).any():
        warnings.warn(
            "self.within_class_std_dev_ has at least 1 zero standard deviation. Inputs within the same classes for at "
            "least 1 feature are identical.",
            UserWarning,
            stacklevel=2,
        )
    return np.asarray(std)

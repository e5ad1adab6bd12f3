"""Base of discriminant analysis: the scatter of each class in one pass, and covariances of it."""

from __future__ import annotations

from collections.abc import Generator
from functools import reduce
from typing import Any, NamedTuple, Self

import numpy as np
from sklearn.covariance import shrunk_covariance

from daskml_kit.arguments import check_choice, check_number, check_priors, check_share
from daskml_kit.base import DaskEstimator
from daskml_kit.covariance.estimators import group_covariances, ledoit_wolf, of_moments
from daskml_kit.exceptions import DataError
from daskml_kit.linear_model.base import require_rows
from daskml_kit.numerics.linalg import scale_of
from daskml_kit.reductions.gram import Gram, Scatter
from daskml_kit.reductions.moments import FourthMoments
from daskml_kit.reductions.per_class import ClassResults, PerClass
from daskml_kit.solvers.types import DataSpec
from daskml_kit.typing import Array, Labels
from daskml_kit.validation import check_labels


class RowGroups(NamedTuple):
    """Rows, means, and products about the means, of each of some groups of rows: the classes, by their labels, or all.

    ``labels`` are as the blocks have them, None where all rows are one group.
    """

    labels: Labels | None
    rows: Array
    means: Array
    products: Array


class DiscriminantAnalysis(DaskEstimator):
    """Classifier by normal distributions of the classes, of which one pass gives means and scatter."""

    @property
    def many_passes(self) -> bool:
        """True where a shrinkage is found in a second pass."""
        own: Any = self
        if own.covariance_estimator is not None:
            return bool(of_moments(own.covariance_estimator).many_passes)
        return isinstance(own.shrinkage, str)

    def fit(self, X: Any, y: Any) -> Self:  # type: ignore[override]
        """Fit the model.

        Parameters
        ----------
        X : Dask array or DataFrame, NumPy array or pandas DataFrame of shape (n_samples, n_features)
        y : array, Series, Dask array or Dask Series of shape (n_samples,)

        Returns
        -------
        estimator
            Itself.

        Raises
        ------
        DataError
            Where the data cannot be used; it names the argument and the block.
        """
        return self._fit_blocks(X, y)

    def _classes(self, spec: DataSpec) -> Generator[Any, Any, tuple[Labels, RowGroups, RowGroups]]:
        """Return the labels, the classes, and all rows as one group."""
        found: ClassResults = yield PerClass(Gram())
        scatters: list[Scatter] = found.results
        require_rows(len(scatters), 1.0, spec.n_features)
        if any(scatter.sparse for scatter in scatters):
            raise DataError("X: expected a dense array, got a sparse one")
        for scatter in scatters:
            scatter.require_finite()
        labels = found.labels if spec.labels is None else spec.labels[found.labels]
        check_labels(labels)
        whole = reduce(Gram().combine, scatters)
        return labels, _groups(found.labels, scatters), _groups(None, [whole])

    def _given_priors(self, rows: Array) -> Array:
        own: Any = self
        return np.asarray(rows / rows.sum()) if own.priors is None else check_priors(own.priors, len(rows))

    def _check_parameters(self) -> None:
        own: Any = self
        check_number("tol", own.tol, low=0)
        if own.shrinkage is not None and isinstance(own.shrinkage, str):
            check_choice("shrinkage", own.shrinkage, ("auto",))
        elif own.shrinkage is not None:
            check_share("shrinkage", own.shrinkage)
        if own.shrinkage is not None and own.solver == "svd":
            raise NotImplementedError("shrinkage not supported with 'svd' solver.")
        if own.covariance_estimator is not None:
            of_moments(own.covariance_estimator)
            if own.solver == "svd":
                raise ValueError("covariance_estimator is not supported with solver='svd'. Try another solver")
            if own.shrinkage is not None:
                raise ValueError(
                    f"shrinkage: expected None with a covariance_estimator, got {own.shrinkage!r}: one of the two"
                )

    def _covariances(self, groups: RowGroups) -> Generator[Any, Any, Array]:
        """Return the covariance matrix of each group, as the parameters ask for it."""
        own: Any = self
        if own.covariance_estimator is None:
            return (yield from covariances(groups, own.shrinkage))
        estimator, sums = of_moments(own.covariance_estimator), (groups.rows, groups.means, groups.products)
        found, _ = yield from group_covariances(estimator, *sums, groups.labels)
        return found


def covariances(groups: RowGroups, shrinkage: Any) -> Generator[Any, Any, Array]:
    """Return the covariance matrix of each group, shrunk by a number, or "auto" as Ledoit and Wolf do.

    A shrinkage of theirs is that of standardized features, and takes a pass.
    """
    found: Array = groups.products / groups.rows[:, None, None]
    if shrinkage is None:
        return found
    if not isinstance(shrinkage, str):
        return np.asarray(shrunk_covariance(found, shrinkage))
    variances = np.diagonal(found, axis1=1, axis2=2)
    scales = scale_of(variances, groups.means, groups.rows[:, None])
    fourths: Array = yield FourthMoments(groups.means, scales, groups.labels)
    units = scales[:, :, None] * scales[:, None, :]
    correlations = found / units
    for each, fourth, rows in zip(correlations, fourths, groups.rows, strict=True):
        each[:] = shrunk_covariance(each, ledoit_wolf(each, float(fourth), int(rows)))
    return np.asarray(correlations * units)


def _groups(labels: Labels | None, scatters: list[Scatter]) -> RowGroups:
    rows = np.array([float(scatter.n_rows) for scatter in scatters])
    means, products = (np.array([getattr(scatter, name) for scatter in scatters]) for name in ("mean", "product"))
    return RowGroups(labels, rows, means, products)

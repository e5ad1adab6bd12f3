"""Base of the selectors of features."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np

from daskml_kit.base import DaskEstimator, restored, without_names
from daskml_kit.composition import without_dask
from daskml_kit.data.collections import is_dask
from daskml_kit.exceptions import DataError, NotShared
from daskml_kit.solvers.types import DataSpec
from daskml_kit.solvers.views import ChosenView

MOST_SHARED = 1_000
"""Features up to which a model behind the selection shares passes: its Hessian is one of all features."""


class FeatureSelector(DaskEstimator):
    """Mixin, before a scikit-learn selector, that selects columns of Dask data."""

    many_passes: ClassVar[Any] = False

    def fit(self, X: Any, y: Any = None) -> Self:  # type: ignore[override]
        """Find the features to select.

        Parameters
        ----------
        X : Dask array or DataFrame, NumPy array, pandas DataFrame or sparse matrix, of shape (n_samples, n_features)
        y : array or Dask array of shape (n_samples,), optional

        Returns
        -------
        selector
            Itself.

        Raises
        ------
        DataError
            Where the data cannot be used; it names the argument and the block.
        """
        if is_dask(X) or is_dask(y):
            return self._fit_blocks(X, y)
        if getattr(y, "ndim", 1) > 2:
            raise DataError(f"y should be a 1d array, got an array of shape {y.shape} instead.")
        with restored(self):
            super(DaskEstimator, self).fit(X, y)  # type: ignore[misc]
        return self

    def to_sklearn(self) -> Any:
        """Return scikit-learn's selector, free of Dask; a model that it holds is scikit-learn's, too.

        Returns
        -------
        estimator
            Fitted where this one is.
        """
        return without_dask(super().to_sklearn())


class SharedSelector(FeatureSelector):
    """Selector that fits by reductions, so that in a search it is made part of the model behind it."""

    def _view(self, spec: DataSpec) -> ChosenView:
        """Return the view of the selected features, for a model behind the selection."""
        if spec.n_features > MOST_SHARED:
            raise NotShared(f"features are selected of more than {MOST_SHARED}")
        own: Any = self
        return ChosenView(np.flatnonzero(own.get_support()), spec.n_features, without_names(self.to_sklearn()))

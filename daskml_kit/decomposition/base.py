"""Base of the estimators of components, the leading eigenvectors of a scatter matrix."""

from __future__ import annotations

from typing import Any, Self

from daskml_kit.base import DaskEstimator, without_names
from daskml_kit.solvers.subspace import MANY_FEATURES
from daskml_kit.solvers.types import DataSpec
from daskml_kit.solvers.views import AffineView, projected
from daskml_kit.typing import Array


class Components(DaskEstimator):
    """Estimator of components, on which it projects the rows."""

    @property
    def many_passes(self) -> bool:
        """True where the features are so many that one pass is not enough."""
        own: Any = self
        return bool(own.n_features_in_ > MANY_FEATURES)

    def fit(self, X: Any, y: Any = None) -> Self:  # type: ignore[override]
        """Find the components of X.

        Parameters
        ----------
        X : Dask array or DataFrame, NumPy array, pandas DataFrame or sparse matrix, of shape (n_samples, n_features)
        y : ignored

        Returns
        -------
        estimator
            Itself.

        Raises
        ------
        DataError
            Where the data cannot be used; it names the argument and the block.
        """
        return self._fit_blocks(X)

    def _projection(self, spec: DataSpec, maps: Array, offset: Array | float = 0.0) -> AffineView:
        """Return the view of the rows times ``maps``, of shape (n_features, n_components), and plus ``offset``."""
        return projected(maps, offset, without_names(self.to_sklearn()), spec.shared)

"""Base of the estimators of components, the leading eigenvectors of a scatter matrix."""

from __future__ import annotations

from typing import Any

from daskml_kit.base import UnsupervisedEstimator, without_names
from daskml_kit.solvers.subspace import MANY_FEATURES
from daskml_kit.solvers.types import DataSpec
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

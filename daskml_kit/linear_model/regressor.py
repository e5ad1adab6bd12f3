"""What linear regressors have in common."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import RegressorMixin

from daskml_kit.engines.blocks import is_dask
from daskml_kit.linear_model.model import LinearModel
from daskml_kit.metrics import r2_score
from daskml_kit.typing import Array


class LinearRegressor(RegressorMixin, LinearModel):  # type: ignore[misc]
    """Base of the linear regressors: lazy predictions, and the coefficient of determination as score."""

    def predict(self, X: Any) -> Any:
        """Return predictions of shape (n_samples,) or (n_samples, n_outputs); lazily on Dask input."""
        coef = getattr(self, "coef_", np.empty(0))
        return self._apply("predict", X, np.empty(0 if coef.ndim == 1 else (0, len(coef)), coef.dtype))

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the coefficient of determination on the given data, a float also on Dask input."""
        if not is_dask(X) and not is_dask(y):
            return float(super().score(X, y, sample_weight))
        return float(r2_score(y, self.predict(X), sample_weight=sample_weight))


def output_count(y: Any) -> int | None:
    """Return the number of columns of a 2-dimensional target, None for a vector."""
    return int(y.shape[1]) if len(y.shape) == 2 else None


def is_single(X: Any) -> bool:
    """Whether X, an array or a data frame, holds single precision throughout."""
    dtypes = X.dtypes if hasattr(X, "dtypes") else [getattr(X, "dtype", None)]
    return all(dtype == np.float32 for dtype in dtypes)


def as_fitted(coef: Array, n_outputs: int | None, single: bool) -> Array:
    """Return (outputs, features) coefficients as scikit-learn shapes them: a vector for a target that is one."""
    shaped = coef[0] if n_outputs is None else coef
    return shaped.astype(np.float32) if single else shaped

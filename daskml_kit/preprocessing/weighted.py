"""Transformers that learn from weighted rows."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from daskml_kit.arguments import naming
from daskml_kit.base import DaskTransformer
from daskml_kit.data.collections import is_dask


class WeightedTransformer(DaskTransformer):
    """Mixin of transformers whose rows may have weights."""

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:  # type: ignore[override]
        """Fit to X.

        Parameters
        ----------
        X : Dask DataFrame or array, or anything that scikit-learn takes, of shape (n_samples, n_features)
        y : ignored
        sample_weight : array or Dask array of shape (n_samples,), optional

        Returns
        -------
        transformer
            Itself.

        Raises
        ------
        DataError
            Where a block cannot be used; the message names it.
        """
        self._check_weight(sample_weight)
        if sample_weight is not None and not is_dask(sample_weight):
            with naming("sample_weight"):
                np.asarray(sample_weight, np.float64)
        return self._fit_any(X, y, {"sample_weight": sample_weight})

    def _check_weight(self, sample_weight: Any) -> None:
        """Raise where weights are given that the parameters leave no use for."""

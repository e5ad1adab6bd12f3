"""Transformers that learn from weighted rows."""

from __future__ import annotations

from typing import Any, Self

from daskml_kit.base import DaskTransformer


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
        return self._fit_any(X, y, {"sample_weight": sample_weight})

    def _check_weight(self, sample_weight: Any) -> None:
        """Raise where weights are given that the parameters leave no use for."""

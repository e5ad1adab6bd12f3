"""The genuine scikit-learn estimator behind a fitted one, and its methods over Dask blocks."""

from __future__ import annotations

from typing import Any

import dask
import dask.dataframe as dd
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from daskml_kit.engines.blocks import is_dask
from daskml_kit.errors import DataError
from daskml_kit.validation import check_features


class SklearnTwin:
    """Mixin of estimators whose fitted state is that of a scikit-learn estimator.

    Fitting is ours; what comes after runs scikit-learn's own code, block by block and lazily on Dask input, at once
    on input in memory.
    """

    def to_sklearn(self) -> Any:
        """Return the fitted scikit-learn estimator, free of Dask."""
        raise NotImplementedError(f"{type(self).__name__} has no scikit-learn counterpart")

    def _hand_over(self, twin: Any, *attributes: str) -> Any:
        """Return ``twin`` with the fitted ``attributes`` of this estimator, and the features it knows."""
        check_is_fitted(self)
        for name in (*attributes, "n_features_in_", "feature_names_in_"):
            if hasattr(self, name):
                setattr(twin, name, getattr(self, name))
        return twin

    def _apply(self, method: str, X: Any, meta: Any) -> Any:
        """Call ``method`` of the twin on ``X``: lazily on each block where X is on Dask, ``meta`` an empty result."""
        check_is_fitted(self)
        twin = self.to_sklearn()
        if not is_dask(X):
            return getattr(twin, method)(X)
        check_features(self, X)
        return map_rows(twin, method, X, meta)


def map_rows(model: Any, method: str, X: Any, meta: Any) -> Any:
    """Return the lazy results of ``model.method`` over the blocks of ``X``.

    On arrays the model is one node of the graph, not a copy in each task. ``meta``, an empty result, decides what comes
    back: a Dask DataFrame for a data frame, else a Dask array (of CSR blocks where it is sparse).
    """
    if isinstance(X, dd.DataFrame):  # Dask fuses a shared node wrongly here: "Cannot fuse tasks with multiple outputs"
        return X.map_partitions(_call, model, method, meta, meta=meta)
    shared = dask.delayed(model, pure=True)
    if X.numblocks[1] > 1:
        X = X.rechunk({1: -1})
    if isinstance(meta, pd.DataFrame):
        blocks = enumerate(X.to_delayed().ravel())
        frames = [dask.delayed(_call)(block, shared, method, meta, block_id=(number,)) for number, block in blocks]
        return dd.from_delayed(frames, meta=meta)
    if meta.ndim == 1:
        return X.map_blocks(_call, model=shared, method=method, meta_=meta, dtype=meta.dtype, drop_axis=1, meta=meta)
    chunks = (X.chunks[0], (meta.shape[1],))
    return X.map_blocks(_call, model=shared, method=method, meta_=meta, dtype=meta.dtype, chunks=chunks, meta=meta)


def _call(block: Any, model: Any, method: str, meta_: Any, partition_info: Any = None, block_id: Any = None) -> Any:
    if block.shape[0] == 0:  # scikit-learn refuses to work on no rows
        return meta_.copy()
    try:
        return getattr(model, method)(block)
    except ValueError as error:
        number = block_id[0] if block_id else partition_info["number"] if partition_info else None
        raise DataError(f"{error} (in block {number})") from error

"""Base of the selectors that fit a model."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, ClassVar

import dask
import dask.array as da
import dask.dataframe as dd
from dask.array.utils import meta_from_array
from sklearn.base import clone, is_classifier
from sklearn.utils import get_tags

from daskml_kit.arguments import check_inner
from daskml_kit.base import DaskEstimator, check_common, fitting
from daskml_kit.data.collections import array_bytes, fits, is_dask
from daskml_kit.engines.open import find_client
from daskml_kit.engines.runtime import check_n_jobs
from daskml_kit.exceptions import DataError, NotShared
from daskml_kit.feature_selection.base import FeatureSelector
from daskml_kit.feature_selection.gram_fits import decided_by_gram
from daskml_kit.model_selection.search.task_search import is_distributed
from daskml_kit.reductions.frames import columns_at
from daskml_kit.typing import Array
from daskml_kit.validation import Inputs, check_fit

LEAST_FEATURES = 2
"""Features of which some can be selected."""


class ModelSelector(FeatureSelector):
    """Selector that fits a model on some of the features, again and again.

    Where the model is one of least squares, the Gram matrix of all features decides all of the fits: one pass. Else
    columns are selected lazily for each.
    """

    estimator: Any

    def _fit_model_selector(self, X: Any, y: Any, params: dict[str, Any]) -> Any:
        """Fit by the Gram matrix where that is enough; else lazily on Dask data, and as scikit-learn does in memory."""
        own: Any = self
        lazy = is_dask(X) or is_dask(y)
        check_inner("estimator", self.estimator, "fit")
        check_common(self)
        check_n_jobs(getattr(self, "n_jobs", None))
        self._check_parameters()
        given = {name: value for name, value in params.items() if value is not None}
        unknown = [name for name in given if name not in self._taken]
        if lazy and unknown:
            raise ValueError(f"fit: {', '.join(unknown)} not supported with Dask data")
        with fitting(self):
            if self._by_gram() and not unknown and (lazy or hasattr(X, "shape")):
                inputs = self._checked(X, y, given.get("sample_weight"))
                if decided_by_gram(self.estimator, own.n_features_in_):
                    with suppress(NotShared):
                        self._keep(self._select_by_gram(inputs, given.get("groups")))
                        return self
            if not lazy:
                super(DaskEstimator, self).fit(X, y, **params)  # type: ignore[misc]
                return self
            if not is_distributed(self.estimator):
                kind = type(self.estimator).__name__
                raise DataError(f"estimator: {kind} takes no Dask data; give one of daskml_kit, or data in memory")
            inputs = self._checked(X, y, given.get("sample_weight"))
            X, y = held(inputs.X, inputs.y)
            self._keep(self._select_lazily(Inputs(X, y, inputs.sample_weight), given.get("groups")))
        return self

    _taken: ClassVar[tuple[str, ...]] = ()
    """Parameters of ``fit`` that are taken with Dask data, too."""

    def _by_gram(self) -> bool:
        """Return whether all that is asked for besides the fits can be had from Gram matrices."""
        return decided_by_gram(self.estimator, 0)

    def _checked(self, X: Any, y: Any, weight: Any) -> Inputs:
        own: Any = self
        if y is None and get_tags(self.estimator).target_tags.required:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None.")
        inputs = check_fit(own, X, y, weight, labeled=is_classifier(self.estimator), multi_output=True)
        if own.n_features_in_ < LEAST_FEATURES:
            raise DataError(
                f"Found array with {own.n_features_in_} feature(s) (shape={inputs.X.shape}) while a minimum of "
                f"{LEAST_FEATURES} is required by {type(self).__name__}."
            )
        return inputs

    def _select_by_gram(self, inputs: Inputs, groups: Any) -> dict[str, Any]:
        """Return the fitted attributes, from Gram matrices."""
        raise NotImplementedError

    def _select_lazily(self, inputs: Inputs, groups: Any) -> dict[str, Any]:
        """Return the fitted attributes, of fits on Dask data."""
        raise NotImplementedError

    def _fitted_on(self, X: Any, y: Any, features: Array, weight: Any = None) -> Any:
        """Return the model fitted on some columns of Dask data."""
        weights = {} if weight is None else {"sample_weight": weight}
        return clone(self.estimator).fit(columns_of(X, features), y, **weights)


def held(X: Any, y: Any) -> tuple[Any, Any]:
    """Return Dask data computed once for all fits, where they fit in memory."""
    if isinstance(X, da.Array) and fits(find_client(), array_bytes(X)):
        persisted = dask.persist(X, y) if is_dask(y) else (*dask.persist(X), y)
        return persisted[0], persisted[1]
    return X, y


def columns_of(X: Any, features: Array) -> Any:
    """Return columns of Dask data, lazily.

    Examples
    --------
    >>> import numpy as np
    >>> columns_of(da.from_array(np.array([[1, 2, 3]]), chunks=(1, 2)), np.array([0, 2])).compute()
    array([[1, 3]])
    """
    if isinstance(X, dd.DataFrame):
        return X[[X.columns[at] for at in features]]
    whole = X.rechunk({1: -1}) if X.numblocks[1] > 1 else X
    chunks = (whole.chunks[0], (len(features),))
    return whole.map_blocks(columns_at, features.tolist(), chunks=chunks, dtype=X.dtype, meta=meta_from_array(whole))

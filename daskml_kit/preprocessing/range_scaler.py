"""Scaling of features by their extremes."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import sklearn.preprocessing
from sklearn.utils.metaestimators import available_if

from daskml_kit.base import (
    DaskTransformer,
    genuine_class,
    numbers,
    prepare,
    restored,
    spec_of_table,
    with_head,
    without_names,
)
from daskml_kit.data.collections import is_dask
from daskml_kit.engines.open import open_table
from daskml_kit.reductions.extremes import Extremes
from daskml_kit.reductions.frames import rows_like
from daskml_kit.solvers.types import DataSpec, Fit
from daskml_kit.solvers.views import StandardizedView
from daskml_kit.typing import Array


class ExtremesScaler(DaskTransformer):
    """Mixin of scalers that learn of each feature's smallest and largest value."""

    scales_columns = True

    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """Go on learning from more rows.

        Parameters
        ----------
        X : Dask DataFrame or array, or anything that scikit-learn takes, of shape (n_samples, n_features)
        y : ignored

        Returns
        -------
        scaler
            Itself.

        Raises
        ------
        DataError
            Where a column is not numeric or a value is infinite; it names the block.
        """
        if not is_dask(X):
            with restored(self):
                super(DaskTransformer, self).partial_fit(X, y)  # type: ignore[misc]
                return self._remember(X)
        table = prepare(self, X)
        with open_table(table) as engine:
            return self._fit_tables(engine, self._fit_steps(spec_of_table(table), self.to_sklearn()))

    def _fit_steps(self, spec: DataSpec, earlier: Any = None) -> Fit:
        head, (found,) = yield from with_head(spec, numbers(spec, Extremes()))
        own: Any = self
        scaler = genuine_class(type(self))(**own.get_params(deep=False)) if earlier is None else earlier
        rows = np.stack([found.low, found.high])
        scaler.partial_fit(rows_like(rows, head))  # as on all rows, which have no others that matter
        scaler.n_samples_seen_ += found.n_rows - len(rows)
        return self._learned(scaler, head)


class MinMaxScaler(ExtremesScaler, sklearn.preprocessing.MinMaxScaler):  # type: ignore[misc]
    """Map each feature's range to a given one, in one pass.

    Parameters, attributes and methods are those of `sklearn.preprocessing.MinMaxScaler`.

    Parameters
    ----------
    feature_range : tuple of (float, float), default (0, 1)
        The range of the result.
    copy : bool, default True
        On Dask input a copy is always made: False is refused there.
    clip : bool, default False
        Whether values out of the range are set to its ends. The scaler is then not made part of the models of a search.

    Attributes
    ----------
    min_, scale_ : array of shape (n_features,)
        A feature becomes ``X * scale_ + min_``.
    data_min_, data_max_, data_range_ : array of shape (n_features,)
    n_samples_seen_ : int

    See Also
    --------
    MaxAbsScaler : The same around 0, also for CSR blocks.
    StandardScaler : Scaling by mean and variance.

    Examples
    --------
    >>> import dask.array as da
    >>> X = da.from_array(np.array([[1.0], [3.0], [2.0]]), chunks=2)
    >>> MinMaxScaler().fit_transform(X).compute()
    array([[0. ],
           [1. ],
           [0.5]])
    """

    def _affine(self, spec: DataSpec) -> StandardizedView:
        shift: Array = -self.min_ / self.scale_
        return StandardizedView(shift, 1 / self.scale_, without_names(self.to_sklearn()), spec.shared)

    _view = available_if(lambda self: not self.clip)(_affine)


class MaxAbsScaler(ExtremesScaler, sklearn.preprocessing.MaxAbsScaler):  # type: ignore[misc]
    """Divide each feature by its largest absolute value, in one pass; zeros of CSR blocks stay.

    Parameters, attributes and methods are those of `sklearn.preprocessing.MaxAbsScaler`.

    Parameters
    ----------
    copy : bool, default True
        On Dask input a copy is always made: False is refused there.
    clip : bool, default False
        Whether values out of the range from -1 to 1 are set to its ends. The scaler is then not made part of the models
        of a search.

    Attributes
    ----------
    scale_, max_abs_ : array of shape (n_features,)
    n_samples_seen_ : int

    See Also
    --------
    MinMaxScaler : The same for any range.

    Examples
    --------
    >>> import dask.array as da
    >>> X = da.from_array(np.array([[1.0], [-4.0], [2.0]]), chunks=2)
    >>> MaxAbsScaler().fit_transform(X).compute()
    array([[ 0.25],
           [-1.  ],
           [ 0.5 ]])
    """

    def _affine(self, spec: DataSpec) -> StandardizedView:
        return StandardizedView(np.zeros(len(self.scale_)), self.scale_, without_names(self.to_sklearn()), spec.shared)

    _view = available_if(lambda self: not getattr(self, "clip", False))(_affine)  # scikit-learn 1.8 has no clip

"""Transformers of columns that differ between parts of the rows in scales and in columns of zeros only."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.preprocessing import FunctionTransformer

from daskml_kit.base import DaskTransformer, has_fit_steps
from daskml_kit.compose.column_transformer import ColumnTransformer
from daskml_kit.reductions.sparsity import UsedColumns
from daskml_kit.solvers.columns_view import ColumnsView
from daskml_kit.solvers.run import lockstep
from daskml_kit.solvers.types import DataSpec, Fit
from daskml_kit.solvers.views import of_columns, seen
from daskml_kit.typing import Array, Matrix


class ColumnScaler(NamedTuple):
    """A scaler that is not fitted, and the columns that it scales."""

    scaler: Any
    positions: list[int]


class SubsetColumns(DaskTransformer, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Scale columns, and set to zero those that no row had a number in when it was fitted.

    Fitted on some of the rows that a transformer for all rows makes, it makes what a transformer fitted on these some
    does, but for the order of the columns and for zeros in place of missing ones.

    Parameters
    ----------
    scalers : sequence of ColumnScaler
        Their columns hold numbers as they are.

    Attributes
    ----------
    factor_, shift_ : array of shape (n_features,)

    Examples
    --------
    >>> import dask.array as da
    >>> from daskml_kit.preprocessing import StandardScaler
    >>> rows = da.from_array([[0.0, 1.0, 2.0], [0.0, 0.0, 4.0]])
    >>> SubsetColumns([ColumnScaler(StandardScaler(), [2])]).fit(rows).transform(rows).compute()
    array([[ 0.,  1., -1.],
           [ 0.,  0.,  1.]])
    """

    def __init__(self, scalers: Sequence[ColumnScaler]) -> None:
        self.scalers = scalers

    def _fit_steps(self, spec: DataSpec) -> Fit:
        fitted = [(clone(scaler), positions) for scaler, positions in self.scalers]
        inner = [DataSpec(len(positions), dtype=spec.dtype) for _, positions in fitted]
        fits = {
            at: seen(of_columns(positions), scaler._fit_steps(own))
            for at, ((scaler, positions), own) in enumerate(zip(fitted, inner, strict=True))
        }
        found = yield from lockstep({None: _used_columns(), **fits})
        factor, shift = found[None].astype(np.float64), np.zeros(spec.n_features)
        for at, ((scaler, positions), own) in enumerate(zip(fitted, inner, strict=True)):
            scaler._keep({"n_features_in_": len(positions), **found[at]})
            matrix = scaler._view(own).matrix
            factor[positions], shift[positions] = matrix.diagonal()[:-1], np.ravel(matrix[[-1], :-1].toarray())
        return {"n_features_in_": spec.n_features, "factor_": factor, "shift_": shift}

    def _view(self, spec: DataSpec) -> ColumnsView:
        return ColumnsView(self.factor_, self.shift_, self.to_sklearn(), spec.shared)

    def to_sklearn(self) -> Any:
        """Return a fitted scikit-learn transformer that does the same.

        Returns
        -------
        sklearn.preprocessing.FunctionTransformer
        """
        return FunctionTransformer(partial(_scaled, self.factor_, self.shift_))


class CommonColumns(NamedTuple):
    """A transformer to fit on all rows, not fitted, and the scalers of its columns, to be fitted on some of them."""

    transformer: Any
    scaled: dict[str, Any]
    """Scalers by the name of the part of a `ColumnTransformer` that they are."""

    def subset_columns(self, fitted: Any) -> SubsetColumns:
        """Return what is to be fitted on some of the rows that ``fitted``, the transformer, makes."""
        places = {name: fitted.output_indices_[name] for name in self.scaled}
        where = {name: list(range(place.start, place.stop)) for name, place in places.items()}
        return SubsetColumns([ColumnScaler(scaler, where[name]) for name, scaler in self.scaled.items() if where[name]])


def common_columns(transformer: Any) -> CommonColumns | None:
    """Return how a transformer is fitted on several parts of the rows by one for all rows; None where it cannot be.

    Examples
    --------
    >>> from daskml_kit.preprocessing import OneHotEncoder
    >>> common_columns(OneHotEncoder(handle_unknown="ignore")).transformer
    OneHotEncoder(handle_unknown='ignore')
    >>> common_columns(OneHotEncoder()) is None
    True
    """
    if getattr(transformer, "shares_columns", False):
        return CommonColumns(clone(transformer), {})
    if type(transformer) is not ColumnTransformer or transformer.transformer_weights:
        return None
    parts, scaled = [], {}
    for name, part, columns in transformer.transformers:
        if not (isinstance(part, str) or getattr(part, "shares_columns", False)):
            if not (has_fit_steps(part) and hasattr(part, "_view") and part.scales_columns):
                return None
            scaled[name], part = clone(part), "passthrough"
        parts.append((name, part, columns))
    if not isinstance(transformer.remainder, str):
        return None
    return CommonColumns(clone(transformer).set_params(transformers=parts), scaled)


def _used_columns() -> Fit:
    return (yield UsedColumns())


def _scaled(factor: Array, shift: Array, X: Matrix) -> Matrix:
    return ColumnsView(factor, shift, None).rows(X)

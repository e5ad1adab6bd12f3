"""Regression on transformed targets."""

from __future__ import annotations

import warnings
from typing import Any, Self

import dask.array as da
import numpy as np
import sklearn.compose
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted

from daskml_kit.arguments import check_flags, check_inner
from daskml_kit.base import DaskEstimator, fitting, restored, spec_of_table, with_head
from daskml_kit.blockwise import map_rows
from daskml_kit.composition import fit_steps, fits_by_reductions, without_dask
from daskml_kit.data.collections import dask_vector, is_dask
from daskml_kit.engines.open import open_table
from daskml_kit.exceptions import DataError
from daskml_kit.linear_model import LinearRegression
from daskml_kit.preprocessing import FunctionTransformer
from daskml_kit.solvers.run import run


class TransformedTargetRegressor(DaskEstimator, sklearn.compose.TransformedTargetRegressor):  # type: ignore[misc]
    """Fit a regressor to transformed targets, and transform its predictions back, lazily on Dask input.

    Parameters, attributes and methods are those of `sklearn.compose.TransformedTargetRegressor`.

    Parameters
    ----------
    regressor : regressor, default None
        By default a LinearRegression.
    transformer : transformer, default None
        Of the target; on Dask input one of daskml_kit, or one that learns nothing.
    func, inverse_func : callable, default None
        In its place, a function and its inverse, which see one block at a time.
    check_inverse : bool, default True
        Whether ``fit`` tries if they are each other's inverse, on Dask input on the first rows.

    Attributes
    ----------
    regressor_ : regressor
    transformer_ : transformer

    See Also
    --------
    daskml_kit.preprocessing.PowerTransformer : A transformer for skewed targets.

    Examples
    --------
    >>> X = da.from_array(np.array([[0.0], [1.0], [2.0]]), chunks=2)
    >>> model = TransformedTargetRegressor(func=np.log, inverse_func=np.exp).fit(X, da.exp(X[:, 0]))
    >>> np.log(model.predict(X).compute()).round(6) + 0
    array([0., 1., 2.])
    """

    def fit(self, X: Any, y: Any, **fit_params: Any) -> Self:  # type: ignore[override]
        """Fit the transformer to the targets, and the regressor to what it makes of them.

        Parameters
        ----------
        X : Dask array or DataFrame, or anything that the regressor takes, of shape (n_samples, n_features)
        y : array, Series, Dask array or Dask Series of shape (n_samples,) or (n_samples, n_outputs)
        **fit_params
            For the regressor.

        Returns
        -------
        TransformedTargetRegressor
            Itself.

        Raises
        ------
        DataError
            Where the transformer cannot fit on Dask data.
        """
        if not is_dask(X) and not is_dask(y):
            with restored(self):
                super(DaskEstimator, self).fit(X, y, **fit_params)
            return self
        if y is None:
            raise ValueError("This TransformedTargetRegressor requires y to be passed, but the target y is None.")
        targets = dask_vector(y, "y") if is_dask(y) else da.from_array(np.asarray(y))
        with fitting(self):
            transformer = self._fitted_to(targets)
            if self.regressor is not None:
                check_inner("regressor", self.regressor, "fit")
            regressor = clone(LinearRegression() if self.regressor is None else self.regressor)
            regressor.fit(X, _mapped(transformer, "transform", targets), **fit_params)
            own: Any = vars(self)
            own.pop("feature_names_in_", None)
            twin = self._twin(regressor, np.zeros((1, *targets.shape[1:])))
            own.update({**vars(twin), **self.get_params(deep=False)})
            self.transformer_, self.regressor_ = transformer, regressor
            if hasattr(regressor, "feature_names_in_"):
                self.feature_names_in_ = regressor.feature_names_in_
        return self

    def predict(self, X: Any, **predict_params: Any) -> Any:
        """Return the predictions as the targets are: at once in memory, lazily on Dask input.

        Parameters
        ----------
        X : Dask array or DataFrame, or anything that the regressor takes, of shape (n_samples, n_features)
        **predict_params
            For the regressor.

        Returns
        -------
        array or Dask array of shape (n_samples,) or (n_samples, n_outputs)
            Predicted targets.
        """
        check_is_fitted(self)
        if not is_dask(X):
            return super(DaskEstimator, self).predict(X, **predict_params)
        return _mapped(self.transformer_, "inverse_transform", self.regressor_.predict(X, **predict_params))

    def to_sklearn(self) -> Any:
        """Return scikit-learn's TransformedTargetRegressor of scikit-learn's models, free of Dask.

        Returns
        -------
        sklearn.compose.TransformedTargetRegressor
            Fitted where this one is.
        """
        return without_dask(super().to_sklearn())

    def _twin(self, regressor: Any, y: Any) -> Any:
        """Return scikit-learn's estimator around a fitted regressor, as if it had fitted it to targets like ``y``."""
        return sklearn.compose.TransformedTargetRegressor(FrozenEstimator(regressor)).fit(np.zeros((1, 1)), y)

    def _fitted_to(self, y: da.Array) -> Any:
        """Return the transformer, fitted."""
        functions = {"func": self.func, "inverse_func": self.inverse_func}
        given = [name for name, function in functions.items() if function is not None]
        if self.transformer is not None and given:
            raise ValueError("'transformer' and functions 'func'/'inverse_func' cannot both be set.")
        if len(given) == 1:
            raise ValueError(f"When {given[0]!r} is provided, its counterpart of func and inverse_func must be, too.")
        check_flags(check_inverse=self.check_inverse)
        if self.transformer is not None:
            check_inner("transformer", self.transformer, "fit")
        transformer = clone(self.transformer) if self.transformer is not None else FunctionTransformer(**functions)
        if not fits_by_reductions(transformer):
            raise DataError(
                f"transformer: {type(transformer).__name__} cannot fit on Dask data; use its counterpart of daskml_kit"
            )
        table = y if y.ndim == 2 else y[:, None]
        with open_table(table, keep=True) as engine:
            source: Any = engine
            spec = spec_of_table(table)
            found = run(source, {"head": with_head(spec), "fit": fit_steps(transformer, spec)})
        fitted, (rows, _) = found["fit"], found["head"]
        twin = without_dask(fitted)
        if self.check_inverse and not np.allclose(rows, twin.inverse_transform(twin.transform(rows))):
            warnings.warn(
                "The provided functions or transformer are not strictly inverse of each other. If you are sure you "
                "want to proceed regardless, set 'check_inverse=False'",
                UserWarning,
                stacklevel=3,
            )
        return fitted


def _mapped(transformer: Any, method: str, y: Any) -> Any:
    """Return targets transformed lazily, of as many dimensions as they were."""
    rows = y if y.ndim == 2 else y[:, None]
    meta = np.empty((0, rows.shape[1]), np.float64)
    found = map_rows(without_dask(transformer), method, rows, meta)
    return found if y.ndim == 2 else found[:, 0]

"""Transformers that learn nothing from the values of the data."""

from __future__ import annotations

from typing import Any, Self

import dask
import dask.array as da
import numpy as np
import pandas as pd
import sklearn.preprocessing

from daskml_kit.base import EXAMPLE_ROWS, DaskTransformer, genuine_class, prepare, restored, with_head
from daskml_kit.data.collections import is_dask
from daskml_kit.exceptions import DataError
from daskml_kit.reductions.frames import first_rows
from daskml_kit.solvers.types import DataSpec, Fit
from daskml_kit.validation import like


class StatelessTransformer(DaskTransformer):
    """Mixin of transformers that learn no more than the names and types of the columns: a fit makes no pass."""

    def fit(self, X: Any, y: Any = None) -> Self:  # type: ignore[override]
        """Check the parameters, and remember the columns of X.

        Parameters
        ----------
        X : Dask DataFrame or array, or anything that scikit-learn takes, of shape (n_samples, n_features)
        y : ignored

        Returns
        -------
        transformer
            Itself.
        """
        if not is_dask(X):
            return self._fit_any(X, y, {})
        rows = self._rows_of(prepare(self, X))
        with restored(self):
            self._keep(self._learned(self._fitted_to(rows), rows))
        return self

    def _fit_steps(self, spec: DataSpec) -> Fit:
        head, _ = yield from with_head(spec)
        return self._learned(self._fitted_to(head), head)

    def _rows_of(self, table: Any) -> Any:
        if hasattr(table, "columns"):
            for name, dtype in table.dtypes.items():
                if not pd.api.types.is_numeric_dtype(dtype):
                    raise DataError(
                        f"X: expected numeric columns, got {name!r} ({dtype}); encode it first, for instance by "
                        "OneHotEncoder"
                    )
        return like(None, table)

    def _fitted_to(self, rows: Any) -> Any:
        own: Any = self
        return genuine_class(type(self))(**own.get_params(deep=False)).fit(rows)


class Normalizer(StatelessTransformer, sklearn.preprocessing.Normalizer):  # type: ignore[misc]
    """Scale each row to a norm of one, lazily, block by block.

    Parameters and methods are those of `sklearn.preprocessing.Normalizer`; a fit reads nothing.

    Parameters
    ----------
    norm : {"l1", "l2", "max"}, default "l2"
    copy : bool, default True
        On Dask input a copy is always made: False is refused there.

    See Also
    --------
    StandardScaler : Scaling of features.

    Examples
    --------
    >>> import dask.array as da
    >>> Normalizer().fit_transform(da.from_array(np.array([[3.0, 4.0], [0.0, 2.0]]), chunks=(1, 2))).compute()
    array([[0.6, 0.8],
           [0. , 1. ]])
    """


class Binarizer(StatelessTransformer, sklearn.preprocessing.Binarizer):  # type: ignore[misc]
    """Replace each value by whether it is larger than a threshold, lazily, block by block.

    Parameters and methods are those of `sklearn.preprocessing.Binarizer`; a fit reads nothing.

    Parameters
    ----------
    threshold : float, default 0.0
        Of CSR blocks at least 0.
    copy : bool, default True
        On Dask input a copy is always made: False is refused there.

    See Also
    --------
    KBinsDiscretizer : More than two bins.

    Examples
    --------
    >>> import dask.array as da
    >>> Binarizer(threshold=2).fit_transform(da.from_array(np.array([[1.0], [3.0]]), chunks=1)).compute()
    array([[0.],
           [1.]])
    """


class PolynomialFeatures(StatelessTransformer, sklearn.preprocessing.PolynomialFeatures):  # type: ignore[misc]
    """Make all products of features up to a degree, lazily, block by block.

    Parameters, attributes and methods are those of `sklearn.preprocessing.PolynomialFeatures`; a fit reads nothing.

    Parameters
    ----------
    degree : int or tuple of (int, int), default 2
        The largest degree, or the smallest and the largest.
    interaction_only : bool, default False
        Whether only products of different features are made.
    include_bias : bool, default True
        Whether a column of ones comes first.
    order : {"C", "F"}, default "C"
        Order of the result of dense blocks in memory.

    Attributes
    ----------
    powers_ : array of shape (n_output_features_, n_features)
        The exponent of each feature in each product.
    n_output_features_ : int

    See Also
    --------
    SplineTransformer : Pieces of polynomials of each feature.

    Examples
    --------
    >>> import dask.array as da
    >>> PolynomialFeatures().fit_transform(da.from_array(np.array([[2.0, 3.0]]), chunks=1)).compute()
    array([[1., 2., 3., 4., 6., 9.]])
    """


class FunctionTransformer(StatelessTransformer, sklearn.preprocessing.FunctionTransformer):  # type: ignore[misc]
    """Apply a function of the rows to each block, lazily.

    The function sees one block at a time: what it returns for a row must not depend on other rows, and it must return
    as many rows as it is given. A fit reads the first rows, to learn what the function returns. Parameters and methods
    are those of `sklearn.preprocessing.FunctionTransformer`.

    Parameters
    ----------
    func, inverse_func : callable, default None
        By default the rows stay as they are.
    validate : bool, default False
        Whether the rows are made a NumPy array first; else the function gets blocks as they are.
    accept_sparse : bool, default False
        Whether CSR blocks are taken where ``validate`` is set.
    check_inverse : bool, default True
        Whether ``fit`` tries if the functions are each other's inverse, on Dask input on the first rows.
    feature_names_out : callable or "one-to-one", default None
        Makes the names of the output columns.
    kw_args, inv_kw_args : dict, default None
        Further arguments of the functions.

    See Also
    --------
    BlockTransformer : Its name in dask-ml.

    Examples
    --------
    >>> import dask.array as da
    >>> FunctionTransformer(np.log1p).fit_transform(da.from_array(np.array([[0.0], [np.e - 1]]), chunks=1)).compute()
    array([[0.],
           [1.]])
    """

    transforms_rows = False  # functions may want the columns of a frame by name

    def _rows_of(self, table: Any) -> Any:
        whole = table.rechunk({1: -1}) if isinstance(table, da.Array) and table.numblocks[1] > 1 else table
        for block in np.ravel(whole.to_delayed()):
            rows = dask.delayed(first_rows)(block, EXAMPLE_ROWS).compute()
            if len(rows) if not hasattr(rows, "indptr") else rows.shape[0]:
                return rows
        raise DataError(f"X: found array with 0 sample(s) (shape={(0, table.shape[1])}), expected some to try func on")


class BlockTransformer(FunctionTransformer):
    """Apply a function of the rows to each block, lazily; dask-ml's form of `FunctionTransformer`.

    Parameters
    ----------
    func : callable
        See `FunctionTransformer`.
    validate : bool, default False
        Whether the rows are made a NumPy array first.
    **kw_args
        Further arguments of ``func``.

    See Also
    --------
    FunctionTransformer : The same by scikit-learn's name.

    Examples
    --------
    >>> import dask.array as da
    >>> BlockTransformer(np.round, decimals=1).fit_transform(da.from_array(np.array([[0.26]]), chunks=1)).compute()
    array([[0.3]])
    """

    def __init__(self, func: Any, *, validate: bool = False, **kw_args: Any) -> None:
        super().__init__(func, validate=validate, kw_args=kw_args or None)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters, those of the function among them.

        Parameters
        ----------
        deep : bool, default True

        Returns
        -------
        dict
            Values by name.
        """
        return {"func": self.func, "validate": self.validate, **(self.kw_args or {})}

    def set_params(self, **params: Any) -> Self:
        """Set parameters, those of the function among them.

        Parameters
        ----------
        **params

        Returns
        -------
        BlockTransformer
            Itself.
        """
        self.__init__(**{**self.get_params(), **params})  # type: ignore[misc]
        return self

    def _fitted_to(self, rows: Any) -> Any:
        return self.to_sklearn().fit(rows)

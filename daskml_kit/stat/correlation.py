"""Correlations of numeric columns, in one pass."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from daskml_kit.engines.open import open_engine
from daskml_kit.exceptions import DataError
from daskml_kit.reductions.gram import Gram, Scatter


def corr(X: Any, sample_weight: Any = None) -> Any:
    """Return Pearson's correlation of each pair of columns, in one pass over the rows.

    Parameters
    ----------
    X : Dask array or DataFrame, NumPy array, pandas DataFrame or sparse matrix, of shape (n_samples, n_features)
        Numbers, of which none is missing.
    sample_weight : array or Dask array of shape (n_samples,), optional

    Returns
    -------
    DataFrame or array of shape (n_features, n_features)
        A pandas DataFrame with the names of the columns for a data frame. NaN beside a constant column.

    Raises
    ------
    DataError
        Where the data cannot be used; it names the argument and the block.

    See Also
    --------
    describe : Counts, moments and quantiles of columns of any type.
    daskml_kit.covariance.EmpiricalCovariance : Covariances, as an estimator.

    Examples
    --------
    >>> import dask.array as da
    >>> corr(da.from_array([[0.0, 1.0], [1.0, 3.0], [2.0, 5.0]], chunks=(2, 2))).round(3)
    array([[1., 1.],
           [1., 1.]])
    """
    scatter: Scatter
    with open_engine(X, None, sample_weight, many_passes=False) as engine:
        (scatter,) = engine.answer(Gram())
    if not scatter.weight > 0:
        raise DataError(f"X: expected rows of positive weight, got {scatter.n_rows} rows that weigh {scatter.weight:g}")
    size = np.sqrt(np.diag(scatter.product))
    with np.errstate(divide="ignore", invalid="ignore"):
        found = scatter.product / np.outer(size, size)
    np.fill_diagonal(found, np.where(size > 0, 1.0, np.nan))
    names = getattr(X, "columns", None)
    return found if names is None else pd.DataFrame(found, index=list(names), columns=list(names))

"""Indicators of missing values."""

from __future__ import annotations

import numpy as np
import pandas as pd
import sklearn.impute

from daskml_kit.base import DaskTransformer, with_head
from daskml_kit.impute.simple import checked, present_value
from daskml_kit.reductions.frames import rows_like
from daskml_kit.reductions.missing_counts import Presence
from daskml_kit.solvers.types import DataSpec, Fit


class MissingIndicator(DaskTransformer, sklearn.impute.MissingIndicator):  # type: ignore[misc]
    """Say of each value whether it is missing.

    One pass finds the columns with missing values. Parameters, attributes and methods are those of
    `sklearn.impute.MissingIndicator`.

    Parameters
    ----------
    missing_values : number, str, np.nan, None or pd.NA, default np.nan
        What counts as missing. In the string columns of a Dask DataFrame pd.NA is read as NaN.
    features : {"missing-only", "all"}, default "missing-only"
        The columns that get an indicator: those that had missing values in ``fit``, or all.
    sparse : bool or "auto", default "auto"
        Whether the result is sparse; "auto" is as the input.
    error_on_new : bool, default True
        Whether a missing value in another column raises; on Dask input when the result is computed.

    Attributes
    ----------
    features_ : array of shape (n_indicated,)
        The columns that get an indicator.

    See Also
    --------
    SimpleImputer : Filling in, with indicators beside it where ``add_indicator`` is set.

    Examples
    --------
    >>> import dask.dataframe as dd
    >>> frame = dd.from_pandas(pd.DataFrame({"wind": [3.0, None], "rain": [1.0, 2.0]}), npartitions=2)
    >>> MissingIndicator().fit_transform(frame).compute()
    array([[False],
           [ True]])
    """

    def _fit_steps(self, spec: DataSpec) -> Fit:
        head, (found,) = yield from with_head(spec, Presence(self.missing_values))
        dtype = checked(head, None).dtype
        marker = np.array(np.nan if self.missing_values is pd.NA else self.missing_values, object)
        rows = np.full((2, len(found.present)), present_value(dtype, self.missing_values), object)
        rows[1] = np.where(found.present < found.n_rows, marker, rows[1])
        genuine = sklearn.impute.MissingIndicator(**self.get_params(deep=False))
        return self._learned(genuine.fit(rows_like(rows.astype(dtype), head)), head)

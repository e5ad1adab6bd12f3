"""Ordinal encoding of categories."""

from __future__ import annotations

import sklearn.preprocessing

from daskml_kit.base import DaskTransformer, with_head
from daskml_kit.preprocessing.categories import fit_tallies
from daskml_kit.reductions.value_counts import Counts
from daskml_kit.solvers.types import DataSpec, Fit


class OrdinalEncoder(DaskTransformer, sklearn.preprocessing.OrdinalEncoder):  # type: ignore[misc]
    """Encode each category of each column as its number among the sorted categories.

    One pass counts the values of every column. Parameters, attributes and methods are those of
    `sklearn.preprocessing.OrdinalEncoder`, and so are the numbers. dask-ml's class of this name encodes those columns
    of a frame that are categorical already, and passes the others on: here, give the columns to a `ColumnTransformer`.

    Parameters
    ----------
    categories : "auto" or list of array, default "auto"
        Categories of each column; by default those that are there, sorted.
    dtype : number type, default float64
        Type of the result.
    handle_unknown : {"error", "use_encoded_value"}, default "error"
        On Dask input an unknown category raises when the result is computed.
    unknown_value : int or np.nan, default None
        The number of unknown categories.
    encoded_missing_value : int or np.nan, default np.nan
        The number of missing values.
    min_frequency : int or float, default None
        Categories with fewer rows than this, or than this share of all rows, get one number.
    max_categories : int, default None
        The most numbers of a column, missing and unknown values aside; the rarest categories get one.

    Attributes
    ----------
    categories_ : list of array
        Categories of each column.
    infrequent_categories_ : list of array
        Those that share a number, where ``min_frequency`` or ``max_categories`` is given.

    See Also
    --------
    OneHotEncoder : A column of zeros and ones for each category.
    Categorizer : Columns of pandas' categorical type.

    Examples
    --------
    >>> import dask.dataframe as dd
    >>> import pandas as pd
    >>> frame = dd.from_pandas(pd.DataFrame({"city": ["Rome", "Oslo", "Rome"]}), npartitions=2)
    >>> OrdinalEncoder().fit_transform(frame).compute()
    array([[1.],
           [0.],
           [1.]])
    """

    def _fit_steps(self, spec: DataSpec) -> Fit:
        head, (tallies,) = yield from with_head(spec, Counts())
        genuine = sklearn.preprocessing.OrdinalEncoder
        return self._learned(fit_tallies(genuine, self.get_params(deep=False), head, tallies), head)

"""One-hot encoding of categories."""

from __future__ import annotations

import sklearn.preprocessing

from daskml_kit.base import DaskTransformer, with_head
from daskml_kit.preprocessing.categories import fit_tallies
from daskml_kit.reductions.value_counts import Counts
from daskml_kit.solvers.types import DataSpec, Fit


class OneHotEncoder(DaskTransformer, sklearn.preprocessing.OneHotEncoder):  # type: ignore[misc]
    """Encode each category of each column as a column of zeros and ones.

    One pass counts the values of every column. Parameters, attributes and methods are those of
    `sklearn.preprocessing.OneHotEncoder`, and so are the columns that come out, in the same order.

    Parameters
    ----------
    categories : "auto" or list of array, default "auto"
        Categories of each column, sorted; by default those that are there.
    drop : {"first", "if_binary"} or array of shape (n_features,), default None
        A category of each column that gets no output column.
    sparse_output : bool, default True
        Whether `transform` gives CSR; on Dask input an array of CSR blocks.
    dtype : number type, default float64
        Type of the result.
    handle_unknown : {"error", "ignore", "infrequent_if_exist", "warn"}, default "error"
        On Dask input an unknown category raises when the result is computed.
    min_frequency : int or float, default None
        Categories with fewer rows than this, or than this share of all rows, become one infrequent category.
    max_categories : int, default None
        The most columns that one feature may get; the rarest categories become one infrequent category.
    feature_name_combiner : "concat" or callable, default "concat"
        Makes the name of an output column of a column's name and a category.

    Attributes
    ----------
    categories_ : list of array
        Categories of each column, sorted.
    infrequent_categories_ : list of array
        Those that share an output column, where ``min_frequency`` or ``max_categories`` is given.

    See Also
    --------
    OrdinalEncoder : One column of numbers for each column.
    daskml_kit.compose.ColumnTransformer : Encoding of some columns, in one pass with what others need.

    Examples
    --------
    >>> import dask.dataframe as dd
    >>> import pandas as pd
    >>> frame = dd.from_pandas(pd.DataFrame({"city": ["Oslo", "Rome", "Oslo"]}), npartitions=2)
    >>> encoder = OneHotEncoder().fit(frame)
    >>> encoder.get_feature_names_out()
    array(['city_Oslo', 'city_Rome'], dtype=object)
    >>> encoder.transform(frame).compute().toarray()
    array([[1., 0.],
           [0., 1.],
           [1., 0.]])
    """

    @property
    def shares_columns(self) -> bool:
        """Return whether categories that some of the rows lack are zeros, and change no other column."""
        rare = self.min_frequency, self.max_categories, self.drop
        return isinstance(self.categories, str) and self.handle_unknown == "ignore" and rare == (None, None, None)

    def _fit_steps(self, spec: DataSpec) -> Fit:
        head, (tallies,) = yield from with_head(spec, Counts())
        genuine = sklearn.preprocessing.OneHotEncoder
        return self._learned(fit_tallies(genuine, self.get_params(deep=False), head, tallies), head)

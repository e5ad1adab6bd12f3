"""Categorical columns of data frames, as in dask-ml."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
from dask.dataframe.utils import make_meta
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from daskml_kit.arguments import check_flags, naming
from daskml_kit.data.block import Block
from daskml_kit.engines.open import open_table
from daskml_kit.exceptions import DataError
from daskml_kit.reductions.value_counts import Counts
from daskml_kit.typing import Array
from daskml_kit.validation import check_names, plain_strings


class Categorizer(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Give columns of a data frame pandas' categorical type, with the categories that all of its rows have.

    One pass finds the categories of columns whose type does not tell them.

    Parameters
    ----------
    categories : dict of str to CategoricalDtype, optional
        Types of columns; these are not looked at.
    columns : sequence of str, optional
        The columns; by default those of strings, objects and categories.

    Attributes
    ----------
    columns_ : Index
        The columns.
    categories_ : dict of str to CategoricalDtype

    See Also
    --------
    DummyEncoder : The usual next step.
    OneHotEncoder : Both in one, of columns of any type.

    Examples
    --------
    >>> frame = dd.from_pandas(pd.DataFrame({"city": ["Oslo", "Rome"], "wind": [1.0, 3.0]}), npartitions=2)
    >>> Categorizer().fit_transform(frame).dtypes["city"].categories.tolist()
    ['Oslo', 'Rome']
    """

    def __init__(self, categories: Mapping[Any, Any] | None = None, columns: Sequence[Any] | None = None) -> None:
        self.categories = categories
        self.columns = columns

    def fit(self, X: Any, y: Any = None) -> Self:
        """Find the categories.

        Parameters
        ----------
        X : Dask or pandas DataFrame
        y : ignored

        Returns
        -------
        Categorizer
            Itself.

        Raises
        ------
        DataError
            Where X is no data frame, or has no such column.
        """
        frame = _frame(X)
        with naming("categories"):
            known = dict(self.categories or {})
        for name, dtype in known.items():
            if not isinstance(dtype, pd.CategoricalDtype):
                raise ValueError(f"categories: expected a CategoricalDtype for {name!r}, got {dtype!r}")
        if self.columns is None:
            columns = [name for name, dtype in frame.dtypes.items() if name in known or _is_text(dtype)]
        else:
            columns = _present("columns", self.columns, frame)
        open_ones = []
        for name in columns:
            if name not in known and _has_categories(frame[name]):
                known[name] = frame.dtypes[name]
            elif name not in known:
                open_ones.append(name)
        if open_ones:
            tallies = _tallies(frame[open_ones])
            known |= {name: _type_of(tally.values) for name, tally in zip(open_ones, tallies, strict=True)}
        self.columns_ = pd.Index(columns)
        self.categories_ = {name: known[name] for name in columns}
        return self

    def transform(self, X: Any) -> Any:
        """Return the frame with columns of categorical type, lazily where it is on Dask.

        Parameters
        ----------
        X : Dask or pandas DataFrame

        Returns
        -------
        DataFrame or Dask DataFrame
            Values that are none of the categories are missing.
        """
        check_is_fitted(self)
        _present("X", list(self.categories_), _frame(X))
        if isinstance(X, dd.DataFrame):
            return X.map_partitions(_cast, self.categories_, meta=_cast(make_meta(X), self.categories_))
        return _cast(X, self.categories_)


class DummyEncoder(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Replace categorical columns of a data frame by a column for each category, and keep the others.

    The types of the columns tell the categories: a fit reads nothing, and `transform` is lazy.

    Parameters
    ----------
    columns : sequence of str, optional
        Columns of categorical type; by default all of these.
    drop_first : bool, default False
        Whether the first category gets no column.

    Attributes
    ----------
    columns_, transformed_columns_ : Index
        The columns before and after.
    categorical_columns_, non_categorical_columns_ : Index
    categorical_blocks_ : dict of str to slice
        Where the columns of a categorical column are.
    dtypes_ : dict of str to CategoricalDtype

    See Also
    --------
    Categorizer : Columns of this type.
    OneHotEncoder : The same of columns of any type, to an array.

    Examples
    --------
    >>> plain = pd.DataFrame({"wind": [1.0, 3.0], "city": pd.Categorical(["Oslo", "Rome"])})
    >>> DummyEncoder().fit_transform(dd.from_pandas(plain, npartitions=2)).compute()
       wind  city_Oslo  city_Rome
    0   1.0       True      False
    1   3.0      False       True
    """

    def __init__(self, columns: Sequence[Any] | None = None, drop_first: bool = False) -> None:
        self.columns = columns
        self.drop_first = drop_first

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the categories from the types of the columns.

        Parameters
        ----------
        X : Dask or pandas DataFrame
        y : ignored

        Returns
        -------
        DummyEncoder
            Itself.

        Raises
        ------
        DataError
            Where a column is not of categorical type, or its categories are not known.
        """
        frame = _frame(X)
        check_flags(drop_first=self.drop_first)
        categorical = [name for name, dtype in frame.dtypes.items() if isinstance(dtype, pd.CategoricalDtype)]
        chosen = categorical if self.columns is None else _present("columns", self.columns, frame)
        for name in chosen:
            if name not in categorical or not _has_categories(frame[name]):
                raise DataError(
                    f"X: expected a categorical column with known categories, got {name!r} ({frame.dtypes[name]}); use "
                    "Categorizer before"
                )
        self.columns_ = pd.Index(frame.columns)
        self.categorical_columns_ = pd.Index(chosen)
        self.non_categorical_columns_ = self.columns_.drop(chosen)
        self.dtypes_ = {name: frame.dtypes[name] for name in chosen}
        self.transformed_columns_ = self._encode(make_meta(frame)).columns
        self.categorical_blocks_, start = {}, len(self.non_categorical_columns_)
        for name, dtype in self.dtypes_.items():
            stop = start + len(dtype.categories) - bool(self.drop_first)
            self.categorical_blocks_[name], start = slice(start, stop), stop
        return self

    def transform(self, X: Any) -> Any:
        """Return the frame with a column for each category.

        Parameters
        ----------
        X : Dask or pandas DataFrame
            With the columns and categories that were fitted.

        Returns
        -------
        DataFrame or Dask DataFrame
            The other columns come first.
        """
        check_is_fitted(self)
        frame = _frame(X)
        if list(frame.columns) != list(self.columns_):
            raise DataError(f"X: expected the columns {list(self.columns_)}, got {list(frame.columns)}")
        for name, dtype in self.dtypes_.items():
            if frame.dtypes[name] != dtype:
                raise DataError(f"X: expected {dtype!r} in column {name!r}, got {frame.dtypes[name]!r}")
        if isinstance(frame, dd.DataFrame):
            return frame.map_partitions(self._encode, meta=self._encode(make_meta(frame)))
        return self._encode(frame)

    def inverse_transform(self, X: Any) -> Any:
        """Return the frame with categorical columns again.

        Parameters
        ----------
        X : Dask or pandas DataFrame, Dask array or array
            What `transform` returned, or its values.

        Returns
        -------
        DataFrame or Dask DataFrame
            Rows that have none of the categories are missing there, or of the first where that has no column.
        """
        check_is_fitted(self)
        if isinstance(X, da.Array):
            X = dd.from_dask_array(X, columns=list(self.transformed_columns_))
        if isinstance(X, dd.DataFrame):
            return X.map_partitions(self._decode, meta=self._decode(make_meta(X)))
        return self._decode(X if hasattr(X, "iloc") else pd.DataFrame(X, columns=self.transformed_columns_))

    def _encode(self, frame: pd.DataFrame) -> pd.DataFrame:
        return pd.get_dummies(frame, columns=list(self.categorical_columns_), drop_first=bool(self.drop_first))

    def _decode(self, frame: pd.DataFrame) -> pd.DataFrame:
        found = frame[list(self.non_categorical_columns_)].copy()
        for name, dtype in self.dtypes_.items():
            codes = self._codes(frame.iloc[:, self.categorical_blocks_[name]])
            found[name] = pd.Categorical.from_codes(codes, dtype=dtype)
        return found[list(self.columns_)]

    def _codes(self, dummies: pd.DataFrame) -> Array:
        flags = dummies.to_numpy(np.float64)
        if not flags.shape[1]:
            return np.zeros(len(flags), np.intp)
        none = 0 if self.drop_first else -1
        return np.where(flags.any(axis=1), flags.argmax(axis=1) + bool(self.drop_first), none)


def _cast(frame: pd.DataFrame, types: Mapping[Any, pd.CategoricalDtype]) -> pd.DataFrame:
    """Return the frame with columns of these types; `pandas.DataFrame.astype` warns of values that are no category."""
    found = frame.copy()
    for name, dtype in types.items():
        codes = dtype.categories.get_indexer(pd.Index(frame[name].astype(object)))
        found[name] = pd.Categorical.from_codes(codes, dtype=dtype)
    return found


def _frame(X: Any) -> Any:
    if not isinstance(X, (pd.DataFrame, dd.DataFrame)):
        raise DataError(f"X: expected a pandas or Dask DataFrame, got {type(X).__name__}")
    check_names(X)
    return X


def _present(name: str, columns: Any, frame: Any) -> list[Any]:
    if isinstance(columns, str):
        raise TypeError(f"{name}: expected a sequence of columns, got {columns!r}")
    with naming(name):
        unknown = [column for column in columns if column not in frame.columns]
    if unknown:
        raise DataError(f"{name}: expected columns of the frame, got {unknown}; it has {list(frame.columns)}")
    return list(columns)


def _is_text(dtype: Any) -> bool:
    return isinstance(dtype, (pd.CategoricalDtype, pd.StringDtype)) or dtype == np.dtype(object)


def _has_categories(column: Any) -> bool:
    """Return whether the type tells the categories, which Dask may not know."""
    if not isinstance(column.dtype, pd.CategoricalDtype):
        return False
    return bool(column.cat.known) if isinstance(column, dd.Series) else True


def _tallies(frame: Any) -> Any:
    if isinstance(frame, pd.DataFrame):
        return Counts().chunk(Block(frame))
    with open_table(plain_strings(frame)) as engine:
        (tallies,) = engine.answer(Counts())
    return tallies


def _type_of(values: Any) -> pd.CategoricalDtype:
    return pd.CategoricalDtype(pd.Series(values).dropna().astype("category").cat.categories)

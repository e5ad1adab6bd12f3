"""Encoders of categories, one-hot and ordinal: scikit-learn's, fitted on counts of values."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd
import sklearn.preprocessing

from daskml_kit.base import DaskTransformer, with_head
from daskml_kit.exceptions import DataError
from daskml_kit.numerics.missing import is_nan
from daskml_kit.reductions.frames import rows_like
from daskml_kit.reductions.value_counts import Counts, Tally
from daskml_kit.solvers.types import DataSpec, Fit
from daskml_kit.typing import Array

UNKNOWN = -1


def fit_tallies(kind: type[Any], parameters: dict[str, Any], head: Any, tallies: Sequence[Tally]) -> Any:
    """Return scikit-learn's encoder as fitted on data with these tallies.

    Parameters
    ----------
    kind : type
        `sklearn.preprocessing.OneHotEncoder` or `sklearn.preprocessing.OrdinalEncoder`.
    parameters : dict
        Of the encoder.
    head : DataFrame or array
        Some rows.
    tallies : sequence of Tally
        Of each column.

    Examples
    --------
    >>> tally = Tally(np.array(["b", "a"]), np.array([3, 1]))
    >>> fit_tallies(sklearn.preprocessing.OrdinalEncoder, {}, np.array([["b"]]), [tally]).categories_
    [array(['a', 'b'], dtype='<U1')]
    """
    table = made_up(head, tallies)
    grouping = {name: parameters.get(name) for name in ("min_frequency", "max_categories")}
    if all(value is None for value in grouping.values()):
        return kind(**parameters).fit(table)
    kind(**grouping).fit(np.zeros((1, 1)))  # checks them
    single = kind(**{**parameters, **dict.fromkeys(grouping), **_lenient(kind, parameters)}).fit(table)
    rare = [
        _rare(kind, categories, tally, grouping) for categories, tally in zip(single.categories_, tallies, strict=True)
    ]
    special = {}
    if isinstance(parameters.get("drop"), (list, tuple, np.ndarray)):
        special["drop"] = _check_drop(single, rare)
    grouped = _fit_codes(kind, {**parameters, **special}, head, single.categories_, rare)
    grouped.categories_ = single.categories_
    return grouped.set_params(**parameters)


def _lenient(kind: type[Any], parameters: dict[str, Any]) -> dict[str, Any]:
    """Return parameters by which no number of a category that is going to be grouped is in the way."""
    if kind is sklearn.preprocessing.OneHotEncoder:
        return {}
    unknown = {"unknown_value": UNKNOWN} if parameters.get("handle_unknown") == "use_encoded_value" else {}
    return {**unknown, "encoded_missing_value": UNKNOWN - 1}


def _rare(kind: type[Any], categories: Array, tally: Tally, grouping: dict[str, Any]) -> Array:
    """Return which categories are infrequent; of an `OrdinalEncoder` missing values never are."""
    counts, n_rows = count_categories(categories, tally), int(tally.counts.sum())
    if kind is sklearn.preprocessing.OneHotEncoder or not _last_is_nan(categories):
        return infrequent(counts, n_rows, **grouping)
    return np.append(infrequent(counts[:-1], n_rows, **grouping), False)


def _last_is_nan(categories: Array) -> bool:
    return bool(is_nan(categories[-1]))


def infrequent(counts: Array, n_rows: int, min_frequency: float | None, max_categories: int | None) -> Array:
    """Return which categories are infrequent; of equally frequent ones the first are.

    Examples
    --------
    >>> infrequent(np.array([5, 1, 3]), 9, min_frequency=2, max_categories=None)
    array([False,  True, False])
    >>> infrequent(np.array([5, 3, 3, 3]), 14, min_frequency=None, max_categories=3)
    array([False,  True,  True, False])
    """
    rare = np.zeros(len(counts), bool)
    if min_frequency is not None:
        rare = counts < (min_frequency if isinstance(min_frequency, Integral) else n_rows * min_frequency)
    if max_categories is not None and max_categories < len(counts) - rare.sum() + 1:
        order = np.argsort(counts, kind="stable")
        rare[order[: len(counts) - (max_categories - 1)]] = True
    return np.asarray(rare)


def count_categories(categories: Array, tally: Tally) -> Array:
    """Return the rows of each of the sorted ``categories``, by scikit-learn's own idea of equality."""
    values = _as_column(tally.values)
    encoder = sklearn.preprocessing.OneHotEncoder(categories=[categories], handle_unknown="ignore")
    return np.asarray(encoder.fit_transform(values).T @ tally.counts).astype(np.int64)


def _fit_codes(
    kind: type[Any], parameters: dict[str, Any], head: Any, known: Sequence[Array], rare: Sequence[Array]
) -> Any:
    """Fit on the numbers of the categories: a frequent one comes twice, an infrequent one once, -1 is unknown.

    Only NaN stays as it is.
    """
    categories = [np.arange(len(mask), dtype=np.float64) for mask in rare]
    for numbers, values in zip(categories, known, strict=True):
        if _last_is_nan(values):
            numbers[-1] = np.nan
    columns = [np.concatenate([n, n[~mask]]) for n, mask in zip(categories, rare, strict=True)]
    codes = np.full((max(map(len, columns)), len(columns)), float(UNKNOWN))
    for position, column in enumerate(columns):
        codes[: len(column), position] = column
    options: dict[str, Any] = {"min_frequency": 2, "max_categories": None, "handle_unknown": "ignore"}
    if kind is sklearn.preprocessing.OrdinalEncoder:
        chosen = parameters["unknown_value"] if parameters["handle_unknown"] == "use_encoded_value" else UNKNOWN
        options |= {"handle_unknown": "use_encoded_value", "unknown_value": chosen}
    return kind(**{**parameters, **options, "categories": categories}).fit(rows_like(codes, head))


def _check_drop(single: Any, rare: Sequence[Array]) -> list[int]:
    """Return the numbers of the categories to drop, none of which may be infrequent."""
    for feature, (number, mask) in enumerate(zip(single.drop_idx_, rare, strict=True)):
        if mask[number]:
            category = single.categories_[feature][number]
            raise DataError(f"Unable to drop category {category!r} from feature {feature} because it is infrequent")
    return [int(number) for number in single.drop_idx_]


def made_up(head: Any, tallies: Sequence[Tally]) -> Any:
    """Return a table in which every value comes, those of a column with few repeated."""
    n_rows = max(len(tally.values) for tally in tallies)
    rows = [np.resize(np.arange(len(tally.values)), n_rows) for tally in tallies]
    if hasattr(tallies[0].values, "iloc"):
        columns = [tally.values.iloc[at].reset_index(drop=True) for tally, at in zip(tallies, rows, strict=True)]
        return pd.concat(columns, axis=1).set_axis(head.columns, axis=1)
    columns = [tally.values[at] for tally, at in zip(tallies, rows, strict=True)]
    if len({column.dtype for column in columns}) == 1:
        return np.column_stack(columns)
    return pd.concat([pd.Series(column) for column in columns], axis=1).set_axis(range(len(columns)), axis=1)


def _as_column(values: Any) -> Any:
    return values.to_frame() if hasattr(values, "iloc") else values[:, None]


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

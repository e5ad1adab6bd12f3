"""One-hot encoding of categories."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd
import sklearn.preprocessing

from daskml_kit.base import DaskTransformer, with_head
from daskml_kit.exceptions import DataError
from daskml_kit.reductions.value_counts import Counts, Tally
from daskml_kit.solvers.types import DataSpec, Fit
from daskml_kit.typing import Array


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
    daskml_kit.compose.ColumnTransformer : Encoding of some columns, in one pass with what others need.

    Examples
    --------
    >>> import dask.dataframe as dd
    >>> frame = dd.from_pandas(pd.DataFrame({"city": ["Oslo", "Rome", "Oslo"]}), npartitions=2)
    >>> encoder = OneHotEncoder().fit(frame)
    >>> encoder.get_feature_names_out()
    array(['city_Oslo', 'city_Rome'], dtype=object)
    >>> encoder.transform(frame).compute().toarray()
    array([[1., 0.],
           [0., 1.],
           [1., 0.]])
    """

    def _fit_steps(self, spec: DataSpec) -> Fit:
        head, (tallies,) = yield from with_head(spec, Counts())
        return self._learned(_fit_tallies(self.get_params(deep=False), head, tallies), head)


def _fit_tallies(parameters: dict[str, Any], head: Any, tallies: Sequence[Tally]) -> Any:
    """Return scikit-learn's encoder as fitted on data with these tallies."""
    table = _made_up(head, tallies)
    grouping = {name: parameters[name] for name in ("min_frequency", "max_categories")}
    single = sklearn.preprocessing.OneHotEncoder(**{**parameters, **dict.fromkeys(grouping)}).fit(table)
    if all(value is None for value in grouping.values()):
        return single
    sklearn.preprocessing.OneHotEncoder(**{**parameters, "drop": None}).fit(table)  # checks the parameters
    rare = [
        infrequent(count_categories(categories, tally), int(tally.counts.sum()), **grouping)
        for categories, tally in zip(single.categories_, tallies, strict=True)
    ]
    drop = parameters["drop"]
    if drop is not None and not isinstance(drop, str):
        drop = _check_drop(single, rare)
    grouped = _fit_codes({**parameters, "drop": drop}, rare)
    for name in ("categories_", "n_features_in_", "feature_names_in_"):
        if hasattr(single, name):
            setattr(grouped, name, getattr(single, name))
    return grouped.set_params(**parameters)


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


def _fit_codes(parameters: dict[str, Any], rare: Sequence[Array]) -> Any:
    """Fit on the numbers of the categories: a frequent one comes twice, an infrequent one once, -1 is unknown."""
    columns = [np.concatenate([np.arange(len(mask)), np.flatnonzero(~mask)]) for mask in rare]
    codes = np.full((max(map(len, columns)), len(columns)), -1)
    for position, column in enumerate(columns):
        codes[: len(column), position] = column
    options = {"min_frequency": 2, "max_categories": None, "handle_unknown": "ignore"}
    categories = [np.arange(len(mask)) for mask in rare]
    return sklearn.preprocessing.OneHotEncoder(**{**parameters, **options, "categories": categories}).fit(codes)


def _check_drop(single: Any, rare: Sequence[Array]) -> list[int]:
    """Return the numbers of the categories to drop, none of which may be infrequent."""
    for feature, (number, mask) in enumerate(zip(single.drop_idx_, rare, strict=True)):
        if mask[number]:
            category = single.categories_[feature][number]
            raise DataError(f"Unable to drop category {category!r} from feature {feature} because it is infrequent")
    return [int(number) for number in single.drop_idx_]


def _made_up(head: Any, tallies: Sequence[Tally]) -> Any:
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

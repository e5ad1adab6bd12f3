"""Imputation of missing values column by column, and indicators of where they are."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import sklearn.impute
from sklearn.utils import check_array
from sklearn.utils.validation import FLOAT_DTYPES

from daskml_kit.base import DaskTransformer, with_head, without_names
from daskml_kit.exceptions import DataError, NotShared
from daskml_kit.numerics.missing import is_nan, missing_mask
from daskml_kit.reductions.frames import rows_like
from daskml_kit.reductions.missing_counts import Masked, Presence
from daskml_kit.reductions.moments import Moments
from daskml_kit.reductions.quantiles import Brackets, medians
from daskml_kit.reductions.reduction import Reduction
from daskml_kit.reductions.value_counts import Counts, Tally
from daskml_kit.solvers.types import DataSpec, Fit
from daskml_kit.solvers.views import Filling, ImputedView
from daskml_kit.typing import Array


class Learned(NamedTuple):
    """Of each column: the statistic, whether values were missing, and whether no value was there."""

    statistics: Array
    partly: Array
    empty: Array


Learning = Generator[tuple[Reduction, ...], Any, Learned]


class SimpleImputer(DaskTransformer, sklearn.impute.SimpleImputer):  # type: ignore[misc]
    """Replace missing values by the mean, the median or the most frequent value of their column, or by a constant.

    Mean, most frequent value and constant take one pass. The median is exact, and takes two passes up to some ten
    million rows: see `daskml_kit.reductions.quantiles`. Parameters, attributes and methods are those of
    `sklearn.impute.SimpleImputer`.

    Parameters
    ----------
    missing_values : number, str, np.nan, None or pd.NA, default np.nan
        What counts as missing. In the string columns of a Dask DataFrame pd.NA is read as NaN.
    strategy : {"mean", "median", "most_frequent", "constant"}, default "mean"
        A callable needs the whole column, and is refused on Dask input.
    fill_value : str or number, default None
        The constant; by default 0 for numbers and "missing_value" for others.
    copy : bool, default True
        On Dask input a copy is always made: False is refused there.
    add_indicator : bool, default False
        Whether to append a column for each that had missing values, which says where.
    keep_empty_features : bool, default False
        Whether to keep columns without any value.

    Attributes
    ----------
    statistics_ : array of shape (n_features,)
        What is filled in; NaN for a column without any value.
    indicator_ : sklearn.impute.MissingIndicator or None

    See Also
    --------
    daskml_kit.preprocessing.StandardScaler : The usual next step before a linear model.

    References
    ----------
    Manku, Rajagopalan and Lindsay, "Approximate medians and other quantiles in one pass and with limited memory", 1998.

    Examples
    --------
    >>> import dask.dataframe as dd
    >>> frame = dd.from_pandas(pd.DataFrame({"wind": [3.0, None, 5.0]}), npartitions=2)
    >>> SimpleImputer().fit_transform(frame).compute()
    array([[3.],
           [4.],
           [5.]])
    """

    @property
    def many_passes(self) -> bool:
        """Return whether one pass over the data is not enough."""
        return bool(self.strategy == "median")

    def _fit_steps(self, spec: DataSpec) -> Fit:
        if callable(self.strategy):
            raise DataError(
                "strategy: a callable needs whole columns in memory, expected 'mean', 'median', 'most_frequent' or "
                "'constant' on Dask input"
            )
        if spec.numeric and not is_nan(self.missing_values):
            raise NotShared(f"of rows that are numbers, NaN is what is missing, not {self.missing_values!r}")
        strategies = {"mean": _learn_mean, "median": _learn_median, "most_frequent": _learn_modes}
        learning = strategies.get(self.strategy, _learn_presence)(spec, self.missing_values)
        head, answers = yield from with_head(spec, *next(learning))
        try:
            while True:
                answers = yield learning.send(answers)
        except StopIteration as end:
            learned = end.value
        return self._learned(self._fit_made_up(learned, head, self._dtype(head)), head)

    def _view(self, spec: DataSpec) -> ImputedView:
        values = np.array([np.nan if pd.isna(value) else value for value in self.statistics_], np.float64)
        indicator = self.indicator_
        filling = Filling(values, np.empty(0, np.intp) if indicator is None else indicator.features_)
        return ImputedView(spec.gaps, filling, without_names(self.to_sklearn()), spec.shared)

    def _dtype(self, head: Any) -> np.dtype[Any]:
        """Return the type that scikit-learn would see the data in."""
        numeric = self.strategy not in ("most_frequent", "constant")
        dtype: np.dtype[Any] = checked(head, FLOAT_DTYPES if numeric else None, self.strategy).dtype
        return dtype

    def _fit_made_up(self, learned: Learned, head: Any, dtype: np.dtype[Any]) -> Any:
        """Fit scikit-learn's imputer on two rows that have what was learned."""
        imputer = sklearn.impute.SimpleImputer(**self.get_params(deep=False))
        marker: Any = np.array(np.nan if self.missing_values is pd.NA else self.missing_values, object)
        present = np.full(len(learned.empty), present_value(dtype, self.missing_values), object)
        if self.strategy != "constant":
            present[:] = learned.statistics
        rows = np.empty((2, len(present)), object)
        # Only a sparse column can be empty without missing values: it has none but zeros, which are not stored.
        void = np.where(learned.partly, marker, np.array(0, object))
        rows[0] = np.where(learned.empty, void, present)
        rows[1] = np.where(learned.partly, marker, rows[0])
        return imputer.fit(rows_like(rows.astype(dtype), head))


def present_value(dtype: np.dtype[Any], marker: Any) -> Any:
    """Return a value that is not missing, nor a zero that a sparse matrix would not store.

    Examples
    --------
    >>> present_value(np.dtype(object), "a"), present_value(np.dtype(float), np.nan)
    ('b', 1)
    """
    choices = ("a", "b") if dtype.kind == "O" else (1, 2)
    first = np.array(choices[:1], dtype)
    return choices[int(missing_mask(first, marker)[0])]


def _learn_mean(spec: DataSpec, marker: Any) -> Learning:
    (spread,) = yield (masked(spec, Moments(), marker),)
    return Learned(spread.mean, spread.count < spread.n_rows, spread.count == 0)


def _learn_median(spec: DataSpec, marker: Any) -> Learning:
    asking = medians()
    brackets, presence = next(asking), None
    while True:
        asked = masked(spec, brackets, marker)
        if presence is None:
            answer, presence = yield asked, Presence(marker)
        else:
            (answer,) = yield (asked,)
        try:
            brackets = asking.send(answer)
        except StopIteration as end:
            return Learned(end.value, presence.present < presence.n_rows, presence.present == 0)


def _learn_presence(spec: DataSpec, marker: Any) -> Learning:
    (presence,) = yield (Presence(marker),)
    return Learned(np.zeros(len(presence.present)), presence.present < presence.n_rows, presence.stored == 0)


def _learn_modes(spec: DataSpec, marker: Any) -> Learning:
    tallies: list[Tally]
    if spec.numeric:  # in bounded memory
        brackets, spread = yield (Brackets(), Moments())
        tallies = _tallies(brackets, spread.n_rows)
    else:
        (tallies,) = yield (Counts(),)
    masks = [missing_mask(tally.values, marker) for tally in tallies]
    modes = [_mode(tally, mask) for tally, mask in zip(tallies, masks, strict=True)]
    statistics = np.empty(len(modes), object)
    statistics[:] = modes
    return Learned(statistics, np.array([mask.any() for mask in masks]), np.array([mask.all() for mask in masks]))


def masked(spec: DataSpec, reduction: Any, marker: Any) -> Any:
    """Return a reduction over the rows as numbers, NaN where a value is missing."""
    return reduction if spec.numeric else Masked(reduction, marker)


def _tallies(brackets: Any, n_rows: int) -> list[Tally]:
    """Return the values of each column of numbers, and how often they come.

    Raises
    ------
    NotShared
        Where a column has too many distinct values.
    """
    many = [j for j, column in enumerate(brackets) if column.error]
    if many:
        raise NotShared(
            "of columns with many distinct values the most frequent one takes them all, and column "
            f"{many[0]} has more than {len(brackets[many[0]].values)}"
        )
    return [
        Tally(np.append(column.values, np.nan), np.append(column.weights, n_rows - column.n_seen))
        if column.n_seen < n_rows
        else Tally(column.values, column.weights)
        for column in brackets
    ]


def _mode(tally: Tally, missing: Array) -> Any:
    """Return the value that comes most often, the smallest of equals."""
    if missing.all():
        return None
    counts = np.where(missing, 0, tally.counts)
    most = np.flatnonzero(counts == counts.max())
    values = np.asarray(tally.values.iloc[most] if hasattr(tally.values, "iloc") else tally.values[most]).tolist()
    try:
        return min(values)
    except TypeError:
        return min(values, key=lambda value: (str(type(value)), value))


def checked(table: Any, dtype: Any, strategy: str = "") -> Any:
    """Return rows as scikit-learn's imputers see them.

    Raises
    ------
    DataError
        Where columns have no type in common, or cannot be used by the strategy.
    """
    try:
        return check_array(table, dtype=dtype, accept_sparse="csr", ensure_all_finite=False)
    except TypeError as error:  # times beside numbers
        dtypes = getattr(table, "dtypes", {})
        times = [name for name, kind in dtypes.items() if kind.kind in "mM"]
        if not times:
            raise
        raise DataError(f"X: expected columns of one type, got {times[0]!r} ({dtypes[times[0]]}): {error}") from None
    except ValueError as error:
        if "could not convert" not in str(error):
            raise
        raise DataError(f"Cannot use {strategy} strategy with non-numeric data: {error}") from None


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

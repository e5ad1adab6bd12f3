"""Tables of the command line: reading, the task, and the use of each column."""

from __future__ import annotations

from collections.abc import Sequence
from glob import glob, has_magic
from pathlib import Path
from typing import Any, NamedTuple

import dask.dataframe as dd
import pandas as pd

from daskml_kit.cli.columns import RolesGiven, column_roles
from daskml_kit.cli.errors import JobError, did_you_mean, naming_failures, shortened
from daskml_kit.data.collections import blocks_bytes, fits
from daskml_kit.datasets.flights import flights_path, load_flights
from daskml_kit.engines.open import find_client, open_table
from daskml_kit.reductions.value_counts import Columns, Contents

CSV, PARQUET = (".csv", ".tsv", ".txt"), (".parquet", ".pq")
COMPRESSED = (".gz", ".bz2", ".xz", ".zip", ".zst")
CSV_BLOCK_BYTES = 16 * 2**20
LATE_MINUTES = 15
FLIGHT_TARGETS = ("late", "arr_delay")
FLIGHT_CATEGORIES = ["month", "day_of_week", "sched_dep_hour", "sched_arr_hour"]
FLIGHT_FEATURES = ["month", "carrier", "origin", "dest", "distance"]
FLIGHT_TIMES = ["year", "day", "sched_dep_time", "sched_arr_time", "arr_delay"]
FLIGHT_NOTE = (
    f"late is an arrival more than {LATE_MINUTES} minutes after schedule; canceled and diverted flights have no "
    "arrival delay and are dropped"
)


class TableSource(NamedTuple):
    """Lazy table, its target, the numeric columns that are names of categories, and what a reader should know."""

    frame: dd.DataFrame
    target: str
    categories: Sequence[str] = ()
    notes: Sequence[str] = ()


def open_source(data: str, target: str | None) -> TableSource:
    """Return the table that ``data`` names, and the column to predict.

    Raises
    ------
    JobError
        Where it cannot be found or read, or has no such target.
    """
    if data == "flights":
        return _open_flights(target or "late")
    if target is None:
        raise JobError("--target: expected the name of a column of DATA")
    frame = open_frame(data)
    if target not in frame.columns:
        raise JobError(f"--target: {data} has no column {target!r}{did_you_mean(target, map(str, frame.columns))}")
    return TableSource(frame, target)


def open_frame(data: str) -> dd.DataFrame:
    """Return the lazy table that ``data`` names: a path, a glob or URL of CSV or Parquet files, or ``flights``.

    Raises
    ------
    JobError
        Where it cannot be found or read.
    """
    if data == "flights":
        return _open_flights("late").frame
    # of Arrow and of pandas' parsers too; a file system of a URL may not be installed
    with naming_failures(f"cannot read {data}", OSError, ValueError, ImportError):
        return _plain_types(_open_files(data))


def _open_files(data: str) -> dd.DataFrame:
    kind = _suffix(data)
    if kind in PARQUET:
        return dd.read_parquet(data)
    options: dict[str, Any] = {"sep": "\t"} if kind == ".tsv" else {}
    block = None if data.endswith(COMPRESSED) else CSV_BLOCK_BYTES
    # integers become floats: a missing value may come after the rows from which Dask guesses the types
    return dd.read_csv(data, blocksize=block, assume_missing=True, **options)


def _suffix(data: str) -> str:
    """Return the ending that tells the format of the first file."""
    if "://" not in data:
        matches = glob(data) if has_magic(data) else [data] if Path(data).exists() else []
        if not matches:
            raise FileNotFoundError("no such file")
        data = matches[0]
        if Path(data).is_dir():
            data = min((path.name for path in Path(data).rglob("*") if path.suffix in PARQUET), default="")
    for ending in COMPRESSED:
        data = data.removesuffix(ending)
    suffix = Path(data).suffix.lower()
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
    return frame.astype(changed)


def _open_flights(target: str) -> TableSource:
    if target not in FLIGHT_TARGETS:
        raise JobError(f"--target: flights has no target {target!r}{did_you_mean(target, FLIGHT_TARGETS)}")
    with naming_failures("flights", ImportError):
        path = flights_path()
    with naming_failures(f"cannot read {path}", OSError, ValueError):
        flights = load_flights(columns=[*FLIGHT_FEATURES, *FLIGHT_TIMES])
    frame = flights.map_partitions(_known_before, target)
    return TableSource(frame, target, FLIGHT_CATEGORIES, [FLIGHT_NOTE])


def _known_before(flights: pd.DataFrame, target: str) -> pd.DataFrame:
    """Return what is known of each flight before its departure, and the target; missing where it was canceled."""
    known = flights[FLIGHT_FEATURES].copy()
    known["day_of_week"] = pd.to_datetime(flights[["year", "month", "day"]]).dt.day_of_week
    known["sched_dep_hour"] = flights["sched_dep_time"] // 100
    known["sched_arr_hour"] = flights["sched_arr_time"] // 100
    delay = flights["arr_delay"]
    known[target] = delay if target == "arr_delay" else (delay > LATE_MINUTES).astype(float).where(delay.notna())
    return known


MOST_CLASSES = 100
NOTHING_GIVEN = RolesGiven()
MOST_INTEGER_CLASSES = 20


class TrainingTable(NamedTuple):
    """Rows with a known target, held where they fit in memory, those of the rarest class, the columns of each kind."""

    frame: dd.DataFrame
    rarest: int | None
    target: str
    task: str
    rows: int
    dropped: int
    columns: dict[str, list[str]]
    unused: dict[str, str]

    @property
    def features(self) -> list[str]:
        """Columns that the target is predicted from."""
        return [name for names in self.columns.values() for name in names]


def load_table(source: TableSource, task: str | None, given: RolesGiven = NOTHING_GIVEN) -> TrainingTable:
    """Read the table once, and return it with its task, guessed where it is None, and the roles of its columns.

    Raises
    ------
    JobError
        Where a file cannot be read, or the target does not fit the task.
    """
    frame, target = source.frame, source.target
    given.check(frame.columns, target)
    with naming_failures("cannot read the data", OSError, ValueError):
        if fits(find_client(), blocks_bytes(frame.to_delayed())):  # going by the first partition
            frame = frame.persist()
        with open_table(frame) as engine:
            contents: Contents = engine.answer(Columns(target, MOST_CLASSES))[0]
    n_known = int(contents.present[list(frame.columns).index(target)])
    if not n_known:
        raise JobError(f"--target: column {target!r} is missing in all {contents.n_rows:,} rows")
    task = task or _guess_task(contents, frame.dtypes[target])
    _check_target(target, frame.dtypes[target], contents, task)
    columns, unused = _column_kinds(source, contents, given)
    frame = frame.dropna(subset=[target])
    if task == "classification" and contents.whole and not pd.api.types.is_bool_dtype(frame.dtypes[target]):
        frame = frame.assign(**{target: frame[target].astype("int64")})
    rarest = int(contents.counts.min()) if task == "classification" and contents.counts is not None else None
    return TrainingTable(frame, rarest, target, task, contents.n_rows, contents.n_rows - n_known, columns, unused)


def _guess_task(contents: Contents, dtype: Any) -> str:
    """Return "classification" where the target is no number, or few whole numbers, else "regression"."""
    few = contents.labels is not None and contents.whole and len(contents.labels) <= MOST_INTEGER_CLASSES
    return "classification" if few or not pd.api.types.is_numeric_dtype(dtype) else "regression"


def _check_target(name: str, dtype: Any, contents: Contents, task: str) -> None:
    numeric = pd.api.types.is_numeric_dtype(dtype)
    if task == "regression" and not numeric:
        raise JobError(f"--target: regression expects numbers, column {name!r} holds {dtype}")
    if task == "classification" and contents.labels is None:
        some = "is it a --task regression?" if numeric else f"it holds {dtype}, so it is no number either"
        raise JobError(f"--target: column {name!r} has more than {MOST_CLASSES} classes; {some}")
    if task == "classification" and contents.labels is not None and len(contents.labels) < 2:
        raise JobError(f"--target: column {name!r} has one class only, {contents.labels.tolist()[0]!r}")


def _column_kinds(
    source: TableSource, contents: Contents, given: RolesGiven
) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Return the columns of each kind, and why others are not used.

    Raises
    ------
    JobError
        Where no column is left, or one that is used holds infinity.
    """
    names = list(source.frame.columns)
    present, infinite = (dict(zip(names, counts, strict=True)) for counts in (contents.present, contents.infinite))
    features = contents.first[[name for name in names if name != source.target]]
    columns, unused = column_roles(features, present, given, source.categories)
    if not any(columns.values()):
        why = f": {shortened(f'{name} ({reason})' for name, reason in unused.items())}" if unused else ""
        raise JobError(f"no column is left to predict {source.target!r} from{why}")
    for name in [source.target, *columns["numeric"]]:
        if infinite[name]:
            raise JobError(f"column {name!r} holds infinity in {infinite[name]:,} rows; mend them, or --drop {name}")
    return columns, unused

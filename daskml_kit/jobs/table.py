"""Decide what each column of a table is for, and keep the rows whose target is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import dask.dataframe as dd
import pandas as pd

from daskml_kit.engines.capacity import blocks_bytes, fits
from daskml_kit.engines.opening import find_client
from daskml_kit.engines.tables import Tables
from daskml_kit.jobs.failure import JobError, failing
from daskml_kit.jobs.read import Source
from daskml_kit.queries.columns import Columns, Contents

MOST_CLASSES = 100
MOST_INTEGER_CLASSES = 20
TASKS = ("classification", "regression")


@dataclass(frozen=True)
class Table:
    """Rows with a known target, held where they fit in memory, and the use of each column."""

    frame: dd.DataFrame
    target: str
    task: str
    n_rows: int
    n_dropped: int
    numeric: Sequence[str]
    categorical: Sequence[str]
    flags: Sequence[str]
    unused: dict[str, str]

    @property
    def features(self) -> list[str]:
        return [*self.numeric, *self.categorical, *self.flags]


def load_table(source: Source, task: str | None) -> Table:
    """Read the table once, and return it with its task, guessed where it is None.

    Raises
    ------
    JobError
        Where a file cannot be read, or the target does not fit the task.
    """
    with failing("cannot read the data", OSError, ValueError):
        frame = hold(source.frame)
        contents: Contents = Tables(frame).answer(Columns(source.target, MOST_CLASSES))[0]
    n_known = int(contents.present[list(frame.columns).index(source.target)])
    if not n_known:
        raise JobError(f"--target: column {source.target!r} is missing in all {contents.n_rows:,} rows")
    task = task or guess_task(contents)
    _check_target(source.target, frame.dtypes[source.target], contents, task)
    known = frame.dropna(subset=[source.target])
    if task == "classification" and contents.whole:
        known = known.assign(**{source.target: known[source.target].astype("int64")})
    uses = _uses(frame, source, contents)
    return Table(known, source.target, task, contents.n_rows, contents.n_rows - n_known, **uses)


def hold(frame: dd.DataFrame) -> dd.DataFrame:
    """Return the table in memory where it fits, going by its first partition, else as it is, read in each pass."""
    return frame.persist() if fits(find_client(), blocks_bytes(frame.to_delayed())) else frame


def guess_task(contents: Contents) -> str:
    """Return "classification" where the target is no number, or few whole numbers, else "regression"."""
    if contents.labels is None:
        return "regression"
    numeric = contents.labels.dtype.kind in "fiub"
    few = contents.whole and len(contents.labels) <= MOST_INTEGER_CLASSES
    return "classification" if few or not numeric else "regression"


def _check_target(name: str, dtype: Any, contents: Contents, task: str) -> None:
    numeric = pd.api.types.is_numeric_dtype(dtype)
    if task == "regression" and not numeric:
        raise JobError(f"--target: regression expects numbers, column {name!r} holds {dtype}")
    if task == "classification" and contents.labels is None:
        raise JobError(f"--target: column {name!r} has more than {MOST_CLASSES} classes; is it a --task regression?")
    if task == "classification" and contents.labels is not None and len(contents.labels) < 2:
        raise JobError(f"--target: column {name!r} has one class only, {contents.labels.tolist()[0]!r}")


def _uses(frame: dd.DataFrame, source: Source, contents: Contents) -> dict[str, Any]:
    uses: dict[str, Any] = {"numeric": [], "categorical": [], "flags": [], "unused": {}}
    for (name, dtype), present in zip(frame.dtypes.items(), contents.present, strict=True):
        kind = pd.api.types
        if name == source.target:
            continue
        if not present:
            uses["unused"][str(name)] = "no values"
        elif name in source.categories or kind.is_string_dtype(dtype) or kind.is_object_dtype(dtype):
            uses["categorical"].append(name)
        elif kind.is_bool_dtype(dtype):
            uses["flags"].append(name)
        elif kind.is_numeric_dtype(dtype):
            uses["numeric"].append(name)
        else:
            uses["unused"][str(name)] = f"of type {dtype}"
    if not (uses["numeric"] or uses["categorical"] or uses["flags"]):
        raise JobError(f"no column is left to predict {source.target!r} from")
    return uses

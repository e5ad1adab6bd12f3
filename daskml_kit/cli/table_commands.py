"""Describe and partition commands: what is in a table, how its rows lie in blocks, and writing it partitioned."""

from __future__ import annotations

from types import SimpleNamespace

import dask.dataframe as dd
import pandas as pd

from daskml_kit.cli.errors import JobError, did_you_mean, naming_failures
from daskml_kit.cli.output import check_new, drafted
from daskml_kit.cli.table import open_frame
from daskml_kit.partition import hash_partition, partition_report, random_partition
from daskml_kit.stat import describe

WIDE = 1_000


def describe_table(options: SimpleNamespace, where: str) -> str:
    """Return the description of a table's columns as text.

    Parameters
    ----------
    options : SimpleNamespace
        Arguments of ``daskml-kit describe``.
    where : str
        Description of the cluster.

    Returns
    -------
    str
        A line for each column.

    Raises
    ------
    JobError
        Where the table cannot be read.
    """
    frame = open_frame(options.data)
    with naming_failures(f"cannot describe {options.data}", OSError, ValueError):
        columns = describe(frame)
    n_rows = int((columns["count"] + columns["missing"]).max())
    with pd.option_context("display.width", WIDE, "display.max_columns", None, "display.max_rows", None):
        return f"{n_rows:,} rows of {options.data}, {where}\n\n{columns.to_string(na_rep='')}"


def partition_table(options: SimpleNamespace, where: str) -> str:
    """Return how the rows of a table lie in blocks; with ``--out`` write it shuffled, or partitioned by keys, first.

    Parameters
    ----------
    options : SimpleNamespace
        Arguments of ``daskml-kit partition``.
    where : str
        Description of the cluster.

    Returns
    -------
    str
        The report of the table, or of what was written.

    Raises
    ------
    JobError
        Where the options cannot be carried out; then nothing is written.
    """
    frame = open_frame(options.data)
    by, labels, out = list(options.by), options.labels, options.out
    for option, names in (("--by", by), ("--labels", [labels] if labels else [])):
        for name in names:
            if name not in frame.columns:
                raise JobError(f"{option}: there is no column {name!r}{did_you_mean(name, map(str, frame.columns))}")
    if options.npartitions is not None and options.npartitions < 1:
        raise JobError(f"--npartitions: expected at least 1, got {options.npartitions}")
    if out is None and options.npartitions is not None:
        raise JobError("--npartitions: expected --out, a folder for the partitioned table")
    saved = []
    if out is not None:
        check_new(out)
        with drafted(out) as draft, naming_failures(f"cannot partition {options.data}", OSError, ValueError):
            _partitioned(frame, options).to_parquet(str(draft), write_index=False)
        frame = dd.read_parquet(str(out))
        saved = [f"saved         {out}, {where}"]
    with naming_failures(f"cannot read {options.data}", OSError, ValueError):
        report = partition_report(frame, labels=labels, by=by or None)
    return "\n\n".join([str(report), *saved])


def _partitioned(frame: dd.DataFrame, options: SimpleNamespace) -> dd.DataFrame:
    n_blocks = options.npartitions or frame.npartitions
    if options.by:
        return hash_partition(frame, by=list(options.by), npartitions=n_blocks)
    return random_partition(frame, npartitions=n_blocks, random_state=options.seed)

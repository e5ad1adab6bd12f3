"""A report of how rows lie in blocks, and blocks on workers."""

from __future__ import annotations

from typing import Any

import numpy as np

from daskml_kit.engines.opening import find_client
from daskml_kit.errors import DataError
from daskml_kit.partition.report.balance import PartitionReport
from daskml_kit.partition.report.frames import block_table, hot_key_table, key_scatter, label_counts, worker_table
from daskml_kit.partition.report.layout import lay
from daskml_kit.partition.report.look import look_at_all
from daskml_kit.partition.report.question import Question, find_keys, key_names
from daskml_kit.partition.shuffle import named


def partition_report(*collections: Any, labels: Any = None, by: Any = None, top: int = 10) -> PartitionReport:
    """Report how the rows of collections lie in blocks, and the blocks on workers.

    The report reads as text, in Jupyter as HTML, and as a picture by its ``plot()``; beside numbers it names what is
    wrong and what mends it.

    At most one pass over the data, block by block, of which nothing is kept; none at all over dense arrays whose
    lengths are known. What a cluster holds is looked at where it lies, its bytes as its scheduler knows them.

    Parameters
    ----------
    *collections : Dask array, DataFrame or Series, NumPy array, pandas object or CSR matrix
        Rows of the same data: X, y, ... If all are in memory they are one block. If some are cut in other places than
        the others, all are reported as cut like the first Dask collection (then lengths that are not known are
        counted by passes of their own).
    labels : column name or collection, optional
        The class of each row: a column of the first DataFrame, or an array or Series, of at most 1000 distinct values,
        at most 20 if some are fractions. A DataFrame whose column is named is read once; ``frame["y"]`` is a
        collection of its own.
    by : column name, list of column names, or collection, optional
        The key of each row, as in `hash_partition`: the most frequent ones are reported. With more than 4096 distinct
        keys a count may be too low, by less than a 4096th of all rows: ``key_error`` says by how much at most.
    top : int
        Keys to report.

    Returns
    -------
    PartitionReport

    Raises
    ------
    DataError
        Where a column is not there, lengths differ, or labels are no classes.

    Examples
    --------
    >>> import dask.array as da
    >>> from daskml_kit.partition import partition_report
    >>> y = da.from_array(np.array([0, 1, 1, 1, 0, 1, 1, 1]), chunks=((4, 0, 4),))
    >>> print(partition_report(da.zeros((8, 2), chunks=((4, 0, 4), 2)), y, labels=y))
    8 rows in 3 blocks, 192 B
    rows per block: 0 to 4, mean 2.7; skew 1.50 (max over mean)
    class shares of a block are off by 0.0 % in the mean, 0.0 % at most
    <BLANKLINE>
    class  rows   share  missing from
    0         2  25.0 %      0 blocks
    1         6  75.0 %      0 blocks
    <BLANKLINE>
    ! 1 of 3 blocks is empty: random_partition(...) makes equal ones
    """
    if isinstance(top, bool) or not isinstance(top, (int, np.integer)) or top < 1:
        raise DataError(f"top: expected a number of keys, at least 1, got {top!r}")
    every = named(collections)
    question = Question(find_keys("labels", labels, every), find_keys("by", by, every))
    client = find_client()
    laid = lay(every, client)
    seen = look_at_all(laid, question)
    reported = len(collections)  # labels and keys of their own are looked at, no more
    held = [column.held for column in laid[:reported]]
    classes = label_counts(seen.classes) if question.labels else None
    blocks = block_table(seen, held, reported, classes)
    hot_keys, scatter = None, None
    if seen.keys is not None and question.by is not None:
        hot_keys = hot_key_table(seen.keys, key_names(by, question.by), sum(seen.lengths), top)
        scatter = key_scatter(seen.keys, seen.lengths)
    return PartitionReport(
        blocks=blocks,
        workers=worker_table(blocks, held, client),
        labels=classes,
        hot_keys=hot_keys,
        key_error=None if seen.keys is None else seen.keys.error,
        key_scatter=scatter,
    )

"""A report of how rows lie in blocks, and blocks on workers."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import dask.dataframe as dd
import numpy as np
import pandas as pd
from distributed import Client

from daskml_kit.engines.opening import find_client
from daskml_kit.errors import DataError
from daskml_kit.partition.balance import PartitionReport
from daskml_kit.partition.heavy import ROWS, Heavy, joined
from daskml_kit.partition.keyed import Keys
from daskml_kit.partition.layout import Laid, lay
from daskml_kit.partition.look import Facts, Question, look_at_all, require_classes
from daskml_kit.partition.shuffle import named
from daskml_kit.typing import Array


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
        The class of each row: a column of the first DataFrame, or an array or Series, of at most 1000 distinct values.
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
        Where a column is not there, lengths differ, or labels have too many values to be classes.

    Examples
    --------
    >>> import dask.array as da
    >>> from daskml_kit.partition import partition_report
    >>> y = da.from_array(np.array([0, 0, 0, 0, 0, 1]), chunks=((4, 0, 2),))
    >>> print(partition_report(da.zeros((6, 2), chunks=((4, 0, 2), 2)), y, labels=y))
    6 rows in 3 blocks, 144 B
    rows per block: 0 to 4, mean 2; skew 2.00 (max over mean)
    <BLANKLINE>
    class  rows   share  missing from
    0         5  83.3 %      0 blocks
    1         1  16.7 %       1 block
    <BLANKLINE>
    ! 1 of 3 blocks is empty: random_partition(...) makes equal ones
    """
    if isinstance(top, bool) or not isinstance(top, (int, np.integer)) or top < 1:
        raise DataError(f"top: expected a number of keys, at least 1, got {top!r}")
    every = named(collections)
    question = Question(_keys("labels", labels, every), _keys("by", by, every))
    client = find_client()
    laid = lay(every, client)
    facts, heavy = look_at_all(laid, question)
    laid = [_measured(column, at, facts) for at, column in enumerate(laid)]
    own = laid[: len(collections)]  # labels and keys of their own are looked at, but not part of what is reported
    counts = None if facts is None or question.labels is None else _label_counts(facts)
    return PartitionReport(
        blocks=_blocks(own, counts),
        workers=_workers(own, client),
        labels=counts,
        hot_keys=None if heavy is None else _hot_keys(heavy, _key_names(by, every, question.by), laid, top),
        key_error=None if heavy is None else heavy.error,
    )


def _keys(name: str, given: Any, collections: dict[str, Any]) -> Keys | None:
    """Return where ``given`` is; a collection of its own is added to ``collections``."""
    if given is None:
        return None
    if isinstance(given, (str, int, tuple)) or (isinstance(given, list) and all(isinstance(n, Hashable) for n in given)):
        return _columns(name, given, collections)
    if not hasattr(given, "shape") or not 1 <= len(given.shape) <= 2:
        raise DataError(f"{name}: expected a column name, or a collection of one dimension or two, got {given!r}")
    if name == "labels" and given.shape[1:] not in ((), (1,)):
        raise DataError(f"labels: expected one column, got {given.shape[1]}")
    for part, collection in enumerate(collections.values()):
        if collection is given:
            return Keys(part, None)
    collections[name] = given
    return Keys(len(collections) - 1, None)


def _columns(name: str, given: Any, collections: dict[str, Any]) -> Keys:
    columns = tuple(given) if isinstance(given, list) else (given,)
    if name == "labels" and len(columns) != 1:
        raise DataError(f"labels: expected one column, got {len(columns)}")
    for part, (called, collection) in enumerate(collections.items()):
        if isinstance(collection, (dd.DataFrame, pd.DataFrame)):
            missing = [column for column in columns if column not in collection.columns]
            if missing or not columns:
                have = ", ".join(map(repr, collection.columns))
                raise DataError(f"{name}: expected columns of {called} ({have}), got {', '.join(map(repr, missing))}")
            return Keys(part, columns)
    raise DataError(f"{name}: expected an array or Series beside arrays, got {given!r}; there is no DataFrame given")


def _key_names(by: Any, collections: dict[str, Any], keys: Keys | None) -> list[Any]:
    if keys is not None and keys.columns is not None:
        return list(keys.columns)
    if hasattr(by, "columns"):
        return list(by.columns)
    width = by.shape[1] if len(by.shape) == 2 else 1
    name = getattr(by, "name", None) if isinstance(by, (dd.Series, pd.Series)) else None
    return [name if name is not None else "key"] if width == 1 else [f"key {i}" for i in range(width)]


def _measured(column: Laid, at: int, facts: Sequence[Facts] | None) -> Laid:
    """Return the column with what was not known of it before the look."""
    if facts is None:
        return column
    lengths = column.lengths or [fact.rows for fact in facts]
    return column._replace(lengths=lengths, sizes=column.sizes or [fact.sizes[at] for fact in facts])


def _label_counts(facts: Sequence[Facts]) -> pd.DataFrame:
    """Return the rows of each class (columns, sorted, missing labels last) in each block."""
    tallies = [fact.classes for fact in facts if fact.classes is not None]
    classes = joined(tallies)[0]
    require_classes(len(classes), " in all")
    try:
        classes = classes.sort_values(na_position="last")
    except TypeError:  # labels of several types have no order but that of how they read
        classes = classes.sort_values(na_position="last", key=lambda values: values.map(str))
    index = pd.Index(classes)
    counts = np.zeros((len(facts), len(index)), np.int64)
    for block, tallied in enumerate(tallies):
        counts[block, index.get_indexer(pd.Index(tallied[0].astype(index.dtype)))] = tallied[ROWS]
    return pd.DataFrame(counts, pd.RangeIndex(len(facts), name="block"), index.rename("class"))


def _blocks(laid: Sequence[Laid], counts: pd.DataFrame | None) -> pd.DataFrame:
    held = _held(laid)
    blocks = pd.DataFrame({"rows": laid[0].lengths, "bytes": _sum([column.sizes for column in laid])})
    blocks["worker"] = pd.array(_homes(held), dtype="str")
    blocks["apart"] = [_is_apart([column.held[block] for column in laid]) for block in range(len(held))]
    if counts is not None:
        blocks["label_distance"] = _distances(counts.to_numpy())
    return blocks.rename_axis("block")


def _workers(laid: Sequence[Laid], client: Client | None) -> pd.DataFrame | None:
    held = _held(laid)
    if client is None or not any(held):
        return None
    homes = _homes(held)
    every = sorted({*client.nthreads(), *(worker for block in held for worker in block)})
    lengths = laid[0].lengths or []
    workers = pd.DataFrame(
        {
            "blocks": [homes.count(worker) for worker in every],
            "rows": [sum(n for n, home in zip(lengths, homes, strict=True) if home == worker) for worker in every],
            "bytes": [sum(block.get(worker, 0) for block in held) for worker in every],
        },
        pd.Index(every, name="worker"),
    )
    workers["share"] = workers["bytes"] / max(workers["bytes"].sum(), 1)
    return workers


def _held(laid: Sequence[Laid]) -> list[dict[str, int]]:
    """Return the bytes that each worker holds of each block, over all collections."""
    held: list[dict[str, int]] = [{} for _ in laid[0].held]
    for column in laid:
        for total, places in zip(held, column.held, strict=True):
            for worker, size in places.items():
                total[worker] = total.get(worker, 0) + size
    return held


def _homes(held: Sequence[dict[str, int]]) -> list[str | None]:
    """Return the worker that holds most of each block; of equal ones that which is home to the fewest bytes so far."""
    load: dict[str, int] = {}
    homes: list[str | None] = []
    for block in held:
        home = min(block, key=lambda worker: (-block[worker], load.get(worker, 0), worker), default=None)
        homes.append(home)
        if home is not None:
            load[home] = load.get(home, 0) + block[home]
    return homes


def _is_apart(places: Sequence[dict[str, int]]) -> bool:
    known = [set(place) for place in places if place]
    return bool(known) and not set.intersection(*known)


def _sum(columns: Sequence[list[int] | None]) -> Array:
    return np.sum([sizes or [] for sizes in columns], axis=0, dtype=np.int64)


def _distances(counts: Array) -> Array:
    """Return the total variation distance of each block's class shares from those of all rows, NaN without rows."""
    rows = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, rows, out=np.full(counts.shape, np.nan), where=rows > 0)
    return np.asarray(np.abs(shares - counts.sum(axis=0) / max(counts.sum(), 1)).sum(axis=1) / 2)


def _hot_keys(heavy: Heavy, names: list[Any], laid: Sequence[Laid], top: int) -> pd.DataFrame:
    first = heavy.counts.head(top)
    keys = [first[number] for number in range(len(names))]
    index = pd.Index(keys[0], name=names[0]) if len(names) == 1 else pd.MultiIndex.from_arrays(keys, names=names)
    rows = first[ROWS].to_numpy()
    return pd.DataFrame({"rows": rows, "share": rows / max(sum(laid[0].lengths or []), 1)}, index)

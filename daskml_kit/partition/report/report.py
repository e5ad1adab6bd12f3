"""A report of how rows lie in blocks, and blocks on workers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from daskml_kit.partition.report.plot import plot
from daskml_kit.partition.report.render import as_html, as_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from distributed import Client

from daskml_kit.engines.open import find_client
from daskml_kit.exceptions import DataError
from daskml_kit.partition.random import named
from daskml_kit.partition.report.heavy_hitters import BLOCKS, ROWS, Heavy
from daskml_kit.partition.report.inspect import lay
from daskml_kit.partition.report.scan import Question, Seen, find_keys, key_names, look_at_all, require_classes
from daskml_kit.typing import Array


@dataclass(frozen=True, eq=False, repr=False)
class PartitionReport:
    """What `partition_report` found.

    Parameters
    ----------
    blocks : DataFrame
        A row for each block: ``rows``, ``bytes``; the ``worker`` that holds most of it, missing where none does;
        whether its parts lie ``apart``, on workers none of which holds all; and with labels the ``label_distance``,
        the total variation distance of its class shares from those of all rows, between 0 and 1, NaN without rows.
    workers : DataFrame or None
        A row for each worker of the cluster, by its address, None where nothing is held on one: its ``name``, the
        ``blocks`` and ``rows`` that it holds the most of, the ``bytes`` that it holds, copies counted, and their
        ``share`` of all held.
    labels : DataFrame or None
        The rows of each class (columns, sorted, missing labels last) in each block.
    hot_keys : DataFrame or None
        The most frequent keys (the index) with their ``rows``, ``share`` of all rows, and how many ``blocks`` they are
        in.
    key_error : int or None
        By how many rows at most a key's count is too low, 0 where all were counted.
    key_scatter : float or None
        In how many blocks keys of several rows are, over in how many they would be if rows were shuffled: about 1
        where blocks and keys have nothing to do with each other, the less the more rows of a key lie together.

    Examples
    --------
    >>> import dask.array as da
    >>> from daskml_kit.partition import partition_report
    >>> report = partition_report(da.zeros((6, 2), chunks=((4, 0, 2), 2)))
    >>> report.skew, report.n_empty, report.blocks["rows"].tolist()
    (2.0, 1, [4, 0, 2])
    """

    blocks: pd.DataFrame
    workers: pd.DataFrame | None = None
    labels: pd.DataFrame | None = None
    hot_keys: pd.DataFrame | None = None
    key_error: int | None = None
    key_scatter: float | None = None

    @property
    def n_rows(self) -> int:
        return int(self.blocks["rows"].sum())

    @property
    def n_bytes(self) -> int:
        return int(self.blocks["bytes"].sum())

    @property
    def n_empty(self) -> int:
        """Blocks without rows."""
        return int((self.blocks["rows"] == 0).sum())

    @property
    def skew(self) -> float:
        """The rows of the largest block over the mean of all; 1 without rows."""
        return max_over_mean(self.blocks["rows"])

    @property
    def worker_skew(self) -> float | None:
        """The bytes of the fullest worker over the mean of all, None where nothing is held on one."""
        return None if self.workers is None else max_over_mean(self.workers["bytes"])

    @property
    def hash_skew(self) -> float | None:
        """The least skew that a hash partition by the keys, into as many blocks, could reach; None without keys."""
        if self.hot_keys is None:
            return None
        return max(1.0, float(self.hot_keys["share"].max()) * len(self.blocks)) if len(self.hot_keys) else 1.0

    @property
    def max_label_distance(self) -> float | None:
        """The ``label_distance`` of the block that is farthest from all rows, None without labels."""
        return None if self.labels is None else float(self.blocks["label_distance"].max())

    @property
    def mean_label_distance(self) -> float | None:
        """The mean ``label_distance`` of the blocks with rows, None without labels."""
        return None if self.labels is None else float(self.blocks["label_distance"].mean())

    def __repr__(self) -> str:
        return as_text(self)

    def _repr_html_(self) -> str:
        return as_html(self)

    def plot(self) -> Figure:
        """Draw the rows of each block by its worker, the bytes of workers, the classes of blocks, and the hot keys.

        Returns
        -------
        matplotlib.figure.Figure
            With a panel for each of these that is known.

        Raises
        ------
        ModuleNotFoundError
            Where matplotlib is not installed, which comes with the extra ``plot``.
        """
        return plot(self)


def max_over_mean(values: pd.Series[int]) -> float:
    return float(values.max() / values.mean()) if values.any() else 1.0


Holders: TypeAlias = Sequence[Sequence[dict[str, int]]]
"""For each collection, of each block, the bytes that each worker holds."""


def label_counts(tallies: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return the rows of each class (columns, sorted, missing labels last) in each block.

    Raises
    ------
    DataError
        Where the labels are no classes.
    """
    filled = [part for part in tallies if len(part)] or tallies[:1]  # an empty block's dtype says nothing
    codes, classes = pd.factorize(pd.concat(filled, ignore_index=True)[0], use_na_sentinel=False)
    require_classes(pd.Series(classes), " in all")
    counts = np.zeros((len(tallies), len(classes)), np.int64)
    blocks = np.repeat(np.arange(len(tallies)), [len(part) for part in tallies])
    counts[blocks, codes] = np.concatenate([part[ROWS] for part in tallies])
    table = pd.DataFrame(counts, pd.RangeIndex(len(tallies), name="block"), pd.Index(classes, name="class"))
    try:
        return table.sort_index(axis=1, na_position="last")
    except TypeError:  # labels of several types have no order but that of how they read
        return table.sort_index(axis=1, na_position="last", key=lambda names: names.map(str))


def block_table(seen: Seen, held: Holders, n_reported: int, counts: pd.DataFrame | None) -> pd.DataFrame:
    """Return a row for each block; see `PartitionReport`. Bytes are those of the first ``n_reported`` collections."""
    sizes = np.sum(seen.sizes[:n_reported], axis=0, dtype=np.int64)
    blocks = pd.DataFrame({"rows": seen.lengths, "bytes": sizes}).rename_axis("block")
    blocks["worker"] = pd.array(_homes(_together(held)), dtype="str")
    blocks["apart"] = [_is_apart(places) for places in zip(*held, strict=True)]
    if counts is not None:
        blocks["label_distance"] = _distances(counts.to_numpy())
    return blocks


def worker_table(blocks: pd.DataFrame, held: Holders, client: Client | None) -> pd.DataFrame | None:
    """Return a row for each worker, also for those that hold nothing; None where nothing is held."""
    together = _together(held)
    if client is None or not any(together):
        return None
    names = sorted({*client.nthreads(), *(worker for block in together for worker in block)})
    workers = blocks.groupby("worker")["rows"].agg(["size", "sum"]).reindex(names, fill_value=0)
    workers = workers.rename(columns={"size": "blocks", "sum": "rows"}).rename_axis("worker")
    known = client.scheduler_info(n_workers=-1)["workers"]
    workers.insert(0, "name", [str(known[worker]["name"]) if worker in known else worker for worker in names])
    workers["bytes"] = [sum(block.get(worker, 0) for block in together) for worker in names]
    workers["share"] = workers["bytes"] / max(workers["bytes"].sum(), 1)
    return workers


def hot_key_table(keys: Heavy, names: list[Any], n_rows: int, top: int) -> pd.DataFrame:
    """Return the ``top`` most frequent keys, as the index, with their rows, share of all, and blocks."""
    first = keys.counts.head(top)
    values = [first[number] for number in range(len(names))]
    index = pd.Index(values[0], name=names[0]) if len(names) == 1 else pd.MultiIndex.from_arrays(values, names=names)
    rows = first[ROWS].to_numpy()
    blocks = first[BLOCKS].to_numpy()
    return pd.DataFrame({"rows": rows, "share": rows / max(n_rows, 1), "blocks": blocks}, index)


def key_scatter(keys: Heavy, lengths: Sequence[int]) -> float:
    """Return in how many blocks keys are, over in how many they would be if rows were shuffled; 1 without keys.

    Keys of a single row say nothing, nor do those with no more rows than may have been missed.
    """
    known = keys.counts[keys.counts[ROWS] > max(keys.error, 1)]
    if not len(known):
        return 1.0
    rows, chance = known[ROWS].to_numpy(), np.zeros(len(known))
    for length, n_blocks in zip(*np.unique(lengths, return_counts=True), strict=True):
        chance += n_blocks * (1 - (1 - length / sum(lengths)) ** rows)
    return float(known[BLOCKS].sum() / chance.sum())


def _together(held: Holders) -> list[dict[str, int]]:
    """Return the bytes that each worker holds of each block, over all collections."""
    sums = []
    for places in zip(*held, strict=True):
        total: dict[str, int] = {}
        for place in places:
            for worker, size in place.items():
                total[worker] = total.get(worker, 0) + size
        sums.append(total)
    return sums


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


def _distances(counts: Array) -> Array:
    """Return the total variation distance of each block's class shares from those of all rows, NaN without rows."""
    rows = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, rows, out=np.full(counts.shape, np.nan), where=rows > 0)
    return np.asarray(np.abs(shares - counts.sum(axis=0) / max(counts.sum(), 1)).sum(axis=1) / 2)


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

"""Partition report: how rows lie in blocks and blocks on workers, as numbers, one table and one plot."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from dask.utils import format_bytes
from distributed import Client

from daskml_kit.data.collections import workers_of
from daskml_kit.engines.open import find_client
from daskml_kit.exceptions import DataError
from daskml_kit.partition.advice import advice, called
from daskml_kit.partition.block_layout import BlockLayout, block_layouts, total_bytes
from daskml_kit.partition.block_scan import BLOCKS, ROWS, BlockScan, HeavyHitters, require_classes, scan_blocks
from daskml_kit.partition.keys import find_keys, key_names
from daskml_kit.partition.shuffle import named
from daskml_kit.typing import Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NOTABLE = 1.05
"""The skew that the hottest key alone would make, above which it says something of the partition."""
MOST_LINES = 40
MOST_COLORS = 10


@dataclass(frozen=True, eq=False, repr=False)
class PartitionReport:
    """Result of `partition_report`: tables of numbers, shown as one table with advice, and drawn as one plot.

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

    See Also
    --------
    partition_report : Makes one.

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
        """Rows of all blocks."""
        return int(self.blocks["rows"].sum())

    @property
    def n_bytes(self) -> int:
        """Bytes of all blocks."""
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

    @property
    def table(self) -> pd.DataFrame:
        """Workers (the fullest first), classes and hot keys, as far as they are known.

        Each with the number of ``blocks`` that it is in, its ``rows``, and its ``share``: of the bytes that workers
        hold, of the labels, of the rows.
        """
        parts: dict[str, pd.DataFrame] = {}
        if self.workers is not None:
            parts["worker"] = self.workers.sort_values("bytes", ascending=False, kind="stable").set_index("name")
        if self.labels is not None:
            rows = self.labels.sum()
            shares = rows / max(rows.sum(), 1)
            parts["class"] = pd.DataFrame({"blocks": (self.labels > 0).sum(), "rows": rows, "share": shares})
        if self.hot_keys is not None:
            parts["key"] = self.hot_keys
        names = [(kind, called(name)) for kind, part in parts.items() for name in part.index]
        columns = {
            name: [value for part in parts.values() for value in part[name]] for name in ("blocks", "rows", "share")
        }
        return pd.DataFrame(columns, pd.MultiIndex.from_tuples(names, names=["of", "name"]))

    def _headlines(self) -> list[str]:
        rows = self.blocks["rows"]
        where = "" if self.workers is None else f", workers {len(self.workers)}"
        lines = [
            f"rows {self.n_rows:,}, blocks {len(rows):,}, {format_bytes(self.n_bytes)}{where}",
            f"rows per block: {rows.min():,} to {rows.max():,}, mean {rows.mean():,.1f}; "
            f"skew {self.skew:.2f} (max over mean)",
        ]
        if self.worker_skew is not None:
            lines.append(f"bytes per worker: skew {self.worker_skew:.2f}")
        if self.n_rows and self.labels is not None:
            mean, most = self.mean_label_distance, self.max_label_distance
            lines.append(f"class shares of a block are off by {mean:.1%} in the mean, {most:.1%} at most")
        if self.hash_skew is not None and self.hash_skew > NOTABLE:
            lines.append(f"a hash partition that splits none of these keys has a skew of at least {self.hash_skew:.2f}")
        if self.key_error:
            lines.append(f"key counts may be {self.key_error:,} too low")
        return lines

    def __repr__(self) -> str:
        table = [self.table.to_string(formatters=_FORMATS, max_rows=MOST_LINES)] if len(self.table) else []
        problems = ["\n".join(f"! {line}" for line in advice(self))]
        return "\n\n".join(part for part in ["\n".join(self._headlines()), *table, *problems] if part)

    def _repr_html_(self) -> str:
        table = self.table.to_html(formatters=_FORMATS, max_rows=MOST_LINES, border=0) if len(self.table) else ""
        problems = "".join(f"<li>{escape(line)}</li>" for line in advice(self))
        headlines = "<br>".join(escape(line) for line in self._headlines())
        return f"<div><p>{headlines}</p>{table}{f'<ul>{problems}</ul>' if problems else ''}</div>"

    def plot(self) -> Figure:
        """Draw the rows of each block as bars, by class where labels are known, else by the worker that holds them.

        Returns
        -------
        matplotlib.figure.Figure
            One panel, with a dashed line at the mean.

        Raises
        ------
        ModuleNotFoundError
            Where matplotlib is not installed, which comes with the extra ``plot``.
        """
        try:
            from matplotlib import pyplot
        except ImportError as error:
            raise ModuleNotFoundError(
                "plot needs matplotlib, which is not installed: pip install matplotlib", name="matplotlib"
            ) from error
        figure, axes = pyplot.subplots(figsize=(8, 3.2), layout="constrained")
        groups = self._plotted_rows()
        bottom = np.zeros(len(groups))
        for name, rows in groups.items():
            # a pair of dollars would make a formula of a name
            axes.bar(groups.index, rows, bottom=bottom, width=1, label=str(name).replace("$", r"\$"))
            bottom += rows
        axes.axhline(self.blocks["rows"].mean(), color="black", linestyle="--", linewidth=1)
        axes.set(title="rows per block (dashed: mean)", xlabel="block", ylabel="rows")
        if groups.columns.name:
            axes.legend(title=groups.columns.name, loc="upper left", bbox_to_anchor=(1, 1), fontsize="x-small")
        pyplot.close(figure)  # it is returned: a notebook would show it twice
        return figure

    def _plotted_rows(self) -> pd.DataFrame:
        """Return the rows of each block by class, by worker, or all; the most frequent groups, and others as one."""
        rows = self.blocks["rows"]
        if self.labels is not None and len(self.labels.columns):
            groups = self.labels.rename(columns=called)
        elif self.workers is not None:
            held = {name: rows.where(self.blocks["worker"] == at, 0) for at, name in self.workers["name"].items()}
            groups = pd.DataFrame(held).rename_axis(columns="worker")
        else:
            return rows.to_frame()
        order = np.argsort(-groups.to_numpy().sum(axis=0), kind="stable")
        shown, others = groups.iloc[:, order[:MOST_COLORS]], groups.iloc[:, order[MOST_COLORS:]]
        return shown.assign(others=others.sum(axis=1)) if len(others.columns) else shown


_FORMATS: Any = {"blocks": "{:,}".format, "rows": "{:,}".format, "share": "{:.1%}".format}


def max_over_mean(values: pd.Series[int]) -> float:
    """Return the largest value over the mean, 1 where all are 0."""
    return float(values.max() / values.mean()) if values.any() else 1.0


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


def block_table(scan: BlockScan, layouts: Sequence[BlockLayout], counts: pd.DataFrame | None) -> pd.DataFrame:
    """Return a row for each block; see `PartitionReport`. Bytes are those of the collections of ``layouts``."""
    sizes = [sum(block[: len(layouts)]) for block in scan.sizes]
    blocks = pd.DataFrame({"rows": scan.lengths, "bytes": sizes}).rename_axis("block")
    held = list(zip(*(layout.held for layout in layouts), strict=True))
    blocks["worker"] = pd.array(_homes([total_bytes(places) for places in held]), dtype="str")
    blocks["apart"] = [_is_apart(places) for places in held]
    if counts is not None:
        blocks["label_distance"] = _distances(counts.to_numpy())
    return blocks


def worker_table(blocks: pd.DataFrame, layouts: Sequence[BlockLayout], client: Client | None) -> pd.DataFrame | None:
    """Return a row for each worker, also for those that hold nothing; None where nothing is held."""
    held = total_bytes(place for layout in layouts for place in layout.held)
    if client is None or not held:
        return None
    addresses = sorted({*client.nthreads(), *held})
    workers = blocks.groupby("worker")["rows"].agg(["size", "sum"]).reindex(addresses, fill_value=0)
    workers = workers.rename(columns={"size": "blocks", "sum": "rows"}).rename_axis("worker")
    known = workers_of(client)
    workers.insert(0, "name", [str(known[at]["name"]) if at in known else at for at in addresses])
    workers["bytes"] = [held[at] for at in addresses]
    workers["share"] = workers["bytes"] / max(workers["bytes"].sum(), 1)
    return workers


def hot_key_table(keys: HeavyHitters, names: list[Any], n_rows: int, top: int) -> pd.DataFrame:
    """Return the ``top`` most frequent keys, as the index, with their rows, share of all, and blocks."""
    first = keys.counts.head(top)
    values = [first[number] for number in range(len(names))]
    index = pd.Index(values[0], name=names[0]) if len(names) == 1 else pd.MultiIndex.from_arrays(values, names=names)
    rows = first[ROWS].to_numpy()
    blocks = first[BLOCKS].to_numpy()
    return pd.DataFrame({"rows": rows, "share": rows / max(n_rows, 1), "blocks": blocks}, index)


def key_scatter(keys: HeavyHitters, lengths: Sequence[int]) -> float:
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


def _homes(held: Sequence[Mapping[str, int]]) -> list[str | None]:
    """Return the worker that holds most of each block; of equal ones that which is home to the fewest bytes so far."""
    load: Counter[str] = Counter()
    homes: list[str | None] = []
    for block in held:
        home = min(block, key=lambda worker: (-block[worker], load[worker], worker), default=None)
        homes.append(home)
        if home is not None:
            load[home] += block[home]
    return homes


def _is_apart(places: Sequence[Mapping[str, int]]) -> bool:
    known = [set(place) for place in places if place]
    return bool(known) and not set.intersection(*known)


def _distances(counts: Array) -> Array:
    """Return the total variation distance of each block's class shares from those of all rows, NaN without rows."""
    rows = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, rows, out=np.full(counts.shape, np.nan), where=rows > 0)
    return np.asarray(np.abs(shares - counts.sum(axis=0) / max(counts.sum(), 1)).sum(axis=1) / 2)


def partition_report(*collections: Any, labels: Any = None, by: Any = None, top: int = 10) -> PartitionReport:
    """Report how the rows of collections lie in blocks, and the blocks on workers.

    The report reads as text, in Jupyter as HTML, and as a picture by its ``plot()``; beside numbers it names problems
    and the functions that mend them.

    At most one pass over the data, block by block, of which nothing is kept; none at all over dense arrays whose
    lengths are known. What a cluster holds is looked at where it lies, its bytes as its scheduler knows them.

    Parameters
    ----------
    *collections : Dask array, DataFrame or Series, NumPy array, pandas object or CSR matrix
        Rows of the same data: X, y, ... If all are in memory they are one block. If some are cut in other places than
        the others, all are reported as cut like the first Dask collection (then lengths that are not known are
        counted by passes of their own).
    labels : column name or collection, default=None
        The class of each row: a column of the first DataFrame, or an array or Series, of at most 1000 distinct values,
        at most 20 if some are fractions. A DataFrame whose column is named is read once; ``frame["y"]`` is a
        collection of its own.
    by : column name, list of column names, or collection, default=None
        The key of each row, as in `hash_partition`: the most frequent ones are reported. With more than 4096 distinct
        keys a count may be too low, by less than a 4096th of all rows: ``key_error`` says by how much at most.
    top : int, default=10
        Number of keys to report.

    Returns
    -------
    PartitionReport
        Tables of blocks, workers, classes and keys, with their text, HTML and plot.

    Raises
    ------
    DataError
        Where a column is not there, lengths differ, or labels are no classes.

    See Also
    --------
    random_partition : Make equal blocks of mixed rows.
    hash_partition : Bring the rows of a key together.
    place, rebalance : Put blocks on workers.

    Examples
    --------
    >>> import dask.array as da
    >>> from daskml_kit.partition import partition_report
    >>> y = da.from_array(np.array([0, 1, 1, 1, 0, 1, 1, 1]), chunks=((4, 0, 4),))
    >>> report = partition_report(da.zeros((8, 2), chunks=((4, 0, 4), 2)), y, labels=y)
    >>> print(report)  # doctest: +NORMALIZE_WHITESPACE
    rows 8, blocks 3, 192 B
    rows per block: 0 to 4, mean 2.7; skew 1.50 (max over mean)
    class shares of a block are off by 0.0% in the mean, 0.0% at most
    <BLANKLINE>
               blocks rows share
    of    name
    class 0         2    2 25.0%
          1         2    6 75.0%
    <BLANKLINE>
    ! no rows in 1 of 3 blocks: random_partition(...) makes equal ones
    """
    if isinstance(top, bool) or not isinstance(top, (int, np.integer)) or top < 1:
        raise DataError(f"top: expected a number of keys, at least 1, got {top!r}")
    every = named(collections)
    label_keys = None if labels is None else find_keys("labels", labels, every, one_column=True)
    keys = None if by is None else find_keys("by", by, every)
    client = find_client()
    layouts = block_layouts(every, client)
    scan = scan_blocks(layouts, label_keys, keys)
    layouts = layouts[: len(collections)]  # labels and keys of their own are read, no more
    classes = None if label_keys is None else label_counts(scan.classes)
    blocks = block_table(scan, layouts, classes)
    hot: dict[str, Any] = {}
    if keys is not None and scan.keys is not None:
        hot["hot_keys"] = hot_key_table(scan.keys, key_names(keys, by), sum(scan.lengths), top)
        hot["key_error"] = scan.keys.error
        hot["key_scatter"] = key_scatter(scan.keys, scan.lengths)
    return PartitionReport(blocks, worker_table(blocks, layouts, client), classes, **hot)

"""How evenly rows lie in blocks, and blocks on workers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from daskml_kit.partition.report.html import as_html
from daskml_kit.partition.report.plot import plot
from daskml_kit.partition.report.text import as_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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

"""What a report says, as headlines and tables of words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from dask.utils import format_bytes

if TYPE_CHECKING:
    from daskml_kit.partition.report.report import PartitionReport

MOST_LINES = 12
NOTABLE = 1.05
"""The skew that the hottest key alone would make, above which it says something of the partition."""


class Table(NamedTuple):
    """Cells as they read; the first column is to the left, others to the right. ``bars`` are between 0 and 1."""

    header: Sequence[str]
    lines: list[Sequence[str]]
    bars: list[float]


def headlines(report: PartitionReport) -> list[str]:
    """Return the totals, and how even the blocks are, each in one line."""
    rows, n_blocks = report.blocks["rows"], len(report.blocks)
    where = "" if report.workers is None else f" on {counted(len(report.workers), 'worker')}"
    lines = [
        f"{counted(report.n_rows, 'row')} in {counted(n_blocks, 'block')}, {format_bytes(report.n_bytes)}{where}",
        f"rows per block: {rows.min():,} to {rows.max():,}, mean {rows.mean():,.1f}; "
        f"skew {report.skew:.2f} (max over mean)",
    ]
    if report.worker_skew is not None:
        lines.append(f"bytes per worker: skew {report.worker_skew:.2f}")
    if report.max_label_distance is not None and report.n_rows:
        mean, most = percent(report.mean_label_distance or 0), percent(report.max_label_distance)
        lines.append(f"class shares of a block are off by {mean} in the mean, {most} at most")
    if report.hash_skew is not None and report.hash_skew > NOTABLE:
        lines.append(f"a hash partition that splits none of these keys has a skew of at least {report.hash_skew:.2f}")
    if report.key_error:
        lines.append(f"key counts may be {report.key_error:,} too low")
    return lines


def tables(report: PartitionReport) -> list[Table]:
    """Return the tables of workers, classes and keys, as far as they are known."""
    found = []
    if report.workers is not None:
        ordered = report.workers.sort_values("bytes", ascending=False, kind="stable")
        lines: list[Sequence[str]] = [
            (name, f"{blocks:,}", f"{rows:,}", format_bytes(size), percent(share))
            for _, name, blocks, rows, size, share in ordered.itertuples()
        ]
        found.append(_shortened(("worker", "blocks", "rows", "bytes", "share"), lines, ordered["share"]))
    if report.labels is not None:
        total, filled = report.labels.sum(), report.labels[report.labels.sum(axis=1) > 0]
        shares, absent = total / max(total.sum(), 1), (filled == 0).sum()
        lines = [
            (called(name), f"{total.iloc[i]:,}", percent(shares.iloc[i]), counted(int(absent.iloc[i]), "block"))
            for i, name in enumerate(total.index)
        ]
        found.append(_shortened(("class", "rows", "share", "missing from"), lines, shares))
    if report.hot_keys is not None:
        names = ", ".join(map(str, report.hot_keys.index.names))
        lines = [
            (called(key), f"{rows:,}", percent(share), counted(blocks, "block"))
            for key, rows, share, blocks in report.hot_keys.itertuples()
        ]
        found.append(Table((names, "rows", "share", "in"), lines, report.hot_keys["share"].tolist()))
    return found


def called(value: Any) -> str:
    """Return how a class or a key reads; of several columns, one after another.

    Examples
    --------
    >>> called("JFK"), called((1.0, "a")), called(None)
    ('JFK', '1.0, a', '(missing)')
    """
    if isinstance(value, tuple):
        return ", ".join(called(part) for part in value)
    return "(missing)" if pd.isna(value) else str(value)


def counted(number: int, one: str, many: str | None = None) -> str:
    """Return a number with its noun.

    Examples
    --------
    >>> counted(1, "block"), counted(2000, "class", "classes")
    ('1 block', '2,000 classes')
    """
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def percent(share: float) -> str:
    """Return a share as a percentage of one digit after the point.

    Examples
    --------
    >>> percent(1 / 3)
    '33.3 %'
    """
    return f"{100 * share:.1f} %"


def _shortened(header: Sequence[str], lines: list[Sequence[str]], shares: pd.Series[float]) -> Table:
    left = len(lines) - MOST_LINES
    bars = np.asarray(shares).tolist()
    if left <= 0:
        return Table(header, lines, bars)
    rest = [f"... {left:,} more", *("" for _ in header[1:])]
    return Table(header, [*lines[:MOST_LINES], rest], [*bars[:MOST_LINES], 0.0])

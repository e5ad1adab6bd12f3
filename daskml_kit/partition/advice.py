"""Advice on a partition: each problem in a line, with the function that mends it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from daskml_kit.partition.block_scan import MAX_NUMBERS

if TYPE_CHECKING:
    from daskml_kit.partition.report import PartitionReport

SKEW = 1.25
"""Rows or bytes over the mean, above which it is worth a remark."""
HASH_SKEW = 1.2
"""The least skew of a hash partition above which keys have to be split."""
KEYED = 0.75
"""The scatter of keys below which their rows lie together, and should stay so."""
DISTANCE = 0.1
BY_CHANCE = 3
"""Times the distance that shares of a random sample would have."""
ENOUGH = 5
"""Rows of a class that an even share would give each block, so that none would miss it by chance."""


def advice(report: PartitionReport) -> list[str]:
    """Return a line for each problem, with the function that mends it."""
    return [*_of_blocks(report), *_of_workers(report), *_of_labels(report), *_of_keys(report)]


def called(value: Any) -> str:
    """Return the text of a class or a key; of several columns, one after another.

    Examples
    --------
    >>> called("JFK"), called((1.0, "a")), called(None)
    ('JFK', '1.0, a', '(missing)')
    """
    if isinstance(value, tuple):
        return ", ".join(called(part) for part in value)
    return "(missing)" if pd.isna(value) else str(value)


def _of_blocks(report: PartitionReport) -> Iterator[str]:
    rows, keyed = report.blocks["rows"], _is_keyed(report)
    fewer = " with fewer npartitions" if keyed or report.n_rows < len(rows) else ""
    if report.n_empty:
        mend = f"{_partition(report)}(...){fewer} {'leaves fewer' if keyed else 'makes equal ones'}"
        yield f"no rows in {report.n_empty} of {len(rows)} blocks: {mend}"
    largest = rows.max() * (rows > 0).sum() / max(rows.sum(), 1)
    if largest > SKEW:
        split = "with fewer npartitions, or on_skew='split', makes less uneven ones"
        mend = f"{_partition(report)}(...) {split if keyed else 'makes equal ones'}"
        yield f"block {rows.idxmax()} has {largest:.1f} times the rows of the mean block with rows: {mend}"


def _of_workers(report: PartitionReport) -> Iterator[str]:
    workers, n_blocks = report.workers, len(report.blocks)
    if workers is None:
        return
    if n_blocks < len(workers):
        mend = f"{_partition(report)}(..., npartitions=...) makes more"
        yield f"too few blocks, {n_blocks}, to keep {len(workers)} workers busy: {mend}"
    elif len(workers) > 1 and workers["bytes"].max() > SKEW * workers["bytes"].mean():
        fullest = workers["name"][workers["bytes"].idxmax()]
        yield f"worker {fullest} holds {workers['share'].max():.1%} of the bytes: rebalance(...) moves some"
    apart = int(report.blocks["apart"].sum())
    if apart:
        where = f"in {apart} of {n_blocks} blocks, so that each pass moves some"
        yield f"parts of the same rows on different workers {where}: place(...) brings them together"


def _of_labels(report: PartitionReport) -> Iterator[str]:
    if report.labels is None or not report.n_rows:
        return
    known = report.labels.columns.notna()
    if pd.api.types.is_float_dtype(report.labels.columns) and known.sum() > MAX_NUMBERS:
        yield f"labels are {known.sum()} distinct numbers: if they are no classes, cut them into bins first"
    missing = int(report.labels.loc[:, ~known].to_numpy().sum())
    if missing:
        yield f"missing labels: {missing:,}: fits refuse such rows"
    distances = report.blocks["label_distance"]
    odd = distances > np.maximum(DISTANCE, BY_CHANCE * _chance(report.labels))
    if odd.any():
        far = f"class shares far from those of all rows, by up to {distances.max():.1%},"
        yield f"{far} in {odd.sum()} of {len(distances)} blocks: {_mixing(report)}"
    yield from _of_absent(report, report.labels.loc[:, known])


def _of_absent(report: PartitionReport, labels: pd.DataFrame) -> Iterator[str]:
    filled = labels[labels.sum(axis=1) > 0]
    absent = (filled == 0).sum()
    if not absent.any():
        return
    name, total, others = absent.idxmax(), int(labels[absent.idxmax()].sum()), int((absent > 0).sum()) - 1
    more = f" (other classes missing from some: {others})" if others else ""
    mend = _mixing(report)
    if total < ENOUGH * len(filled):
        mend = f"with {total:,} rows in all it wants {_partition(report)}(..., npartitions=...) with fewer blocks"
    yield f"class {called(name)} is missing from {absent.max()} of {len(filled)} blocks{more}: {mend}"


def _of_keys(report: PartitionReport) -> Iterator[str]:
    if report.hot_keys is None or report.hash_skew is None or report.hash_skew <= HASH_SKEW:
        return
    if not _is_keyed(report) or report.skew > SKEW:
        key, share = report.hot_keys.index[0], report.hot_keys["share"].iloc[0]
        hot = f"key {called(key)} alone is {share:.1%} of all rows, {report.hash_skew:.1f} times the mean block"
        yield f"{hot}: hash_partition(..., max_skew=..., on_skew='split') spreads it"


def _is_keyed(report: PartitionReport) -> bool:
    return report.key_scatter is not None and report.key_scatter < KEYED


def _partition(report: PartitionReport) -> str:
    return "hash_partition" if _is_keyed(report) else "random_partition"


def _mixing(report: PartitionReport) -> str:
    return "random_partition(...) mixes them" + (", and the keys too" if _is_keyed(report) else "")


def _chance(labels: pd.DataFrame) -> pd.Series[float]:
    """Return the mean distance that random samples of the blocks' sizes have: half the sum of mean deviations."""
    shares = labels.sum() / max(labels.to_numpy().sum(), 1)
    deviation = np.sqrt(2 / np.pi * shares * (1 - shares)).sum() / 2
    return deviation / np.sqrt(labels.sum(axis=1).clip(lower=1))

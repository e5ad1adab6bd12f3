"""What is wrong with a partition, and what mends it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from daskml_kit.partition.report.tables import called, counted, percent

if TYPE_CHECKING:
    from daskml_kit.partition.report.balance import PartitionReport

SKEW = 1.25
"""Rows or bytes over the mean, above which it is worth a remark."""
HASH_SKEW = 1.05
DISTANCE = 0.1
BY_CHANCE = 3
"""Times the distance that shares of a random sample would have."""
ENOUGH = 5
"""Rows of a class that an even share would give each block, so that none would miss it by chance."""


def advice(report: PartitionReport) -> list[str]:
    """Return a line for each problem, with the function that mends it."""
    return [*_of_blocks(report), *_of_workers(report), *_of_labels(report), *_of_keys(report)]


def _of_blocks(report: PartitionReport) -> Iterator[str]:
    rows, n_blocks = report.blocks["rows"], len(report.blocks)
    if report.n_empty:
        what = f"{report.n_empty} of {counted(n_blocks, 'block')} {'is' if report.n_empty == 1 else 'are'} empty"
        fewer = "with fewer npartitions " if report.n_rows < n_blocks else ""
        yield f"{what}: random_partition(...) {fewer}makes equal ones"
    largest = rows.max() * (rows > 0).sum() / max(rows.sum(), 1)
    if largest > SKEW:
        yield (
            f"block {rows.idxmax()} has {largest:.1f} times the rows of the mean block: "
            "random_partition(...) makes equal ones"
        )


def _of_workers(report: PartitionReport) -> Iterator[str]:
    workers, n_blocks = report.workers, len(report.blocks)
    if workers is None:
        return
    if n_blocks < len(workers):
        yield (
            f"{counted(n_blocks, 'block')} cannot keep {len(workers)} workers busy: "
            "random_partition(..., npartitions=...) makes more"
        )
    elif len(workers) > 1 and workers["bytes"].max() > SKEW * workers["bytes"].mean():
        share = percent(workers["share"].max())
        yield f"worker {workers['bytes'].idxmax()} holds {share} of the bytes: rebalance(...) moves some"
    apart = int(report.blocks["apart"].sum())
    if apart:
        yield (
            f"the parts of {counted(apart, 'block')} lie on different workers, so each pass moves some: "
            "place(...) brings them together"
        )


def _of_labels(report: PartitionReport) -> Iterator[str]:
    if report.labels is None or not report.n_rows:
        return
    known = report.labels.columns.notna()
    missing = int(report.labels.loc[:, ~known].to_numpy().sum())
    if missing:
        yield f"{counted(missing, 'label')} {'is' if missing == 1 else 'are'} missing: fits refuse such rows"
    distances = report.blocks["label_distance"]
    odd = distances > np.maximum(DISTANCE, BY_CHANCE * _chance(report.labels))
    if odd.any():
        yield (
            f"the class shares of {counted(int(odd.sum()), 'block')} are far from those of all rows, by up to "
            f"{percent(distances.max())}: random_partition(...) mixes them"
        )
    yield from _of_absent(report.labels.loc[:, known])


def _of_absent(labels: pd.DataFrame) -> Iterator[str]:
    filled = labels[labels.sum(axis=1) > 0]
    absent = (filled == 0).sum()
    if not absent.any():
        return
    name, total = absent.idxmax(), int(labels.sum()[absent.idxmax()])
    others = int((absent > 0).sum()) - 1
    more = f" (and {counted(others, 'other class', 'other classes')} from some)" if others else ""
    mend = "random_partition(...) mixes them"
    if total < ENOUGH * len(filled):
        mend = f"with {counted(total, 'row')} it wants random_partition(..., npartitions=...) with fewer blocks"
    yield f"class {called(name)} is missing from {counted(int(absent.max()), 'block')}{more}: {mend}"


def _of_keys(report: PartitionReport) -> Iterator[str]:
    if report.hash_skew is None or report.hot_keys is None or report.hash_skew <= HASH_SKEW:
        return
    key, share = report.hot_keys.index[0], report.hot_keys["share"].iloc[0]
    yield (
        f"key {called(key)} alone is {percent(share)} of all rows, {report.hash_skew:.1f} times the mean block: "
        "hash_partition(..., max_skew=..., on_skew='split') spreads it"
    )


def _chance(labels: pd.DataFrame) -> pd.Series[float]:
    """Return the mean distance that random samples of the blocks' sizes have: half the sum of mean deviations."""
    shares = labels.sum() / max(labels.to_numpy().sum(), 1)
    deviation = np.sqrt(2 / np.pi * shares * (1 - shares)).sum() / 2
    return deviation / np.sqrt(labels.sum(axis=1).clip(lower=1))

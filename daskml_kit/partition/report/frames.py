"""What was found in each block, as the tables of a report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from distributed import Client

from daskml_kit.partition.report.heavy import BLOCKS, ROWS, Heavy
from daskml_kit.partition.report.look import Seen, require_classes
from daskml_kit.typing import Array

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

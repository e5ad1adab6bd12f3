"""Both sides of a split: the rows of each block that are in its parts, in their order, where they are."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import accumulate
from typing import Any

import numpy as np
from dask.delayed import Delayed

from daskml_kit.engines.pieces import n_rows, take
from daskml_kit.engines.rows import Column, check_lengths, collect
from daskml_kit.model_selection.splits.tasks import block_tasks
from daskml_kit.typing import Array


def select(columns: Sequence[Column], ids: Sequence[Delayed], counts: Array, parts: Sequence[int]) -> list[Any]:
    """Return of each column its rows whose id is one of ``parts``, as a lazy collection.

    Which rows of a block these are is found once for all columns; blocks without any are left out.

    Parameters
    ----------
    columns : sequence of Column
        In the blocks of the ids.
    ids : sequence of Delayed
        The ids of the rows of each block.
    counts : array of shape (n_blocks, n_ids)
    parts : sequence of int
    """
    lengths, chosen = counts.sum(axis=1).tolist(), counts[:, list(parts)].sum(axis=1).tolist()
    kept = [i for i, rows in enumerate(chosen) if rows] or [0]
    rows = block_tasks("daskml-rows", [partial(_rows_of, parts=tuple(parts))] * len(kept), [ids[i] for i in kept])
    selected = []
    for column in columns:
        takers = [partial(_taken, name=column.name, index=i, length=lengths[i]) for i in kept]
        tasks = block_tasks("daskml-take", takers, [column.blocks[i] for i in kept], rows)
        keys = [task.key for task in tasks]
        selected.append(collect(column.meta, tasks[0].dask, keys, [chosen[i] for i in kept], "daskml-split"))
    return selected


def row_numbers(lengths: Sequence[int]) -> Column:
    """Return the numbers of all rows, int64, as a column."""
    spans = [partial(np.arange, stop - length, stop) for length, stop in zip(lengths, accumulate(lengths), strict=True)]
    return Column("rows", np.empty(0, np.int64), block_tasks("daskml-numbers", spans))


def _rows_of(ids: Array, parts: Sequence[int]) -> Array:
    return np.flatnonzero(np.isin(ids, parts))


def _taken(part: Any, rows: Array, name: str, index: int, length: int) -> Any:
    check_lengths([name], [part], index, length)
    return part if len(rows) == n_rows(part) else take(part, rows)

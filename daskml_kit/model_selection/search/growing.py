"""Splits whose training rows grow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import dask
import numpy as np
from sklearn.utils import check_random_state

from daskml_kit.model_selection.splits.folds import Folds, Split
from daskml_kit.typing import Array


def growing_folds(
    folds: Folds, sizes_for: Callable[[int], Sequence[int]], shuffle: bool, random_state: Any
) -> tuple[list[int], Folds]:
    """Return sizes, and for each split one split a size, of the first so many training rows.

    Each split has a column: the ids of training rows are the steps by which they join, then come the test rows' id and
    that of rows that never join.
    """
    columns = dask.compute(list(folds.ids))[0]
    draw = check_random_state(random_state)
    sides = [
        tuple(np.flatnonzero(np.isin(columns[split.column], ids)) for ids in (split.train, split.test))
        for split in folds.splits
    ]
    sizes = list(sizes_for(min(len(train) for train, _ in sides)))
    n_steps = len(sizes)
    ids, splits = [], []
    for number, (train, test) in enumerate(sides):
        order = draw.permutation(train) if shuffle else train
        column = np.full(len(columns[0]), n_steps + 1, np.int16)
        column[test] = n_steps
        column[order] = _steps(len(order), sizes)
        ids.append(column)
        splits += [Split(number, tuple(range(step + 1)), (n_steps,)) for step in range(n_steps)]
    return sizes, Folds(tuple(ids), splits)


def sizes_of(train_sizes: Any, smallest: int) -> list[int]:
    """Return ascending numbers of rows, of shares or numbers of at most ``smallest``.

    Raises
    ------
    ValueError
        Where they are out of range.

    Examples
    --------
    >>> sizes_of([0.5, 1.0], 80), sizes_of([10, 10, 20], 80)
    ([40, 80], [10, 20])
    """
    given = np.asarray(train_sizes)
    if given.size == 0 or given.dtype.kind not in "fiu":
        raise ValueError(f"train_sizes: expected shares or numbers of rows, got {train_sizes!r}")
    whole, highest = (given.astype(int), smallest) if given.dtype.kind in "iu" else ((given * smallest).astype(int), 1)
    if given.min() <= 0 or given.max() > highest or whole.min() < 1:
        raise ValueError(f"train_sizes: expected values above 0 and at most {highest}, got {train_sizes!r}")
    return [int(size) for size in np.unique(whole)]


def _steps(n_rows: int, sizes: Sequence[int]) -> Array:
    """Return for each of ``n_rows`` rows, in their order, by which size it has joined; the never joining come last."""
    steps = np.searchsorted(sizes, np.arange(n_rows), side="right")
    return np.where(steps == len(sizes), len(sizes) + 1, steps)

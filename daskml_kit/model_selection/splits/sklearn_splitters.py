"""Folds of scikit-learn's splits: row numbers in memory turned into ids."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from daskml_kit.exceptions import DataError
from daskml_kit.model_selection.splits.folds import TEST, TRAIN, Folds, Split, id_dtype
from daskml_kit.typing import Array

NONE = -1
"""The id of rows that no split has tested."""


def folds_in_memory(n_rows: int, splits: Iterable[tuple[Array, Array]]) -> Folds:
    """Return splits, given as row numbers, as ids; those that together test no row twice share a column.

    Parameters
    ----------
    n_rows : int
    splits : iterable of (train, test)
        Arrays of row numbers, or masks; train and test have none in common.

    Raises
    ------
    DataError
        Where a row is not there, is named twice, or both trains and tests: a row has one id, and counts once.

    Examples
    --------
    >>> folds = folds_in_memory(3, [(np.array([1, 2]), np.array([0])), (np.array([0]), np.array([1, 2]))])
    >>> folds.ids
    (array([0, 1, 1], dtype=int16),)
    >>> folds.splits
    [Split(column=0, train=(1,), test=(0,)), Split(column=0, train=(0,), test=(1,))]
    """
    columns: list[Array] = []  # ids, NONE of rows that are not tested yet
    n_parts: list[int] = []
    places: list[tuple[int, int]] = []
    shared = False  # whether the last column may take another split
    for number, sides in enumerate(splits):
        train, test = _train_test_masks(n_rows, number, *sides)
        whole = int(np.count_nonzero(train)) + int(np.count_nonzero(test)) == n_rows
        if not (whole and shared and (columns[-1][test] == NONE).all()):
            columns.append(np.full(n_rows, NONE, np.int32))
            n_parts.append(0)
            shared = whole
        for side in (test,) if whole else (train, test):
            columns[-1][side] = n_parts[-1]
            n_parts[-1] += 1
        places.append((len(columns) - 1, n_parts[-1] - 1 if whole else -1))
    ids = tuple(map(_ids, columns, n_parts))
    present = [np.flatnonzero(np.bincount(column)).tolist() for column in ids]
    return Folds(ids, [_split(column, place, present[column]) for column, place in places])


def _train_test_masks(n_rows: int, number: int, train: Any, test: Any) -> list[Array]:
    """Return training and test rows as masks, once they are checked."""
    masks = []
    n_named = 0
    for name, side in (("training", train), ("test", test)):
        rows, mask = np.asarray(side, dtype=None if len(side) else np.int64), np.zeros(n_rows, bool)
        try:
            mask[rows] = True
        except IndexError as error:
            raise DataError(f"cv: {name} rows of split {number}: {error}") from None
        n_named += int(np.count_nonzero(rows)) if rows.dtype == bool else len(rows)
        masks.append(mask)
    if n_named > np.count_nonzero(masks[0] | masks[1]):
        every = np.arange(n_rows)
        counts = sum(np.bincount(every[np.asarray(side)], minlength=n_rows) for side in (train, test))
        raise DataError(
            f"cv: split {number} names row {int(np.argmax(counts))} more than once: training and test rows have to "
            "differ; to repeat rows, as a bootstrap does, give them sample weights"
        )
    return masks


def _ids(column: Array, n_parts: int) -> Array:
    column[column == NONE] = n_parts
    return column.astype(id_dtype(n_parts + 1))


def _split(column: int, place: int, present: Sequence[int]) -> Split:
    if place < 0:
        return Split(column, (TRAIN,), (TEST,))
    return Split(column, tuple(other for other in present if other != place), (place,))

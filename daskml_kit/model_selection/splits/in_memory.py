"""Splits in memory, scikit-learn's own, as folds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from daskml_kit.errors import DataError
from daskml_kit.model_selection.splits.cut import id_dtype
from daskml_kit.model_selection.splits.folds import TEST, TRAIN, Folds, Split
from daskml_kit.typing import Array


def folds_in_memory(n_rows: int, splits: Iterable[tuple[Array, Array]]) -> Folds:
    """Return splits, as numbers of rows, as ids; those that together test no row twice share a column.

    Parameters
    ----------
    n_rows : int
    splits : iterable of (train, test)
        Arrays of row numbers, or masks; train and test have none in common.

    Raises
    ------
    DataError
        Where a row is not there, is named twice, or is on both sides: a row has one id, and counts once.

    Examples
    --------
    >>> folds = folds_in_memory(3, [(np.array([1, 2]), np.array([0])), (np.array([0]), np.array([1, 2]))])
    >>> folds.ids
    (array([0, 1, 1], dtype=int16),)
    >>> folds.splits
    [Split(column=0, train=(1,), test=(0,)), Split(column=0, train=(0,), test=(1,))]
    """
    tested: list[list[Array]] = []  # of each column the tests, or of a split that leaves rows out both sides
    places: list[tuple[int, int]] = []
    free = np.zeros(n_rows, bool)
    for number, sides in enumerate(splits):
        train, test = _rows(n_rows, number, *sides)
        whole = len(train) + len(test) == n_rows
        if not (whole and free[test].all()):
            tested.append([])
            free[:] = whole
        tested[-1] += [test] if whole else [train, test]
        free[test] = False
        places.append((len(tested) - 1, len(tested[-1]) - 1 if whole else -1))
    ids = tuple(_ids(n_rows, parts) for parts in tested)
    return Folds(ids, [_split(column, place, ids[column]) for column, place in places])


def _rows(n_rows: int, number: int, train: Any, test: Any) -> list[Array]:
    """Return both sides as numbers of rows from 0 on, once they are checked."""
    every, counts = np.arange(n_rows), np.zeros(n_rows, np.int64)
    sides = []
    for name, side in (("training", train), ("test", test)):
        try:
            rows = every[np.asarray(side, dtype=None if len(side) else np.int64)]
        except IndexError as error:
            raise DataError(f"cv: {name} rows of split {number}: {error}") from None
        np.add.at(counts, rows, 1)
        sides.append(rows)
    if counts.max(initial=0) > 1:
        raise DataError(
            f"cv: split {number} names row {int(counts.argmax())} more than once: training and test rows have to "
            "differ; to repeat rows, as a bootstrap does, give them sample weights"
        )
    return sides


def _ids(n_rows: int, parts: list[Array]) -> Array:
    ids = np.full(n_rows, len(parts), id_dtype(len(parts) + 1))
    for number, rows in enumerate(parts):
        ids[rows] = number
    return ids


def _split(column: int, place: int, ids: Array) -> Split:
    if place < 0:
        return Split(column, (TRAIN,), (TEST,))
    return Split(column, tuple(other for other in np.unique(ids).tolist() if other != place), (place,))

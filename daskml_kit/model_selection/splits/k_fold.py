"""Folds by row number, and folds by class."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import sklearn.model_selection

from daskml_kit.data.align import Rows
from daskml_kit.exceptions import DataError
from daskml_kit.model_selection.splits.base import (
    Splitter,
    check_class_counts,
    check_n_rows,
    column_of,
    k_fold_splits,
    seed_of,
    warn_of_groups,
)
from daskml_kit.model_selection.splits.folds import Folds, IdColumn, RowAssignment, Split, assign_rows, fold_sizes
from daskml_kit.model_selection.splits.stratify import ClassCounts, assign_classes, count_classes, deal_classes
from daskml_kit.numerics.permutation import key_of
from daskml_kit.typing import Array


class KFold(Splitter, sklearn.model_selection.KFold):  # type: ignore[misc]
    """Folds of rows that follow each other, or with ``shuffle`` of rows drawn at random, of equal sizes up to one.

    Parameters, validation and, on data in memory, results are those of `sklearn.model_selection.KFold`; without
    shuffle those on Dask data are too. With it the fold of a row depends on the seed, its number and their number
    alone, however rows are blocked.

    Parameters
    ----------
    n_splits : int, default 5
        Number of folds.
    shuffle : bool, default False
        Whether rows are drawn at random.
    random_state : int, RandomState, Generator or None
        Seed of the draws.

    See Also
    --------
    StratifiedKFold : With each class's proportion.
    GroupKFold : Of whole groups.

    Examples
    --------
    >>> import dask.array as da
    >>> for train, test in KFold(2).split(da.zeros((5, 1), chunks=(2, 1))):
    ...     print(train.compute(), test.compute())
    [3 4] [0 1 2]
    [0 1 2] [3 4]
    """

    def _folds(self, rows: Rows) -> Folds:
        warn_of_groups(self, rows)
        seed = (seed_of(self.random_state), 0) if self.shuffle else None
        return Folds.of_columns([_equal_folds(rows, self.n_splits, seed)], k_fold_splits(self.n_splits))


class RepeatedKFold(Splitter, sklearn.model_selection.RepeatedKFold):  # type: ignore[misc]
    """Shuffled `KFold`, several times over with other draws: one column of ids for each.

    Parameters are those of `sklearn.model_selection.RepeatedKFold`.

    Parameters
    ----------
    n_splits : int, default 5
        Number of folds.
    n_repeats : int, default 10
        Times that the folds are drawn.
    random_state : int, RandomState, Generator or None
        Seed of the draws.

    See Also
    --------
    KFold : A single repetition.

    Examples
    --------
    >>> import dask.array as da
    >>> folds = RepeatedKFold(n_splits=2, n_repeats=3, random_state=0).assign(da.zeros((4, 1)))
    >>> len(folds.ids), len(folds.splits)
    (3, 6)
    """

    def _folds(self, rows: Rows) -> Folds:
        warn_of_groups(self, rows)
        n_splits, seed = self.cvargs["n_splits"], seed_of(self.random_state)
        columns = [_equal_folds(rows, n_splits, (seed, repeat)) for repeat in range(self.n_repeats)]
        return Folds.of_columns(columns, k_fold_splits(n_splits, self.n_repeats))


class StratifiedKFold(Splitter, sklearn.model_selection.StratifiedKFold):  # type: ignore[misc]
    """Folds with the same proportion of each class, up to one row.

    Parameters, validation and, on data in memory, results are those of `sklearn.model_selection.StratifiedKFold`;
    without shuffle those on Dask data are too. One pass over y counts its classes; the rows of each class keep their
    rank, whatever the blocks.

    Parameters
    ----------
    n_splits : int, default 5
        Number of folds.
    shuffle : bool, default False
        Whether the rows of each class are drawn at random.
    random_state : int, RandomState, Generator or None
        Seed of the draws.

    See Also
    --------
    KFold : Without classes.
    StratifiedGroupKFold : Of whole groups.

    Examples
    --------
    >>> import dask.array as da
    >>> y = da.from_array(np.array(["a", "a", "b", "b", "b", "b"]), chunks=4)
    >>> for train, test in StratifiedKFold(2).split(y, y):
    ...     print(y[test].compute())
    ['a' 'b' 'b']
    ['a' 'b' 'b']
    """

    def _folds(self, rows: Rows) -> Folds:
        warn_of_groups(self, rows)
        counted = _classes(rows, self.n_splits)
        seed = (seed_of(self.random_state), 0) if self.shuffle else None
        columns = [assign_classes(counted, _deal_by_appearance(counted, self.n_splits), seed)]
        return Folds.of_columns(columns, k_fold_splits(self.n_splits))


class RepeatedStratifiedKFold(Splitter, sklearn.model_selection.RepeatedStratifiedKFold):  # type: ignore[misc]
    """Shuffled `StratifiedKFold`, several times over with other draws; y is read in one pass for all.

    Parameters are those of `sklearn.model_selection.RepeatedStratifiedKFold`.

    Parameters
    ----------
    n_splits : int, default 5
        Number of folds.
    n_repeats : int, default 10
        Times that the folds are drawn.
    random_state : int, RandomState, Generator or None
        Seed of the draws.

    See Also
    --------
    StratifiedKFold : A single repetition.

    Examples
    --------
    >>> import dask.array as da
    >>> y = da.arange(8, chunks=3) % 2
    >>> folds = RepeatedStratifiedKFold(n_splits=2, n_repeats=3, random_state=0).assign(y, y)
    >>> len(folds.ids), len(folds.splits)
    (3, 6)
    """

    def _folds(self, rows: Rows) -> Folds:
        warn_of_groups(self, rows)
        n_splits, seed = self.cvargs["n_splits"], seed_of(self.random_state)
        counted = _classes(rows, n_splits)
        sizes = _deal_by_appearance(counted, n_splits)
        columns = [assign_classes(counted, sizes, (seed, repeat)) for repeat in range(self.n_repeats)]
        return Folds.of_columns(columns, k_fold_splits(n_splits, self.n_repeats))


def _equal_folds(rows: Rows, n_splits: int, seed: tuple[int, ...] | None) -> IdColumn:
    check_n_rows(rows, n_splits)
    return assign_rows(
        RowAssignment(fold_sizes(rows.n_rows, n_splits), None if seed is None else key_of(*seed)), rows.lengths
    )


def _classes(rows: Rows, n_splits: int) -> ClassCounts:
    check_n_rows(rows, n_splits)
    counted = count_classes(column_of(rows, "y"), rows.lengths)
    check_class_counts(counted.classes, counted.counts, n_splits)
    return counted


def _deal_by_appearance(counted: ClassCounts, n_splits: int) -> Array:
    sizes = np.empty((len(counted.classes), n_splits), np.int64)
    sizes[counted.appearance] = deal_classes(counted.counts[counted.appearance], n_splits)
    return sizes


class TimeSeriesSplit(Splitter, sklearn.model_selection.TimeSeriesSplit):  # type: ignore[misc]
    """Splits of rows in the order of time: each tests the rows that follow those it trains on.

    Parameters, validation and results, on data in memory and on Dask data, are those of
    `sklearn.model_selection.TimeSeriesSplit`. All splits share one column of ids, whose parts end wherever a training
    or a test set begins or ends.

    Parameters
    ----------
    n_splits : int, default 5
        Number of splits.
    max_train_size, test_size : int, optional
        Rows; by default all before the test rows, and ``n_samples // (n_splits + 1)``.
    gap : int, default 0
        Rows left out between training and test rows.

    See Also
    --------
    KFold : For rows without an order.

    Examples
    --------
    >>> import dask.array as da
    >>> for train, test in TimeSeriesSplit(2, gap=1).split(da.zeros((6, 1), chunks=(4, 1))):
    ...     print(train.compute(), test.compute())
    [0] [2 3]
    [0 1 2] [4 5]
    """

    def _folds(self, rows: Rows) -> Folds:
        warn_of_groups(self, rows)
        assignment, splits = _assign_windows(self._windows(rows.n_rows), rows.n_rows)
        return Folds.of_columns([assign_rows(assignment, rows.lengths)], splits)

    def _folds_in_memory(self, n_rows: int, splits: Iterator[tuple[Array, Array]]) -> Folds:
        windows = [(train[0], train[-1] + 1, test[0], test[-1] + 1) for train, test in splits]
        assignment, shared = _assign_windows(windows, n_rows)
        return Folds((assignment.ids(0, n_rows),), shared)

    def _windows(self, n_rows: int) -> list[tuple[int, int, int, int]]:
        """Return of each split the first and the end of its training rows, and those of its test rows."""
        n_folds = self.n_splits + 1
        size = n_rows // n_folds if self.test_size is None else self.test_size
        if n_folds > n_rows:
            raise DataError(f"Cannot have number of folds={n_folds} greater than the number of samples={n_rows}.")
        if n_rows - self.gap - size * self.n_splits <= 0:
            raise DataError(
                f"Too many splits={self.n_splits} for number of samples={n_rows} with test_size={size} and "
                f"gap={self.gap}."
            )
        windows = []
        for start in range(n_rows - self.n_splits * size, n_rows, size):
            end = start - self.gap
            windows.append((max(end - (self.max_train_size or end), 0), end, start, start + size))
        return windows


def _assign_windows(windows: Sequence[tuple[int, int, int, int]], n_rows: int) -> tuple[RowAssignment, list[Split]]:
    """Return parts of rows that end wherever a training or a test set begins or ends, and the parts of each split."""
    edges = np.unique([0, n_rows, *np.ravel(windows)])
    parts = np.searchsorted(edges, windows).tolist()
    splits = [Split(0, tuple(range(a, b)), tuple(range(c, d))) for a, b, c, d in parts]
    return RowAssignment(tuple(np.diff(edges).tolist())), splits

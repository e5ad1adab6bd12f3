"""Folds by row number, and folds by class."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
import sklearn.model_selection

from daskml_kit.arguments import check_number
from daskml_kit.data.align import Rows
from daskml_kit.documentation import with_inherited_docs
from daskml_kit.exceptions import DataError
from daskml_kit.model_selection.splits.base import (
    Splitter,
    check_class_counts,
    check_n_rows,
    column_of,
    drawn_seed,
    folds_in_memory,
    warn_of_groups,
)
from daskml_kit.model_selection.splits.folds import (
    Folds,
    IdColumn,
    RowAssignment,
    Split,
    assign_rows,
    fold_sizes,
    k_fold_splits,
)
from daskml_kit.model_selection.splits.stratify import assign_classes, count_classes, deal_classes
from daskml_kit.numerics.permutation import key_of
from daskml_kit.typing import Array

Seed: TypeAlias = tuple[int, ...] | None


class KFoldSplitter(Splitter):
    """Splitter whose folds are each tested once, or once a repetition; the folds have equal sizes up to one row.

    Parameters
    ----------
    n_splits : int, default 5
        Number of folds.
    random_state : int, RandomState, Generator or None
        Seed of the draws.
    n_repeats : int, default 10
        Times that the folds are drawn.
    """

    def _folds(self, rows: Rows) -> Folds:
        own: Any = self
        warn_of_groups(self, rows)
        n_repeats = getattr(self, "n_repeats", None)
        n_splits = own.n_splits if n_repeats is None else own.cvargs["n_splits"]
        check_n_rows(rows, n_splits)
        assign, seeds = self._assigner(rows, n_splits), list[Seed]([None])
        if n_repeats is not None or own.shuffle:
            seed = drawn_seed(own.random_state)
            seeds = [(seed, repeat) for repeat in range(n_repeats or 1)]
        return Folds.of_columns(map(assign, seeds), k_fold_splits(n_splits, len(seeds)))

    def _assigner(self, rows: Rows, n_splits: int) -> Callable[[Seed], IdColumn]:
        """Return a function of a seed that assigns the rows to folds."""
        sizes = fold_sizes(rows.n_rows, n_splits)
        return lambda seed: assign_rows(RowAssignment(sizes, None if seed is None else key_of(*seed)), rows.lengths)


class StratifiedSplitter(KFoldSplitter):
    """Splitter whose folds have the same proportion of each class, up to one row."""

    def _assigner(self, rows: Rows, n_splits: int) -> Callable[[Seed], IdColumn]:
        counted = count_classes(column_of(rows, "y"), rows.lengths)
        check_class_counts(counted.classes, counted.counts, n_splits)
        sizes = np.empty((len(counted.classes), n_splits), np.int64)
        sizes[counted.appearance] = deal_classes(counted.counts[counted.appearance], n_splits)
        return lambda seed: assign_classes(counted, sizes, seed)


@with_inherited_docs
class KFold(KFoldSplitter, sklearn.model_selection.KFold):  # type: ignore[misc]
    """Folds of rows that follow each other, or with ``shuffle`` of rows drawn at random, of equal sizes up to one.

    Parameters, validation and, on data in memory, results are those of `sklearn.model_selection.KFold`; without
    shuffle those on Dask data are too. With it the fold of a row depends on the seed, its number and their number
    alone, however rows are blocked.

    Parameters
    ----------
    shuffle : bool, default False
        Whether rows are drawn at random.

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


@with_inherited_docs
class RepeatedKFold(KFoldSplitter, sklearn.model_selection.RepeatedKFold):  # type: ignore[misc]
    """Shuffled `KFold`, several times over with other draws: one column of ids for each.

    Parameters are those of `sklearn.model_selection.RepeatedKFold`.

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


@with_inherited_docs
class StratifiedKFold(StratifiedSplitter, sklearn.model_selection.StratifiedKFold):  # type: ignore[misc]
    """Folds with the same proportion of each class, up to one row.

    Parameters, validation and, on data in memory, results are those of `sklearn.model_selection.StratifiedKFold`;
    without shuffle those on Dask data are too. One pass over y counts its classes; the rows of each class keep their
    rank, whatever the blocks.

    Parameters
    ----------
    shuffle : bool, default False
        Whether the rows of each class are drawn at random.

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


@with_inherited_docs
class RepeatedStratifiedKFold(StratifiedSplitter, sklearn.model_selection.RepeatedStratifiedKFold):  # type: ignore[misc]
    """Shuffled `StratifiedKFold`, several times over with other draws; y is read in one pass for all.

    Parameters are those of `sklearn.model_selection.RepeatedStratifiedKFold`.

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
        if self.test_size is not None:
            check_number("test_size", self.test_size, low=1, integer=True)
        if self.max_train_size is not None:
            check_number("max_train_size", self.max_train_size, low=1, integer=True)
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


class RowNumberSplitter(Splitter):
    """Splitter whose splits follow from the number of rows alone."""

    def _folds(self, rows: Rows) -> Folds:
        return folds_in_memory(rows.n_rows, self._split_in_memory(np.empty((rows.n_rows, 0))))


class LeaveOneOut(RowNumberSplitter, sklearn.model_selection.LeaveOneOut):  # type: ignore[misc]
    """Leave-one-out cross-validation: each row is the test set once; there are as many splits as rows.

    See Also
    --------
    KFold : Fewer, larger test sets.
    sklearn.model_selection.LeaveOneOut : The same on data in memory.

    Examples
    --------
    >>> import dask.array as da
    >>> [test.tolist() for _, test in LeaveOneOut().split(da.zeros((3, 1), chunks=2))]
    [[0], [1], [2]]
    """


class LeavePOut(RowNumberSplitter, sklearn.model_selection.LeavePOut):  # type: ignore[misc]
    """Leave-p-out cross-validation: every combination of ``p`` rows is a test set once.

    Parameters
    ----------
    p : int
        Rows of each test set.

    See Also
    --------
    LeaveOneOut : The case of one row.

    Examples
    --------
    >>> import dask.array as da
    >>> [test.tolist() for _, test in LeavePOut(2).split(da.zeros((3, 1), chunks=2))]
    [[0, 1], [0, 2], [1, 2]]
    """


class PredefinedSplit(RowNumberSplitter, sklearn.model_selection.PredefinedSplit):  # type: ignore[misc]
    """Cross-validation with a given test fold for each row.

    Parameters
    ----------
    test_fold : array-like or Dask array of shape (n_samples,)
        Number of the split that tests the row; -1 for rows that only train. A Dask array is fetched.

    See Also
    --------
    KFold : Folds of equal sizes.

    Examples
    --------
    >>> import dask.array as da
    >>> for train, test in PredefinedSplit([0, 1, -1, 1]).split(da.zeros((4, 1), chunks=2)):
    ...     print(train, test)
    [1 2 3] [0]
    [0 2] [1 3]
    """

    def _folds(self, rows: Rows) -> Folds:
        if rows.n_rows != len(self.test_fold):
            raise DataError(f"test_fold: expected {rows.n_rows} rows as in X, got {len(self.test_fold)}")
        return super()._folds(rows)

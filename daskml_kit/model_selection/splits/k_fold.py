"""Folds by row number, and folds by class."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import sklearn.model_selection

from daskml_kit.data.align import Rows
from daskml_kit.exceptions import DataError
from daskml_kit.model_selection.splits.base import (
    Splitter,
    column_of,
    each_once,
    require_members,
    require_rows,
    seed_of,
    warn_of_groups,
)
from daskml_kit.model_selection.splits.folds import Cut, Folds, IdColumn, Split, by_row, even_sizes
from daskml_kit.model_selection.splits.stratify import Strata, by_class, dealt, read_strata
from daskml_kit.numerics.permutation import key_of
from daskml_kit.typing import Array


class KFold(Splitter, sklearn.model_selection.KFold):  # type: ignore[misc]
    """Folds of rows that follow each other, or with ``shuffle`` of rows drawn at random, of equal sizes up to one.

    Parameters, validation and, on data in memory, results are those of `sklearn.model_selection.KFold`; without
    shuffle those on Dask data are too. With it the fold of a row depends on the seed, its number and their number
    alone, however rows are blocked.

    Examples
    --------
    >>> import dask.array as da
    >>> for train, test in KFold(2).split(da.zeros((5, 1), chunks=(2, 1))):
    ...     print(train.compute(), test.compute())
    [3 4] [0 1 2]
    [0 1 2] [3 4]
    """

    def folds(self, rows: Rows) -> Folds:
        warn_of_groups(self, rows)
        seed = (seed_of(self.random_state), 0) if self.shuffle else None
        return Folds.of_columns([_even(rows, self.n_splits, seed)], each_once(self.n_splits))


class RepeatedKFold(Splitter, sklearn.model_selection.RepeatedKFold):  # type: ignore[misc]
    """Shuffled `KFold`, several times over with other draws: one column of ids for each.

    Parameters are those of `sklearn.model_selection.RepeatedKFold`.

    Examples
    --------
    >>> import dask.array as da
    >>> folds = RepeatedKFold(n_splits=2, n_repeats=3, random_state=0).assign(da.zeros((4, 1)))
    >>> len(folds.ids), len(folds.splits)
    (3, 6)
    """

    def folds(self, rows: Rows) -> Folds:
        warn_of_groups(self, rows)
        n_splits, seed = self.cvargs["n_splits"], seed_of(self.random_state)
        columns = [_even(rows, n_splits, (seed, repeat)) for repeat in range(self.n_repeats)]
        return Folds.of_columns(columns, each_once(n_splits, self.n_repeats))


class StratifiedKFold(Splitter, sklearn.model_selection.StratifiedKFold):  # type: ignore[misc]
    """Folds that all have the same share of each class, up to one row.

    Parameters, validation and, on data in memory, results are those of `sklearn.model_selection.StratifiedKFold`;
    without shuffle those on Dask data are too. One pass over y counts its classes; the rows of each class keep their
    rank, whatever the blocks.

    Examples
    --------
    >>> import dask.array as da
    >>> y = da.from_array(np.array(["a", "a", "b", "b", "b", "b"]), chunks=4)
    >>> for train, test in StratifiedKFold(2).split(y, y):
    ...     print(y[test].compute())
    ['a' 'b' 'b']
    ['a' 'b' 'b']
    """

    def folds(self, rows: Rows) -> Folds:
        warn_of_groups(self, rows)
        strata = _classes(rows, self.n_splits)
        seed = (seed_of(self.random_state), 0) if self.shuffle else None
        columns = [by_class(strata, _dealt_by_appearance(strata, self.n_splits), seed)]
        return Folds.of_columns(columns, each_once(self.n_splits))


class RepeatedStratifiedKFold(Splitter, sklearn.model_selection.RepeatedStratifiedKFold):  # type: ignore[misc]
    """Shuffled `StratifiedKFold`, several times over with other draws; y is read in one pass for all.

    Parameters are those of `sklearn.model_selection.RepeatedStratifiedKFold`.

    Examples
    --------
    >>> import dask.array as da
    >>> y = da.arange(8, chunks=3) % 2
    >>> folds = RepeatedStratifiedKFold(n_splits=2, n_repeats=3, random_state=0).assign(y, y)
    >>> len(folds.ids), len(folds.splits)
    (3, 6)
    """

    def folds(self, rows: Rows) -> Folds:
        warn_of_groups(self, rows)
        n_splits, seed = self.cvargs["n_splits"], seed_of(self.random_state)
        strata = _classes(rows, n_splits)
        sizes = _dealt_by_appearance(strata, n_splits)
        columns = [by_class(strata, sizes, (seed, repeat)) for repeat in range(self.n_repeats)]
        return Folds.of_columns(columns, each_once(n_splits, self.n_repeats))


def _even(rows: Rows, n_splits: int, seed: tuple[int, ...] | None) -> IdColumn:
    require_rows(rows, n_splits)
    return by_row(Cut(even_sizes(rows.n_rows, n_splits), None if seed is None else key_of(*seed)), rows.lengths)


def _classes(rows: Rows, n_splits: int) -> Strata:
    require_rows(rows, n_splits)
    strata = read_strata(column_of(rows, "y"), rows.lengths)
    require_members(strata.classes, strata.counts, n_splits)
    return strata


def _dealt_by_appearance(strata: Strata, n_splits: int) -> Array:
    sizes = np.empty((len(strata.classes), n_splits), np.int64)
    sizes[strata.appearance] = dealt(strata.counts[strata.appearance], n_splits)
    return sizes


class TimeSeriesSplit(Splitter, sklearn.model_selection.TimeSeriesSplit):  # type: ignore[misc]
    """Splits of rows in the order of time: each tests the rows that follow those it trains on.

    Parameters, validation and results, on data in memory and on Dask data, are those of
    `sklearn.model_selection.TimeSeriesSplit`. All splits share one column of ids, whose parts end wherever a training
    or a test set begins or ends.

    Examples
    --------
    >>> import dask.array as da
    >>> for train, test in TimeSeriesSplit(2, gap=1).split(da.zeros((6, 1), chunks=(4, 1))):
    ...     print(train.compute(), test.compute())
    [0] [2 3]
    [0 1 2] [4 5]
    """

    def folds(self, rows: Rows) -> Folds:
        warn_of_groups(self, rows)
        cut, splits = _cut_at(self._windows(rows.n_rows), rows.n_rows)
        return Folds.of_columns([by_row(cut, rows.lengths)], splits)

    def folds_in_memory(self, n_rows: int, splits: Iterator[tuple[Array, Array]]) -> Folds:
        windows = [(train[0], train[-1] + 1, test[0], test[-1] + 1) for train, test in splits]
        cut, shared = _cut_at(windows, n_rows)
        return Folds((cut.ids(0, n_rows),), shared)

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


def _cut_at(windows: Sequence[tuple[int, int, int, int]], n_rows: int) -> tuple[Cut, list[Split]]:
    """Return the rows cut wherever a training or a test set begins or ends, and which parts each split has."""
    edges = np.unique([0, n_rows, *np.ravel(windows)])
    parts = np.searchsorted(edges, windows).tolist()
    splits = [Split(0, tuple(range(a, b)), tuple(range(c, d))) for a, b, c, d in parts]
    return Cut(tuple(np.diff(edges).tolist())), splits

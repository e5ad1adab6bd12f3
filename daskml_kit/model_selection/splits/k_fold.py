"""Folds by row number, and folds by class."""

from __future__ import annotations

import numpy as np
import sklearn.model_selection

from daskml_kit.engines.rows import Rows
from daskml_kit.model_selection.splits.cut import Cut, even_sizes
from daskml_kit.model_selection.splits.folds import Folds
from daskml_kit.model_selection.splits.id_column import IdColumn, by_row
from daskml_kit.model_selection.splits.shares import dealt
from daskml_kit.model_selection.splits.splitter import (
    Splitter,
    column_of,
    each_once,
    require_members,
    require_rows,
    seed_of,
    warn_of_groups,
)
from daskml_kit.model_selection.splits.strata import Strata, by_class, read_strata
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

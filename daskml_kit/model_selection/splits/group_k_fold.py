"""Folds of whole groups."""

from __future__ import annotations

import numpy as np
import sklearn.model_selection
from sklearn.utils import check_random_state

from daskml_kit.engines.rows import Rows
from daskml_kit.errors import DataError
from daskml_kit.model_selection.splits.cut import Cut, even_sizes
from daskml_kit.model_selection.splits.folds import Folds
from daskml_kit.model_selection.splits.groups import Census, Homes, by_group, read_groups
from daskml_kit.model_selection.splits.shares import lightest_first, most_alike
from daskml_kit.model_selection.splits.splitter import Splitter, column_of, each_once, require_members, require_rows
from daskml_kit.typing import Array


class GroupKFold(Splitter, sklearn.model_selection.GroupKFold):  # type: ignore[misc]
    """Folds of whole groups, of about equal numbers of rows, or with ``shuffle`` of equal numbers of groups.

    Parameters, validation and results, on data in memory and on Dask data, shuffled or not, are those of
    `sklearn.model_selection.GroupKFold`. One pass over the groups counts their rows; the distinct groups are
    gathered, so the client must have room for them, not for the rows.

    Examples
    --------
    >>> import dask.array as da
    >>> groups = da.from_array(np.array([7, 8, 7, 9, 9, 9]), chunks=2)
    >>> [groups[test].compute().tolist() for _, test in GroupKFold(2).split(groups, groups=groups)]
    [[9, 9, 9], [7, 8, 7]]
    """

    def folds(self, rows: Rows) -> Folds:
        require_rows(rows, self.n_splits)
        census = read_groups(column_of(rows, "groups"), rows.lengths)
        _require_groups(census, self.n_splits)
        if not self.shuffle:
            return _folds(rows, census, lightest_first(census.counts[:, 0], self.n_splits), self.n_splits)
        homes = np.empty(len(census.groups), np.int64)
        order = check_random_state(self.random_state).permutation(len(homes))
        homes[order] = Cut(even_sizes(len(homes), self.n_splits)).ids(0, len(homes))
        return _folds(rows, census, homes, self.n_splits)


class StratifiedGroupKFold(Splitter, sklearn.model_selection.StratifiedGroupKFold):  # type: ignore[misc]
    """Folds of whole groups that have the classes in shares as alike as the groups allow.

    Parameters, validation and results, on data in memory and on Dask data, shuffled or not, are those of
    `sklearn.model_selection.StratifiedGroupKFold`. One pass over y and groups counts each class in each group, a
    table that the client must have room for.

    Examples
    --------
    >>> import dask.array as da
    >>> y = da.from_array(np.array([0, 0, 1, 1, 0, 1]), chunks=4)
    >>> groups = da.from_array(np.array([1, 1, 2, 2, 3, 3]), chunks=4)
    >>> [groups[test].compute().tolist() for _, test in StratifiedGroupKFold(2).split(y, y, groups)]
    [[1, 1, 3, 3], [2, 2]]
    """

    def folds(self, rows: Rows) -> Folds:
        require_rows(rows, self.n_splits)
        labels = column_of(rows, "y")
        census = read_groups(column_of(rows, "groups"), rows.lengths, labels)
        require_members(census.classes, census.counts.sum(axis=0), self.n_splits)
        _require_groups(census, self.n_splits)
        order = np.arange(len(census.groups))
        if self.shuffle:
            check_random_state(self.random_state).shuffle(order)
        return _folds(rows, census, most_alike(census.counts, self.n_splits, order), self.n_splits)


def _require_groups(census: Census, n_splits: int) -> None:
    if n_splits > len(census.groups):
        raise DataError(
            f"Cannot have number of splits n_splits={n_splits} greater than the number of groups: {len(census.groups)}."
        )


def _folds(rows: Rows, census: Census, folds: Array, n_splits: int) -> Folds:
    column = by_group(column_of(rows, "groups"), rows.lengths, Homes(census.groups, folds), n_splits)
    return Folds.of_columns([column], each_once(n_splits))

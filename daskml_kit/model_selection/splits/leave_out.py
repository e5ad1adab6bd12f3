"""Leave-one-out, leave-one-group-out and predefined cross-validation splits."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import sklearn.model_selection

from daskml_kit.data.align import Rows
from daskml_kit.exceptions import DataError
from daskml_kit.model_selection.splits.base import Splitter, column_of, folds_in_memory
from daskml_kit.model_selection.splits.folds import Folds, Split
from daskml_kit.model_selection.splits.group_k_fold import GroupFolds, assign_groups, count_groups


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


class LeavePGroupsOut(Splitter, sklearn.model_selection.LeavePGroupsOut):  # type: ignore[misc]
    """Leave-p-groups-out cross-validation: every combination of ``n_groups`` groups is a test set once.

    One pass over the groups finds them; the client must have room for the distinct ones.

    Parameters
    ----------
    n_groups : int
        Groups of each test set.

    See Also
    --------
    LeaveOneGroupOut : The case of one group.
    GroupKFold : Fewer splits, of several groups each.

    Examples
    --------
    >>> import dask.array as da
    >>> groups = da.from_array(np.array([1, 1, 2, 3]), chunks=2)
    >>> [groups[test].compute().tolist() for _, test in LeavePGroupsOut(2).split(groups, groups=groups)]
    [[1, 1, 2], [1, 1, 3], [2, 3]]
    """

    def _folds(self, rows: Rows) -> Folds:
        return _leave_groups_out(rows, self.n_groups)


class LeaveOneGroupOut(Splitter, sklearn.model_selection.LeaveOneGroupOut):  # type: ignore[misc]
    """Leave-one-group-out cross-validation: each group is the test set once.

    One pass over the groups finds them; the client must have room for the distinct ones.

    See Also
    --------
    LeavePGroupsOut : Test sets of several groups.
    GroupKFold : Fewer splits, of several groups each.

    Examples
    --------
    >>> import dask.array as da
    >>> groups = da.from_array(np.array(["a", "a", "b", "c"]), chunks=2)
    >>> [groups[test].compute().tolist() for _, test in LeaveOneGroupOut().split(groups, groups=groups)]
    [['a', 'a'], ['b'], ['c']]
    """

    def _folds(self, rows: Rows) -> Folds:
        return _leave_groups_out(rows, 1)


def _leave_groups_out(rows: Rows, n_out: int) -> Folds:
    groups = column_of(rows, "groups")
    found: Any = count_groups(groups, rows.lengths).groups
    if len(found) <= n_out:
        raise DataError(f"groups: expected more than {n_out} different groups, got {found.tolist()}")
    every = range(len(found))
    column = assign_groups(groups, rows.lengths, GroupFolds(found, np.asarray(every)), len(found))
    tests = combinations(every, n_out)
    splits = [Split(0, tuple(i for i in every if i not in test), test) for test in tests]
    return Folds.of_columns([column], splits)

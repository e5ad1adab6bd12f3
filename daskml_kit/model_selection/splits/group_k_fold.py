"""Folds of whole groups: k of them, or all but some groups."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import combinations
from typing import Any, NamedTuple

import dask
import numpy as np
import sklearn.model_selection

from daskml_kit.arguments import random_state_of
from daskml_kit.data.align import Column, Rows
from daskml_kit.exceptions import DataError
from daskml_kit.model_selection.splits.base import Splitter, check_class_counts, check_n_rows, column_of
from daskml_kit.model_selection.splits.folds import (
    Folds,
    IdColumn,
    RowAssignment,
    Split,
    block_tasks,
    compute_tasks,
    fold_sizes,
    id_column,
    id_dtype,
    k_fold_splits,
)
from daskml_kit.model_selection.splits.stratify import (
    balance_classes,
    balance_groups,
    encode,
    label_codes,
    merge_labels,
)
from daskml_kit.typing import Array

MERGED = 8


class GroupCounts(NamedTuple):
    """The distinct groups and classes, both sorted, and the rows of each class in each group.

    Parameters
    ----------
    groups : array of shape (n_groups,)
    classes : array of shape (n_classes,)
        Of one class where there are no labels.
    counts : array of shape (n_groups, n_classes)
    """

    groups: Array
    classes: Array
    counts: Array


def count_groups(groups: Column, lengths: Sequence[int], labels: Column | None = None) -> GroupCounts:
    """Count the rows of each group, and of each class in it, in one pass; the blocks' counts are merged in a tree.

    The result is on the client, so there must be room for the distinct groups.

    Raises
    ------
    DataError
        Where a group or a label is missing, or those of different blocks cannot be compared.
    """
    names = [column.name for column in (groups, labels) if column is not None]
    level = block_tasks(
        "daskml-group-counts",
        [partial(_count_block, names, index, length) for index, length in enumerate(lengths)],
        groups.blocks,
        *([] if labels is None else [labels.blocks]),
    )
    while len(level) > 1:
        heaps = [level[i : i + MERGED] for i in range(0, len(level), MERGED)]
        level = [block_tasks("daskml-merge", [partial(_merge, names)], *([d] for d in heap))[0] for heap in heaps]
    counted: GroupCounts = compute_tasks(level)[0]
    return counted


def assign_groups(groups: Column, lengths: Sequence[int], every: Array, folds: Array, n_folds: int) -> IdColumn:
    """Return the column in which each row is in the fold of its group; ``folds`` are those of ``every`` one, sorted."""
    shared = dask.delayed((every, folds.astype(id_dtype(n_folds))), traverse=False, pure=True)
    ids = [partial(_ids, groups.name, index, length) for index, length in enumerate(lengths)]
    tasks = block_tasks("daskml-group", ids, groups.blocks, shared=shared)
    counts = block_tasks("daskml-count", [partial(_counts, n_folds)] * len(tasks), tasks)
    return id_column(tasks, counts, lengths, n_folds)


def _counts(n_folds: int, ids: Array) -> Array:
    return np.bincount(ids, minlength=n_folds)[None]


def _count_block(names: Sequence[str], index: int, length: int, *parts: Any) -> GroupCounts:
    codes, groups = encode(parts[0], names[0], index, length)
    if len(parts) == 1:
        return GroupCounts(groups, np.zeros(1, np.int64), np.bincount(codes, minlength=len(groups))[:, None])
    classes_of, classes = encode(parts[1], names[1], index, length)
    flat = np.bincount(codes * len(classes) + classes_of, minlength=len(groups) * len(classes))
    return GroupCounts(groups, classes, flat.reshape(len(groups), len(classes)))


def _merge(names: Sequence[str], *parts: GroupCounts) -> GroupCounts:
    groups, rows = merge_labels([part.groups for part in parts], names[0])
    classes, columns = merge_labels([part.classes for part in parts], names[-1])
    counts = np.zeros((len(groups), len(classes)), np.int64)
    for part, row, column in zip(parts, rows, columns, strict=True):
        counts[np.ix_(row, column)] += part.counts
    return GroupCounts(groups, classes, counts)


def _ids(name: str, index: int, length: int, part: Any, group_folds: tuple[Array, Array]) -> Array:
    codes, groups = encode(part, name, index, length)
    every, folds = group_folds
    return folds[label_codes(groups, every, name, index)][codes]


class GroupKFold(Splitter, sklearn.model_selection.GroupKFold):  # type: ignore[misc]
    """Folds of whole groups, of about equal numbers of rows, or with ``shuffle`` of equal numbers of groups.

    Parameters, validation and results, on data in memory and on Dask data, shuffled or not, are those of
    `sklearn.model_selection.GroupKFold`. One pass over the groups counts their rows; the distinct groups are
    gathered, so the client must have room for them, not for the rows.

    Parameters
    ----------
    n_splits : int, default 5
        Number of folds.
    shuffle : bool, default False
        Whether groups are drawn at random.
    random_state : int, RandomState, Generator or None
        Seed of the draws.

    See Also
    --------
    StratifiedGroupKFold : With balanced classes.
    LeaveOneGroupOut : One group a fold.

    Examples
    --------
    >>> import dask.array as da
    >>> groups = da.from_array(np.array([7, 8, 7, 9, 9, 9]), chunks=2)
    >>> [groups[test].compute().tolist() for _, test in GroupKFold(2).split(groups, groups=groups)]
    [[9, 9, 9], [7, 8, 7]]
    """

    def _folds(self, rows: Rows) -> Folds:
        check_n_rows(rows, self.n_splits)
        counted = count_groups(column_of(rows, "groups"), rows.lengths)
        _check_n_groups(counted, self.n_splits)
        if not self.shuffle:
            return _folds(rows, counted, balance_groups(counted.counts[:, 0], self.n_splits), self.n_splits)
        group_folds = np.empty(len(counted.groups), np.int64)
        order = random_state_of(self.random_state).permutation(len(group_folds))
        group_folds[order] = RowAssignment(fold_sizes(len(group_folds), self.n_splits)).ids(0, len(group_folds))
        return _folds(rows, counted, group_folds, self.n_splits)


class StratifiedGroupKFold(Splitter, sklearn.model_selection.StratifiedGroupKFold):  # type: ignore[misc]
    """Folds of whole groups with class proportions as equal as the groups allow.

    Parameters, validation and results, on data in memory and on Dask data, shuffled or not, are those of
    `sklearn.model_selection.StratifiedGroupKFold`. One pass over y and groups counts each class in each group, a
    table that the client must have room for.

    Parameters
    ----------
    n_splits : int, default 5
        Number of folds.
    shuffle : bool, default False
        Whether the order of groups is drawn at random.
    random_state : int, RandomState, Generator or None
        Seed of the draws.

    See Also
    --------
    GroupKFold : Without classes.
    StratifiedKFold : Without groups.

    Examples
    --------
    >>> import dask.array as da
    >>> y = da.from_array(np.array([0, 0, 1, 1, 0, 1]), chunks=4)
    >>> groups = da.from_array(np.array([1, 1, 2, 2, 3, 3]), chunks=4)
    >>> [groups[test].compute().tolist() for _, test in StratifiedGroupKFold(2).split(y, y, groups)]
    [[1, 1, 3, 3], [2, 2]]
    """

    def _folds(self, rows: Rows) -> Folds:
        check_n_rows(rows, self.n_splits)
        labels = column_of(rows, "y")
        counted = count_groups(column_of(rows, "groups"), rows.lengths, labels)
        check_class_counts(counted.classes, counted.counts.sum(axis=0), self.n_splits)
        _check_n_groups(counted, self.n_splits)
        order = np.arange(len(counted.groups))
        if self.shuffle:
            random_state_of(self.random_state).shuffle(order)
        return _folds(rows, counted, balance_classes(counted.counts, self.n_splits, order), self.n_splits)


def _check_n_groups(counted: GroupCounts, n_splits: int) -> None:
    if n_splits > len(counted.groups):
        raise DataError(
            f"Cannot have number of splits n_splits={n_splits} greater than the number of groups: "
            f"{len(counted.groups)}."
        )


def _folds(rows: Rows, counted: GroupCounts, folds: Array, n_splits: int) -> Folds:
    column = assign_groups(column_of(rows, "groups"), rows.lengths, counted.groups, folds, n_splits)
    return Folds.of_columns([column], k_fold_splits(n_splits))


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
    found = count_groups(groups, rows.lengths).groups
    if len(found) <= n_out:
        raise DataError(f"groups: expected more than {n_out} different groups, got {found.tolist()}")
    every = range(len(found))
    column = assign_groups(groups, rows.lengths, found, np.asarray(every), len(found))
    tests = combinations(every, n_out)
    splits = [Split(0, tuple(i for i in every if i not in test), test) for test in tests]
    return Folds.of_columns([column], splits)

"""Folds of whole groups."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import dask
import numpy as np
import sklearn.model_selection
from sklearn.utils import check_random_state

from daskml_kit.data.align import Column, Rows
from daskml_kit.exceptions import DataError
from daskml_kit.model_selection.splits.base import Splitter, column_of, each_once, require_members, require_rows
from daskml_kit.model_selection.splits.folds import (
    Cut,
    Folds,
    IdColumn,
    answers,
    block_tasks,
    even_sizes,
    id_column,
    id_dtype,
)
from daskml_kit.model_selection.splits.stratify import coded, found, lightest_first, most_alike, united
from daskml_kit.typing import Array

MERGED = 8


class Census(NamedTuple):
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


class Homes(NamedTuple):
    """The fold of each group: ``groups`` are sorted."""

    groups: Array
    folds: Array


def read_groups(groups: Column, lengths: Sequence[int], labels: Column | None = None) -> Census:
    """Count the rows of each group, and of each class in it, in one pass; the blocks' counts are merged in a tree.

    The result is on the client, so there must be room for the distinct groups.

    Raises
    ------
    DataError
        Where a group or a label is missing, or those of different blocks cannot be compared.
    """
    names = [column.name for column in (groups, labels) if column is not None]
    level = block_tasks(
        "daskml-census",
        [partial(_census, names, index, length) for index, length in enumerate(lengths)],
        groups.blocks,
        *([] if labels is None else [labels.blocks]),
    )
    while len(level) > 1:
        heaps = [level[i : i + MERGED] for i in range(0, len(level), MERGED)]
        level = [block_tasks("daskml-merge", [partial(_merge, names)], *([d] for d in heap))[0] for heap in heaps]
    census: Census = answers(level)[0]
    return census


def by_group(groups: Column, lengths: Sequence[int], homes: Homes, n_folds: int) -> IdColumn:
    """Return the column in which each row is in the fold of its group."""
    homes = homes._replace(folds=homes.folds.astype(id_dtype(n_folds)))
    shared = dask.delayed(homes, traverse=False, pure=True)
    ids = [partial(_ids, groups.name, index, length) for index, length in enumerate(lengths)]
    tasks = block_tasks("daskml-group", ids, groups.blocks, shared=shared)
    counts = block_tasks("daskml-count", [partial(_counts, n_folds)] * len(tasks), tasks)
    return id_column(tasks, counts, lengths, n_folds)


def _counts(n_folds: int, ids: Array) -> Array:
    return np.bincount(ids, minlength=n_folds)[None]


def _census(names: Sequence[str], index: int, length: int, *parts: Any) -> Census:
    codes, groups = coded(parts[0], names[0], index, length)
    if len(parts) == 1:
        return Census(groups, np.zeros(1, np.int64), np.bincount(codes, minlength=len(groups))[:, None])
    classes_of, classes = coded(parts[1], names[1], index, length)
    flat = np.bincount(codes * len(classes) + classes_of, minlength=len(groups) * len(classes))
    return Census(groups, classes, flat.reshape(len(groups), len(classes)))


def _merge(names: Sequence[str], *parts: Census) -> Census:
    groups, rows = united([part.groups for part in parts], names[0])
    classes, columns = united([part.classes for part in parts], names[-1])
    counts = np.zeros((len(groups), len(classes)), np.int64)
    for part, row, column in zip(parts, rows, columns, strict=True):
        counts[np.ix_(row, column)] += part.counts
    return Census(groups, classes, counts)


def _ids(name: str, index: int, length: int, part: Any, homes: Homes) -> Array:
    codes, groups = coded(part, name, index, length)
    return homes.folds[found(groups, homes.groups, name, index)][codes]


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

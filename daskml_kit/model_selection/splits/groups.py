"""Groups of rows, which stay together."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import dask
import numpy as np

from daskml_kit.engines.rows import Column
from daskml_kit.model_selection.splits.cut import id_dtype
from daskml_kit.model_selection.splits.id_column import IdColumn, id_column
from daskml_kit.model_selection.splits.labels import coded, found, united
from daskml_kit.model_selection.splits.tasks import answers, block_tasks
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

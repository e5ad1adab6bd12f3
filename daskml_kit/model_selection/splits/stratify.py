"""Stratification: each class is assigned to folds by itself, so its proportions are exact."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import dask
import numpy as np
import pandas as pd

from daskml_kit.data.align import Column, check_lengths
from daskml_kit.exceptions import DataError
from daskml_kit.model_selection.splits.folds import (
    Folds,
    IdColumn,
    RowAssignment,
    Span,
    block_tasks,
    compute_tasks,
    id_column,
    id_dtype,
    k_fold_splits,
    runs_of_blocks,
)
from daskml_kit.numerics.permutation import key_of
from daskml_kit.reductions.summary import one_column, sorted_labels
from daskml_kit.typing import Array


def encode(part: Any, name: str, index: int, length: int) -> tuple[Array, Array]:
    """Return the code of each row of block ``index``, and the distinct labels, sorted.

    Raises
    ------
    DataError
        Where the block has not ``length`` rows of one column, a label is missing, or labels cannot be compared.
    """
    check_lengths([name], [part], index, length)
    return sorted_labels(one_column(np.asarray(part), name, index), index, name)


def merge_labels(labels: list[Array], name: str) -> tuple[Array, list[Array]]:
    """Return the distinct labels of all blocks, sorted, and where in them those of each block are.

    Raises
    ------
    DataError
        Where labels cannot be compared.
    """
    filled = [block for block in labels if len(block)]  # an empty block's dtype says nothing
    try:
        every, codes = np.unique(np.concatenate(filled or [np.empty(0)]), return_inverse=True)
    except (TypeError, ValueError) as error:
        raise DataError(f"{name}: labels of one type expected, got a mixture: {error}") from None
    return every, np.split(codes, np.cumsum([len(block) for block in labels])[:-1])


def label_codes(labels: Array, every: Array, name: str, index: int) -> Array:
    """Return where the sorted ``labels`` of block ``index`` are in ``every``.

    Raises
    ------
    DataError
        Where one is not: the column is not what it was in the pass before.
    """
    codes = np.searchsorted(every, labels)
    if len(labels) and not (codes[-1] < len(every) and bool((every[codes] == labels).all())):
        raise DataError(f"{name}: block {index} has other labels than when it was read before")
    return codes


MAX_CLASSES = 2**16


class BlockClasses(NamedTuple):
    """The classes of a block, sorted, the rows each has, and the first of them in the block."""

    labels: Array
    counts: Array
    first: Array


class BlockClassRanks(NamedTuple):
    """Classes of a block, their rows in it, and their rows in the blocks before."""

    codes: Array
    counts: Array
    before: Array

    @property
    def stops(self) -> Array:
        return self.before + self.counts


class ClassCounts(NamedTuple):
    """The classes of all rows, from one pass over their labels.

    Parameters
    ----------
    labels : Column
    classes : array of shape (n_classes,)
        Sorted.
    counts : array of shape (n_classes,)
    appearance : array of shape (n_classes,)
        The classes' numbers in the order in which they first appear.
    runs : list of BlockClassRanks
        One a block.
    """

    labels: Column
    classes: Array
    counts: Array
    appearance: Array
    runs: list[BlockClassRanks]


class ClassAssignment(NamedTuple):
    """Sizes (n_classes, n_parts) of the parts of each class, shuffled where there is a ``seed``."""

    classes: Array
    sizes: Array
    seed: tuple[int, ...] | None = None

    def spans(self, run: BlockClassRanks) -> Iterator[Span]:
        """Yield the places, within their class, of a block's rows of each class."""
        for code, start, stop in zip(run.codes.tolist(), run.before.tolist(), run.stops.tolist(), strict=True):
            key = None if self.seed is None else key_of(*self.seed, code)
            yield RowAssignment(tuple(self.sizes[code].tolist()), key), start, stop


def count_classes(labels: Column, lengths: Sequence[int]) -> ClassCounts:
    """Count the classes of each block, in one pass over the labels.

    Raises
    ------
    DataError
        Where labels are missing, cannot be compared, or are too many to be classes.
    """
    tallies: list[BlockClasses] = compute_tasks(
        block_tasks(
            "daskml-tally",
            [partial(_count_block, name=labels.name, index=i, length=length) for i, length in enumerate(lengths)],
            labels.blocks,
        )
    )
    classes, codes = merge_labels([tally.labels for tally in tallies], labels.name)
    _require_classes(classes, labels.name, "")
    before, first, runs = np.zeros(len(classes), np.int64), np.full(len(classes), sum(lengths)), []
    for tally, present, start in zip(tallies, codes, np.cumsum([0, *lengths]), strict=False):
        runs.append(BlockClassRanks(present, tally.counts, before[present]))
        first[present] = np.minimum(first[present], start + tally.first)
        before[present] += tally.counts
    return ClassCounts(labels, classes, before, np.argsort(first), runs)


def assign_classes(counted: ClassCounts, sizes: Array, seed: tuple[int, ...] | None) -> IdColumn:
    """Return the ids of the rows of each class in parts of ``sizes`` (n_classes, n_parts).

    Ranks within a class run on from block to block, so a row's fold does not depend on how rows are blocked.
    """
    plan = dask.delayed(ClassAssignment(counted.classes, sizes, seed), traverse=False, pure=True)
    name, lengths = counted.labels.name, [int(run.counts.sum()) for run in counted.runs]
    ids = [partial(_ids, run, name, index) for index, run in enumerate(counted.runs)]
    counts = [partial(_counts, counted.runs[several]) for several in runs_of_blocks(lengths)]
    tasks = block_tasks("daskml-stratum", ids, counted.labels.blocks, shared=plan)
    return id_column(tasks, block_tasks("daskml-count", counts, shared=plan), lengths, sizes.shape[1])


def _count_block(part: Any, name: str, index: int, length: int) -> BlockClasses:
    codes, labels = encode(part, name, index, length)
    _require_classes(labels, name, f" in block {index}")
    first = np.empty(len(labels), np.int64)
    first[codes[::-1]] = np.arange(length)[::-1]  # the last to be written is the first row
    return BlockClasses(labels, np.bincount(codes, minlength=len(labels)), first)


def _ids(run: BlockClassRanks, name: str, index: int, part: Any, plan: ClassAssignment) -> Array:
    codes, labels = encode(part, name, index, int(run.counts.sum()))
    counts = np.bincount(codes, minlength=len(labels))
    if not (
        np.array_equal(label_codes(labels, plan.classes, name, index), run.codes) and np.array_equal(counts, run.counts)
    ):
        raise DataError(f"{name}: block {index} has other labels than when it was read before")
    ids = np.empty(len(codes), id_dtype(plan.sizes.shape[1]))
    order = np.argsort(codes.astype(np.uint16), kind="stable")  # 16 bits are sorted by radix, in linear time
    for rows, span in zip(np.split(order, np.cumsum(counts)[:-1]), plan.spans(run), strict=False):
        ids[rows] = RowAssignment.ids(*span)
    return ids


def _counts(runs: Sequence[BlockClassRanks], plan: ClassAssignment) -> Array:
    counts = np.zeros((len(runs), plan.sizes.shape[1]), np.int64)
    for total, run in zip(counts, runs, strict=True):
        for span in plan.spans(run):
            total += RowAssignment.counts(*span)
    return counts


def _require_classes(labels: Array, name: str, where: str) -> None:
    if len(labels) > MAX_CLASSES:
        raise DataError(
            f"{name}: expected classes, at most {MAX_CLASSES} distinct values, got {len(labels)}{where}; "
            "cut a continuous target into bins first"
        )


def deal_classes(counts: Array, n_folds: int) -> Array:
    """Return the rows of each class (n_classes, n_folds) when the sorted rows are dealt to the folds in turn.

    Parameters
    ----------
    counts : array of shape (n_classes,)
        Rows of each class, in the order in which the classes are dealt.
    n_folds : int

    Examples
    --------
    >>> deal_classes(np.array([3, 2]), 2)
    array([[2, 1],
           [1, 1]])
    """
    edges = np.concatenate([[0], np.cumsum(counts)])
    dealt_before = (edges[:, None] - np.arange(n_folds) + n_folds - 1) // n_folds
    return np.diff(dealt_before, axis=0)


def largest_remainder(counts: Array, n_drawn: int, rng: np.random.Generator) -> Array:
    """Return the rows of each class in a stratified draw of ``n_drawn``, by largest remainder, ties at random.

    Parameters
    ----------
    counts : array of shape (n_classes,)
    n_drawn : int
        At most the sum of ``counts``.
    rng : Generator

    Examples
    --------
    >>> largest_remainder(np.array([5, 2]), 4, np.random.default_rng(0))
    array([3, 1])
    """
    products = counts.astype(object) * n_drawn  # integers of any size: large data must not overflow
    total = int(counts.sum())
    whole, rest = (products // total).astype(np.int64), (products % total).astype(np.float64)
    most = np.lexsort((rng.random(len(counts)), -rest))
    whole[most[: n_drawn - int(whole.sum())]] += 1
    return whole


def balance_groups(sizes: Array, n_folds: int) -> Array:
    """Return the fold of each group: the largest group first, each to the fold that has the fewest rows.

    Examples
    --------
    >>> balance_groups(np.array([1, 5, 3, 2]), 2)
    array([0, 0, 1, 1])
    """
    folds = np.empty(len(sizes), np.int64)
    loads = [(0, fold) for fold in range(n_folds)]
    for group in np.argsort(sizes, kind="stable")[::-1]:
        rows, fold = loads[0]
        folds[group] = fold
        heapq.heapreplace(loads, (rows + int(sizes[group]), fold))
    return folds


def balance_classes(counts: Array, n_folds: int, order: Sequence[int] | Array) -> Array:
    """Return the fold of each group that balances the classes; groups with the most uneven classes are placed first.

    Each group goes to the fold where it leaves the least spread between the folds' proportions of the classes, and
    among equals to the fold with the fewest rows.

    Parameters
    ----------
    counts : array of shape (n_groups, n_classes)
        Rows of each class in each group.
    n_folds : int
    order : sequence of int
        Order in which equally uneven groups are placed.
    """
    counts = counts.astype(np.float64)
    totals, table = counts.sum(axis=0), np.zeros((n_folds, counts.shape[1]))
    folds, every = np.empty(len(counts), np.int64), np.arange(n_folds)
    order = np.asarray(order)
    for group in order[np.argsort(-np.std(counts[order], axis=1), kind="stable")]:
        tried = np.repeat(table[None], n_folds, axis=0)
        tried[every, every] += counts[group]
        spreads = np.std(tried / totals, axis=1).mean(axis=1)
        folds[group] = best = _least(spreads.tolist(), table.sum(axis=1).tolist())
        table[best] += counts[group]
    return folds


def _least(spreads: Sequence[float], rows: Sequence[float]) -> int:
    best = 0
    for fold in range(1, len(spreads)):
        close = abs(spreads[fold] - spreads[best]) <= 1e-8 + 1e-5 * abs(spreads[best])
        if spreads[fold] < spreads[best] or (close and rows[fold] < rows[best]):
            best = fold
    return best


def stratified_folds_in_memory(y: Any, n_rows: int, n_splits: int) -> Folds | None:
    """Return the folds of `sklearn.model_selection.StratifiedKFold` without shuffle.

    None where y is not one column of whole numbers, of as many rows, or some class has fewer rows than there are
    folds: scikit-learn knows what to say about it.

    Examples
    --------
    >>> stratified_folds_in_memory(np.array([7, 7, 7, 3, 3]), 5, 2).ids[0]
    array([0, 0, 1, 0, 1], dtype=int16)
    """
    if not (isinstance(y, np.ndarray) and y.shape == (n_rows,) and y.dtype.kind in "iub"):
        return None
    codes, labels = pd.factorize(y)  # in the order of appearance, in which scikit-learn deals the classes
    counts = np.bincount(codes, minlength=1)
    if len(labels) > MAX_CLASSES or counts.min() < n_splits:
        return None
    order = np.argsort(codes.astype(np.uint16), kind="stable")  # 16 bits are sorted by radix, in linear time
    sizes = deal_classes(counts, n_splits)
    parts = np.tile(np.arange(n_splits, dtype=id_dtype(n_splits)), len(labels))
    ids = np.empty(n_rows, parts.dtype)
    ids[order] = np.repeat(parts, sizes.ravel())
    return Folds((ids,), k_fold_splits(n_splits))

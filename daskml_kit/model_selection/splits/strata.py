"""Rows by class: each class is cut into folds by itself, so their shares of it are exact."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import dask
import numpy as np

from daskml_kit.engines.rows import Column
from daskml_kit.errors import DataError
from daskml_kit.model_selection.splits.cut import Cut, id_dtype
from daskml_kit.model_selection.splits.id_column import IdColumn, Span, id_column
from daskml_kit.model_selection.splits.labels import coded, found, united
from daskml_kit.model_selection.splits.tasks import answers, block_tasks, runs_of_blocks
from daskml_kit.numerics.permutation import key_of
from daskml_kit.typing import Array

MAX_CLASSES = 2**16


class Tally(NamedTuple):
    """The classes of a block, sorted, the rows each has, and the first of them in the block."""

    labels: Array
    counts: Array
    first: Array


class Run(NamedTuple):
    """Of a block: which classes it has, how many rows of each, and how many came in the blocks before."""

    codes: Array
    counts: Array
    before: Array


class Strata(NamedTuple):
    """The classes of all rows, from one pass over their labels.

    Parameters
    ----------
    labels : Column
    classes : array of shape (n_classes,)
        Sorted.
    counts : array of shape (n_classes,)
    appearance : array of shape (n_classes,)
        The classes' numbers in the order in which they first appear.
    runs : list of Run
        One a block.
    """

    labels: Column
    classes: Array
    counts: Array
    appearance: Array
    runs: list[Run]


class Plan(NamedTuple):
    """How the rows of each class are cut: the sizes (n_classes, n_parts), at random where there is a ``seed``."""

    classes: Array
    sizes: Array
    seed: tuple[int, ...] | None = None

    def span(self, code: int, start: int, stop: int) -> Span:
        key = None if self.seed is None else key_of(*self.seed, code)
        return Span(Cut(tuple(self.sizes[code].tolist()), key), start, stop)

    def spans(self, run: Run) -> list[Span]:
        """Return the places, within their class, of a block's rows of each class."""
        stops = run.before + run.counts
        return [self.span(*one) for one in zip(run.codes.tolist(), run.before.tolist(), stops.tolist(), strict=True)]


def read_strata(labels: Column, lengths: Sequence[int]) -> Strata:
    """Count the classes of each block, in one pass over the labels.

    Raises
    ------
    DataError
        Where labels are missing, cannot be compared, or are too many to be classes.
    """
    tallies: list[Tally] = answers(
        block_tasks(
            "daskml-tally",
            [partial(_tally, name=labels.name, index=i, length=length) for i, length in enumerate(lengths)],
            labels.blocks,
        )
    )
    classes, codes = united([tally.labels for tally in tallies], labels.name)
    _require_classes(classes, labels.name, "")
    before, first, runs = np.zeros(len(classes), np.int64), np.full(len(classes), sum(lengths)), []
    for tally, present, start in zip(tallies, codes, np.cumsum([0, *lengths]), strict=False):
        runs.append(Run(present, tally.counts, before[present]))
        first[present] = np.minimum(first[present], start + tally.first)
        before[present] += tally.counts
    return Strata(labels, classes, before, np.argsort(first), runs)


def by_class(strata: Strata, sizes: Array, seed: tuple[int, ...] | None) -> IdColumn:
    """Return the column in which the rows of each class are cut into parts of ``sizes`` (n_classes, n_parts).

    Ranks within a class run on from block to block, so a row's fold does not depend on how rows are blocked.
    """
    plan = dask.delayed(Plan(strata.classes, sizes, seed), traverse=False, pure=True)
    name, lengths = strata.labels.name, [int(run.counts.sum()) for run in strata.runs]
    ids = [partial(_ids, run, name, index) for index, run in enumerate(strata.runs)]
    counts = [partial(_counts, strata.runs[several]) for several in runs_of_blocks(lengths)]
    tasks = block_tasks("daskml-stratum", ids, strata.labels.blocks, shared=plan)
    return id_column(tasks, block_tasks("daskml-count", counts, shared=plan), lengths, sizes.shape[1])


def _tally(part: Any, name: str, index: int, length: int) -> Tally:
    codes, labels = coded(part, name, index, length)
    _require_classes(labels, name, f" in block {index}")
    first = np.empty(len(labels), np.int64)
    first[codes[::-1]] = np.arange(length)[::-1]  # the last to be written is the first row
    return Tally(labels, np.bincount(codes, minlength=len(labels)), first)


def _ids(run: Run, name: str, index: int, part: Any, plan: Plan) -> Array:
    codes, labels = coded(part, name, index, int(run.counts.sum()))
    counts = np.bincount(codes, minlength=len(labels))
    if not (np.array_equal(found(labels, plan.classes, name, index), run.codes) and np.array_equal(counts, run.counts)):
        raise DataError(f"{name}: block {index} has other labels than when it was read before")
    ids = np.empty(len(codes), id_dtype(plan.sizes.shape[1]))
    order = np.argsort(codes.astype(np.uint16), kind="stable")  # 16 bits are sorted by radix, in linear time
    for rows, span in zip(np.split(order, np.cumsum(counts)[:-1]), plan.spans(run), strict=False):
        ids[rows] = span.ids()
    return ids


def _counts(runs: Sequence[Run], plan: Plan) -> Array:
    counts = np.zeros((len(runs), plan.sizes.shape[1]), np.int64)
    for total, run in zip(counts, runs, strict=True):
        for span in plan.spans(run):
            total += span.counts()
    return counts


def _require_classes(labels: Array, name: str, where: str) -> None:
    if len(labels) > MAX_CLASSES:
        raise DataError(
            f"{name}: expected classes, at most {MAX_CLASSES} distinct values, got {len(labels)}{where}; "
            "cut a continuous target into bins first"
        )

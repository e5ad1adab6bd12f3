"""The folds of a cross-validation: an integer per row, never a copy of the rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Self

import dask.array as da
import numpy as np
from dask.delayed import Delayed

from daskml_kit.engines.blocks import is_dask
from daskml_kit.engines.pieces import take
from daskml_kit.engines.rows import Column, align_rows, check_lengths
from daskml_kit.model_selection.splits.id_column import IdColumn
from daskml_kit.model_selection.splits.selection import row_numbers, select
from daskml_kit.model_selection.splits.tasks import answers
from daskml_kit.typing import Array

TRAIN, TEST = 0, 1
"""The ids of the sides where a split has a column of its own; rows of neither side have the id after them."""


class Split(NamedTuple):
    """One split: rows are told by their ids in a column of `Folds`.

    Parameters
    ----------
    column : int
    train, test : tuple of int
    """

    column: int
    train: tuple[int, ...]
    test: tuple[int, ...]


class Folds(NamedTuple):
    """What a splitter makes of data: columns of ids, and which of them train and test in each split.

    Parameters
    ----------
    ids : tuple of arrays of shape (n_rows,), int16 or int32
        One a repetition: Dask arrays in the blocks of Dask data, NumPy arrays of data in memory.
    splits : list of Split
    counts : tuple of lists of Delayed
        For each Dask column the rows of each id in each block, as in `IdColumn`.

    Examples
    --------
    >>> from daskml_kit.model_selection import KFold
    >>> X = da.arange(6, chunks=4).reshape(6, 1)
    >>> folds = KFold(3).assign(X)
    >>> folds
    <Folds: 3 splits of 6 rows, 1 column of ids>
    >>> folds.ids[0].compute(), folds.splits[1]
    (array([0, 0, 1, 1, 2, 2], dtype=int16), Split(column=0, train=(0, 2), test=(1,)))
    >>> train, test = folds.take(1, X)
    >>> test.compute().ravel()
    array([2, 3])
    """

    ids: tuple[Any, ...]
    splits: list[Split]
    counts: tuple[list[Delayed], ...] = ()

    def __repr__(self) -> str:
        n_columns = len(self.ids)
        columns = f"{n_columns} column{'s' if n_columns > 1 else ''} of ids"
        return f"<Folds: {len(self.splits)} splits of {self.ids[0].shape[0]:,} rows, {columns}>"

    @classmethod
    def of_columns(cls, columns: Iterable[IdColumn], splits: list[Split]) -> Self:
        """Return the folds of lazy columns."""
        ids, counts = zip(*columns, strict=True)
        return cls(ids, splits, counts)

    def take(self, number: int, *collections: Any) -> list[Any]:
        """Return both sides of split ``number`` of each collection, as `train_test_split` does.

        Rows keep their order and their blocks; Dask in, lazy Dask out, with known chunk sizes.

        Parameters
        ----------
        number : int
        *collections : collections of as many rows as were split
        """
        split = self.splits[number]
        ids = self.ids[split.column]
        if not is_dask(ids) and not any(map(is_dask, collections)):
            return _taken_in_memory(ids, split, collections)
        names = {f"collection {i}": collection for i, collection in enumerate(collections)}
        rows = align_rows({"folds": ids, **names})
        if isinstance(ids, da.Array):
            return self.take_columns(number, rows.columns[1:])
        n_ids = max(split.train + split.test) + 1
        blocks = zip(rows.starts, rows.lengths, strict=True)
        counts = np.stack([np.bincount(ids[start : start + length], minlength=n_ids) for start, length in blocks])
        return _sides(split, rows.columns[1:], rows.columns[0].blocks, counts)

    def take_columns(self, number: int, columns: Sequence[Column]) -> list[Any]:
        """Return both sides of split ``number`` of columns that are in the blocks of the Dask ids."""
        split = self.splits[number]
        counts = np.concatenate(answers(self.counts[split.column]))
        return _sides(split, columns, _blocks(self.ids[split.column]), counts)

    def numbers(self) -> Iterator[tuple[da.Array, da.Array]]:
        """Yield the row numbers of both sides of each split of Dask data, int64, ascending."""
        counts = [np.concatenate(answers(tasks)) for tasks in self.counts]
        for split in self.splits:
            ids = self.ids[split.column]
            train, test = _sides(split, [row_numbers(ids.chunks[0])], _blocks(ids), counts[split.column])
            yield train, test


def _sides(split: Split, columns: Sequence[Column], ids: Sequence[Delayed], counts: Array) -> list[Any]:
    train, test = (select(columns, ids, counts, parts) for parts in (split.train, split.test))
    return [side for pair in zip(train, test, strict=True) for side in pair]


def _blocks(ids: da.Array) -> list[Delayed]:
    # optimised, a block of ids would hide the labels it reads, and whoever takes their rows would read them again
    return list(ids.to_delayed(optimize_graph=False))


def _taken_in_memory(ids: Array, split: Split, collections: Sequence[Any]) -> list[Any]:
    sides_of = [np.isin(ids, parts) for parts in (split.train, split.test)]
    parts = [part if hasattr(part, "shape") else np.asarray(part) for part in collections]
    check_lengths([f"collection {i}" for i in range(len(parts))], parts, 0, len(ids))
    return [take(part, rows) for part in parts for rows in sides_of]

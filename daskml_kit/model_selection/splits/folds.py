"""The folds of a cross-validation: an integer per row, never a copy of the rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import accumulate, pairwise
from typing import Any, NamedTuple, Self, TypeAlias

import dask
import dask.array as da
import numpy as np
from dask.base import tokenize
from dask.delayed import Delayed
from dask.highlevelgraph import HighLevelGraph

from daskml_kit.data.align import Column, align_rows, check_lengths, collect
from daskml_kit.data.collections import is_dask, n_rows, take
from daskml_kit.engines.open import find_client
from daskml_kit.numerics.permutation import Permutation
from daskml_kit.typing import Array
from daskml_kit.workers.connection import gather, in_task, release

MAX_INT16_IDS = 2**15


def id_dtype(n_parts: int) -> np.dtype[Any]:
    """Return the type of the numbers of so many parts."""
    return np.dtype(np.int16 if n_parts <= MAX_INT16_IDS else np.int32)


class RowAssignment(NamedTuple):
    """Assignment of the positions ``0 .. n - 1`` to parts of exact sizes, contiguous or in random order.

    Parameters
    ----------
    sizes : tuple of int
        Positions of each part.
    key : int, optional
        Seed of the random order in which the parts are filled; None is the given order.

    Examples
    --------
    >>> RowAssignment((2, 1)).ids(0, 3)
    array([0, 0, 1], dtype=int16)
    >>> RowAssignment((2, 1), key=5).counts(0, 3)
    array([2, 1])
    """

    sizes: tuple[int, ...]
    key: int | None = None

    def ids(self, start: int, stop: int) -> Array:
        """Return the number of the part of each of the positions ``start .. stop - 1``."""
        dtype = id_dtype(len(self.sizes))
        if self.key is None:
            return np.repeat(np.arange(len(self.sizes), dtype=dtype), self.counts(start, stop))
        places = Permutation(sum(self.sizes), self.key).places(start, stop)
        return np.searchsorted(list(accumulate(self.sizes)), places, side="right").astype(dtype)

    def counts(self, start: int, stop: int) -> Array:
        """Return how many of the positions ``start .. stop - 1`` each part has, int64."""
        if self.key is None:
            return np.diff(np.clip([0, *accumulate(self.sizes)], start, stop))
        return np.bincount(self.ids(start, stop), minlength=len(self.sizes))


def fold_sizes(n: int, n_parts: int) -> tuple[int, ...]:
    """Return the sizes of parts of n places, the first ones larger by one where they cannot be equal.

    Examples
    --------
    >>> fold_sizes(7, 3)
    (3, 2, 2)
    """
    return tuple(n // n_parts + (part < n % n_parts) for part in range(n_parts))


RUN_ROWS = 2**20


def block_tasks(
    name: str, functions: Sequence[Callable[..., Any]], *columns: Sequence[Delayed], shared: Delayed | None = None
) -> list[Delayed]:
    """Return for each block its function of its part of each column, and of what is ``shared``, in one layer.

    Parameters
    ----------
    name : str
        The prefix of the keys.
    functions : sequence of callables
        One a block; what is bound to them travels with the task, so it should be small.
    columns : sequences of Delayed
        Each with one a block.
    shared : Delayed, optional
        The last argument of all: it is in the graph once.

    Examples
    --------
    >>> words = [dask.delayed("a"), dask.delayed("b")]
    >>> dask.compute(block_tasks("upper", [str.upper, str.upper], words))
    (['A', 'B'],)
    """
    parts = [*zip(*columns, strict=True)] if columns else [() for _ in functions]
    last = () if shared is None else (shared,)
    inputs = [(*part, *last) for part in parts]
    name = f"{name}-{tokenize(functions, [[d.key for d in row] for row in inputs])}"
    layer = {
        (name, i): (function, *(d.key for d in row))
        for i, (function, row) in enumerate(zip(functions, inputs, strict=True))
    }
    needed = {d.key: d for row in inputs for d in row}
    graph = HighLevelGraph.from_collections(name, layer, dependencies=list(needed.values()))
    return [Delayed(key, graph, layer=name) for key in layer]


def runs_of_blocks(lengths: Sequence[int]) -> list[slice]:
    """Return runs of blocks of about `RUN_ROWS` rows: work that reads no data needs no task for each small block.

    Examples
    --------
    >>> runs_of_blocks([10, 600_000, 600_000, 10])
    [slice(0, 2, None), slice(2, 4, None)]
    """
    run = np.maximum(np.cumsum(lengths) - 1, 0) // RUN_ROWS
    edges = [0, *(np.flatnonzero(np.diff(run)) + 1).tolist(), len(lengths)]
    return [slice(start, stop) for start, stop in pairwise(edges)]


def compute_tasks(tasks: Sequence[Delayed]) -> list[Any]:
    """Compute the tasks together.

    Raises
    ------
    AsynchronousClientError
        Under an asynchronous client.
    """
    client = find_client()  # refuses an asynchronous one, which would return before the tasks are done
    if client is None or in_task():
        return list(dask.compute(*tasks))
    futures = client.compute(list(tasks))
    results = gather(client, futures)  # hedged, which Dask's own is not
    release(futures)
    return results


class IdColumn(NamedTuple):
    """Lazy ids in the blocks of the rows, and the rows of each id in each block.

    Parameters
    ----------
    ids : Dask array of shape (n_rows,), int16 or int32
    counts : list of Delayed
        Of runs of blocks, in order: arrays of shape (n_blocks_of_run, n_ids).
    """

    ids: da.Array
    counts: list[Delayed]


Span: TypeAlias = tuple[RowAssignment, int, int]
"""The positions ``start .. stop - 1`` of an assignment: those of the rows of a block."""


def id_column(tasks: Sequence[Delayed], counts: list[Delayed], lengths: Sequence[int], n_ids: int) -> IdColumn:
    """Return the column whose blocks are the ``tasks``."""
    meta, keys = np.empty(0, id_dtype(n_ids)), [task.key for task in tasks]
    return IdColumn(collect(meta, tasks[0].dask, keys, lengths, "daskml-folds"), counts)


def assign_rows(assignment: RowAssignment, lengths: Sequence[int]) -> IdColumn:
    """Return the ids of rows whose positions are their row numbers: no data is read."""
    return assign_blocks([(assignment, start, stop) for start, stop in pairwise(accumulate(lengths, initial=0))])


def assign_blocks(spans: Sequence[Span]) -> IdColumn:
    """Return the ids of blocks that have these positions of these assignments."""
    tasks = block_tasks("daskml-fold-ids", [partial(RowAssignment.ids, *span) for span in spans])
    lengths = [stop - start for _, start, stop in spans]
    counts = block_tasks("daskml-count", [partial(_counts, spans[run]) for run in runs_of_blocks(lengths)])
    return id_column(tasks, counts, lengths, len(spans[0][0].sizes))


def _counts(spans: Sequence[Span]) -> Array:
    return np.stack([RowAssignment.counts(*span) for span in spans])


def select_rows(columns: Sequence[Column], ids: Sequence[Delayed], counts: Array, parts: Sequence[int]) -> list[Any]:
    """Return of each column its rows whose id is one of ``parts``, as a lazy collection.

    The rows of a block are found once for all columns; blocks without any are left out.

    Parameters
    ----------
    columns : sequence of Column
        In the blocks of the ids.
    ids : sequence of Delayed
        The ids of the rows of each block.
    counts : array of shape (n_blocks, n_ids)
    parts : sequence of int
    """
    lengths, chosen = counts.sum(axis=1).tolist(), counts[:, list(parts)].sum(axis=1).tolist()
    kept = [i for i, rows in enumerate(chosen) if rows] or [0]
    rows = block_tasks("daskml-rows", [partial(_rows_of, parts=tuple(parts))] * len(kept), [ids[i] for i in kept])
    selected = []
    for column in columns:
        takers = [partial(_take_rows, name=column.name, index=i, length=lengths[i]) for i in kept]
        tasks = block_tasks("daskml-take", takers, [column.blocks[i] for i in kept], rows)
        keys = [task.key for task in tasks]
        selected.append(collect(column.meta, tasks[0].dask, keys, [chosen[i] for i in kept], "daskml-split"))
    return selected


def row_numbers(lengths: Sequence[int]) -> Column:
    """Return the numbers of all rows, int64, as a column."""
    spans = [partial(np.arange, stop - length, stop) for length, stop in zip(lengths, accumulate(lengths), strict=True)]
    return Column("rows", np.empty(0, np.int64), block_tasks("daskml-numbers", spans))


def _rows_of(ids: Array, parts: Sequence[int]) -> Array:
    return np.flatnonzero(np.isin(ids, parts))


def _take_rows(part: Any, rows: Array, name: str, index: int, length: int) -> Any:
    check_lengths([name], [part], index, length)
    return part if len(rows) == n_rows(part) else take(part, rows)


TRAIN, TEST = 0, 1
"""The ids of training and test rows where a split has a column of its own; rows of neither have the id after them."""


class Split(NamedTuple):
    """One split: rows are told by their ids in a column of `Folds`.

    Parameters
    ----------
    column : int
        Position of the column among ``Folds.ids``.
    train, test : tuple of int
        Ids of the training and test rows.

    See Also
    --------
    Folds : Columns of ids and splits.

    Examples
    --------
    >>> Split(0, train=(0, 2), test=(1,)).test
    (1,)
    """

    column: int
    train: tuple[int, ...]
    test: tuple[int, ...]


class Folds(NamedTuple):
    """Folds of data: columns of ids, and the ids that train and test in each split.

    Parameters
    ----------
    ids : tuple of arrays of shape (n_rows,), int16 or int32
        One a repetition: Dask arrays in the blocks of Dask data, NumPy arrays of data in memory.
    splits : list of Split
    counts : tuple of lists of Delayed
        For each Dask column the rows of each id in each block, as in `IdColumn`.
    orders : tuple of (train, test) or None
        In memory, the row numbers of the splits that do not list them in ascending order.

    See Also
    --------
    KFold : One of the splitters, whose ``assign`` gives folds.

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
    orders: tuple[tuple[Array, Array] | None, ...] = ()

    def __repr__(self) -> str:
        n_columns = len(self.ids)
        columns = f"{n_columns} column{'s' if n_columns > 1 else ''} of ids"
        return f"<Folds: {len(self.splits)} splits of {self.ids[0].shape[0]:,} rows, {columns}>"

    @classmethod
    def of_columns(cls, columns: Iterable[IdColumn], splits: list[Split] | None = None) -> Self:
        """Make the folds of lazy columns.

        Parameters
        ----------
        columns : iterable of IdColumn
            One a repetition.
        splits : list of Split, optional
            By default one a column.

        Returns
        -------
        Folds
            In the blocks of the columns.
        """
        ids, counts = zip(*columns, strict=True)
        return cls(ids, splits or [Split(column, (TRAIN,), (TEST,)) for column in range(len(ids))], counts)

    def take(self, number: int, *collections: Any) -> list[Any]:
        """Return training and test rows of split ``number`` of each collection, as `train_test_split` does.

        Rows keep their order and their blocks; Dask in, lazy Dask out, with known chunk sizes.

        Parameters
        ----------
        number : int
        *collections : collections of as many rows as were split

        Returns
        -------
        list
            Training rows and test rows of the first collection, of the second, ...
        """
        split = self.splits[number]
        ids = self.ids[split.column]
        if not is_dask(ids) and not any(map(is_dask, collections)):
            check_lengths([f"collection {i}" for i in range(len(collections))], collections, 0, len(ids))
            sides = self.row_numbers(number)
            return [take(part, rows) for part in collections for rows in sides]
        names = {f"collection {i}": collection for i, collection in enumerate(collections)}
        rows = align_rows({"folds": ids, **names})
        if isinstance(ids, da.Array):
            return self.take_columns(number, rows.columns[1:])
        n_ids = max(int(ids.max(initial=0)), *split.train, *split.test) + 1  # some blocks lack rows of neither side
        blocks = zip(rows.starts, rows.lengths, strict=True)
        counts = np.stack([np.bincount(ids[start : start + length], minlength=n_ids) for start, length in blocks])
        return _train_test(split, rows.columns[1:], rows.columns[0].blocks, counts)

    def take_columns(self, number: int, columns: Sequence[Column]) -> list[Any]:
        """Return training and test rows of a split, of columns that are in the blocks of the Dask ids.

        Parameters
        ----------
        number : int
            Number of the split.
        columns : sequence of Column

        Returns
        -------
        list of Dask collections
            Training rows and test rows of the first column, of the second, ...
        """
        split = self.splits[number]
        counts = np.concatenate(compute_tasks(self.counts[split.column]))
        return _train_test(split, columns, _blocks(self.ids[split.column]), counts)

    def row_numbers(self, number: int) -> tuple[Array, Array]:
        """Return the training and test row numbers of a split of ids in memory, in the splitter's order.

        Parameters
        ----------
        number : int
            Number of the split.

        Returns
        -------
        train, test : array of int
            Row numbers.
        """
        if self.orders and self.orders[number] is not None:
            return self.orders[number]  # type: ignore[return-value]
        split = self.splits[number]
        train, test = (np.flatnonzero(np.isin(self.ids[split.column], ids)) for ids in (split.train, split.test))
        return train, test

    def numbers(self) -> Iterator[tuple[Any, Any]]:
        """Yield the training and test row numbers of each split.

        Yields
        ------
        train, test : array or Dask array of int64
            Of Dask data lazy and ascending.
        """
        if not self.counts:
            yield from map(self.row_numbers, range(len(self.splits)))
            return
        counts = [np.concatenate(compute_tasks(tasks)) for tasks in self.counts]
        for split in self.splits:
            ids = self.ids[split.column]
            train, test = _train_test(split, [row_numbers(ids.chunks[0])], _blocks(ids), counts[split.column])
            yield train, test


def _train_test(split: Split, columns: Sequence[Column], ids: Sequence[Delayed], counts: Array) -> list[Any]:
    train, test = (select_rows(columns, ids, counts, parts) for parts in (split.train, split.test))
    return [side for pair in zip(train, test, strict=True) for side in pair]


def _blocks(ids: da.Array) -> list[Delayed]:
    # optimized, a block of ids would hide the labels it reads, and whoever takes their rows would read them again
    return list(ids.to_delayed(optimize_graph=False))


def labels_of(y: Any) -> Any:
    """Return the distinct labels, sorted.

    Examples
    --------
    >>> labels_of(np.array(["b", "a", "b"])).tolist()
    ['a', 'b']
    """
    if y is None:
        raise ValueError("y: expected the labels of a classifier, got None")
    if not is_dask(y):
        return np.unique(y)
    (column,) = align_rows({"y": y}).columns
    return np.unique(np.concatenate(compute_tasks([dask.delayed(np.unique)(block) for block in column.blocks])))


def k_fold_splits(n_splits: int, n_repeats: int = 1) -> list[Split]:
    """Return the splits that test each id of each column, and train on the others."""
    return [
        Split(repeat, tuple(other for other in range(n_splits) if other != fold), (fold,))
        for repeat in range(n_repeats)
        for fold in range(n_splits)
    ]

"""Any input becomes aligned row blocks."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import dask
import dask.array as da
import dask.bag as db
import dask.dataframe as dd
import numpy as np
import pandas as pd
import psutil
import scipy.sparse as sp
from dask.array.utils import meta_from_array
from dask.optimization import cull
from distributed import Client

from daskml_kit.data.block import Block, Run, as_block
from daskml_kit.data.coded import below_each_other, codes_of
from daskml_kit.exceptions import DataError
from daskml_kit.numerics.csr import row_slice, with_codes
from daskml_kit.typing import Array


def workers_of(client: Client) -> Mapping[str, Any]:
    """Return what the scheduler knows of each worker, by its address.

    `Client.scheduler_info` returns what was last heard of the scheduler, which may be the answer to the client's own
    regular question, which asks for no workers: that lacks them, and another one is waited for.

    Parameters
    ----------
    client : distributed.Client
        A synchronous client.

    Returns
    -------
    mapping of str to dict
        With the keys "last_seen", "memory_limit", "nthreads", "metrics", ...
    """
    while True:
        info = client.scheduler_info(n_workers=-1)
        workers: Mapping[str, Any] = info.get("workers", {})
        if len(workers) == info.get("n_workers", len(workers)) or client.status != "running":
            return workers


def take(part: Any, rows: Array) -> Any:
    """Return the rows of ``part`` at the positions ``rows``, or where a mask is true.

    Examples
    --------
    >>> take(np.arange(4) * 10, np.array([3, 0]))
    array([30,  0])
    """
    if isinstance(part, (list, tuple)):
        return [part[i] for i in (np.flatnonzero(rows) if rows.dtype == bool else rows).tolist()]
    if isinstance(part, pd.Index) or hasattr(part, "iloc"):
        return part.take(np.flatnonzero(rows) if rows.dtype == bool else rows)
    if sp.issparse(part) or rows.dtype == bool:
        return part[rows]
    return np.take(part, rows, axis=0)


def cut(part: Any, start: int, stop: int) -> Any:
    """Return the rows ``start .. stop - 1`` of ``part``, a view where that is possible."""
    return part.iloc[start:stop] if isinstance(part, (pd.DataFrame, pd.Series)) else part[start:stop]


def join(parts: Sequence[Any]) -> Any:
    """Return the rows of ``parts`` below each other; categories that differ are united.

    Examples
    --------
    >>> join([np.array([1, 2]), np.array([3])])
    array([1, 2, 3])
    """
    first = parts[0]
    if isinstance(first, pd.DataFrame):
        return pd.concat(_with_same_categories(parts)) if len(parts) > 1 else first
    if isinstance(first, pd.Series):
        if isinstance(first.dtype, pd.CategoricalDtype):
            return join([part.to_frame() for part in parts]).iloc[:, 0]
        return pd.concat(list(parts)) if len(parts) > 1 else first
    if isinstance(first, list):
        return [row for part in parts for row in part]
    own = [codes_of(part) for part in parts]
    if all(codes is not None and np.array_equal(codes.spans, own[0].spans) for codes in own):
        return below_each_other(own)
    if sp.issparse(first):
        return sp.vstack(parts, format="csr") if len(parts) > 1 else first
    return np.concatenate(parts) if len(parts) > 1 else first


def n_rows(part: Any) -> int:
    return int(part.shape[0]) if hasattr(part, "shape") else len(part)


def _with_same_categories(frames: Sequence[pd.DataFrame]) -> Sequence[pd.DataFrame]:
    positions = [i for i, dtype in enumerate(frames[0].dtypes) if isinstance(dtype, pd.CategoricalDtype)]
    changed = [frame.copy(deep=False) for frame in frames] if positions else list(frames)
    for position in positions:
        columns = [frame.iloc[:, position] for frame in frames]
        if all(column.dtype == columns[0].dtype for column in columns):
            continue
        united = pd.api.types.union_categoricals(columns).categories
        for frame, column in zip(changed, columns, strict=True):
            frame.isetitem(position, column.cat.set_categories(united))
    return changed


FIT_FRACTION = 0.5
"""Data up to this share of the free memory is persisted; larger data streams from its graph in each pass."""


def fits(client: Client | None, n_bytes: float) -> bool:
    """Return whether so many bytes may be held in the free memory of the cluster, or of this machine."""
    return n_bytes <= FIT_FRACTION * free_memory(client)


def free_memory(client: Client | None) -> float:
    """Return the bytes that are free on all workers together, or without a client here."""
    if client is None:
        return float(psutil.virtual_memory().available)
    workers = workers_of(client).values()
    free = (max(w["memory_limit"] - w["metrics"]["memory"], 0) if w["memory_limit"] else np.inf for w in workers)
    return float(sum(free))


def array_bytes(array: da.Array) -> float:
    """Return the size of ``array``; where its blocks do not tell, that of the first with rows times their number."""
    if not has_unknown(array) and not sp.issparse(meta_from_array(array)):
        return float(array.nbytes)
    return blocks_bytes(np.ravel(array.to_delayed()))


def blocks_bytes(blocks: Iterable[Any]) -> float:
    """Return the size of the first of the delayed ``blocks`` that has any, times their number."""
    every = list(blocks)
    for block in every:
        (size,) = dask.compute(dask.delayed(size_of)(block))
        if size:
            return float(size) * len(every)
    return 0.0


def size_of(block: Any) -> int:
    """Return the bytes of a data frame, an array or a CSR matrix.

    Examples
    --------
    >>> size_of(np.zeros(3)), size_of(sp.csr_array((2, 2)))
    (24, 0)
    """
    if hasattr(block, "memory_usage"):
        return int(np.sum(block.memory_usage(deep=True))) if len(block) else 0
    if (own := codes_of(block)) is not None:
        return int(own.codes.nbytes + own.dense.nbytes)
    if sp.issparse(block):
        return int(block.data.nbytes + block.indices.nbytes)
    return int(block.nbytes)


PARTS = ("X", "y", "sample_weight", "fold")
"""What a block is made of, in the order of `as_block`."""
BLOCK_BYTES = 4 * 2**20
MAX_BLOCKS = 64
WIDE_BLOCKS, NUMBERS_A_COLUMN = 4, 3
"""More blocks than so many of a sparse matrix hold so many numbers a column: a partial answer is as long as a row."""


class Place(NamedTuple):
    """The position of a block, the width that its X must have, and the caller's blocks that it was merged from.

    A block without width is a raw one: X is a frame or an array of any values, and is not checked. ``n_rows`` is known
    of dense blocks whose collection says how long they are.
    """

    index: int  # type: ignore[assignment]  # as in Block
    n_features: int | None = None
    run: Run | None = None
    n_rows: int | None = None

    def block(self, parts: Iterable[Any]) -> Block:
        """Return the checked block of ``parts``, which are X, y, the weights and the fold."""
        if self.n_features is None:
            return Block(next(iter(parts)), index=self.index)
        return as_block(*parts, index=self.index, n_features=self.n_features, run=self.run)


class Lazy(NamedTuple):
    """A block that its graph computes each time it is loaded."""

    graph: Mapping[Any, Any]
    keys: tuple[Any, ...]
    place: Place

    def load(self) -> Block:
        present = [key for key in self.keys if key is not None]
        found = iter(dask.get(self.graph, present))  # in one run, which reads what the parts share once
        return self.place.block(None if key is None else next(found) for key in self.keys)


def as_partitioned() -> AbstractContextManager[Any]:
    """Cut data frames into blocks by their partitions while open, even where few columns of them are read.

    By default Dask joins partitions of files of which it reads few columns, so that features and targets of the same
    files would be blocks of other rows, and their lengths would have to be counted by reading all.
    """
    setting: AbstractContextManager[Any] = dask.config.set({"optimization.tune.active": False})
    return setting


def is_dask(value: object) -> bool:
    return isinstance(value, (da.Array, dd.DataFrame, dd.Series))


def n_features_of(X: Any) -> int:
    """Return the number of columns of any accepted X."""
    shape = X.shape if hasattr(X, "shape") else np.shape(X)
    if len(shape) != 2:
        raise DataError(f"X: expected a 2-dimensional array, got {len(shape)} dimension(s); reshape your data")
    return int(shape[1])


def memory_blocks(X: Any, y: Array | None, weight: Array | None, fold: Array | None = None) -> list[Block]:
    """Cut arrays in memory into views of rows; where they are cut depends on their size alone."""
    n_rows, size = X.shape[0], X.data.nbytes if sp.issparse(X) else X.nbytes
    n_blocks = int(min(max(size // BLOCK_BYTES, 1), MAX_BLOCKS, max(n_rows, 1)))
    if sp.issparse(X):
        most = int(max(size // (8 * NUMBERS_A_COLUMN * max(X.shape[1], 1)), WIDE_BLOCKS))
        n_blocks = min(n_blocks, 1 << most.bit_length() - 1)
        (X,) = with_codes([X])
    edges = np.linspace(0, n_rows, n_blocks + 1).astype(int)
    cuts = [slice(a, b) for a, b in itertools.pairwise(edges)]
    rows_of = row_slice if sp.issparse(X) and X.format == "csr" else operator.getitem  # SciPy's would copy the numbers
    parts = (y, weight, fold)
    return [
        as_block(rows_of(X, cut), *(None if part is None else part[cut] for part in parts), index=i)
        for i, cut in enumerate(cuts)
    ]


def dask_matrix(X: Any) -> da.Array:
    """Return X as a Dask array whose blocks hold whole rows.

    Raises
    ------
    DataError
        Where a column is not numeric.
    """
    if isinstance(X, dd.DataFrame):
        wrong = [str(name) for name, dtype in X.dtypes.items() if not pd.api.types.is_numeric_dtype(dtype)]
        if wrong:
            kinds = ", ".join(f"{name!r} ({X.dtypes[name]})" for name in wrong)
            raise DataError(
                f"X: expected numeric columns, got {kinds}; encode them first, for instance by OneHotEncoder"
            )
        single = all(dtype == np.float32 for dtype in X.dtypes)
        dtype = np.dtype(np.float32 if single else np.float64)
        with as_partitioned():
            return X.map_partitions(_frame_to_array, dtype, meta=np.empty((0, len(X.columns)), dtype))
    if not isinstance(X, da.Array):
        raise DataError(f"X: expected a Dask array or DataFrame beside Dask targets, got {type(X).__name__}")
    if X.ndim != 2:
        raise DataError(f"X: expected a 2-dimensional array, got {X.ndim} dimension(s); reshape your data")
    if X.dtype.kind == "c":
        raise DataError(f"X: Complex data not supported, got dtype {X.dtype}")
    return X.rechunk({1: -1}) if X.numblocks[1] > 1 else X


def dask_vector(values: Any, name: str) -> da.Array:
    """Return targets or weights as a Dask array; a 2-dimensional one keeps its columns together."""
    if isinstance(values, dd.DataFrame) and len(values.columns) == 1:
        values = values[values.columns[0]]
    if isinstance(values, dd.Series):
        plain = values.dtype if isinstance(values.dtype, np.dtype) else np.float64  # nullable: as scikit-learn
        numeric = pd.api.types.is_numeric_dtype(values.dtype) or pd.api.types.is_bool_dtype(values.dtype)
        dtype = np.dtype(plain if numeric else object)
        with as_partitioned():
            return values.map_partitions(_series_to_array, dtype, meta=np.empty(0, dtype))
    if isinstance(values, dd.DataFrame):
        return dask_matrix(values)
    if not isinstance(values, da.Array):
        raise DataError(f"{name}: expected a Dask array or Series, got {type(values).__name__}")
    return values.rechunk({1: -1}) if values.ndim == 2 and values.numblocks[1] > 1 else values


def align(arrays: Mapping[str, da.Array | Array], *, trust: bool) -> dict[str, da.Array]:
    """Return the arrays cut into the rows of the first, X.

    Where sizes are unknown they are computed, unless ``trust`` says to take blocks of equal number as aligned: then
    `as_block` finds the block where they are not.

    Raises
    ------
    DataError
        Where lengths differ; it names the first block that does.
    """
    names = list(arrays)
    X: Any = arrays["X"]
    lazy = {name: array for name, array in arrays.items() if isinstance(array, da.Array)}
    alike = len(lazy) == len(names) and len({len(array.chunks[0]) for array in lazy.values()}) == 1
    taken = trust and alike and all(a.chunks[0] == X.chunks[0] or has_unknown(a) for a in lazy.values())
    if len(names) == 1 or taken:
        return lazy
    X = with_lengths(X)
    aligned = {"X": X}
    for name in names[1:]:
        array = arrays[name]
        if not isinstance(array, da.Array):
            check_total(name, X.chunks[0], (len(array),))
            aligned[name] = da.from_array(array, chunks=(X.chunks[0], *array.shape[1:]))
            continue
        array = with_lengths(array)
        check_total(name, X.chunks[0], array.chunks[0])
        aligned[name] = array if array.chunks[0] == X.chunks[0] else array.rechunk({0: X.chunks[0]})
    return aligned


def has_unknown(array: da.Array) -> bool:
    return bool(np.isnan(array.chunks[0]).any())


def with_lengths(array: da.Array) -> da.Array:
    """Return ``array`` with known block lengths; the caller's own object is left as it is."""
    if not has_unknown(array):
        return array
    known = array.copy()
    known.compute_chunk_sizes()
    return known


def lazy_blocks(columns: Mapping[str, Sequence[Any]], graph: Mapping[Any, Any], places: Sequence[Place]) -> list[Lazy]:
    """Return blocks that are computed at each use, each with the part of the graph that it needs.

    The graph is not optimized: that would fuse what X and the targets share, such as a file, into each of them.

    Parameters
    ----------
    columns : mapping
        The keys of each part's blocks.
    graph : mapping
    places : sequence of Place
    """
    blocks = []
    for keys, place in zip(rows_of(columns), places, strict=True):
        part, _ = cull(graph, [key for key in keys if key is not None])
        blocks.append(Lazy(part, keys, place))
    return blocks


def rows_of(columns: Mapping[str, Sequence[Any]]) -> list[tuple[Any, ...]]:
    """Return the parts of each block in the order of `PARTS`, None where the data has no such part."""
    empty = [None] * len(columns["X"])
    return list(zip(*(columns.get(name, empty) for name in PARTS), strict=True))


def graphs_overlap(blocks: Sequence[Lazy]) -> bool:
    """Return whether loading blocks one by one would compute much of the graph anew for each, as after a shuffle."""
    alone = sum(len(block.graph) for block in blocks)
    together = len({key for block in blocks for key in block.graph})
    return alone > 3 * together + len(blocks)


def block_keys(array: da.Array) -> list[Any]:
    """Return the keys of the row blocks of ``array``, in order."""
    keys = array.__dask_keys__()
    return [key[0] for key in keys] if array.ndim == 2 else list(keys)


def check_total(name: str, expected: Sequence[int], got: Sequence[int], like: str = "X") -> None:
    """Raise a `DataError` where blocks of ``name`` have other rows in all than those of ``like``."""
    if sum(expected) == sum(got):
        return
    where = ""
    if len(expected) == len(got):
        block = next(i for i, (a, b) in enumerate(zip(expected, got, strict=True)) if a != b)
        where = (
            f"; the first block that differs is block {block}: {expected[block]} rows in {like}, {got[block]} in {name}"
        )
    raise DataError(
        f"{name}: Found input variables with inconsistent numbers of samples: "
        f"expected {sum(expected)} rows as in {like}, got {sum(got)}{where}"
    )


def _frame_to_array(frame: pd.DataFrame, dtype: np.dtype[Any]) -> Array:
    return np.asarray(frame.to_numpy(dtype=dtype, na_value=np.nan) if len(frame.columns) else np.empty((len(frame), 0)))


def _series_to_array(series: pd.Series[Any], dtype: np.dtype[Any]) -> Array:
    missing = {} if isinstance(series.dtype, np.dtype) or dtype.kind == "O" else {"na_value": np.nan}
    return np.asarray(series.to_numpy(dtype=dtype, **missing))


def holds_documents(X: object) -> bool:
    """Return whether X is a Dask collection, of which a Bag is one of documents only."""
    return is_dask(X) or isinstance(X, db.Bag)


def documents_of(X: Any, name: str) -> da.Array:
    """Return a Dask collection of documents as an array of one dimension, whose blocks are those of the collection.

    Raises
    ------
    DataError
        Where it has columns; the message has the argument's ``name``.

    Examples
    --------
    >>> documents_of(db.from_sequence(["one", "two"], npartitions=2), "X").compute()
    array(['one', 'two'], dtype=object)
    """
    if isinstance(X, db.Bag):
        parts = X.map_partitions(_objects)  # whose keys are as those of an array; by way of Delayed, futures get lost
        return da.Array(parts.__dask_graph__(), parts.name, ((np.nan,) * parts.npartitions,), dtype=object)
    if isinstance(X, dd.DataFrame) or X.ndim != 1:
        raise DataError(
            f"{name}: expected documents in one dimension, as a Series, Bag or array of them, got {_described(X)}; "
            "pick the column"
        )
    return dask_vector(X, name)


def without_bag(X: Any) -> Any:
    """Return a Bag as an array of documents, and all else as it is."""
    return documents_of(X, "X") if isinstance(X, db.Bag) else X


def in_memory_documents(X: Any) -> Any:
    """Return documents in memory as scikit-learn takes them: Arrow's arrays as lists, all else as it is."""
    return X.to_pylist() if hasattr(X, "to_pylist") else X


def _described(X: Any) -> str:
    return f"a DataFrame with the columns {list(X.columns)}" if hasattr(X, "columns") else f"{X.ndim} dimensions"


def _objects(items: Any) -> Array:
    """Return the items of a partition of a Bag as an array of one dimension, also where they are sequences."""
    listed = list(items)
    array = np.empty(len(listed), dtype=object)
    array[:] = listed
    return array

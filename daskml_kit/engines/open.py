"""Open the engine that suits the data: where it lies, and how large it is."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
from dask.array.utils import meta_from_array
from distributed import Client, Future, futures_of, get_client, get_worker, rejoin, secede, wait

from daskml_kit.data.block import Block, as_block
from daskml_kit.data.collections import (
    PARTS,
    align,
    block_keys,
    dask_matrix,
    dask_vector,
    graphs_overlap,
    is_dask,
    lazy_blocks,
    memory_blocks,
)
from daskml_kit.data.memory import array_bytes, blocks_bytes, fits
from daskml_kit.engines.checkpoint import Transcript, fingerprint_of
from daskml_kit.engines.cluster import FuturesEngine, Remote
from daskml_kit.engines.engine import Engine, LocalEngine
from daskml_kit.engines.runtime import computing
from daskml_kit.exceptions import AsynchronousClientError, DataError
from daskml_kit.reductions.frames import Delegate
from daskml_kit.reductions.reduction import Node, Reduction, reduce_nodes
from daskml_kit.typing import Array

LOCAL_BYTES = 16 * 2**20
"""Data up to this size is fetched and fitted here: a round trip to a cluster costs more than its passes."""
LOCAL_SCHEDULERS = ("threads", "threading", "sync", "synchronous", "single-threaded", "processes")


@contextmanager
def open_engine(
    X: Any,
    y: Any = None,
    sample_weight: Any = None,
    *,
    n_jobs: int | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    setting: object = None,
    fold: Any = None,
) -> Iterator[Engine]:
    """Open an engine over the aligned row blocks of the data, and close it in the end.

    Parameters
    ----------
    X : Dask array or DataFrame, NumPy array or CSR matrix
        NumPy and CSR are taken as checked.
    y, sample_weight : array, Dask array or Series, optional
    n_jobs : int, optional
        Threads of a local engine; by default one a processor, inside a Dask task one.
    checkpoint : path, optional
        A folder where the answers are written down, and from where those of an interrupted fit are taken.
    setting : object, optional
        What the answers depend on beside the data: a checkpoint of another setting is refused.
    fold : array or Dask array of shape (n_samples, n_columns), optional
        The ids by which a cross-validation tells the rows.

    Raises
    ------
    AsynchronousClientError
        Under an asynchronous client.
    DataError
        Where the parts do not fit together.
    """
    inside = in_task()
    client = find_client() if is_dask(X) else None
    if inside and client is not None:
        secede()  # else this task would hold the thread that its own passes need
    try:
        with _open(client, X, y, sample_weight, fold, _threads(n_jobs, inside)) as engine:
            if checkpoint is None:
                yield engine
            else:
                with Transcript(engine, checkpoint, fingerprint_of(X, y, sample_weight, setting)) as transcript:
                    yield transcript
    finally:
        if inside and client is not None:
            rejoin()


def find_client() -> Client | None:
    """Return the synchronous client of this thread, or of this task's worker.

    None without a cluster, or where ``dask.config`` names a scheduler of this process.
    """
    if dask.config.get("scheduler", None) in LOCAL_SCHEDULERS:
        return None
    try:
        client = get_client()
    except ValueError:
        return None
    if client.asynchronous:
        raise AsynchronousClientError(
            "fit, score and metrics are synchronous, and the current Dask client is asynchronous: they would wait "
            "for ever: use Client(..., asynchronous=False), or call them in a thread by `await asyncio.to_thread(...)` "
            "under a synchronous client"
        )
    return client


def _open(client: Client | None, X: Any, y: Any, weight: Any, fold: Any, n_threads: int | None) -> Engine:
    if is_dask(X):
        return _open_dask(client, X, y, weight, fold, n_threads)
    y, weight = dask.compute(y, weight)
    return LocalEngine(memory_blocks(X, _memory(y), _memory(weight), fold), n_threads)


def _open_dask(client: Client | None, X: Any, y: Any, weight: Any, fold: Any, n_threads: int | None) -> Engine:
    parts: dict[str, da.Array | Array] = {"X": dask_matrix(X)}
    for name, values in (("y", y), ("sample_weight", weight), ("fold", fold)):
        if values is not None:
            parts[name] = dask_vector(values, name) if is_dask(values) else np.asarray(values)
    arrays = {name: part for name, part in parts.items() if isinstance(part, da.Array)}
    held = client is not None and all(_is_persisted(array) for array in arrays.values())
    if not held and not fits(client, sum(array_bytes(array) for array in arrays.values())):
        blocks = lazy_blocks(align(parts, trust=True))
        streams = client is None or not (graphs_overlap(blocks) or any(futures_of(a) for a in arrays.values()))
        if streams:
            return LocalEngine(blocks, n_threads) if client is None else FuturesEngine(client, blocks)
    aligned = align({**parts, **_persist(client, arrays)}, trust=False)
    aligned = _persist(client, aligned)
    if client is None:
        held_values = [dask.get(dict(array.__dask_graph__()), block_keys(array)) for array in aligned.values()]
        return LocalEngine(_held_blocks(aligned, held_values), n_threads)
    futures = {name: _block_futures(array) for name, array in aligned.items()}
    if sum(client.nbytes([f.key for f in futures["X"]], summary=False).values()) <= LOCAL_BYTES:
        values = client.gather(list(futures.values()))
        return LocalEngine(_held_blocks(aligned, values), n_threads)
    n_features = aligned["X"].shape[1]
    empty = [None] * len(futures["X"])
    rows = zip(*(futures.get(name, empty) for name in PARTS), strict=True)
    return FuturesEngine(client, [Remote._make((*row, index, n_features)) for index, row in enumerate(rows)])


def _persist(client: Client | None, arrays: dict[str, da.Array]) -> dict[str, da.Array]:
    """Compute the arrays once, together, where they are not yet; raise what their graphs raise."""
    if client is None:
        return dict(zip(arrays, dask.persist(*arrays.values()), strict=True))
    waiting = {name: array for name, array in arrays.items() if not _is_persisted(array)}
    started = client.persist(list(waiting.values())) if waiting else []
    held = {**arrays, **dict(zip(waiting, started, strict=True))}
    futures = futures_of(list(held.values()))
    wait(futures)
    for future in futures:
        if future.status != "finished":
            future.result()
    return held


def _is_persisted(array: da.Array) -> bool:
    return bool(len(array.__dask_graph__()) == len(futures_of(array)) == array.npartitions)


def _block_futures(array: da.Array) -> list[Future]:
    by_key = {future.key: future for future in futures_of(array)}
    return [by_key[key] for key in block_keys(array)]


def _held_blocks(aligned: dict[str, da.Array], values: Sequence[Sequence[Any]]) -> list[Block]:
    n_features = aligned["X"].shape[1]
    columns = dict(zip(aligned, values, strict=True))
    empty = [None] * len(columns["X"])
    rows = zip(*(columns.get(name, empty) for name in PARTS), strict=True)
    return [as_block(*row, index=index, n_features=n_features) for index, row in enumerate(rows)]


def _memory(values: Any) -> Array | None:
    return None if values is None else np.asarray(values)


def in_task() -> bool:
    """Whether this thread runs a task of a Dask worker."""
    try:
        get_worker()
    except ValueError:
        return False
    return True


def _threads(n_jobs: int | None, inside: bool) -> int | None:
    if n_jobs is None:
        return 1 if inside else None
    if n_jobs == 0:
        raise DataError("n_jobs: expected a number of threads, or -1 for all, got 0")
    return n_jobs if n_jobs > 0 else None


RUN_LENGTH = 32
"""The most blocks that one task reads, of those that a worker holds."""
MERGE_WIDTH = 8
"""Blocks of one merging task; a power of two, so that merging keeps to the binary tree."""


class Tables:
    """Answers reductions about a Dask DataFrame or array, its values of any type, block by block.

    Nothing is held but the partial answers. Blocks without rows are passed over.

    Parameters
    ----------
    X : Dask DataFrame or array
    keep : bool
        Whether to hold the data where it fits in memory: then several passes read the source once.

    Examples
    --------
    >>> import dask.dataframe as dd
    >>> from daskml_kit.reductions.frames import Head
    >>> frame = dd.from_pandas(pd.DataFrame({"a": ["x", "y", "z"]}), npartitions=2)
    >>> Tables(frame).answer(Head(1))
    [   a
    0  x]
    """

    def __init__(self, X: Any, *, keep: bool = False) -> None:
        self._client = find_client()
        self._X = X
        if isinstance(X, da.Array) and X.ndim == 2 and X.numblocks[1] > 1:
            X = X.rechunk({1: -1})
        self._blocks = list(np.ravel(X.to_delayed()))
        self.n_blocks = len(self._blocks)
        if self._client is not None and _lies_in_memory(X, self.n_blocks):
            self._blocks = list(dask.persist(*self._blocks))  # the same futures, by the names of the blocks
        elif keep:
            self._hold()

    def answer(self, reduction: Reduction) -> list[Any]:
        """Return one answer for each reduction fused in ``reduction``.

        Raises
        ------
        DataError
            Where no block has rows.
        """
        shared = dask.delayed(reduction, traverse=False)
        answer, merge = dask.delayed(_answer), dask.delayed(_merge)
        parts = [answer(shared, [self._blocks[at] for at in run], run, self.n_blocks) for run in self._runs()]
        while len(parts) > 1:
            groups = [parts[i : i + MERGE_WIDTH] for i in range(0, len(parts), MERGE_WIDTH)]
            parts = [merge(shared, group, self.n_blocks) for group in groups]
        (nodes,) = dask.compute(parts[0])
        if nodes[0].partial is None:
            shape = (0, self._X.shape[1])
            raise DataError(f"Found array with 0 sample(s) (shape={shape}) while a minimum of 1 is required.")
        return reduction.finalize(nodes[0].partial)

    def collection(self) -> Any:
        """Return the data as a Dask collection, which reads what is held rather than the source."""
        if isinstance(self._X, dd.DataFrame):
            meta = pd.DataFrame(columns=self._X.columns).astype(self._X.dtypes)
            return dd.from_delayed(self._blocks, meta=meta)
        meta, width = meta_from_array(self._X), self._X.shape[1]
        rows = zip(self._blocks, self._X.chunks[0], strict=True)
        parts = [da.from_delayed(block, (length, width), meta=meta) for block, length in rows]
        return da.concatenate(parts, allow_unknown_chunksizes=True)

    def _runs(self) -> list[list[int]]:
        """Return which blocks one task reads: of those in a cluster's memory many that lie together, else one."""
        held = {future.key: future for future in futures_of(self._blocks)}
        if self._client is None or not all(block.key in held for block in self._blocks):
            return [[position] for position in range(self.n_blocks)]
        wait(list(held.values()))
        places = self._client.who_has(list(held.values()))
        homes = defaultdict(list)
        for position, block in enumerate(self._blocks):
            homes[min(places.get(block.key) or [""])].append(position)
        return [home[i : i + RUN_LENGTH] for home in homes.values() for i in range(0, len(home), RUN_LENGTH)]

    def _hold(self) -> None:
        first = dask.persist(self._blocks[0])
        if fits(self._client, blocks_bytes([*first, *self._blocks[1:]])):
            self._blocks = [*first, *dask.persist(*self._blocks[1:])]


def _lies_in_memory(X: Any, n_blocks: int) -> bool:
    """Whether a cluster holds X, as after ``persist``, so that its graph is but futures and their other names."""
    return len(futures_of(X)) == n_blocks and len(X.__dask_graph__()) <= 2 * n_blocks


def _answer(reduction: Reduction, tables: list[Any], positions: list[int], n_blocks: int) -> list[Node]:
    """Answer ``reduction`` for some blocks, one after another, as far combined as the tree allows."""
    nodes: list[Node] = []
    for table, position in zip(tables, positions, strict=True):
        nodes = reduce_nodes(_Skipping(reduction), [*nodes, *_answer_block(reduction, table, position)], n_blocks)
    return nodes


def _answer_block(reduction: Reduction, table: Any, index: int) -> list[Node]:
    if table.shape[0] == 0:
        return [Node(0, index, None)]
    try:
        with computing():
            return [Node(0, index, reduction.chunk(Block(table, index=index)))]
    except DataError:
        raise
    except (TypeError, ValueError) as error:
        raise (DataError if isinstance(error, ValueError) else TypeError)(f"{error} (in block {index})") from error


def _merge(reduction: Reduction, parts: list[list[Node]], n_blocks: int) -> list[Node]:
    return reduce_nodes(_Skipping(reduction), [node for part in parts for node in part], n_blocks)


@dataclass(frozen=True, eq=False)
class _Skipping(Delegate):
    """A reduction's ``combine``, where a block without rows has no partial answer."""

    def combine(self, a: Any, b: Any) -> Any:
        if a is None or b is None:
            return b if a is None else a
        return self.reduction.combine(a, b)

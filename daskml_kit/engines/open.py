"""Open the engine that suits the data: where it lies, and how large it is.

| case | the data | its blocks | without a cluster | on a cluster |
|---|---|---|---|---|
| memory | NumPy, CSR | views of some megabytes | threads here | threads here |
| persisted | futures | as they lie | | a task a worker thread beside them; small data threads here |
| fits | lazy, half the free memory at most | computed once, held | threads here | as persisted |
| streams | lazy, larger or not to be kept | computed in each pass, cached | threads here | a task a worker thread |

Small is up to 16 MB, and for steps that are shorter than a round trip 256 MB. Up to 256 MB are fetched as well once the
passes of a fit have waited longer for messages than that takes (`relocation`). `Profile.where` tells where a fit ran.

`open_engine` opens numbers: aligned with their targets and weights, checked, runs of tiny blocks merged. What it
streams in several passes is computed in the first; the others map the numbers from the disk of the worker
(`block_cache`), as far as there is room. `open_table` opens frames and arrays of any values as they come. What it does
not keep is streamed by the scheduler, a task a block, since such blocks often share work or rest on futures.
"""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import scipy.sparse as sp
from dask.array.utils import meta_from_array
from dask.dataframe.utils import make_meta
from dask.delayed import Delayed
from dask.highlevelgraph import HighLevelGraph
from distributed import Client, Future, futures_of, get_client

from daskml_kit.arguments import check_folder
from daskml_kit.data.block import Block, native
from daskml_kit.data.collections import (
    Place,
    align,
    array_bytes,
    block_keys,
    blocks_bytes,
    dask_matrix,
    dask_vector,
    fits,
    graphs_overlap,
    has_unknown,
    is_dask,
    lazy_blocks,
    memory_blocks,
    rows_of,
)
from daskml_kit.data.merge import merge_tiny
from daskml_kit.engines.block_cache import cache_limit
from daskml_kit.engines.checkpoint import Transcript, fingerprint_of
from daskml_kit.engines.cluster import FuturesEngine, Remote
from daskml_kit.engines.engine import Engine, LocalEngine, Profile, available_threads
from daskml_kit.engines.relocation import Fetching
from daskml_kit.engines.runtime import check_n_jobs
from daskml_kit.exceptions import AsynchronousClientError, DataError
from daskml_kit.numerics.csr import with_codes
from daskml_kit.reductions.reduction import Delegate, Reduction
from daskml_kit.typing import Array
from daskml_kit.workers.connection import (
    free_placed_tasks,
    gather,
    held_futures,
    release,
    released_task_thread,
    require_connection,
    require_own_process,
    settle,
    telling_lost_scheduler,
    wait_for_workers,
)

logger = logging.getLogger(__name__)
LOCAL_BYTES = 16 * 2**20
"""Data up to this size is fetched and fitted here: a round trip to a cluster costs more than its passes."""
MOST_FETCHED = 16
"""So many times as much is fetched at most: at once for steps that are shorter than a round trip, of which 1,000 of 200
rows take six seconds on the workers, and 0.3 s here; by other fits once their passes have waited longer for messages
than it takes."""
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
    many_passes: bool = True,
    short_steps: bool = False,
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
    many_passes : bool, default=True
        Whether one pass may not be enough: then blocks that are streamed are cached.
    short_steps : bool, default False
        Whether what runs are many steps, each shorter than a round trip to a cluster: then larger data is fetched, too.

    Raises
    ------
    AsynchronousClientError
        Under an asynchronous client.
    LostSchedulerError
        Where the scheduler of the cluster was lost.
    DataError
        Where the parts do not fit together, or ``n_jobs`` is no number of threads.
    TypeError, ValueError
        Where ``checkpoint`` is not the path of a folder.
    """
    check_folder(checkpoint)
    with telling_lost_scheduler(checkpoint):
        client = find_client() if is_dask(X) else None
    with (
        telling_lost_scheduler(checkpoint),
        released_task_thread(client is not None) as inside,
        _open(client, X, y, sample_weight, fold, _Here(_threads(n_jobs, inside), short_steps, many_passes)) as engine,
    ):
        if checkpoint is None:
            yield engine
        else:
            with Transcript(engine, checkpoint, fingerprint_of(X, y, sample_weight, setting)) as transcript:
                yield transcript


def find_client() -> Client | None:
    """Return the synchronous client of this thread, or of this task's worker, once it has workers.

    None without a cluster, or where ``dask.config`` names a scheduler of this process.

    Raises
    ------
    AsynchronousClientError
        Under an asynchronous client.
    LostSchedulerError
        Where the scheduler is gone, or the client is that of the process that this one was forked from.
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
            "under a synchronous client; on a worker, in a task in place of a coroutine or `Client.run`"
        )
    require_own_process(client)
    require_connection(client)
    free_placed_tasks(client)
    wait_for_workers(client)
    return client


class _Here(NamedTuple):
    """Threads of this process that compute, whether larger data is fetched for them, and streamed data cached."""

    n_threads: int | None
    short_steps: bool = False
    many_passes: bool = True

    def may_fetch(self, n_bytes: float) -> bool:
        """Return whether a cluster's data of this size is fetched and fitted here."""
        return n_bytes <= LOCAL_BYTES or (self.short_steps and self.may_hold(n_bytes))

    def may_hold(self, n_bytes: float) -> bool:
        """Return whether a cluster's data of this size may be fetched at all."""
        return n_bytes <= MOST_FETCHED * LOCAL_BYTES and fits(None, n_bytes)

    def fetching(self, n_bytes: float, n_blocks: int) -> Fetching | None:
        """Return when a fit of several passes is to fetch data that it does not fetch at first."""
        threads = min(self.n_threads or available_threads(), n_blocks)
        return Fetching(n_bytes, threads) if self.many_passes and self.may_hold(n_bytes) else None


def _open(client: Client | None, X: Any, y: Any, weight: Any, fold: Any, here: _Here) -> Engine:
    if is_dask(X):
        return _open_dask(client, X, y, weight, fold, here)
    y, weight = dask.compute(y, weight)
    matrix = X if sp.issparse(X) else np.asarray(X)
    if len(matrix.shape) != 2:
        raise DataError(f"X: expected a 2-dimensional array, got {len(matrix.shape)} dimension(s)")
    for name, part in (("y", y), ("sample_weight", weight)):
        if part is not None and len(part) != matrix.shape[0]:  # blocks of X would cut off what is too long
            raise DataError(
                f"{name}: Found input variables with inconsistent numbers of samples: expected {matrix.shape[0]} rows "
                f"as in X, got {len(part)}"
            )
    columns = _memory(y, "y"), _memory(weight, "sample_weight")
    return LocalEngine(memory_blocks(matrix, *columns, fold), here.n_threads)


def _open_dask(client: Client | None, X: Any, y: Any, weight: Any, fold: Any, here: _Here) -> Engine:
    given = {id(future) for part in (X, y, weight, fold) if is_dask(part) for future in futures_of(part)}
    parts: dict[str, da.Array | Array] = {"X": dask_matrix(X)}
    for name, values in (("y", y), ("sample_weight", weight), ("fold", fold)):
        if values is not None:
            parts[name] = dask_vector(values, name) if is_dask(values) else _memory(values, name)
    arrays = {name: part for name, part in parts.items() if isinstance(part, da.Array)}
    held = client is not None and all(_is_persisted(array) for array in arrays.values())
    if not held and not fits(client, sum(array_bytes(array) for array in arrays.values())):
        aligned, places = _merge(align(parts, trust=True))
        graph = {key: task for array in aligned.values() for key, task in dict(array.__dask_graph__()).items()}
        blocks = lazy_blocks({name: block_keys(array) for name, array in aligned.items()}, graph, places)
        cache = cache_limit() if here.many_passes else None
        if client is None:
            return _telling_streams(LocalEngine(blocks, here.n_threads, cache), cache)
        if not (graphs_overlap(blocks) or any(futures_of(array) for array in arrays.values())):
            return _telling_streams(FuturesEngine(client, blocks, cache=cache), cache)
    if any(has_unknown(array) for array in arrays.values()):
        arrays = _persist(client, arrays)  # else lengths would be counted by computing what is to be held
    aligned, places = _merge(align({**parts, **arrays}, trust=False))
    aligned = _persist(client, aligned)
    if client is None:
        values = {name: dask.get(dict(a.__dask_graph__()), block_keys(a)) for name, a in aligned.items()}
        return _over_values(values, places, here.n_threads)
    columns = {name: _block_futures(array) for name, array in aligned.items()}
    own = [future for futures in columns.values() for future in futures if id(future) not in given]
    return _over_futures(client, columns, places, here, own)


def _telling_streams(engine: FuturesEngine | LocalEngine, cache: float | None) -> Engine:
    engine.profile.where += f", which stream the blocks{' and cache them on disk' if cache else ''}"
    return engine


def _merge(aligned: Mapping[str, da.Array]) -> tuple[dict[str, da.Array], list[Place]]:
    arrays, runs = merge_tiny(aligned)
    X = arrays["X"]
    known = not has_unknown(X) and not sp.issparse(meta_from_array(X))
    lengths = X.chunks[0] if known else [None] * X.numblocks[0]
    return arrays, [Place(i, X.shape[1], runs[i] if runs else None, n_rows) for i, n_rows in enumerate(lengths)]


def _over_futures(
    client: Client,
    columns: Mapping[str, Sequence[Future]],
    places: Sequence[Place],
    here: _Here,
    own: Sequence[Future] = (),
) -> Engine:
    """Read the blocks beside the workers that hold them, or here where they are small; then release the ``own`` ones.

    Kept for a moment longer, as by a coroutine that has ended, they would meet the next tasks of their names, which
    Dask may fuse with others, and has no two recipes for.
    """
    n_bytes = sum(client.nbytes([future.key for future in columns["X"]], summary=False).values())
    if here.may_fetch(n_bytes):
        values = {name: gather(client, futures) for name, futures in columns.items()}
        release(own)
        engine = _over_values(values, places, here.n_threads)
        engine.profile.where += f", which fetched {n_bytes / 1e6:.3g} MB of X"
        logger.info("fitted %s", engine.profile.where)
        return engine
    rows = zip(rows_of(columns), places, strict=True)
    blocks = [Remote._make((*parts, place)) for parts, place in rows]
    return FuturesEngine(client, blocks, fetching=here.fetching(n_bytes, len(blocks)), own=own)


def _over_values(columns: Mapping[str, Sequence[Any]], places: Sequence[Place], n_threads: int | None) -> LocalEngine:
    blocks = [place.block(parts) for parts, place in zip(rows_of(columns), places, strict=True)]
    if all(sp.issparse(block.X) for block in blocks):  # of frames, X may be anything
        matrices = with_codes([block.X for block in blocks])
        blocks = [block._replace(X=X) for block, X in zip(blocks, matrices, strict=True)]
    return LocalEngine(blocks, n_threads)


def _persist(client: Client | None, arrays: dict[str, da.Array]) -> dict[str, da.Array]:
    """Compute the arrays once, together, where they are not yet; raise what their graphs raise."""
    if client is None:
        return dict(zip(arrays, dask.persist(*arrays.values()), strict=True))
    waiting = {name: array for name, array in arrays.items() if not _is_persisted(array)}
    started = client.persist(list(waiting.values())) if waiting else []
    held = {**arrays, **dict(zip(waiting, started, strict=True))}
    settled = settle(client, futures_of(list(held.values())))
    return {name: _of_futures(array, settled) for name, array in held.items()}


def _of_futures(array: da.Array, settled: Mapping[Any, Future]) -> da.Array:
    """Return a persisted array as it is, or with other futures under a name of its own."""
    own = {future.key: settled[future.key] for future in futures_of(array)}
    if all(future.key == key for key, future in own.items()):
        return array
    name = f"daskml-held-{uuid.uuid4().hex}"
    return da.Array({(name, *key[1:]): future for key, future in own.items()}, name, array.chunks, meta=array)


def _is_persisted(array: da.Array) -> bool:
    return bool(len(array.__dask_graph__()) == len(held_futures(array)) == array.npartitions)


def _block_futures(array: da.Array) -> list[Future]:
    held = dict(array.__dask_graph__())
    return [held[key] for key in block_keys(array)]


def _memory(values: Any, name: str) -> Any:
    if values is None:
        return None
    array = np.asarray(values)
    if array.ndim == 0:
        raise DataError(f"{name}: expected an array with a row for each of X, got {values!r}")
    return array


def _threads(n_jobs: int | None, inside: bool) -> int | None:
    check_n_jobs(n_jobs)
    if n_jobs is None:
        return 1 if inside else None
    return n_jobs if n_jobs > 0 else None


@contextmanager
def open_table(X: Any, *, keep: bool = False) -> Iterator[TableEngine]:
    """Open an engine over the row blocks of a Dask DataFrame or array of any values, and close it in the end.

    See the module's table for where the blocks are read.

    Parameters
    ----------
    X : Dask DataFrame or array
        An array of one dimension may be one of any objects.
    keep : bool, default=False
        Whether to hold the data where it fits in memory: then several passes read the source once. Without it, nothing
        is held but the partial answers and what lies in a cluster's memory already.

    Yields
    ------
    TableEngine
        Answers reductions whose blocks have frames or arrays as they come, unchecked.

    Examples
    --------
    >>> import pandas as pd
    >>> from daskml_kit.reductions.frames import Head
    >>> frame = dd.from_pandas(pd.DataFrame({"a": ["x", "y", "z"]}), npartitions=2)
    >>> with open_table(frame) as engine:
    ...     engine.answer(Head(1))
    [   a
    0  x]
    """
    with telling_lost_scheduler():
        client = find_client()
    with telling_lost_scheduler(), released_task_thread(client is not None) as inside:
        if isinstance(X, da.Array) and X.ndim == 2 and X.numblocks[1] > 1:
            X = X.rechunk({1: -1})
        blocks, kept = _keep(client, X, list(np.ravel(X.to_delayed())), keep)
        with _open_raw(client, blocks, kept, _threads(None, inside)) as engine:
            yield TableEngine(engine, X, blocks if kept else None)


class TableEngine:
    """Answers reductions about a table of any values; its blocks without rows are passed over.

    Parameters
    ----------
    engine : Engine
        Over raw blocks.
    X : Dask DataFrame or array
    blocks : list of Delayed, optional
        The blocks of X where they are held.
    """

    def __init__(self, engine: Engine, X: Any, blocks: Sequence[Delayed] | None) -> None:
        self.engine, self.n_blocks, self._X, self._blocks = engine, engine.n_blocks, X, blocks
        self.row_counts = None

    @property
    def profile(self) -> Profile:
        """Passes and seconds so far."""
        return self.engine.profile

    def answer(self, reduction: Reduction) -> list[Any]:
        """Return one answer for each reduction fused in ``reduction``.

        Raises
        ------
        DataError
            Where no block has rows, or a block cannot be used; the message names it.
        """
        return self.engine.answer(_OfTable(reduction, tuple(self._X.shape[1:])))

    def collection(self) -> Any:
        """Return the data as a Dask collection, which reads what is held rather than the source."""
        if self._blocks is None:
            return self._X
        if isinstance(self._X, dd.DataFrame):
            return dd.from_delayed(self._blocks, meta=make_meta(self._X))
        meta, tail = meta_from_array(self._X), self._X.shape[1:]
        rows = zip(self._blocks, self._X.chunks[0], strict=True)
        parts = [da.from_delayed(block, (length, *tail), meta=meta) for block, length in rows]
        return da.concatenate(parts, allow_unknown_chunksizes=True)


def _keep(client: Client | None, X: Any, blocks: list[Delayed], keep: bool) -> tuple[list[Delayed], bool]:
    """Hold the blocks where that is asked for and they fit; return them, and whether they are held."""
    if client is not None and len(futures_of(X)) == len(blocks) and len(X.__dask_graph__()) <= 2 * len(blocks):
        return list(dask.persist(*blocks)), True  # the same futures, by the names of the blocks
    if keep:
        first = dask.persist(blocks[0])
        if fits(client, blocks_bytes([*first, *blocks[1:]])):
            return [*first, *dask.persist(*blocks[1:])], True
    return blocks, False  # all of them lazy: fits that stream cannot mix them with futures


def _open_raw(client: Client | None, blocks: Sequence[Delayed], held: bool, n_threads: int | None) -> Engine:
    keys, places = [block.key for block in blocks], [Place(index) for index in range(len(blocks))]
    graph = HighLevelGraph.merge(*(block.__dask_graph__() for block in blocks))
    if client is not None and held:
        futures = {future.key: future for future in futures_of(blocks)}
        futures = settle(client, list(futures.values()))
        return _over_futures(client, {"X": [futures[key] for key in keys]}, places, _Here(n_threads, many_passes=False))
    if client is not None:
        return FuturesEngine(
            client, [Remote(key, None, None, None, place) for key, place in zip(keys, places, strict=True)], graph
        )
    lazy = lazy_blocks({"X": keys}, graph.to_dict(), places)
    if held or graphs_overlap(lazy):  # what blocks share, as after a shuffle, would be computed for each of them
        return _over_values({"X": dask.compute(*blocks)}, places, n_threads)
    return LocalEngine(lazy, n_threads)


@dataclass(frozen=True, eq=False)
class _OfTable(Delegate):
    """A reduction about a table, in which a block without rows has no partial answer."""

    tail: tuple[int, ...]

    def chunk(self, block: Block) -> Any:
        if block.n_rows == 0:
            return None
        try:
            return self.reduction.chunk(block._replace(X=native(block.X)))
        except DataError:
            raise
        except (TypeError, ValueError) as error:
            kind = DataError if isinstance(error, ValueError) else TypeError
            raise kind(f"{error} (in block {block.index})") from error

    def combine(self, a: Any, b: Any) -> Any:
        if a is None or b is None:
            return b if a is None else a
        return self.reduction.combine(a, b)

    def finalize(self, total: Any) -> list[Any]:
        if total is None:
            raise DataError(f"Found array with 0 sample(s) (shape={(0, *self.tail)}) while a minimum of 1 is required.")
        return self.reduction.finalize(total)

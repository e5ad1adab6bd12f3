"""Batches of candidates on threads of this process."""

from __future__ import annotations

import os
import queue
import shutil
import tempfile
import threading
import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import dask
import dask.array as da
import numpy as np
import scipy.sparse as sp
from dask.array.utils import meta_from_array
from dask.delayed import Delayed
from distributed import CancelledError, Client, Future, as_completed, get_worker

from daskml_kit.data.align import align_rows, collect
from daskml_kit.data.collections import has_unknown
from daskml_kit.exceptions import LostDataError
from daskml_kit.model_selection.search.fit_and_score import FitSpec, Report, fit_candidates
from daskml_kit.model_selection.search.fold import (
    ArrayFile,
    Fold,
    FoldData,
    FoldFiles,
    PickleFile,
    write_pickle,
    write_rows,
)
from daskml_kit.model_selection.search.pipeline_cache import TransformerCache
from daskml_kit.model_selection.search.work_queue import Batch

MEMO_BYTES = 64 * 2**20


class Done(NamedTuple):
    """A batch that a worker is done with; without a report its fold was lost with another worker."""

    batch: Batch
    slot: str
    fold: Any
    report: Report | None


class Pool(Protocol):
    """Workers that fit batches of candidates."""

    def slots(self) -> Mapping[str, list[str]]:
        """Return of each machine the process of each of its threads."""

    def assemble(self, split: int, slots: Sequence[str]) -> Any:
        """Return a handle of the fold that workers of one machine are to work on; it may still be on its way."""

    def start(self, batch: Batch, fold: Any, slot: str) -> None: ...

    def next(self) -> Done:
        """Wait for a batch; raise what it raised."""

    def release(self, fold: Any) -> None: ...


class LocalFold:
    """A fold of data in memory, made by the first thread that needs it."""

    def __init__(self, data: FoldData, split: int) -> None:
        self.data, self.split = data, split
        self.lock = threading.Lock()
        self.opened: tuple[Fold, TransformerCache] | None = None

    def open(self) -> tuple[Fold, TransformerCache]:
        with self.lock:
            if self.opened is None:
                self.opened = with_memo(Fold(self.data.take(self.split), self.data.constants))
            return self.opened


class LocalPool(AbstractContextManager["LocalPool"]):
    """Threads of this process: ``n_threads``, or as many as Dask's own scheduler would have."""

    def __init__(
        self, study: FitSpec, candidates: Sequence[Mapping[str, Any]], data: FoldData, n_threads: int | None = None
    ) -> None:
        self.study, self.candidates = study, candidates
        self.data = data.computed() if data.is_lazy else data
        synchronous = dask.config.get("scheduler", None) in ("sync", "synchronous", "single-threaded")
        usual = 1 if synchronous else dask.config.get("num_workers", None) or os.cpu_count() or 1
        self.n_threads = n_threads or usual
        self._threads = ThreadPoolExecutor(self.n_threads)
        self._done: queue.SimpleQueue[tuple[Done, BaseException | None]] = queue.SimpleQueue()
        self._stopped = threading.Event()

    def slots(self) -> Mapping[str, list[str]]:
        return {"here": ["here"] * self.n_threads}

    def assemble(self, split: int, slots: Sequence[str]) -> LocalFold:
        return LocalFold(self.data, split)

    def start(self, batch: Batch, fold: LocalFold, slot: str) -> None:
        self._threads.submit(self._run, batch, fold, slot)

    def next(self) -> Done:
        done, error = self._done.get()
        if error is not None:
            raise error
        return done

    def release(self, fold: LocalFold) -> None:
        fold.opened = None

    def __exit__(self, *details: object) -> None:
        self._stopped.set()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _run(self, batch: Batch, fold: LocalFold, slot: str) -> None:
        report, raised = None, None
        try:
            numbered = [(number, self.candidates[number]) for number in batch.numbers.tolist()]
            report = fit_candidates(self.study, *fold.open(), numbered, self._stopped)
        except BaseException as error:
            raised = error
        self._done.put((Done(batch, slot, fold, report), raised))


def with_memo(fold: Fold) -> tuple[Fold, TransformerCache]:
    """Return the fold, and room for what its candidates have in common."""
    return fold, TransformerCache(2 * fold.n_bytes + MEMO_BYTES)


_opened: dict[str, tuple[Fold, TransformerCache, str]] = {}
_opening = threading.Lock()


def fold_files(key: str, sides: Mapping[str, tuple[Any, Any]]) -> Delayed:
    """Return lazily the files of a fold of Dask collections: each block is written by a task of its own.

    Those of data frames, CSR matrices and objects are joined first. The files are those of one machine.
    """
    folder = dask.delayed(make_folder, pure=False)(key)
    written = {
        name: tuple(_write(folder, f"{name}-{i}", part) for i, part in enumerate(parts))
        for name, parts in sides.items()
    }
    return dask.delayed(collect_files, pure=False)(folder, written)


def run_batch(
    study: tuple[FitSpec, Mapping[str, Any]],
    files: FoldFiles | None,
    key: str,
    candidates: Sequence[tuple[int, Mapping[str, Any]]],
) -> Report | None:
    """Fit candidates on a worker; None where it cannot read the fold."""
    if files is None:
        return None
    what, constants = study
    try:
        with _opening:
            if key not in _opened:
                _opened[key] = *with_memo(files.read(constants)), files.folder
            fold, memo, _ = _opened[key]
    except FileNotFoundError:
        return None
    return fit_candidates(what, fold, memo, candidates)


def forget(key: str, dask_worker: Any) -> None:
    """Let go of a fold in this process, and remove its files: who still reads them has them until then.

    So are files that a worker has made and nobody has opened, as where a search was interrupted.
    """
    *_, folder = _opened.pop(key, ("",))
    for path in ([folder] if folder else []) + list(Path(dask_worker.local_directory).glob(f"{key}-*")):
        shutil.rmtree(path, ignore_errors=True)


def make_folder(key: str) -> str:
    """Return the path of a new folder of this worker, which goes with it."""
    folder = Path(get_worker().local_directory, f"{key}-{uuid.uuid4().hex[:8]}")
    folder.mkdir(parents=True)
    return str(folder)


def collect_files(
    folder: str, written: Mapping[str, Sequence[tuple[ArrayFile | PickleFile | None, list[str]]]]
) -> FoldFiles | None:
    """Return the files of a fold; None where some were written to another folder, that a lost worker had."""
    folders = {where for sides in written.values() for _, places in sides for where in places}
    if folders - {folder}:
        return None
    train_and_test = {name: tuple(part for part, _ in sides) for name, sides in written.items()}
    return FoldFiles(folder, train_and_test)  # type: ignore[arg-type]


def _write(folder: Delayed, name: str, part: Any) -> Any:
    """Return lazily what a side's file holds, and where it was written."""
    dense = isinstance(part, da.Array) and not sp.issparse(meta_from_array(part)) and part.dtype.kind != "O"
    if not dense or has_unknown(part):
        blocks = np.ravel(part.to_delayed()).tolist() if isinstance(part, da.Array) else part.to_delayed()
        return dask.delayed(write_packed)(folder, name, list(blocks))
    rows = ArrayFile(name, part.shape, part.dtype)
    blocks = np.ravel(part.to_delayed(optimize_graph=False)).tolist()
    starts = np.cumsum([0, *part.chunks[0][:-1]]).tolist()
    write = dask.delayed(write_rows, pure=False)
    return rows, [write(folder, rows, start, block) for start, block in zip(starts, blocks, strict=True)]


def write_packed(folder: str, name: str, parts: Sequence[Any]) -> tuple[PickleFile | None, list[str]]:
    """Write joined rows; return what the file holds, and where it is: "" where there is no such folder here."""
    packed = write_pickle(folder, name, parts)
    return packed, ["" if packed is None else folder]


class RemoteFold(NamedTuple):
    """A fold in files of one machine, that its workers know by ``key``."""

    key: str
    files: Future | FoldFiles | None


class ClusterPool(AbstractContextManager["ClusterPool"]):
    """One batch a worker thread at a time; a fold is written once for each machine, to files that its workers map.

    Blocks on Dask are written each by a task of its own, where they lie. Data in memory are written by the client where
    workers can read its files, else they are sent to them once.

    Parameters
    ----------
    client : distributed.Client
    study : FitSpec
    candidates : sequence of mappings
    data : FoldData
    """

    def __init__(self, client: Client, study: FitSpec, candidates: Sequence[Mapping[str, Any]], data: FoldData) -> None:
        self.client, self.candidates = client, candidates
        self.folder = None if data.is_lazy else self._visible_folder()
        self.data = data if data.is_lazy or self.folder else _persisted(client, data)
        self.study = client.submit(_hold, (study, data.constants), pure=False)
        self._done = as_completed()
        self._running: dict[Any, tuple[Batch, str, RemoteFold]] = {}

    def slots(self) -> Mapping[str, list[str]]:
        machines: defaultdict[str, list[str]] = defaultdict(list)
        for address, worker in self.client.scheduler_info(n_workers=-1)["workers"].items():
            machines[worker["host"]] += [address] * worker["nthreads"]
        return machines

    def assemble(self, split: int, slots: Sequence[str]) -> RemoteFold:
        key = f"daskml-fold-{uuid.uuid4().hex}"
        sides = self.data.take(split)
        if self.folder:
            folder = Path(self.folder, key)
            folder.mkdir(parents=True)
            written = {
                name: [write_packed(str(folder), f"{name}-{i}", [part]) for i, part in enumerate(parts)]
                for name, parts in sides.items()
            }
            return RemoteFold(key, collect_files(str(folder), written))
        files = fold_files(key, sides)
        return RemoteFold(key, self.client.compute(files, workers=sorted(set(slots)), allow_other_workers=True))

    def start(self, batch: Batch, fold: RemoteFold, slot: str) -> None:
        numbered = [(number, self.candidates[number]) for number in batch.numbers.tolist()]
        future = self.client.submit(
            run_batch, self.study, fold.files, fold.key, numbered, pure=False, workers=[slot], allow_other_workers=True
        )
        self._running[future.key] = batch, slot, fold
        self._done.add(future)

    def next(self) -> Done:
        future = next(self._done)
        batch, slot, fold = self._running.pop(future.key)
        try:
            return Done(batch, slot, fold, future.result())
        except CancelledError as error:
            raise LostDataError(
                "a block of the data was lost with its worker and cannot be computed again: persist data, or read it "
                "from storage; data that was scattered has no recipe"
            ) from error

    def release(self, fold: RemoteFold) -> None:
        if self.client.nthreads():  # all workers: one that had time may have taken a task of another's
            self.client.run(forget, fold.key, on_error="ignore")
        if self.folder:
            shutil.rmtree(Path(self.folder, fold.key), ignore_errors=True)

    def __exit__(self, *details: object) -> None:
        folds = {fold.key: fold for _, _, fold in self._running.values()}
        self.client.cancel([*self._done.futures])
        for fold in folds.values():
            self.release(fold)
        if self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _visible_folder(self) -> str | None:
        """Return a new folder that the client and all workers see, or None; it goes with the worker whose it is."""
        workers = self.client.scheduler_info(n_workers=-1)["workers"].values()
        try:
            folder = tempfile.mkdtemp(prefix="daskml-", dir=next(iter(workers))["local_directory"])
        except (StopIteration, OSError):  # no workers, or none on this machine
            return None
        seen = self.client.run(os.path.exists, folder)
        if seen and all(seen.values()):
            return folder
        os.rmdir(folder)
        return None


def _persisted(client: Client, data: FoldData) -> FoldData:
    """Return data in memory in blocks on the workers."""
    rows = align_rows(data.columns)
    columns = {}
    for column in rows.columns:
        keys = [block.key for block in column.blocks]
        sent = collect(column.meta, column.blocks[0].dask, keys, rows.lengths, "daskml-sent")
        columns[column.name] = client.persist(sent)
    return data._replace(columns=columns)


def _hold(value: Any) -> Any:
    return value

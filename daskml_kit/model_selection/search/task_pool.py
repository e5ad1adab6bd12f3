"""Fit pools: batches of candidates on a worker pool, each with the fold that it needs in memory."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Self

import joblib
from distributed import Client, Future

from daskml_kit.data.align import align_rows, collect
from daskml_kit.engines.open import find_client
from daskml_kit.engines.runtime import in_task, local_threads, released_task_thread
from daskml_kit.exceptions import DataError
from daskml_kit.model_selection.search.fit_and_score import BatchReport, FitSpec, fit_candidates
from daskml_kit.model_selection.search.fold import Fold, FoldData
from daskml_kit.model_selection.search.fold_files import FoldFiles, dump_fold, dump_fold_lazily, remove_folders
from daskml_kit.model_selection.search.pipeline_cache import TransformerCache
from daskml_kit.model_selection.search.work_queue import FitBatch
from daskml_kit.workers.cluster_pool import ClusterPool
from daskml_kit.workers.worker_pool import LocalPool, WorkerPool

CACHE_BYTES = 64 * 2**20
"""Of transformers' outputs that candidates share, beside twice the bytes of the fold."""


class FinishedBatch(NamedTuple):
    """A batch that a worker has finished; without a report its fold was lost with another worker."""

    batch: FitBatch
    slot: str
    fold: Any
    report: BatchReport | None


class FitPool(ABC):
    """Worker pool that fits batches of candidates on folds.

    Parameters
    ----------
    pool : WorkerPool
    spec : FitSpec
    candidates : sequence of mappings
        Parameters; they are asked for as they are sent.
    data : FoldData
    """

    def __init__(
        self, pool: WorkerPool, spec: FitSpec, candidates: Sequence[Mapping[str, Any]], data: FoldData
    ) -> None:
        self.pool, self.spec, self.candidates, self.data = pool, spec, candidates, data

    def slots(self) -> Mapping[str, list[str]]:
        """Return for each machine the worker process of each of its threads."""
        return self.pool.slots()

    @abstractmethod
    def assemble(self, split: int, slots: Sequence[str]) -> Any:
        """Return a handle of the fold that workers of one machine are to work on; it may still be on its way."""

    @abstractmethod
    def start(self, batch: FitBatch, fold: Any, slot: str) -> None:
        """Start to fit a batch on a worker."""

    @abstractmethod
    def release(self, fold: Any) -> None:
        """Let go of a fold."""

    def next(self) -> FinishedBatch:
        """Wait for the next batch that is finished; raise what it raised."""
        finished: Any = self.pool.next()
        batch, slot, fold = finished.tag
        return FinishedBatch(batch, slot, fold, finished.value)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        self.close()

    def close(self) -> None:
        """Cancel the fits that have not ended, and let go of all folds."""
        self.pool.close()

    def _numbered(self, batch: FitBatch) -> list[tuple[int, Mapping[str, Any]]]:
        return [(number, self.candidates[number]) for number in batch.numbers.tolist()]


class LocalFold:
    """A fold of data in memory, made by the first thread that needs it."""

    def __init__(self, data: FoldData, split: int) -> None:
        self.data, self.split = data, split
        self.lock = threading.Lock()
        self.opened: tuple[Fold, TransformerCache] | None = None

    def open(self) -> tuple[Fold, TransformerCache]:
        with self.lock:
            if self.opened is None:
                self.opened = with_cache(Fold(self.data.take(self.split), self.data.constants))
            return self.opened


class LocalFitPool(FitPool):
    """Fits on threads of this process, by default as many as `local_threads` says."""

    def __init__(
        self, spec: FitSpec, candidates: Sequence[Mapping[str, Any]], data: FoldData, n_threads: int | None = None
    ) -> None:
        self.threads = LocalPool(n_threads or local_threads())
        super().__init__(self.threads, spec, candidates, data.computed() if data.is_lazy else data)

    def assemble(self, split: int, slots: Sequence[str]) -> LocalFold:
        return LocalFold(self.data, split)

    def start(self, batch: FitBatch, fold: LocalFold, slot: str) -> None:
        self.pool.submit(self._fit, batch, fold, tag=(batch, slot, fold))

    def release(self, fold: LocalFold) -> None:
        fold.opened = None

    def _fit(self, batch: FitBatch, fold: LocalFold) -> BatchReport:
        return fit_candidates(self.spec, *fold.open(), self._numbered(batch), self.threads.stopped)


def with_cache(fold: Fold) -> tuple[Fold, TransformerCache]:
    """Return the fold, and a cache of the transformers that its candidates have in common."""
    return fold, TransformerCache(2 * fold.n_bytes + CACHE_BYTES)


class RemoteFold(NamedTuple):
    """A fold in files of one machine, that its workers know by ``key``."""

    key: str
    files: Future | FoldFiles | None


class ClusterFitPool(FitPool):
    """Fits on the workers of a cluster; a fold is written once for each machine, to files that its workers map.

    Blocks on Dask are written each by a task of its own, where they lie. Data in memory are written by the client where
    workers can read its files, else they are sent to them once.
    """

    def __init__(self, client: Client, spec: FitSpec, candidates: Sequence[Mapping[str, Any]], data: FoldData) -> None:
        self.workers = ClusterPool(client)
        super().__init__(self.workers, spec, candidates, data)
        self.client = client
        self.folder = None if data.is_lazy else self._visible_folder()
        if not data.is_lazy and self.folder is None:
            self.data = _persisted(client, data)
        self.constant = self.workers.start(_identity, (spec, data.constants))
        self._folds: dict[str, RemoteFold] = {}

    def assemble(self, split: int, slots: Sequence[str]) -> RemoteFold:
        key, sides = f"daskml-fold-{uuid.uuid4().hex}", self.data.take(split)
        files: Any
        if self.folder:
            files = dump_fold(Path(self.folder, key), sides)
        else:
            lazily = dump_fold_lazily(key, sides)
            files = self.client.compute(lazily, workers=sorted(set(slots)), allow_other_workers=True)
        self._folds[key] = RemoteFold(key, files)
        return self._folds[key]

    def start(self, batch: FitBatch, fold: RemoteFold, slot: str) -> None:
        call = run_batch, self.constant, fold.files, fold.key, self._numbered(batch)
        self.pool.submit(*call, tag=(batch, slot, fold), worker=slot)

    def release(self, fold: RemoteFold) -> None:
        self._folds.pop(fold.key, None)
        if self.client.nthreads():  # all workers: one that had time may have taken a task of another's
            self.client.run(forget_fold, fold.key, on_error="ignore")
        if self.folder:
            shutil.rmtree(Path(self.folder, fold.key), ignore_errors=True)

    def close(self) -> None:
        super().close()
        for fold in list(self._folds.values()):
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


@contextmanager
def open_fit_pool(
    spec: FitSpec, candidates: Sequence[Mapping[str, Any]], data: FoldData, n_jobs: int | None
) -> Iterator[FitPool]:
    """Open a pool of the cluster's workers, or of threads; a task whose data are in memory keeps to itself.

    Raises
    ------
    DataError
        Where ``n_jobs`` is 0.
    """
    if n_jobs == 0:
        raise DataError("n_jobs: expected a number of threads, or -1 for all, got 0")
    client, inside = find_client(), in_task()
    if client is None or (inside and not data.is_lazy):
        n_threads = joblib.cpu_count() if n_jobs is not None and n_jobs < 0 else n_jobs
        with LocalFitPool(spec, candidates, data, n_threads) as threads:
            yield threads
        return
    with released_task_thread(), ClusterFitPool(client, spec, candidates, data) as workers:
        yield workers


_opened: dict[str, tuple[Fold, TransformerCache, str]] = {}
_opening = threading.Lock()


def run_batch(
    constant: tuple[FitSpec, Mapping[str, Any]],
    files: FoldFiles | None,
    key: str,
    candidates: Sequence[tuple[int, Mapping[str, Any]]],
) -> BatchReport | None:
    """Fit candidates on a worker; return None where it cannot read the fold."""
    if files is None:
        return None
    spec, constants = constant
    try:
        with _opening:
            if key not in _opened:
                _opened[key] = *with_cache(files.read(constants)), files.folder
            fold, cache, _ = _opened[key]
    except FileNotFoundError:
        return None
    return fit_candidates(spec, fold, cache, candidates)


def forget_fold(key: str, dask_worker: Any) -> None:
    """Let go of a fold in this process, and remove its files."""
    *_, folder = _opened.pop(key, (None,))
    remove_folders(key, dask_worker.local_directory, folder)


def _persisted(client: Client, data: FoldData) -> FoldData:
    """Return data in memory in blocks on the workers."""
    rows = align_rows(data.columns)
    columns = {}
    for column in rows.columns:
        keys = [block.key for block in column.blocks]
        sent = collect(column.meta, column.blocks[0].dask, keys, rows.lengths, "daskml-sent")
        columns[column.name] = client.persist(sent)
    return data._replace(columns=columns)


def _identity(value: Any) -> Any:
    return value

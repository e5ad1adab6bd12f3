"""Fit pools: batches of candidates on a worker pool, each with the fold that it needs in memory."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import dask.array as da
import dask.dataframe as dd
import joblib
import numpy as np
import scipy.sparse as sp
from dask.array.utils import meta_from_array
from distributed import Client, Future

from daskml_kit.data.align import align_rows, collect
from daskml_kit.data.collections import array_bytes, blocks_bytes, free_memory, has_unknown, workers_of
from daskml_kit.engines.open import find_client
from daskml_kit.engines.runtime import check_n_jobs, local_threads
from daskml_kit.exceptions import DamagedFileError, DataError
from daskml_kit.files import is_own
from daskml_kit.model_selection.search.fit_and_score import BatchReport, FitBatch, Numbered, fit_candidates
from daskml_kit.model_selection.search.fold import (
    Fold,
    FoldData,
    FoldFiles,
    dump_fold,
    dump_fold_lazily,
    remove_folders,
)
from daskml_kit.model_selection.search.search_plan import EvaluationSpec
from daskml_kit.workers.cluster_pool import ClusterPool
from daskml_kit.workers.connection import in_task, released_task_thread, wait_for_workers
from daskml_kit.workers.environment import run_on_workers
from daskml_kit.workers.worker_pool import LocalPool, WorkerPool

logger = logging.getLogger(__name__)
NOBODY_HAS, MOST_ANNOUNCED = "daskml-kit-nobody-has", 100
FinishedBatch: TypeAlias = tuple[FitBatch, str, Any, BatchReport | None]
"""A batch that a worker has finished, the worker, and the fold; without a report this was lost with another worker."""


class LocalFold:
    """A fold of data in memory, made by the first thread that needs it."""

    def __init__(self, data: FoldData, split: int) -> None:
        self.data, self.split = data, split
        self.lock = threading.Lock()
        self.opened: Fold | None = None

    def open(self) -> Fold:
        with self.lock:
            if self.opened is None:
                self.opened = Fold(self.data.take(self.split), self.data.constants).with_cache()
            return self.opened


class FitPool:
    """Worker pool that fits batches of candidates on folds, on threads of this process.

    Parameters
    ----------
    pool : LocalPool
    spec : EvaluationSpec
        As its ``for_fits`` gives it.
    candidates : sequence of mappings
        Parameters; they are asked for as they are sent.
    data : FoldData
        In memory.
    """

    def __init__(
        self, pool: WorkerPool, spec: EvaluationSpec, candidates: Sequence[Mapping[str, Any]], data: FoldData
    ) -> None:
        self.pool, self.spec, self.candidates, self.data = pool, spec, candidates, data

    def slots(self) -> Mapping[str, list[str]]:
        """Return for each machine the worker process of each of its threads."""
        return self.pool.slots()

    def assemble(self, split: int, slots: Sequence[str]) -> Any:
        """Return a handle of the fold that workers of one machine are to work on; it may still be on its way."""
        return LocalFold(self.data, split)

    def start(self, batch: FitBatch, fold: Any, slot: str) -> None:
        """Start to fit a batch on a worker."""
        self.pool.submit(self._fit, batch, fold, tag=(batch, slot, fold))

    def release(self, fold: Any) -> None:
        """Let go of a fold."""
        fold.opened = None

    def announce(self, n_batches: int) -> None:
        """Let a cluster know that so many more batches are to come."""

    def wait_for_workers(self) -> None:
        """Wait for a worker, where all are gone."""

    def next(self) -> FinishedBatch:
        """Wait for the next batch that is finished; raise what it raised."""
        finished: Any = self.pool.next()
        return (*finished.tag, finished.value)

    def close(self) -> None:
        """Cancel the fits that have not ended, and let go of all folds."""
        self.pool.close()

    def _fit(self, batch: FitBatch, fold: LocalFold) -> BatchReport:
        return fit_candidates(self.spec, fold.open(), self._numbered(batch), self.pool.stopped)  # type: ignore[attr-defined]

    def _numbered(self, batch: FitBatch) -> list[Numbered]:
        return [(number, self.candidates[number]) for number in batch.numbers.tolist()]


class RemoteFold(NamedTuple):
    """A fold in files of one machine, that its workers know by ``key``."""

    key: str
    files: Future | FoldFiles | None


class ClusterFitPool(FitPool):
    """Fits on the workers of a cluster; a fold is written once for each machine, to files that its workers map.

    Blocks on Dask are written each by a task of its own, where they lie. Data in memory are written by the client where
    workers can read its files, else they are sent to them once.
    """

    pool: ClusterPool

    def __init__(
        self, client: Client, spec: EvaluationSpec, candidates: Sequence[Mapping[str, Any]], data: FoldData
    ) -> None:
        self.client = client
        self.folder = None if data.is_lazy else self._visible_folder()
        if not data.is_lazy and self.folder is None:
            data = _persisted(client, data)
        super().__init__(ClusterPool(client), spec, candidates, data)
        self.constant = self.pool.start(tuple, (spec, data.constants))
        self._folds: dict[str, RemoteFold] = {}
        self._announced: list[Future] = []

    def assemble(self, split: int, slots: Sequence[str]) -> RemoteFold:
        key, sides = f"daskml-fold-{uuid.uuid4().hex}", self.data.take(split)
        workers = workers_of(self.client).values()
        require_room(sides["X"][0], max((w["memory_limit"] or np.inf for w in workers), default=np.inf), "a worker")
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

    def announce(self, n_batches: int) -> None:
        # Each worker has one batch at a time, by which an adaptive cluster would never see that there is work for more.
        # A task that no worker can run waits in its place, by a batch's name: Dask expects it to take as long.
        missing = min(n_batches, MOST_ANNOUNCED) - len(self._announced)
        if missing < 0:
            del self._announced[missing:]
        elif missing:
            needs = {"resources": {NOBODY_HAS: 1}, "key": self.pool.task_name(run_batch), "pure": False}
            self._announced += self.client.map(int, range(missing), **needs)

    def wait_for_workers(self) -> None:
        wait_for_workers(self.client)

    def release(self, fold: RemoteFold) -> None:
        self._folds.pop(fold.key, None)
        if self.client.status == "running" and self.client.nthreads():
            # on all workers: one that had time may have taken a task of another's
            run_on_workers(self.client, forget_fold, fold.key)
        if self.folder:
            shutil.rmtree(Path(self.folder, fold.key), ignore_errors=True)

    def close(self) -> None:
        super().close()
        if self.client.status == "running":
            self.client.cancel(self._announced)
        for fold in list(self._folds.values()):
            self.release(fold)
        if self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _visible_folder(self) -> str | None:
        """Return a new folder that the client and all workers see, or None; it goes with the worker whose it is."""
        workers = workers_of(self.client).values()
        try:
            folder = tempfile.mkdtemp(prefix="daskml-", dir=next(iter(workers))["local_directory"])
        except (StopIteration, OSError):  # no workers, or none on this machine
            return None
        seen = run_on_workers(self.client, is_own, folder)
        if seen and all(seen.values()):
            return folder
        os.rmdir(folder)
        return None


@contextmanager
def open_fit_pool(spec: EvaluationSpec, candidates: Sequence[Mapping[str, Any]], data: FoldData) -> Iterator[FitPool]:
    """Open a pool of the cluster's workers, or of threads; a task whose data are in memory keeps to itself.

    Raises
    ------
    DataError
        Where ``n_jobs`` is no number of threads.
    """
    n_jobs = spec.n_jobs
    check_n_jobs(n_jobs)
    client = find_client()
    if client is not None and (data.is_lazy or not in_task()):
        with released_task_thread(), closing(ClusterFitPool(client, spec, candidates, data)) as workers:
            yield workers
        return
    n_threads = joblib.cpu_count() if n_jobs is not None and n_jobs < 0 else n_jobs or local_threads()
    if data.is_lazy:
        require_room(data.columns["X"], free_memory(None), "this process")
    in_memory = data.computed() if data.is_lazy else data
    with closing(FitPool(LocalPool(n_threads), spec, candidates, in_memory)) as threads:
        yield threads


def require_room(rows: Any, room: float, where: str) -> None:
    """Raise where rows that estimators need at once have no place; of CSR and of unknown rows nobody knows before.

    Raises
    ------
    DataError
        It says how large they are, and what can be done.
    """
    if isinstance(rows, da.Array) and not has_unknown(rows) and not sp.issparse(meta_from_array(rows)):
        n_bytes = array_bytes(rows)
    elif isinstance(rows, dd.DataFrame):
        n_bytes = blocks_bytes(rows.to_delayed())
    else:
        return
    if n_bytes > room:
        raise DataError(
            f"X: an estimator that takes no Dask data needs its training rows in memory, {n_bytes / 1e9:.3g} GB, and "
            f"{where} has {room / 1e9:.3g} GB: take one of daskml_kit, an adaptive search over one with partial_fit, "
            "fewer rows, or more memory"
        )


_opened: dict[str, tuple[Fold, str]] = {}
_opening = threading.Lock()


def run_batch(
    common: tuple[EvaluationSpec, Mapping[str, Any]], files: FoldFiles | None, key: str, candidates: Sequence[Numbered]
) -> BatchReport | None:
    """Fit candidates on a worker; return None where it cannot read the fold, or this is damaged: it is made again."""
    if files is None:
        return None
    spec, constants = common
    try:
        with _opening:
            if key not in _opened:
                _opened[key] = files.read(constants).with_cache(), files.folder
            fold, _ = _opened[key]
    except FileNotFoundError:
        return None
    except DamagedFileError as error:
        logger.warning("%s; the fold is written again", error)
        return None
    return fit_candidates(spec, fold, candidates)


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

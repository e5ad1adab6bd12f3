"""Batches of candidates on threads of this process."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

import dask

from daskml_kit.model_selection.search.agenda import Batch
from daskml_kit.model_selection.search.data import Data
from daskml_kit.model_selection.search.fitting import Report, Study, fit_candidates
from daskml_kit.model_selection.search.fold import Fold
from daskml_kit.model_selection.search.memo import Memo

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

    def __init__(self, data: Data, split: int) -> None:
        self.data, self.split = data, split
        self.lock = threading.Lock()
        self.opened: tuple[Fold, Memo] | None = None

    def open(self) -> tuple[Fold, Memo]:
        with self.lock:
            if self.opened is None:
                self.opened = with_memo(Fold(self.data.take(self.split), self.data.constants))
            return self.opened


class LocalPool(AbstractContextManager["LocalPool"]):
    """Threads of this process: ``n_threads``, or as many as Dask's own scheduler would have."""

    def __init__(
        self, study: Study, candidates: Sequence[Mapping[str, Any]], data: Data, n_threads: int | None = None
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


def with_memo(fold: Fold) -> tuple[Fold, Memo]:
    """Return the fold, and room for what its candidates have in common."""
    return fold, Memo(2 * fold.n_bytes + MEMO_BYTES)

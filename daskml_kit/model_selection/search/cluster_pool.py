"""Batches of candidates on the workers of a Dask cluster."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

from distributed import CancelledError, Client, Future, as_completed

from daskml_kit.engines.rows import align_rows, collect
from daskml_kit.errors import LostDataError
from daskml_kit.model_selection.search.agenda import Batch
from daskml_kit.model_selection.search.data import Data
from daskml_kit.model_selection.search.fitting import Study
from daskml_kit.model_selection.search.fold import FoldFiles
from daskml_kit.model_selection.search.fold_tasks import collect_files, fold_files, forget, run_batch, write_packed
from daskml_kit.model_selection.search.local_pool import Done


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
    study : Study
    candidates : sequence of mappings
    data : Data
    """

    def __init__(self, client: Client, study: Study, candidates: Sequence[Mapping[str, Any]], data: Data) -> None:
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


def _persisted(client: Client, data: Data) -> Data:
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

"""Batches of candidates on the workers of a Dask cluster."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import dask
import dask.array as da
import numpy as np
import scipy.sparse as sp
from dask.array.utils import meta_from_array
from dask.delayed import Delayed
from distributed import CancelledError, Client, Future, as_completed, get_worker

from daskml_kit.engines.blocks import has_unknown
from daskml_kit.engines.rows import align_rows, collect
from daskml_kit.errors import LostDataError
from daskml_kit.model_selection.search.agenda import Batch
from daskml_kit.model_selection.search.data import Data
from daskml_kit.model_selection.search.fitting import Report, Study, fit_candidates
from daskml_kit.model_selection.search.fold import Fold, FoldFiles, Packed, Rows, pack, write_rows
from daskml_kit.model_selection.search.local_pool import Done, with_memo
from daskml_kit.model_selection.search.memo import Memo


class RemoteFold(NamedTuple):
    """A fold in files of one machine, that its workers know by ``key``."""

    key: str
    files: Future | FoldFiles


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
            folder.mkdir()
            packed = {
                name: tuple(pack(str(folder), f"{name}-{i}", [part]) for i, part in enumerate(parts))
                for name, parts in sides.items()
            }
            return RemoteFold(key, FoldFiles(str(folder), packed))  # type: ignore[arg-type]
        folder = dask.delayed(make_folder, pure=False)(key)
        written = {
            name: tuple(_write(folder, f"{name}-{i}", part) for i, part in enumerate(parts))
            for name, parts in sides.items()
        }
        files = dask.delayed(collect_files, pure=False)(folder, written)
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

    def release(self, fold: RemoteFold, slots: Sequence[str]) -> None:
        alive = set(self.client.nthreads()).intersection(slots)
        if alive:
            self.client.run(forget, fold.key, workers=sorted(alive), on_error="ignore")
        if self.folder:
            shutil.rmtree(Path(self.folder, fold.key), ignore_errors=True)

    def __exit__(self, *details: object) -> None:
        folds = {fold.key: fold for _, _, fold in self._running.values()}
        self.client.cancel([*self._done.futures])
        for fold in folds.values():
            self.release(fold, list(self.client.nthreads()))
        if self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _visible_folder(self) -> str | None:
        """Return a new folder here that all workers see, or None."""
        folder = tempfile.mkdtemp(prefix="daskml-")
        seen = self.client.run(os.path.exists, folder)
        if seen and all(seen.values()):
            return folder
        os.rmdir(folder)
        return None


_opened: dict[str, tuple[Fold, Memo, str]] = {}
_opening = threading.Lock()


def run_batch(
    study: tuple[Study, Mapping[str, Any]],
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


def forget(key: str) -> None:
    """Let go of a fold in this process, and remove its files: who still reads them has them until then."""
    *_, folder = _opened.pop(key, ("",))
    if folder:
        shutil.rmtree(folder, ignore_errors=True)


def make_folder(key: str) -> str:
    """Return the path of a new folder of this worker, which goes with it."""
    folder = Path(get_worker().local_directory, f"{key}-{uuid.uuid4().hex[:8]}")
    folder.mkdir(parents=True)
    return str(folder)


def collect_files(folder: str, written: Mapping[str, Sequence[tuple[Rows | Packed, list[str]]]]) -> FoldFiles | None:
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
        return dask.delayed(_packed)(folder, name, list(blocks))
    rows = Rows(name, part.shape, part.dtype)
    blocks = np.ravel(part.to_delayed(optimize_graph=False)).tolist()
    starts = np.cumsum([0, *part.chunks[0][:-1]]).tolist()
    write = dask.delayed(write_rows, pure=False)
    return rows, [write(folder, rows, start, block) for start, block in zip(starts, blocks, strict=True)]


def _packed(folder: str, name: str, parts: Sequence[Any]) -> tuple[Packed | None, list[str]]:
    packed = pack(folder, name, parts)
    return packed, ["" if packed is None else folder]


def _persisted(client: Client, data: Data) -> Data:
    rows = align_rows(data.columns)
    columns = {}
    for column in rows.columns:
        keys = [block.key for block in column.blocks]
        columns[column.name] = collect(column.meta, column.blocks[0].dask, keys, rows.lengths, "daskml-sent")
    return data._replace(columns=dict(zip(columns, client.persist(list(columns.values())), strict=True)))


def _hold(value: Any) -> Any:
    return value

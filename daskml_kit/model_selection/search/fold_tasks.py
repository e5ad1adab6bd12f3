"""Folds in files that tasks write, and the tasks that read them."""

from __future__ import annotations

import shutil
import threading
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import scipy.sparse as sp
from dask.array.utils import meta_from_array
from dask.delayed import Delayed
from distributed import get_worker

from daskml_kit.engines.blocks import has_unknown
from daskml_kit.model_selection.search.fitting import Report, Study, fit_candidates
from daskml_kit.model_selection.search.fold import Fold, FoldFiles, Packed, Rows, pack, write_rows
from daskml_kit.model_selection.search.local_pool import with_memo
from daskml_kit.model_selection.search.memo import Memo

_opened: dict[str, tuple[Fold, Memo, str]] = {}
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
    folder: str, written: Mapping[str, Sequence[tuple[Rows | Packed | None, list[str]]]]
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
    rows = Rows(name, part.shape, part.dtype)
    blocks = np.ravel(part.to_delayed(optimize_graph=False)).tolist()
    starts = np.cumsum([0, *part.chunks[0][:-1]]).tolist()
    write = dask.delayed(write_rows, pure=False)
    return rows, [write(folder, rows, start, block) for start, block in zip(starts, blocks, strict=True)]


def write_packed(folder: str, name: str, parts: Sequence[Any]) -> tuple[Packed | None, list[str]]:
    """Write joined rows; return what the file holds, and where it is: "" where there is no such folder here."""
    packed = pack(folder, name, parts)
    return packed, ["" if packed is None else folder]

"""Memory-mapped files of a cross-validation fold, shared by all worker processes of a machine."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import dask
import dask.array as da
import joblib
import numpy as np
import scipy.sparse as sp
from dask.array.utils import meta_from_array
from dask.delayed import Delayed
from distributed import get_worker

from daskml_kit.data.collections import has_unknown, join
from daskml_kit.model_selection.search.fold import Fold


class FoldFiles(NamedTuple):
    """Files of a fold: dense arrays as ``.npy``, data frames, CSR matrices and objects as joblib dumps them.

    Parameters
    ----------
    folder : str
    sides : mapping of str to (train, test)
        File names, by the names that `Fold` has.
    """

    folder: str
    sides: Mapping[str, Sequence[str]]

    def read(self, constants: Mapping[str, Any]) -> Fold:
        """Map the files into memory.

        Parameters
        ----------
        constants : mapping
            Of the fold.

        Returns
        -------
        Fold

        Raises
        ------
        FileNotFoundError
            Where they are gone, or were written on another machine.
        """
        sides = {name: (self._load(train), self._load(test)) for name, (train, test) in self.sides.items()}
        return Fold(sides, constants)

    def _load(self, name: str) -> Any:
        path = Path(self.folder, name)
        value = np.load(path, mmap_mode="r") if path.suffix == ".npy" else joblib.load(path, mmap_mode="r")
        return np.asarray(value) if isinstance(value, np.memmap) else value


def dump_fold(folder: Path, sides: Mapping[str, Sequence[Any]]) -> FoldFiles:
    """Write a fold that is in memory to a new folder."""
    folder.mkdir(mode=0o700, parents=True)
    files = {name: [f"{name}-{i}" for i in range(len(parts))] for name, parts in sides.items()}
    for name, parts in sides.items():
        for file, part in zip(files[name], parts, strict=True):
            joblib.dump(part, folder / file)
    return FoldFiles(str(folder), files)


def dump_fold_lazily(key: str, sides: Mapping[str, Sequence[Any]]) -> Delayed:
    """Return lazily the files of a fold of Dask collections; None where another worker's folder was lost meanwhile.

    The blocks of dense arrays are written each by a task of its own, where they lie. Those of data frames, CSR matrices
    and objects are joined first. The files are those of one machine.

    Parameters
    ----------
    key : str
        Begins the name of the folder, below the worker's local directory.
    sides : mapping of str to (train, test)
    """
    dense: dict[str, tuple[Any, Any]] = {}
    for name, parts in sides.items():
        dense.update({f"{name}-{i}.npy": (p.shape, p.dtype) for i, p in enumerate(parts) if _is_dense(p)})
    folder = dask.delayed(make_folder, pure=False)(key, dense)
    written = {
        name: [_dump(folder, f"{name}-{i}", part) for i, part in enumerate(parts)] for name, parts in sides.items()
    }
    return dask.delayed(collect_files, pure=False)(folder, written)


def make_folder(key: str, dense: Mapping[str, tuple[tuple[int, ...], Any]]) -> str:
    """Return the path of a new folder of this worker, which goes with it, with files of the shapes and dtypes given."""
    folder = Path(get_worker().local_directory, f"{key}-{uuid.uuid4().hex[:8]}")
    folder.mkdir(mode=0o700, parents=True)
    for name, (shape, dtype) in dense.items():
        np.lib.format.open_memmap(folder / name, "w+", dtype, shape)
    return str(folder)


def collect_files(folder: str, written: Mapping[str, Sequence[tuple[str, list[str]]]]) -> FoldFiles | None:
    """Return the files of a fold; None where some were written to another folder, that a lost worker had."""
    folders = {where for sides in written.values() for _, places in sides for where in places}
    if folders - {folder}:
        return None
    return FoldFiles(folder, {name: [file for file, _ in sides] for name, sides in written.items()})


def dump_rows(folder: str, name: str, start: int, part: Any) -> str:
    """Write rows from number ``start`` on; return the folder, or "" where there is none of that name here.

    Several processes may write blocks of a file at a time.
    """
    path = Path(folder, name)
    if not path.exists():
        return ""
    np.lib.format.open_memmap(path, "r+")[start : start + len(part)] = part
    return folder


def dump_joined(folder: str, name: str, parts: Sequence[Any]) -> str:
    """Write the rows of all parts; return the folder, or "" where there is none of that name here."""
    path = Path(folder, name)
    if not path.parent.is_dir():
        return ""
    joblib.dump(join(list(parts)), path)
    return folder


def remove_folders(key: str, local_directory: str, folder: str | None = None) -> None:
    """Remove the files of a fold below a worker's directory; processes that have mapped them keep them."""
    for path in Path(local_directory).glob(f"{key}-*"):
        shutil.rmtree(path, ignore_errors=True)
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)


def _is_dense(part: Any) -> bool:
    dense = isinstance(part, da.Array) and not sp.issparse(meta_from_array(part)) and part.dtype.kind != "O"
    return dense and not has_unknown(part)


def _dump(folder: Delayed, name: str, part: Any) -> tuple[str, list[Delayed]]:
    """Return the name of a side's file, and lazily where each of its parts was written."""
    if not _is_dense(part):
        blocks = np.ravel(part.to_delayed()).tolist() if isinstance(part, da.Array) else part.to_delayed()
        return name, [dask.delayed(dump_joined, pure=False)(folder, name, list(blocks))]
    blocks = np.ravel(part.to_delayed(optimize_graph=False)).tolist()
    starts = np.cumsum([0, *part.chunks[0][:-1]]).tolist()
    write, name = dask.delayed(dump_rows, pure=False), f"{name}.npy"
    return name, [write(folder, name, start, block) for start, block in zip(starts, blocks, strict=True)]

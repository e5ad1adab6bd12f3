"""Training and test rows of one split, in memory and in memory-mapped files that all processes of a machine share."""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Self

import dask
import dask.array as da
import joblib
import numpy as np
import scipy.sparse as sp
from dask.array.utils import meta_from_array
from dask.delayed import Delayed
from distributed import get_worker
from sklearn.utils import get_tags, indexable

from daskml_kit.data.align import align_rows
from daskml_kit.data.collections import has_unknown, is_dask, join, n_rows
from daskml_kit.exceptions import DataError
from daskml_kit.files import check_trusted, content_of, make_file, make_private, word_sum
from daskml_kit.model_selection.search.pipeline_cache import TransformerCache, bytes_of
from daskml_kit.model_selection.search.search_plan import EvaluationData
from daskml_kit.model_selection.splits.folds import Folds

CACHE_BYTES = 64 * 2**20
"""Of transformers' outputs that candidates share, beside twice the bytes of the fold."""


class Fold:
    """Training and test rows of one split.

    Parameters
    ----------
    sides : mapping of str to (train, test)
        Of "X", perhaps "y", and of the parameters with a value for each row: "fit.name", "score.name".
    constants : mapping of str to object
        The other parameters, by such names.
    """

    cache: TransformerCache
    """Of the transformers that candidates on the fold have in common; `with_cache` makes it."""

    def __init__(self, sides: Mapping[str, tuple[Any, Any]], constants: Mapping[str, Any]) -> None:
        self.sides, self.constants = sides, constants

    @property
    def X(self) -> tuple[Any, Any]:
        return self.sides["X"]

    @property
    def n_test(self) -> int:
        X = self.X[1]
        return len(X) if hasattr(X, "divisions") else n_rows(X)

    @property
    def fit_params(self) -> dict[str, Any]:
        return self._params("fit.", 0)

    def score_params(self, side: int) -> dict[str, Any]:
        """Return the parameters of scorers for training rows (0) or test rows (1)."""
        return self._params("score.", side)

    def side(self, name: str, side: int) -> Any:
        """Return training rows (0) or test rows (1) of a part; None where there is no such part."""
        return self.sides[name][side] if name in self.sides else None

    def protected(self) -> Fold:
        """Return the fold read-only, its X known to the cache."""
        known, sides = self.cache.name, self.sides.items()
        fold = Fold({name: (known(a, (name, 0)), known(b, (name, 1))) for name, (a, b) in sides}, self.constants)
        fold.cache = self.cache
        return fold

    def with_cache(self, max_bytes: float | None = None) -> Self:
        """Return the fold with a new cache, by default of twice its own size."""
        if max_bytes is None:
            max_bytes = 2 * sum(map(bytes_of, self.sides.values())) + CACHE_BYTES
        self.cache = TransformerCache(max_bytes)
        return self

    def _params(self, prefix: str, side: int) -> dict[str, Any]:
        rows = {name: parts[side] for name, parts in self.sides.items()}
        every = {**self.constants, **rows}
        return {name.removeprefix(prefix): value for name, value in every.items() if name.startswith(prefix)}


class FoldData(NamedTuple):
    """Collections with a value for each row, by the names that `Fold` has, and other parameters.

    Parameters
    ----------
    columns : mapping of str to collection
    constants : mapping of str to object
    folds : Folds
    pairwise : bool
        Whether X, in memory, has a column for each row, as precomputed kernels have.
    """

    columns: Mapping[str, Any]
    constants: Mapping[str, Any]
    folds: Folds
    pairwise: bool = False

    @classmethod
    def of(cls, data: EvaluationData, estimator: Any) -> Self:
        """Return the data; of the parameters those with as many values as there are rows are split with them."""
        X, y, folds, params = data
        columns = {"X": X} if y is None else {"X": X, "y": y}
        length = folds.ids[0].shape[0]
        constants: dict[str, Any] = {}
        for prefix, given in (("fit", params.fit), ("score", params.score)):
            for name, value in given.items():
                of_rows = is_dask(value) or _length(value) == length
                (columns if of_rows else constants)[f"{prefix}.{name}"] = _indexable(value) if of_rows else value
        pairwise = get_tags(estimator).input_tags.pairwise
        if pairwise and any(map(is_dask, columns.values())):
            raise DataError("X: a precomputed kernel or distance matrix has to be in memory, got a Dask collection")
        if pairwise:
            columns["X"] = X = np.asarray(X) if isinstance(X, list) else X
            if X.shape[0] != X.shape[1]:
                raise DataError(f"X: X should be a square kernel matrix, got shape {X.shape}")
        return cls(columns, constants, folds, pairwise)

    @property
    def is_lazy(self) -> bool:
        return any(map(is_dask, (*self.columns.values(), *self.folds.ids)))

    def computed(self) -> Self:
        """Return the data in memory."""
        ids = {f"fold {i}": ids for i, ids in enumerate(self.folds.ids)}
        rows = align_rows({**self.columns, **ids})
        blocks = dask.compute(*([column.blocks] for column in rows.columns))
        values = {column.name: join(parts) for column, (parts,) in zip(rows.columns, blocks, strict=True)}
        folds = self.folds._replace(ids=tuple(values.pop(name) for name in ids), counts=())
        return self._replace(columns=values, folds=folds)

    def take(self, split: int) -> dict[str, tuple[Any, Any]]:
        """Return training and test rows of a split of each column, lazily where any of them is on Dask."""
        parts = iter(self.folds.take(split, *self.columns.values()))
        taken = {name: (next(parts), next(parts)) for name in self.columns}
        if self.pairwise:
            columns = self.folds.row_numbers(split)[0]
            taken["X"] = taken["X"][0][:, columns], taken["X"][1][:, columns]
        return taken


def _indexable(value: Any) -> Any:
    return value if is_dask(value) else indexable(value)[0]


def _length(value: Any) -> int | None:
    """Return the number of rows of a parameter; None of what has none, such as a word or a mapping."""
    if isinstance(value, (str, bytes, Mapping)):
        return None
    if hasattr(value, "shape"):
        return int(value.shape[0]) if value.shape else None
    return len(value) if hasattr(value, "__len__") else None


class FoldFiles(NamedTuple):
    """Files of a fold: dense arrays as ``.npy``, data frames, CSR matrices and objects as joblib dumps them.

    Parameters
    ----------
    folder : str
    sides : mapping of str to (train, test)
        File names, by the names that `Fold` has.
    checksums : mapping of str to int
        Of the files, by their names.
    """

    folder: str
    sides: Mapping[str, Sequence[str]]
    checksums: Mapping[str, int]

    @classmethod
    def of(cls, folder: str, sides: Mapping[str, Sequence[str]]) -> Self:
        """Return the files of a fold that were written."""
        names = [name for files in sides.values() for name in files]
        return cls(folder, sides, {name: word_sum(content_of(Path(folder, name))) for name in names})

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
        DamagedFileError
            Where one is damaged.
        UntrustedFileError
            Where another user could have written one that has objects.
        """
        sides = {name: (self._load(train), self._load(test)) for name, (train, test) in self.sides.items()}
        return Fold(sides, constants)

    def _load(self, name: str) -> Any:
        path = Path(self.folder, name)
        if path.suffix != ".npy":
            check_trusted(path)  # joblib unpickles
        content_of(path, self.checksums[name])
        value = np.load(path, mmap_mode="r") if path.suffix == ".npy" else joblib.load(path, mmap_mode="r")
        return np.asarray(value) if isinstance(value, np.memmap) else value


def dump_fold(folder: Path, sides: Mapping[str, Sequence[Any]]) -> FoldFiles:
    """Write a fold that is in memory to a new folder."""
    make_private(folder)
    files = {name: [f"{name}-{i}" for i in range(len(parts))] for name, parts in sides.items()}
    with _telling_no_room(folder):
        for name, parts in sides.items():
            for file, part in zip(files[name], parts, strict=True):
                make_file(folder / file)
                joblib.dump(part, folder / file)
    return FoldFiles.of(str(folder), files)


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
    make_private(folder)
    with _telling_no_room(folder):
        for name, (shape, dtype) in dense.items():
            make_file(folder / name)
            np.lib.format.open_memmap(folder / name, "w+", dtype, shape)
            _take_room(folder / name)
    return str(folder)


def collect_files(folder: str, written: Mapping[str, Sequence[tuple[str, list[str]]]]) -> FoldFiles | None:
    """Return the files of a fold; None where some were written to another folder, that a lost worker had."""
    folders = {where for sides in written.values() for _, places in sides for where in places}
    if folders - {folder}:
        return None
    return FoldFiles.of(folder, {name: [file for file, _ in sides] for name, sides in written.items()})


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
    path.unlink(missing_ok=True)  # of a task that was lost on the way
    with _telling_no_room(path.parent):
        make_file(path)
        joblib.dump(join(list(parts)), path)
    return folder


def remove_folders(key: str, local_directory: str, folder: str | None = None) -> None:
    """Remove the files of a fold below a worker's directory; processes that have mapped them keep them."""
    for path in Path(local_directory).glob(f"{key}-*"):
        shutil.rmtree(path, ignore_errors=True)
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _telling_no_room(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        told = f"the rows of a fold cannot be written: {error.strerror or error}"
        raise OSError(error.errno or errno.EIO, told, str(folder)) from error


def _take_room(path: Path) -> None:
    """Let a new file have its room on the disk now: a full one would kill the process that writes to its mapping."""
    if hasattr(os, "posix_fallocate"):  # macOS has none
        with open(path, "r+b") as file:
            os.posix_fallocate(file.fileno(), 0, os.fstat(file.fileno()).st_size)


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

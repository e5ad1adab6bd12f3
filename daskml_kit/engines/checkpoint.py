"""A log of the answers that a fit received, which is its checkpoint: solvers are deterministic."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import dask.base
import numpy as np
import scipy.sparse as sp

from daskml_kit.engines.engine import Engine, Profile
from daskml_kit.exceptions import CheckpointError
from daskml_kit.reductions.reduction import Reduction


def check_folder(checkpoint: Any) -> None:
    """Raise unless ``checkpoint`` is None, or the path of a folder that exists or can be made."""
    if checkpoint is None:
        return
    if not isinstance(checkpoint, (str, os.PathLike)):
        raise TypeError(f"checkpoint: expected the path of a folder, got {checkpoint!r}")
    if os.path.exists(checkpoint) and not os.path.isdir(checkpoint):
        raise ValueError(f"checkpoint: expected the path of a folder, got that of a file, {os.fspath(checkpoint)!r}")


class Transcript(AbstractContextManager["Transcript"]):
    """An engine that writes down each answer, and gives those it has written instead of asking again.

    Answers are files of plain arrays (``numpy.savez``, no pickles), one a pass, each written beside its place and
    moved there, so that a folder holds whole answers only.

    Parameters
    ----------
    engine : Engine
    folder : path
        Made where it does not exist.
    fingerprint : str
        Says which data and parameters the answers belong to.

    Raises
    ------
    CheckpointError
        Where the folder belongs to other data or parameters.
    """

    def __init__(self, engine: Engine, folder: str | os.PathLike[str], fingerprint: str) -> None:
        self.engine = engine
        self.folder = Path(folder)
        self.n_blocks = engine.n_blocks
        self._asked = 0
        self.folder.mkdir(parents=True, exist_ok=True)
        self._claim(f"{fingerprint} {engine.n_blocks}")

    @property
    def profile(self) -> Profile:
        return self.engine.profile

    def answer(self, reduction: Reduction) -> list[Any]:
        """Return the written answer to this reduction, or ask it and write the answer down."""
        self._asked += 1
        path = self.folder / f"{self._asked:06d}.npz"
        asked = dask.base.tokenize(type(reduction).__name__, vars(reduction))
        if path.exists():
            return _read(path, asked, reduction.answer_type)
        answers = self.engine.answer(reduction)
        _write(path, asked, answers)
        return answers

    def relabel(self, change: Callable[[Any], Any]) -> None:
        self.engine.relabel(change)

    def __exit__(self, *details: object) -> None:
        return None

    def _claim(self, fingerprint: str) -> None:
        path = self.folder / "fingerprint"
        if not path.exists():
            _replace(path, lambda file: file.write(fingerprint.encode()))
        elif path.read_text() != fingerprint:
            raise CheckpointError(
                f"checkpoint: {self.folder} holds a fit of other data or other parameters; name another folder, or "
                "delete this one. Dask collections must have the same names in both fits, as those read from files have"
            )


def fingerprint_of(*values: Any) -> str:
    """Return a hash of data and parameters: of the content of arrays in memory, of the names of Dask collections."""
    return str(dask.base.tokenize(*values))


def _write(path: Path, asked: str, answers: list[Any]) -> None:
    arrays = {"asked": np.array(asked), "n_answers": np.array(len(answers))}
    for number, answer in enumerate(answers):
        fields = answer._asdict() if hasattr(answer, "_asdict") else {"array": answer}
        for name, value in fields.items():
            arrays.update(_flat(f"{number}.{name}", value))
    _replace(path, lambda file: np.savez(file, **arrays))  # type: ignore[arg-type]  # names of arrays, not options


def _read(path: Path, asked: str, kind: Callable[..., Any] | None) -> list[Any]:
    with np.load(path, allow_pickle=False) as stored:
        if str(stored["asked"]) != asked:
            raise CheckpointError(f"checkpoint: {path} answers another reduction: the fit has changed since")
        answers: list[dict[str, Any]] = [{} for _ in range(int(stored["n_answers"]))]
        for entry in stored.files:
            number, dot, name = entry.partition(".")
            if dot and ":" not in name:
                answers[int(number)][name] = stored[entry].item() if stored[entry].ndim == 0 else stored[entry]
            elif name.endswith(":object"):
                answers[int(number)][name.removesuffix(":object")] = stored[entry].astype(object)
            elif name.endswith(":none"):
                answers[int(number)][name.removesuffix(":none")] = None
            elif name.endswith(":data"):
                parts = [stored[entry.replace(":data", f":{part}")] for part in ("data", "indices", "indptr")]
                shape = tuple(stored[entry.replace(":data", ":shape")])
                answers[int(number)][name.removesuffix(":data")] = sp.csr_array(tuple(parts), shape=shape)
    return [fields["array"] if kind is None else kind(**fields) for fields in answers]


def _flat(name: str, value: Any) -> dict[str, Any]:
    """Return ``value`` as named plain arrays."""
    if value is None:
        return {f"{name}:none": np.zeros(0)}
    if sp.issparse(value):
        arrays = {part: getattr(value, part) for part in ("data", "indices", "indptr")}
        return {f"{name}:{part}": array for part, array in {**arrays, "shape": np.array(value.shape)}.items()}
    array = np.asarray(value)
    return {f"{name}:object": array.astype(str)} if array.dtype == object else {name: array}


def _replace(path: Path, write: Callable[[Any], Any]) -> None:
    """Write a file beside ``path``, then move it there, so that no reader sees half of it."""
    handle, beside = tempfile.mkstemp(dir=path.parent, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
        os.replace(beside, path)
    except BaseException:
        os.unlink(beside)
        raise

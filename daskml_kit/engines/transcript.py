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

from daskml_kit.engines.engine import Engine
from daskml_kit.engines.profile import Profile
from daskml_kit.errors import CheckpointError
from daskml_kit.queries.query import Query


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

    def answer(self, query: Query) -> list[Any]:
        """Return the written answer to this question, or ask it and write the answer down."""
        self._asked += 1
        path = self.folder / f"{self._asked:06d}.npz"
        asked = dask.base.tokenize(type(query).__name__, vars(query))
        if path.exists():
            return _read(path, asked)
        answers = self.engine.answer(query)
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
    arrays: dict[str, Any] = {"asked": np.array(asked), "n_answers": np.array(len(answers))}
    for number, answer in enumerate(answers):
        fields = answer._asdict() if hasattr(answer, "_asdict") else {"": answer}
        arrays[f"{number}"] = np.array(_type_name(answer))
        for name, value in fields.items():
            arrays.update(_flat(f"{number}.{name}", value))
    _replace(path, lambda file: np.savez(file, **arrays))


def _read(path: Path, asked: str) -> list[Any]:
    with np.load(path, allow_pickle=False) as stored:
        if str(stored["asked"]) != asked:
            raise CheckpointError(f"checkpoint: {path} answers another question; the fit has changed since it was written")
        return [_restore(stored, number) for number in range(int(stored["n_answers"]))]


def _flat(name: str, value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if sp.issparse(value):
        parts = {"data": value.data, "indices": value.indices, "indptr": value.indptr, "shape": np.array(value.shape)}
        return {f"{name}:csr.{part}": array for part, array in parts.items()}
    array = np.asarray(value)
    if array.dtype == object:
        return {f"{name}:object": array.astype(str)}
    return {f"{name}:{'array' if isinstance(value, np.ndarray) else 'scalar'}": array}

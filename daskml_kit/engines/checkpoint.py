"""A log of the answers that a fit received, which is its checkpoint: solvers are deterministic."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import dask.base
import numpy as np
import scipy.sparse as sp

from daskml_kit.engines.engine import Engine, Profile
from daskml_kit.exceptions import CheckpointError, DamagedFileError
from daskml_kit.files import make_private, open_file, read_file, write_file
from daskml_kit.reductions.reduction import Joint, Reduction

logger = logging.getLogger(__name__)


class Transcript(AbstractContextManager["Transcript"]):
    """An engine that writes down each answer, and gives those it has written instead of asking again.

    Answers are files of plain arrays (``numpy.savez``, no pickles) with checksums, one a pass, each written beside its
    place and moved there, so that a folder holds whole answers only. One that is damaged is asked again.

    Parameters
    ----------
    engine : Engine
    folder : path
        Made, for its owner alone, where it does not exist.
    fingerprint : str
        Says which data and parameters the answers belong to.

    Raises
    ------
    CheckpointError
        Where the folder belongs to other data or parameters, or cannot be written.
    """

    def __init__(self, engine: Engine, folder: str | os.PathLike[str], fingerprint: str) -> None:
        self.engine = engine
        self.folder = make_private(folder)
        self.n_blocks, self.streams, self.row_counts = engine.n_blocks, engine.streams, engine.row_counts
        self._asked = 0
        self._claim(f"{fingerprint} {engine.n_blocks}")

    @property
    def profile(self) -> Profile:
        return self.engine.profile

    def answer(self, reduction: Reduction) -> list[Any]:
        """Return the written answer to this reduction, or ask it and write the answer down."""
        self._asked += 1
        path = self.folder / f"{self._asked:06d}.npz"
        asked = dask.base.tokenize(type(reduction).__name__, vars(reduction))
        try:
            return _read(path, asked, reduction)
        except FileNotFoundError:
            pass
        except DamagedFileError as error:
            logger.warning("%s; this pass is made again", error)
        answers = self.engine.answer(reduction)
        _write(path, asked, answers if isinstance(reduction, Joint) else [answers])
        return answers

    def relabel(self, change: Callable[[Any], Any]) -> None:
        self.engine.relabel(change)

    def __exit__(self, *details: object) -> None:
        return None

    def _claim(self, fingerprint: str) -> None:
        path = self.folder / "fingerprint"
        try:
            found = read_file(path).decode()
        except FileNotFoundError:
            if any(self.folder.glob("[0-9]*.npz")):  # of somebody else, or whose fit they belong to cannot be told
                raise CheckpointError(f"checkpoint: {self.folder} holds files of no fit; name another folder") from None
            write_file(path, lambda file: file.write(fingerprint.encode()))
            return
        except DamagedFileError as error:
            raise DamagedFileError(f"checkpoint: {error}; name another folder, or delete {self.folder}") from error
        if found != fingerprint:
            raise CheckpointError(
                f"checkpoint: {self.folder} holds a fit of other data or other parameters; name another folder, or "
                "delete this one. Dask collections must have the same names in both fits, as those read from files have"
            )


def unlogged(engine: Engine) -> Engine:
    """Return the engine below, whose answers are not written down: for passes that a fit that resumes does not make."""
    return engine.engine if isinstance(engine, Transcript) else engine


def fingerprint_of(*values: Any) -> str:
    """Return a hash of data and parameters: of the content of arrays in memory, of the names of Dask collections."""
    return str(dask.base.tokenize(*values))


def _write(path: Path, asked: str, groups: Sequence[Sequence[Any]]) -> None:
    """Write the answers of each of the reductions that were asked together."""
    arrays = {"asked": np.array(asked), "n_answers": np.array([len(answers) for answers in groups])}
    for number, answer in enumerate(answer for answers in groups for answer in answers):
        fields = answer._asdict() if hasattr(answer, "_asdict") else {"array": answer}
        for name, value in fields.items():
            arrays.update(_flat(f"{number}.{name}", value))
    write_file(path, lambda file: np.savez(file, **arrays))  # type: ignore[arg-type]  # names of arrays, not options


def _read(path: Path, asked: str, reduction: Reduction) -> list[Any]:
    with open_file(path) as file, np.load(file, allow_pickle=False) as stored:
        if str(stored["asked"]) != asked:
            raise CheckpointError(f"checkpoint: {path} answers another reduction: the fit has changed since")
        sizes = np.atleast_1d(stored["n_answers"])
        answers: list[dict[str, Any]] = [{} for _ in range(sizes.sum())]
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
    left = iter(answers)
    together = reduction.reductions if isinstance(reduction, Joint) else (reduction,)
    groups = [[_built(one, next(left)) for _ in range(size)] for one, size in zip(together, sizes, strict=True)]
    return groups if isinstance(reduction, Joint) else groups[0]


def _built(reduction: Reduction, fields: dict[str, Any]) -> Any:
    return fields["array"] if reduction.answer_type is None else reduction.answer_type(**fields)


def _flat(name: str, value: Any) -> dict[str, Any]:
    """Return ``value`` as named plain arrays."""
    if value is None:
        return {f"{name}:none": np.zeros(0)}
    if sp.issparse(value):
        arrays = {part: getattr(value, part) for part in ("data", "indices", "indptr")}
        return {f"{name}:{part}": array for part, array in {**arrays, "shape": np.array(value.shape)}.items()}
    array = np.asarray(value)
    return {f"{name}:object": array.astype(str)} if array.dtype == object else {name: array}

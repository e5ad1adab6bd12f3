"""A folder that keeps what came of each fit of a search, which is its checkpoint."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from dask.tokenize import TokenizationError, tokenize

from daskml_kit.errors import CheckpointError
from daskml_kit.model_selection.search.outcome import Outcome, Place


class Journal(AbstractContextManager["Journal"]):
    """Outcomes by (candidate, split), in a file of JSON lines that is only ever added to.

    The first line says which search it is. Lines are written whole, each by one call of the system, so they outlive
    a process that is killed; the end of a line cut off, as by a machine that fails, is dropped.

    Parameters
    ----------
    folder : path
        Made where it does not exist.
    fingerprint : str
        Says which data, splits and parameters the outcomes belong to.

    Raises
    ------
    CheckpointError
        Where the folder belongs to another search, or its journal cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with Journal(folder, "these data") as journal:
    ...         journal.write({(0, 2): Outcome({"score": 0.5})})
    ...     with Journal(folder, "these data") as journal:
    ...         journal.outcomes[0, 2].test
    {'score': 0.5}
    """

    def __init__(self, folder: str | os.PathLike[str], fingerprint: str) -> None:
        self.path = Path(folder, "fits.jsonl")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            self.outcomes = self._read(fingerprint)
        except BaseException:
            os.close(self._file)
            raise

    def write(self, outcomes: Mapping[Place, Outcome]) -> None:
        """Add outcomes, all or none of them."""
        self._append(*(_line(place, outcome) for place, outcome in outcomes.items()))

    def __exit__(self, *details: object) -> None:
        os.close(self._file)

    def _read(self, fingerprint: str) -> dict[Place, Outcome]:
        whole, _, rest = self.path.read_bytes().rpartition(b"\n")
        if rest:
            os.truncate(self._file, len(whole) + 1 if whole else 0)
        if not whole:
            self._append({"fingerprint": fingerprint})
            return {}
        try:
            first, *lines = map(json.loads, whole.splitlines())
            known = first["fingerprint"]
            outcomes = {(line.pop("candidate"), line.pop("split")): Outcome(**line) for line in lines}
        except (ValueError, KeyError, TypeError) as error:
            raise CheckpointError(f"checkpoint: {self.path} cannot be read: {error!r}; delete it") from error
        if known != fingerprint:
            raise CheckpointError(
                f"checkpoint: {self.path.parent} holds a search with other data, splits or parameters; name another "
                "folder, or delete this one. Splitters that shuffle and random searches need a random_state, and Dask "
                "collections the same names in both fits, as those read from files have"
            )
        return outcomes

    def _append(self, *lines: Mapping[str, Any]) -> None:
        text = "".join(json.dumps(line, default=float) + "\n" for line in lines).encode()
        while text:
            text = text[os.write(self._file, text) :]


def _line(place: Place, outcome: Outcome) -> dict[str, Any]:
    fields = outcome._asdict()
    del fields["estimator"]
    return {"candidate": place[0], "split": place[1], **fields}


def fingerprint_of(*values: Any) -> str:
    """Return a hash that is the same in other processes: of data in memory by content, of Dask collections by name.

    Raises
    ------
    CheckpointError
        Where there is none.
    """
    try:
        return str(tokenize(*values, ensure_deterministic=True))
    except TokenizationError as error:
        raise CheckpointError(f"checkpoint: cannot tell this search from others: {error}") from error

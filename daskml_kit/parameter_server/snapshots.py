"""Snapshots of a parameter server: arrays in NumPy's format, the rest in JSON, put in place in one move."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile

import numpy as np

from daskml_kit.exceptions import CheckpointError
from daskml_kit.optim import Update
from daskml_kit.parameter_server.layout import Field, Layout
from daskml_kit.parameter_server.protocol import Consistency
from daskml_kit.parameter_server.state_machine import StateMachine, joined, split
from daskml_kit.typing import Array

NEWEST = "newest"
"""The file that names the folder of the last whole snapshot."""


class Snapshot(NamedTuple):
    """Snapshot of all servers together."""

    fields: tuple[Field, ...]
    consistency: Consistency
    vector: Array
    state: tuple[Array, ...]
    cuts: tuple[int, ...]
    counts: list[dict[str, Any]]
    """Of each range between these cuts."""

    @property
    def n_bytes(self) -> int:
        return int(self.vector.nbytes)

    def cut(self, n_servers: int, update: Update) -> tuple[Layout, list[StateMachine]]:
        """Return the layout over as many servers as there are now, and their state machines."""
        params = Layout(self.fields, (0, len(self.vector)), self.vector.dtype.str).unflatten(self.vector)
        layout = Layout.of(params, n_servers)
        counts = self.counts if layout.cuts == self.cuts else [self._least()] * n_servers
        return layout, split(layout, self.vector, update, self.consistency, self.state, [*map(_kept, counts)])

    def _least(self) -> dict[str, Any]:
        """Return the counts that all ranges have at least, where others are cut now."""
        first = min(self.counts, key=lambda counts: int(counts["version"]))
        numbers = {name: min(own["numbers"].get(name, [-1, -1]) for own in self.counts) for name in first["numbers"]}
        return {**first, "numbers": numbers}


def _kept(counts: dict[str, Any]) -> dict[str, Any]:
    numbers = {name: (assignment, at) for name, (assignment, at) in counts["numbers"].items()}
    staleness_counts = Counter({int(n): count for n, count in counts["staleness_counts"].items()})
    return {**counts, "numbers": numbers, "staleness_counts": staleness_counts}


def write_snapshot(
    directory: str | os.PathLike[str], layout: Layout, machines: list[StateMachine], consistency: Consistency
) -> None:
    """Write the state of the servers; a reader sees the last whole snapshot until this one is whole."""
    root = Path(directory)
    folder = root / f"snapshot-{uuid.uuid4().hex}"
    folder.mkdir(parents=True)
    state = joined(machine.state for machine in machines)
    arrays: dict[str, Any] = {f"state_{i}": array for i, array in enumerate(state)}
    with open(folder / "arrays.npz", "wb") as file:
        np.savez(file, vector=np.concatenate([machine.vector for machine in machines]), **arrays)
        os.fsync(file.fileno())
    about = {
        "fields": layout.fields,
        "consistency": consistency._asdict(),
        "n_state": len(arrays),
        "rule": _rule(machines[0].update),
        "cuts": layout.cuts,
        "counts": [{**machine.counts()._asdict(), "numbers": machine.numbers} for machine in machines],
    }
    (folder / "about.json").write_text(json.dumps(about))
    pointer = root / f"{NEWEST}-{uuid.uuid4().hex}"
    pointer.write_text(folder.name)
    os.replace(pointer, root / NEWEST)
    for old in root.glob("snapshot-*"):
        if old != folder:
            shutil.rmtree(old, ignore_errors=True)


def read_snapshot(directory: str | os.PathLike[str], update: Update) -> Snapshot:
    """Return the last whole snapshot in a directory.

    Raises
    ------
    CheckpointError
        Where there is none, it cannot be read, or its state is of another rule.
    """
    root = Path(directory)
    try:
        folder = root / (root / NEWEST).read_text()
        about = json.loads((folder / "about.json").read_text())
        rule = about["rule"]
        with open(folder / "arrays.npz", "rb") as file, np.load(file, allow_pickle=False) as arrays:
            vector = arrays["vector"]
            state = tuple(arrays[f"state_{i}"] for i in range(about["n_state"]))
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise CheckpointError(f"{os.fspath(directory)!r} holds no snapshot that can be read: {error}") from error
    expected = [array.shape for array in update.init(vector)]
    if rule != _rule(update) or [array.shape for array in state] != expected:
        raise CheckpointError(
            f"update: the snapshot in {os.fspath(directory)!r} has the state of {rule}, of shapes "
            f"{[a.shape for a in state]}, which is not that of {update!r}: {expected}"
        )
    fields = tuple(Field(name, start, tuple(shape), dtype) for name, start, shape, dtype in about["fields"])
    return Snapshot(fields, Consistency(**about["consistency"]), vector, state, tuple(about["cuts"]), about["counts"])


def _rule(update: Update) -> str:
    """Return the name of the rule that a state belongs to; its settings may change."""
    return type(getattr(update, "rule", update)).__qualname__

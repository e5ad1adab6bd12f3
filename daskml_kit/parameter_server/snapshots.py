"""Snapshots of a parameter server: one file of arrays in NumPy's format, and of the rest in JSON."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from daskml_kit.exceptions import CheckpointError
from daskml_kit.files import make_private, open_file, write_file
from daskml_kit.optim import Update
from daskml_kit.parameter_server.layout import Field, Layout
from daskml_kit.parameter_server.protocol import Consistency
from daskml_kit.parameter_server.state_machine import StateMachine, joined, split
from daskml_kit.typing import Array

FILE = "snapshot.npz"
KEPT = "training_"
"""Before the names of arrays that belong to a training."""


class Snapshot(NamedTuple):
    """Snapshot of all servers together."""

    fields: tuple[Field, ...]
    consistency: Consistency
    vector: Array
    state: tuple[Array, ...]
    cuts: tuple[int, ...]
    counts: list[dict[str, Any]]
    """Of each range between these cuts."""
    training: dict[str, Any]
    """Of the training that it is a checkpoint of: numbers, and arrays by name; empty where it is of none."""

    @property
    def params(self) -> dict[str, Array]:
        """The named parameters."""
        return Layout(self.fields, (0, len(self.vector)), self.vector.dtype.str).unflatten(self.vector)

    @property
    def n_bytes(self) -> int:
        return int(self.vector.nbytes)

    def cut(self, n_servers: int, update: Update) -> tuple[Layout, list[StateMachine]]:
        """Return the layout over as many servers as there are now, and their state machines."""
        layout = Layout.of(self.params, n_servers)
        counts = self.counts if layout.cuts == self.cuts else [self._least()] * n_servers
        return layout, split(layout, self.vector, update, self.consistency, self.state, [*map(_kept, counts)])

    def _least(self) -> dict[str, Any]:
        """Return the counts that all ranges have at least, where others are cut now."""
        before, tables = Layout(self.fields, self.cuts, self.vector.dtype.str), dict(self.consistency.tables)
        ranges = [*enumerate(self.counts)]
        in_step = [counts for number, counts in ranges if not before.holds_only(number, tables)]
        numbered = [c for i, c in ranges if not tables or any(span.name in tables for span in before.spans(i))]
        first = min(in_step, key=lambda counts: int(counts["version"]))
        names = numbered[0]["numbers"]
        numbers = {name: min(own["numbers"].get(name, [-1, -1]) for own in numbered) for name in names}
        return {**first, "numbers": numbers}


def _kept(counts: dict[str, Any]) -> dict[str, Any]:
    numbers = {name: (assignment, at) for name, (assignment, at) in counts["numbers"].items()}
    staleness_counts = Counter({int(n): count for n, count in counts["staleness_counts"].items()})
    return {**counts, "numbers": numbers, "staleness_counts": staleness_counts}


def write_snapshot(
    directory: str | os.PathLike[str],
    layout: Layout,
    machines: list[StateMachine],
    consistency: Consistency,
    training: Mapping[str, Any] | None = None,
) -> None:
    """Write the state of the servers; a reader sees the last whole snapshot until this one is whole.

    Parameters
    ----------
    directory : path
    layout : Layout
    machines : list of StateMachine
        Of all ranges, in their order.
    consistency : Consistency
    training : mapping, optional
        What a training needs beside them to go on: arrays, and what JSON has.

    Raises
    ------
    CheckpointError
        Where it cannot be written; the last one is left.
    """
    state = joined(machine.state for machine in machines)
    arrays: dict[str, Any] = {f"state_{i}": array for i, array in enumerate(state)}
    about = {
        "fields": layout.fields,
        "consistency": consistency._asdict(),
        "n_state": len(state),
        "rule": _rule(machines[0].update),
        "cuts": layout.cuts,
        "counts": [{**machine.counts()._asdict(), "numbers": machine.numbers} for machine in machines],
        "training": {name: value for name, value in (training or {}).items() if not isinstance(value, np.ndarray)},
    }
    arrays |= {f"{KEPT}{name}": value for name, value in (training or {}).items() if isinstance(value, np.ndarray)}
    arrays["vector"] = np.concatenate([machine.vector for machine in machines])
    arrays["about"] = json.dumps(about, default=np.generic.item)
    write_file(make_private(directory) / FILE, lambda file: np.savez(file, **arrays), durable=True)


def read_snapshot(directory: str | os.PathLike[str], update: Update) -> Snapshot:
    """Return the last whole snapshot in a directory.

    Raises
    ------
    CheckpointError
        Where there is none, it is damaged, or its state is of another rule.
    """
    try:
        with open_file(Path(directory, FILE)) as file, np.load(file, allow_pickle=False) as arrays:
            about = json.loads(str(arrays["about"]))
            vector, state = arrays["vector"], tuple(arrays[f"state_{i}"] for i in range(about["n_state"]))
            kept = {name.removeprefix(KEPT): arrays[name] for name in arrays.files if name.startswith(KEPT)}
    except (CheckpointError, FileNotFoundError) as error:
        raise CheckpointError(f"{os.fspath(directory)!r} holds no snapshot that can be read: {error}") from error
    rule = about["rule"]
    expected = [array.shape for array in update.init(vector)]
    if rule != _rule(update) or [array.shape for array in state] != expected:
        raise CheckpointError(
            f"update: the snapshot in {os.fspath(directory)!r} has the state of {rule}, of shapes "
            f"{[a.shape for a in state]}, which is not that of {update!r}: {expected}"
        )
    fields = tuple(Field(name, start, tuple(shape), dtype) for name, start, shape, dtype in about["fields"])
    cuts, training = tuple(about["cuts"]), {**about.get("training", {}), **kept}
    consistency = Consistency(**about["consistency"])
    consistency = consistency._replace(tables=tuple((name, bound) for name, bound in consistency.tables))
    return Snapshot(fields, consistency, vector, state, cuts, about["counts"], training)


def _rule(update: Update) -> str:
    """Return the name of the rule that a state belongs to; its settings may change."""
    return type(getattr(update, "rule", update)).__qualname__

"""What a job has to say, for people and as JSON."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from daskml_kit.jobs.judge import Verdict

N_COEFFICIENTS = 10


@dataclass(frozen=True)
class Coefficient:
    """The coefficient of a prepared feature; with several classes, of the class where it is largest."""

    feature: str
    value: float
    of: str | None = None


@dataclass(frozen=True)
class Report:
    """The facts of one training job; rows are counts, times are seconds."""

    data: str
    target: str
    about: str
    rows: int
    dropped: int
    train_rows: int
    test_rows: int
    columns: dict[str, list[str]]
    unused: dict[str, str]
    partitions: int
    features: int
    where: str
    task: str
    model: str
    solver: str
    iterations: int | None
    passes: int
    converged: bool
    parameters: dict[str, Any]
    seconds: dict[str, float]
    test: list[Verdict]
    baseline: str
    coefficients: list[Coefficient]
    notes: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Return the facts as dictionaries; a metric that is not defined is None."""
        facts = asdict(self)
        facts["test"] = {v.metric: {"model": _finite(v.model), "baseline": _finite(v.baseline)} for v in self.test}
        facts["parameters"] = {name: _finite(value) for name, value in self.parameters.items()}
        return facts

    def as_text(self) -> str:
        """Return the facts as lines of aligned columns."""
        return "\n".join(f"{name:<14}{text}".rstrip() for name, text in self._lines())

    def _lines(self) -> Iterator[tuple[str, str]]:
        yield "data", f"{self.data}, {_counted(self.partitions, 'partition', 'partitions')}, {self.where}"
        dropped = f", {self.dropped:,} dropped ({self.target} missing)" if self.dropped else ""
        yield "rows", f"{self.rows:,} read{dropped}; {self.train_rows:,} to train, {self.test_rows:,} to test"
        yield "target", f"{self.target} ({self.task}): {self.about}"
        for kind, names in self.columns.items():
            if names:
                yield kind, _few(names)
        if self.unused:
            yield "not used", _few([f"{name} ({why})" for name, why in self.unused.items()])
        yield "model", f"{self.model}, {self.features:,} features, solver {self.solver}"
        effort = [] if self.iterations is None else [_counted(self.iterations, "iteration", "iterations")]
        effort += [_counted(self.passes, "pass", "passes"), "converged" if self.converged else "NOT CONVERGED"]
        yield "", ", ".join(effort)
        yield "seconds", ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in self.seconds.items())
        yield "", ""
        yield "test", f"{'model':>10}{'baseline':>10}   (baseline: {self.baseline})"
        for verdict in self.test:
            yield f"  {verdict.metric}", f"{_short(verdict.model)}{_short(verdict.baseline)}"
        yield "", ""
        yield "coefficients", f"the {len(self.coefficients)} largest of {self.features:,}, of standardised features"
        for coefficient in self.coefficients:
            of = f" (for {coefficient.of})" if coefficient.of is not None else ""
            yield "", f"{coefficient.value:>+10.4f}  {coefficient.feature}{of}"
        for note in self.notes:
            yield "note", note


def largest(names: Sequence[str], coef: Any, classes: Sequence[Any] = ()) -> list[Coefficient]:
    """Return the coefficients of the greatest size.

    Parameters
    ----------
    names : sequence of length n_features
    coef : array of shape (n_features,) or (n_outputs, n_features)
    classes : sequence of length n_outputs, optional

    Examples
    --------
    >>> largest(["a", "b"], [[1.0, -3.0]])[0]
    Coefficient(feature='b', value=-3.0, of=None)
    """
    table = np.atleast_2d(np.asarray(coef))
    output = abs(table).argmax(axis=0)
    value = table[output, np.arange(table.shape[1])]
    order = np.argsort(-abs(value), kind="stable")[:N_COEFFICIENTS]
    of = [str(classes[i]) if len(table) > 1 and len(classes) else None for i in output]
    return [Coefficient(str(names[i]), float(value[i]), of[i]) for i in order]


def _few(names: Sequence[str], most: int = 12) -> str:
    return ", ".join(names[:most]) + (f", ... ({len(names)})" if len(names) > most else "")


def _counted(n: int, one: str, many: str) -> str:
    return f"{n:,} {one if n == 1 else many}"


def _short(value: float) -> str:
    if math.isnan(value):
        return f"{'undefined':>10}"
    return f"{value:>10.4g}" if abs(value) >= 1000 else f"{round(value, 4) + 0.0:>10.4f}"  # no -0.0000


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value

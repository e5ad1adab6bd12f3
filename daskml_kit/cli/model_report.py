"""What a job has to say, for people and as JSON."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import dask
import numpy as np
import pandas as pd

from daskml_kit import metrics
from daskml_kit.data.collections import dask_vector


class Verdict(NamedTuple):
    """A metric of the model and of the baseline: the majority class, or the mean."""

    metric: str
    model: float
    baseline: float


def judge_classifier(
    model: Any, X: Any, y: Any, train_counts: pd.Series[Any], test_counts: pd.Series[Any]
) -> tuple[list[Verdict], list[str]]:
    """Return the verdicts of test rows X, y, both lazy, and notes on what could not be judged.

    Parameters
    ----------
    train_counts, test_counts : Series
        The rows of each class, by label.
    """
    soft = "predict_proba" if hasattr(model, "predict_proba") else "decision_function"
    lazy = (dask_vector(y, "y"), model.predict(X), getattr(model, soft)(X))
    y, predicted, scores = dask.persist(*lazy)  # each metric is one more pass
    n_test = test_counts.sum()
    majority = test_counts.get(train_counts.idxmax(), 0) / n_test
    verdicts = [Verdict("accuracy", metrics.accuracy_score(y, predicted), float(majority))]
    classes = list(model.classes_)
    absent = sorted(set(classes) ^ set(test_counts.index), key=str)
    if absent:
        some = ", ".join(map(str, absent[:5])) + (", ..." if len(absent) > 5 else "")
        return verdicts, [f"classes only in one of training and test: {some}; log-loss and ROC AUC are left out"]
    positive = scores[:, 1] if scores.ndim == 2 and len(classes) == 2 else scores
    if soft == "predict_proba":
        share = (train_counts / train_counts.sum()).loc[test_counts.index]
        guess = -float((test_counts / n_test * np.log(share)).sum())
        verdicts.append(Verdict("log-loss", metrics.log_loss(y, positive, labels=classes), guess))
    if soft == "predict_proba" or len(classes) == 2:
        area = metrics.roc_auc_score(y, positive, multi_class="ovr", labels=classes if len(classes) > 2 else None)
        verdicts.append(Verdict("ROC AUC", float(area), 0.5))
    return verdicts, []


def judge_regressor(model: Any, X: Any, y: Any, train_mean: float) -> tuple[list[Verdict], list[str]]:
    """Return the verdicts of test rows X, y, both lazy, and no notes."""
    y, predicted = dask.persist(dask_vector(y, "y"), model.predict(X))
    guess = y * 0 + train_mean
    named = {"R2": metrics.r2_score, "RMSE": metrics.root_mean_squared_error, "MAE": metrics.mean_absolute_error}
    return [Verdict(name, float(metric(y, predicted)), float(metric(y, guess))) for name, metric in named.items()], []


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
        yield "coefficients", f"the {len(self.coefficients)} largest of {self.features:,}, of standardized features"
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

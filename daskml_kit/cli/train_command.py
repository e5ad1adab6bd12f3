"""Train, test and save one model."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask
import joblib
import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import Pipeline
from tqdm import tqdm

from daskml_kit.base import to_sklearn
from daskml_kit.cli.errors import JobError, failing
from daskml_kit.cli.model_report import Report, Verdict, judge_classifier, judge_regressor, largest
from daskml_kit.cli.table import Table, load_table, make_model, make_preparation, open_source
from daskml_kit.engines.open import Tables
from daskml_kit.engines.profile import Profile, watching
from daskml_kit.exceptions import DataError
from daskml_kit.reductions.value_counts import Shares

MODEL, REPORT = "model.joblib", "report.json"


def check_out(out: Path) -> None:
    """Raise a `JobError` where ``out`` could not be written, or holds what is not ours to replace."""
    if out.exists() and not out.is_dir():
        raise JobError(f"--out: {out} is a file, expected a folder or a new name")
    with failing(f"--out: cannot read {out}", OSError):
        strangers = sorted({path.name for path in out.iterdir()} - {MODEL, REPORT}) if out.exists() else []
    if strangers:
        raise JobError(f"--out: {out} holds other files ({', '.join(strangers[:3])}); expected a new or empty folder")
    above = next(path for path in [*out.absolute().parents] if path.exists())
    if not os.access(above, os.W_OK):
        raise JobError(f"--out: cannot write in {above}")


def save(out: Path, pipeline: Any, report: dict[str, Any]) -> None:
    """Write the pipeline and the report beside ``out``, then give them its name."""
    with failing(f"--out: cannot write {out}", OSError):
        out.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
        try:
            joblib.dump(pipeline, draft / MODEL)
            (draft / REPORT).write_text(json.dumps(report, indent=2, ensure_ascii=False, default=_plain) + "\n")
            os.chmod(draft, 0o755)
            _replace(out, draft)
        finally:
            shutil.rmtree(draft, ignore_errors=True)


def _replace(out: Path, draft: Path) -> None:
    """Put ``draft`` in the place of ``out``; what was there is there again if that fails."""
    if not out.exists():
        draft.rename(out)
        return
    old = draft.with_name(draft.name + "-old")
    out.rename(old)
    try:
        draft.rename(out)
    except OSError:
        old.rename(out)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _plain(value: Any) -> Any:
    """Return a NumPy value as Python's own."""
    return value.tolist()


class Stages(AbstractContextManager["Stages"]):
    """Times named stages.

    Parameters
    ----------
    names : sequence of str
        In their order.
    quiet : bool
        No bar, even on a terminal.
    """

    def __init__(self, names: Sequence[str], *, quiet: bool = False) -> None:
        self.seconds: dict[str, float] = {}
        hidden = quiet or not sys.stderr.isatty()
        form = "{desc:<10}|{bar:20}| {n}/{total} [{elapsed}{postfix}]"
        self._bar = tqdm(total=len(names), disable=hidden, leave=False, file=sys.stderr, bar_format=form)

    def __exit__(self, *details: object) -> None:
        self._bar.close()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what is done inside, and show the passes that it makes."""
        self._bar.set_description_str(name)
        started = time.perf_counter()
        with watching(self._show):
            yield
        self.seconds[name] = time.perf_counter() - started
        self._bar.set_postfix_str("", refresh=False)
        self._bar.update()

    def _show(self, profile: Profile) -> None:
        self._bar.set_postfix_str(f"pass {profile.passes}")


STAGES = ("read", "prepare", "fit", "test", "save")
BASELINES = {"classification": "the majority class and the classes' shares", "regression": "the mean of training"}


@dataclass(frozen=True)
class Order:
    """What to train: the arguments of the command line."""

    data: str
    target: str | None = None
    task: str | None = None
    model: str | None = None
    out: Path = Path("daskml-kit-model")
    test_size: float = 0.25
    seed: int = 0
    quiet: bool = False
    where: str = "on this machine's threads"


@dataclass(frozen=True)
class Trained:
    """A fitted pipeline of daskml_kit's estimators, and how its fit went."""

    pipeline: Pipeline
    notes: list[str]
    converged: bool


def train(order: Order) -> Report:
    """Carry out ``order`` on the current Dask client, or here where there is none, and save what comes of it.

    Raises
    ------
    JobError
        Where the order cannot be carried out; then nothing is written.
    """
    check_out(order.out)
    if not 0 < order.test_size < 1:
        raise JobError(f"--test-size: expected a share between 0 and 1, got {order.test_size:g}")
    if order.task is not None and order.model is not None:
        make_model(order.task, order.model)  # before any data is read
    with Stages(STAGES, quiet=order.quiet) as stages:
        with stages.stage("read"):
            source = open_source(order.data, order.target)
            table = load_table(source, order.task)
            name, model = make_model(table.task, order.model)
            parts = table.frame.random_split([1 - order.test_size, order.test_size], random_state=order.seed)
            with failing("too few rows to train and to test", DataError):
                facts = [_facts(part[table.target], table.task) for part in parts]
        _check_parts(facts, table)
        (X, y), (X_test, y_test) = ((part[table.features], part[table.target]) for part in parts)
        with failing("cannot train", ValueError, TypeError, NotImplementedError):
            trained = _fit(stages, make_preparation(table), model, X, y)
            with stages.stage("test"):
                verdicts, notes = _judge(trained.pipeline, table.task, X_test, y_test, facts)
        report = _report(order, name, table, facts, trained, verdicts, [*source.notes, *trained.notes, *notes], stages)
        with stages.stage("save"):
            save(order.out, to_sklearn(trained.pipeline), report.as_json())
    return report


def _facts(y: Any, task: str) -> Any:
    """Return the rows of each class, or the (count, mean) of a number."""
    if task == "classification":
        return Tables(y.to_frame()).answer(Shares())[0]
    count, mean = dask.compute(y.count(), y.mean())
    return int(count), float(mean)


def _rows(facts: Any) -> int:
    return facts[0] if isinstance(facts, tuple) else int(facts.sum())


def _check_parts(facts: list[Any], table: Table) -> None:
    n_train, n_test = map(_rows, facts)
    if not n_train or not n_test:
        raise JobError(f"too few rows: {n_train} to train and {n_test} to test; change --test-size or --seed")
    if table.task == "classification" and len(facts[0]) < 2:
        raise JobError(f"--target: the training rows of {table.target!r} have one class only, {facts[0].index[0]!r}")


def _fit(stages: Stages, preparation: Any, model: Any, X: Any, y: Any) -> Trained:
    with _collected() as caught:
        with stages.stage("prepare"):
            prepared = preparation.fit_transform(X)
        with stages.stage("fit"):
            model.fit(prepared, y)
    stopped = any(issubclass(warning.category, ConvergenceWarning) for warning in caught)
    return Trained(Pipeline([("prepare", preparation), ("model", model)]), _messages(caught), not stopped)


@contextmanager
def _collected() -> Iterator[list[warnings.WarningMessage]]:
    """Collect what would be printed among the lines of the report."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        yield caught


def _judge(pipeline: Pipeline, task: str, X: Any, y: Any, facts: list[Any]) -> tuple[list[Verdict], list[str]]:
    with _collected() as caught:
        if task == "classification":
            verdicts, notes = judge_classifier(pipeline, X, y, *facts)
        else:
            verdicts, notes = judge_regressor(pipeline, X, y, facts[0][1])
    return verdicts, [*notes, *_messages(caught)]


def _messages(caught: list[warnings.WarningMessage]) -> list[str]:
    return list(dict.fromkeys(" ".join(str(warning.message).split()) for warning in caught))


def _about(facts: Any) -> str:
    """Return what there is to say about the target in training: the classes' shares, or the mean."""
    if isinstance(facts, tuple):
        return f"mean {facts[1]:.4g}"
    shares = [f"{label} {count / facts.sum():.1%}" for label, count in facts.items()]
    return ", ".join(shares[:8]) + (f", ... ({len(shares)} classes)" if len(shares) > 8 else "")


def _report(
    order: Order,
    name: str,
    table: Table,
    facts: list[Any],
    trained: Trained,
    verdicts: list[Verdict],
    notes: list[str],
    stages: Stages,
) -> Report:
    preparation, model = trained.pipeline["prepare"], trained.pipeline["model"]
    names = list(preparation.get_feature_names_out())
    n_iter = getattr(model, "n_iter_", None)
    return Report(
        data=order.data,
        target=table.target,
        about=_about(facts[0]),
        rows=table.n_rows,
        dropped=table.n_dropped,
        train_rows=_rows(facts[0]),
        test_rows=_rows(facts[1]),
        unused=table.unused,
        partitions=table.frame.npartitions,
        features=len(names),
        columns={"numeric": list(table.numeric), "categorical": list(table.categorical), "flags": list(table.flags)},
        where=order.where,
        task=table.task,
        model=f"{name} ({type(model).__name__})",
        solver=str(getattr(model, "solver", "direct")),
        iterations=None if n_iter is None else int(np.max(n_iter)),
        passes=model.profile_.passes,
        converged=trained.converged,
        parameters=model.get_params(),
        seconds=dict(stages.seconds),
        test=verdicts,
        baseline=BASELINES[table.task],
        coefficients=largest(names, model.coef_, list(getattr(model, "classes_", ()))),
        notes=notes,
    )

"""Train command: read a table, prepare it, fit, test, and save."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import stat
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import dask
import joblib
import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import Pipeline
from tqdm import tqdm

from daskml_kit.cli.columns import RolesGiven
from daskml_kit.cli.errors import JobError, naming_failures, shortened
from daskml_kit.cli.model_report import finite_or_none, largest_coefficients, score_classifier, score_regressor
from daskml_kit.cli.table import TrainingTable, load_table, make_model, make_preparation, open_source
from daskml_kit.conversion import to_sklearn
from daskml_kit.engines.engine import Profile, watching
from daskml_kit.engines.open import open_table
from daskml_kit.exceptions import CheckpointError
from daskml_kit.files import make_file, make_private
from daskml_kit.model_selection import train_test_split
from daskml_kit.reductions.value_counts import Shares

MODEL, REPORT = "model.joblib", "report.json"
STAGES = ("read", "prepare", "fit", "test", "save")
REPLACED = "the model that was in {} before has been replaced"
BASELINES = {"classification": "the majority class and the classes' shares", "regression": "the mean of training"}


def train(options: argparse.Namespace, where: str) -> dict[str, Any]:
    """Train on the current Dask client, or here where there is none, and save what comes of it.

    Parameters
    ----------
    options : argparse.Namespace
        Arguments of ``daskml-kit train``.
    where : str
        Description of the cluster, for the report.

    Returns
    -------
    dict
        The report, as it is written to report.json; a metric that is not defined is None.

    Raises
    ------
    JobError
        Where the options cannot be carried out; then nothing is written.
    """
    check_out(options.out)
    if not 0 <= options.seed < 2**32:
        raise JobError(f"--seed: expected a number from 0 to 2**32 - 1, got {options.seed}")
    if not 0 < options.test_size < 1:
        raise JobError(f"--test-size: expected a share between 0 and 1, got {options.test_size:g}")
    if options.task is not None and options.model is not None:
        make_model(options.task, options.model)  # before any data is read
    with Stages(STAGES, quiet=options.quiet) as stages:
        with stages.stage("read"):
            source = open_source(options.data, options.target)
            given = RolesGiven(options.numeric, options.categorical, options.drop)
            table = load_table(source, options.task, given)
            name, model = make_model(table.task, options.model)
            with naming_failures("too few rows to train and to test", ValueError):
                parts = _split(table, options.test_size, options.seed)
                facts = [_target_facts(part[table.target], table.task) for part in parts]
            _check_parts(facts, table)
        with naming_failures("cannot train", ValueError, TypeError, NotImplementedError):
            pipeline, results = _fit_and_score(stages, table, model, parts, facts)
        replaced = (options.out / MODEL).exists()
        report = {
            "data": options.data,
            "where": where,
            **_describe_table(table, facts),
            "model": f"{name} ({type(model).__name__})",
            **_describe_fit(pipeline),
            "seconds": stages.seconds.copy(),
            **results,
            "notes": [*source.notes, *results["notes"], *([REPLACED.format(options.out)] if replaced else [])],
        }
        with stages.stage("save"):
            save(options.out, to_sklearn(pipeline), report)
    return report


def _target_facts(y: Any, task: str) -> Any:
    """Return the rows of each class, or the (count, mean) of a number."""
    if task == "classification":
        with open_table(y.to_frame()) as engine:
            return engine.answer(Shares())[0]
    count, mean = dask.compute(y.count(), y.mean())
    return int(count), float(mean)


def _split(table: TrainingTable, test_size: float, seed: int) -> list[Any]:
    """Return the rows to train and to test, in equal shares of the classes where each has more than one row."""
    y = table.frame[table.target]
    few = table.task == "regression" or _target_facts(y, table.task).min() < 2
    return train_test_split(table.frame, test_size=test_size, stratify=None if few else y, random_state=seed)


def _n_rows(facts: Any) -> int:
    return facts[0] if isinstance(facts, tuple) else int(facts.sum())


def _check_parts(facts: list[Any], table: TrainingTable) -> None:
    n_train, n_test = map(_n_rows, facts)
    if not n_train or not n_test:
        raise JobError(f"too few rows: {n_train} to train and {n_test} to test; change --test-size or --seed")
    if table.task == "classification" and len(facts[0]) < 2:
        raise JobError(f"--target: the training rows of {table.target!r} have one class only, {facts[0].index[0]!r}")


def _fit_and_score(
    stages: Stages, table: TrainingTable, model: Any, parts: Sequence[Any], facts: list[Any]
) -> tuple[Pipeline, dict[str, Any]]:
    """Return the fitted pipeline, and of the report the keys ``converged``, ``test`` and ``notes``."""
    (X, y), (X_test, y_test) = ((part[table.features], part[table.target]) for part in parts)
    preparation = make_preparation(table.columns)
    with warnings.catch_warnings(record=True) as caught:  # they would be printed among the lines of the report
        warnings.simplefilter("always", UserWarning)
        with stages.stage("prepare"):
            prepared = preparation.fit_transform(X)
        with stages.stage("fit"):
            model.fit(prepared, y)
        converged = not any(issubclass(warning.category, ConvergenceWarning) for warning in caught)
        pipeline = Pipeline([("prepare", preparation), ("model", model)])
        with stages.stage("test"):
            if table.task == "classification":
                test, notes = score_classifier(pipeline, X_test, y_test, *facts)
            else:
                test, notes = score_regressor(pipeline, X_test, y_test, facts[0][1])
    messages = dict.fromkeys(" ".join(str(warning.message).split()) for warning in caught)
    return pipeline, {"converged": converged, "test": test, "notes": [*messages, *notes]}


def _describe_table(table: TrainingTable, facts: list[Any]) -> dict[str, Any]:
    if isinstance(facts[0], tuple):
        about = f"mean {facts[0][1]:.4g}"
    else:
        about = shortened([f"{label} {share:.1%}" for label, share in (facts[0] / facts[0].sum()).items()], 8)
    return {
        **{name: value for name, value in table._asdict().items() if name != "frame"},
        **{"train_rows": _n_rows(facts[0]), "test_rows": _n_rows(facts[1]), "partitions": table.frame.npartitions},
        **{"about": about, "baseline": BASELINES[table.task]},
    }


def _describe_fit(pipeline: Pipeline) -> dict[str, Any]:
    preparation, model = pipeline["prepare"], pipeline["model"]
    names = list(preparation.get_feature_names_out())
    n_iter = getattr(model, "n_iter_", None)
    return {
        "features": len(names),
        "solver": str(getattr(model, "solver", "direct")),
        "iterations": None if n_iter is None else int(np.max(n_iter)),
        "passes": model.profile_.passes,
        "parameters": {name: finite_or_none(value) for name, value in model.get_params().items()},
        "coefficients": largest_coefficients(names, model.coef_, list(getattr(model, "classes_", ()))),
    }


class Stages(AbstractContextManager["Stages"]):
    """Progress bar that times named stages and shows the passes of each.

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
        """Time what is done inside."""
        self._bar.set_description_str(name)
        started = time.perf_counter()
        with watching(self._show):
            yield
        self.seconds[name] = time.perf_counter() - started
        self._bar.set_postfix_str("", refresh=False)
        self._bar.update()

    def _show(self, profile: Profile) -> None:
        self._bar.set_postfix_str(f"pass {profile.passes}")


def check_out(out: Path) -> None:
    """Raise a `JobError` where ``out`` could not be written, or holds what is not ours to replace."""
    if out.exists() and not out.is_dir():
        raise JobError(f"--out: {out} is a file, expected a folder or a new name")
    with naming_failures(f"--out: cannot read {out}", OSError):
        strangers = sorted({path.name for path in out.iterdir()} - {MODEL, REPORT}) if out.exists() else []
    if strangers:
        raise JobError(f"--out: {out} holds other files ({', '.join(strangers[:3])}); expected a new or empty folder")
    above = next(path for path in out.absolute().parents if path.exists())
    if not above.is_dir():
        raise JobError(f"--out: {above} is a file, expected a folder")
    if not os.access(above, os.W_OK):
        raise JobError(f"--out: cannot write in {above}")


def save(out: Path, pipeline: Any, report: dict[str, Any]) -> None:
    """Write private files of the pipeline and the report beside ``out``, then give them its name.

    A failure leaves what was there, and a folder that was there has given its mode.
    """
    with naming_failures(f"--out: cannot write {out}", OSError, CheckpointError):
        make_private(out.parent)
        draft = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
        old = draft.with_name(draft.name + "-old")
        try:
            for name in (MODEL, REPORT):
                make_file(draft / name)
            joblib.dump(pipeline, draft / MODEL)
            text = json.dumps(report, indent=2, ensure_ascii=False, default=lambda value: value.tolist())  # of NumPy
            (draft / REPORT).write_text(text + "\n")
            if out.exists():
                draft.chmod(stat.S_IMODE(out.stat().st_mode))
                out.rename(old)
            draft.rename(out)
        except BaseException:
            if old.exists() and not out.exists():
                old.rename(out)
            raise
        finally:
            for leftover in (draft, old):
                shutil.rmtree(leftover, ignore_errors=True)

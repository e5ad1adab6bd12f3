"""Train command: read a table, prepare it, fit, test, and save."""

from __future__ import annotations

import json
import os
import shutil
import stat
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dask
import joblib
import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import Pipeline
from tqdm import tqdm

from daskml_kit.cli.columns import RolesGiven
from daskml_kit.cli.errors import JobError, did_you_mean, naming_failures, shortened
from daskml_kit.cli.model_report import (
    finite_or_none,
    format_report,
    largest_coefficients,
    score_classifier,
    score_regressor,
)
from daskml_kit.cli.models import check_grid, make_model, make_preparation, read_grid
from daskml_kit.cli.table import TrainingTable, load_table, open_source
from daskml_kit.composition import to_sklearn
from daskml_kit.engines.engine import Profile, watching
from daskml_kit.engines.open import open_table
from daskml_kit.exceptions import CheckpointError
from daskml_kit.files import make_file, make_private
from daskml_kit.metrics import get_scorer_names
from daskml_kit.model_selection import GridSearchCV, KFold, StratifiedKFold, train_test_split
from daskml_kit.reductions.value_counts import Shares

MODEL, REPORT = "model.joblib", "report.json"
STAGES = ("read", "prepare", "fit", "test")
REPLACED = "the model that was in {} before has been replaced"
BASELINES = {"classification": "the majority class and the classes' shares", "regression": "the mean of training"}


def train(options: SimpleNamespace, where: str) -> str:
    """Train on the current Dask client, or here where there is none, and save what comes of it.

    Parameters
    ----------
    options : SimpleNamespace
        Arguments of ``daskml-kit train`` or ``daskml-kit search``.
    where : str
        Description of the cluster, for the report.

    Returns
    -------
    str
        The report, as text, and where the model was saved.

    Raises
    ------
    JobError
        Where the options cannot be carried out; then nothing is written.
    """
    check_out(options.out)
    grid = check_options(options)
    replaced = (options.out / MODEL).exists()
    model, report = train_model(options, grid, where)
    if replaced:
        report["notes"].append(REPLACED.format(options.out))
    save(options.out, model, report)
    return f"{format_report(report)}\n\n{saved_line(options.out)}"


def check_options(options: SimpleNamespace) -> dict[str, list[Any]]:
    """Return the grid; raise a `JobError` where an option is out of range, before any data is read."""
    if not 0 <= options.seed < 2**32:
        raise JobError(f"--seed: expected a number from 0 to 2**32 - 1, got {options.seed}")
    if not 0 < options.test_size < 1:
        raise JobError(f"--test-size: expected a share between 0 and 1, got {options.test_size:g}")
    if options.folds is not None and options.folds < 2:
        raise JobError(f"--folds: expected at least 2, got {options.folds}")
    if options.scoring is not None and options.scoring not in get_scorer_names():
        raise JobError(
            f"--scoring: there is no score {options.scoring!r}{did_you_mean(options.scoring, get_scorer_names())}"
        )
    grid = read_grid(options.grid, options.grid_file)
    if options.task is not None and options.model is not None:
        check_grid(grid, make_model(options.task, options.model)[1])
    return grid


def train_model(options: SimpleNamespace, grid: Mapping[str, Sequence[Any]], where: str) -> tuple[Any, dict[str, Any]]:
    """Return a pipeline of scikit-learn's, fitted to a table, and the report, as it is written to report.json.

    A metric that is not defined is None in the report.
    """
    with Stages(STAGES, quiet=options.quiet) as stages:
        with stages.stage("read"):
            source = open_source(options.data, options.target)
            given = RolesGiven(options.numeric, options.categorical, options.text, options.drop)
            table = load_table(source, options.task, given)
            name, model = make_model(table.task, options.model, options.seed)
            check_grid(grid, model)
            with naming_failures("too few rows to train and to test", ValueError):
                parts = _split(table, options.test_size, options.seed)
                facts = [target_facts(part[table.target], table.task) for part in parts]
            _check_parts(facts, table)
        pipeline = Pipeline([("prepare", make_preparation(table.columns)), ("model", model)])
        with naming_failures("cannot train", ValueError, TypeError, NotImplementedError):
            estimator = _searched(pipeline, grid, table.task, options)
            pipeline, found, results = _fit_and_score(stages, table, estimator, parts, facts)
        report = {
            "data": options.data,
            "where": where,
            **_describe_table(table, facts),
            "model": f"{name} ({type(model).__name__})",
            **_describe_fit(pipeline),
            "search": found,
            "seconds": stages.seconds.copy(),
            **results,
            "notes": [*source.notes, *results["notes"]],
        }
    return to_sklearn(pipeline), report


def _searched(pipeline: Pipeline, grid: Mapping[str, Sequence[Any]], task: str, options: SimpleNamespace) -> Any:
    """Return the pipeline, or the search of the values of its model's parameters."""
    if not grid:
        return pipeline
    space = {f"model__{name}": list(values) for name, values in grid.items()}
    splitter = StratifiedKFold if task == "classification" else KFold  # shuffled: files are often sorted, as by time
    folds = splitter(options.folds, shuffle=True, random_state=options.seed)
    return GridSearchCV(pipeline, space, cv=folds, scoring=options.scoring, error_score="raise")


def saved_line(out: Path) -> str:
    """Return what tells where `save` has put things."""
    return f"saved         {out / MODEL} (a scikit-learn Pipeline) and {out / REPORT}"


def target_facts(y: Any, task: str) -> Any:
    """Return the rows of each class by label, or the (count, mean) of a number."""
    if task == "classification":
        with open_table(y.to_frame()) as engine:
            return engine.answer(Shares())[0]
    count, mean = dask.compute(y.count(), y.mean())
    return int(count), float(mean)


def _split(table: TrainingTable, test_size: float, seed: int) -> list[Any]:
    """Return the rows to train and to test, in equal shares of the classes where each has more than one row."""
    y = table.frame[table.target]
    few = table.rarest is None or table.rarest < 2
    return train_test_split(table.frame, test_size=test_size, stratify=None if few else y, random_state=seed)


def n_rows_of(facts: Any) -> int:
    """Return the rows that `target_facts` has counted."""
    return facts[0] if isinstance(facts, tuple) else int(facts.sum())


def _check_parts(facts: list[Any], table: TrainingTable) -> None:
    n_train, n_test = map(n_rows_of, facts)
    if not n_train or not n_test:
        raise JobError(f"too few rows: {n_train} to train and {n_test} to test; change --test-size or --seed")
    if table.task == "classification" and len(facts[0]) < 2:
        raise JobError(f"--target: the training rows of {table.target!r} have one class only, {facts[0].index[0]!r}")


def _fit_and_score(
    stages: Stages, table: TrainingTable, estimator: Any, parts: Sequence[Any], facts: list[Any]
) -> tuple[Pipeline, dict[str, Any] | None, dict[str, Any]]:
    """Return the fitted pipeline, what a search found, and ``converged``, ``test``, ``notes`` of the report."""
    (X, y), (X_test, y_test) = ((part[table.features], part[table.target]) for part in parts)
    with warnings.catch_warnings(record=True) as caught:  # they would be printed among the lines of the report
        warnings.simplefilter("always", UserWarning)
        if isinstance(estimator, Pipeline):
            pipeline, found = estimator, None
            with stages.stage("prepare"):
                prepared = pipeline["prepare"].fit_transform(X)
            with stages.stage("fit"):
                pipeline["model"].fit(prepared, y)
        else:
            with stages.stage("fit"):
                pipeline, found = estimator.fit(X, y).best_estimator_, _describe_search(estimator)
        converged = not any(issubclass(warning.category, ConvergenceWarning) for warning in caught)
        with stages.stage("test"):
            if table.task == "classification":
                test, notes = score_classifier(pipeline, X_test, y_test, *facts)
            else:
                test, notes = score_regressor(pipeline, X_test, y_test, facts[0][1])
    messages = dict.fromkeys(" ".join(str(warning.message).split()) for warning in caught)
    return pipeline, found, {"converged": converged, "test": test, "notes": [*messages, *notes]}


def _describe_search(search: GridSearchCV) -> dict[str, Any]:
    """Return the folds, the score, and the candidates from the best to the worst."""
    results = search.cv_results_
    order = np.argsort(results["rank_test_score"], kind="stable")
    candidates = [
        {name.removeprefix("model__"): finite_or_none(value) for name, value in results["params"][at].items()}
        | {"mean score": float(results["mean_test_score"][at]), "std": float(results["std_test_score"][at])}
        for at in order
    ]
    return {"folds": search.n_splits_, "scoring": search.scoring or "the model's own", "candidates": candidates}


def _describe_table(table: TrainingTable, facts: list[Any]) -> dict[str, Any]:
    if isinstance(facts[0], tuple):
        about = f"mean {facts[0][1]:.4g}"
    else:
        about = shortened([f"{label} {share:.1%}" for label, share in (facts[0] / facts[0].sum()).items()], 8)
    return {
        **{name: value for name, value in table._asdict().items() if name not in ("frame", "rarest")},
        **{"train_rows": n_rows_of(facts[0]), "test_rows": n_rows_of(facts[1]), "partitions": table.frame.npartitions},
        **{"about": about, "baseline": BASELINES[table.task]},
    }


def _describe_fit(pipeline: Pipeline) -> dict[str, Any]:
    preparation, model = pipeline["prepare"], pipeline["model"]
    names = list(preparation.get_feature_names_out())
    n_iter, classes = getattr(model, "n_iter_", None), list(getattr(model, "classes_", ()))
    return {
        "features": len(names),
        "solver": str(getattr(model, "solver", "direct")),
        "iterations": None if n_iter is None else int(np.max(n_iter)),
        "passes": getattr(getattr(model, "profile_", None), "passes", None),
        "parameters": {name: finite_or_none(value) for name, value in model.get_params().items()},
        "coefficients": largest_coefficients(names, model.coef_, classes) if hasattr(model, "coef_") else [],
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

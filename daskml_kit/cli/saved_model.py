"""Predict and evaluate commands: a saved model on a table, its predictions as Parquet or CSV and its scores."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import joblib
import numpy as np
import pandas as pd

from daskml_kit.cli.errors import JobError, naming_failures, shortened
from daskml_kit.cli.model_report import format_scores, score_classifier, score_regressor
from daskml_kit.cli.output import check_new, drafted
from daskml_kit.cli.table import open_frame, open_source
from daskml_kit.cli.train_command import MODEL, n_rows_of, target_facts
from daskml_kit.exceptions import UntrustedFileError
from daskml_kit.files import check_trusted
from daskml_kit.validation import plain_strings
from daskml_kit.wrappers import ParallelPostFit

FORMATS = (".csv", ".parquet")


def predict(options: SimpleNamespace, where: str) -> str:
    """Write the predictions for each row of a table, in its order, block by block.

    Parameters
    ----------
    options : SimpleNamespace
        Arguments of ``daskml-kit predict``.
    where : str
        Description of the cluster.

    Returns
    -------
    str
        Line that tells what was saved.

    Raises
    ------
    JobError
        Where the options cannot be carried out; then nothing is written.
    """
    out: Path = options.out
    if out.suffix not in FORMATS:
        raise JobError(f"--out: expected a name that ends in {' or '.join(FORMATS)}, got {out}")
    check_new(out)
    model = load_model(options.model)
    if options.proba and not hasattr(model, "predict_proba"):
        raise JobError("--proba: the model has no probabilities")
    frame = open_frame(options.data)
    needed = list(model.feature_names_in_)
    for role, names in (("the model", needed), ("--keep", options.keep)):
        require_columns(options.data, frame, names, role)
    rows = plain_strings(frame[list(dict.fromkeys([*options.keep, *needed]))])
    part = partial(_predict_part, model=model, needed=needed, keep=options.keep, proba=options.proba)
    with naming_failures(f"cannot predict for {options.data}", OSError, ValueError, TypeError):
        first = rows.head(1, npartitions=-1)
        if not len(first):
            raise JobError(f"{options.data} has no rows")
        meta = part(first)[:0]
        _write(rows.map_partitions(part, empty=meta, meta=meta), out)
    return f"saved         {out}, {where}"


def require_columns(data: str, frame: Any, names: Sequence[str], role: str) -> None:
    """Raise a `JobError` where a table lacks columns."""
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise JobError(f"{data} lacks columns of {role}: {shortened(missing)}")


def load_model(path: Path) -> Any:
    """Return the pipeline of a folder that ``daskml-kit train`` wrote, or of its file.

    Raises
    ------
    JobError
        Where there is none, or another user could have written it: to load it may run code.
    """
    file = path / MODEL if path.is_dir() else path
    with naming_failures(f"cannot load {file}", OSError, UntrustedFileError):
        check_trusted(file)
        model = joblib.load(file)
    if not hasattr(model, "predict") or not hasattr(model, "feature_names_in_"):
        raise JobError(f"{file} holds no model of named columns")
    return model


def _predict_part(
    rows: pd.DataFrame, model: Any, needed: Sequence[str], keep: Sequence[str], proba: bool, empty: Any = None
) -> Any:
    if not len(rows):  # scikit-learn refuses to work on no rows
        return empty
    columns = {name: rows[name] for name in keep} | {"prediction": model.predict(rows[needed])}
    if proba:
        shares = model.predict_proba(rows[needed])
        columns |= {f"probability_{label}": shares[:, at] for at, label in enumerate(model.classes_)}
    return pd.DataFrame(columns, index=rows.index)


def _write(predicted: Any, out: Path) -> None:
    with drafted(out) as draft:
        if out.suffix == ".csv":
            predicted.to_csv(str(draft), single_file=True, index=False)
        else:
            predicted.to_parquet(str(draft), write_index=False)


BASELINES = {"classification": "the majority class and the classes' shares", "regression": "the mean of these rows"}


def evaluate(options: SimpleNamespace, where: str) -> str:
    """Return the scores of a saved model on the rows of a table whose target is known, as text.

    Parameters
    ----------
    options : SimpleNamespace
        Arguments of ``daskml-kit evaluate``.
    where : str
        Description of the cluster.

    Returns
    -------
    str
        Scores beside those of a constant guess.

    Raises
    ------
    JobError
        Where the options cannot be carried out.
    """
    model = load_model(options.model)
    source = open_source(options.data, options.target)
    needed = list(model.feature_names_in_)
    require_columns(options.data, source.frame, needed, "the model")
    task = "classification" if hasattr(model, "classes_") else "regression"
    with naming_failures(f"cannot evaluate on {options.data}", OSError, ValueError, TypeError):
        rows = source.frame[list(dict.fromkeys([*needed, source.target]))].dropna(subset=[source.target])
        rows = rows.assign(**{source.target: _like_classes(rows[source.target], model, task, source.target)})
        facts = target_facts(rows[source.target], task)
        n_rows = n_rows_of(facts)
        if not n_rows:
            raise JobError(f"{options.data} has no rows with a value of {source.target!r}")
        if task == "classification" and not facts.index.isin(model.classes_).any():
            known = shortened(model.classes_)
            raise JobError(f"--target: column {source.target!r} holds none of the model's classes: {known}")
        parts = (ParallelPostFit(model), rows[needed], rows[source.target])
        if isinstance(facts, tuple):
            scores, notes = score_regressor(*parts, facts[1])
        else:
            scores, notes = score_classifier(*parts, facts, facts)
    head = f"{n_rows:,} rows of {options.data}, {where}, beside the baseline: {BASELINES[task]}"
    return "\n\n".join([head, format_scores(scores), *(f"note: {note}" for note in notes)])


def _like_classes(y: Any, model: Any, task: str, name: str) -> Any:
    """Return the target as the model's training had it: CSV files are read with integers as floats."""
    if task == "regression":
        if not pd.api.types.is_numeric_dtype(y.dtype):
            raise JobError(f"--target: the model predicts numbers, column {name!r} holds {y.dtype}")
        return y
    kind = np.asarray(model.classes_).dtype
    return y.astype(kind) if kind.kind in "iub" and pd.api.types.is_numeric_dtype(y.dtype) else y

"""Evaluate command: a saved model's scores on the rows of a table, beside a baseline."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

from daskml_kit.cli.errors import JobError, naming_failures, shortened
from daskml_kit.cli.model_report import format_scores, score_classifier, score_regressor
from daskml_kit.cli.predict_command import load_model, require_columns
from daskml_kit.cli.table import open_source
from daskml_kit.cli.train_command import n_rows_of, target_facts
from daskml_kit.wrappers import ParallelPostFit

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

"""Evaluation of a trained model beside a baseline, and its report as text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import dask
import numpy as np
import pandas as pd

from daskml_kit import metrics
from daskml_kit.cli.errors import shortened
from daskml_kit.data.collections import dask_vector

N_CANDIDATES, N_COEFFICIENTS = 10, 10
FEW_ROWS = 20
"""Test rows of a class below which a note says so."""

Scores: TypeAlias = dict[str, dict[str, float | None]]
"""For each metric the value of the ``model`` and of the ``baseline``."""


def finite_or_none(value: Any) -> Any:
    """Return a value as JSON has it: None where a number is infinite or NaN."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _beside(model: Any, baseline: Any) -> dict[str, float | None]:
    return {"model": finite_or_none(float(model)), "baseline": finite_or_none(float(baseline))}


def score_classifier(
    model: Any, X: Any, y: Any, train_counts: pd.Series[Any], test_counts: pd.Series[Any]
) -> tuple[Scores, list[str]]:
    """Score a classifier, and the majority class with the training shares, on lazy test rows.

    Parameters
    ----------
    model : fitted classifier
    X, y : Dask collections
    train_counts, test_counts : Series
        The rows of each class, by label.

    Returns
    -------
    scores : dict
    notes : list of str
        On what could not be scored.
    """
    soft = "predict_proba" if hasattr(model, "predict_proba") else "decision_function"
    lazy = (dask_vector(y, "y"), model.predict(X), getattr(model, soft)(X))
    y, predicted, values = dask.persist(*lazy)  # each metric is one more pass
    test_shares = test_counts / test_counts.sum()
    scores = {"accuracy": _beside(metrics.accuracy_score(y, predicted), test_shares.get(train_counts.idxmax(), 0))}
    classes = list(model.classes_)
    absent = sorted(set(classes) ^ set(test_counts.index), key=str)
    if absent:
        some = shortened(absent, 5)
        return scores, [f"classes only in one of training and test: {some}; log-loss and ROC AUC are left out"]
    positive = values[:, 1] if values.ndim == 2 and len(classes) == 2 else values
    if soft == "predict_proba":
        train_shares = (train_counts / train_counts.sum()).loc[test_counts.index]
        loss = metrics.log_loss(y, positive, labels=classes)
        scores["log-loss"] = _beside(loss, -(test_shares * np.log(train_shares)).sum())
    if soft == "predict_proba" or len(classes) == 2:
        area = metrics.roc_auc_score(y, positive, multi_class="ovr", labels=classes if len(classes) > 2 else None)
        scores["ROC AUC"] = _beside(area, 0.5)
    few = [f"{label!r} ({count:,})" for label, count in test_counts.items() if count < FEW_ROWS]
    return scores, [f"few test rows of class {shortened(few, 5)}: the scores are uncertain"] if few else []


def score_regressor(model: Any, X: Any, y: Any, train_mean: float) -> tuple[Scores, list[str]]:
    """Score a regressor, and the mean of the training rows, on lazy test rows; there are no notes."""
    y, predicted = dask.persist(dask_vector(y, "y"), model.predict(X))
    guess = y * 0 + train_mean
    named = {"R2": metrics.r2_score, "RMSE": metrics.root_mean_squared_error, "MAE": metrics.mean_absolute_error}
    return {name: _beside(metric(y, predicted), metric(y, guess)) for name, metric in named.items()}, []


def largest_coefficients(names: Sequence[str], coef: Any, classes: Sequence[Any] = ()) -> list[dict[str, Any]]:
    """Return the coefficients of the greatest size.

    Parameters
    ----------
    names : sequence of length n_features
    coef : array of shape (n_features,) or (n_outputs, n_features)
    classes : sequence of length n_outputs, optional

    Returns
    -------
    list of dict
        The ``feature``, the ``value``, and the class that it is ``of``: with several, that where it is largest.

    Examples
    --------
    >>> largest_coefficients(["a", "b"], [[1.0, -3.0]])[0]
    {'feature': 'b', 'value': -3.0, 'of': None}
    """
    table = np.atleast_2d(np.asarray(coef))
    output = abs(table).argmax(axis=0)
    value = table[output, np.arange(table.shape[1])]
    of = [str(classes[i]) if len(table) > 1 and len(classes) else None for i in output]
    order = np.argsort(-abs(value), kind="stable")[:N_COEFFICIENTS]
    return [{"feature": str(names[i]), "value": float(value[i]), "of": of[i]} for i in order]


def format_scores(scores: Scores) -> str:
    """Return scores as a table of text."""
    table = pd.DataFrame(scores, dtype=float).T.round(4) + 0.0  # no -0.0
    return str(table.to_string(float_format="{:.7g}".format, na_rep="undefined"))


def format_report(report: dict[str, Any]) -> str:
    """Return a report, as it is in report.json, as text."""
    r = report
    steps = [f"{name} {r[name]}" for name in ("iterations", "passes") if r[name] is not None]
    steps.append("converged" if r["converged"] else "NOT CONVERGED")
    facts = {
        "data": f"{r['data']}, partitions {r['partitions']:,}, {r['where']}",
        "rows": f"{r['rows']:,} read, {r['dropped']:,} dropped ({r['target']} missing); "
        f"{r['train_rows']:,} to train, {r['test_rows']:,} to test",
        "target": f"{r['target']} ({r['task']}): {r['about']}",
        **{kind: shortened(names) for kind, names in r["columns"].items()},
        "not used": shortened(f"{name} ({why})" for name, why in r["unused"].items()),
        "model": f"{r['model']}, {r['features']:,} features, solver {r['solver']}",
        "fit": ", ".join(steps),
        "seconds": ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in r["seconds"].items()),
    }
    parts = ["\n".join(f"{name:<14}{text}" for name, text in facts.items() if text)]
    if r["search"]:
        found = pd.DataFrame(r["search"]["candidates"][:N_CANDIDATES])
        some = f"the best of {len(r['search']['candidates'])} candidates on {r['search']['folds']} folds"
        parts += [f"{some}, by {r['search']['scoring']}", found.to_string(index=False)]
    parts += [f"test, beside the baseline: {r['baseline']}", format_scores(r["test"])]
    if r["coefficients"]:
        largest = pd.DataFrame(r["coefficients"]).dropna(axis="columns", how="all")
        parts += [
            f"the {len(largest)} largest coefficients of {r['features']:,}, of standardized features",
            largest.to_string(index=False, float_format="{:+.4f}".format),
        ]
    return "\n\n".join([*parts, *(f"note: {note}" for note in r["notes"])])

"""Judge a model on the rows that it was not trained on, beside what a guess would do."""

from __future__ import annotations

from typing import Any, NamedTuple

import dask
import numpy as np
import pandas as pd

from daskml_kit import metrics
from daskml_kit.engines.blocks import dask_vector


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

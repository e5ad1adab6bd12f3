"""Scores of predictions on Dask arrays, side by side with scikit-learn's on the same arrays in memory.

``python -m benchmarks.features`` prints one table; ``--scale 0.01`` runs it on a hundredth of the rows. ``metrics`` is
the ROC AUC of scores of which all differ, and a report, a log loss and an AUC of one set of predictions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dask.array as da
import numpy as np
import sklearn.metrics

import daskml_kit.metrics
from benchmarks.program import Setting, Work, run
from benchmarks.race import Row, race

AREAS_APART, LOSSES_APART = 1e-6, 1e-9


def metrics(setting: Setting) -> list[Row]:
    """AUC of 5,000,000 distinct scores; report, log loss and AUC of 10,000,000 predictions."""
    return [*_distinct_scores(setting), *_predictions(setting)]


def _distinct_scores(setting: Setting) -> list[Row]:
    draw, n = np.random.default_rng(0), setting.rows(5_000_000)
    scores = draw.normal(size=n)
    y = (draw.random(n) < 1 / (1 + np.exp(-scores))).astype(np.int8)
    return _scored(f"roc_auc_score of {n:,} distinct scores", "roc_auc_score", y, scores, AREAS_APART, 1.0, setting)


def _predictions(setting: Setting) -> list[Row]:
    draw, n = np.random.default_rng(1), setting.rows(10_000_000)
    chances = np.round(draw.random(n), 4)
    y = (draw.random(n) < chances).astype(np.int64)
    guessed = (chances > 0.5).astype(np.int64)
    return [
        *_scored(f"classification_report of {n:,}", "classification_report", y, guessed, LOSSES_APART, 2.0, setting),
        *_scored(f"log_loss of {n:,}", "log_loss", y, chances, LOSSES_APART, 2.0, setting),
        *_scored(f"roc_auc_score of {n:,}", "roc_auc_score", y, chances, LOSSES_APART, 2.0, setting),
    ]


def _scored(
    what: str, name: str, y: Any, predicted: Any, tolerance: float, wanted: float, setting: Setting
) -> list[Row]:
    """Score by ours on blocks and by scikit-learn; compare the seconds and the results."""
    lazily = [da.from_array(values, chunks=max(len(y) // 40, 1)) for values in (y, predicted)]
    ours: Callable[..., Any] = getattr(daskml_kit.metrics, name)
    theirs: Callable[..., Any] = getattr(sklearn.metrics, name)
    timed = race({"ours": lambda: ours(*lazily), "scikit-learn": lambda: theirs(y, predicted)}, setting.repeat)
    found, expected = timed["ours"].result, timed["scikit-learn"].result
    apart = float(found != expected) if isinstance(found, str) else abs(found - expected)
    return [
        Row(what, timed["ours"].seconds, timed["scikit-learn"].seconds, wanted),
        Row(f"{what}: apart", apart, tolerance, 1.0, at_most=True, unit=""),
    ]


WORKS: dict[str, Work] = {"metrics": metrics}


if __name__ == "__main__":
    run(WORKS, __doc__)

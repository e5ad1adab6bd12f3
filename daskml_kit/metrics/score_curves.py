"""Curves over the thresholds of scores: one pass ranks the distinct scores, and scikit-learn's own function draws them.

A curve depends on the weight of each label at each distinct score alone. There are at most 2**20 of them; more are
grouped by their leading bits, and then the curve has a point for each group, which is a point of the full curve.

Examples
--------
>>> import dask.array as da
>>> y_true, y_score = da.from_array([0, 0, 1, 1], chunks=2), da.from_array([0.1, 0.4, 0.35, 0.8], chunks=2)
>>> fpr, tpr, thresholds = roc_curve(y_true, y_score)
>>> fpr.tolist(), tpr.tolist()
([0.0, 0.0, 0.5, 0.5, 1.0], [0.0, 0.5, 0.5, 1.0, 1.0])
>>> round(average_precision_score(y_true, y_score), 4)
0.8333
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial, reduce
from typing import Any

import dask
import numpy as np
import sklearn.metrics

from daskml_kit.arguments import check_choice
from daskml_kit.exceptions import DataError
from daskml_kit.metrics.documented import documented_by
from daskml_kit.metrics.inputs import column, open_scores, reduce_scores, require_rows
from daskml_kit.numerics.auc import Ranking, merge, scores_of
from daskml_kit.reductions.rank_counts import RankCounts, RankingTotals
from daskml_kit.reductions.value_counts import Distinct
from daskml_kit.typing import Array

CAP = 2**20
"""Entries of a ranking, 32 bytes each; with many classes they share four times as many."""
NOTE = """On Dask collections one pass ranks the distinct scores, 2**20 at most: with more, those of equal leading bits
are one threshold. All points of the curve are exact, but not all thresholds have one."""


def score_cells(total: RankingTotals, theirs: Callable[..., Any], options: Mapping[str, Any]) -> Any:
    """Return scikit-learn's metric of one column of scores, each distinct one a weighted row for each label."""
    require_rows(total.n_rows, 1)
    return _of_cells(total.rankings[0], total.labels, theirs, options)


def _of_cells(ranking: Ranking, labels: Array, theirs: Callable[..., Any], options: Mapping[str, Any]) -> Any:
    n_cells, n_labels = ranking.mass.shape
    y_true, y_score = np.repeat(labels, n_cells), np.tile(scores_of(ranking.low), n_labels)
    return theirs(y_true, y_score, sample_weight=ranking.mass.T.ravel(), **options)


def averaged(values: Array, masses: Sequence[float], average: str | None) -> float | Array:
    """Return the values of the classes, their mean, or their mean by the weight of each class."""
    if average is None:
        return values
    if average == "macro":
        return float(values.mean())
    weights = np.asarray(masses)
    return float(np.average(np.where(weights == 0, 0, values), weights=weights)) if weights.any() else 0.0


def _curve(theirs: Callable[..., Any]) -> Callable[..., Any]:
    def on_dask(y_true: Any, y_score: Any, sample_weight: Any = None, compute: bool = True, **options: Any) -> Any:
        truth = column(y_true, "y_true")
        if options.get("pos_label") is not None:  # of any number of labels, one against the rest
            truth, options["pos_label"] = truth == options["pos_label"], True
        finish = partial(score_cells, theirs=theirs, options=options)
        return reduce_scores(RankCounts(CAP), finish, truth, y_score, sample_weight, compute, "y_score")

    return documented_by(theirs, on_dask, NOTE)


def _average_precision(
    y_true: Any, y_score: Any, sample_weight: Any = None, compute: bool = True, **options: Any
) -> Any:
    theirs, weight = sklearn.metrics.average_precision_score, sample_weight
    truth, scores = column(y_true, "y_true"), column(y_score, "y_score")
    if truth.ndim == scores.ndim == 1:
        finish = partial(score_cells, theirs=theirs, options=options)
        return reduce_scores(RankCounts(CAP), finish, truth, scores, weight, compute, "y_score")
    average = options.get("average", "macro")
    check_choice("average", average, ("macro", "weighted", "micro", None))
    if options.get("pos_label", 1) != 1:
        raise ValueError("Parameter pos_label is fixed to 1 for several columns of y_score. Do not set pos_label.")
    if scores.ndim == 1:
        raise DataError(f"y_score: expected {truth.shape[1]} columns, as of y_true, got one")
    width = scores.shape[1]
    classes = np.arange(width)
    if truth.ndim == 1:
        with open_scores(truth, scores, weight, name="y_score") as engine:
            classes = engine.answer(Distinct(width))[0]
        if len(classes) != width:
            raise DataError(f"y_score: expected {len(classes)} columns, one a label of y_true, got {width}")
    reduction = RankCounts(min(CAP, 4 * CAP // width), classes, probabilities=False)
    return reduce_scores(reduction, partial(_precisions, average=average), truth, scores, weight, compute, "y_score")


def _precisions(total: RankingTotals, average: str | None) -> float | Array:
    require_rows(total.n_rows, 1)
    rankings = [reduce(merge, total.rankings)] if average == "micro" else total.rankings
    theirs, binary = sklearn.metrics.average_precision_score, np.array([0, 1])
    values = np.array([_of_cells(ranking, binary, theirs, {}) for ranking in rankings])
    masses = [float(ranking.mass[:, 1].sum()) for ranking in rankings]
    return averaged(values, masses, "macro" if average == "micro" else average)


average_precision_score = documented_by(
    sklearn.metrics.average_precision_score,
    _average_precision,
    f"{NOTE} The average precision is that of these points.",
)
det_curve = _curve(sklearn.metrics.det_curve)
precision_recall_curve = _curve(sklearn.metrics.precision_recall_curve)
roc_curve = _curve(sklearn.metrics.roc_curve)


def auc(x: Any, y: Any) -> float:
    """Area under the points of a curve, by the trapezoidal rule.

    Parameters
    ----------
    x : array or Dask array of shape (n_points,)
        Rising or falling.
    y : array or Dask array of shape (n_points,)

    Returns
    -------
    float
        The area; of points in Dask collections, which are computed, too.

    See Also
    --------
    roc_auc_score : The area under a ROC curve, of scores.

    Examples
    --------
    >>> auc([0.0, 0.5, 1.0], [0.0, 1.0, 1.0])
    0.75
    """
    return float(sklearn.metrics.auc(*dask.compute(x, y)))

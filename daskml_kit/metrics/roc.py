"""ROC AUC: the area under the receiver operating characteristic, on Dask in bounded memory."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import sklearn.metrics
from sklearn.exceptions import UndefinedMetricWarning

from daskml_kit.engines.engine import Engine
from daskml_kit.exceptions import DataError
from daskml_kit.metrics.inputs import column, in_memory_by, open_scores
from daskml_kit.numerics.auc import Ranking, areas
from daskml_kit.reductions.rank_counts import KeyRanges, RankCounts, RankingTotals
from daskml_kit.reductions.value_counts import Distinct
from daskml_kit.typing import Array

CAP = 2**20
"""Entries of a ranking, 32 bytes each; with many classes they share four times as many."""
TOLERANCE = 1e-6


@in_memory_by(sklearn.metrics.roc_auc_score)
def roc_auc_score(
    y_true: Any,
    y_score: Any,
    *,
    average: str | None = "macro",
    sample_weight: Any = None,
    max_fpr: float | None = None,
    multi_class: str = "raise",
    labels: Any = None,
) -> float | Array:
    """Area under the ROC curve: the probability that a positive scores above a negative, ties by half.

    On Dask the result is exact up to rounding with at most 2**20 distinct scores. With more, scores are grouped, the
    bound on the error is known (`daskml_kit.numerics.auc`), and it is at most 1e-6: should one pass not reach
    that, as may happen where blocks have very different scores, further passes look into the groups in doubt. Memory
    is bounded by 2**20 groups a column, 2**22 together.

    Parameters
    ----------
    y_true : array-like or Dask collection of shape (n,)
        The greater of two labels is the positive one.
    y_score : array-like or Dask collection of shape (n,) or (n, n_classes)
    average : {"macro", "weighted"} or None
        How classes are averaged; None gives an array of one area a class.
    sample_weight : array-like or Dask collection of shape (n,), optional
    max_fpr : None
        Only on input in memory.
    multi_class : {"raise", "ovr"}
        "ovo" only on input in memory.
    labels : array-like of shape (n_classes,), optional
        The sorted labels of the columns; without them more than two classes take a pass to find them.

    Returns
    -------
    float, or array of shape (n_classes,) with ``average=None``
        1 where every positive scores above every negative, 0.5 for random scores.

    References
    ----------
    Fawcett, "An introduction to ROC analysis", Pattern Recognition Letters 27 (2006).

    See Also
    --------
    log_loss, brier_score_loss : Losses of probabilities.

    Raises
    ------
    DataError
        Where scores are NaN, weights negative, lengths differ, or the classes do not fit the columns.
    NotImplementedError
        Where Dask input asks for ``max_fpr``, "ovo", or an average over rows.

    Examples
    --------
    >>> import dask.array as da
    >>> roc_auc_score(da.from_array([0, 0, 1, 1], chunks=2), da.from_array([0.1, 0.4, 0.35, 0.8], chunks=2))
    0.75
    """
    if max_fpr is not None and max_fpr != 1:
        raise NotImplementedError(f"roc_auc_score on Dask: max_fpr={max_fpr!r} is missing; only the full area is there")
    truth, scores = column(y_true, "y_true"), column(y_score, "y_score")
    if truth.ndim == 2:
        raise NotImplementedError("roc_auc_score on Dask: multilabel y_true is missing; pass one column of labels")
    if scores.ndim == 1:
        with open_scores(truth, scores, sample_weight, name="y_score") as engine:
            return float(_areas(engine, None)[0].value())
    return _multiclass(truth, scores, average, sample_weight, multi_class, labels)


def _multiclass(
    truth: Any, scores: Any, average: str | None, weight: Any, multi_class: str, labels: Any
) -> float | Array:
    width = scores.shape[1]
    if width < 3:
        raise DataError(f"y_score: expected one column for two classes, that of the greater label, got {width}")
    if multi_class == "raise":
        raise DataError("multi_class must be in ('ovo', 'ovr')")
    if multi_class != "ovr":
        raise NotImplementedError(f"roc_auc_score on Dask: multi_class={multi_class!r} is missing; 'ovr' is there")
    if average not in ("macro", "weighted", None):
        raise NotImplementedError(
            f"roc_auc_score on Dask: average={average!r} is missing; 'macro', 'weighted' and None are there"
        )
    with open_scores(truth, scores, weight, name="y_score") as engine:
        classes = engine.answer(Distinct(width))[0] if labels is None else _ordered(labels)
        if len(classes) != width:
            raise DataError(f"labels: expected {width}, one a column of y_score, got {len(classes)}")
        found = _areas(engine, classes)
    values = np.array([curve.value() for curve in found])
    if average is None:
        return values
    if average == "macro":
        return float(values.mean())
    masses = np.array([curve.positive for curve in found])
    return float(np.average(np.where(masses == 0, 0, values), weights=masses)) if masses.any() else 0.0


@dataclass
class _RocCurve:
    """The area under one column's curve so far, as weights of pairs, and what of it is in doubt."""

    negative: float
    positive: float
    found: bool
    area: float = 0.0
    doubts: Array = field(default_factory=lambda: np.zeros(0))
    passed: float = 0.0

    def value(self) -> float:
        if not self.found:
            message = "Only one class is present in y_true. ROC AUC score is not defined in that case."
            warnings.warn(message, UndefinedMetricWarning, stacklevel=4)
        pairs = self.negative * self.positive
        return self.area / pairs if pairs else float("nan")

    def add(self, ranking: Ranking, starts: Array) -> None:
        area, self.doubts = areas(ranking, starts)
        self.area += area

    def choose(self, ranking: Ranking) -> KeyRanges:
        """Return the cells to look into, none where the area is known well enough; their part leaves the area."""
        allowed = TOLERANCE * self.negative * self.positive - self.passed
        if (doubt := float(self.doubts.sum())) <= allowed:
            self.passed += doubt
            return KeyRanges(ranking.low[:0], ranking.high[:0], ranking.shift)
        order = np.argsort(self.doubts)
        doubts = np.cumsum(self.doubts[order])
        keep = int(np.searchsorted(doubts, allowed / 2, side="right"))
        chosen = np.sort(order[keep:])
        self.passed += float(doubts[keep - 1]) if keep else 0.0
        self.area -= float(self.doubts[chosen].sum())
        ceiling = ranking.shift - np.minimum(ranking.shift, np.uint64(1))
        return KeyRanges(ranking.low[chosen], ranking.high[chosen], ceiling)


def _areas(engine: Engine, classes: Array | None) -> list[_RocCurve]:
    """Rank in one pass, then again within the cells in doubt, until every area is known to `TOLERANCE`."""
    cap = CAP if classes is None else min(CAP, 4 * CAP // len(classes))
    totals: RankingTotals = engine.answer(RankCounts(cap, classes))[0]
    if not totals.n_rows:
        raise DataError("y_true: Found empty input array while a minimum of 1 sample is required")
    rankings = [_two_columns(ranking) for ranking in totals.rankings]
    two = len(totals.labels) > 1
    found = [two] if classes is None else [two and name in totals.labels for name in classes]
    masses = [ranking.mass.sum(axis=0) for ranking in rankings]
    curves = [_RocCurve(float(n), float(p), known) for (n, p), known in zip(masses, found, strict=True)]
    starts: Sequence[Array] = [np.zeros(1, np.uint64)] * len(curves)
    while True:
        for curve, ranking, start in zip(curves, rankings, starts, strict=True):
            curve.add(ranking, start)
        within = [curve.choose(ranking) for curve, ranking in zip(curves, rankings, strict=True)]
        if not any(len(ranges.low) for ranges in within):
            return curves
        rankings = [_two_columns(ranking) for ranking in engine.answer(RankCounts(cap, classes, within))[0].rankings]
        starts = [ranges.low for ranges in within]


def _two_columns(ranking: Ranking) -> Ranking:
    missing = 2 - ranking.mass.shape[1]
    return ranking._replace(mass=np.pad(ranking.mass, ((0, 0), (0, missing)))) if missing else ranking


def _ordered(labels: Any) -> Array:
    given = np.asarray(labels)
    if not np.array_equal(np.unique(given), given):
        raise DataError(f"labels: expected unique labels in order, got {given.tolist()}")
    return given

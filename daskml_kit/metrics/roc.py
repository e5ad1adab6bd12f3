"""ROC AUC: the area under the receiver operating characteristic, on Dask in bounded memory."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial, reduce
from itertools import combinations
from typing import Any

import numpy as np
import sklearn.metrics
from sklearn.exceptions import UndefinedMetricWarning

from daskml_kit.arguments import check_choice
from daskml_kit.engines.engine import Engine
from daskml_kit.exceptions import DataError
from daskml_kit.metrics.inputs import column, in_memory_by, open_scores, reduce_scores, require_rows
from daskml_kit.metrics.score_curves import CAP, averaged, score_cells
from daskml_kit.numerics.auc import Ranking, areas, merge
from daskml_kit.reductions.rank_counts import KeyRanges, RankCounts, RankingTotals
from daskml_kit.reductions.value_counts import Distinct
from daskml_kit.typing import Array

LEAST = 2**10
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
    compute: bool = True,
) -> Any:
    """Area under the ROC curve: the probability that a positive scores above a negative, ties by half.

    On Dask the result is exact up to rounding with at most 2**20 distinct scores. With more, scores are grouped, the
    bound on the error is known (`daskml_kit.numerics.auc`), and it is at most 1e-6: should one pass not reach
    that, as may happen where blocks have very different scores, further passes look into the groups in doubt. Memory
    is bounded by 2**20 groups a column, 2**22 together. What ``max_fpr``, "ovo" and "micro" give is of one pass; a
    warning tells of a bound above 1e-6.

    Parameters
    ----------
    y_true : array-like or Dask collection of shape (n,), or indicator of shape (n, n_classes)
        The greater of two labels is the positive one.
    y_score : array-like or Dask collection of shape (n,) or (n, n_classes)
    average : {"macro", "weighted", "micro"} or None
        How classes are averaged; None gives an array of one area a class. "samples" only on input in memory.
    sample_weight : array-like or Dask collection of shape (n,), optional
    max_fpr : float, optional
        The largest false positive rate; the area up to there is standardized as by McClish (1989).
    multi_class : {"raise", "ovr", "ovo"}
        Each class against the rest, or each pair of classes.
    labels : array-like of shape (n_classes,), optional
        The sorted labels of the columns; without them more than two classes take a pass to find them.
    compute : bool, default True
        False gives a Delayed of one column's area in one pass, in place of the number.

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
        Where Dask input asks for an average over rows.

    Examples
    --------
    >>> import dask.array as da
    >>> roc_auc_score(da.from_array([0, 0, 1, 1], chunks=2), da.from_array([0.1, 0.4, 0.35, 0.8], chunks=2))
    0.75
    """
    truth, scores = column(y_true, "y_true"), column(y_score, "y_score")
    options = {"multi_class": multi_class, "labels": labels, "average": average}
    if truth.ndim == 2 or scores.ndim == 2:
        if max_fpr not in (None, 1):
            raise ValueError(f"max_fpr={max_fpr!r}: the area of several columns is the full one; leave None")
        if not compute:
            raise ValueError("compute=False: expected one column of y_score")
        return _of_columns(truth, scores, sample_weight, **options)
    if max_fpr in (None, 1) and compute:
        with open_scores(truth, scores, sample_weight, name="y_score") as engine:
            return float(_areas(engine, None)[0].value())
    finish = partial(_of_one_pass, max_fpr=max_fpr)
    return reduce_scores(RankCounts(CAP), finish, truth, scores, sample_weight, compute, "y_score")


def _of_one_pass(totals: RankingTotals, max_fpr: float | None) -> float:
    require_rows(totals.n_rows, 1)
    if max_fpr in (None, 1) and len(totals.labels) > 1:
        return _area(totals.rankings[0], 0, 1)
    return float(score_cells(totals, sklearn.metrics.roc_auc_score, {"max_fpr": max_fpr}))


def _of_columns(
    truth: Any, scores: Any, weight: Any, multi_class: str, labels: Any, average: str | None
) -> float | Array:
    width = scores.shape[1] if scores.ndim == 2 else 1
    if truth.ndim == 1 and width < 3:
        raise DataError(f"y_score: expected one column for two classes, that of the greater label, got {width}")
    if truth.ndim == 1 and multi_class not in ("ovr", "ovo"):
        raise DataError("multi_class must be in ('ovo', 'ovr')")
    one_by_one = truth.ndim == 1 and multi_class == "ovo"
    if average == "samples":
        raise NotImplementedError("roc_auc_score on Dask: average='samples' is missing; the others are there")
    check_choice("average", average, ("macro", "weighted") if one_by_one else ("macro", "weighted", "micro", None))
    if one_by_one and weight is not None:
        raise ValueError("sample_weight is not supported for multiclass one-vs-one ROC AUC: leave None")
    with open_scores(truth, scores, weight, name="y_score") as engine:
        if truth.ndim == 2:
            classes = np.arange(width)
        else:
            classes = engine.answer(Distinct(width))[0] if labels is None else _ordered(labels)
        if len(classes) != width:
            raise DataError(f"labels: expected {width}, one a column of y_score, got {len(classes)}")
        if one_by_one:
            return _one_by_one(engine, classes, average == "weighted")
        if average == "micro":
            return _pooled(engine, classes)
        found = _areas(engine, classes, truth.ndim == 2)
    return averaged(np.array([curve.value() for curve in found]), [curve.positive for curve in found], average)


def _one_by_one(engine: Engine, classes: Array, by_rows: bool) -> float:
    """Return the mean area of pairs of classes, each the mean of the areas under the scores of either (Hand & Till)."""
    k = len(classes)
    totals = engine.answer(RankCounts(max(min(CAP, 8 * CAP // k**2), LEAST), classes, each=True))[0]
    require_rows(totals.n_rows, 1)
    rows = totals.rankings[0].mass.sum(axis=0)
    pairs = list(combinations(range(k), 2))
    means = [np.mean([_area(totals.rankings[own], other, own) for own, other in ((a, b), (b, a))]) for a, b in pairs]
    return float(np.average(means, weights=[rows[a] + rows[b] for a, b in pairs] if by_rows else None))


def _pooled(engine: Engine, classes: Array) -> float:
    totals = engine.answer(RankCounts(min(CAP, 4 * CAP // len(classes)), classes))[0]
    require_rows(totals.n_rows, 1)
    return _area(reduce(merge, totals.rankings), 0, 1)


def _area(ranking: Ranking, negative: int, positive: int) -> float:
    """Return the area of two columns of masses, and warn where groups of scores leave more than `TOLERANCE` open."""
    area, doubts = areas(ranking._replace(mass=ranking.mass[:, [negative, positive]]), np.zeros(1, np.uint64))
    pairs = float(np.prod(ranking.mass[:, [negative, positive]].sum(axis=0)))
    if doubts.sum() > TOLERANCE * pairs:
        warnings.warn(
            f"the area is known within {doubts.sum() / pairs:.1g}: there are more distinct scores than groups",
            UserWarning,
            stacklevel=4,
        )
    return area / pairs if pairs else float("nan")


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


def _areas(engine: Engine, classes: Array | None, indicator: bool = False) -> list[_RocCurve]:
    """Rank in one pass, then again within the cells in doubt, until every area is known to `TOLERANCE`."""
    cap = CAP if classes is None else min(CAP, 4 * CAP // len(classes))
    totals: RankingTotals = engine.answer(RankCounts(cap, classes))[0]
    require_rows(totals.n_rows, 1)
    rankings = [_two_columns(ranking) for ranking in totals.rankings]
    two = len(totals.labels) > 1
    found = [two] if classes is None else [two and name in totals.labels for name in classes]
    if indicator and classes is not None:
        found = [bool(np.isin([2 * j, 2 * j + 1], totals.labels).all()) for j in classes]
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

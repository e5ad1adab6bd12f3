"""Metrics of order statistics: a pass bins the values, and a second one ranks those near the wanted quantiles.

Examples
--------
>>> import dask.array as da
>>> y_true, y_pred = da.from_array([3.0, -0.5, 2.0, 7.0], chunks=2), da.from_array([2.5, 0.0, 2.0, 8.0], chunks=3)
>>> median_absolute_error(y_true, y_pred)
0.5
>>> d2_absolute_error_score(y_true, y_pred)
0.7647058823529411
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import sklearn.metrics

from daskml_kit.data.block import Block
from daskml_kit.engines.engine import Engine
from daskml_kit.metrics.documented import documented_by
from daskml_kit.metrics.inputs import column, open_scores, require_rows
from daskml_kit.metrics.regression import explained_fraction, over_outputs, too_few
from daskml_kit.metrics.score_curves import CAP
from daskml_kit.numerics.auc import Ranking, bin_values, merge, scores_of
from daskml_kit.reductions.block_means import BlockMeans
from daskml_kit.reductions.class_losses import weights_of
from daskml_kit.reductions.rank_counts import KeyRanges, RankCounts, RankingTotals
from daskml_kit.reductions.reduction import Delegate, SingleReduction
from daskml_kit.reductions.residuals import errors_of
from daskml_kit.typing import Array

NOTE = """On Dask collections a pass counts the values in bins of their leading bits, and a second one ranks those
in the bins of the wanted quantiles: the result is exact. Rows without weights have quantiles of
equal weights, as in scikit-learn 1.9."""


@dataclass(frozen=True, eq=False)
class ValueRanks(Delegate):
    """Ranks of the values that ``values`` makes of each block, all of one label."""

    values: Callable[[Block], Array]

    def view(self, block: Block) -> Block:
        values = self.values(block)
        return block._replace(X=values, y=np.zeros(values.shape, np.int8))


@dataclass(frozen=True, eq=False)
class ValueBins(SingleReduction):
    """Weights of the values that ``values`` makes of each block, in bins of their leading bits."""

    values: Callable[[Block], Array]

    def chunk(self, block: Block) -> RankingTotals:
        values, weight = self.values(block), weights_of(block)
        return RankingTotals(block.n_rows, np.zeros(1), [bin_values(column, weight) for column in values.T])

    def combine(self, a: RankingTotals, b: RankingTotals) -> RankingTotals:
        return RankingTotals(a.n_rows + b.n_rows, a.labels, list(map(merge, a.rankings, b.rankings)))


def distinct_values(
    engine: Engine, values: Callable[[Block], Array], n_columns: int, quantiles: Sequence[float]
) -> list[tuple[Array, Array]]:
    """Return the distinct values of each column in order, and their weights; groups away from the quantiles are one.

    Parameters
    ----------
    engine : Engine
    values : callable
        Makes an array of shape (n_rows, n_columns) of a block.
    n_columns : int
    quantiles : sequence of float
        Fractions of the weight, near which values are told apart.
    """
    classes = np.arange(n_columns) if n_columns > 1 else None
    cap = min(CAP, 4 * CAP // n_columns)
    totals: RankingTotals = engine.answer(ValueBins(values))[0]
    require_rows(totals.n_rows, float(totals.rankings[0].mass.sum()))
    rankings = totals.rankings
    while True:
        wanted = [_in_doubt(ranking, quantiles, totals.n_rows) for ranking in rankings]
        if not any(doubt.any() for doubt in wanted):
            return [(scores_of(ranking.low), ranking.mass.sum(axis=1)) for ranking in rankings]
        within = []
        for ranking, doubt in zip(rankings, wanted, strict=True):
            ceiling = ranking.shift - np.minimum(ranking.shift, np.uint64(1))
            within.append(KeyRanges(ranking.low[doubt], ranking.high[doubt], ceiling))
        finer = engine.answer(ValueRanks(RankCounts(cap, classes, within), values))[0].rankings
        rankings = [_refined(*parts) for parts in zip(rankings, wanted, finer, strict=True)]


def _in_doubt(ranking: Ranking, quantiles: Sequence[float], n_rows: int) -> Array:
    """Return which cells hold several values and may hold a quantile, or a neighbor of one."""
    ends = np.cumsum(ranking.mass.sum(axis=1))
    wanted = np.zeros(len(ends), bool)
    targets, slack = np.asarray(quantiles) * ends[-1], 2 * ends[-1] / n_rows  # quantiles between two rows need both
    first, last = np.searchsorted(ends, targets - slack), np.searchsorted(ends, targets + slack)
    for start, stop in zip(first, last, strict=True):
        wanted[start : stop + 2] = True
    return wanted & (ranking.low < ranking.high)


def _refined(ranking: Ranking, doubt: Array, finer: Ranking) -> Ranking:
    new = (finer.low, finer.high, finer.mass.sum(axis=1, keepdims=True))
    parts = [np.concatenate([own[~doubt], other]) for own, other in zip(ranking[:3], new, strict=True)]
    order = np.argsort(parts[0], kind="stable")
    low, high, mass = (part[order] for part in parts)
    return Ranking(low, high, mass, finer.shift)


def _errors(block: Block) -> Array:
    return np.abs(errors_of(block)[1])


def _targets(block: Block) -> Array:
    return errors_of(block)[0]


def _width(y_pred: Any) -> int:
    predicted = column(y_pred, "y_pred")
    return 1 if predicted.ndim == 1 else int(predicted.shape[1])


def _median_absolute_error(
    y_true: Any, y_pred: Any, sample_weight: Any = None, multioutput: Any = "uniform_average"
) -> Any:
    width = _width(y_pred)
    with open_scores(y_true, y_pred, sample_weight, many_passes=True) as engine:
        found = distinct_values(engine, _errors, width, [0.5])
    medians = [quantile(values, weight, 0.5) for values, weight in found]
    return over_outputs(np.array(medians), multioutput)


def quantile(values: Array, weight: Array, level: float) -> float:
    """Return the weighted quantile of sorted values; at the boundary of two their mean, as in scikit-learn."""
    values, weight = values[weight > 0], weight[weight > 0]
    ends = np.cumsum(weight)
    target = level * ends[-1]
    eps = np.finfo(np.float64).eps * ends[-1]
    lower, upper = np.searchsorted(ends, [max(target - eps, 0), target + eps], side="left")
    last = len(values) - 1
    return float((values[min(lower, last)] + values[min(upper, last)]) / 2)


def _pinball(block_y: Array, predicted: Array, sample_weight: Array, alpha: float) -> Any:
    return sklearn.metrics.mean_pinball_loss(
        block_y, predicted, sample_weight=sample_weight, alpha=alpha, multioutput="raw_values"
    )


def _against(block_y: Array, predicted: Array, sample_weight: Array, alpha: float, constant: Array) -> Any:
    """Return the loss of the predictions, and of the constant ones."""
    same = np.broadcast_to(constant if block_y.ndim == 2 else constant[0], block_y.shape)
    losses = [_pinball(block_y, guess, sample_weight, alpha) for guess in (predicted, same)]
    return np.stack([np.atleast_1d(loss) for loss in losses])


def _d2_pinball(
    y_true: Any, y_pred: Any, sample_weight: Any = None, alpha: float = 0.5, multioutput: Any = "uniform_average"
) -> Any:
    alpha, width = float(alpha), _width(y_pred)
    with open_scores(y_true, y_pred, sample_weight, many_passes=True) as engine:
        found = distinct_values(engine, _targets, width, [alpha])
        constant = np.array([quantile(values, weight, alpha) for values, weight in found])
        losses = partial(_against, alpha=alpha, constant=constant)
        total = engine.answer(BlockMeans(losses))[0]
    if too_few(total.n_rows, "D^2"):
        return float("nan")
    loss, null = total.total
    return over_outputs(explained_fraction(loss, null), multioutput)


d2_absolute_error_score = documented_by(sklearn.metrics.d2_absolute_error_score, _d2_pinball, NOTE, lazy=False)
d2_pinball_score = documented_by(sklearn.metrics.d2_pinball_score, _d2_pinball, NOTE, lazy=False)
median_absolute_error = documented_by(sklearn.metrics.median_absolute_error, _median_absolute_error, NOTE, lazy=False)

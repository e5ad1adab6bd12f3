"""Calibration curves of probabilities: bins of the scores, summed in one pass.

Examples
--------
>>> import dask.array as da
>>> y_true = da.from_array([0, 0, 0, 0, 1, 1, 1, 1, 1], chunks=4)
>>> y_prob = da.from_array([0.1, 0.2, 0.3, 0.4, 0.65, 0.7, 0.8, 0.9, 1.0], chunks=5)
>>> prob_true, prob_pred = calibration_curve(y_true, y_prob, n_bins=3)
>>> prob_true.tolist(), prob_pred.round(3).tolist()
([0.0, 0.5, 1.0], [0.2, 0.525, 0.85])
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import sklearn.calibration

from daskml_kit.arguments import check_choice
from daskml_kit.data.block import Block
from daskml_kit.exceptions import DataError
from daskml_kit.metrics.documented import documented_by
from daskml_kit.metrics.inputs import open_scores, require_rows
from daskml_kit.metrics.order_statistics import distinct_values
from daskml_kit.reductions.class_losses import check_probabilities, union
from daskml_kit.reductions.reduction import SingleReduction
from daskml_kit.reductions.summary import one_column, sorted_labels
from daskml_kit.typing import Array


class BinTotals(NamedTuple):
    """Rows, labels found (sorted), and of each bin the sum of scores, and the rows of each label (n_labels, n_bins)."""

    n_rows: int
    labels: Array
    scores: Array
    rows: Array


@dataclass(frozen=True, eq=False)
class ScoreBins(SingleReduction):
    """Sum the probabilities of one column in bins that end at ``edges``, the end belonging to the bin.

    Parameters
    ----------
    edges : array of shape (n_bins - 1,)
        The inner edges, sorted.
    """

    edges: Array

    def chunk(self, block: Block) -> BinTotals:
        """Count the block's rows.

        Raises
        ------
        DataError
            Where scores leave [0, 1] or are NaN, or a label is missing.
        """
        scores = one_column(check_probabilities(block), "y_prob", block.index).astype(np.float64)
        codes, labels = sorted_labels(one_column(block.y, "y_true", block.index), block.index)
        n_bins = len(self.edges) + 1
        place = np.searchsorted(self.edges, scores)
        rows = np.bincount(codes * n_bins + place, minlength=len(labels) * n_bins).reshape(len(labels), n_bins)
        return BinTotals(block.n_rows, labels, np.bincount(place, scores, minlength=n_bins), rows)

    def combine(self, a: BinTotals, b: BinTotals) -> BinTotals:
        labels = union(a.labels, b.labels)
        rows: Any = np.zeros((len(labels), len(a.scores)), np.int64)
        for part in (a, b):
            rows[np.searchsorted(labels, part.labels)] += part.rows
        return BinTotals(a.n_rows + b.n_rows, labels, a.scores + b.scores, rows)


NOTE = """On Dask collections one pass sums the bins; with ``strategy="quantile"`` two passes before find their
exact edges."""


def _curve(
    y_true: Any, y_prob: Any, pos_label: Any = None, n_bins: int = 5, strategy: str = "uniform"
) -> tuple[Array, Array]:
    check_choice("strategy", strategy, ("uniform", "quantile"))
    if not isinstance(n_bins, (int, np.integer)) or n_bins < 1:
        raise ValueError(f"n_bins: expected a positive integer, got {n_bins!r}")
    levels = np.linspace(0, 1, n_bins + 1)
    with open_scores(y_true, y_prob, None, name="y_prob", many_passes=strategy == "quantile") as engine:
        edges = levels
        if strategy == "quantile":
            edges = _percentiles(*distinct_values(engine, _scores, 1, levels.tolist())[0], levels)
        total: BinTotals = engine.answer(ScoreBins(edges[1:-1]))[0]
    require_rows(total.n_rows, 1)
    positive = total.rows[total.labels == _positive(total.labels, pos_label)].sum(axis=0)
    counts = total.rows.sum(axis=0)
    seen = counts != 0
    return positive[seen] / counts[seen], total.scores[seen] / counts[seen]


def _scores(block: Block) -> Array:
    return check_probabilities(block)


def _percentiles(values: Array, counts: Array, levels: Array) -> Array:
    """Return `numpy.percentile` of rows of which ``counts`` have each value."""
    ends = np.cumsum(counts)
    place = levels * (ends[-1] - 1)
    lower = np.floor(place)
    low, high = (values[np.searchsorted(ends, np.minimum(at, ends[-1] - 1), side="right")] for at in (lower, lower + 1))
    return np.asarray(low + (high - low) * (place - lower))


def _positive(labels: Array, given: Any) -> Any:
    if len(labels) > 2:
        raise DataError(f"y_true: Only binary classification is supported, got labels {labels[:5].tolist()}")
    if given is not None:
        return given
    if labels.tolist() not in ([0, 1], [-1, 1], [0], [-1], [1]):
        raise DataError(f"y_true takes value in {labels.tolist()} and pos_label is not specified: pass pos_label")
    return 1


calibration_curve = documented_by(sklearn.calibration.calibration_curve, _curve, NOTE, lazy=False)

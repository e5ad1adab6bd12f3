"""Sums of scores and of positives in bins of the scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from daskml_kit.data.block import Block
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

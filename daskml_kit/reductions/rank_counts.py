"""Rank counts for the ROC AUC as a reduction: the weight of each class at each score, in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from daskml_kit.data.block import Block
from daskml_kit.exceptions import DataError
from daskml_kit.numerics.auc import FULL_SHIFT, Ranking, coarsen, merge, order_keys, rank
from daskml_kit.reductions.class_losses import predictions, require_finite, union, weights_of
from daskml_kit.reductions.reduction import SingleReduction
from daskml_kit.reductions.summary import one_column, sorted_labels
from daskml_kit.typing import Array


class KeyRanges(NamedTuple):
    """Disjoint ranges of order keys, and the most bits (4096,) that the cells inside may drop."""

    low: Array
    high: Array
    ceiling: Array


class RankingTotals(NamedTuple):
    """The rows, labels found (sorted), and for each column of scores the ranking with the labels' weights.

    What is found of an indicator are the numbers 2 j + v of the values v in its columns j.
    """

    n_rows: int
    labels: Array
    rankings: list[Ranking]


@dataclass(frozen=True, eq=False)
class RankCounts(SingleReduction):
    """Rank every column of scores, each for its own class against the rest, in bounded memory.

    Parameters
    ----------
    cap : int
        Entries of a column's ranking beyond which scores are grouped (`daskml_kit.numerics.auc`).
    classes : array of shape (n_columns,), optional
        The class of each column: masses are of the rest and of the class. None for one column: masses are of the
        labels found, two at most.
    within : sequence of KeyRanges, optional
        The ranges of scores to rank in each column; all others are left out.
    probabilities : bool
        Whether rows of several columns have to sum up to one; those of an indicator of several labels never have to.
    each : bool
        Whether masses are of each of the ``classes``, in place of the column's own and the rest.
    """

    cap: int
    classes: Array | None = None
    within: Sequence[KeyRanges] | None = None
    probabilities: bool = True
    each: bool = False

    def chunk(self, block: Block) -> RankingTotals:
        """Sort the block's scores.

        Raises
        ------
        DataError
            Where a score or weight is NaN, infinite, or a weight negative; where labels do not fit the classes.
        """
        scores = predictions(block, "y_score")
        require_finite(scores, "y_score", block.index)
        weight = weights_of(block)
        if block.y is not None and block.y.ndim == 2 and block.y.shape[1] > 1:
            return self._of_indicator(block, scores, weight)
        codes, labels = sorted_labels(one_column(block.y, "y_true", block.index), block.index)
        if self.classes is None:
            _require_two(labels)
            return RankingTotals(block.n_rows, labels, [self._rank(scores[:, 0], codes, weight, len(labels), 0)])
        if not np.isin(labels, self.classes).all():
            raise DataError(f"y_true contains labels not in parameter 'labels' in block {block.index}")
        if self.probabilities and not np.allclose(1, scores.sum(axis=1)):
            raise DataError(
                "y_score: Target scores need to be probabilities for multiclass roc_auc, i.e. they should sum up to "
                f"1.0 over classes; in block {block.index} they do not"
            )
        if self.each:
            place = np.searchsorted(self.classes, labels)[codes]
            k = len(self.classes)
            return RankingTotals(
                block.n_rows, labels, [self._rank(scores[:, j], place, weight, k, j) for j in range(k)]
            )
        own = [(labels == name).astype(np.intp)[codes] for name in self.classes]
        columns = [self._rank(scores[:, j], code, weight, 2, j) for j, code in enumerate(own)]
        return RankingTotals(block.n_rows, labels, columns)

    def _of_indicator(self, block: Block, scores: Array, weight: Array) -> RankingTotals:
        indicator = np.asarray(block.y)
        if indicator.shape != scores.shape:
            raise DataError(
                f"y_score: expected shape {indicator.shape} as of y_true, got {scores.shape} in block {block.index}"
            )
        codes = indicator.astype(np.intp)
        if not ((codes == indicator) & ((codes == 0) | (codes == 1))).all():
            raise DataError(f"y_true: expected an indicator of 0 and 1, or one column, in block {block.index}")
        width = scores.shape[1]
        columns = [self._rank(scores[:, j], codes[:, j], weight, 2, j) for j in range(width)]
        return RankingTotals(block.n_rows, np.unique(codes + 2 * np.arange(width)), columns)

    def combine(self, a: RankingTotals, b: RankingTotals) -> RankingTotals:
        labels = union(a.labels, b.labels)
        if self.classes is None:
            _require_two(labels)
            a, b = _with_labels(a, labels), _with_labels(b, labels)
        columns = [
            coarsen(merge(left, right), self.cap, self._ceiling(j))
            for j, (left, right) in enumerate(zip(a.rankings, b.rankings, strict=True))
        ]
        return RankingTotals(a.n_rows + b.n_rows, labels, columns)

    def _rank(self, scores: Array, codes: Array, weight: Array, n_labels: int, column: int) -> Ranking:
        if self.within is not None:
            ranges, keys = self.within[column], order_keys(scores)
            place = np.searchsorted(ranges.low, keys, side="right") - 1
            inside = (place >= 0) & (keys <= ranges.high[place]) if len(ranges.low) else np.zeros(len(keys), bool)
            scores, codes, weight = scores[inside], codes[inside], weight[inside]
        return coarsen(rank(scores, codes, weight, n_labels), self.cap, self._ceiling(column))

    def _ceiling(self, column: int) -> Array:
        return FULL_SHIFT if self.within is None else self.within[column].ceiling


def _with_labels(totals: RankingTotals, labels: Array) -> RankingTotals:
    """Return ``totals`` with a column of masses for each of ``labels``."""
    if len(labels) == len(totals.labels):
        return totals
    ranking = totals.rankings[0]
    mass = np.zeros((len(ranking.low), len(labels)))
    mass[:, np.searchsorted(labels, totals.labels)] = ranking.mass
    return totals._replace(labels=labels, rankings=[ranking._replace(mass=mass)])


def _require_two(labels: Array) -> None:
    if len(labels) > 2:
        raise DataError(
            "y_score: expected shape (n_samples, n_classes), since y_true contains multiple classes "
            f"({labels[:3].tolist()}, ...), got one column"
        )

"""Scores of an estimator's own ``score`` method, combined over blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from daskml_kit.data.block import Block
from daskml_kit.reductions.reduction import SingleReduction


class ScoreTotals(NamedTuple):
    """Sum of the scores of rows, and their weight."""

    score: float
    weight: float


@dataclass(frozen=True, eq=False)
class BlockScores(SingleReduction):
    """Mean or sum over rows of the score that a scikit-learn model gives blocks.

    Parameters
    ----------
    model : estimator
        Fitted.
    kind : {"mean", "sum"}
        Whether ``model.score`` is a mean over rows, as a log-likelihood is, or a sum, as an inertia is.
    """

    model: Any
    kind: str

    def chunk(self, block: Block) -> ScoreTotals:
        """Return the sum of the scores and the weight of the rows."""
        weight = float(block.n_rows if block.weight is None else block.weight.sum())
        if not block.n_rows:
            return ScoreTotals(0.0, 0.0)
        options = {} if block.weight is None else {"sample_weight": block.weight}
        score = float(self.model.score(block.X, block.y, **options))
        return ScoreTotals(score * weight if self.kind == "mean" else score, weight)

    def combine(self, a: ScoreTotals, b: ScoreTotals) -> ScoreTotals:
        return ScoreTotals(a.score + b.score, a.weight + b.weight)

    def finalize(self, total: ScoreTotals) -> list[float]:
        return [total.score / total.weight if self.kind == "mean" and total.weight else total.score]

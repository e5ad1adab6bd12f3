"""Means over rows: of a metric that scikit-learn computes of each block, and of an estimator's own ``score``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from daskml_kit.data.block import Block
from daskml_kit.exceptions import DataError
from daskml_kit.reductions.class_losses import predictions, require_finite, weights_of
from daskml_kit.reductions.reduction import SingleReduction
from daskml_kit.typing import Array


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


class MetricSums(NamedTuple):
    """Rows, their weight, and the weighted sum of a metric: a number, or one for each output."""

    n_rows: int
    weight: float
    total: Any


@dataclass(frozen=True, eq=False)
class BlockMeans(SingleReduction):
    """The weighted sum over rows of ``theirs``, a metric of scikit-learn that is a weighted mean over rows.

    Parameters
    ----------
    theirs : callable
        Of y, predictions and ``sample_weight``.
    options : mapping
        Its other arguments.
    labels : array, optional
        The classes, of which each block is shown a row without weight: it may lack some.
    name : str
        The callers' name of the predictions.
    """

    theirs: Callable[..., Any]
    options: Mapping[str, Any] = field(default_factory=dict)
    labels: Array | None = None
    name: str = "y_pred"

    def chunk(self, block: Block) -> MetricSums:
        """Score the block in double precision.

        Raises
        ------
        DataError
            Where scikit-learn refuses the block, or a value is not finite.
        """
        weight, y, predicted = _numbers(block, self.name)
        mass = float(weight.sum())
        if not mass:
            return MetricSums(block.n_rows, 0.0, 0.0)
        if self.labels is not None:
            y = np.concatenate([y, self.labels])
            predicted = np.concatenate([predicted, np.zeros((len(self.labels), *predicted.shape[1:]))])
            weight = np.concatenate([weight, np.zeros(len(self.labels))])
        try:
            mean = self.theirs(y, predicted, sample_weight=weight, **self.options)
        except ValueError as error:
            raise DataError(f"{error} (y_true and {self.name}, block {block.index})") from error
        return MetricSums(block.n_rows, mass, np.asarray(mean) * mass)

    def combine(self, a: MetricSums, b: MetricSums) -> MetricSums:
        return MetricSums(a.n_rows + b.n_rows, a.weight + b.weight, a.total + b.total)


@dataclass(frozen=True, eq=False)
class LargestErrors(SingleReduction):
    """The largest absolute error."""

    def chunk(self, block: Block) -> MetricSums:
        weight, y, predicted = _numbers(block, "y_pred")
        if y.ndim > 1:
            raise DataError(
                f"y_true: Multioutput not supported in max_error, got shape {y.shape} in block {block.index}"
            )
        return MetricSums(block.n_rows, float(weight.sum()), float(np.abs(y - predicted).max(initial=0.0)))

    def combine(self, a: MetricSums, b: MetricSums) -> MetricSums:
        return MetricSums(a.n_rows + b.n_rows, a.weight + b.weight, max(a.total, b.total))


def _numbers(block: Block, name: str) -> tuple[Array, Array, Array]:
    """Return weights, targets and predictions, numbers as doubles; a single column has one dimension."""
    if block.y is None:
        raise DataError(f"y_true: expected values, got none in block {block.index}")
    predicted = predictions(block, name).astype(np.float64)
    require_finite(predicted, name, block.index)
    require_finite(block.y, "y_true", block.index)
    y = block.y.astype(np.float64) if block.y.dtype.kind == "f" else block.y
    return weights_of(block), y, predicted[:, 0] if predicted.shape[1] == 1 else predicted

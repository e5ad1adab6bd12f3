"""Validation scores of networks on the rows held out, in one pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from daskml_kit.data.block import Block
from daskml_kit.numerics.feed_forward import NetworkLoss
from daskml_kit.parameter_server.training.minibatches import Minibatch, MinibatchOrder
from daskml_kit.reductions.reduction import SingleReduction
from daskml_kit.typing import Array


@dataclass(frozen=True, eq=False)
class ValidationScorer(SingleReduction):
    """Base of the reductions that score parameters on the validation rows.

    Parameters
    ----------
    order : MinibatchOrder
    loss : NetworkLoss
    params : dict of arrays
    """

    order: MinibatchOrder
    loss: NetworkLoss
    params: dict[str, Array]

    def chunk(self, block: Block) -> Any:
        batch = self.order.validation(block)
        if batch is None:
            return None
        weight = np.ones(batch.n_rows) if batch.weight is None else batch.weight.astype(np.float64)
        return self.score(self.loss.predict(self.params, batch.X), batch, weight)

    def score(self, predicted: Array, batch: Minibatch, weight: Array) -> Any:
        raise NotImplementedError

    def combine(self, a: Any, b: Any) -> Any:
        return a + b if a is not None and b is not None else b if a is None else a


class ValidationScore(NamedTuple):
    """Validation score, and its number of rows."""

    score: float
    n_rows: int


class ValidationAccuracy(ValidationScorer):
    """Accuracy on the validation rows."""

    def score(self, predicted: Array, batch: Minibatch, weight: Array) -> Array:
        y = np.asarray(batch.y)
        if y.ndim == 2:  # multilabel: all labels of a row have to be right
            hits = ((predicted > 0.5) == (y > 0)).all(axis=1)
        else:
            hits = (predicted.argmax(axis=1) if predicted.shape[1] > 1 else predicted[:, 0] > 0.5) == y
        return np.array([weight.sum(), weight @ hits, batch.n_rows])

    def finalize(self, total: Any) -> list[ValidationScore]:
        if total is None:
            return [ValidationScore(float("nan"), 0)]
        weight, hits, n_rows = total
        return [ValidationScore(float(hits / weight) if weight else float("nan"), int(n_rows))]


@dataclass(frozen=True)
class R2Sums:
    """Sums of the coefficient of determination by output: weight, mean, squares about it, and squared errors."""

    n_rows: int
    weight: float
    mean: Array
    squares: Array
    errors: Array

    def __add__(self, other: R2Sums) -> R2Sums:
        """Return the sums over both (T. Chan, G. Golub & R. LeVeque, 1979)."""
        weight = self.weight + other.weight
        if not weight:
            return self
        gap = other.mean - self.mean
        mean = self.mean + gap * (other.weight / weight)
        squares = self.squares + other.squares + gap**2 * (self.weight * other.weight / weight)
        return R2Sums(self.n_rows + other.n_rows, weight, mean, squares, self.errors + other.errors)


class ValidationR2(ValidationScorer):
    """Coefficient of determination on the validation rows, the mean over outputs."""

    def score(self, predicted: Array, batch: Minibatch, weight: Array) -> R2Sums:
        y = np.asarray(batch.y, np.float64).reshape(batch.n_rows, -1)
        total = float(weight.sum())
        mean = weight @ y / total if total else np.zeros(y.shape[1])
        return R2Sums(batch.n_rows, total, mean, weight @ (y - mean) ** 2, weight @ (y - predicted) ** 2)

    def finalize(self, total: Any) -> list[ValidationScore]:
        if total is None:
            return [ValidationScore(float("nan"), 0)]
        with np.errstate(divide="ignore", invalid="ignore"):
            scores = 1 - total.errors / total.squares
        constant = np.where(total.errors == 0, 1.0, 0.0)  # as scikit-learn scores a target that does not vary
        return [ValidationScore(float(np.where(total.squares == 0, constant, scores).mean()), total.n_rows)]


class IndicatorRange(SingleReduction):
    """Return whether all targets are 0 or 1."""

    def chunk(self, block: Block) -> bool:
        y = np.asarray(block.y)
        return bool(((y == 0) | (y == 1)).all())

    def combine(self, a: bool, b: bool) -> bool:
        return a and b

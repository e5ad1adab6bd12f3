"""Scores of many linear models, each on its own rows, by one matrix product a tile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from daskml_kit.data.block import Block, check_finite
from daskml_kit.numerics.csr import plain_if_small, row_slice, times
from daskml_kit.numerics.losses import Logistic, Softmax
from daskml_kit.numerics.targets import tile_rows, tiles
from daskml_kit.reductions.frames import rows_within
from daskml_kit.reductions.reduction import SingleReduction
from daskml_kit.reductions.residuals import Residuals, ResidualTotals
from daskml_kit.typing import Array, Labels

LARGEST = -float(np.log(np.finfo(np.float64).eps))
"""The largest loss of a row: scikit-learn cuts probabilities at the machine's precision."""


class Judged(NamedTuple):
    """Models, by their positions, that are judged on the rows of the same ids of the same fold column."""

    column: int
    ids: tuple[int, ...]
    models: tuple[int, ...]


class ClassSums(NamedTuple):
    """Rows and weight; of each model (m,) the weight of rows it gets right, sums of log-losses and Brier scores.

    The sums are NaN where a row has a label that the models do not know.
    """

    n_rows: int
    weight: float
    hits: Array
    log_losses: Array
    brier: Array


@dataclass(frozen=True, eq=False)
class LinearScores(SingleReduction):
    """Sums that classification and regression scores of linear models are made of.

    Parameters
    ----------
    coef : array of shape (m, k, d + 1)
        The intercept last.
    judged : sequence of Judged
    classes : array, optional
        The classes, sorted, one an output, or two for one output; None where predictors are predictions of numbers.
    likely : bool
        Whether predictors are those of a logistic model, so that there are probabilities to judge.
    weighted : bool
        Whether rows count by their weights.
    """

    coef: Array
    judged: Sequence[Judged]
    classes: Labels | None
    likely: bool
    weighted: bool

    def chunk(self, block: Block) -> list[ClassSums | ResidualTotals]:
        if block.fold is None or block.y is None:
            raise TypeError("scores of held-out rows need folds and targets")
        block = block._replace(X=plain_if_small(block.X))
        return [self._sums(rows_within(block, j.column, j.ids), np.array(j.models)) for j in self.judged]

    def combine(
        self, a: list[ClassSums | ResidualTotals], b: list[ClassSums | ResidualTotals]
    ) -> list[ClassSums | ResidualTotals]:
        return [_join(x, y) for x, y in zip(a, b, strict=True)]

    def _sums(self, block: Block, models: Array) -> ClassSums | ResidualTotals:
        coef = self.coef[models]
        m, k, width = coef.shape
        flat = coef.reshape(m * k, width)
        total: ClassSums | ResidualTotals | None = None
        sparse = sp.issparse(block.X)
        for rows in tiles(max(block.n_rows, 1), tile_rows(block.X, 3 * m * k)):
            tile = row_slice(block.X, rows) if sparse else block.X[rows]
            raw = np.add(times(tile, flat[:, :-1].T).T, flat[:, -1:], order="C")
            if not np.isfinite(raw).all():
                check_finite(block)
            n_rows = tile.shape[0]
            weight = np.ones(n_rows)
            if self.weighted and block.weight is not None:
                weight = block.weight[rows].astype(np.float64)
            y = block.y[rows]  # type: ignore[index]  # `chunk` has looked
            raw = raw.reshape(m, k, n_rows)
            part: ClassSums | ResidualTotals
            if self.classes is None:
                part = self._numbers(raw, y, weight)
            else:
                part = self._classes(raw, _codes(self.classes, y), weight)
            total = part if total is None else _join(total, part)
        if total is None:
            raise TypeError("a block has no tile")
        return total

    def _numbers(self, raw: Array, y: Array, weight: Array) -> ResidualTotals:
        truth = (y[:, None] if y.ndim == 1 else y).astype(np.float64)
        mass = float(weight.sum())
        mean = weight @ truth / mass if mass else np.zeros(truth.shape[1])
        error = raw - truth.T
        absolute, deviance = np.abs(error) @ weight, (error * error) @ weight
        return ResidualTotals(
            len(truth), mass, mean, weight @ (truth - mean) ** 2, absolute, deviance, np.zeros_like(mean)
        )

    def _classes(self, raw: Array, codes: Array, weight: Array) -> ClassSums:
        m, k, n_rows = raw.shape
        if k == 1:
            hits = (raw[:, 0] > 0) == codes
        else:
            hits = raw.argmax(axis=1) == codes
        right = hits @ weight
        if not self.likely:
            return ClassSums(n_rows, float(weight.sum()), right, np.zeros(m), np.zeros(m))
        if k == 1:
            losses, gradient, _ = Logistic().terms(raw[:, 0], np.where(codes == 1, -1.0, 1.0)[None], 1)
            brier = gradient * gradient  # the gradient is the probability of the other class; of two, one counts
        else:
            terms = [Softmax(k).terms(own, codes[None], 1) for own in raw]
            losses = np.stack([term.value[0] for term in terms])
            brier = np.stack([(term.gradient**2).sum(axis=0) for term in terms])  # probabilities less the one-hot truth
        if codes.min(initial=0) < 0:
            losses[:, codes < 0] = brier[:, codes < 0] = np.nan
        cut = np.minimum(losses, LARGEST) @ weight
        return ClassSums(n_rows, float(weight.sum()), right, cut, brier @ weight)


def _codes(classes: Labels, y: Array) -> Array:
    """Return the position of each label among the sorted ``classes``, -1 of one that is not there."""
    codes = np.minimum(np.searchsorted(classes, y), len(classes) - 1)
    return np.where(classes[codes] == y, codes, -1)


def _join(a: ClassSums | ResidualTotals, b: ClassSums | ResidualTotals) -> ClassSums | ResidualTotals:
    if isinstance(a, ClassSums) and isinstance(b, ClassSums):
        hits, losses, brier = (x + y for x, y in zip(a[2:], b[2:], strict=True))
        return ClassSums(a.n_rows + b.n_rows, a.weight + b.weight, hits, losses, brier)
    if isinstance(a, ResidualTotals) and isinstance(b, ResidualTotals):
        return Residuals().combine(a, b)
    raise TypeError("sums of classes and of numbers do not join")

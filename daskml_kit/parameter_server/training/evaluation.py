"""Validation loss of the rows that are not trained on, and the sizes of blocks: one pass each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from daskml_kit.data.block import Block
from daskml_kit.parameter_server.training.minibatches import MinibatchOrder
from daskml_kit.parameter_server.training.updates import WorkerStep
from daskml_kit.reductions.reduction import SingleReduction
from daskml_kit.typing import Array


@dataclass(frozen=True, eq=False)
class ValidationLoss(SingleReduction):
    """Mean loss of the validation rows at some parameters.

    Parameters
    ----------
    step : WorkerStep
    order : MinibatchOrder
    params : dict of arrays
    """

    step: WorkerStep
    order: MinibatchOrder
    params: dict[str, Array]

    def chunk(self, block: Block) -> tuple[float, float]:
        batch = self.order.validation(block)
        return (0.0, 0.0) if batch is None else (self.step.loss(self.params, batch) * batch.mass, batch.mass)

    def combine(self, a: tuple[float, float], b: tuple[float, float]) -> tuple[float, float]:
        return a[0] + b[0], a[1] + b[1]

    def finalize(self, total: tuple[float, float]) -> list[float]:
        loss, weight = total
        return [loss / weight if weight else np.nan]


class BlockSizes(SingleReduction):
    """Number of rows of each block."""

    def chunk(self, block: Block) -> tuple[int, ...]:
        return (block.n_rows,)

    def combine(self, a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
        return a + b

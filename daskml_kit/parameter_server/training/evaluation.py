"""The loss of the rows that are not trained on, in one pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from daskml_kit.data.block import Block
from daskml_kit.parameter_server.training.minibatches import Order
from daskml_kit.parameter_server.training.updates import Step
from daskml_kit.reductions.reduction import SingleReduction
from daskml_kit.typing import Array


class Sum(NamedTuple):
    """A sum of losses, and the weight of the rows."""

    loss: float
    weight: float


@dataclass(frozen=True, eq=False)
class HeldOutLoss(SingleReduction):
    """The sum of the losses of the rows held out at some parameters.

    Parameters
    ----------
    step : Step
    order : Order
    params : dict of arrays
    """

    step: Step
    order: Order
    params: dict[str, Array]

    def chunk(self, block: Block) -> Sum:
        batch = self.order.held_out(block)
        if batch is None:
            return Sum(0.0, 0.0)
        loss = self.step.loss(self.params, batch)
        return Sum(loss * batch.mass, batch.mass)

    def combine(self, a: Sum, b: Sum) -> Sum:
        return Sum(a.loss + b.loss, a.weight + b.weight)


class Sizes(SingleReduction):
    """The number of rows of each block."""

    def chunk(self, block: Block) -> tuple[int, ...]:
        return (block.n_rows,)

    def combine(self, a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
        return a + b

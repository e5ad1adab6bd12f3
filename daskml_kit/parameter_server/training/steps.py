"""What a trainer makes of some mini-batches: a gradient at one point, or a way that it went by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol, TypeAlias

import numpy as np

from daskml_kit.errors import DataError
from daskml_kit.numerics.rows import Rows
from daskml_kit.parameter_server.training.batches import Batch
from daskml_kit.solvers.updates import Update
from daskml_kit.typing import Array

LossAndGradient: TypeAlias = Callable[..., tuple[float, Mapping[str, Any]]]
"""``f(params, X, y)``, with sample weights ``f(params, X, y, weight)``: the mean loss, and its gradient by name."""


class Contribution(NamedTuple):
    """What is pushed: the mean loss of the rows, their weight and number, and arrays by name.

    ``ahead`` is how far the trainer itself has gone, if it does: it goes on from what it pulls next by as much.
    """

    loss: float
    weight: float
    n_rows: int
    arrays: Mapping[str, Any]
    ahead: Mapping[str, Array] | None = None


class Step(Protocol):
    """How a trainer works.

    Attributes
    ----------
    most_batches : int
        The most mini-batches between two pushes that measured costs may lead to.
    by_rows : bool
        Whether it needs but some rows of the parameters, and the gradients of lanes, which are of rows too, add up: a
        mean over lanes would shorten the step of a row that few of them touch.
    local : bool
        Whether it contributes a way that it went by itself, of which those of all trainers are to be averaged.
    """

    @property
    def most_batches(self) -> int: ...

    @property
    def by_rows(self) -> bool: ...

    @property
    def local(self) -> bool: ...

    def needs(self, batches: list[Batch]) -> Mapping[str, Array] | None:
        """Return the rows of parameters that these mini-batches need, which are all that is pulled; None for all."""

    def contribute(self, params: dict[str, Array], batches: Iterable[Batch]) -> Contribution:
        """Return what comes of mini-batches at ``params``, which are not written to."""

    def loss(self, params: dict[str, Array], batch: Batch) -> float:
        """Return the mean loss of rows."""


@dataclass(frozen=True)
class Gradients:
    """The mean gradient of mini-batches at the parameters that were pulled."""

    loss_and_grad: LossAndGradient
    most_batches: int = 4
    by_rows: ClassVar[bool] = False
    local: ClassVar[bool] = False

    def needs(self, batches: list[Batch]) -> None:
        return None

    def loss(self, params: dict[str, Array], batch: Batch) -> float:
        return evaluated(self.loss_and_grad, params, batch)[0]

    def contribute(self, params: dict[str, Array], batches: Iterable[Batch]) -> Contribution:
        """Return the mean, over all rows, of loss and gradients."""
        batches = list(batches)
        if len(batches) == 1 and batches[0].mass:
            value, grads = evaluated(self.loss_and_grad, params, batches[0])
            return Contribution(value, batches[0].mass, batches[0].n_rows, grads)
        loss = weight = 0.0
        n_rows, total = 0, None
        for batch in batches:
            value, grads = evaluated(self.loss_and_grad, params, batch)
            mass = batch.mass
            if total is None and mass == 0:
                continue
            loss, weight, n_rows = loss + value * mass, weight + mass, n_rows + batch.n_rows
            total = _added(total, grads, mass)
        if total is None or not weight:
            return Contribution(0.0, 0.0, 0, {})
        return Contribution(loss / weight, weight, n_rows, {name: _scaled(g, 1 / weight) for name, g in total.items()})


@dataclass(frozen=True)
class LocalSteps:
    """A step of the trainer's own for each mini-batch; what is pushed is how far it went.

    Servers add up what trainers went, each weighted so that together they go the mean (local SGD).

    References
    ----------
    S. Stich, Local SGD converges fast and communicates little, ICLR 2019.
    """

    loss_and_grad: LossAndGradient
    rule: Update
    most_batches: int = 64
    by_rows: ClassVar[bool] = False
    local: ClassVar[bool] = True

    def needs(self, batches: list[Batch]) -> None:
        return None

    def loss(self, params: dict[str, Array], batch: Batch) -> float:
        return evaluated(self.loss_and_grad, params, batch)[0]

    def contribute(self, params: dict[str, Array], batches: Iterable[Batch]) -> Contribution:
        """Go a step for each mini-batch."""
        own = {name: array.copy() for name, array in params.items()}
        states = {name: self.rule.init(array) for name, array in own.items()}
        loss = weight = 0.0
        n_rows = 0
        for batch in batches:
            value, grads = evaluated(self.loss_and_grad, own, batch)
            for name, grad in grads.items():
                own[name], states[name] = self.rule.apply(np.asarray(grad), states[name], own[name])
            loss, weight, n_rows = loss + value * batch.mass, weight + batch.mass, n_rows + batch.n_rows
        way = {name: own[name] - array for name, array in params.items()}
        return Contribution(loss / weight if weight else 0.0, weight, n_rows, way, way)


def evaluated(function: LossAndGradient, params: dict[str, Array], batch: Batch) -> tuple[float, Mapping[str, Any]]:
    """Return a user's loss and gradients, checked as far as it costs nothing."""
    weight = () if batch.weight is None else (batch.weight,)
    answer: Any = function(params, batch.X, batch.y, *weight)
    if not isinstance(answer, tuple) or len(answer) != 2 or not isinstance(answer[1], Mapping):
        raise DataError(
            f"loss_and_grad: expected a pair of the mean loss and a mapping of gradients, got {type(answer).__name__}"
        )
    return float(answer[0]), answer[1]


def _added(total: dict[str, Any] | None, grads: Mapping[str, Any], mass: float) -> dict[str, Any]:
    scaled = {name: _scaled(grad, mass) for name, grad in grads.items()}
    if total is None:
        return scaled
    both = {name: _sum(total[name], scaled[name]) for name in total if name in scaled}
    return {**total, **scaled, **both}


def _sum(a: Any, b: Any) -> Any:
    if isinstance(a, Rows) and isinstance(b, Rows):
        return Rows(np.concatenate([a.rows, b.rows]), np.concatenate([a.values, b.values]))
    return a + b


def _scaled(gradient: Any, by: float) -> Any:
    if isinstance(gradient, Rows):
        return Rows(gradient.rows, np.asarray(gradient.values) * by)
    return np.asarray(gradient) * by

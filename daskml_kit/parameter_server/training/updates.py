"""What a trainer makes of some mini-batches: a gradient at one point, or a way that it went by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol, TypeAlias

import numpy as np

from daskml_kit.exceptions import DataError
from daskml_kit.numerics.row_sparse import Rows
from daskml_kit.optim import Update
from daskml_kit.parameter_server.layout import Layout
from daskml_kit.parameter_server.training.minibatches import Batch
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


class TopK:
    """Compression with error feedback: what is not pushed now is pushed when it has grown.

    Parameters
    ----------
    share : float
        Of the elements of each array that are pushed, above 0 and at most 1.
    layout : Layout

    References
    ----------
    Y. Lin et al., Deep gradient compression, ICLR 2018; S. Stich et al., Sparsified SGD with memory, NeurIPS 2018.

    Examples
    --------
    >>> top = TopK(0.5, Layout.of({"w": np.zeros(2)}, 1))
    >>> top.compress({"w": np.array([3.0, 1.0])})["w"]
    Rows(rows=array([0]), values=array([3.]))
    >>> top.compress({"w": np.array([0.0, 1.0])})["w"]
    Rows(rows=array([1]), values=array([2.]))
    """

    def __init__(self, share: float, layout: Layout) -> None:
        self.share, self.layout = share, layout
        self._rest: dict[str, Array] = {}

    def compress(self, gradients: Mapping[str, Any]) -> dict[str, Any]:
        """Return for each array the rows with the largest elements."""
        return {name: self._largest(name, gradient) for name, gradient in gradients.items()}

    def _largest(self, name: str, gradient: Any) -> Any:
        if isinstance(gradient, Rows):
            raise DataError("top_k: expected whole gradients, got rows, which are few already")
        total = np.asarray(gradient) + self._rest.get(name, 0.0)
        if total.ndim == 0:
            return total
        sizes = np.abs(total.reshape(len(total), -1)).max(axis=1, initial=0.0)
        k = min(max(int(np.ceil(self.share * len(total))), 1), len(total))
        rows = np.sort(np.argpartition(sizes, len(total) - k)[len(total) - k :])
        values = total[rows]
        total[rows] = 0
        self._rest[name] = total
        return Rows(rows, values)

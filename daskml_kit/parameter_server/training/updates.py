"""Worker steps, gradients at one point or local SGD, and their validation loss on the rows that are held out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, TypeAlias

import numpy as np

from daskml_kit.data.block import Block
from daskml_kit.exceptions import DataError
from daskml_kit.numerics.row_sparse import SparseRows
from daskml_kit.optim import Update
from daskml_kit.parameter_server.training.minibatches import Minibatch, MinibatchOrder
from daskml_kit.reductions.reduction import SingleReduction
from daskml_kit.typing import Array

LossAndGradient: TypeAlias = Callable[..., tuple[float, Mapping[str, Any]]]
"""``f(params, X, y)``, with sample weights ``f(params, X, y, weight)``: the mean loss, and its gradient by name."""


class Contribution(NamedTuple):
    """Contribution to push: the mean loss of the rows, their weight and number, and gradients or local updates by name.

    ``ahead`` is the worker's own local update, if it made steps of its own: it adds it to the parameters that it pulls
    next.
    """

    loss: float
    weight: float
    n_rows: int
    arrays: Mapping[str, Any]
    ahead: Mapping[str, Array] | None = None


class WorkerStep(ABC):
    """Computation of a worker between two pushes: a gradient at the pulled parameters, or local steps of its own.

    Attributes
    ----------
    most_batches : int
        The most minibatches between two pushes that measured costs may lead to.
    row_sparse : bool
        Whether only some rows of the parameters are pulled and pushed. The gradients of virtual workers, which are of
        rows too, then add up: a mean would shorten the step of a row that few of them touch.
    local : bool
        Whether it contributes a local update, of which those of all workers are to be averaged.
    """

    most_batches: int = 4
    row_sparse: bool = False
    local: bool = False

    def required_rows(self, batches: list[Minibatch]) -> Mapping[str, Array] | None:
        """Return the rows of parameters that these minibatches need, which are all that is pulled; None for all."""
        return None

    @abstractmethod
    def compute(self, params: dict[str, Array], batches: Iterable[Minibatch]) -> Contribution:
        """Return the contribution of minibatches at ``params``, which are not written to."""

    @abstractmethod
    def loss(self, params: dict[str, Array], batch: Minibatch) -> float:
        """Return the mean loss of rows."""


@dataclass(frozen=True)
class GradientStep(WorkerStep):
    """Mean gradient of minibatches at the parameters that were pulled."""

    loss_and_grad: LossAndGradient

    def loss(self, params: dict[str, Array], batch: Minibatch) -> float:
        return evaluated(self.loss_and_grad, params, batch)[0]

    def compute(self, params: dict[str, Array], batches: Iterable[Minibatch]) -> Contribution:
        """Return the mean, over all rows, of loss and gradients."""
        batches = list(batches)
        if len(batches) == 1 and batches[0].mass:
            value, grads = evaluated(self.loss_and_grad, params, batches[0])
            return Contribution(value, batches[0].mass, batches[0].n_rows, grads)
        loss = weight = 0.0
        n_rows = 0
        total: dict[str, Any] = {}
        for batch in batches:
            value, grads = evaluated(self.loss_and_grad, params, batch)
            mass = batch.mass
            if not total and mass == 0:
                continue
            loss, weight, n_rows = loss + value * mass, weight + mass, n_rows + batch.n_rows
            for name, grad in grads.items():
                part = scaled(grad, mass)
                total[name] = _sum(total[name], part) if name in total else part
        if not weight:
            return Contribution(0.0, 0.0, 0, {})
        return Contribution(loss / weight, weight, n_rows, {name: scaled(g, 1 / weight) for name, g in total.items()})


@dataclass(frozen=True)
class LocalSgdStep(WorkerStep):
    """Local step of the worker for each minibatch; the local update is pushed, and servers average (local SGD).

    References
    ----------
    S. Stich, Local SGD converges fast and communicates little, ICLR 2019.
    """

    loss_and_grad: LossAndGradient
    rule: Update
    most_batches = 64
    local = True

    def loss(self, params: dict[str, Array], batch: Minibatch) -> float:
        return evaluated(self.loss_and_grad, params, batch)[0]

    def compute(self, params: dict[str, Array], batches: Iterable[Minibatch]) -> Contribution:
        """Make a step for each minibatch."""
        own = {name: array.copy() for name, array in params.items()}
        states = {name: self.rule.init(array) for name, array in own.items()}
        loss = weight = 0.0
        n_rows = 0
        for batch in batches:
            value, grads = evaluated(self.loss_and_grad, own, batch)
            for name, grad in grads.items():
                own[name], states[name] = self.rule.apply(np.asarray(grad), states[name], own[name])
            loss, weight, n_rows = loss + value * batch.mass, weight + batch.mass, n_rows + batch.n_rows
        moved = {name: own[name] - array for name, array in params.items()}
        return Contribution(loss / weight if weight else 0.0, weight, n_rows, moved, moved)


def evaluated(function: LossAndGradient, params: dict[str, Array], batch: Minibatch) -> tuple[float, Mapping[str, Any]]:
    """Return a user's loss and gradients, checked as far as it costs nothing."""
    weight = () if batch.weight is None else (batch.weight,)
    answer: Any = function(params, batch.X, batch.y, *weight)
    if not isinstance(answer, tuple) or len(answer) != 2 or not isinstance(answer[1], Mapping):
        raise DataError(
            f"loss_and_grad: expected a pair of the mean loss and a mapping of gradients, got {type(answer).__name__}"
        )
    return float(answer[0]), answer[1]


def _sum(a: Any, b: Any) -> Any:
    if isinstance(a, SparseRows) and isinstance(b, SparseRows):
        return SparseRows(np.concatenate([a.rows, b.rows]), np.concatenate([a.values, b.values]))
    return a + b


def scaled(gradient: Any, factor: float) -> Any:
    """Return a multiple of a gradient, an array or `SparseRows`."""
    if factor == 1:
        return gradient
    if isinstance(gradient, SparseRows):
        return SparseRows(gradient.rows, np.asarray(gradient.values) * factor)
    return np.asarray(gradient) * factor


class TopK:
    """Top-k compression with error feedback: small elements are added up, and pushed when they have grown.

    Parameters
    ----------
    share : float
        Share of the elements of each array that is pushed, above 0 and at most 1.

    References
    ----------
    Y. Lin et al., Deep gradient compression, ICLR 2018; S. Stich et al., Sparsified SGD with memory, NeurIPS 2018.

    Examples
    --------
    >>> top = TopK(0.5)
    >>> top.compress({"w": np.array([3.0, 1.0])})["w"]
    SparseRows(rows=array([0]), values=array([3.]))
    >>> top.compress({"w": np.array([0.0, 1.0])})["w"]
    SparseRows(rows=array([1]), values=array([2.]))
    """

    def __init__(self, share: float) -> None:
        self.share = share
        self._rest: dict[str, Array] = {}

    def compress(self, gradients: Mapping[str, Any]) -> dict[str, Any]:
        """Return for each array the rows with the largest elements."""
        return {name: self._largest(name, gradient) for name, gradient in gradients.items()}

    def _largest(self, name: str, gradient: Any) -> Any:
        if isinstance(gradient, SparseRows):
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
        return SparseRows(rows, values)


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

    answer_type: ClassVar[Callable[..., Any] | None] = staticmethod(lambda array: tuple(array.tolist()))

    def chunk(self, block: Block) -> tuple[int, ...]:
        return (block.n_rows,)

    def combine(self, a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
        return a + b

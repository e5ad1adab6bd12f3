"""Full-batch training of networks by L-BFGS: the loss and gradient of all rows as a reduction, one pass each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import numpy as np

from daskml_kit.activity import note_loss
from daskml_kit.data.block import Block
from daskml_kit.engines.engine import Engine
from daskml_kit.numerics.feed_forward import NetworkLoss
from daskml_kit.reductions.loss import Eval
from daskml_kit.reductions.reduction import SingleReduction
from daskml_kit.solvers.lbfgs import lbfgs
from daskml_kit.solvers.run import run
from daskml_kit.solvers.types import Asking
from daskml_kit.typing import Array


class LossSum(NamedTuple):
    """Sums over rows: loss, gradient of shape (p,), and weight."""

    value: float
    grad: Array
    weight: float


@dataclass(frozen=True, eq=False)
class NetworkLossAt(SingleReduction):
    """Sum of a network's losses and their gradient at some parameters, without the penalty.

    Parameters
    ----------
    loss : NetworkLoss
    params : dict of arrays
    """

    loss: NetworkLoss
    params: dict[str, Array]
    answer_type: ClassVar[type[LossSum]] = LossSum

    def chunk(self, block: Block) -> LossSum:
        mass = float(block.n_rows) if block.weight is None else float(block.weight.sum())
        if not mass:
            return LossSum(0.0, np.zeros(sum(array.size for array in self.params.values())), 0.0)
        value, grads = self.loss(self.params, block.X, np.asarray(block.y), block.weight)
        return LossSum(value * mass, flatten(grads) * mass, mass)

    def combine(self, a: LossSum, b: LossSum) -> LossSum:
        return LossSum(a.value + b.value, a.grad + b.grad, a.weight + b.weight)


class Minimum(NamedTuple):
    """End of a minimization: parameters, loss, iterations, and whether it converged."""

    params: dict[str, Array]
    loss: float
    n_iter: int
    converged: bool


class _TooManyPassesError(Exception):
    """The bound on loss evaluations is reached."""


@dataclass
class NetworkObjective:
    """Objective of a network as a function of one vector; it remembers the best point for when passes run out.

    Parameters
    ----------
    loss : NetworkLoss
        With the strength of the penalty.
    like : dict of arrays
        Parameters of the shapes and types that the network has.
    max_fun : int
        Evaluations at most.
    """

    loss: NetworkLoss
    like: Mapping[str, Array]
    max_fun: int
    n_evaluations: int = 0
    best_value: float = np.inf
    best: Array = field(default_factory=lambda: np.empty(0))

    def oracle(self, w: Array, order: int) -> Asking:
        """Ask for value and gradient at ``w``."""
        if self.n_evaluations >= self.max_fun:
            raise _TooManyPassesError
        self.n_evaluations += 1
        params, alpha = self.unflatten(w), self.loss.alpha
        total = yield NetworkLossAt(NetworkLoss(self.loss.activation, self.loss.output), params)
        penalized = flatten({name: array * name.startswith("coefs") for name, array in params.items()})
        value = (total.value + 0.5 * alpha * float(penalized @ penalized)) / total.weight
        note_loss(value, "penalized mean loss")
        if value < self.best_value:
            self.best_value, self.best = value, w
        return Eval(value, (total.grad + alpha * penalized) / total.weight)

    def unflatten(self, w: Array) -> dict[str, Array]:
        """Return the parameters of a vector."""
        ends = np.cumsum([array.size for array in self.like.values()])
        parts = zip(self.like.items(), np.split(w, ends[:-1]), strict=True)
        return {name: part.reshape(array.shape).astype(array.dtype) for (name, array), part in parts}


def minimize_network(
    engine: Engine, loss: NetworkLoss, params: Mapping[str, Array], *, tol: float, max_iter: int, max_fun: int
) -> Minimum:
    """Minimize the loss of all rows by L-BFGS, from ``params``."""
    objective = NetworkObjective(loss, params, max_fun)
    fit: Any = lbfgs(objective.oracle, flatten(params), tol=tol, max_iter=max_iter)
    try:
        found = run(engine, {None: fit})[None]
    except _TooManyPassesError:
        n_iter = min(objective.n_evaluations, max_iter)
        return Minimum(objective.unflatten(objective.best), objective.best_value, n_iter, False)
    return Minimum(objective.unflatten(found.w), float(found.last.value), found.n_iter, found.converged)


def flatten(params: Mapping[str, Array]) -> Array:
    """Return the parameters as one vector of float64."""
    return np.concatenate([np.asarray(array, np.float64).reshape(-1) for array in params.values()])

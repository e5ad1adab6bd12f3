"""The rule of deltas: what is pushed is added."""

from __future__ import annotations

from dataclasses import dataclass

from daskml_kit.solvers.updates.parts import parts
from daskml_kit.solvers.updates.update import State, Update
from daskml_kit.typing import Array


@dataclass(frozen=True)
class Add:
    def init(self, w: Array) -> State:
        return ()

    def apply(self, grad: Array, state: State, w: Array) -> tuple[Array, State]:
        for delta, _, part in parts(grad, w):
            part += delta
        return w, state


def add() -> Update:
    """Return the rule w + grad, for who computes the steps; it takes integers too.

    Examples
    --------
    >>> import numpy as np
    >>> add().apply(np.array([1, 2]), (), np.array([10, 20]))
    (array([11, 22]), ())
    """
    return Add()

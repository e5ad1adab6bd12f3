"""Plain stochastic gradient descent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from daskml_kit.solvers.updates.parts import parts
from daskml_kit.solvers.updates.schedule import Schedule, as_schedule
from daskml_kit.solvers.updates.update import State, Update, check_floats, count_step, new_count
from daskml_kit.typing import Array


@dataclass(frozen=True)
class Sgd:
    rate: Schedule

    def init(self, w: Array) -> State:
        check_floats(w)
        return (new_count(),)

    def apply(self, grad: Array, state: State, w: Array) -> tuple[Array, State]:
        rate = self.rate(count_step(*state))
        for g, room, part in parts(grad, w):
            part -= np.multiply(g, rate, out=room)
        return w, state


def sgd(learning_rate: float | Schedule) -> Update:
    r"""Return the rule :math:`w - \eta g` (Robbins & Monro 1951).

    Parameters
    ----------
    learning_rate : float or Schedule

    Examples
    --------
    >>> import numpy as np
    >>> rule, w = sgd(0.5), np.array([1.0, 2.0])
    >>> w, state = rule.apply(np.array([1.0, -1.0]), rule.init(w), w)
    >>> w
    array([0.5, 2.5])
    """
    return Sgd(as_schedule(learning_rate))

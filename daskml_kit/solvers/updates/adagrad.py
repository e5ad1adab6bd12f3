"""Steps that shorten where gradients were large."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from daskml_kit.solvers.updates.bounds import above
from daskml_kit.solvers.updates.parts import parts
from daskml_kit.solvers.updates.schedule import Schedule, as_schedule
from daskml_kit.solvers.updates.update import State, Update, count_step, moments_like, new_count
from daskml_kit.typing import Array


@dataclass(frozen=True)
class Adagrad:
    rate: Schedule
    eps: float

    def init(self, w: Array) -> State:
        return new_count(), moments_like(w)

    def apply(self, grad: Array, state: State, w: Array) -> tuple[Array, State]:
        count, squares = state
        rate = self.rate(count_step(count))
        for g, scratch, part, s in parts(grad, w, squares):
            s += np.multiply(g, g, out=scratch)
            np.sqrt(s, out=scratch)
            scratch += self.eps
            np.divide(g, scratch, out=scratch)
            scratch *= rate
            part -= scratch
        return w, state


def adagrad(learning_rate: float | Schedule, eps: float = 1e-10) -> Update:
    r"""Return the rule :math:`w - \eta g / (\sqrt{s} + \epsilon)`, where s is the sum of the squares of gradients.

    Parameters
    ----------
    learning_rate : float or Schedule
    eps : float above 0

    References
    ----------
    J. Duchi, E. Hazan & Y. Singer, Adaptive subgradient methods for online learning and stochastic optimization,
    JMLR 12, 2011, with diagonal matrices.

    Examples
    --------
    >>> import numpy as np
    >>> rule, w = adagrad(0.5), np.array([1.0, 1.0])
    >>> rule.apply(np.array([100.0, 0.0]), rule.init(w), w)[0]
    array([0.5, 1. ])
    """
    return Adagrad(as_schedule(learning_rate), above("eps", eps, 0))

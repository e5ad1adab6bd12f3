"""Steps by the mean of gradients over the root of their mean square."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from daskml_kit.solvers.updates.bounds import above, share
from daskml_kit.solvers.updates.parts import parts
from daskml_kit.solvers.updates.schedule import Schedule, as_schedule
from daskml_kit.solvers.updates.update import State, Update, count_step, moments_like, new_count
from daskml_kit.typing import Array


@dataclass(frozen=True)
class Adam:
    rate: Schedule
    b1: float
    b2: float
    eps: float

    def init(self, w: Array) -> State:
        return new_count(), moments_like(w), moments_like(w)

    def apply(self, grad: Array, state: State, w: Array) -> tuple[Array, State]:
        count, mean, square = state
        step = count_step(count)
        root = math.sqrt(1 - self.b2**step)  # both corrections of bias as two numbers, not two arrays
        rate, eps = self.rate(step) * root / (1 - self.b1**step), self.eps * root
        for g, scratch, part, m, v in parts(grad, w, mean, square):
            m *= self.b1
            m += np.multiply(g, 1 - self.b1, out=scratch)
            v *= self.b2
            np.multiply(g, g, out=scratch)
            scratch *= 1 - self.b2
            v += scratch
            np.sqrt(v, out=scratch)
            scratch += eps
            np.divide(m, scratch, out=scratch)
            scratch *= rate
            part -= scratch
        return w, state


def adam(learning_rate: float | Schedule = 1e-3, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8) -> Update:
    r"""Return the rule of Adam, :math:`w - \eta \hat m / (\sqrt{\hat v} + \epsilon)`.

    With the moments :math:`m \leftarrow \beta_1 m + (1-\beta_1) g`, :math:`v \leftarrow \beta_2 v + (1-\beta_2) g^2`
    at step t, :math:`\hat m = m / (1-\beta_1^t)` and :math:`\hat v = v / (1-\beta_2^t)`.

    Parameters
    ----------
    learning_rate : float or Schedule
    b1, b2 : float from 0 to below 1
    eps : float above 0

    References
    ----------
    D. Kingma & J. Ba, Adam: a method for stochastic optimization, ICLR 2015, algorithm 1.

    Examples
    --------
    >>> import numpy as np
    >>> rule, w = adam(0.5), np.array([1.0, 1.0])
    >>> rule.apply(np.array([100.0, -1e-3]), rule.init(w), w)[0].round(4)
    array([0.5, 1.5])
    """
    return Adam(as_schedule(learning_rate), share("b1", b1), share("b2", b2), above("eps", eps, 0))

"""Gradient descent with a velocity."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from daskml_kit.solvers.updates.bounds import share
from daskml_kit.solvers.updates.parts import parts
from daskml_kit.solvers.updates.schedule import Schedule, as_schedule
from daskml_kit.solvers.updates.update import State, Update, count_step, moments_like, new_count
from daskml_kit.typing import Array


@dataclass(frozen=True)
class Momentum:
    rate: Schedule
    decay: float
    nesterov: bool

    def init(self, w: Array) -> State:
        return new_count(), moments_like(w)

    def apply(self, grad: Array, state: State, w: Array) -> tuple[Array, State]:
        count, velocity = state
        rate = self.rate(count_step(count))
        for g, step, part, v in parts(grad, w, velocity):
            np.multiply(g, rate, out=step)
            v *= self.decay
            v -= step
            if self.nesterov:
                part -= step
                part += np.multiply(v, self.decay, out=step)
            else:
                part += v
        return w, state


def momentum(learning_rate: float | Schedule, decay: float = 0.9, nesterov: bool = False) -> Update:
    r"""Return the rule of momentum: :math:`v \leftarrow \mu v - \eta g` and :math:`w + v`, as scikit-learn's.

    Nesterov's looks ahead: :math:`w + \mu v - \eta g` with the new v, where w is the point that is ahead.

    Parameters
    ----------
    learning_rate : float or Schedule
    decay : float from 0 to below 1
        :math:`\mu` above.
    nesterov : bool

    References
    ----------
    I. Sutskever, J. Martens, G. Dahl & G. Hinton, On the importance of initialization and momentum in deep learning,
    ICML 2013, eq. 1-4.

    Examples
    --------
    >>> import numpy as np
    >>> rule, w = momentum(0.5), np.array([1.0])
    >>> state = rule.init(w)
    >>> for _ in range(2):
    ...     w, state = rule.apply(np.array([1.0]), state, w)
    >>> w
    array([-0.45])
    """
    return Momentum(as_schedule(learning_rate), share("decay", decay), nesterov)

"""Plain stochastic gradient descent."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from daskml_kit.optim.base import State, Update, above, check_floats, count_step, moments_like, new_count, parts, share
from daskml_kit.optim.schedules import Schedule, as_schedule
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

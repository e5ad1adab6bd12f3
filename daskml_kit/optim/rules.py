"""Update rules of stochastic gradient descent: plain, momentum, Adagrad, Adam, and addition."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from daskml_kit.arguments import check_number
from daskml_kit.optim.base import Schedule, State, Update, as_schedule, parts
from daskml_kit.typing import Array


@dataclass(frozen=True)
class Rule(ABC):
    """Base of the rules with a learning rate: their state is the count of steps, and some moments of gradients."""

    rate: Schedule
    n_moments: ClassVar[int] = 0

    def init(self, w: Array) -> State:
        if not np.issubdtype(w.dtype, np.floating):  # steps would be rounded away
            raise TypeError(f"w: expected floating point numbers, got {w.dtype}")
        return np.zeros((), np.int64), *(np.zeros(w.shape, w.dtype) for _ in range(self.n_moments))

    def apply(self, grad: Array, state: State, w: Array) -> tuple[Array, State]:
        count, *moments = state
        count += 1
        self.move(int(count), parts(grad, w, *moments))
        return w, state

    @abstractmethod
    def move(self, step: int, pieces: Iterator[tuple[Array, ...]]) -> None:
        """Take a step, which is numbered from 1, in each of the `parts`."""


@dataclass(frozen=True)
class Sgd(Rule):
    def move(self, step: int, pieces: Iterator[tuple[Array, ...]]) -> None:
        rate = self.rate(step)
        for g, scratch, part in pieces:
            part -= np.multiply(g, rate, out=scratch)


def sgd(learning_rate: float | Schedule) -> Update:
    r"""Stochastic gradient descent: :math:`w - \eta g`.

    Parameters
    ----------
    learning_rate : float or Schedule
        A number, or a function of the step, which counts from 1.

    Returns
    -------
    Update
        The rule, for `ParameterServer` or `train`.

    See Also
    --------
    momentum, adagrad, adam : Other rules.

    References
    ----------
    H. Robbins & S. Monro, A stochastic approximation method, Annals of Mathematical Statistics 22, 1951.

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
class Adagrad(Rule):
    eps: float
    n_moments = 1

    def move(self, step: int, pieces: Iterator[tuple[Array, ...]]) -> None:
        rate = self.rate(step)
        for g, scratch, part, s in pieces:
            s += np.multiply(g, g, out=scratch)
            np.sqrt(s, out=scratch)
            scratch += self.eps
            np.divide(g, scratch, out=scratch)
            scratch *= rate
            part -= scratch


def adagrad(learning_rate: float | Schedule, eps: float = 1e-10) -> Update:
    r"""Adagrad: :math:`w - \eta g / (\sqrt{s} + \epsilon)`, where s is the sum of the squares of gradients.

    Parameters
    ----------
    learning_rate : float or Schedule
        A number, or a function of the step, which counts from 1.
    eps : float, default 1e-10
        :math:`\epsilon` above, larger than 0.

    Returns
    -------
    Update
        The rule, for `ParameterServer` or `train`.

    See Also
    --------
    adam : A running mean in place of the sum.

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
    check_number("eps", eps, low=0, strict=True)
    return Adagrad(as_schedule(learning_rate), eps)


@dataclass(frozen=True)
class Adam(Rule):
    b1: float
    b2: float
    eps: float
    n_moments = 2

    def move(self, step: int, pieces: Iterator[tuple[Array, ...]]) -> None:
        root = math.sqrt(1 - self.b2**step)  # both corrections of bias as two numbers, not two arrays
        rate, eps = self.rate(step) * root / (1 - self.b1**step), self.eps * root
        for g, scratch, part, m, v in pieces:
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


def adam(learning_rate: float | Schedule = 1e-3, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8) -> Update:
    r"""Adam: :math:`w - \eta \hat m / (\sqrt{\hat v} + \epsilon)`.

    With the moments :math:`m \leftarrow \beta_1 m + (1-\beta_1) g`, :math:`v \leftarrow \beta_2 v + (1-\beta_2) g^2`
    at step t, :math:`\hat m = m / (1-\beta_1^t)` and :math:`\hat v = v / (1-\beta_2^t)`.

    Parameters
    ----------
    learning_rate : float or Schedule, default 1e-3
        A number, or a function of the step, which counts from 1.
    b1 : float, default 0.9
        :math:`\beta_1` above, from 0 to below 1.
    b2 : float, default 0.999
        :math:`\beta_2` above, from 0 to below 1.
    eps : float, default 1e-8
        :math:`\epsilon` above, larger than 0.

    Returns
    -------
    Update
        The rule, for `ParameterServer` or `train`.

    See Also
    --------
    adagrad : A sum in place of the running mean of squares.

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
    check_number("b1", b1, low=0, below=1)
    check_number("b2", b2, low=0, below=1)
    check_number("eps", eps, low=0, strict=True)
    return Adam(as_schedule(learning_rate), b1, b2, eps)


@dataclass(frozen=True)
class Add:
    def init(self, w: Array) -> State:
        return ()

    def apply(self, grad: Array, state: State, w: Array) -> tuple[Array, State]:
        for delta, _, part in parts(grad, w):
            part += delta
        return w, state


def add() -> Update:
    """Addition: w + grad, where steps are computed by the workers; it takes integers too.

    Returns
    -------
    Update
        The rule, for `ParameterServer` or `train`.

    See Also
    --------
    sgd : Subtracts a multiple of the gradient.

    Examples
    --------
    >>> import numpy as np
    >>> add().apply(np.array([1, 2]), (), np.array([10, 20]))
    (array([11, 22]), ())
    """
    return Add()


@dataclass(frozen=True)
class Momentum(Rule):
    decay: float
    nesterov: bool
    n_moments = 1

    def move(self, step: int, pieces: Iterator[tuple[Array, ...]]) -> None:
        rate = self.rate(step)
        for g, scratch, part, v in pieces:
            np.multiply(g, rate, out=scratch)
            v *= self.decay
            v -= scratch
            if self.nesterov:
                part -= scratch
                part += np.multiply(v, self.decay, out=scratch)
            else:
                part += v


def momentum(learning_rate: float | Schedule, decay: float = 0.9, nesterov: bool = False) -> Update:
    r"""Momentum: :math:`v \leftarrow \mu v - \eta g` and :math:`w + v`, as scikit-learn's.

    Nesterov's looks ahead: :math:`w + \mu v - \eta g` with the new v, where w is the point that is ahead.

    Parameters
    ----------
    learning_rate : float or Schedule
        A number, or a function of the step, which counts from 1.
    decay : float, default 0.9
        :math:`\mu` above, from 0 to below 1.
    nesterov : bool, default False
        Whether the gradient is taken to be that of the point ahead.

    Returns
    -------
    Update
        The rule, for `ParameterServer` or `train`.

    See Also
    --------
    sgd : Without momentum.

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
    check_number("decay", decay, low=0, below=1)
    return Momentum(as_schedule(learning_rate), decay, nesterov)

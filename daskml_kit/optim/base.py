"""Update rules: pairs of ``init`` and ``apply`` with explicit state, learning rates, and steps in place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np

from daskml_kit.arguments import check_number
from daskml_kit.numerics.targets import tiles
from daskml_kit.typing import Array

State: TypeAlias = tuple[Array, ...]
"""Arrays of the parameters' shape, one number an element, and arrays of shape (), such as the count of steps."""


class Update(Protocol):
    """Update rule by which a gradient moves parameters, as in optax; rules are frozen, picklable, equal if alike.

    The caller of ``apply`` owns ``w`` and ``state``: both are written to, and returned. ``grad`` is only read. A rule
    treats each element on its own (`is_elementwise` tells the others), so that it gives the same bits on a range of
    the flattened parameters as on the whole.

    See Also
    --------
    sgd, momentum, adagrad, adam, add, chain : The rules that there are.
    """

    def init(self, w: Array) -> State:
        """Return the state before the first step, for parameters like ``w``.

        Parameters
        ----------
        w : array
            The parameters.

        Returns
        -------
        tuple of arrays
            Moments of the shape of ``w``, and counts of shape ().
        """

    def apply(self, grad: Array, state: State, w: Array) -> tuple[Array, State]:
        """Move ``w`` by one step, in place.

        Parameters
        ----------
        grad : array
            The gradient, of the shape of ``w``.
        state : tuple of arrays
            Is written to.
        w : array
            Is written to.

        Returns
        -------
        w : array
            The parameters after the step.
        state : tuple of arrays
            The state after it.
        """


class Transform(Protocol):
    """Transform of a gradient before its rule: a function that returns a new array.

    See Also
    --------
    clip, clip_norm : The transforms that there are.
    chain : Puts them before a rule.
    """

    def __call__(self, grad: Array) -> Array:
        """Return the transformed gradient, of the same shape."""


PART = 8_192
"""Elements of a part (measured for Adam on 100,000 float64: 0.40 ms on a worker and elsewhere; at 32,768 elements 0.32
ms elsewhere, and 0.50 ms on a worker, where the buffer of a part is got from the system each time)."""


def parts(grad: Array, w: Array, *moments: Array) -> Iterator[tuple[Array, ...]]:
    """Yield part by part a gradient, a scratch buffer of its size, and views of the parameters and their moments.

    All but the gradient may be written. The gradient comes in the dtype of the parameters, and aligned, as it is not
    when it came off the wire. The buffer is the same for all parts: on a Dask worker, where freed memory goes back to
    the system at once, a temporary of each part's own takes longer than the arithmetic.

    Raises
    ------
    ValueError
        Where the gradient has not the shape of the parameters.

    Examples
    --------
    >>> import numpy as np
    >>> from daskml_kit.optim.base import parts
    >>> w = np.zeros(3)
    >>> for grad_part, buffer, w_part in parts(np.ones(3), w):
    ...     w_part -= np.multiply(grad_part, 0.5, out=buffer)
    >>> w
    array([-0.5, -0.5, -0.5])
    """
    if grad.shape != w.shape:
        raise ValueError(f"grad: expected the shape of the parameters, {w.shape}, got {grad.shape}")
    owned = (w, *moments)
    if not all(array.flags.c_contiguous for array in owned):
        yield grad.astype(w.dtype, copy=False), np.empty_like(w), *owned
        return
    flat_grad, *flat = (array.reshape(-1) for array in (grad, *owned))
    ready = flat_grad.dtype == w.dtype and flat_grad.flags.aligned
    size = min(PART, w.size)
    buffer, cast = np.empty(size, w.dtype), np.empty(0 if ready else size, w.dtype)
    for part in tiles(w.size, PART):
        g = flat_grad[part]
        if not ready:
            g, taken = cast[: len(g)], g
            np.copyto(g, taken, casting="same_kind")
        yield g, buffer[: len(g)], *(array[part] for array in flat)


Schedule: TypeAlias = Callable[[int], float]
"""The learning rate of a step; the first step is 1. It must be picklable, and equal to its copies."""


@dataclass(frozen=True)
class Constant:
    rate: float

    def __call__(self, step: int) -> float:
        return self.rate


@dataclass(frozen=True)
class InverseScaling:
    eta0: float
    power_t: float

    def __call__(self, step: int) -> float:
        return float(self.eta0 / step**self.power_t)


@dataclass(frozen=True)
class Optimal:
    alpha: float
    start: float

    def __call__(self, step: int) -> float:
        return 1 / (self.alpha * (self.start + step - 1))


def constant(rate: float) -> Schedule:
    """Constant learning rate: the schedule that is ``rate`` at each step.

    Parameters
    ----------
    rate : float
        At least 0.

    Returns
    -------
    Schedule
        A function of the step, which counts from 1.

    See Also
    --------
    inverse_scaling : A rate that falls.

    Examples
    --------
    >>> constant(0.1)(5)
    0.1
    """
    check_number("learning_rate", rate, low=0)
    return Constant(rate)


def inverse_scaling(eta0: float, power_t: float = 0.5) -> Schedule:
    r"""Inverse scaling of the learning rate: :math:`\eta_0 / t^p`, scikit-learn's ``invscaling``.

    Parameters
    ----------
    eta0 : float
        :math:`\eta_0` above, the first rate.
    power_t : float, default 0.5
        p above.

    Returns
    -------
    Schedule
        A function of the step, which counts from 1.

    See Also
    --------
    sgd : Takes it as its learning rate.

    Examples
    --------
    >>> schedule = inverse_scaling(0.1, 0.5)
    >>> schedule(1), schedule(4)
    (0.1, 0.05)
    """
    check_number("eta0", eta0, low=0)
    check_number("power_t", power_t, low=0)
    return InverseScaling(eta0, power_t)


def optimal(alpha: float, start: float) -> Schedule:
    r"""Schedule "optimal" of the learning rate: :math:`1 / (\alpha (t_0 + t - 1))`, as in scikit-learn (Bottou 2012).

    Parameters
    ----------
    alpha : float
        The strength of the penalty, above 0.
    start : float
        :math:`t_0` above 0: the first rate is ``1 / (alpha * start)``.

    Returns
    -------
    Schedule
        A function of the step, which counts from 1.

    See Also
    --------
    inverse_scaling : A rate that falls more slowly.

    References
    ----------
    Bottou, "Stochastic gradient descent tricks", 2012.

    Examples
    --------
    >>> optimal(0.5, 4.0)(1)
    0.5
    """
    check_number("alpha", alpha, low=0, strict=True)
    check_number("start", start, low=0, strict=True)
    return Optimal(alpha, start)


def as_schedule(learning_rate: float | Schedule) -> Schedule:
    """Return a schedule as it is, and a number as the schedule that is constant."""
    return learning_rate if callable(learning_rate) else constant(learning_rate)

"""Learning rates that change from step to step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from daskml_kit.optim.base import above, at_least

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
    return Constant(at_least("learning_rate", rate, 0))


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
    return InverseScaling(at_least("eta0", eta0, 0), at_least("power_t", power_t, 0))


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
    return Optimal(above("alpha", alpha, 0), above("start", start, 0))


def as_schedule(learning_rate: float | Schedule) -> Schedule:
    """Return a schedule as it is, and a number as the schedule that is constant."""
    return learning_rate if callable(learning_rate) else constant(learning_rate)

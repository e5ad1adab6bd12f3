"""Which rule moves the coefficients, how fast by default, and how far it goes by a unit of slope."""

from __future__ import annotations

import numpy as np

from daskml_kit.solvers.updates import State, Update, adagrad, adam, constant, inverse_scaling, momentum, optimal, sgd
from daskml_kit.solvers.updates.adagrad import Adagrad
from daskml_kit.solvers.updates.adam import Adam
from daskml_kit.solvers.updates.momentum import Momentum
from daskml_kit.solvers.updates.sgd import Sgd
from daskml_kit.typing import Array

OPTIMIZERS = ("auto", "sgd", "momentum", "adagrad", "adam")
FALLS = 0.5
"""By which power of the number of steps the rates of Adam and of momentum fall, so that they come to rest."""


def own_rule(optimizer: str, eta0: float | None, size: float, spread: float) -> Update:
    """Return a rule for even coordinates, with a rate that needs no tuning unless ``eta0`` gives one.

    The first steps of Adagrad and Adam change each coefficient by their rate. With one over the ``size`` of a row, as a
    cautious guess, they change predictions by about one ``spread``.

    Parameters
    ----------
    optimizer : {"momentum", "adagrad", "adam"}
    eta0 : float, optional
    size : float
        The norm of a row.
    spread : float
        The standard deviation of the targets where the loss is of their size, else 1.
    """
    if optimizer == "adagrad":
        return adagrad(eta0 or spread / size)
    if optimizer == "adam":
        return adam(inverse_scaling(eta0 or spread / size / 4, FALLS))
    return momentum(inverse_scaling(eta0 or 1 / size**2, FALLS))


def named_rule(learning_rate: str, eta0: float, power_t: float, alpha: float) -> Update:
    """Return plain descent with scikit-learn's learning rate of this name, a step being a mini-batch.

    References
    ----------
    L. Bottou, Stochastic gradient descent tricks, 2012 ("optimal").

    Examples
    --------
    >>> named_rule("optimal", 0.01, 0.5, 1e-4).rate(1)
    10.0
    """
    if learning_rate == "constant":
        return sgd(constant(eta0))
    if learning_rate == "invscaling":
        return sgd(inverse_scaling(eta0, power_t))
    return sgd(optimal(alpha, 1 / (alpha * alpha**-0.25)))


def stride(rule: Update, state: State) -> float | Array:
    """Return how far a rule goes, in each coordinate, where the slope has been 1 for long.

    So far a step of the l1 norm may go, for both to be in balance where they should be.

    Examples
    --------
    >>> rule = adagrad(0.5)
    >>> stride(rule, (np.array(1.0), np.array([4.0, 1.0])))
    array([0.25, 0.5 ])
    """
    step = max(int(state[0]), 1)
    if isinstance(rule, Adagrad):
        return np.asarray(rule.rate(step) / (np.sqrt(state[1]) + rule.eps))
    if isinstance(rule, Adam):
        return np.asarray(rule.rate(step) / (np.sqrt(state[2] / (1 - rule.b2**step)) + rule.eps))
    if isinstance(rule, Momentum):
        return rule.rate(step) / (1 - rule.decay)
    if isinstance(rule, Sgd):
        return rule.rate(step)
    raise TypeError(f"{type(rule).__name__} has no stride")

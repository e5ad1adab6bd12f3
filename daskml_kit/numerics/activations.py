"""Activations of hidden units, and their derivatives by what they gave."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from daskml_kit.typing import Array


class Activation(NamedTuple):
    """An activation: ``apply`` writes into its argument; ``pull(units, delta)`` multiplies ``delta`` by the slope.

    Slopes are those at the point where the activation gave ``units``.
    """

    apply: Callable[[Array], None]
    pull: Callable[[Array, Array], None]


def _leave(units: Array) -> None:
    pass


def _pull_none(units: Array, delta: Array) -> None:
    pass


def _logistic(units: Array) -> None:
    # by tanh, which is vectorised and cannot overflow
    units *= 0.5
    np.tanh(units, out=units)
    units += 1
    units *= 0.5


def _pull_logistic(units: Array, delta: Array) -> None:
    delta *= units
    delta *= 1 - units


def _tanh(units: Array) -> None:
    np.tanh(units, out=units)


def _pull_tanh(units: Array, delta: Array) -> None:
    delta *= 1 - units * units


def _relu(units: Array) -> None:
    np.maximum(units, 0, out=units)


def _pull_relu(units: Array, delta: Array) -> None:
    delta *= units > 0


ACTIVATIONS = {
    "identity": Activation(_leave, _pull_none),
    "logistic": Activation(_logistic, _pull_logistic),
    "tanh": Activation(_tanh, _pull_tanh),
    "relu": Activation(_relu, _pull_relu),
}
"""Activations by scikit-learn's names."""

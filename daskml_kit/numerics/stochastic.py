"""The losses of scikit-learn's SGDClassifier and SGDRegressor, by their names.

Where NumPy's warnings are on, ask them under ``np.errstate(over="ignore", invalid="ignore")``: the log-loss of margins
beyond 700 overflows on its way to a right result.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from daskml_kit.numerics.hinges import Hinge, ModifiedHuber
from daskml_kit.numerics.losses import Logistic, Loss, Squared, SquaredHinge
from daskml_kit.numerics.residuals import BoundedHuber, EpsilonInsensitive, SquaredEpsilonInsensitive
from daskml_kit.typing import Array

MARGIN_LOSSES: dict[str, Loss] = {
    "hinge": Hinge(1.0),
    "log_loss": Logistic(),
    "modified_huber": ModifiedHuber(),
    "squared_hinge": SquaredHinge(),
    "perceptron": Hinge(0.0),
}
RESIDUAL_LOSSES: dict[str, Callable[[float], Loss]] = {
    "squared_error": lambda epsilon: Squared(),
    "huber": BoundedHuber,
    "epsilon_insensitive": EpsilonInsensitive,
    "squared_epsilon_insensitive": SquaredEpsilonInsensitive,
}


def classifier_loss(name: str, epsilon: float = 0.1) -> Loss:
    """Return a loss of SGDClassifier, whose targets `signs` makes; those of a residual serve classifiers too.

    Raises
    ------
    ValueError
        Where there is no loss of this name.

    Examples
    --------
    >>> classifier_loss("perceptron")
    Hinge(threshold=0.0)
    """
    return MARGIN_LOSSES[name] if name in MARGIN_LOSSES else _residual_loss(name, epsilon, [*MARGIN_LOSSES])


def regressor_loss(name: str, epsilon: float = 0.1) -> Loss:
    """Return a loss of SGDRegressor.

    Raises
    ------
    ValueError
        Where there is no loss of this name.

    Examples
    --------
    >>> regressor_loss("huber", 1.35)
    BoundedHuber(epsilon=1.35)
    """
    return _residual_loss(name, epsilon, [])


def signs(loss: Loss, is_label: Array, dtype: type = np.float64) -> Array:
    """Return the targets 1 and -1 of a classifier: the label's is -1 for losses of a margin, 1 for a residual's.

    Examples
    --------
    >>> signs(Hinge(), np.array([True, False])), signs(Squared(), np.array([True, False]))
    (array([-1.,  1.]), array([ 1., -1.]))
    """
    label = -1 if loss in MARGIN_LOSSES.values() else 1
    return np.where(is_label, label, -label).astype(dtype)


def _residual_loss(name: str, epsilon: float, others: list[str]) -> Loss:
    if name not in RESIDUAL_LOSSES:
        raise ValueError(f"loss: expected one of {sorted([*others, *RESIDUAL_LOSSES])}, got {name!r}")
    if not epsilon >= 0:
        raise ValueError(f"epsilon: expected a number of at least 0, got {epsilon!r}")
    return RESIDUAL_LOSSES[name](epsilon)

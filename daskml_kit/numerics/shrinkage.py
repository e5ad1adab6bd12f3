"""The penalties of stochastic gradient descent: a slope for the smooth part, a step after each for the l1 norm."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from daskml_kit.numerics.penalties import shrink
from daskml_kit.typing import Array

L1_RATIOS = {None: 0.0, "l2": 0.0, "l1": 1.0}


@dataclass(frozen=True)
class Shrinkage:
    r"""The penalty :math:`\alpha\,(\rho \|w\|_1 + \tfrac{1-\rho}{2} \|w\|_2^2)` of the coefficients, not the intercept.

    A step of gradients moves ``w`` by the slopes of the loss and of the penalty, ``-rate * (grad + slope(w))``;
    `proximal` then makes the step of the l1 norm, which leaves exact zeros (Duchi & Singer 2009).

    Parameters
    ----------
    alpha : float
    l1_ratio : float from 0 to 1
        :math:`\rho` above.

    Examples
    --------
    >>> penalty, w = Shrinkage(0.5, 0.5), np.array([1.0, -0.1])
    >>> penalty.value(w), penalty.slope(w), penalty.proximal(w, 0.8)
    (0.40125, array([ 0.25 , -0.025]), array([ 0.8, -0. ]))
    """

    alpha: float
    l1_ratio: float

    def value(self, w: Array) -> float:
        """Return the penalty of ``w``."""
        flat = w.reshape(-1)
        size, square = float(np.abs(flat).sum()), float(flat @ flat)
        return self.alpha * (self.l1_ratio * size + (1 - self.l1_ratio) / 2 * square)

    def slope(self, w: Array) -> Array:
        """Return the gradient of the smooth part at ``w``."""
        return w * (self.alpha * (1 - self.l1_ratio))

    def proximal(self, w: Array, rate: float) -> Array:
        """Return where the l1 part takes ``w`` after a step of the learning rate ``rate``."""
        threshold = rate * self.alpha * self.l1_ratio
        return shrink(w, threshold) if threshold else w


def shrinkage(penalty: str | None, alpha: float, l1_ratio: float = 0.15) -> Shrinkage:
    """Return the penalty of scikit-learn's names: None, "l2", "l1", or "elasticnet", the one that ``l1_ratio`` is for.

    Raises
    ------
    ValueError
        Where a setting is out of its range.

    Examples
    --------
    >>> shrinkage("l2", 1e-4)
    Shrinkage(alpha=0.0001, l1_ratio=0.0)
    """
    if penalty not in (*L1_RATIOS, "elasticnet"):
        raise ValueError(f"penalty: expected 'l2', 'l1', 'elasticnet' or None, got {penalty!r}")
    if not alpha >= 0:
        raise ValueError(f"alpha: expected a number of at least 0, got {alpha!r}")
    if penalty == "elasticnet" and not 0 <= l1_ratio <= 1:
        raise ValueError(f"l1_ratio: expected a number from 0 to 1, got {l1_ratio!r}")
    return Shrinkage(alpha if penalty else 0.0, L1_RATIOS.get(penalty, l1_ratio))

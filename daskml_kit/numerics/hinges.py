"""Losses of a margin that have corners or straight ends, as stochastic gradient descent takes them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from daskml_kit.numerics.losses import Terms
from daskml_kit.typing import Array


@dataclass(frozen=True)
class Hinge:
    r"""Hinge, :math:`\max(0, \theta + m)` with m = yz, where y is -1 for the label and 1 for the rest.

    The threshold :math:`\theta` is 1 for a support vector machine, 0 for the perceptron. At the corner the slope is
    that of the side with a loss, as scikit-learn's, so that a perceptron leaves zero.
    """

    threshold: float = 1.0

    def terms(self, raw: Array, y: Array, order: int) -> Terms:
        margin = np.multiply(raw, y, out=raw)
        margin += self.threshold
        slope = (margin >= 0) * y
        return Terms(np.maximum(margin, 0, out=margin), slope, np.zeros_like(slope) if order > 1 else None)


@dataclass(frozen=True)
class ModifiedHuber:
    r"""Modified Huber, :math:`\max(0, 1 + m)^2` up to m = 1 and :math:`4m` beyond (Zhang 2004).

    With m = yz, where y is -1 for the label and 1 for the rest.
    """

    def terms(self, raw: Array, y: Array, order: int) -> Terms:
        margin = np.multiply(raw, y, out=raw)
        height = np.clip(margin + 1, 0, 2)
        curvature = 2.0 * ((height > 0) & (margin <= 1)) if order > 1 else None
        value = height * height
        value += 4 * np.maximum(margin - 1, 0)
        height *= 2
        return Terms(value, np.multiply(height, y, out=height), curvature)

"""Losses of a residual that bound or ignore part of it, as stochastic gradient descent takes them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from daskml_kit.numerics.losses import Terms
from daskml_kit.typing import Array


@dataclass(frozen=True)
class BoundedHuber:
    r"""Huber's loss, :math:`\tfrac12 r^2` up to :math:`|r| = \epsilon` and :math:`\epsilon(|r| - \epsilon/2)` beyond.

    With r = z - y, in units of the target (`losses.Huber` estimates a scale beside).
    """

    epsilon: float

    def terms(self, raw: Array, y: Array, order: int) -> Terms:
        residual = np.subtract(raw, y, out=raw)
        slope = np.clip(residual, -self.epsilon, self.epsilon)
        curvature = 1.0 * (np.abs(residual) <= self.epsilon) if order > 1 else None
        residual -= 0.5 * slope
        return Terms(np.multiply(residual, slope, out=residual), slope, curvature)


@dataclass(frozen=True)
class EpsilonInsensitive:
    r"""Loss of support vector regression, :math:`\max(0, |z - y| - \epsilon)`."""

    epsilon: float

    def terms(self, raw: Array, y: Array, order: int) -> Terms:
        slope, excess = _sign_and_excess(raw, y, self.epsilon)
        slope *= excess > 0
        return Terms(excess, slope, np.zeros_like(slope) if order > 1 else None)


@dataclass(frozen=True)
class SquaredEpsilonInsensitive:
    r"""Squared loss of support vector regression, :math:`\max(0, |z - y| - \epsilon)^2`."""

    epsilon: float

    def terms(self, raw: Array, y: Array, order: int) -> Terms:
        slope, excess = _sign_and_excess(raw, y, self.epsilon)
        slope *= excess
        slope *= 2
        curvature = 2.0 * (excess > 0) if order > 1 else None
        return Terms(np.multiply(excess, excess, out=excess), slope, curvature)


def _sign_and_excess(raw: Array, y: Array, epsilon: float) -> tuple[Array, Array]:
    residual = np.subtract(raw, y, out=raw)
    sign = np.sign(residual)
    excess = np.abs(residual, out=residual)
    excess -= epsilon
    return sign, np.maximum(excess, 0, out=excess)

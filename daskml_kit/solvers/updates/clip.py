"""Gradients kept within bounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from daskml_kit.solvers.updates.bounds import above
from daskml_kit.solvers.updates.update import Transform
from daskml_kit.typing import Array


@dataclass(frozen=True)
class Clip:
    max_value: float
    elementwise: ClassVar[bool] = True

    def __call__(self, grad: Array) -> Array:
        return np.clip(grad, -self.max_value, self.max_value)


@dataclass(frozen=True)
class ClipNorm:
    max_norm: float
    elementwise: ClassVar[bool] = False

    def __call__(self, grad: Array) -> Array:
        flat = grad.reshape(-1)
        norm = float(np.sqrt(np.dot(flat, flat)))
        return grad * (self.max_norm / norm) if norm > self.max_norm else grad


def clip(max_value: float) -> Transform:
    """Return the transform that keeps each element of a gradient in [-max_value, max_value].

    Examples
    --------
    >>> clip(1.0)(np.array([-3.0, 0.5]))
    array([-1. ,  0.5])
    """
    return Clip(above("max_value", max_value, 0))


def clip_norm(max_norm: float) -> Transform:
    """Return the transform that shortens a gradient to the Euclidean norm ``max_norm`` where it is longer.

    The norm is that of what it is given. Elements depend on each other, so this does not split over ranges: where
    parameters are in shards, apply it to the whole gradient before it is cut, and not as a shard's rule, for a shard
    would take the norm of its own part (`is_elementwise` tells).

    References
    ----------
    R. Pascanu, T. Mikolov & Y. Bengio, On the difficulty of training recurrent neural networks, ICML 2013.

    Examples
    --------
    >>> clip_norm(1.0)(np.array([3.0, 4.0]))
    array([0.6, 0.8])
    """
    return ClipNorm(above("max_norm", max_norm, 0))

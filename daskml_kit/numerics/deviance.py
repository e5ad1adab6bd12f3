"""The unit deviance of Tweedie distributions, and the domain on which it is defined."""

from __future__ import annotations

import numpy as np
from scipy.special import xlogy

from daskml_kit.typing import Array


def tweedie_deviance(y: Array, prediction: Array, power: float) -> Array:
    r"""Return the unit deviance :math:`2(\phi(y) - \phi(m) - \phi'(m)(y - m))` of each element.

    Parameters
    ----------
    y, prediction : arrays of one shape
        Inside the domain that `outside` checks.
    power : float
        0 is the squared error, 1 Poisson, 2 Gamma, 3 inverse Gaussian.

    Examples
    --------
    >>> tweedie_deviance(np.array([3.0]), np.array([1.0]), 0)
    array([4.])
    """
    if power == 0:
        return np.asarray(np.square(y - prediction))
    if power == 1:
        return np.asarray(2 * (xlogy(y, y / prediction) - y + prediction))
    if power == 2:
        return np.asarray(2 * (np.log(prediction / y) + y / prediction - 1))
    tail = prediction ** (2 - power) / (2 - power) - y * prediction ** (1 - power) / (1 - power)
    return np.asarray(2 * (generator(y, power) + tail))


def generator(y: Array, power: float) -> Array:
    r"""Return the convex :math:`\phi` whose Bregman divergence is half the unit deviance, up to a linear term.

    The deviance of all rows from their mean is twice their weight times :math:`\overline{\phi(y)} - \phi(\bar y)`.
    """
    if power == 0:
        return np.asarray(np.square(y) / 2)
    if power == 1:
        return np.asarray(xlogy(y, y))
    if power == 2:
        return np.asarray(-np.log(y))
    base = np.maximum(y, 0) if power < 0 else y
    return np.asarray(base ** (2 - power) / ((1 - power) * (2 - power)))


def outside(y: Array, prediction: Array, power: float) -> str | None:
    """Return what the deviance expects where ``y`` or ``prediction`` lies outside of its domain, else None."""
    if power == 0:
        return None
    if (prediction <= 0).any():
        return "strictly positive y_pred"
    if 1 <= power < 2 and (y < 0).any():
        return "non-negative y_true"
    if power >= 2 and (y <= 0).any():
        return "strictly positive y_true"
    return None

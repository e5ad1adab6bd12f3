"""The scale of a standardised feature."""

from __future__ import annotations

from typing import Any

import numpy as np

from daskml_kit.typing import Array


def scale_of(variance: Array, mean: Array, n_rows: Any) -> Array:
    """Return the standard deviations, with 1 for features that are constant up to rounding.

    The bound is that on the error of the two-pass algorithm (Chan, Golub & LeVeque 1983), as in scikit-learn.

    Examples
    --------
    >>> scale_of(np.array([4.0, 1e-30]), np.array([0.0, 3.0]), 10)
    array([2., 1.])
    """
    eps = np.finfo(np.float64).eps
    constant = variance <= n_rows * eps * variance + (n_rows * mean * eps) ** 2
    return np.where(constant, 1.0, np.sqrt(variance))

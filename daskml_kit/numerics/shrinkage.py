"""Shrinkage of covariance matrices towards multiples of the identity."""

from __future__ import annotations

import numpy as np

from daskml_kit.typing import Array


def ledoit_wolf(covariance: Array, fourth: float, n_rows: int) -> float:
    """Return the shrinkage of Ledoit and Wolf (2004).

    Parameters
    ----------
    covariance : array of shape (n_features, n_features)
    fourth : float
        The sum of the rows' norms, about their mean, to the fourth power.
    n_rows : int

    Examples
    --------
    >>> rows = np.array([[1.0, 2.0], [-1.0, 0.0], [0.0, -2.0]])
    >>> round(ledoit_wolf(rows.T @ rows / 3, 42.0, 3), 3)
    0.641
    """
    d = len(covariance)
    if d == 1:
        return 0.0
    squares, mean = float((covariance**2).sum()), float(np.trace(covariance)) / d
    distance = (squares - d * mean**2) / d
    error = min((fourth / n_rows - squares) / (d * n_rows), distance)
    return 0.0 if error == 0 else error / distance


def oracle_approximating(covariance: Array, n_rows: int) -> float:
    """Return the shrinkage of Chen, Wiesel, Eldar and Hero (2010).

    Examples
    --------
    >>> round(oracle_approximating(np.diag([2.0, 1.0]), 100), 3)
    0.277
    """
    d = len(covariance)
    if d == 1:
        return 0.0
    alpha, square = float((covariance**2).mean()), float(np.trace(covariance) / d) ** 2
    below = (n_rows + 1) * (alpha - square / d)
    return 1.0 if below == 0 else min((alpha + square) / below, 1.0)

"""The objectives that scikit-learn's linear models minimize, and how far from the optimum a model is."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.data import PART_ROWS, Array, Data


def logistic(model: Any, data: Data, *, l1_ratio: float = 0.0, weight: Array | None = None) -> float:
    """Return scikit-learn's objective of logistic regression with C = 1, binary or multinomial."""
    every = np.ones(len(data.y)) if weight is None else weight
    coef, intercept = _coefficients(model)
    loss = 0.0
    for start in range(0, len(data.y), 4 * PART_ROWS):
        rows = slice(start, start + 4 * PART_ROWS)
        raw = np.asarray(data.X[rows] @ coef.T, np.float64) + intercept
        if raw.shape[1] == 1:
            loss += float(every[rows] @ np.logaddexp(0, np.where(data.y[rows] == 1, -1, 1) * raw[:, 0]))
        else:
            loss += float(every[rows] @ (np.logaddexp.reduce(raw, axis=1) - raw[np.arange(len(raw)), data.y[rows]]))
    return loss + l1_ratio * float(np.abs(coef).sum()) + (1 - l1_ratio) / 2 * float((coef**2).sum())


def squared(model: Any, data: Data) -> float:
    """Return the sum of squared residuals of a linear model."""
    coef, intercept = _coefficients(model)
    return float(((data.y - data.X @ coef[0] - intercept) ** 2).sum())


def excess(reached: float, optimum: float) -> float:
    """Return how far above the optimum an objective is, as a share of it."""
    return (reached - optimum) / abs(optimum)


def _coefficients(model: Any) -> tuple[Array, Array]:
    return np.atleast_2d(np.asarray(model.coef_, np.float64)), np.atleast_1d(np.asarray(model.intercept_, np.float64))

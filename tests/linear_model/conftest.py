"""Data that the tests of linear models share."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest


class Data(NamedTuple):
    X: np.ndarray
    labels: np.ndarray
    number: np.ndarray
    count: np.ndarray
    positive: np.ndarray
    weight: np.ndarray


@pytest.fixture(scope="session")
def data() -> Data:
    """600 rows of 7 correlated, badly scaled features with non-zero means, and targets of every kind."""
    rng = np.random.default_rng(7)
    scale = np.exp(np.linspace(-1, 1, 7))
    X = (rng.normal(size=(600, 7)) @ (np.eye(7) + 0.3 * rng.normal(size=(7, 7)))) * scale + rng.normal(size=7)
    signal = (X - X.mean(0)) / scale @ rng.normal(size=7) / 3
    labels = np.digitize(signal + rng.logistic(size=600), [-1.0, 1.0])
    number = 2 + signal + 0.5 * rng.standard_t(2, size=600)
    count = rng.poisson(np.exp(0.5 * signal))
    positive = np.exp(0.5 * signal) * rng.gamma(2.0, size=600) + 1e-3
    return Data(X, labels, number, count, positive, rng.integers(0, 4, size=600).astype(float))

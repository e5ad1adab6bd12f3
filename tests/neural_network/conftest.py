"""Data that the tests of perceptrons share."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split


class Digits(NamedTuple):
    X: np.ndarray
    test: np.ndarray
    y: np.ndarray
    expected: np.ndarray


@pytest.fixture(scope="session")
def digits() -> Digits:
    """Features from 0 to 1 and ten classes: 1347 rows to train on, 450 to judge by."""
    X, y = load_digits(return_X_y=True)
    return Digits(*train_test_split(X / 16, y, random_state=0))

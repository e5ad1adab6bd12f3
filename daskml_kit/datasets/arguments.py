"""Check the arguments of the generators; the messages name them."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np


def check_counts(least: int, **counts: Any) -> None:
    """Raise a `ValueError` that names the first of ``counts`` that is no integer of at least ``least``.

    Examples
    --------
    >>> check_counts(1, n_samples=0)
    Traceback (most recent call last):
    ...
    ValueError: n_samples: expected an integer of at least 1, got 0
    """
    for name, value in counts.items():
        if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < least:
            raise ValueError(f"{name}: expected an integer of at least {least}, got {value!r}")


def check_numbers(low: float = -np.inf, high: float = np.inf, **values: Any) -> None:
    """Raise a `ValueError` that names the first of ``values`` that is no finite number from ``low`` to ``high``."""
    for name, value in values.items():
        if not isinstance(value, numbers.Real) or not np.isfinite(float(value)) or not low <= float(value) <= high:
            above = f" of at least {low:g}" if low > -np.inf else ""
            wanted = f"a number from {low:g} to {high:g}" if high < np.inf else f"a finite number{above}"
            raise ValueError(f"{name}: expected {wanted}, got {value!r}")


def check_flags(**flags: Any) -> None:
    """Raise a `ValueError` that names the first of ``flags`` that is neither True nor False."""
    for name, value in flags.items():
        if not isinstance(value, (bool, np.bool_)):
            raise ValueError(f"{name}: expected True or False, got {value!r}")

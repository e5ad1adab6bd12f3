"""Settings of update rules, checked where they are given."""

from __future__ import annotations

import math


def at_least(name: str, value: float, bound: float) -> float:
    """Return ``value``, or raise a ValueError if it is below ``bound`` or not finite."""
    if not (math.isfinite(value) and value >= bound):
        raise ValueError(f"{name}: expected a number of at least {bound}, got {value!r}")
    return value


def above(name: str, value: float, bound: float) -> float:
    """Return ``value``, or raise a ValueError if it is not above ``bound``, or not finite."""
    if not (math.isfinite(value) and value > bound):
        raise ValueError(f"{name}: expected a number above {bound}, got {value!r}")
    return value


def share(name: str, value: float) -> float:
    """Return ``value``, or raise a ValueError if it is not in [0, 1)."""
    if not 0 <= value < 1:
        raise ValueError(f"{name}: expected a number from 0 to below 1, got {value!r}")
    return value

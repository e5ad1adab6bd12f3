"""The state of an update rule for all parameters, and for the range of one server."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from daskml_kit.errors import DataError
from daskml_kit.solvers.updates import State, Update
from daskml_kit.typing import Array


def joined(states: Iterable[State]) -> State:
    """Return the state for all parameters from those of the servers, in their order.

    Examples
    --------
    >>> joined([(np.array(3), np.zeros(2)), (np.array(3), np.ones(1))])
    (array(3), array([0., 0., 1.]))
    """
    return tuple(np.concatenate(arrays) if arrays[0].ndim else arrays[0] for arrays in zip(*states, strict=True))


def part_of(state: State, part: slice) -> State:
    """Return a copy of what belongs to a range of the parameters."""
    return tuple(array[part].copy() if array.ndim else array.copy() for array in state)


def check_state(state: State, update: Update, vector: Array) -> None:
    """Raise a `DataError` where a state is not one that the rule has for these parameters."""
    expected, found = [array.shape for array in update.init(vector)], [array.shape for array in state]
    if found != expected:
        raise DataError(f"state: expected arrays of shapes {expected} for {update!r}, got {found}")

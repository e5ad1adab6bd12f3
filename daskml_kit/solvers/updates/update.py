"""What an update rule is: explicit state, and a step that is made in place."""

from __future__ import annotations

from typing import Protocol, TypeAlias

import numpy as np

from daskml_kit.typing import Array

State: TypeAlias = tuple[Array, ...]
"""Arrays of the parameters' shape, one number an element, and arrays of shape (), such as the count of steps."""


class Update(Protocol):
    """A rule by which a gradient moves parameters, as optax's pairs; rules are frozen, picklable, equal if alike.

    Who calls ``apply`` owns ``w`` and ``state``: both are written to, and returned. ``grad`` is only read. A rule
    treats each element on its own (`is_elementwise` tells which do not), so that it gives the same bits on a range of
    the flattened parameters as on the whole.
    """

    def init(self, w: Array) -> State:
        """Return the state before the first step, for parameters like ``w``."""

    def apply(self, grad: Array, state: State, w: Array) -> tuple[Array, State]:
        """Move ``w`` by one step, and return it with the state after it."""


class Transform(Protocol):
    """What a gradient goes through before its rule: a function that returns a new array."""

    def __call__(self, grad: Array) -> Array:
        """Return the gradient to go on with."""


def new_count() -> Array:
    """Return a count of steps, at 0."""
    return np.zeros((), np.int64)


def count_step(count: Array) -> int:
    """Return the number of the step that begins now, from 1."""
    count += 1
    return int(count)


def check_floats(w: Array) -> None:
    """Raise a TypeError where ``w`` are not real floating point numbers: steps would be rounded away."""
    if not np.issubdtype(w.dtype, np.floating):
        raise TypeError(f"w: expected floating point numbers, got {w.dtype}")


def moments_like(w: Array) -> Array:
    """Return zeros, one for each element of ``w``, which must be floats."""
    check_floats(w)
    return np.zeros(w.shape, w.dtype)

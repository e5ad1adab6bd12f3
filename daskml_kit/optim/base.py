"""Update rules: pairs of ``init`` and ``apply`` with explicit state, and steps in place."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Protocol, TypeAlias

import numpy as np

from daskml_kit.numerics.targets import tiles
from daskml_kit.typing import Array

State: TypeAlias = tuple[Array, ...]
"""Arrays of the parameters' shape, one number an element, and arrays of shape (), such as the count of steps."""


class Update(Protocol):
    """Update rule by which a gradient moves parameters, as in optax; rules are frozen, picklable, equal if alike.

    The caller of ``apply`` owns ``w`` and ``state``: both are written to, and returned. ``grad`` is only read. A rule
    treats each element on its own (`is_elementwise` tells the others), so that it gives the same bits on a range of
    the flattened parameters as on the whole.

    See Also
    --------
    sgd, momentum, adagrad, adam, add, chain : The rules that there are.
    """

    def init(self, w: Array) -> State:
        """Return the state before the first step, for parameters like ``w``.

        Parameters
        ----------
        w : array
            The parameters.

        Returns
        -------
        tuple of arrays
            Moments of the shape of ``w``, and counts of shape ().
        """

    def apply(self, grad: Array, state: State, w: Array) -> tuple[Array, State]:
        """Move ``w`` by one step, in place.

        Parameters
        ----------
        grad : array
            The gradient, of the shape of ``w``.
        state : tuple of arrays
            Is written to.
        w : array
            Is written to.

        Returns
        -------
        w : array
            The parameters after the step.
        state : tuple of arrays
            The state after it.
        """


class Transform(Protocol):
    """Transform of a gradient before its rule: a function that returns a new array.

    See Also
    --------
    clip, clip_norm : The transforms that there are.
    chain : Puts them before a rule.
    """

    def __call__(self, grad: Array) -> Array:
        """Return the transformed gradient, of the same shape."""


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


def below_one(name: str, value: float) -> float:
    """Return ``value``, or raise a ValueError if it is not in [0, 1)."""
    if not 0 <= value < 1:
        raise ValueError(f"{name}: expected a number from 0 to below 1, got {value!r}")
    return value


PART = 8_192
"""Elements of a part (measured for Adam on 100,000 float64: 0.40 ms on a worker and elsewhere; at 32,768 elements 0.32
ms elsewhere, and 0.50 ms on a worker, where the buffer of a part is got from the system each time)."""


def parts(grad: Array, w: Array, *moments: Array) -> Iterator[tuple[Array, ...]]:
    """Yield part by part a gradient, a scratch buffer of its size, and views of the parameters and their moments.

    All but the gradient may be written. The gradient comes in the dtype of the parameters, and aligned, as it is not
    when it came off the wire. The buffer is the same for all parts: on a Dask worker, where freed memory goes back to
    the system at once, a temporary of each part's own takes longer than the arithmetic.

    Raises
    ------
    ValueError
        Where the gradient has not the shape of the parameters.

    Examples
    --------
    >>> import numpy as np
    >>> from daskml_kit.optim.base import parts
    >>> w = np.zeros(3)
    >>> for grad_part, buffer, w_part in parts(np.ones(3), w):
    ...     w_part -= np.multiply(grad_part, 0.5, out=buffer)
    >>> w
    array([-0.5, -0.5, -0.5])
    """
    if grad.shape != w.shape:
        raise ValueError(f"grad: expected the shape of the parameters, {w.shape}, got {grad.shape}")
    owned = (w, *moments)
    if not all(array.flags.c_contiguous for array in owned):
        yield grad.astype(w.dtype, copy=False), np.empty_like(w), *owned
        return
    flat_grad, *flat = (array.reshape(-1) for array in (grad, *owned))
    ready = flat_grad.dtype == w.dtype and flat_grad.flags.aligned
    size = min(PART, w.size)
    buffer, cast = np.empty(size, w.dtype), np.empty(0 if ready else size, w.dtype)
    for part in tiles(w.size, PART):
        g = flat_grad[part]
        if not ready:
            g, taken = cast[: len(g)], g
            np.copyto(g, taken, casting="same_kind")
        yield g, buffer[: len(g)], *(array[part] for array in flat)

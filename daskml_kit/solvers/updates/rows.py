"""A step of some rows of the parameters."""

from __future__ import annotations

from daskml_kit.numerics.rows import sum_rows
from daskml_kit.solvers.updates.update import State, Update
from daskml_kit.typing import Array


def apply_rows(update: Update, rows: Array, grad_rows: Array, state: State, w: Array) -> tuple[Array, State]:
    """Move some rows of ``w`` by one step, in place, at a cost in proportion to them; return it with the state.

    It is lazy, as sparse forms of Adagrad and Adam are: the moments of other rows stay as they are, while the step
    counts for all.

    Parameters
    ----------
    update : Update
    rows : array of integers of shape (k,)
        Gradients of a row that comes twice are added first.
    grad_rows : array of shape (k, ...)
    state : State
        Its arrays of shape () belong to all rows, the others have a row for each row of ``w``.
    w : array of shape (n, ...)

    Raises
    ------
    IndexError
        Where a row is negative, or not below n.

    Examples
    --------
    >>> import numpy as np
    >>> from daskml_kit.solvers.updates import sgd
    >>> rule, w = sgd(0.5), np.ones((3, 2))
    >>> apply_rows(rule, np.array([2]), np.array([[1.0, -1.0]]), rule.init(w), w)[0]
    array([[1. , 1. ],
           [1. , 1. ],
           [0.5, 1.5]])
    """
    if not (rows[1:] > rows[:-1]).all():
        rows, grad_rows = sum_rows(rows, grad_rows)
    if len(rows) and not 0 <= rows[0] <= rows[-1] < len(w):
        raise IndexError(f"rows: expected numbers from 0 to {len(w) - 1}, got {rows[0]} to {rows[-1]}")
    part = tuple(array[rows] if array.ndim else array for array in state)
    w[rows], part = update.apply(grad_rows, part, w[rows])
    for whole, array in zip(state, part, strict=True):
        whole[rows if whole.ndim else ...] = array
    return w, state

"""A penalised linear problem."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from daskml_kit.numerics.losses import Loss, Softmax
from daskml_kit.numerics.targets import Target
from daskml_kit.solvers.oracles import centred, data_term, last_by_logarithm, restricted, ridge
from daskml_kit.solvers.result import Oracle
from daskml_kit.typing import Array


@dataclass(frozen=True, eq=False)
class Problem:
    """Minimise ``scale * sum(loss) + sum(l2 * w**2) / 2 + sum(l1 * abs(w))`` over the free coefficients.

    Parameters
    ----------
    loss : Loss
    target : Target
    shape : tuple of int
        Outputs and features + 1.
    free : array of int
        Which of the raveled coefficients are free; the others are zero.
    l2, l1 : array of shape (len(free),)
    scale : float
        One over the weight of all rows, as scikit-learn has it.
    start : array of shape (len(free),)
    log_floor : float, optional
        The last coefficient is positive, and fitted by its logarithm; below this it is as good as zero.
    """

    loss: Loss
    target: Target
    shape: tuple[int, int]
    free: Array
    l2: Array
    l1: Array
    scale: float
    start: Array
    log_floor: float | None = None

    def oracle(self) -> Oracle:
        """Return the smooth part."""
        size = self.shape[0] * self.shape[1]
        whole = data_term(self.loss, self.target, self.shape, self.scale)
        inner = whole if len(self.free) == size else restricted(whole, self.free, size)
        smooth = ridge(inner if self.log_floor is None else last_by_logarithm(inner, self.log_floor), self.l2)
        if not isinstance(self.loss, Softmax):
            return smooth
        width = len(self.free) // self.shape[0]
        loose = np.flatnonzero((self.l2 + self.l1)[:width] == 0)
        return centred(smooth, self.shape[0], loose, width)

    def unravel(self, w: Array) -> Array:
        """Return the coefficients of shape (outputs, features + 1), zeros where they are not free."""
        whole = np.zeros(self.shape[0] * self.shape[1])
        whole[self.free] = w
        if self.log_floor is not None:
            whole[self.free[-1]] = np.exp(w[-1])
        return whole.reshape(self.shape)

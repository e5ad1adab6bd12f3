"""Truncated Newton method by conjugate gradients, for more coefficients than a Hessian has room for."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np

from daskml_kit.reductions.loss import Eval
from daskml_kit.solvers.newton import DOUBLE, backtrack, settled, stalled, stuck
from daskml_kit.solvers.types import Oracle, Result, Solver
from daskml_kit.typing import Array

DAMPED = 0.01
"""Share of the data's part of the Hessian's diagonal that preconditions, beside all of the penalty's.

Hessians of rare features are small, and steps along these would outrun what the quadratic model holds for (Hsia, Chiang
& Lin 2018 found the same share).
"""
LOOSER = 10
"""Factor of the decrement that counts as converged: the next step takes tens of passes, not one."""
MOST_PRODUCTS = 250
"""Products with the Hessian that one step may take."""


def newton_cg(
    oracle: Oracle, w: Array, *, tol: float, max_iter: int, scale: Array, ridge: Array, digits: float = DOUBLE
) -> Solver:
    """Minimize a smooth convex objective by Newton steps that conjugate gradients find, a pass for each product.

    A step is found the more exactly, the nearer the end is (Nash & Sofer 1990; Dembo & Steihaug 1983).

    Parameters
    ----------
    oracle : Oracle
    w : array of shape (p,)
    tol : float
        It has converged when no gradient is above ``tol`` and what is left to gain, as the last step and the gradients
        before and after it tell, is below `LOOSER` times the share of the objective that `newton` ends at.
    max_iter : int
        Newton steps.
    scale : array of shape (p,)
        The diagonal of the Hessian, roughly.
    ridge : array of shape (p,)
        The penalty's part of it.
    digits : float
        See `newton`.
    """
    metric = DAMPED * scale + (1 - DAMPED) * ridge
    no_l1 = np.zeros_like(w)
    here = yield from oracle(w, 1)
    length = longest = _length(here.grad, metric)
    left, trust = np.inf, 0.5
    for n_iter in range(max_iter + 1):
        if settled(here, w, no_l1, left / LOOSER, tol) or not here.grad.any():
            return Result(w, n_iter, True, here)
        if n_iter == max_iter:
            break
        share = min(trust, float(np.sqrt(length / longest)))
        step, gain = yield from _conjugate_gradients(oracle, w, here, metric, share)
        moved = yield from backtrack(oracle, w, here, step, no_l1, 1, digits)
        if moved is None or stuck((w, here), moved, no_l1, gain, digits):
            return Result(w, n_iter, stalled(here, gain, digits), here)
        agreement = (here.value - moved[1].value) / gain
        w, here = moved
        before, length = length, _length(here.grad, metric)
        longest = max(longest, length)
        left = gain * (length / before) ** 2  # gains go with squared gradients
        if abs(agreement - 1) > 0.5:
            trust = 0.5
        elif abs(agreement - 1) < 0.1 and length > 0.5 * before:
            trust = max(trust / 3, 1e-3)  # its model holds, but the step was too rough to get far
    return Result(w, max_iter, False, here)


def _conjugate_gradients(
    oracle: Oracle, w: Array, here: Eval, metric: Array, share: float
) -> Generator[Any, Any, tuple[Array, float]]:
    """Return a step downhill, and what it gains by the quadratic model.

    It ends where the gradient of the model has fallen to ``share``, or where a product gained less than that share of
    what all have on average.
    """
    step, residual = np.zeros_like(w), -here.grad
    scaled = residual / metric
    direction, length, gain = scaled, float(residual @ scaled), 0.0
    wanted = share**2 * length
    for n_products in range(1, MOST_PRODUCTS + 1):
        product = yield from oracle(w, 1, direction)
        if not product.value > 0:
            break
        far = length / product.value
        step += far * direction
        residual -= far * product.grad
        gained, gain = gain, gain + 0.5 * far * length
        scaled = residual / metric
        following = float(residual @ scaled)
        if following <= wanted or n_products * (gain - gained) <= share * gain:
            break
        direction, length = scaled + (following / length) * direction, following
    return (step, gain) if gain else (-here.grad / metric, 0.5 * float(here.grad @ (here.grad / metric)))


def _length(grad: Array, metric: Array) -> float:
    return float(np.sqrt(grad @ (grad / metric)))

"""Newton's method with the exact Hessian, for a smooth objective plus an optional l1 norm."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, NamedTuple

import numpy as np

from daskml_kit.numerics.arrow import Arrow
from daskml_kit.numerics.linalg import solve_positive
from daskml_kit.numerics.penalties import least_slope, minimize_quadratic
from daskml_kit.reductions.loss import Eval
from daskml_kit.reductions.reduction import Reduction
from daskml_kit.solvers.types import Oracle, Result, Solver
from daskml_kit.typing import Array

ARMIJO = 1e-4
MAX_SWEEPS = 300
"""Of coordinate descent in a proximal Newton step: an unfinished one goes downhill, too."""
LONGEST = 1e6
"""The length of a step along which the objective has no curvature, beside that of the coefficients and one."""
DECREMENT = 1e-3
"""The decrement that counts as converged, as a share of ``tol`` and of the objective."""
PATIENCE = 20
"""Steps of first order without a gain after which there is none to come."""
DOUBLE, SINGLE = 1e-15, 1e-8
"""Share of an objective below which its changes are rounding, where the rows are float64 and float32."""


def digits_of(precision: Any) -> float:
    """Return that share for the rows' type.

    Examples
    --------
    >>> digits_of(np.float32)
    1e-08
    """
    return SINGLE if precision == np.float32 else DOUBLE


def newton(
    oracle: Oracle,
    w: Array,
    *,
    tol: float,
    max_iter: int,
    l1: Array | None = None,
    decrement: float | None = None,
    digits: float = DOUBLE,
) -> Solver:
    """Minimize by damped Newton steps; with ``l1``, by proximal Newton steps (Lee, Sun & Saunders 2014).

    Parameters
    ----------
    oracle : Oracle
    w : array of shape (p,)
        The start.
    tol : float
        It has converged when no gradient is above ``tol`` and the next step's predicted gain (half the squared Newton
        decrement) is below ``DECREMENT * tol`` of the objective.
    max_iter : int
    l1 : array of shape (p,), optional
        The weights of the l1 norm.
    decrement : float, optional
        The predicted gain, as a share of the objective, that is enough by itself.
    digits : float
        The share of the objective that rounding changes, below which none can be gained.
    """
    return _descend(oracle, w, None, StopRule(tol, max_iter, digits, decrement), l1)


def quasi_newton(
    oracle: Oracle,
    w: Array,
    hess: Array,
    *,
    tol: float,
    max_iter: int,
    l1: Array | None = None,
    digits: float = DOUBLE,
) -> Solver:
    """Minimize by quasi-Newton steps in a metric that starts at ``hess`` and learns by BFGS updates.

    Where ``hess`` comes from a sample of the rows, a step is nearly Newton's and costs one pass for the gradient only
    (Roosta-Khorasani & Mahoney 2019). Parameters are those of `newton`.
    """
    return _descend(oracle, w, hess, StopRule(tol, max_iter, digits), l1)


class StopRule(NamedTuple):
    """Conditions on which Newton's method ends; see `newton`."""

    tol: float
    max_iter: int
    digits: float
    decrement: float | None = None


def _descend(oracle: Oracle, w: Array, hess: Array | None, end: StopRule, l1: Array | None) -> Solver:
    """Step in the metric ``hess``, which learns by BFGS updates; without one, ask for the Hessian at each point."""
    bounds, order = np.zeros_like(w) if l1 is None else l1, 2 if hess is None else 1
    here = yield from oracle(w, order)
    for n_iter in range(end.max_iter + 1):
        step, gain = newton_step(here, w, bounds, here.hess if hess is None else hess)
        enough = end.decrement is not None and gain <= end.decrement * abs(here.value)
        if enough or settled(here, w, bounds, gain, end.tol):
            return Result(w, n_iter, True, _measured(here, hess))
        if n_iter == end.max_iter:
            break
        moved = yield from backtrack(oracle, w, here, step, bounds, order, end.digits)
        if moved is None or stuck((w, here), moved, bounds, gain, end.digits):
            return Result(w, n_iter, stalled(here, gain, end.digits), _measured(here, hess))
        if hess is not None:
            hess = _bfgs(hess, moved[0] - w, moved[1].grad - here.grad)
        w, here = moved
    return Result(w, end.max_iter, False, _measured(here, hess))


def _measured(here: Eval, hess: Array | None) -> Eval:
    """Return the last point with the metric there, for whoever starts at it."""
    return here if hess is None else here._replace(hess=hess)


def with_hessian(oracle: Oracle, solver: Solver) -> Solver:
    """Run ``solver``, which needs no Hessian, and ask for the Hessian where it ended."""
    result = yield from solver
    here = yield from oracle(result.w, 2)
    return result._replace(last=here)


def newton_step(here: Eval, w: Array, l1: Array, hess: Any) -> tuple[Array, float]:
    """Return the step to the minimum of the quadratic model, and how much that gains by the model."""
    if hess is None:
        raise TypeError("a Newton step needs a Hessian")
    if l1.any():
        tol = 1e-3 * max(steepest(here, w, l1), 1e-14)
        step = minimize_quadratic(hess, hess @ w - here.grad, l1, w, tol=tol, max_sweeps=MAX_SWEEPS).u - w
        gain = -(here.grad @ step + 0.5 * step @ hess @ step + l1 @ (np.abs(w + step) - np.abs(w)))
        return step, float(gain)
    arrow = hess if isinstance(hess, Arrow) else None
    step = -(solve_positive(hess, here.grad) if arrow is None else arrow.solve(here.grad))
    left = here.grad + hess @ step
    if np.abs(left).max(initial=0) > 1e-3 * np.abs(here.grad).max(initial=0):  # gradients where there is no hessian
        mean = float(np.diag(hess).mean()) if arrow is None else arrow.mean_of_diagonal()
        longest = LONGEST * (1 + np.abs(w).max(initial=0))
        step = step - left / max(mean, float(np.abs(left).max()) / longest)
    return step, float(-0.5 * here.grad @ step)


def settled(here: Eval, w: Array, l1: Array, gain: float, tol: float) -> bool:
    """Return whether gradients and predicted gain are small enough to stop."""
    return steepest(here, w, l1) <= tol and gain <= DECREMENT * tol * max(abs(here.value), 1e-300)


def steepest(here: Eval, w: Array, l1: Array) -> float:
    """Return the largest entry of the least subgradient."""
    slopes = least_slope(w, here.grad, l1) if l1.any() else here.grad
    return float(np.abs(slopes).max(initial=0))


def stalled(here: Eval, gain: float, digits: float = DOUBLE) -> bool:
    """Return whether no step gains because the objective is at the limit of its digits."""
    return gain <= max(1e-12, 10 * digits) * max(abs(here.value), 1e-300)


class Standstill:
    """Watch over steps of first order, of which some may gain nothing: told of each, it says when there is an end.

    Parameters
    ----------
    digits : float
        The share of the objective that rounding changes.
    """

    def __init__(self, digits: float) -> None:
        self.digits, self.lowest, self.flattest, self.idle = digits, np.inf, np.inf, 0

    def reached(self, value: float, steep: float) -> bool:
        """Return whether neither the objective nor the largest gradient had a new low in the last `PATIENCE` steps."""
        self.idle += 1
        if not value >= self.lowest - self.digits * abs(value):
            self.lowest, self.idle = value, 0
        if steep < self.flattest:
            self.flattest, self.idle = steep, 0
        return self.idle >= PATIENCE


def stuck(
    before: tuple[Array, Eval], after: tuple[Array, Eval], l1: Array, gain: float, digits: float = DOUBLE
) -> bool:
    """Return whether a step that should gain nothing in the objective's digits did not flatten the gradients either."""
    size = abs(before[1].value)
    start, end = (here.value + float(l1 @ np.abs(w)) for w, here in (before, after))
    lower = gain > 100 * digits * size or end < start  # not so where features far from zero cost digits
    if gain > digits * size and lower:
        return False
    slopes = [steepest(here, w, l1) for w, here in (before, after)]
    return slopes[1] > 0.5 * slopes[0]


def backtrack(
    oracle: Oracle, w: Array, here: Eval, step: Array, l1: Array, order: int, digits: float = DOUBLE
) -> Generator[Reduction, Any, tuple[Array, Eval] | None]:
    """Return the first point along ``step`` that gains enough (Armijo), with what is known there; None if none does."""
    start = here.value + float(l1 @ np.abs(w))
    gradient = float(here.grad @ step + l1 @ (np.abs(w + step) - np.abs(w)))
    noise = digits * abs(start)
    length = 1.0
    for _ in range(40):
        trial = w + length * step
        there = yield from oracle(trial, order)
        value = there.value + float(l1 @ np.abs(trial))
        if np.isfinite(value) and np.isfinite(there.grad).all():
            if value <= start + ARMIJO * length * gradient + noise:
                return trial, there
            # the parabola through both values and the first gradient has its minimum here
            length *= min(max(-gradient * length / (2 * (value - start - gradient * length)), 0.1), 0.5)
        else:
            length *= 0.25
    return None


def _bfgs(hess: Array, moved: Array, turned: Array) -> Array:
    along, image = float(moved @ turned), hess @ moved
    length = float(moved @ image)
    if along <= 1e-10 * length or length <= 0:
        return hess
    return np.asarray(hess + np.outer(turned, turned) / along - np.outer(image, image) / length)

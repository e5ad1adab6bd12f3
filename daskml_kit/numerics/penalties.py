"""Penalties that are not smooth: their value, proximal step, and the quadratic problems they make."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from daskml_kit.numerics.linalg import solve_consistent, solve_positive
from daskml_kit.typing import Array

MANY_ACTIVE = 500
"""Beyond this many coefficients that are not zero, their equations cost more than sweeps."""
MANY_CROSSINGS = 8
"""After so many coefficients that came to zero sweeps find the others faster."""
MANY_STEPS = 100_000
"""Steps of coordinate descent after which compiled ones go on: they have taken as long as it takes to load these."""


def shrink(w: Array, threshold: Array | float) -> Array:
    """Return the proximal point of the l1 norm, sign(w) * max(abs(w) - threshold, 0)."""
    return np.sign(w) * np.maximum(np.abs(w) - threshold, 0)


def least_slope(w: Array, grad: Array, l1: Array) -> Array:
    """Return the subgradient of least size of f + sum(l1 * abs(w)), where ``grad`` is the gradient of f at ``w``."""
    return np.where(w != 0, grad + l1 * np.sign(w), shrink(grad, l1))


class Descent(NamedTuple):
    """End of coordinate descent: coefficients, sweeps, and whether it settled."""

    u: Array
    sweeps: int
    settled: bool


def minimize_quadratic(
    hess: Array,
    linear: Array,
    l1: Array,
    start: Array,
    *,
    tol: float,
    max_sweeps: int = 1000,
    positive: bool = False,
    shuffle: np.random.Generator | None = None,
) -> Descent:
    r"""Minimize :math:`\tfrac12 u^\top H u - c^\top u + \sum_j \lambda_j |u_j|` by coordinate descent.

    Sweeps go over the coefficients that are not zero until they settle, then over all (Friedman, Hastie & Tibshirani
    2010). Between sweeps, the equations that their signs make are solved at once.

    Parameters
    ----------
    hess : array of shape (p, p)
        Symmetric, positive semi-definite.
    linear : array of shape (p,)
        c above.
    l1 : array of shape (p,)
    start : array of shape (p,)
    tol : float
        It ends when no coefficient's gradient changed by more than this in a sweep over all.
    max_sweeps : int
    positive : bool
        Keep the coefficients at or above zero.
    shuffle : numpy.random.Generator, optional
        Visit the coefficients in a new random order in each sweep, not cyclically.

    Examples
    --------
    >>> minimize_quadratic(np.diag([2.0, 1.0]), np.array([4.0, 0.5]), np.array([1.0, 1.0]), np.zeros(2), tol=1e-9).u
    array([1.5, 0. ])
    """
    loose = np.flatnonzero((l1 == 0) & (not positive))
    if 0 < len(loose) < len(l1):
        return _without(loose, hess, linear, l1, start, tol=tol, max_sweeps=max_sweeps, shuffle=shuffle)
    u, diagonal = start.astype(np.float64), np.diag(hess).copy()
    u[diagonal <= 0] = 0
    residual = linear - hess @ u
    usable = np.flatnonzero(diagonal > 0)
    order, whole = usable, True
    bound_signs = (l1 > 0) | positive
    steps, search_at = 0, 1
    for sweep in range(1, max_sweeps + 1):
        turn = order if shuffle is None else shuffle.permutation(order)
        steps += len(turn)
        few = steps <= MANY_STEPS and "numba" not in sys.modules  # both have the same bits
        pass_over = sweep_over if few else _compiled_sweep()
        largest = pass_over(hess, residual, u, diagonal, l1, turn, positive)
        if largest <= tol and whole:
            return Descent(u, sweep, True)
        arrived = False
        if sweep >= search_at:
            arrived = _search_signs(hess, linear, l1, u, bound_signs)
            search_at = sweep + 1 if arrived else 2 * sweep  # where equations are singular, searches tell little
        residual = linear - hess @ u
        whole = arrived or largest <= tol
        order = usable if whole else usable[u[usable] != 0]
    return Descent(u, max_sweeps, False)


def _without(loose: Array, hess: Array, linear: Array, l1: Array, start: Array, **options: Any) -> Descent:
    """Minimize as `minimize_quadratic` does, the ``loose`` coefficients, which have no bound, solved for exactly.

    Sweeps creep where an intercept goes along with many features.
    """
    others = np.setdiff1d(np.arange(len(l1)), loose)
    cross = hess[np.ix_(loose, others)]
    solved = solve_positive(hess[np.ix_(loose, loose)], np.column_stack([cross, linear[loose]]))
    reduced, right = hess[np.ix_(others, others)] - cross.T @ solved[:, :-1], linear[others] - cross.T @ solved[:, -1]
    found = minimize_quadratic((reduced + reduced.T) / 2, right, l1[others], start[others], **options)
    u = np.empty(len(l1))
    u[others], u[loose] = found.u, solved[:, -1] - solved[:, :-1] @ found.u
    return found._replace(u=u)


def sweep_over(
    hess: Array, residual: Array, u: Array, diagonal: Array, l1: Array, order: Array, positive: bool
) -> float:
    """Minimize over one coefficient after another, in place; return the largest change of a gradient.

    `daskml_kit.numerics.compiled.sweep_over` does the same, to the bit.
    """
    largest = 0.0
    for j in order:
        old, hessian = u[j], diagonal[j]
        gradient, bound = residual[j] + hessian * old, l1[j]
        pulled = gradient - bound if gradient > bound else 0.0 if positive or gradient >= -bound else gradient + bound
        new = pulled / hessian
        if new != old:
            u[j] = new
            residual -= hess[j] * (new - old)
            largest = max(largest, abs(new - old) * hessian)
    return largest


def _compiled_sweep() -> Callable[..., float]:
    from daskml_kit.numerics import compiled  # only where so much is done that it pays to wait for Numba

    sweep: Callable[..., float] = compiled.sweep_over
    return sweep


def _search_signs(hess: Array, linear: Array, l1: Array, u: Array, bound_signs: Array) -> bool:
    """Move ``u`` downhill, in place, to the minimum over coefficients of its signs, and return whether it got there.

    A coefficient that would cross zero on the way stays there, if its sign is bound, and the way goes on without it
    (Lee, Battle, Raina & Ng 2006). Where features are collinear their equations may have no solution; then the
    objective falls all along a straight way.
    """
    for _ in range(MANY_CROSSINGS):
        active = np.flatnonzero(u)
        if not len(active):
            return True
        if len(active) > MANY_ACTIVE:
            return False
        here, block = u[active], hess[np.ix_(active, active)]
        right = (linear - l1 * np.sign(u))[active]
        goal, straight = solve_consistent(block, right)
        solved = np.abs(block @ goal - right).max(initial=0) <= 1e-10 * np.abs(right).max(initial=0)
        if not solved and not np.abs(block @ straight).max() < 1e-10 * np.abs(np.diag(block) * straight).max():
            return False  # ill conditioned
        way = goal - here if solved else straight
        crossing = bound_signs[active] & (way * np.sign(here) < (-np.abs(here) if solved else 0))
        if not crossing.any():
            if solved:
                u[active] = goal
            return bool(solved)
        reach = np.where(crossing, -here / np.where(crossing, way, 1), np.inf)
        u[active] = np.where(reach == reach.min(), 0, here + reach.min() * way)
    return False


def duality_gap(u: Array, hess: Array, linear: Array, size: float, l1: float, l2: float, positive: bool) -> float:
    """Return the duality gap of the elastic net at ``u``, where ``hess`` has ``l2`` on its diagonal.

    ``linear`` is X'y and ``size`` y'y, over the weight of the rows.
    """
    gradient = linear - hess @ u
    residual = max(size - 2 * float(linear @ u) + float(u @ (hess @ u)) - l2 * float(u @ u), 0.0)
    steepest = float(gradient.max(initial=0) if positive else np.abs(gradient).max(initial=0))
    shrunk = l1 / steepest if steepest > l1 else 1.0
    gap = 0.5 * residual * (1 + shrunk**2) if steepest > l1 else residual
    along = size - float(linear @ u)
    return gap + l1 * float(np.abs(u).sum()) - shrunk * along + 0.5 * l2 * (1 + shrunk**2) * float(u @ u)


L1_RATIOS = {None: 0.0, "l2": 0.0, "l1": 1.0}


@dataclass(frozen=True)
class Shrinkage:
    r"""The penalty :math:`\alpha\,(\rho \|w\|_1 + \tfrac{1-\rho}{2} \|w\|_2^2)` of the coefficients, not the intercept.

    A step of gradients moves ``w`` by the gradients of the loss and of the penalty, ``-rate * (grad + gradient(w))``;
    `proximal` then makes the step of the l1 norm, which leaves exact zeros (Duchi & Singer 2009).

    Parameters
    ----------
    alpha : float
    l1_ratio : float from 0 to 1
        :math:`\rho` above.

    Examples
    --------
    >>> penalty, w = Shrinkage(0.5, 0.5), np.array([1.0, -0.1])
    >>> penalty.value(w), penalty.gradient(w), penalty.proximal(w, 0.8)
    (0.40125, array([ 0.25 , -0.025]), array([ 0.8, -0. ]))
    """

    alpha: float
    l1_ratio: float

    def value(self, w: Array) -> float:
        """Return the penalty of ``w``."""
        flat = w.reshape(-1)
        size, square = float(np.abs(flat).sum()), float(flat @ flat)
        return self.alpha * (self.l1_ratio * size + (1 - self.l1_ratio) / 2 * square)

    def gradient(self, w: Array) -> Array:
        """Return the gradient of the smooth part at ``w``."""
        return w * (self.alpha * (1 - self.l1_ratio))

    def proximal(self, w: Array, rate: float) -> Array:
        """Return where the l1 part takes ``w`` after a step of the learning rate ``rate``."""
        threshold = rate * self.alpha * self.l1_ratio
        return shrink(w, threshold) if threshold else w


def shrinkage(penalty: str | None, alpha: float, l1_ratio: float = 0.15) -> Shrinkage:
    """Return the penalty of scikit-learn's names: None, "l2", "l1", or "elasticnet", the one that ``l1_ratio`` is for.

    Raises
    ------
    ValueError
        Where a setting is out of its range.

    Examples
    --------
    >>> shrinkage("l2", 1e-4)
    Shrinkage(alpha=0.0001, l1_ratio=0.0)
    """
    if penalty not in (*L1_RATIOS, "elasticnet"):
        raise ValueError(f"penalty: expected 'l2', 'l1', 'elasticnet' or None, got {penalty!r}")
    if not alpha >= 0:
        raise ValueError(f"alpha: expected a number of at least 0, got {alpha!r}")
    if penalty == "elasticnet" and not 0 <= l1_ratio <= 1:
        raise ValueError(f"l1_ratio: expected a number from 0 to 1, got {l1_ratio!r}")
    return Shrinkage(alpha if penalty else 0.0, L1_RATIOS.get(penalty, l1_ratio))

"""Proximal Newton method with an active set, for an l1 norm and many more columns than it keeps."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, NamedTuple

import numpy as np

from daskml_kit.numerics.penalties import least_slope
from daskml_kit.reductions.loss import Eval
from daskml_kit.solvers.newton import DOUBLE, backtrack, newton, newton_step, settled, stalled, steepest, stuck
from daskml_kit.solvers.objective import Problem
from daskml_kit.solvers.types import Result, Solver
from daskml_kit.typing import Array

MOST_ACTIVE = 2000
"""Coefficients whose Hessian a step makes: beyond, it takes longer than many gradients."""
LEVELS = 0.4
"""Factor from one weight of the l1 norm to the next, on the way to the wanted one."""
FAR = 0.5
"""Share of a Newton step from which the next weight follows: below, the model held for too short a way."""


class Moved(NamedTuple):
    """End of a step: the coefficients, what is known there, what it should have gained, and the share taken."""

    w: Array
    here: Eval
    gain: float
    share: float


def active_newton(problem: Problem, *, tol: float, max_iter: int, digits: float = DOUBLE) -> Solver:
    """Minimize by proximal Newton steps in the coefficients that are not zero, or would not stay so.

    Each takes a pass for the Hessian of these columns, and one or more for the gradient of all. The weight of the l1
    norm falls to the wanted one by steps, each of which starts where the last has ended, so that few columns are ever
    active (Friedman, Hastie & Tibshirani 2010; Yuan, Ho & Lin 2012). It ends unconverged where more than about
    half of `MOST_ACTIVE` coefficients are not zero. Other parameters are those of `newton`.
    """
    oracle, l1 = problem.oracle(), problem.l1
    w = yield from _without_columns(problem)
    here = yield from oracle(w, 1)
    steep = np.abs(here.grad[l1 > 0]) / l1[l1 > 0]
    level = 1.0 if w[l1 > 0].any() else max(float(steep.max(initial=0)), 1.0)
    left, share = np.inf, 1.0
    for n_iter in range(max_iter + 1):
        if level == 1 and settled(here, w, l1, left, tol):
            return Result(w, n_iter, True, here)
        if share >= FAR:
            level = max(level * LEVELS, 1.0)
        columns = _active(problem, w, here, l1 * level)
        if n_iter == max_iter or columns is None:
            break
        moved = yield from _step(problem, columns, w, here, level, digits)
        if level == 1 and (moved.share == 0 or stuck((w, here), (moved.w, moved.here), l1, moved.gain, digits)):
            return Result(w, n_iter, stalled(here, moved.gain, digits), here)
        before, after = steepest(here, w, l1), steepest(moved.here, moved.w, l1)
        left = moved.gain * (after / before) ** 2 if before else 0.0  # gains go with squared gradients
        w, here, share = moved.w, moved.here, moved.share or 1.0
    return Result(w, n_iter, False, here)


def _step(
    problem: Problem, columns: Array, w: Array, here: Eval, level: float, digits: float
) -> Generator[Any, Any, Moved]:
    """Take a proximal Newton step in the coefficients of ``columns``, the l1 norm weighted by ``level``."""
    part, own = problem.of_columns(columns)
    there = yield from part.oracle()(w[own], 2)
    l1 = problem.l1 * level
    step = np.zeros_like(w)
    step[own], gain = newton_step(Eval(here.value, here.grad[own]), w[own], l1[own], there.hess)
    found = yield from backtrack(problem.oracle(), w, here, step, l1, 1, digits)
    if found is None or not step.any():
        return Moved(w, here, gain, 0.0)
    return Moved(*found, gain, float(np.abs(found[0] - w).max() / np.abs(step).max()))


def _without_columns(problem: Problem) -> Generator[Any, Any, Array]:
    """Return the start, the coefficients without a bound fitted to it where all others are zero."""
    w, loose = problem.start, np.flatnonzero(problem.l1 == 0)
    if not len(loose) or w[problem.l1 > 0].any():
        return w
    part, own = problem.of_columns(np.array([], int))
    if not np.array_equal(own, loose):
        return w
    result = yield from newton(part.oracle(), w[own], tol=1e-2, max_iter=10)
    start = w.copy()
    start[own] = result.w
    return start


def _active(problem: Problem, w: Array, here: Eval, l1: Array) -> Array | None:
    """Return the columns in use, and the steepest others; None where there is little room for these."""
    k, width = problem.shape
    size = np.zeros(k * width)
    size[problem.free] = np.abs(least_slope(w, here.grad, l1))
    size[problem.free[w != 0]] = np.inf
    steep = size.reshape(k, width)[:, :-1].max(axis=0)
    room, wanted = MOST_ACTIVE // k, np.count_nonzero(steep)
    if wanted > room and np.isinf(steep).sum() > room / 2:
        return None
    return np.sort(np.argsort(-steep, kind="stable")[: min(room, wanted)])

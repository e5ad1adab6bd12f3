"""Accelerated proximal gradient with restart, for many coefficients and an l1 norm."""

from __future__ import annotations

import numpy as np

from daskml_kit.numerics.penalties import shrink
from daskml_kit.solvers.newton import DOUBLE, Standstill, settled, steepest
from daskml_kit.solvers.types import Oracle, Result, Solver
from daskml_kit.typing import Array


def fista(
    oracle: Oracle,
    w: Array,
    *,
    l1: Array,
    tol: float,
    max_iter: int,
    scale: Array | None = None,
    digits: float = DOUBLE,
) -> Solver:
    """Minimize a smooth convex objective plus ``sum(l1 * abs(w))`` (Beck & Teboulle 2009).

    The step is found by backtracking, in the metric ``scale`` (the Hessian's diagonal, roughly); momentum restarts
    when it points uphill (O'Donoghue & Candes 2015). It ends at a `Standstill`, too. Other parameters are
    those of `newton`.
    """
    metric = np.ones_like(w) if scale is None else scale
    hessian, momentum, point = 1.0, 1.0, w
    last, still = w, Standstill(digits)
    for n_iter in range(max_iter):
        here = yield from oracle(point, 1)
        while True:
            trial = shrink(point - here.grad / (hessian * metric), l1 / (hessian * metric))
            apart = trial - point
            there = yield from oracle(trial, 1)
            model = here.value + here.grad @ apart + 0.5 * hessian * (metric * apart) @ apart
            if there.value <= model + 10 * digits * abs(here.value):
                break
            hessian *= 2
        gain = float(0.5 * hessian * (metric * apart) @ apart)
        ended = still.reached(there.value + float(l1 @ np.abs(trial)), steepest(there, trial, l1))
        if ended or settled(there, trial, l1, gain, tol):
            return Result(trial, n_iter + 1, True, there)
        if (point - trial) @ (metric * (trial - last)) > 0:
            momentum, point = 1.0, trial
        else:
            following = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
            point = trial + (momentum - 1) / following * (trial - last)
            momentum = following
        last = trial
        hessian *= 0.9
    here = yield from oracle(last, 1)
    return Result(last, max_iter, False, here)

"""Newton's method that keeps a Hessian, with BFGS updates, as long as steps in it converge fast."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np

from daskml_kit.numerics.arrow import Arrow
from daskml_kit.numerics.linalg import Factored
from daskml_kit.solvers.lbfgs import Inverse, inverse_times
from daskml_kit.solvers.newton import DOUBLE, backtrack, newton, settled, stalled, stuck
from daskml_kit.solvers.types import Oracle, Pairs, Result, Solver
from daskml_kit.typing import Array

SLOW = 0.3
"""Share of the last step's predicted gain from which on a Hessian, worth five gradients, is asked for again."""
SLOWER = 0.4
"""The same of a Hessian that was given: it serves several fits, which take the factors of a new one each by itself."""
MEMORY = 10
"""Pairs of steps and gradient changes that are kept."""
STRICTER = 0.1
"""Factor of the decrement that counts as converged: the Hessian is that of another point."""

STRICTEST = 1e-3
"""The same of a Hessian that was given: fits that start near the end know no gradient that is large."""


def kept_newton(
    oracle: Oracle,
    w: Array,
    *,
    tol: float,
    max_iter: int,
    hess: Any = None,
    known: Pairs = (),
    digits: float = DOUBLE,
) -> Solver:
    """Minimize a smooth objective by steps in the Hessian of an earlier point, which BFGS updates correct.

    Where a Hessian costs several gradients, one near the end serves for all steps from there (Shamanskii 1967). It is
    asked for at the start, unless ``hess``, that of a point near by, is given, with the pairs that are ``known`` to
    correct it, and again where the predicted gains fall by less than `SLOW`. Other parameters are those of
    `daskml_kit.solvers.newton.newton`, which takes over where a Hessian is singular.
    """
    pairs: deque[tuple[Array, Array]] = deque(known, maxlen=MEMORY)
    no_l1, before = np.zeros_like(w), np.inf
    asked = hess is None
    here = yield from oracle(w, 2 if asked else 1)
    hess = here.hess if asked else hess
    inverse, slow = inverse_of(hess), SLOW if asked else SLOWER
    for n_iter in range(max_iter + 1):
        if inverse is None:
            rest = yield from newton(oracle, w, tol=tol, max_iter=max_iter - n_iter, digits=digits)
            return rest._replace(n_iter=rest.n_iter + n_iter)
        step = -inverse_times(here.grad, pairs, inverse, rescaled=False)
        gain = -0.5 * float(here.grad @ step)
        if settled(here, w, no_l1, gain / (STRICTER if asked else STRICTEST), tol):
            return Result(w, n_iter, True, here._replace(hess=hess), tuple(pairs))
        following = gain * min(gain / before, 1.0) if before < np.inf else np.inf
        if not asked and n_iter < max_iter and settled(here, w, no_l1, following / STRICTEST, tol):
            # gains fall so fast that nothing is left behind the next step, which need not be tested then
            return Result(w + step, n_iter + 1, True, here._replace(hess=hess), tuple(pairs))
        if n_iter == max_iter:
            break
        order, before = 2 if gain > slow * before else 1, gain
        moved = yield from backtrack(oracle, w, here, step, no_l1, order, digits)
        if moved is None or stuck((w, here), moved, no_l1, gain, digits):
            return Result(w, n_iter, stalled(here, gain, digits), here._replace(hess=hess), tuple(pairs))
        if order == 2:
            hess = moved[1].hess
            inverse = inverse_of(hess)
            pairs.clear()
        elif (moved[0] - w) @ (moved[1].grad - here.grad) > 0:
            pairs.append((moved[0] - w, moved[1].grad - here.grad))
        w, here = moved
    return Result(w, max_iter, False, here._replace(hess=hess), tuple(pairs))


def inverse_of(hess: Any) -> Inverse | None:
    """Return the inverse of a Hessian, to be multiplied by vectors; None where it is singular to rounding."""
    return hess.inverse() if isinstance(hess, Arrow) else Factored.of(hess)

"""Limited-memory BFGS with a strong Wolfe line search (Nocedal & Wright 2006, algorithms 7.4, 3.5 and 3.6)."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from itertools import count
from typing import Any, TypeAlias

import numpy as np

from daskml_kit.numerics.arrow import ArrowInverse
from daskml_kit.numerics.linalg import Factored
from daskml_kit.reductions.loss import Eval
from daskml_kit.reductions.reduction import Reduction
from daskml_kit.solvers.newton import DECREMENT, DOUBLE, Standstill
from daskml_kit.solvers.types import Oracle, Result, Solver
from daskml_kit.typing import Array

C1, C2 = 1e-4, 0.9
Inverse: TypeAlias = Array | ArrowInverse | Factored


def lbfgs(
    oracle: Oracle,
    w: Array,
    *,
    tol: float,
    max_iter: int,
    inverse: Inverse | None = None,
    memory: int = 10,
    digits: float = DOUBLE,
) -> Solver:
    """Minimize a smooth objective from ``w``, one gradient a pass.

    Parameters
    ----------
    oracle : Oracle
    w : array of shape (p,)
    tol : float
        It ends when no gradient is above ``tol`` and the last step gained less than ``DECREMENT * tol`` of the
        objective, and at a `Standstill`.
    max_iter : int
        It has converged there where no gradient is above ``tol``, as for scikit-learn.
    inverse : array of shape (p,) or (p, p), or ArrowInverse, optional
        The inverse of the Hessian, roughly, or of its diagonal: it preconditions the first metric.
    memory : int
        Pairs of steps and gradient changes that are kept.
    digits : float
        The share of the objective that rounding changes.
    """
    pairs: deque[tuple[Array, Array]] = deque(maxlen=memory)
    here = yield from oracle(w, 1)
    gained, still = np.inf, Standstill(digits)
    for n_iter in count():
        steep = float(np.abs(here.grad).max(initial=0))
        flat = steep <= tol
        ended = still.reached(here.value, steep)
        settled = gained <= DECREMENT * tol * max(abs(here.value), 1e-300) or not here.grad.any()
        if n_iter == max_iter or ended or (flat and settled):
            break
        step = -inverse_times(here.grad, pairs, inverse)
        if here.grad @ step >= 0:
            pairs.clear()
            step = -_times(inverse, here.grad)
        first = 1.0 if pairs or inverse is not None else min(1.0, 1.0 / max(float(np.abs(here.grad).sum()), 1e-300))
        found = yield from strong_wolfe(oracle, w, here, step, first, digits)
        if found is None:
            break
        trial, there = found
        if (trial - w) @ (there.grad - here.grad) > 0:
            pairs.append((trial - w, there.grad - here.grad))
        gained = here.value - there.value
        w, here = trial, there
    return Result(w, n_iter, flat or ended, here)


def _times(inverse: Inverse | None, vector: Array) -> Array:
    if inverse is None:
        return vector.copy()
    return inverse * vector if isinstance(inverse, np.ndarray) and inverse.ndim == 1 else np.asarray(inverse @ vector)


def inverse_times(
    grad: Array, pairs: deque[tuple[Array, Array]], inverse: Inverse | None, *, rescaled: bool = True
) -> Array:
    """Return the inverse metric times ``grad`` by the two-loop recursion.

    ``rescaled``, the metric before all updates is scaled to the last pair, as one that tells shapes only has to be.
    """
    q = grad.copy()
    coefficients = []
    for s, y in reversed(pairs):
        a = (s @ q) / (s @ y)
        q -= a * y
        coefficients.append(a)
    q = _times(inverse, q)
    if pairs and rescaled:
        s, y = pairs[-1]
        q *= (s @ y) / (y @ _times(inverse, y))
    for (s, y), a in zip(pairs, reversed(coefficients), strict=True):
        q += (a - (y @ q) / (s @ y)) * s
    return q


def strong_wolfe(
    oracle: Oracle, w: Array, here: Eval, step: Array, length: float, digits: float
) -> Generator[Reduction, Any, tuple[Array, Eval] | None]:
    """Return a point along ``step`` that meets the strong Wolfe conditions; None if 30 reductions find none."""
    gradient = float(here.grad @ step)
    noise = digits * abs(here.value)
    low, low_eval, high = 0.0, here, np.inf
    best: tuple[Array, Eval] | None = None
    for _ in range(30):
        trial = w + length * step
        there = yield from oracle(trial, 1)
        value = there.value if np.isfinite(there.grad).all() else np.inf
        if not value <= here.value + C1 * length * gradient + noise or (low > 0 and value > low_eval.value + noise):
            high = length
        else:
            best = (trial, there)
            turn = float(there.grad @ step)
            if abs(turn) <= -C2 * gradient:
                return best
            if turn > 0:
                high = length
            else:
                low, low_eval = length, there
        length = (
            2 * length if np.isinf(high) else _between(low, low_eval, high, value, float(low_eval.grad @ step), length)
        )
    return best


def _between(low: float, low_eval: Eval, high: float, value: float, gradient: float, tried: float) -> float:
    """Return a length inside the bracket: the minimum of a parabola where it is safe, else the middle."""
    width = high - low
    if tried == high and np.isfinite(value):
        bend = value - low_eval.value - gradient * width
        if bend > 0:
            return low + width * min(max(-gradient * width / (2 * bend), 0.1), 0.9)
    return low + 0.5 * width

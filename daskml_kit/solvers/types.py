"""What solvers take and give."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, NamedTuple, TypeAlias

from daskml_kit.reductions.loss import Eval
from daskml_kit.reductions.reduction import Reduction
from daskml_kit.typing import Array


class Result(NamedTuple):
    """Where a solver ended: the coefficients, its iterations, whether it converged, and what it knew there."""

    w: Array
    n_iter: int
    converged: bool
    last: Eval


Asking: TypeAlias = Generator[Reduction, Any, Eval]
Oracle: TypeAlias = Callable[[Array, int], Asking]
"""``oracle(w, order)`` asks for value, gradient and (order 2) Hessian at ``w`` of shape (p,)."""

Solver: TypeAlias = Generator[Reduction, Any, Result]

"""Types of fits and solvers: generators that yield reductions and receive their results."""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from daskml_kit.numerics.missing import NO_GAPS, Gaps
from daskml_kit.reductions.loss import Eval
from daskml_kit.reductions.reduction import Reduction
from daskml_kit.typing import Array, Labels

Pairs: TypeAlias = Sequence[tuple[Array, Array]]
"""Steps, and the changes of the gradient along these, the last one last."""


class Result(NamedTuple):
    """End of a solver: the coefficients, its iterations, whether it converged, and what it knew there.

    ``pairs`` correct the Hessian that it knew, if it is that of another point.
    """

    w: Array
    n_iter: int
    converged: bool
    last: Eval
    pairs: Pairs = ()


Asking: TypeAlias = Generator[Reduction, Any, Eval]
Oracle: TypeAlias = Callable[..., Asking]
"""``oracle(w, order)`` asks for value, gradient and (order 2) Hessian at ``w`` of shape (p,).

``oracle(w, 1, v)`` asks for v'Hv and Hv in place of value and gradient, where H is the Hessian at ``w``.
"""

Solver: TypeAlias = Generator[Reduction, Any, Result]

Fit: TypeAlias = Generator[Any, Any, Any]
"""Yields a reduction and receives its result, or a tuple of reductions and receives a tuple; may yield an `Encode`.

It returns the fitted attributes by name. It never sees a row.
"""


@dataclass(frozen=True)
class Encode:
    """Request of a fit that the targets become their positions among sorted ``labels``, where they lie."""

    labels: Labels


class Subset(NamedTuple):
    """Rows whose id, in column ``column`` of the blocks' folds, is one of ``ids``, of ``n_ids`` in all."""

    column: int
    ids: tuple[int, ...]
    n_ids: int


@dataclass(frozen=True, eq=False)
class DataSpec:
    """Shape and types of the data of a fit, as far as they are known before a pass.

    Parameters
    ----------
    n_features : int
    n_outputs : int, optional
        Columns of a target of two dimensions; None for a vector.
    dtype : numpy dtype
        Type that fitted coefficients have, float32 only where all of X has it.
    n_blocks : int
    numeric : bool
        Whether rows are numbers already; else they are frames or arrays of any type.
    example : DataFrame or array, optional
        Rows with the columns and types of X; where there is none, a fit that needs some asks for them.
    labels : array, optional
        Where given, targets are positions among these.
    gaps : Gaps
        Columns with missing values, where an imputer's fit shares passes with others.
    start : dict, optional
        Solutions of like problems on other rows, by the name of the problem: a fit may start there, and leaves its own.
    shared : dict
        Values that several fits on the same rows have in common, by any key.
    streams : bool
        Whether each pass computes or reads the rows anew.
    """

    n_features: int
    n_outputs: int | None = None
    dtype: Any = np.float64
    n_blocks: int = 1
    numeric: bool = True
    example: Any = None
    labels: Labels | None = None
    gaps: Gaps = NO_GAPS
    start: dict[Hashable, Any] | None = None
    shared: dict[Hashable, Any] = field(default_factory=dict)
    streams: bool = False


class LikeFits(dict[Hashable, Any]):
    """Solutions of the last fit on the same rows, by the name of the problem; at first, and after some, there are none.

    A first fit makes use of all that one by itself does.
    """


_ends: ContextVar[dict[Hashable, LikeFits] | None] = ContextVar("ends of like fits", default=None)


@contextmanager
def starting_where_last_ended(ends: dict[Hashable, LikeFits]) -> Iterator[None]:
    """Let fits inside start where the last one of its kind has ended; ``ends`` keeps these, by the kind.

    Those inside have to be on the same rows, and alike but for parameters of the model itself.
    """
    token = _ends.set(ends)
    try:
        yield
    finally:
        _ends.reset(token)


def start_of(kind: Hashable) -> LikeFits | None:
    """Return the solutions of the last fit of a kind; None where fits start by themselves."""
    ends = _ends.get()
    return None if ends is None else ends.setdefault(kind, LikeFits())

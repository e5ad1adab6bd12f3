"""Successive halving: train all models a little, the best of them longer, and so on."""

from __future__ import annotations

import itertools
import math
from collections.abc import Hashable, Sequence
from typing import NamedTuple

from daskml_kit.model_selection.adaptive.policies.orders import Order, Rounds, best_first


class Rung(NamedTuple):
    """So many models are trained until each has had so many calls."""

    n_models: int
    calls: int


def rungs(
    n_models: int, n_calls: int, aggressiveness: float, max_iter: int | None = None, most: int | None = None
) -> list[Rung]:
    """Return the rungs of successive halving (Jamieson and Talwalkar, 2016).

    On each, a share of ``1 / aggressiveness`` of the models is left, and has ``aggressiveness`` times the calls. The
    last is that with one model, or with ``max_iter`` calls.

    Parameters
    ----------
    n_models, n_calls : int
        Models and calls of the first rung.
    aggressiveness : float above 1
    max_iter : int, optional
        No model is given more calls.
    most : int, optional
        No more rungs than these.

    Examples
    --------
    >>> rungs(10, 2, 3)
    [Rung(n_models=10, calls=2), Rung(n_models=3, calls=6), Rung(n_models=1, calls=18)]
    """
    found: list[Rung] = []
    for step in itertools.count() if most is None else range(most):
        left = math.floor(n_models / aggressiveness**step)
        if left < 1:
            break
        calls = round(n_calls * aggressiveness**step)
        found.append(Rung(left, calls if max_iter is None else min(calls, max_iter)))
        if left == 1 or found[-1].calls == max_iter:
            break
    return found


def calls_on(ladder: Sequence[Rung]) -> int:
    """Return the calls of all models together.

    Examples
    --------
    >>> calls_on([Rung(10, 2), Rung(3, 6)])
    32
    """
    before = [0, *(rung.calls for rung in ladder)]
    return sum(rung.n_models * (rung.calls - done) for rung, done in zip(ladder, before, strict=False))


def halve(models: Sequence[Hashable], ladder: Sequence[Rung]) -> Rounds:
    """Train as many of the models as there are on each rung, the best of the rung before."""
    kept = list(models)
    for rung in ladder:
        kept = kept[: rung.n_models]
        histories = yield [Order(model, rung.calls) for model in kept]
        kept = best_first(kept, histories)

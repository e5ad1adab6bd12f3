"""Models are given up in the inverse of the time."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from daskml_kit.model_selection.adaptive.policies.orders import Order, Rounds, best_first


def decay(models: Sequence[Hashable], rate: float, max_iter: int, longest: int | None = None) -> Rounds:
    """After ``k`` calls keep a share of ``1 / (1 + k) ** rate`` of the models, until one is left.

    Parameters
    ----------
    models : sequence
    rate : float
        With 0 all models are kept.
    max_iter : int
        Calls of each model at the most.
    longest : int, optional
        Calls from one score to the next at the most; by default models are scored where some are given up.
    """
    kept, calls = list(models), 1
    while True:
        histories = yield [Order(model, calls) for model in kept]
        if calls >= max_iter:
            return
        following = next_cut(len(models), calls, rate, max_iter if longest is None else longest)
        kept = best_first(kept, histories)[: n_left(len(models), following, rate)]
        if len(kept) == 1 and len(models) > 1:
            return
        calls = min(following - 1, max_iter)


def n_left(n_models: int, time: int, rate: float) -> int:
    """Return how many models are left at a time.

    Examples
    --------
    >>> [n_left(10, time, 1.0) for time in (1, 2, 3, 9, 20)]
    [5, 3, 2, 1, 1]
    """
    return max(1, int(n_models / (1 + time) ** rate))


def next_cut(n_models: int, calls: int, rate: float, longest: int) -> int:
    """Return the next time at which fewer models are left than after ``calls``, or ``longest`` later.

    Examples
    --------
    >>> next_cut(10, 1, 1.0, 100)
    3
    """
    now = calls + 1
    following = now + 1
    while n_left(n_models, following, rate) == n_left(n_models, now, rate) and following - now < longest:
        following += 1
    return following

"""Asynchronous successive halving: a model is promoted as soon as it is among the best of those seen."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Sequence

from daskml_kit.model_selection.adaptive.policies.orders import Order, Policy, Record, best_first


def levels(n_calls: int, aggressiveness: float, max_iter: int) -> list[int]:
    """Return the calls of each rung.

    Examples
    --------
    >>> levels(1, 3, 30)
    [1, 3, 9, 27]
    """
    found = [n_calls]
    while (calls := round(n_calls * aggressiveness ** len(found))) <= max_iter:
        found.append(calls)
    return found


def promote(models: Sequence[Hashable], calls: Sequence[int], aggressiveness: float, slots: int) -> Policy:
    """Keep ``slots`` models in training, and never wait for a rung (Li et al., MLSys 2020, algorithm 2).

    A free place goes to a model that is among the best share of ``1 / aggressiveness`` of its rung, from the highest
    rung on, or else to a model that was not trained yet. Which models are promoted depends on which finish first.

    Parameters
    ----------
    models : sequence
    calls : sequence of int
        Of each rung, from the lowest.
    aggressiveness : float above 1
    slots : int
    """
    fresh = deque(models)
    seen: list[dict[Hashable, list[Record]]] = [{} for _ in calls]
    promoted: list[set[Hashable]] = [set() for _ in calls]
    running = 0
    while True:
        orders: list[Order] = []
        while running < slots and (order := _next_order(fresh, seen, promoted, calls, aggressiveness)):
            orders.append(order)
            running += 1
        if not running:
            return
        record = yield orders
        running -= 1
        seen[calls.index(record["partial_fit_calls"])][record["model_id"]] = [record]


def _next_order(
    fresh: deque[Hashable],
    seen: Sequence[dict[Hashable, list[Record]]],
    promoted: Sequence[set[Hashable]],
    calls: Sequence[int],
    aggressiveness: float,
) -> Order | None:
    for rung in range(len(calls) - 2, -1, -1):
        best = best_first(seen[rung], seen[rung])[: int(len(seen[rung]) / aggressiveness)]
        for model in best:
            if model not in promoted[rung]:
                promoted[rung].add(model)
                return Order(model, calls[rung + 1])
    return Order(fresh.popleft(), calls[0]) if fresh else None

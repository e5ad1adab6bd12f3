"""Advance models by so many calls, wherever that is done, as a policy says."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol, Self

from daskml_kit.model_selection.adaptive.policies.orders import Policy, Record, tell
from daskml_kit.model_selection.adaptive.visits import Score


class Bench(Protocol):
    """Where models are trained: threads of this process, or the workers of a cluster."""

    slots: int
    """How many models can be in training without waiting for each other."""

    def start(self, model: Any, calls: int) -> None:
        """Begin to train a model until it has had ``calls`` in all."""

    def finished(self) -> Score:
        """Wait for the next model that is trained and scored, or has failed; raise where that ends the search."""

    def trained(self, model: Any) -> Any:
        """Return a model as it was when it was scored last."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *details: object) -> None: ...


def carry_out(policy: Policy, bench: Bench, note: Callable[[Score], Record]) -> None:
    """Train models as ``policy`` says, until it ends.

    Of a model that has failed the policy hears that its score is not a number, whatever is noted, and so again without
    any training where it orders more.

    Parameters
    ----------
    policy : Policy
    bench : Bench
    note : callable
        Is given each score as it comes, and returns what the policy is told.
    """
    orders = deque(next(policy, []))
    running: dict[Any, int] = {}
    failed: set[Any] = set()
    while orders or running:
        if not orders:
            score = bench.finished()
            goal, record = running.pop(score.model), note(score)
            if score.error is not None:
                failed.add(score.model)
                record = _failure(score.model, goal)
            orders.extend(tell(policy, record))
            continue
        order = orders.popleft()
        if order.model in failed:
            orders.extend(tell(policy, _failure(*order)))
        else:
            bench.start(order.model, order.calls)
            running[order.model] = order.calls


def _failure(model: Any, calls: int) -> Record:
    return {"model_id": model, "partial_fit_calls": calls, "score": math.nan}

"""Advance models by so many calls, wherever that is done, as a policy says."""

from __future__ import annotations

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
        """Wait for the next model that is trained and scored; raise what its training raised."""

    def trained(self, model: Any) -> Any:
        """Return a model as it was when it was scored last."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *details: object) -> None: ...


def carry_out(policy: Policy, bench: Bench, note: Callable[[Score], Record]) -> None:
    """Train models as ``policy`` says, until it ends.

    Parameters
    ----------
    policy : Policy
    bench : Bench
    note : callable
        Is given each score as it comes, and returns what the policy is told.
    """
    orders = next(policy, [])
    running = 0
    while True:
        for order in orders:
            bench.start(order.model, order.calls)
        running += len(orders)
        if not running:
            return
        score = bench.finished()
        running -= 1
        orders = tell(policy, note(score))

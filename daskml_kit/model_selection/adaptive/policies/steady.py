"""Every model is trained to the end, each at its own pace."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence

from daskml_kit.model_selection.adaptive.policies.orders import Order, Policy, Record
from daskml_kit.model_selection.adaptive.policies.patience import plateaued


def steadily(models: Sequence[Hashable], step: int, max_iter: int, patience: int, tol: float | None) -> Policy:
    """Train each model for ``step`` calls between scores, until it has had ``max_iter`` or has plateaued.

    No model waits for another.
    """
    histories: dict[Hashable, list[Record]] = defaultdict(list)
    orders = [Order(model, min(step, max_iter)) for model in models]
    running = len(orders)
    while running:
        record = yield orders
        model, calls = record["model_id"], record["partial_fit_calls"]
        histories[model].append(record)
        done = calls >= max_iter or plateaued(histories[model], patience, tol)
        orders = [] if done else [Order(model, min(calls + step, max_iter))]
        running -= done

"""What a policy says and hears: orders to train models, and records of those that were trained."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Generator, Hashable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

Record: TypeAlias = dict[str, Any]
"""One score of a model: ``model_id``, ``partial_fit_calls``, ``score`` and more, as in ``history_``."""
Histories: TypeAlias = Mapping[Hashable, Sequence[Record]]


class Order(NamedTuple):
    """Train a model until it has had so many calls of ``partial_fit`` in all, then score it."""

    model: Hashable
    calls: int


Policy: TypeAlias = Generator[list[Order], Record, None]
"""Yields orders to add to those that run, and is sent each record as it comes; ends when none runs."""
Rounds: TypeAlias = Generator[list[Order], Histories, None]
"""Yields orders, and is sent the histories of all models when all of them are carried out."""


def in_rounds(rounds: Rounds) -> Policy:
    """Return the policy that waits for all orders of a round before it asks for the next.

    Examples
    --------
    >>> def two_rounds():
    ...     histories = yield [Order("a", 1), Order("b", 1)]
    ...     yield [Order(best_first("ab", histories)[0], 2)]
    >>> policy = in_rounds(two_rounds())
    >>> next(policy)
    [Order(model='a', calls=1), Order(model='b', calls=1)]
    >>> tell(policy, {"model_id": "b", "partial_fit_calls": 1, "score": 0.9})
    []
    >>> tell(policy, {"model_id": "a", "partial_fit_calls": 1, "score": 0.3})
    [Order(model='b', calls=2)]
    """
    histories: dict[Hashable, list[Record]] = defaultdict(list)
    orders = next(rounds, [])
    while orders:
        new = orders
        for _ in orders:
            record = yield new
            new = []
            histories[record["model_id"]].append(record)
        try:
            orders = rounds.send(histories)
        except StopIteration:
            return


def tell(policy: Policy, record: Record) -> list[Order]:
    """Return the orders with which ``policy`` answers a record; none where it has ended."""
    try:
        return policy.send(record)
    except StopIteration:
        return []


def best_first(models: Iterable[Hashable], histories: Histories) -> list[Any]:
    """Return the models by their last scores, the highest first, those with equal ones as they come."""
    return sorted(models, key=lambda model: -comparable(histories[model][-1]["score"]))


def comparable(score: float) -> float:
    """Return the score, the lowest possible where it is not a number."""
    return -math.inf if math.isnan(score) else score

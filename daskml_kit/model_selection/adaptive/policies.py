"""What a policy says and hears: orders to train models, and records of those that were trained."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict, deque
from collections.abc import Callable, Generator, Hashable, Iterable, Mapping, Sequence
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


class Bracket(NamedTuple):
    """One successive halving: bracket 0 gives no model up, those of higher numbers do so sooner."""

    number: int
    ladder: list[Rung]

    @property
    def n_models(self) -> int:
        return self.ladder[0].n_models

    @property
    def n_calls(self) -> int:
        return self.ladder[0].calls


def brackets(max_iter: int, aggressiveness: int) -> list[Bracket]:
    """Return the brackets of Hyperband by their numbers (Li et al., JMLR 18, 2018, algorithm 1).

    Parameters
    ----------
    max_iter : int
        R of the paper.
    aggressiveness : int of at least 2
        Eta of the paper.

    Examples
    --------
    >>> for bracket in brackets(9, 3):
    ...     print(bracket.number, [tuple(rung) for rung in bracket.ladder])
    0 [(3, 9)]
    1 [(5, 3), (1, 9)]
    2 [(9, 1), (3, 3), (1, 9)]
    """
    n_brackets = 1
    while aggressiveness**n_brackets <= max_iter:
        n_brackets += 1
    found = []
    for number in range(n_brackets):
        share = aggressiveness**number
        n_models = -(-n_brackets * share // (number + 1))
        found.append(Bracket(number, rungs(n_models, max_iter // share, aggressiveness, max_iter, number + 1)))
    return found


def interleave(policies: Mapping[Any, Policy], policy_of: Callable[[Any], Hashable]) -> Policy:
    """Return the policy that carries out several at the same time.

    Parameters
    ----------
    policies : mapping
        Each over models of its own.
    policy_of : callable
        Says to which policy a model belongs.
    """
    orders = [order for policy in policies.values() for order in next(policy, [])]
    running = len(orders)
    while running:
        record = yield orders
        orders = tell(policies[policy_of(record["model_id"])], record)
        running += len(orders) - 1


def plateaued(history: Sequence[Record], patience: int, tol: float | None) -> bool:
    """Whether no score of the last ``patience`` calls is above the first of them by more than ``tol``.

    Examples
    --------
    >>> history = [{"partial_fit_calls": 2, "score": 0.8}, {"partial_fit_calls": 4, "score": 0.8}]
    >>> plateaued(history, 2, 0.001), plateaued(history, 5, 0.001)
    (True, False)
    """
    calls = calls_of(history)
    if tol is None or not patience or calls < patience:
        return False
    first, *later = [comparable(r["score"]) for r in history if calls - r["partial_fit_calls"] <= patience]
    return bool(later) and not max(later) > first + tol


def patiently(rounds: Rounds, patience: int, tol: float | None) -> Rounds:
    """Return the rounds with a score after each ``patience`` calls; a model that has plateaued gets no more calls.

    It stays among those that the rounds compare, with its last score.
    """
    orders = next(rounds, [])
    histories: Histories = {}
    while orders:
        goals: dict[Hashable, int] = dict(orders)
        while due := _due(goals, histories, patience, tol):
            histories = yield due
        try:
            orders = rounds.send(histories)
        except StopIteration:
            return


def calls_of(history: Sequence[Record]) -> int:
    """Return how many calls the model has had when it was scored last."""
    return int(history[-1]["partial_fit_calls"]) if history else 0


def _due(goals: dict[Hashable, int], histories: Histories, patience: int, tol: float | None) -> list[Order]:
    due = []
    for model, goal in goals.items():
        history = histories.get(model, ())
        if calls_of(history) < goal and not plateaued(history, patience, tol):
            due.append(Order(model, min(goal, calls_of(history) + patience)))
    return due


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

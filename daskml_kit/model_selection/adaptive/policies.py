"""Policies of adaptive searches: how long each model is trained, decided by the scores of all so far."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict, deque
from collections.abc import Callable, Generator, Hashable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

Record: TypeAlias = dict[str, Any]
"""One score of a model: ``model_id``, ``partial_fit_calls``, ``score`` and more, as in ``history_``."""
Histories: TypeAlias = Mapping[Hashable, Sequence[Record]]


class Budget(NamedTuple):
    """Budget of a model: it is trained until it has had so many calls of ``partial_fit`` in all, then scored."""

    model: Hashable
    calls: int


Policy: TypeAlias = Generator[list[Budget], Record, None]
"""Generator of budgets to add to those that run, which is sent each record as it comes; it ends when none runs."""
Rounds: TypeAlias = Generator[list[Budget], Histories, None]
"""Generator of budgets, which is sent the histories of all models when all of them are used up."""


def in_rounds(rounds: Rounds) -> Policy:
    """Return the policy that waits for all budgets of a round before it asks for the next.

    Examples
    --------
    >>> def two_rounds():
    ...     histories = yield [Budget("a", 1), Budget("b", 1)]
    ...     yield [Budget(best_first("ab", histories)[0], 2)]
    >>> policy = in_rounds(two_rounds())
    >>> next(policy)
    [Budget(model='a', calls=1), Budget(model='b', calls=1)]
    >>> tell(policy, {"model_id": "b", "partial_fit_calls": 1, "score": 0.9})
    []
    >>> tell(policy, {"model_id": "a", "partial_fit_calls": 1, "score": 0.3})
    [Budget(model='b', calls=2)]
    """
    histories: dict[Hashable, list[Record]] = defaultdict(list)
    budgets = next(rounds, [])
    while budgets:
        new = budgets
        for _ in budgets:
            record = yield new
            new = []
            histories[record["model_id"]].append(record)
        budgets = tell(rounds, histories)


def tell(policy: Policy | Rounds, news: Any) -> list[Budget]:
    """Return the budgets with which a policy answers a record, or rounds answer histories; none where it has ended."""
    try:
        return policy.send(news)
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
    """Policy of asynchronous successive halving (ASHA; Li et al., MLSys 2020, algorithm 2).

    ``slots`` models are in training, and none waits for its rung to be full. A free slot goes to a model that is among
    the best share of ``1 / aggressiveness`` of its rung, from the highest rung on, or else to a model that was not
    trained yet. Which models are promoted depends on which finish first.

    Parameters
    ----------
    models : sequence
    calls : sequence of int
        Of each rung, from the lowest.
    aggressiveness : float above 1
    slots : int
    """
    untrained = deque(models)
    scored: list[dict[Hashable, list[Record]]] = [{} for _ in calls]
    promoted: list[set[Hashable]] = [set() for _ in calls]

    def next_budget() -> Budget | None:
        for rung in range(len(calls) - 2, -1, -1):
            best = best_first(scored[rung], scored[rung])[: int(len(scored[rung]) / aggressiveness)]
            for model in best:
                if model not in promoted[rung]:
                    promoted[rung].add(model)
                    return Budget(model, calls[rung + 1])
        return Budget(untrained.popleft(), calls[0]) if untrained else None

    running = 0
    while True:
        budgets: list[Budget] = []
        while running < slots and (budget := next_budget()):
            budgets.append(budget)
            running += 1
        if not running:
            return
        record = yield budgets
        running -= 1
        scored[calls.index(record["partial_fit_calls"])][record["model_id"]] = [record]


def inverse_decay(models: Sequence[Hashable], rate: float, max_iter: int, longest: int | None = None) -> Rounds:
    """Policy of inverse decay: after ``k`` calls a share of ``1 / (1 + k) ** rate`` of the models goes on, until one.

    Parameters
    ----------
    models : sequence
    rate : float
        With 0 all models are kept.
    max_iter : int
        Calls of each model at the most.
    longest : int, optional
        Calls from one score to the next at the most; by default models are scored where some are stopped.
    """
    kept, calls = list(models), 1
    while True:
        histories = yield [Budget(model, calls) for model in kept]
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
    """Rung of a successive halving: so many models are trained until each has had so many calls."""

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


def successive_halving(models: Sequence[Hashable], ladder: Sequence[Rung]) -> Rounds:
    """Policy of successive halving: on each rung train as many models as it has, the best of the rung before."""
    kept = list(models)
    for rung in ladder:
        kept = kept[: rung.n_models]
        histories = yield [Budget(model, rung.calls) for model in kept]
        kept = best_first(kept, histories)


class Bracket(NamedTuple):
    """Bracket of Hyperband, a successive halving: number 0 stops no model early, higher numbers do so sooner."""

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
    """Return the policy that runs several at the same time.

    Parameters
    ----------
    policies : mapping
        Each over models of its own.
    policy_of : callable
        Returns the key of the policy that a model belongs to.
    """
    budgets = [budget for policy in policies.values() for budget in next(policy, [])]
    running = len(budgets)
    while running:
        record = yield budgets
        budgets = tell(policies[policy_of(record["model_id"])], record)
        running += len(budgets) - 1


def plateaued(history: Sequence[Record], patience: int, tol: float | None) -> bool:
    """Return whether no score of the last ``patience`` calls is above the first of them by more than ``tol``.

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


def with_patience(rounds: Rounds, patience: int, tol: float | None) -> Rounds:
    """Rounds with early stopping: a score after each ``patience`` calls, and no more calls for models on a plateau.

    It stays among those that the rounds compare, with its last score.
    """
    budgets = next(rounds, [])
    histories: Histories = {}
    while budgets:
        targets: dict[Hashable, int] = dict(budgets)
        while due := _due(targets, histories, patience, tol):
            histories = yield due
        budgets = tell(rounds, histories)


def calls_of(history: Sequence[Record]) -> int:
    """Return how many calls the model has had when it was scored last."""
    return int(history[-1]["partial_fit_calls"]) if history else 0


def _due(targets: dict[Hashable, int], histories: Histories, patience: int, tol: float | None) -> list[Budget]:
    due = []
    for model, target in targets.items():
        history = histories.get(model, ())
        if calls_of(history) < target and not plateaued(history, patience, tol):
            due.append(Budget(model, min(target, calls_of(history) + patience)))
    return due


def train_to_plateau(models: Sequence[Hashable], step: int, max_iter: int, patience: int, tol: float | None) -> Policy:
    """Policy that trains each model, ``step`` calls between scores, until ``max_iter`` calls or a plateau.

    No model waits for another.
    """
    histories: dict[Hashable, list[Record]] = defaultdict(list)
    budgets = [Budget(model, min(step, max_iter)) for model in models]
    running = len(budgets)
    while running:
        record = yield budgets
        model, calls = record["model_id"], record["partial_fit_calls"]
        histories[model].append(record)
        done = calls >= max_iter or plateaued(histories[model], patience, tol)
        budgets = [] if done else [Budget(model, min(calls + step, max_iter))]
        running -= done

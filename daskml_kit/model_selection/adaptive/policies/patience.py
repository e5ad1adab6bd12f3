"""Models that do not improve any more are not trained further."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from daskml_kit.model_selection.adaptive.policies.orders import Histories, Order, Record, Rounds, comparable


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

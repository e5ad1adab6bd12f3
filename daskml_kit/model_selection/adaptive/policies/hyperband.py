"""Hyperband: successive halvings that differ in how soon they give models up, side by side."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any, NamedTuple

from daskml_kit.model_selection.adaptive.policies.halving import Rung, rungs
from daskml_kit.model_selection.adaptive.policies.orders import Policy, tell


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

"""Run solvers in lock step, their reductions fused."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping
from typing import Any, TypeVar

from daskml_kit.reductions.reduction import Reduction
from daskml_kit.solvers.types import Result, Solver

Key = TypeVar("Key", bound=Hashable)


def solve(answer: Callable[[Reduction], list[Any]], solvers: Mapping[Key, Solver]) -> dict[Key, Result]:
    """Advance all ``solvers`` together until each has returned; alike reductions are asked in one pass.

    Parameters
    ----------
    answer : callable
        An engine's ``answer``.
    solvers : mapping of a key to a solver

    Returns
    -------
    dict
        The result of each solver, under its key.
    """
    results: dict[Key, Result] = {}
    reductions: dict[Key, Reduction] = {}

    def advance(key: Key, reply: Any) -> None:
        try:
            reductions[key] = solvers[key].send(reply)
        except StopIteration as stop:
            reductions.pop(key, None)
            results[key] = stop.value

    for key in solvers:
        advance(key, None)
    while reductions:
        groups: dict[Hashable, list[Key]] = defaultdict(list)
        for key, reduction in reductions.items():
            groups[reduction.fusion_key()].append(key)
        for keys in groups.values():
            first, *others = [reductions[key] for key in keys]
            for key, reply in zip(keys, answer(first.fuse(others)), strict=True):
                advance(key, reply)
    return {key: results[key] for key in solvers}

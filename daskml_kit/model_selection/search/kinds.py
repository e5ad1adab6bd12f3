"""Candidates that differ in numbers alone, of which what holds for one holds for all."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, TypeVar

Decision = TypeVar("Decision")


def decide_by_kind(
    candidates: Iterable[Mapping[str, Any]], decide: Callable[[Mapping[str, Any]], Decision]
) -> list[Decision]:
    """Return for each candidate what ``decide`` says of the first of its kind.

    Of one kind are those that set the same parameters, and among them the same words and the same estimators.

    Examples
    --------
    >>> grid = [{"C": 1.0}, {"C": 2.0}, {"C": 2.0, "penalty": "l1"}]
    >>> decide_by_kind(grid, lambda params: params["C"])
    [1.0, 1.0, 2.0]
    """
    known: dict[Hashable, tuple[Mapping[str, Any], Decision]] = {}
    found = []
    for params in candidates:
        kind = tuple((name, _identity(params[name])) for name in sorted(params))
        if kind not in known:
            known[kind] = params, decide(params)  # of parameters that are kept no other takes the id
        found.append(known[kind][1])
    return found


def _identity(value: Any) -> Hashable:
    if value is None or isinstance(value, (str, bool)):
        return value
    if hasattr(value, "get_params"):
        return id(value)
    return type(value).__module__, type(value).__qualname__

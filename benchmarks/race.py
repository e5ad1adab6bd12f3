"""Contestants timed in turn, and the table of the results."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Timed(NamedTuple):
    """The least seconds of several repetitions, and what the last one returned."""

    seconds: float
    result: Any


@dataclass(frozen=True)
class Row:
    """One line of the table: ours against a peer, in ``unit``; ``wanted`` is a bound of the ratio.

    The ratio is theirs over ours, and wanted to be at least so much; with ``at_most`` it is ours over theirs, and
    wanted to be at most so much.
    """

    work: str
    ours: float
    peer: float
    wanted: float | None = None
    at_most: bool = False
    unit: str = "s"
    notes: list[str] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        return self.ours / self.peer if self.at_most else self.peer / self.ours

    @property
    def met(self) -> bool | None:
        """Whether the ratio is as wanted; None where nothing is wanted."""
        if self.wanted is None:
            return None
        return self.ratio <= self.wanted if self.at_most else self.ratio >= self.wanted

    def as_dict(self) -> dict[str, Any]:
        names = ("work", "ours", "peer", "unit", "ratio", "wanted", "at_most", "met", "notes")
        return {name: getattr(self, name) for name in names}


def race(contestants: Mapping[str, Callable[[], Any]], repeat: int, budget: float = 30.0) -> dict[str, Timed]:
    """Run the contestants in turn ``repeat`` times, so that a busy neighbor disturbs them alike.

    One that has taken ``budget`` seconds in all is not run again.
    """
    best = {name: Timed(float("inf"), None) for name in contestants}
    spent = dict.fromkeys(contestants, 0.0)
    for _ in range(repeat):
        for name, run in contestants.items():
            if spent[name] > budget:
                continue
            started = time.perf_counter()
            result = run()
            seconds = time.perf_counter() - started
            spent[name] += seconds
            best[name] = Timed(min(seconds, best[name].seconds), result)
    return best


def fastest(timed: Mapping[str, Timed], prefix: str) -> str:
    """Return the name of the fastest contestant whose name starts with ``prefix``."""
    return min((name for name in timed if name.startswith(prefix)), key=lambda name: timed[name].seconds)


def table(rows: Iterable[Row]) -> str:
    """Return the rows as a text table, the notes of each below it."""
    lines = [f"{'work':58}{'ours':>10}{'peer':>10}{'ratio':>9}{'wanted':>10}  met"]
    for row in rows:
        bound = "" if row.wanted is None else f"{'<=' if row.at_most else '>='} {row.wanted:g}"
        met = {None: "", True: "yes", False: "NO"}[row.met]
        numbers = f"{_short(row.ours, row.unit):>10}{_short(row.peer, row.unit):>10}{row.ratio:9.3g}"
        lines.append(f"{row.work:58}{numbers}{bound:>10}  {met}".rstrip())
        lines += [f"    {note}" for note in row.notes]
    return "\n".join(lines)


def _short(value: float, unit: str) -> str:
    return f"{value:.3g} {unit}".rstrip()

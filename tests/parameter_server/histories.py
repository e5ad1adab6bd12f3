"""Histories of workers' calls of a server and the answers, checked to be linearizable."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from math import inf
from operator import gt
from typing import Any


@dataclass
class Call:
    """One call: a push adds 1 to an element of its own, so that a read tells which pushes it has seen.

    ``end`` is infinity as long as there is no answer.
    """

    worker: str
    start: float
    pushed: int | None
    end: float = inf
    seen: list[float] | None = None
    version: int = 0


@dataclass
class History:
    """Calls in the order in which they began."""

    calls: list[Call] = field(default_factory=list)

    def begin(self, worker: str, now: float, *, pushed: int | None = None, reads: bool = False) -> Callable[..., None]:
        """Write down that a call begins; what is returned writes down its answer."""
        call = Call(worker, now, pushed)
        self.calls.append(call)

        def end(clock: Callable[[], float], reply: Any) -> None:
            call.end, call.version = clock(), reply.version
            call.seen = reply.values[0].tolist() if reads else None

        return end

    def problems(self, staleness: float = inf) -> list[str]:
        """Return what no server that applies pushes one by one could have answered; none if all is well.

        A history is linearizable where what reads have seen forms a chain, each read has all pushes that were
        acknowledged before it began, none that began after it, and none without those acknowledged before that one.
        """
        reads = [call for call in self.calls if call.seen is not None]
        pushes = [call for call in self.calls if call.pushed is not None]
        return [
            *(problem for read in reads for problem in _of_a_read(read, pushes)),
            *_of_the_chain(reads),
            *(problem for read in reads for problem in _of_its_lead(read, pushes, staleness)),
        ]


def _of_a_read(read: Call, pushes: list[Call]) -> list[str]:
    found = []
    if not set(read.seen) <= {0, 1}:
        found.append(f"a push was applied {max(read.seen):g} times")
    if sum(read.seen) != read.version:
        found.append(f"{sum(read.seen):g} pushes are seen, of {read.version} updates")
    for push in pushes:
        seen = bool(read.seen[push.pushed])
        if push.end < read.start and not seen:
            found.append(f"push {push.pushed} was acknowledged, and is lost")
        if push.start > read.end and seen:
            found.append(f"push {push.pushed} is seen before it began")
        if push is read and not seen:
            found.append(f"push {push.pushed} is not seen by its own read")
    seen_pushes = [push for push in pushes if read.seen[push.pushed]]
    last = max((push.start for push in seen_pushes), default=-inf)
    found += [f"push {p.pushed} is overtaken" for p in pushes if p.end < last and not read.seen[p.pushed]]
    return found


def _of_the_chain(reads: list[Call]) -> list[str]:
    ordered = sorted(reads, key=lambda read: sum(read.seen))
    crossed = [any(map(gt, a.seen, b.seen)) for a, b in pairwise(ordered)]
    found = ["two reads saw what no order of pushes explains" for one in crossed if one]
    backwards = [(a, b) for a in reads for b in reads if a.end < b.start and sum(a.seen) > sum(b.seen)]
    return found + ["a read saw less than one that had ended before it began" for _ in backwards]


def _of_its_lead(read: Call, pushes: list[Call], staleness: float) -> list[str]:
    """Compare how many pushes of the reader were acknowledged, and how many of the slowest had begun at most."""
    own = sum(push.worker == read.worker and (push.end <= read.start or push is read) for push in pushes)
    others = {push.worker for push in pushes}
    if read.worker not in others:
        return []
    slowest = min(sum(push.worker == name and push.start <= read.end for push in pushes) for name in others)
    return [f"a read {own - slowest} pushes ahead of the slowest"] if own - slowest > staleness else []

"""What became of a local cluster's workers during a piece of work."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psutil
from distributed import Client

from benchmarks.memory import calling


@dataclass
class Fate:
    """Process ids of the workers before and after, their highest memory in bytes, and the seconds they were paused."""

    before: set[int]
    after: set[int] = field(default_factory=set)
    peak: dict[int, int] = field(default_factory=dict)
    paused: float = 0.0

    @property
    def lost(self) -> set[int]:
        """The workers that were killed or restarted."""
        return self.before - self.after


@contextmanager
def watching_workers(client: Client, interval: float = 0.1) -> Iterator[Fate]:
    """Look at the workers, processes of this machine, every ``interval`` seconds while inside."""
    fate = Fate(_pids(client))

    def look() -> None:
        for pid in fate.before:
            fate.peak[pid] = max(fate.peak.get(pid, 0), _resident(pid))
        statuses = [worker["status"] for worker in client.scheduler_info(n_workers=-1)["workers"].values()]
        fate.paused += interval * (statuses.count("paused") > 0)

    with calling(look, interval):
        yield fate
    fate.after = _pids(client)


def _pids(client: Client) -> set[int]:
    return set(client.run(os.getpid).values())


def _resident(pid: int) -> int:
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.NoSuchProcess:
        return 0

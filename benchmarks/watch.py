"""What became of a local cluster's workers during a piece of work."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psutil
from distributed import Client


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
    fate, done = Fate(_pids(client)), threading.Event()

    def sample() -> None:
        while not done.wait(interval):
            for pid in fate.before:
                fate.peak[pid] = max(fate.peak.get(pid, 0), _resident(pid))
            statuses = [worker["status"] for worker in client.scheduler_info(n_workers=-1)["workers"].values()]
            fate.paused += interval * (statuses.count("paused") > 0)

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield fate
    finally:
        done.set()
        thread.join()
        fate.after = _pids(client)


def _pids(client: Client) -> set[int]:
    return set(client.run(os.getpid).values())


def _resident(pid: int) -> int:
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.NoSuchProcess:
        return 0

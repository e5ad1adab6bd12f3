"""Where the time of a fit went."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass
class Profile:
    """What an engine did: passes, the seconds they took, and the seconds its threads computed.

    Examples
    --------
    >>> Profile(n_threads=2, passes=1, computing=1.5, seconds=1.0).overhead()
    0.25
    """

    n_threads: int = 1
    passes: int = 0
    tasks: int = 0
    computing: float = 0.0
    seconds: float = 0.0
    started: float = field(default_factory=time.perf_counter)

    def add(self, computing: float, tasks: int) -> None:
        """Count one pass whose threads computed for ``computing`` seconds together."""
        self.passes += 1
        self.tasks += tasks
        self.computing += computing

    def stop(self) -> None:
        self.seconds = time.perf_counter() - self.started

    def overhead(self) -> float:
        """Return the share of the engine's threads' time in the fit that was not spent computing, from 0 to 1."""
        capacity = self.seconds * self.n_threads
        return max(0.0, 1.0 - self.computing / capacity) if capacity else 0.0

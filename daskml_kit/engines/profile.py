"""Profiles of fits: passes, tasks and seconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

_watchers: ContextVar[tuple[Callable[[Profile], None], ...]] = ContextVar("watchers", default=())


@contextmanager
def watching(watcher: Callable[[Profile], None]) -> Iterator[None]:
    """Call a function after each pass of this thread's fits, for progress displays.

    Parameters
    ----------
    watcher : callable
        Takes the `Profile` of the engine.

    Yields
    ------
    None
        While the context is open, passes are told.

    Examples
    --------
    >>> import numpy as np
    >>> from daskml_kit.linear_model import Ridge
    >>> with watching(lambda profile: print(profile.passes, "pass")):
    ...     model = Ridge().fit(np.eye(2), [1.0, 2.0])
    1 pass
    """
    token = _watchers.set((*_watchers.get(), watcher))
    try:
        yield
    finally:
        _watchers.reset(token)


def print_pass(profile: Profile) -> None:
    """Print one line on the pass that has ended."""
    elapsed = time.perf_counter() - profile.started
    print(f"pass {profile.passes}: {elapsed:.3f} s, {profile.tasks} tasks so far")


@dataclass
class Profile:
    """Work of an engine: passes, the seconds they took, and the seconds its threads computed.

    Parameters
    ----------
    n_threads : int, default 1
        Threads of the engine, on all its workers together.
    passes : int, default 0
    tasks : int, default 0
        Tasks of all passes.
    computing : float, default 0.0
        Seconds that the threads computed, together.
    seconds : float, default 0.0
        Seconds from the opening of the engine to its closing.
    started : float
        Clock of the opening, of `time.perf_counter`.

    See Also
    --------
    watching : Calls a function after each pass.

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
        """Count one pass.

        Parameters
        ----------
        computing : float
            Seconds that its threads computed, together.
        tasks : int
            Number of its tasks.
        """
        self.passes += 1
        self.tasks += tasks
        self.computing += computing
        for watcher in _watchers.get():
            watcher(self)

    def stop(self) -> None:
        """Take the time at which the engine closes."""
        self.seconds = time.perf_counter() - self.started

    def overhead(self) -> float:
        """Return the share of the engine's threads' time in the fit that was not spent computing, from 0 to 1.

        Returns
        -------
        float
            0 where all threads computed all the time.
        """
        capacity = self.seconds * self.n_threads
        return max(0.0, 1.0 - self.computing / capacity) if capacity else 0.0

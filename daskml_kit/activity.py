"""Activity of this process: running and recent fits, trainings and searches, as a dashboard shows them.

What is recorded are a few numbers a pass, always, so that a dashboard may be opened at any time. A fit inside of
another, as of the best candidate of a search, is a stage of that. Records are written by the thread of their fit alone.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

KEPT = 30
"""Activities that have ended, of which no more are kept."""
POINTS = 400
"""Points of a curve, of which no more are kept."""
OPENING, FITTING = "opening the data", "fitting"
MOST_TEXT = 300
"""Characters of an error that are kept."""


class Curve:
    """Points of a curve; where they get too many, every second one is dropped.

    Examples
    --------
    >>> curve = Curve()
    >>> for x in range(10 * POINTS):
    ...     curve.add(x, x**2)
    >>> len(curve.points) <= POINTS, curve.points[0], curve.points[-1]
    (True, (0, 0), (3999, 15992001))
    """

    def __init__(self) -> None:
        self.points: list[tuple[float, float]] = []
        self._every, self._n = 1, 0

    def add(self, x: float, y: float) -> None:
        """Add a point, unless it is not finite; of the same place the lower one stays."""
        points = self.points
        if not math.isfinite(y):
            return
        if points and points[-1][0] == x:
            points[-1] = x, min(y, points[-1][1])
            return
        if len(points) > 1 and self._n % self._every:
            points[-1] = x, y  # the last point is always there
        else:
            points.append((x, y))
        self._n += 1
        if len(points) > POINTS:
            self.points, self._every = points[1::2], 2 * self._every
            self.points[0] = points[0]


@dataclass(eq=False)
class TrainingActivity:
    """Training by a parameter server: losses by epoch, pushes by their staleness, and the waiting of workers."""

    epochs: int
    loss: Curve = field(default_factory=Curve)
    validation: Curve = field(default_factory=Curve)
    n_rows: int = 0
    pushes: int = 0
    staleness: Mapping[int, int] = field(default_factory=dict)
    waiting: Mapping[str, float] = field(default_factory=dict)
    """Share of the time that each worker waited."""


@dataclass(eq=False)
class SearchActivity:
    """Search: fits of candidates on splits that are finished, of how many, and the best score."""

    fits: int
    of: int | None
    n_splits: int | None
    first: int
    """Fits that a checkpoint had."""
    best: float | None = None
    started: float = field(default_factory=time.time)

    def seconds_left(self, now: float) -> float | None:
        """Return the seconds to the end, if fits go on as they did; None where nothing tells."""
        done = self.fits - self.first
        return (self.of - self.fits) * (now - self.started) / done if self.of is not None and done else None


@dataclass(eq=False)
class Activity:
    """Record of a fit, training or search.

    Parameters
    ----------
    name : str
        Estimator or function.
    """

    name: str
    started: float = field(default_factory=time.time)
    ended: float | None = None
    stage: str = OPENING
    status: str = "running"
    error: str = ""
    passes: int = 0
    profile: Any = None
    """The `Profile` of the engine of the last pass."""
    loss: Curve = field(default_factory=Curve)
    loss_name: str = "loss"
    training: TrainingActivity | None = None
    search: SearchActivity | None = None

    def opened(self) -> None:
        """Record that the data are open."""
        if self.stage == OPENING:
            self.stage = FITTING

    def end(self, error: BaseException | None) -> None:
        """Record the end, and by which error."""
        if error is not None:
            self.status = "failed" if isinstance(error, Exception) else "interrupted"
            self.error = f"{type(error).__name__}: {error}"[:MOST_TEXT]
        else:
            self.status = "ended"
        self.stage, self.ended = "", time.time()

    @property
    def is_kept(self) -> bool:
        """True where there was a pass, a search or an error: other fits are scikit-learn's own, in memory."""
        return bool(self.passes or self.search or self.error)


_current: ContextVar[Activity | None] = ContextVar("activity", default=None)
_HIDDEN = Activity("")
_running: dict[int, Activity] = {}
_ended: deque[Activity] = deque(maxlen=KEPT)


def activities() -> list[Activity]:
    """Return those of all threads that run, and the last that have ended, in the order of their starts."""
    running = _running.copy()  # before those that have ended: one that ends now is in both
    found = running | {id(activity): activity for activity in _ended.copy()}
    return sorted(found.values(), key=lambda activity: activity.started)


@contextmanager
def recorded(name: str) -> Iterator[None]:
    """Record what is inside as an activity, or as a stage of the one that it is inside of.

    Examples
    --------
    >>> with recorded("a fit"), recorded("its part"):
    ...     [(activity.name, activity.stage) for activity in activities() if activity.name == "a fit"]
    [('a fit', 'its part')]
    """
    if _current.get() is not None:
        with _staged(name):
            yield
        return
    activity = Activity(name)
    _running[id(activity)] = activity
    token = _current.set(activity)
    error: BaseException | None = None
    try:
        yield
    except BaseException as raised:
        error = raised
        raise
    finally:
        _current.reset(token)
        activity.end(error)
        if activity.is_kept:
            _ended.append(activity)
        del _running[id(activity)]


@contextmanager
def hidden(stage: str) -> Iterator[None]:
    """Record nothing of the fits inside, but that they are a stage of the activity around them, if any."""
    with _staged(stage):
        token = _current.set(_HIDDEN)
        try:
            yield
        finally:
            _current.reset(token)


@contextmanager
def _staged(stage: str) -> Iterator[None]:
    activity = _current.get()
    if activity is None or activity is _HIDDEN:
        yield
        return
    before, activity.stage = activity.stage, stage
    try:
        yield
    finally:
        activity.stage = FITTING if before == OPENING else before


def note_pass(profile: Any) -> None:
    """Record a pass over the data, of the engine with this profile."""
    activity = _activity()
    if activity is not None:
        activity.passes += 1
        activity.profile = profile
        activity.opened()


def note_loss(loss: float, name: str = "mean loss") -> None:
    """Record a loss after the last pass; of fits that share passes the lowest counts, of those of a search none."""
    activity = _activity()
    if activity is not None and activity.search is None:
        activity.loss_name = name
        activity.loss.add(activity.passes, loss)


def note_training(epochs: int, waiting: Mapping[str, float]) -> None:
    """Record that a training of so many epochs goes on, and the share of its time that each worker waited."""
    activity = _activity()
    if activity is not None:
        activity.training = activity.training or TrainingActivity(epochs)
        activity.training.epochs, activity.training.waiting = epochs, waiting


def note_epoch(
    number: int, loss: float, validation_loss: float, n_rows: int, pushes: int, staleness: Mapping[int, int]
) -> None:
    """Record the end of an epoch of the training, and all pushes so far by their staleness."""
    activity = _activity()
    if activity is not None and activity.training is not None:
        training = activity.training
        training.loss.add(number, loss)
        training.validation.add(number, validation_loss)
        training.n_rows, training.pushes = training.n_rows + n_rows, training.pushes + pushes
        training.staleness = staleness


def note_search(fits: int, of: int | None, best: float | None, n_splits: int | None = None) -> None:
    """Record the progress of a search; the number of splits is that of one that begins."""
    activity = _activity()
    if activity is None:
        return
    if activity.search is None or n_splits is not None:
        activity.search = SearchActivity(fits, of, n_splits, first=fits if n_splits is not None else 0)
    activity.search.fits, activity.search.of, activity.search.best = fits, of, best
    activity.opened()


def _activity() -> Activity | None:
    activity = _current.get()
    return None if activity is _HIDDEN else activity

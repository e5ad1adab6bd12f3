"""How far a search is, and who is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

from tqdm import tqdm


class Progress(NamedTuple):
    """How far a fit is.

    Parameters
    ----------
    fits : int
        Fits of candidates on splits that are finished; of adaptive searches, scores.
    of : int, optional
        All there are; None of what is not a search.
    passes : int
        Passes over the data.
    best : float, optional
        The best mean score of the candidates that are finished on all splits.

    Examples
    --------
    >>> print(Progress(12, 50, 4, 0.875))
    12 of 50 fits, 4 passes, best score 0.875
    >>> print(Progress())
    0 fits, 0 passes
    """

    fits: int = 0
    of: int | None = None
    passes: int = 0
    best: float | None = None

    def __str__(self) -> str:
        fits = f"{self.fits} fits" if self.of is None else f"{self.fits} of {self.of} fits"
        best = "" if self.best is None else f", best score {self.best:.6g}"
        return f"{fits}, {self.passes} passes{best}"


Listener = Callable[[Progress], None]

_listeners: ContextVar[tuple[Listener, ...]] = ContextVar("listeners", default=())


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Call ``listener`` with the progress of this thread's searches, after each finished fit and each pass."""
    token = _listeners.set((*_listeners.get(), listener))
    try:
        yield
    finally:
        _listeners.reset(token)


def tell(progress: Progress) -> None:
    """Call this thread's listeners."""
    for listener in _listeners.get():
        listener(progress)


class Bar(AbstractContextManager["Bar"]):
    """A bar of finished fits, in a terminal or a notebook; it is a listener."""

    def __init__(self, progress: Progress) -> None:
        self._bar: Any = tqdm(desc="fits", unit="fit", initial=progress.fits, total=progress.of)

    def __call__(self, progress: Progress) -> None:
        shown: dict[str, Any] = {"passes": progress.passes} if progress.passes else {}
        if progress.best is not None:
            shown["best"] = f"{progress.best:.6g}"
        self._bar.set_postfix(shown, refresh=False)
        self._bar.update(progress.fits - self._bar.n)

    def __exit__(self, *details: object) -> None:
        self._bar.close()

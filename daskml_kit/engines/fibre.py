"""A function that runs only while it is let, in a thread of its own."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from typing import Any, NamedTuple


class Asked(NamedTuple):
    """What the function wants to know before it goes on."""

    reduction: Any


class Returned(NamedTuple):
    """What the function returned, or the exception that ended it."""

    value: Any
    error: BaseException | None


class Stopped(BaseException):
    """Ends a function whose reductions are not answered any more."""


class Fibre:
    """Runs ``function(ask)``, where ``ask(reduction)`` waits until someone answers.

    It makes a generator of a function that asks deep down in its calls: between `advance` and its return the function
    runs and the caller waits, else the reverse.

    Examples
    --------
    >>> fibre = Fibre(lambda ask: ask("two and two?") + 1)
    >>> fibre.advance(None)
    Asked(reduction='two and two?')
    >>> fibre.advance(4)
    Returned(value=5, error=None)
    """

    def __init__(self, function: Callable[[Callable[[Any], Any]], Any]) -> None:
        self._function = function
        self._resume, self._pause = threading.Semaphore(0), threading.Semaphore(0)
        self._reply: Any = None
        self._news: Asked | Returned | None = None
        self._stopped = False
        context = contextvars.copy_context()
        self._thread = threading.Thread(target=context.run, args=(self._run,), name="daskml-kit-fit", daemon=True)
        self._thread.start()

    def advance(self, reply: Any) -> Asked | Returned:
        """Answer the last reduction (at first: start); return the next, or how the function ended."""
        self._reply = reply
        self._resume.release()
        self._pause.acquire()
        if self._news is None:
            raise RuntimeError("a fibre paused without news")
        return self._news

    def stop(self) -> None:
        """End the function at the reduction where it waits."""
        if self._thread.is_alive():
            self._stopped = True
            self._resume.release()
            self._thread.join()

    def _ask(self, reduction: Any) -> Any:
        self._news = Asked(reduction)
        self._pause.release()
        self._resume.acquire()
        if self._stopped:
            raise Stopped
        return self._reply

    def _run(self) -> None:
        self._resume.acquire()
        if self._stopped:
            return
        try:
            self._news = Returned(self._function(self._ask), None)
        except Stopped:
            return
        except BaseException as error:
            self._news = Returned(None, error)
        self._pause.release()

"""The engine that a fit is given, in place of one it would open itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from daskml_kit.engines.engine import Engine

_given: ContextVar[Engine | None] = ContextVar("given", default=None)


@contextmanager
def giving(engine: Engine) -> Iterator[None]:
    """Let the fits inside, of this thread, ask ``engine``."""
    token = _given.set(engine)
    try:
        yield
    finally:
        _given.reset(token)


def given_engine() -> Engine | None:
    """Return the engine that this thread's fits are given, if any."""
    return _given.get()

"""What a search says while it runs, through `logging`."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from daskml_kit.model_selection.adaptive.policies.orders import Record, comparable
from daskml_kit.model_selection.search.progress import Progress, tell

logger = logging.getLogger("daskml_kit.model_selection")


class Narrator:
    """Logs a share of the scores as they come, and the best so far; who listens to progress is told each.

    Parameters
    ----------
    share : float from 0 to 1
    prefix : str
    """

    def __init__(self, share: float, prefix: str) -> None:
        self._every = round(1 / share) if share else 0
        self._prefix = prefix
        self._heard = 0
        self._best = -float("inf")

    def hear(self, record: Record) -> None:
        self._heard += 1
        self._best = max(self._best, comparable(record["score"]))
        if self._every and self._heard % self._every == 0:
            logger.info(
                "[CV%s] validation score of %0.4f received after %d partial_fit calls (best so far %0.4f)",
                self._prefix,
                record["score"],
                record["partial_fit_calls"],
                self._best,
            )
        tell(Progress(self._heard, best=self._best if self._best > -float("inf") else None))


@contextmanager
def printing(verbose: bool) -> Iterator[None]:
    """Print what is logged inside, if ``verbose``."""
    if not verbose:
        yield
        return
    handler, before = logging.StreamHandler(sys.stdout), logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)

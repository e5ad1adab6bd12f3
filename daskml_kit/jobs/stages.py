"""The stages of a job: how long each takes, and a bar on a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

from tqdm import tqdm

from daskml_kit.engines.profile import Profile, watching


class Stages(AbstractContextManager["Stages"]):
    """Times named stages.

    Parameters
    ----------
    names : sequence of str
        In their order.
    quiet : bool
        No bar, even on a terminal.
    """

    def __init__(self, names: Sequence[str], *, quiet: bool = False) -> None:
        self.seconds: dict[str, float] = {}
        hidden = quiet or not sys.stderr.isatty()
        form = "{desc:<10}|{bar:20}| {n}/{total} [{elapsed}{postfix}]"
        self._bar = tqdm(total=len(names), disable=hidden, leave=False, file=sys.stderr, bar_format=form)

    def __exit__(self, *details: object) -> None:
        self._bar.close()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what is done inside, and show the passes that it makes."""
        self._bar.set_description_str(name)
        started = time.perf_counter()
        with watching(self._show):
            yield
        self.seconds[name] = time.perf_counter() - started
        self._bar.set_postfix_str("", refresh=False)
        self._bar.update()

    def _show(self, profile: Profile) -> None:
        self._bar.set_postfix_str(f"pass {profile.passes}")

"""Servers in this process, for threads that train on data in memory."""

from __future__ import annotations

import threading
from copy import deepcopy
from typing import NamedTuple

from daskml_kit.errors import StaleEpochError
from daskml_kit.parameter_server.layout import Layout
from daskml_kit.parameter_server.messages import Counts, Message, Reply, Wish
from daskml_kit.parameter_server.store import Store


class Answered(NamedTuple):
    """A call that has its answer, which it waits for where it has to."""

    servers: LocalServers
    wish: Wish

    def result(self) -> Reply:
        return self.servers.read(self.wish)


class LocalServers:
    """One store that the threads of this process share.

    Parameters
    ----------
    layout : Layout
        Of one server.
    store : Store
    """

    def __init__(self, layout: Layout, store: Store) -> None:
        self.layout, self.store = layout, store
        self._changed = threading.Condition()
        self._stopped = False

    def send(self, server: int, messages: list[Message], wish: Wish) -> Answered:
        with self._changed:
            self._require_running()
            for message in messages:
                self.store.take(message)
            self._changed.notify_all()
        return Answered(self, wish)

    def read(self, wish: Wish) -> Reply:
        """Return what is wanted as soon as it may be read."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or self.store.is_ready(wish))
            self._require_running()
            return self.store.read(wish)

    def number(self, server: int, trainer: str) -> tuple[int, int]:
        with self._changed:
            return self.store.numbers.get(trainer, (-1, -1))

    def counts(self, server: int) -> Counts:
        with self._changed:
            return self.store.counts

    def dump(self, server: int) -> Store:
        with self._changed:
            return deepcopy(self.store)

    def stop(self) -> None:
        """Let no thread wait any longer, or go on."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _require_running(self) -> None:
        if self._stopped:  # a trainer that waited for one that has failed would else push the same step for ever
            raise StaleEpochError("the servers have been closed")

"""Calls of servers that find the one that leads now, and are made again until it has answered."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from copy import deepcopy
from typing import Any, NamedTuple, Protocol

from distributed import Client, Variable, get_client

from daskml_kit.exceptions import LostServerError, StaleEpochError
from daskml_kit.parameter_server.layout import Layout
from daskml_kit.parameter_server.protocol import Counts, Message, Reply, Request, Wish
from daskml_kit.parameter_server.replica import Server, View
from daskml_kit.parameter_server.state_machine import Store

LOOK = 0.2
"""Seconds without an answer after which a call looks whether another server leads."""
GIVE_UP = 120.0
"""Seconds without any answer after which a call fails."""


class Pending(Protocol):
    """A call that is on its way."""

    def result(self) -> Any:
        """Wait for its answer, and return it."""


class Servers(Protocol):
    """The servers, however they are reached."""

    layout: Layout

    def send(self, server: int, messages: list[Message], wish: Wish) -> Pending:
        """Start to hand messages to a server; the answer is a `Reply`, when it is ready."""

    def number(self, server: int, trainer: str) -> tuple[int, int]:
        """Return the number of a trainer's last push there."""

    def counts(self, server: int) -> Counts:
        """Return what has happened there."""

    def dump(self, server: int) -> Store:
        """Return a copy of all that is there."""


class Address(NamedTuple):
    """Where the `View` of servers is written, and how their parameters lie: all that a trainer needs to reach them."""

    name: str
    layout: Layout

    def connect(self, client: Client | None = None) -> ClusterServers:
        """Return the servers, as they are reached from this thread: a task's, or one with a client."""
        return ClusterServers(self, client or get_client())


class ClusterServers:
    """Actors on the workers of a cluster; calls go straight from worker to worker.

    Parameters
    ----------
    address : Address
    client : distributed.Client
        It reads the view off the scheduler.
    """

    def __init__(self, address: Address, client: Client) -> None:
        self.layout = address.layout
        self._variable = Variable(address.name, client=client)
        self._view = View(())
        self._actors: dict[int, tuple[int, Any]] = {}
        self.look()

    def send(self, server: int, messages: list[Message], wish: Wish) -> ReadyCall:
        return ReadyCall(self, server, messages, wish)

    def number(self, server: int, trainer: str) -> tuple[int, int]:
        found: tuple[int, int] = Call(self, server, lambda epoch, actor: actor.number(epoch, trainer)).result()
        return tuple(found)  # type: ignore[return-value]

    def counts(self, server: int) -> Counts:
        found: Counts = Call(self, server, lambda epoch, actor: actor.counts(epoch)).result()
        return found

    def dump(self, server: int) -> Store:
        found: Store = Call(self, server, lambda epoch, actor: actor.dump(epoch)).result()
        return found

    def look(self) -> None:
        """Read the view anew.

        Raises
        ------
        LostServerError
            Where there are no servers any more.
        """
        try:
            self._view = View.unpacked(self._variable.get(timeout=5))
        except TimeoutError:
            raise LostServerError("the parameter server was closed") from None
        if self._view.failure:
            raise LostServerError(self._view.failure)

    def leader(self, server: int) -> tuple[int, Any]:
        """Return the epoch of a server, and the actor that leads in it."""
        found: Server = self._view.servers[server]
        if server not in self._actors or self._actors[server][0] != found.epoch:
            self._actors[server] = found.epoch, found.primary.actor()
        return self._actors[server]


class Call:
    """One call of a server's leader, made again where the leader changes."""

    def __init__(self, servers: ClusterServers, server: int, ask: Callable[[int, Any], Any]) -> None:
        self._servers, self._server, self._ask = servers, server, ask
        self._begin()

    def result(self) -> Any:
        """Return the answer.

        Raises
        ------
        LostServerError
            Where there is no server any more, or none answers.
        """
        started = time.monotonic()
        while True:
            try:
                if self._future is None:
                    raise StaleEpochError
                return self._future.result(timeout=LOOK)
            except TimeoutError:
                self._servers.look()
                if self._servers.leader(self._server)[0] != self._epoch:
                    self._begin()
            except (OSError, StaleEpochError):
                time.sleep(LOOK / 4)  # until who watches the workers has named another leader
                self._servers.look()
                self._begin()
            if time.monotonic() - started > GIVE_UP:
                raise LostServerError(f"server {self._server} has not answered for {GIVE_UP:.0f} s")

    def _begin(self) -> None:
        self._epoch, actor = self._servers.leader(self._server)
        try:
            self._future = self._ask(self._epoch, actor)
        except RuntimeError:  # the client has heard that the actor is lost
            self._future = None


class ReadyCall:
    """A call whose reply may be that the trainer has to ask again, which it does until what it wants is there."""

    def __init__(self, servers: ClusterServers, server: int, messages: list[Message], wish: Wish) -> None:
        self._servers, self._server, self._messages, self._wish = servers, server, messages, wish
        self._call = self._ask(messages)

    def result(self) -> Reply:
        """Return the reply."""
        while True:
            reply: Reply = self._call.result()
            if reply.ready:
                return reply
            self._call = self._ask([])

    def _ask(self, messages: list[Message]) -> Call:
        return Call(
            self._servers, self._server, lambda epoch, actor: actor.accept(Request(epoch, messages, self._wish))
        )


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

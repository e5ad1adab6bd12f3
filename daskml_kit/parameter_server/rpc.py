"""Remote calls of servers that find the present primary, and are retried until it has answered."""

from __future__ import annotations

import asyncio
import pickle
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any, NamedTuple, TypeAlias

from distributed import Client, Variable, get_client

from daskml_kit.exceptions import LostServerError, StaleEpochError
from daskml_kit.parameter_server.layout import Layout
from daskml_kit.parameter_server.protocol import Message, ReadRequest, Reply, Request
from daskml_kit.parameter_server.replica import ServerView
from daskml_kit.parameter_server.state_machine import StateMachine
from daskml_kit.workers.connection import in_task, is_lost, require_connection

POLL_SECONDS = 0.2
"""Seconds without an answer after which a call looks whether another server is the primary."""
SEND_AGAIN = 5.0
"""Seconds without an answer after which a call is made again, then after twice as long: Dask never ends one of an actor
that has just been released. What is pushed twice counts once."""
GIVE_UP = 120.0
"""Seconds without any answer after which a call fails."""


class Address(NamedTuple):
    """Name of the variable with the `ServerView`, and the layout: all that a worker needs to reach the servers."""

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
        It reads the view from the scheduler.
    """

    def __init__(self, address: Address, client: Client) -> None:
        self.layout = address.layout
        self._client, self._variable = client, Variable(address.name, client=client)
        self._view = ServerView(())
        self._actors: dict[int, tuple[int, Any]] = {}
        self.refresh()

    def send(self, server: int, messages: list[Message], wanted: ReadRequest) -> Call:
        """Start to hand messages to a server; the result is a `Reply`, when it is ready."""

        def ask(messages: list[Message], epoch: int, actor: Any) -> Any:
            return actor.accept(Request(epoch, messages, wanted))

        return Call(self, server, partial(ask, messages), partial(ask, []))

    def ask(self, server: int, question: str, *args: Any) -> Any:
        """Return what this method of a server's state machine returns: ``number``, ``copy``, ..."""
        found = Call(self, server, lambda epoch, actor: actor.ask(epoch, question, *args)).result()
        return tuple(found) if question == "number" else found  # a tuple comes over the wire as a list

    def start(self, ask: Callable[..., Any], epoch: int, actor: Any) -> Future[Any]:
        """Start a call of an actor in the event loop, which it need not leave until there is an answer."""
        return asyncio.run_coroutine_threadsafe(_answer(ask, epoch, actor), self._client.loop.asyncio_loop)

    def refresh(self) -> None:
        """Read the view anew.

        Raises
        ------
        LostServerError
            Where there are no servers any more.
        LostSchedulerError
            Where there is no scheduler any more.
        """
        if not in_task():  # the client of a worker may be connecting for the first time, and ends with its scheduler
            require_connection(self._client)
        try:
            self._view = pickle.loads(self._variable.get(timeout=5))
        except TimeoutError:
            raise LostServerError("the parameter server was closed") from None
        except OSError as error:
            if not in_task() and is_lost(self._client, error):
                require_connection(self._client)
            raise
        if self._view.failure:
            raise LostServerError(self._view.failure)

    def primary(self, server: int) -> tuple[int, Any]:
        """Return the epoch of a server, and the actor that is primary in it."""
        found = self._view.servers[server]
        if server not in self._actors or self._actors[server][0] != found.epoch:
            self._actors[server] = found.epoch, found.primary.actor()
        return self._actors[server]


async def _answer(ask: Callable[..., Any], epoch: int, actor: Any) -> Any:
    try:
        running = ask(epoch, actor)
    except RuntimeError as error:  # the client has heard that the actor is lost
        raise StaleEpochError(str(error)) from error
    return await running


class Call:
    """Call of a server's primary, made again where the primary changes, and as ``again`` where it is not ready yet."""

    def __init__(
        self, servers: ClusterServers, server: int, ask: Callable[..., Any], again: Callable[..., Any] | None = None
    ) -> None:
        self._servers, self._server, self._ask, self._again = servers, server, ask, again
        self._future = self._started()

    def result(self) -> Any:
        """Wait for the answer, and return it.

        Raises
        ------
        LostServerError
            Where there is no server any more, or none answers.
        """
        started, patience = time.monotonic(), SEND_AGAIN
        again_at = started + patience
        while True:
            try:
                answer = self._future.result(timeout=POLL_SECONDS)
                if self._again is None or answer.ready:
                    return answer
                started, self._ask = time.monotonic(), self._again
                self._begin()
            except TimeoutError:
                self._servers.refresh()
                if self._servers.primary(self._server)[0] != self._epoch:
                    self._begin()
                elif time.monotonic() > again_at:
                    patience *= 2
                    again_at = time.monotonic() + patience
                    self._begin()
            except (OSError, StaleEpochError):
                time.sleep(POLL_SECONDS / 4)  # until the failover supervisor has named another primary
                self._servers.refresh()
                self._begin()
            if time.monotonic() - started > GIVE_UP:
                raise LostServerError(f"server {self._server} has not answered for {GIVE_UP:.0f} s")

    def _begin(self) -> None:
        self._future.cancel()  # else it would stay in the event loop, where Dask never ends it
        self._future = self._started()

    def _started(self) -> Future[Any]:
        self._epoch, actor = self._servers.primary(self._server)
        return self._servers.start(self._ask, self._epoch, actor)


class LocalCall(NamedTuple):
    """Call within this process: its messages are applied already, and its result waits where it has to."""

    servers: LocalServers
    wanted: ReadRequest

    def result(self) -> Reply:
        return self.servers.read(self.wanted)


class LocalServers:
    """State machine that the threads of this process share.

    Parameters
    ----------
    layout : Layout
        Of one server.
    machine : StateMachine
    """

    def __init__(self, layout: Layout, machine: StateMachine) -> None:
        self.layout, self.machine = layout, machine
        self._changed = threading.Condition()
        self._stopped = False

    def send(self, server: int, messages: list[Message], wanted: ReadRequest) -> LocalCall:
        with self._changed:
            self._require_running()
            for message in messages:
                self.machine.apply(message)
            self._changed.notify_all()
        return LocalCall(self, wanted)

    def read(self, wanted: ReadRequest) -> Reply:
        """Return the wanted parameters as soon as they may be read."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or self.machine.is_ready(wanted))
            self._require_running()
            return self.machine.read(wanted)

    def ask(self, server: int, question: str, *args: Any) -> Any:
        with self._changed:
            return getattr(self.machine, question)(*args)

    def stop(self) -> None:
        """Let no thread wait any longer, or go on."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _require_running(self) -> None:
        if self._stopped:  # a worker that waited for one that has failed would else push the same step for ever
            raise StaleEpochError("the servers have been closed")


Servers: TypeAlias = ClusterServers | LocalServers
"""The servers of all ranges, on a cluster or in this process."""
Pending: TypeAlias = Call | LocalCall
"""A call that is on its way; ``result`` waits for its answer."""

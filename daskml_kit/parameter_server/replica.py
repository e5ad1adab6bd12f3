"""Server actors: the primary that holds a range of the parameters, and the replica that it keeps up to date."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from distributed import Actor

from daskml_kit.exceptions import StaleEpochError
from daskml_kit.parameter_server.protocol import Message, Reply, Request
from daskml_kit.parameter_server.state_machine import StateMachine
from daskml_kit.typing import Array

Reach: TypeAlias = Callable[[str, str], Any]
"""Returns what calls the actor of a key and an address."""

PATIENCE = 1.0
"""Seconds after which a worker that has to wait is told to ask again, so that no call takes for ever."""

RETRY = 0.1
"""Seconds between two attempts to reach a replica."""


KEPT_BUFFERS = 4
"""Buffers that wait for their next use, at most."""


class Buffers:
    """Copies arrays into memory that is used again as soon as nobody refers to the last copy in it, or a view of that.

    A Dask worker gives freed memory back to the system at once, and getting new pages for a copy takes several times
    as long as the copy.

    Examples
    --------
    >>> buffers = Buffers()
    >>> first = buffers.copy(np.ones(3))
    >>> place = first.ctypes.data
    >>> buffers.copy(np.zeros(3)).ctypes.data == place
    False
    >>> del first
    >>> buffers.copy(np.zeros(3)).ctypes.data == place
    True
    """

    def __init__(self) -> None:
        self._free: list[bytearray] = []

    def copy(self, array: Array) -> Array:
        """Return a copy, which is aligned."""
        if not array.nbytes:
            return array.copy()
        try:
            memory = self._free.pop()
        except IndexError:
            memory = bytearray()
        if len(memory) != array.nbytes:
            memory = bytearray(array.nbytes)
        root = np.frombuffer(memory, array.dtype)  # any view of the copy refers to it
        weakref.finalize(root, self._take_back, memory).atexit = False
        made = root.reshape(array.shape)
        np.copyto(made, array)
        return made

    def _take_back(self, memory: bytearray) -> None:
        if len(self._free) < KEPT_BUFFERS:
            self._free.append(memory)


def actor_at(key: str, address: str) -> Any:
    """Return the actor; its methods run where it is."""
    return Actor(ServerActor, address, key)


class Replication(NamedTuple):
    """A primary's messages up to the number ``applied``, or all at once: one argument, as each costs 30 µs.

    Parameters
    ----------
    epoch, applied : int
    machine : StateMachine, optional
        All up to here, the first time.
    messages : list of Message
        Since the last replication.
    """

    epoch: int
    applied: int
    machine: StateMachine | None
    messages: list[Message]


class ServerActor:
    """A primary, or the replica that follows one; the epoch tells an old primary that it is none any more.

    A message is applied at once, sent to the replica with all that came meanwhile, and acknowledged when it is there;
    what is read has been sent there before. So whatever a worker has seen outlives the primary.

    A primary that others have replaced, because its worker was taken for lost, acknowledges no push any more; reads it
    may answer with what it had, as long as the worker has not heard of the other either.

    Parameters
    ----------
    machine : StateMachine, optional
        None in a replica to be, which the primary gives its first.
    reach : callable
        Returns the replica by its key and address.
    """

    def __init__(self, machine: StateMachine, reach: Reach = actor_at) -> None:
        self.machine, self._reach = machine, reach
        self.epoch = 0
        self.is_primary = False
        self._has_replica = True
        self._unreplicated: list[Message] = []
        self._applied = self._confirmed = 0
        self._progressed = 0.0
        """When a message was confirmed last, or the first came that is not."""
        self._replication: asyncio.Task[None] | None = None
        self._waiting: list[asyncio.Future[None]] = []
        self._buffers = Buffers()

    async def lead(self, epoch: int, replica: tuple[str, str] | None) -> None:
        """Be the primary of this epoch, and return when the replica, if there is one, has everything.

        Parameters
        ----------
        epoch : int
        replica : pair of str, optional
            Key and address of the actor that follows.
        """
        if epoch < self.epoch:
            raise StaleEpochError(f"epoch {epoch} is over: it is {self.epoch}")
        if self._replication is not None:
            self._replication.cancel()
        self.epoch, self.is_primary, self._has_replica, self._replication = epoch, True, replica is not None, None
        self._applied += 1  # the copy of all counts as one: until it is there, nothing is acknowledged
        self._progressed = asyncio.get_running_loop().time()
        if replica is not None:
            self._replication = asyncio.create_task(self._replicate(epoch, *replica))
        self._wake()
        await self._until_replicated(epoch)

    async def stop(self) -> None:
        """Lead no more, and copy nothing more."""
        self.is_primary = False
        if self._replication is not None:
            self._replication.cancel()
        self._wake()

    async def follow(self, given: Replication) -> None:
        """Follow as the replica: take over a primary's state machine, if given, and its messages since.

        Those that come again, after a broken connection, are left out.
        """
        epoch, applied, machine, messages = given
        if self.is_primary or epoch < self.epoch:
            raise StaleEpochError(f"epoch {epoch} is over: it is {self.epoch}")
        if (epoch, applied) <= (self.epoch, self._applied):
            return
        self.epoch, self._applied = epoch, applied
        if machine is not None:
            self.machine = machine
        for message in messages:
            self.machine.apply(message)

    async def accept(self, request: Request) -> Reply:
        """Apply messages, once each, and reply when they are safe and what is wanted may be read."""
        epoch, messages, wanted = request
        self._check(epoch)
        if messages and self._confirmed == self._applied:
            self._progressed = asyncio.get_running_loop().time()
        for message in messages:
            self.machine.apply(message)
            self._applied += 1
            if self._has_replica:
                self._unreplicated.append(message)
        if messages:
            self._wake()
        deadline = asyncio.get_running_loop().time() + PATIENCE
        left = PATIENCE
        while left > 0 and not self.machine.is_ready(wanted):
            await self._changed(left)
            self._check(epoch)
            left = deadline - asyncio.get_running_loop().time()
        ready = self.machine.is_ready(wanted)
        reply = self.machine.read(wanted, self._buffers.copy) if ready else Reply(False, self.machine.version)
        await self._until_replicated(epoch)
        return reply

    async def ask(self, epoch: int, question: str, *args: Any) -> Any:
        """Return what a method of the state machine returns, when all that it has seen is replicated."""
        self._check(epoch)
        found = getattr(self.machine, question)(*args)
        await self._until_replicated(epoch)
        return found

    async def stalled_seconds(self, epoch: int) -> float:
        """Return for how many seconds the replica has confirmed nothing of what it was sent.

        Parameters
        ----------
        epoch : int
            That in which this actor is to lead.

        Returns
        -------
        float
            0 where it has confirmed all, or where there is none.
        """
        self._check(epoch)
        if not self._has_replica or self._confirmed >= self._applied:
            return 0.0
        return asyncio.get_running_loop().time() - self._progressed

    async def _until_replicated(self, epoch: int) -> None:
        goal = self._applied
        while self._has_replica and self._confirmed < goal:
            await self._changed(None)
            self._check(epoch)

    async def _replicate(self, epoch: int, key: str, address: str) -> None:
        """Keep a replica up to date until another epoch begins."""
        while self.is_primary:
            try:
                await self._replicate_from_now(epoch, self._reach(key, address))
            except StaleEpochError:
                self.is_primary = False
                self._wake()
            except (OSError, RuntimeError):  # as Dask has it, a RuntimeError where an actor is lost with its worker
                await asyncio.sleep(RETRY)  # if its worker is gone, the failover supervisor names another one

    async def _replicate_from_now(self, epoch: int, replica: Any) -> None:
        self._unreplicated, done = [], self._applied
        whole = Replication(epoch, done, deepcopy(self.machine), [])
        await replica.follow(whole)  # this machine goes on while that is on its way
        while True:
            self._confirmed, self._progressed = done, asyncio.get_running_loop().time()
            self._wake()
            while not self._unreplicated:
                await self._changed(None)
            batch, self._unreplicated = self._unreplicated, []
            done += len(batch)
            await replica.follow(Replication(epoch, done, None, batch))

    def _check(self, epoch: int) -> None:
        if not self.is_primary or epoch != self.epoch:
            raise StaleEpochError(
                f"expected epoch {self.epoch}, got {epoch}; this server is primary: {self.is_primary}"
            )

    async def _changed(self, seconds: float | None) -> None:
        """Wait until anything has changed, or for so long."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        with suppress(TimeoutError):
            await asyncio.wait_for(future, seconds)

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)


class ActorRef(NamedTuple):
    """Reference to a server actor: its key, and the address of its Dask worker."""

    key: str
    address: str

    def actor(self) -> Any:
        """Return the actor; its methods run where it is."""
        return actor_at(*self)


class ReplicaGroup(NamedTuple):
    """Primary and replica of one range: the ``epoch`` grows whenever another actor takes over or follows."""

    epoch: int
    primary: ActorRef
    replica: ActorRef | None


class ServerView(NamedTuple):
    """View of all servers at one time; ``failure`` says why there are none any more."""

    servers: tuple[ReplicaGroup, ...]
    failure: str = ""

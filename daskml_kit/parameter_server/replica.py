"""A server: an actor on a worker that holds a range of the parameters, and keeps a second one up to date."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from typing import Any, NamedTuple, Self, TypeAlias

from distributed import Actor

from daskml_kit.engines.runtime import keep_freed_memory
from daskml_kit.exceptions import StaleEpochError
from daskml_kit.parameter_server.buffers import Buffers
from daskml_kit.parameter_server.protocol import Counts, Message, Reply, Request
from daskml_kit.parameter_server.state_machine import Store

Reach: TypeAlias = Callable[[str, str], Any]
"""Returns what calls the actor of a key and an address."""

PATIENCE = 1.0
"""Seconds after which a trainer that has to wait is told to ask again, so that no call takes for ever."""

RETRY = 0.1
"""Seconds between two attempts to reach a replica."""


def actor_at(key: str, address: str) -> Any:
    """Return the actor; its methods run where it is."""
    return Actor(Shard, address, key)


class Shard:
    """A primary, or the replica that follows one; the epoch tells an old primary that it is none any more.

    A message is applied at once, sent to the replica with all that came meanwhile, and acknowledged when it is there;
    what is read has been sent there before. So whatever a trainer has seen outlives the primary.

    A primary that others have replaced, because its worker was taken for lost, acknowledges no push any more; reads it
    may answer with what it had, as long as the trainer has not heard of the other either.

    Parameters
    ----------
    store : Store, optional
        None in one that is to follow, which is given its first.
    reach : callable
        Returns the replica by its key and address.
    """

    def __init__(self, store: Store, reach: Reach = actor_at) -> None:
        self.store, self._reach = store, reach
        self.epoch = 0
        self.leads = False
        self._guarded = True
        self._unsent: list[Message] = []
        self._taken = self._safe = 0
        self._copying: asyncio.Task[None] | None = None
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
        if self._copying is not None:
            self._copying.cancel()
        self.epoch, self.leads, self._guarded, self._copying = epoch, True, replica is not None, None
        self._taken += 1  # the copy of all counts as one: until it is there, nothing is acknowledged
        if replica is not None:
            self._copying = asyncio.create_task(self._copy(epoch, *replica))
        self._wake()
        await self._until_safe(epoch)

    async def stop(self) -> None:
        """Lead no more, and copy nothing more."""
        self.leads = False
        if self._copying is not None:
            self._copying.cancel()
        self._wake()

    async def follow(self, epoch: int, taken: int, store: Store | None, messages: list[Message]) -> None:
        """Take over a primary's store, if given, and its messages since.

        ``taken`` is what the primary had taken by then: what comes again, on a connection that broke, is left out.
        """
        keep_freed_memory()
        if self.leads or epoch < self.epoch:
            raise StaleEpochError(f"epoch {epoch} is over: it is {self.epoch}")
        if (epoch, taken) <= (self.epoch, self._taken):
            return
        self.epoch, self._taken = epoch, taken
        if store is not None:
            self.store = store
        for message in messages:
            self.store.take(message)

    async def accept(self, request: Request) -> Reply:
        """Apply messages, once each, and reply when they are safe and what is wanted may be read."""
        keep_freed_memory()
        epoch, messages, wish = request
        self._check(epoch)
        for message in messages:
            self.store.take(message)
            self._taken += 1
            if self._guarded:
                self._unsent.append(message)
        if messages:
            self._wake()
        deadline = asyncio.get_running_loop().time() + PATIENCE
        left = PATIENCE
        while left > 0 and not self.store.is_ready(wish):
            await self._news(left)
            self._check(epoch)
            left = deadline - asyncio.get_running_loop().time()
        ready = self.store.is_ready(wish)
        reply = self.store.read(wish, self._buffers.copy) if ready else Reply(False, self.store.version)
        await self._until_safe(epoch)
        return reply

    async def number(self, epoch: int, trainer: str) -> tuple[int, int]:
        """Return the number of a trainer's last push."""
        self._check(epoch)
        found = self.store.numbers.get(trainer, (-1, -1))
        await self._until_safe(epoch)
        return found

    async def counts(self, epoch: int) -> Counts:
        """Return what has happened."""
        self._check(epoch)
        found = self.store.counts
        await self._until_safe(epoch)
        return found

    async def dump(self, epoch: int) -> Store:
        """Return all that there is, when it is safe."""
        self._check(epoch)
        found = deepcopy(self.store)
        await self._until_safe(epoch)
        return found

    async def _until_safe(self, epoch: int) -> None:
        goal = self._taken
        while self._guarded and self._safe < goal:
            await self._news(None)
            self._check(epoch)

    async def _copy(self, epoch: int, key: str, address: str) -> None:
        """Keep a replica up to date until another epoch begins."""
        replica = self._reach(key, address)
        while self.leads:
            try:
                await self._copy_from_now(epoch, replica)
            except StaleEpochError:
                self.leads = False
                self._wake()
            except OSError:
                await asyncio.sleep(RETRY)  # if its worker is gone, who watches the workers names another one

    async def _copy_from_now(self, epoch: int, replica: Any) -> None:
        self._unsent, done = [], self._taken
        await replica.follow(epoch, done, deepcopy(self.store), [])  # this one goes on while that is on its way
        while True:
            self._safe = done
            self._wake()
            while not self._unsent:
                await self._news(None)
            batch, self._unsent = self._unsent, []
            done += len(batch)
            await replica.follow(epoch, done, None, batch)

    def _check(self, epoch: int) -> None:
        if not self.leads or epoch != self.epoch:
            raise StaleEpochError(f"expected epoch {self.epoch}, got {epoch}; this server leads: {self.leads}")

    async def _news(self, seconds: float | None) -> None:
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


class Place(NamedTuple):
    """An actor: its key and its worker's address."""

    key: str
    address: str

    def actor(self) -> Any:
        """Return the actor; its methods run where it is."""
        return actor_at(*self)


class Server(NamedTuple):
    """One range: its ``epoch`` grows whenever another actor takes over or follows."""

    epoch: int
    primary: Place
    replica: Place | None


class View(NamedTuple):
    """All servers at one time; ``failure`` says why there are none any more."""

    servers: tuple[Server, ...]
    failure: str = ""

    def packed(self) -> list[Any]:
        """Return it in lists and strings, as a `distributed.Variable` takes it."""
        servers = [[s.epoch, list(s.primary), list(s.replica) if s.replica else None] for s in self.servers]
        return [servers, self.failure]

    @classmethod
    def unpacked(cls, packed: Any) -> Self:
        servers, failure = packed
        return cls(tuple(Server(e, Place(*p), Place(*r) if r else None) for e, p, r in servers), failure)

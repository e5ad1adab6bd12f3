"""Failover supervisor: places server actors on workers, and names new primaries and replicas where workers are lost."""

from __future__ import annotations

import concurrent.futures
import pickle
import threading
import time
import uuid
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

from distributed import Client, Future, Variable

from daskml_kit.exceptions import LostServerError, StaleEpochError
from daskml_kit.parameter_server.layout import Layout
from daskml_kit.parameter_server.replica import ActorRef, ReplicaGroup, ServerActor, ServerView
from daskml_kit.parameter_server.retirement import PREFIX, leaving_workers, let_go, let_ranges_move_first
from daskml_kit.parameter_server.rpc import Address
from daskml_kit.parameter_server.state_machine import StateMachine
from daskml_kit.workers.connection import require_connection
from daskml_kit.workers.hedging import silent_workers

T = TypeVar("T")

INTERVAL = 0.1
"""Seconds between two looks at the scheduler's list of workers."""
LOOK_INTERVAL = 0.5
"""Seconds between two looks which workers are silent, and which are to be retired: that takes the scheduler longer."""
PATIENCE = 60.0
"""Seconds that an actor may take to be made at the start, or to answer."""
STOP_SECONDS = 2.0
"""Seconds that an earlier primary may take to stop."""
UNUSED_SECONDS = 2.0
"""Seconds that an actor is kept which was replaced, to tell that to those who have not heard of it."""
UNGUARDED_AFTER = 10.0
"""Seconds that pushes wait for a new replica, where there are workers but none has a thread to make one."""
CHECK_INTERVAL = 2.0
"""Seconds between two questions to a primary whether its range makes progress."""
STALLED_SECONDS = 15.0
"""Seconds without progress, or without an answer, after which a range is led anew though all its workers are there."""


class ProgressCheck(NamedTuple):
    """Question to the primary of an epoch for how long it has waited for its replica.

    Parameters
    ----------
    epoch : int
    answered : float
        When the last question was asked that has an answer, or the first.
    asked : float
        When this one was asked.
    answer : future of float
    """

    epoch: int
    answered: float
    asked: float
    answer: Any


class FailoverSupervisor:
    """Supervisor of the actors of each range: makes new ones where a worker is lost, falls silent, retires or joins.

    The scheduler is the one authority on who is there; an old primary that lives on somewhere cannot acknowledge a
    push, since its replica follows the new epoch. What only silent workers have is waited for.

    Parameters
    ----------
    client : distributed.Client
        A synchronous client.
    machines : sequence of StateMachine
        One a range.
    workers : sequence of str
        Addresses of the workers where the primaries are made.
    replicas : {0, 1}
        How many copies of each range are kept up to date on other workers.
    last_snapshot : callable
        Returns the place of the last snapshot, for the message of a loss.
    """

    def __init__(
        self,
        client: Client,
        machines: Sequence[StateMachine],
        workers: Sequence[str],
        replicas: int,
        last_snapshot: Callable[[], str],
    ) -> None:
        self.name = f"{PREFIX}{uuid.uuid4().hex}"
        self.client, self._replicas, self._last_snapshot = client, replicas, last_snapshot
        self._variable = Variable(self.name, client=client)
        self._held: dict[str, Future] = {}
        self._unused: dict[str, float] = {}
        """Since when actors, by their keys, are none of the view."""
        self._silent: dict[str, float] = {}
        self._leaving: set[str] = set()
        self._looked = 0.0
        self._spares: dict[str, Future] = {}
        """An empty actor on each worker: later, its threads may all be busy."""
        self._epochs: Counter[int] = Counter()
        """The last epoch of each range in which an actor was told to lead, whether or not that went well."""
        self._checks: dict[int, ProgressCheck] = {}
        self.failovers = 0
        self._stopping = threading.Event()
        self.lock = threading.RLock()
        self.view = ServerView(())
        let_ranges_move_first(client)
        if replicas:
            self._make_spares(self._workers())  # while the primaries are made: what a worker imports first takes long
        self.view = ServerView(tuple(ReplicaGroup(0, place, None) for place in self._make_all(machines, workers)))
        with self.lock:
            self._supervise()
        self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
        self._thread.start()

    def address(self, layout: Layout) -> Address:
        """Return the address by which workers reach the servers."""
        return Address(self.name, layout)

    def stop(self) -> None:
        """End the servers."""
        self._stopping.set()
        self._thread.join()
        if self.client.status != "running":
            return  # with the scheduler, all servers are gone
        self._variable.delete()
        for server in self.view.servers:
            with suppress(OSError):
                self.call(server.primary, lambda actor: actor.stop())
        self._held.clear()
        self._spares.clear()
        with suppress(OSError):
            let_go(self.client, self.name)

    def call(
        self, place: ActorRef, ask: Callable[[Any], Any], others: Collection[str] = (), patience: float = PATIENCE
    ) -> Any:
        """Return the answer of an actor, for which it has so many seconds.

        Raises
        ------
        OSError
            Where its worker is lost, or one of the ``others`` that it needs, or it does not answer.
        """
        deadline = time.monotonic() + patience
        try:
            with self.client.as_current():
                future = ask(place.actor())
            while True:
                try:
                    return future.result(timeout=5 * INTERVAL)
                except TimeoutError:
                    if not {place.address, *others}.issubset(self._reachable()) or time.monotonic() > deadline:
                        raise OSError(f"{place.address} does not answer") from None
        except RuntimeError as error:
            if "lost" in str(error):
                raise OSError(str(error)) from error
            raise

    def _run(self) -> None:
        while not self._stopping.wait(INTERVAL):
            try:
                with self.lock:
                    self._supervise()
            except OSError:
                continue  # a worker was lost in the middle: the next look sees it
            except Exception as error:  # without a supervisor, workers would wait for ever
                if self.client.status in ("closing", "closed"):
                    return  # with it, the cluster forgets the servers
                self._publish(
                    self.view._replace(failure=f"the failover supervisor of the parameter server failed: {error!r}")
                )
                raise
            if self.view.failure:
                return

    def _supervise(self) -> None:
        """Let each range have a primary, and as far as there are workers a replica."""
        workers = self._workers()
        if self._replicas:
            self._make_spares(workers)
        self._drop_unused()
        before, servers = list(self.view.servers), list(self.view.servers)
        try:
            for number, server in enumerate(servers):
                servers[number] = self._supervised(number, server, workers)
                if servers[number] != server:
                    self._publish(ServerView(tuple(servers)))
            if workers and not self._silent and servers == before:
                self._balance(servers, workers)
        except LostServerError as error:
            self._publish(ServerView(tuple(servers), str(error)))

    def _supervised(self, number: int, server: ReplicaGroup, workers: list[str]) -> ReplicaGroup:
        places = [place.address for place in (server.primary, server.replica) if place is not None]
        has_primary = server.primary.address in workers
        has_replica = server.replica is not None and server.replica.address in workers
        if has_primary and has_replica and (stalled := self._stalled(number, server)):
            has_primary, has_replica = stalled != server.primary, stalled != server.replica
        wants = self._replicas and len(workers) > 1
        is_led = server.epoch > 0 and server.epoch == self._epochs[number]
        if has_primary and is_led and (has_replica or (not wants and server.replica is None)):
            return server
        if not has_primary and not has_replica:
            if self._silent.keys() & places:
                return server  # it may be back, with all that it has acknowledged
            if self._leaving.intersection(places):
                last = server.primary
                if server.replica and last.address not in self._leaving:
                    last = server.replica
                copy = self._make_replica(last, workers)  # which the next look makes the primary
                return server if copy is None else self._led(number, server, last, copy)
            raise LostServerError(
                f"range {number} of the parameters was lost with the workers that held it"
                f"{' and its replica' if self._replicas else ''}; {self._last_snapshot()}"
            )
        self.failovers += not has_primary and server.epoch > 0 and server.primary.address not in self._leaving
        primary = server.primary if has_primary or server.replica is None else server.replica
        replica = self._make_replica(primary, workers) if wants else None
        if replica is None and has_primary and is_led and server.replica is None:
            return server  # as it was: the primary is alone, and there is still no thread for another
        if self._replicas and replica is None:
            warnings.warn(
                "the parameters have no replica until another worker has a free thread: losing this one loses them",
                RuntimeWarning,
                stacklevel=2,
            )
        return self._led(number, server, primary, replica)

    def _stalled(self, number: int, server: ReplicaGroup) -> ActorRef | None:
        """Return the actor that keeps a range from making progress: a primary that is mute, a replica that follows not.

        Dask may lose a call between workers that both live on, and never ends one of an actor that it has released.
        """
        now, check = time.monotonic(), self._checks.get(number)
        if check is None or check.epoch != server.epoch:
            check = ProgressCheck(server.epoch, now, now, self._ask_progress(server))
        elif check.answer.done() and now > check.asked + CHECK_INTERVAL:
            answered = check.answered
            with suppress(OSError):
                try:
                    waited = check.answer.result()
                except StaleEpochError:
                    return server.replica  # it leads no more: it is told to, with another replica
                if waited > STALLED_SECONDS:
                    return server.replica
                answered = check.asked
            check = ProgressCheck(server.epoch, answered, now, self._ask_progress(server))
        self._checks[number] = check
        return server.primary if now > check.answered + STALLED_SECONDS else None

    def _ask_progress(self, server: ReplicaGroup) -> Any:
        """Ask a primary for how long it has waited for its replica; the answer is a future."""
        try:
            with self.client.as_current():
                return server.primary.actor().stalled_seconds(server.epoch)
        except RuntimeError as error:  # Dask has given the actor up, though its worker is there
            failed: concurrent.futures.Future[float] = concurrent.futures.Future()
            failed.set_exception(OSError(str(error)))
            return failed

    def _balance(self, servers: list[ReplicaGroup], workers: list[str]) -> None:
        """Let a range move from a worker that has two more than another, as where one has joined; one at a time."""
        primaries = Counter(server.primary.address for server in servers)
        both = primaries + Counter(server.replica.address for server in servers if server.replica)
        least = min(workers, key=lambda worker: (both[worker], worker))
        for number, (_, primary, replica) in enumerate(servers):
            if replica and primaries[primary.address] - primaries[replica.address] > 1:
                next_primary = replica
            elif least != primary.address and both[replica.address if replica else primary.address] - both[least] > 1:
                next_primary = primary
            else:
                continue
            self._make_spares(workers)
            if self._spares[least].status != "finished":
                return
            wants = self._replicas or next_primary == primary
            follower = self._make_replica(next_primary, workers) if wants else None
            if follower or not wants:
                servers[number] = self._led(number, servers[number], next_primary, follower)
                self._publish(ServerView(tuple(servers)))
            return

    def _led(self, number: int, server: ReplicaGroup, primary: ActorRef, replica: ActorRef | None) -> ReplicaGroup:
        """Let a range have these actors from now on, in an epoch of their own: an earlier attempt may have failed."""
        followed_by = tuple(replica) if replica else None
        others = [replica.address] if replica else []  # until it has everything, the view does not show it
        epoch = self._epochs[number] = max(self._epochs[number], server.epoch) + 1
        self.call(primary, lambda actor: actor.lead(epoch, followed_by), others)
        if primary != server.primary and server.primary.address in self._reachable():
            with suppress(OSError):
                # so that whoever calls it asks for the other; one that is mute is not waited for
                self.call(server.primary, lambda actor: actor.stop(), patience=STOP_SECONDS)
        return ReplicaGroup(epoch, primary, replica)

    def _make_spares(self, workers: list[str]) -> None:
        self._spares = {worker: future for worker, future in self._spares.items() if worker in workers}
        for worker in workers:
            if worker not in self._spares or self._spares[worker].status not in ("pending", "finished"):
                self._spares[worker] = self._submit(None, worker)

    def _make_replica(self, primary: ActorRef, workers: list[str]) -> ActorRef | None:
        """Return an actor for a replica, on the worker that has fewest; None where no other has made one in time."""
        counts = {worker: 0 for worker in workers if worker != primary.address}
        for other in self.view.servers:
            for place in (other.primary, other.replica):
                if place is not None and place.address in counts:
                    counts[place.address] += 1
        self._make_spares(workers)
        deadline = time.monotonic() + UNGUARDED_AFTER
        while time.monotonic() < deadline:
            ready = [worker for worker in counts if self._spares[worker].status == "finished"]
            if ready:
                worker = min(ready, key=lambda worker: (counts[worker], worker))
                future = self._spares.pop(worker)
                self._held[str(future.key)] = future
                self._spares[worker] = self._submit(None, worker)
                return ActorRef(str(future.key), worker)
            if not set(counts).intersection(self._workers()):
                return None
            time.sleep(INTERVAL / 10)
        return None

    def _make_all(self, machines: Sequence[StateMachine], workers: Sequence[str]) -> list[ActorRef]:
        """Make the primaries; where a worker is lost meanwhile, on another."""
        places: list[ActorRef] = []
        while len(places) < len(machines):
            present = self._workers()
            if not present:
                raise LostServerError(f"all workers were lost before they held the parameters; {self._last_snapshot()}")
            number = len(places)
            counts = Counter(place.address for place in places)
            spare = min(present, key=lambda worker: (counts[worker], worker))
            worker = workers[number] if workers[number] in present else spare
            try:
                places.append(self._made(self._submit(machines[number], worker), worker))
            except OSError:
                if worker in self._workers():
                    raise
        return places

    def _submit(self, machine: StateMachine | None, worker: str) -> Future:
        given: Any = machine
        if machine is not None:  # as data, not as part of a task: it may be large
            try:
                (given,) = self.client.scatter([machine], workers=[worker], hash=False)
            except Exception as error:  # the scheduler's own, a KeyError, where the worker is lost meanwhile
                if worker in self.client.nthreads():
                    raise
                raise OSError(f"{worker} was lost before a server was made on it") from error
        key = f"{self.name}-{uuid.uuid4().hex}"
        return self.client.submit(ServerActor, given, key=key, actor=True, workers=[worker], allow_other_workers=False)

    def _made(self, future: Future, worker: str) -> ActorRef:
        deadline = time.monotonic() + PATIENCE
        while not future.done():
            if worker not in self._workers() or time.monotonic() > deadline:
                raise OSError(f"{worker} was lost before a server was made on it")
            time.sleep(INTERVAL / 10)
        if future.status != "finished":
            raise OSError(f"no server could be made on {worker}: {future.exception()!r}")
        self._held[str(future.key)] = future
        return ActorRef(str(future.key), worker)

    def _workers(self) -> list[str]:
        """Return the workers that are on the scheduler's list, not silent, and not to be retired."""
        require_connection(self.client)
        if time.monotonic() - self._looked > LOOK_INTERVAL:
            self._looked, self._silent = time.monotonic(), silent_workers(self.client)
            self._leaving = leaving_workers(self.client, self.name, self._leaving.difference(self._used()))
        return sorted(set(self.client.nthreads()).difference(self._silent, self._leaving))

    def _used(self) -> set[str]:
        """Return the addresses of the workers that hold ranges."""
        if not self.view.servers:  # they are being made
            return set(self._leaving)
        return {place.address for s in self.view.servers for place in (s.primary, s.replica) if place is not None}

    def _reachable(self) -> list[str]:
        """Return the workers that may answer: also those that are to be retired."""
        return [*self._workers(), *self._leaving]

    def _publish(self, view: ServerView) -> None:
        self._variable.set(pickle.dumps(view))
        self.view = view  # where workers have not heard of it, ranges are led anew
        used = {place.key for s in view.servers for place in (s.primary, s.replica) if place is not None}
        for key in self._held:
            if key not in used:
                self._unused.setdefault(key, time.monotonic())

    def _drop_unused(self) -> None:
        for key, since in list(self._unused.items()):
            if time.monotonic() - since > UNUSED_SECONDS:
                del self._held[key], self._unused[key]

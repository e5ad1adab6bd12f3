"""The failover supervisor over actors in one event loop: ranges move when workers are to retire, and when some join."""

from __future__ import annotations

import asyncio
import threading
import time
import weakref
from collections import Counter
from contextlib import nullcontext
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest

from daskml_kit.exceptions import LostServerError
from daskml_kit.optim import add
from daskml_kit.parameter_server import failover, rpc
from daskml_kit.parameter_server.client import WorkerClient
from daskml_kit.parameter_server.failover import FailoverSupervisor
from daskml_kit.parameter_server.layout import Layout
from daskml_kit.parameter_server.protocol import Consistency
from daskml_kit.parameter_server.replica import ActorRef
from daskml_kit.parameter_server.retirement import PREFIX, _ranges_move_first
from daskml_kit.parameter_server.rpc import Address, ClusterServers
from daskml_kit.parameter_server.state_machine import split

SECONDS = 60


class Cluster:
    """Workers with actors, whose methods run in one loop; stands for a client, too."""

    status = "running"

    def __init__(self, names):
        self.names, self.leaving, self.left, self.actors = set(names), set(), set(), {}
        self.silent, self.closed, self.after, self.refusals = set(), [], {}, []
        loop = asyncio.new_event_loop()
        self.loop = SimpleNamespace(asyncio_loop=loop)
        self.thread = threading.Thread(target=loop.run_forever, daemon=True)
        self.thread.start()

    def close(self):
        loop = self.loop.asyncio_loop
        asyncio.run_coroutine_threadsafe(self.cancel_all(), loop).result(SECONDS)
        loop.call_soon_threadsafe(loop.stop)
        self.thread.join()
        loop.close()

    async def cancel_all(self):
        running = asyncio.all_tasks() - {asyncio.current_task()}
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def nthreads(self):
        return dict.fromkeys(self.names, 1)

    def scheduler_info(self, n_workers):
        return {"workers": {name: {"last_seen": 0.0 if name in self.silent else 1e6} for name in self.names}}

    @property
    def scheduler(self):
        return SimpleNamespace(daskml_leaving_workers=self.leaving_workers, daskml_closed_server=self.closed.append)

    def leaving_workers(self, name, left):
        self.left.update(left)
        return list(self.leaving)

    def sync(self, function, **options):
        return function(*options.values())

    def register_plugin(self, plugin):
        pass

    def as_current(self):
        return nullcontext()

    def scatter(self, machines, workers, hash):
        return machines

    def submit(self, kind, machine, key, actor, workers, allow_other_workers):
        future = Future(key)
        self.actors[key, workers[0]] = kind(machine, self.reach)
        weakref.finalize(future, self.actors.pop, (key, workers[0]), None)
        return future

    def reach(self, key, address):
        return Proxy(self, ActorRef(key, address))

    async def call(self, place, name, *args):
        """Call a method of an actor; as in Dask, a call of one that was released never returns."""
        if place.address not in self.names:
            raise OSError(f"{place.address} is gone")
        if place not in self.actors:
            await asyncio.sleep(SECONDS)
        found = await getattr(self.actors[place], name)(*args)
        self.after.pop((place, name), lambda: None)()
        return found


class Future:
    """Future of an actor, which is released with it."""

    status = "finished"

    def __init__(self, key):
        self.key = key

    def done(self):
        return True


class Proxy(NamedTuple):
    """What calls an actor, from a thread or from another actor."""

    cluster: Cluster
    place: ActorRef

    def __getattr__(self, name):
        def call(*args):
            running = self.cluster.call(self.place, name, *args)
            if threading.current_thread() is self.cluster.thread:
                return running
            return asyncio.run_coroutine_threadsafe(running, self.cluster.loop.asyncio_loop)

        return call


@pytest.fixture
def cluster(monkeypatch):
    cluster = Cluster("abc")

    view = []

    def put(found):
        if cluster.refusals:
            cluster.refusals.pop()
            raise OSError("the connection was lost")
        view.append(found)

    variable = SimpleNamespace(set=put, get=lambda timeout: view[-1], delete=view.clear)
    monkeypatch.setattr(ActorRef, "actor", lambda place: Proxy(cluster, place))
    for module in (failover, rpc):
        monkeypatch.setattr(module, "Variable", lambda name, client: variable)
    monkeypatch.setattr(failover, "LOOK_INTERVAL", 0.02)
    monkeypatch.setattr(failover, "INTERVAL", 0.02)
    yield cluster
    cluster.close()


class Pusher:
    """Some threads that push ones to all ranges, as workers do."""

    def __init__(self, cluster, servers, n_ranges):
        address = Address("it", Layout.of({"w": np.zeros(3 * n_ranges)}, n_ranges))
        self.workers = [
            WorkerClient(address, Consistency(np.inf), name, servers=ClusterServers(address, cluster)) for name in "xyz"
        ]
        self.n_pushes, self.stopping = [0, 0, 0], threading.Event()
        self.threads = [threading.Thread(target=self.push, args=(number,)) for number in range(3)]
        for thread in self.threads:
            thread.start()

    def push(self, number):
        while not self.stopping.is_set():
            self.workers[number].push({"w": np.ones(self.workers[number].layout.size)})
            self.n_pushes[number] += 1

    def stop(self):
        """Stop, and return what all pushes add up to, and what is there."""
        self.stopping.set()
        for thread in self.threads:
            thread.join()
        return [float(sum(self.n_pushes))] * self.workers[0].layout.size, self.workers[0].pull()["w"].tolist()


def supervised(cluster, n_ranges, replicas, names="abc"):
    layout = Layout.of({"w": np.zeros(3 * n_ranges)}, n_ranges)
    machines = split(layout, np.zeros(3 * n_ranges), add(), Consistency(np.inf))
    hosts = [names[number % len(names)] for number in range(n_ranges)]
    return FailoverSupervisor(cluster, machines, hosts, replicas, lambda: "there is no snapshot")


def places(servers):
    return Counter(place.address for g in servers.view.servers for place in (g.primary, g.replica) if place)


def is_even(cluster, servers, replicas):
    """Return whether no worker has two ranges more than another, and each range has the replicas it is to have."""
    held = [places(servers)[name] for name in cluster.names]
    whole = all((group.replica is not None) == replicas for group in servers.view.servers)
    return max(held) <= min(held) + 1 and whole


def is_at_rest(servers):
    epochs = [group.epoch for group in servers.view.servers]
    time.sleep(10 * failover.INTERVAL)
    return [group.epoch for group in servers.view.servers] == epochs


def until(is_so):
    end = time.monotonic() + SECONDS
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize("replicas", [0, 1])
def test_ranges_move_and_spread(cluster, replicas):
    servers = supervised(cluster, 4, replicas)
    pusher = Pusher(cluster, servers, 4)
    for leaving, joining in ("ad", "be", "cf"):
        cluster.leaving.add(leaving)
        until(lambda leaving=leaving: leaving in cluster.left)
        assert leaving not in places(servers)
        cluster.names.remove(leaving)
        cluster.leaving.clear()
        cluster.names.add(joining)
        until(lambda: is_even(cluster, servers, replicas))
    until(lambda: is_at_rest(servers))
    expected, found = pusher.stop()
    assert found == expected
    assert servers.failovers == 0
    servers.stop()
    assert cluster.closed == [servers.name]


def test_a_range_stays_where_no_other_worker_is(cluster):
    servers = supervised(cluster, 1, 1, "a")
    pusher = Pusher(cluster, servers, 1)
    cluster.leaving.update(cluster.names)
    time.sleep(10 * failover.INTERVAL)
    assert not cluster.left.intersection(places(servers))
    cluster.leaving.clear()
    expected, found = pusher.stop()
    assert found == expected
    servers.stop()


def test_a_lost_range_is_told(cluster):
    servers = supervised(cluster, 2, 0)
    cluster.names.remove("a")
    end = time.monotonic() + SECONDS
    while not servers.view.failure:
        assert time.monotonic() < end
        time.sleep(0.01)
    assert "range 0 of the parameters was lost" in servers.view.failure
    servers.stop()
    with pytest.raises(LostServerError):
        supervised(Cluster(""), 1, 0)


def test_a_range_is_led_again_where_the_last_attempt_failed(cluster):
    """A primary falls silent, the answer of the replica that takes over is lost, and the primary is back."""
    servers = supervised(cluster, 1, 1)
    pusher = Pusher(cluster, servers, 1)
    ((_, primary, replica),) = servers.view.servers

    def lose_the_answer():
        cluster.silent.clear()
        raise OSError("the connection was lost")

    cluster.after[replica, "lead"] = lose_the_answer
    cluster.silent.add(primary.address)
    until(lambda: not cluster.after and servers.view.servers[0].epoch > 1)
    assert servers.view.servers[0].primary == primary
    before = list(pusher.n_pushes)
    until(lambda: all(now > then for now, then in zip(pusher.n_pushes, before, strict=True)))
    expected, found = pusher.stop()
    assert found == expected
    servers.stop()


def test_a_view_that_workers_did_not_get_is_not_kept(cluster):
    servers = supervised(cluster, 1, 1)
    pusher = Pusher(cluster, servers, 1)
    cluster.refusals.append(None)
    cluster.names.remove(servers.view.servers[0].primary.address)
    until(lambda: servers.view.servers[0].epoch > 2)
    before = list(pusher.n_pushes)
    until(lambda: all(now > then for now, then in zip(pusher.n_pushes, before, strict=True)))
    expected, found = pusher.stop()
    assert found == expected
    servers.stop()


@pytest.mark.parametrize("lost", ["primary", "replica"])
def test_an_actor_that_never_answers_is_replaced(cluster, monkeypatch, lost):
    """Its worker is there, but Dask has lost the actor: calls of it never end."""
    monkeypatch.setattr(failover, "CHECK_INTERVAL", 0.02)
    monkeypatch.setattr(failover, "STALLED_SECONDS", 0.5)
    monkeypatch.setattr(failover, "STOP_SECONDS", 0.1)
    servers = supervised(cluster, 1, 1)
    pusher = Pusher(cluster, servers, 1)
    group = servers.view.servers[0]
    del cluster.actors[getattr(group, lost)]
    until(lambda: servers.view.servers[0].epoch > group.epoch)
    assert servers.view.servers[0].primary == (group.replica if lost == "primary" else group.primary)
    before = list(pusher.n_pushes)
    until(lambda: all(now > then for now, then in zip(pusher.n_pushes, before, strict=True)))
    expected, found = pusher.stop()
    assert found == expected
    assert servers.failovers == (lost == "primary")
    servers.stop()


class Held(NamedTuple):
    """What a scheduler knows of an actor."""

    key: str
    state: str = "memory"


def retired(left, **options):
    """Retire workers of a scheduler, as its plugin does it, where servers leave some after a while; return both."""
    mine, idle, own = (Held(key) for key in (f"{PREFIX}1-a", f"{PREFIX}1-b", "own"))
    states = {name: SimpleNamespace(address=name, name=number, actors=set()) for number, name in enumerate("abc")}
    states["a"].actors, states["b"].actors, states["c"].actors = {mine, idle}, {own}, {mine}
    calls = []

    async def retire(workers, **options):
        calls.append((workers, options, {name: len(states[name].actors) for name in workers}))

    plugin = _ranges_move_first()
    scheduler = SimpleNamespace(
        workers=states,
        handlers={"retire_workers": retire},
        workers_to_close=lambda n: list(states)[:n],
    )

    async def run():
        plugin.start(scheduler)
        task = asyncio.create_task(scheduler.handlers["retire_workers"](**options))
        await asyncio.sleep(0)
        ask = scheduler.handlers["daskml_leaving_workers"]
        leaving = ask(f"{PREFIX}1", ())
        if left:
            await asyncio.sleep(0.05)
            assert not calls
            ask(f"{PREFIX}1", left)
        await asyncio.wait_for(task, SECONDS)
        assert ask(f"{PREFIX}1", ()) == []
        scheduler.handlers["daskml_closed_server"](f"{PREFIX}1")
        assert [len(state.actors) for state in states.values()] == [0, 1, 0]
        return leaving, *calls

    return asyncio.run(run())


def test_the_scheduler_waits_until_ranges_have_moved():
    expected = ["a"], (["a"], {"remove": True}, {"a": 0})
    assert retired("a", workers=["a"], remove=True) == expected
    assert retired("a", names=["0"], remove=True) == expected
    assert retired("a", n=1, remove=True) == expected
    assert retired("ac", workers=["a", "c", "gone"]) == (["a", "c"], (["a", "c"], {}, {"a": 0, "c": 0}))
    assert retired("", workers=["b"])[1] == (["b"], {}, {"b": 1})  # an actor of the user's, which Dask knows to refuse
    assert retired("", workers=["a", "b", "c"])[1][2] == {"a": 2, "b": 1, "c": 1}  # nobody is left to take them

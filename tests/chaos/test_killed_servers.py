"""Dask workers with servers, replicas and training workers are killed: each acknowledged push counts once."""

from __future__ import annotations

import os
import signal
import time

import dask.array as da
import numpy as np
import pytest
from distributed import get_worker, secede
from killable import KillableCluster
from numpy.testing import assert_array_equal

from benchmarks.kills import Killer, push_and_kill
from daskml_kit.engines import open as opening
from daskml_kit.engines.open import open_engine
from daskml_kit.exceptions import LostServerError
from daskml_kit.parameter_server import Asynchronous, ParameterServer, SparseRows, Synchronous, add, momentum, train
from daskml_kit.parameter_server.failover import FailoverSupervisor
from daskml_kit.parameter_server.training.config import TrainingConfig
from daskml_kit.parameter_server.training.coordinator import train_on
from daskml_kit.parameter_server.training.reached import Reached, TrainingProgress
from daskml_kit.parameter_server.training.updates import GradientStep

KILLS = int(os.environ.get("DASKML_KIT_KILLS", "4"))
"""How many workers are killed in a row; 20 for a long run."""
SEED = int(os.environ.get("DASKML_KIT_SEED", "0"))


@pytest.fixture(scope="module")
def killable():
    """Four workers, of which as many may die as a test likes."""
    with KillableCluster(4, {"distributed.scheduler.allowed-failures": 100}) as killable:
        yield killable


@pytest.fixture(autouse=True)
def on_the_cluster(monkeypatch):
    monkeypatch.setattr(opening, "LOCAL_BYTES", 0)


def test_each_acknowledged_push_counts_once(doomed, capsys):
    pushed = push_and_kill(doomed, KILLS, SEED)
    with capsys.disabled():
        print(f" {pushed.kinds}: {pushed.n_pushes} pushes", end=" ")
    for key, expected in pushed.expected.items():
        assert_array_equal(pushed.found[key], expected)


def test_server_and_replica_in_one_moment(doomed, tmp_path):
    directory = tmp_path / "snapshots"
    with ParameterServer({"w": np.zeros(4)}, momentum(0.5), staleness=np.inf, servers=1, client=doomed) as server:
        for _ in range(3):
            server.push({"w": np.ones(4)})
        server.snapshot(directory)
        saved = server.pull()["w"]
        server.push({"w": np.ones(4)})
        waiting = doomed.submit(push_for_ever, server.worker("a"), pure=False, workers=[idle(doomed, server)])
        Killer(doomed, server, SEED).await_replicas()
        (held,) = server._remote.view.servers
        pids = doomed.run(os.getpid, workers=[held.primary.address, held.replica.address])
        for pid in pids.values():
            os.kill(pid, signal.SIGKILL)
        with pytest.raises(LostServerError, match=r"the last snapshot is in .*snapshots"):
            waiting.result(timeout=60)
        with pytest.raises(LostServerError, match=r"the last snapshot is in .*snapshots"):
            server.push({"w": np.ones(4)})
    with ParameterServer.restore(directory, momentum(0.5), client=doomed) as server:
        assert_array_equal(server.pull()["w"], saved)
        assert server.version == 3
        server.push({"w": np.ones(4)})
        found = server.pull()["w"]
    with ParameterServer({"w": np.zeros(4)}, momentum(0.5), staleness=np.inf, client="local") as server:
        for _ in range(4):
            server.push({"w": np.ones(4)})
        assert_array_equal(found, server.pull()["w"])


def idle(client, server):
    """Return a worker that holds nothing."""
    (held,) = server._remote.view.servers
    return min(set(client.nthreads()).difference([held.primary.address, held.replica.address]))


def push_for_ever(worker):
    secede()
    while True:
        worker.push({"w": np.ones(4)})


class Visits:
    """A model whose parameters count how often each row was visited; once it kills a worker it is computed on."""

    def __init__(self, marker, victim, after=3):
        self.marker, self.victim, self.after, self.calls = marker, victim, after, 0

    def __call__(self, params, X, y):
        self.calls += 1
        if self.victim and self.calls > self.after and not os.path.exists(self.marker):
            if get_worker().address == self.victim:
                open(self.marker, "w").close()
                os.kill(os.getpid(), signal.SIGKILL)
            self._await_death()
        rows = X[:, 0].astype(int)
        return 1.0, {"visits": SparseRows(rows, np.full(len(rows), 1 / len(rows))), "sum": X.mean(axis=0)}

    def _await_death(self):
        """Leave the victim enough to compute, however slow it is."""
        deadline = time.monotonic() + 120
        while not os.path.exists(self.marker) and time.monotonic() < deadline:
            time.sleep(0.01)


def numbered(client, n_rows=4096, n_blocks=16):
    return client.persist(
        da.arange(n_rows, chunks=n_rows // n_blocks, dtype=float)[:, None] * np.array([[1.0, 1 / n_rows]])
    )


@pytest.mark.parametrize(("staleness", "victim"), [(4, 3), (np.inf, 0)])
def test_asynchronous_training_visits_all_rows_once(doomed, tmp_path, staleness, victim):
    X = numbered(doomed)
    model = Visits(str(tmp_path / "died"), sorted(doomed.nthreads())[victim])
    params = {"visits": np.zeros(4096), "sum": np.zeros(2)}
    training = Asynchronous(staleness=staleness, push_every=1, servers=2)
    found = train(model, params, X, X[:, 1], update=add(), training=training, epochs=2, batch_size=64)
    assert os.path.exists(model.marker)
    assert_array_equal(found.params["visits"], np.full(4096, 2 / 64))


@pytest.mark.parametrize("staleness", [0, {"visits": np.inf}], ids=["in_step", "table"])
@pytest.mark.parametrize("victim", [0, 3], ids=["server", "trainer"])
def test_synchronous_training_gives_the_same_bits(doomed, tmp_path, victim, staleness):
    """Rows of a table out of step are the same, too: each is visited once, and by its own gradient alone."""
    X = numbered(doomed)
    params = {"visits": np.zeros(4096), "sum": np.zeros(2)}
    config = {"training": Synchronous(servers=2, staleness=staleness), "epochs": 1, "batch_size": 256}
    expected = train(Visits("", ""), params, X, X[:, 1], update=momentum(0.1), **config)
    model = Visits(str(tmp_path / "died"), sorted(doomed.nthreads())[victim])
    found = train(model, params, X, X[:, 1], update=momentum(0.1), **config)
    assert os.path.exists(model.marker)
    for key in params:
        assert_array_equal(found.params[key], expected.params[key])


def test_a_worker_that_joins_takes_part(doomed):
    X = numbered(doomed)
    before = set(doomed.nthreads())

    class Grow(TrainingProgress):
        def goes_on(self, history, params):
            if len(history.epochs) == 1:
                doomed.cluster.scale(5)
            return not {done.worker for done in history.assignments} - before

        def kept(self):
            return {}

        def take_up(self, kept):
            pass

    with open_engine(X, X[:, 1]) as engine:
        config = TrainingConfig(Asynchronous(), epochs=100_000, batch_size=64)
        start = Reached({"visits": np.zeros(4096), "sum": np.zeros(2)})
        found = train_on(engine, GradientStep(Visits("", "")), add(), config, start, Grow())
    assert {done.worker for done in found.history.assignments} - before


def test_a_worker_that_is_lost_before_it_holds_its_range(doomed, monkeypatch):
    """The second of three primaries is not made yet when its worker dies."""
    lost = []

    def submit(self, machine, worker):
        if machine is not None and machine.vector[0] == 3.0 and not lost:
            (pid,) = doomed.run(os.getpid, workers=[worker]).values()
            os.kill(pid, signal.SIGKILL)
            lost.append(worker)
        return made(self, machine, worker)

    made = FailoverSupervisor._submit
    monkeypatch.setattr(FailoverSupervisor, "_submit", submit)
    with ParameterServer({"w": np.arange(9.0)}, update=add(), servers=3) as server:
        assert lost
        assert lost[0] not in [place.primary.address for place in server._remote.view.servers]
        server.push({"w": np.ones(9)})
        assert_array_equal(server.pull()["w"], np.arange(9.0) + 1)

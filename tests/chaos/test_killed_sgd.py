"""A worker process is killed (SIGKILL) in the middle of training by stochastic gradients: the bits stay the same."""

from __future__ import annotations

import os
import signal
import threading
import time

import dask.array as da
import pytest
from distributed import Client, LocalCluster
from numpy.testing import assert_array_equal

from daskml_kit.engines import open as opening
from daskml_kit.linear_model import SGDClassifier
from daskml_kit.parameter_server import Synchronous
from daskml_kit.parameter_server.training.worker_loop import carry_out


@pytest.fixture
def doomed():
    """A cluster for one test: one that was killed may take long to start again."""
    cluster = LocalCluster(n_workers=3, threads_per_worker=1, processes=True, dashboard_address=":0")
    with cluster, Client(cluster) as client:
        yield client


def make():
    X = da.random.default_rng(5).normal(size=(60_000, 6), chunks=(3000, 6))
    return X, (X[:, 0] - 0.5 * X[:, 1] + X[:, 2] ** 2 > 0.8).astype(int)


def kill_when_training(client, victim, killed):
    """Kill a Dask worker soon after training began, which the name of its tasks tells."""
    pids = client.run(os.getpid)
    address = sorted(pids)[victim]
    late = time.monotonic() + 120
    while not any(str(key).startswith(carry_out.__name__) for keys in client.processing().values() for key in keys):
        if time.monotonic() > late:
            return
        time.sleep(0.01)
    time.sleep(0.1)
    os.kill(pids[address], signal.SIGKILL)
    killed.append(address)


@pytest.mark.filterwarnings("ignore:the parameters have no replica")
@pytest.mark.parametrize("victim", [0, 2], ids=["the server's worker", "a worker's"])
def test_training_in_step_survives(doomed, monkeypatch, victim):
    monkeypatch.setattr(opening, "LOCAL_BYTES", 0)
    X, y = doomed.persist(make())
    training = Synchronous(push_every=8)
    model = SGDClassifier("log_loss", max_iter=8, tol=None, random_state=0, batch_size=64, training=training)
    expected = model.fit(X, y).coef_.copy()
    killed = []
    killer = threading.Thread(target=kill_when_training, args=(doomed, victim, killed))
    killer.start()
    found = model.fit(X, y)
    killer.join()
    assert killed
    assert_array_equal(found.coef_, expected)
    assert found.n_iter_ == 8

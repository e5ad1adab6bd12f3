"""A worker process is killed (SIGKILL) in the middle of training by stochastic gradients: the bits stay the same."""

from __future__ import annotations

import os
import signal
import threading
import time

import dask
import dask.array as da
import pytest
from distributed import Client, LocalCluster
from numpy.testing import assert_array_equal

from daskml_kit.engines import open as opening
from daskml_kit.linear_model import SGDClassifier
from daskml_kit.parameter_server import History, Synchronous


def make(n_rows=60_000):
    X = da.random.default_rng(5).normal(size=(n_rows, 6), chunks=(n_rows // 20, 6))
    return X, (X[:, 0] - 0.5 * X[:, 1] + X[:, 2] ** 2 > 0.8).astype(int)


def kill_when_training(client, victim, killed):
    """Kill a Dask worker soon after training began, which the name of its tasks tells."""
    pids = client.run(os.getpid)
    address = sorted(pids)[victim]
    late = time.monotonic() + 120
    while not any(str(key).startswith("daskml-carry-out") for keys in client.processing().values() for key in keys):
        if time.monotonic() > late:
            return
        time.sleep(0.01)
    time.sleep(0.1)
    os.kill(pids[address], signal.SIGKILL)
    killed.append(address)


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


def test_training_goes_on_where_all_parameters_were_lost(monkeypatch):
    monkeypatch.setattr(opening, "LOCAL_BYTES", 0)
    X, y = make(6000)
    training = Synchronous(push_every=8)
    model = SGDClassifier("log_loss", max_iter=3, tol=None, random_state=0, batch_size=64, training=training)
    patience = dask.config.set({"distributed.deploy.lost-worker-timeout": "300s"})  # for new workers, of a busy machine
    cluster = LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0")
    with patience, cluster, Client(cluster) as client:
        X, y = client.persist([X, y])
        expected = model.fit(X, y).coef_.copy()
        pids, end = client.run(os.getpid), History.end

        def end_and_kill(history, epoch, *sums):
            if epoch == 1:
                while pids:
                    os.kill(pids.popitem()[1], signal.SIGKILL)
            return end(history, epoch, *sums)

        monkeypatch.setattr(History, "end", end_and_kill)
        with pytest.warns(RuntimeWarning, match="goes on from the end of epoch 2 of 3"):
            found = model.fit(X, y)
    assert_array_equal(found.coef_, expected)
    assert [record.epoch for record in found.history_.epochs] == [0, 1, 2]

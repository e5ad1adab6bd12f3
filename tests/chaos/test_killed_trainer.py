"""A worker process is killed (SIGKILL) in the middle of the training of a network: it ends with the identical bits."""

from __future__ import annotations

import os
import signal

import dask.array as da
import pytest
from distributed import Client, LocalCluster
from numpy.testing import assert_array_equal

from daskml_kit.engines import open as opening
from daskml_kit.neural_network import MLPClassifier
from daskml_kit.neural_network import mlp_training as progress
from daskml_kit.parameter_server import Synchronous


@pytest.fixture
def doomed():
    """A cluster for one test: one that was killed may take long to start again."""
    cluster = LocalCluster(n_workers=3, threads_per_worker=1, processes=True, dashboard_address=":0")
    with cluster, Client(cluster) as client:
        yield client


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("victim", [0, -1])
def test_a_network_survives(doomed, monkeypatch, victim):
    monkeypatch.setattr(opening, "LOCAL_BYTES", 0)
    X = da.random.default_rng(5).normal(size=(6_000, 6), chunks=(500, 6))
    X, y = doomed.persist([X, (X[:, 0] * X[:, 1] > 0).astype(int)])
    model = MLPClassifier(20, max_iter=4, batch_size=300, training=Synchronous(virtual_workers=3), random_state=0)
    expected = [array.copy() for array in model.fit(X, y).coefs_]
    losses, killed = model.loss_curve_, []
    goes_on = progress.MlpProgress.goes_on

    def kill_after_two_epochs(self, history, params):
        if len(history.epochs) == 2:
            pids = doomed.run(os.getpid)
            killed.append(pids[sorted(pids)[victim]])
            os.kill(killed[-1], signal.SIGKILL)
        return goes_on(self, history, params)

    monkeypatch.setattr(progress.MlpProgress, "goes_on", kill_after_two_epochs)
    model.fit(X, y)
    assert len(killed) == 1
    for ours, other in zip(model.coefs_, expected, strict=True):
        assert_array_equal(ours, other)
    assert model.loss_curve_ == losses

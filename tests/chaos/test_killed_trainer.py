"""A worker process is killed (SIGKILL) in the middle of the training of a network: it ends with the identical bits."""

from __future__ import annotations

import os
import signal

import dask.array as da
import pytest
from numpy.testing import assert_array_equal

from daskml_kit.engines import open as opening
from daskml_kit.linear_model import SGDClassifier
from daskml_kit.neural_network import MLPClassifier
from daskml_kit.neural_network import mlp_training as progress
from daskml_kit.parameter_server import Synchronous
from daskml_kit.parameter_server.client import ACKNOWLEDGEMENT, WorkerClient


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


def die_at(push):
    """Let this process kill itself when it has pushed so many synchronous steps, and report none of them."""
    push_step, pushes = WorkerClient.push_step, []

    def push_and_die(*args, **options):
        read = push_step(*args, **options)
        pushes.append(read)
        if len(pushes) == push:
            os.kill(os.getpid(), signal.SIGKILL)
        return read

    WorkerClient.push_step = push_and_die


def outcome(model, X, y):
    """Fit, and return all that has to be the same, and the steps of an epoch."""
    model.fit(X, y)
    fitted = [*model.coefs_, *model.intercepts_] if hasattr(model, "coefs_") else [model.coef_, model.intercept_]
    epochs = [(epoch.loss, epoch.n_rows, epoch.pushes) for epoch in model.history_.epochs]
    return model.n_iter_, model.t_, getattr(model, "loss_curve_", None), epochs, [part.tobytes() for part in fitted]


@pytest.mark.parametrize(
    ("model", "pushes"),
    [
        (SGDClassifier("log_loss", tol=0.01, n_iter_no_change=2), (6, 8)),  # 4 steps an epoch
        (MLPClassifier(5, tol=0.05, n_iter_no_change=1, learning_rate_init=0.03), (5, 20)),  # 10 steps an epoch
    ],
    ids=["SGD", "MLP"],
)
def test_the_loss_of_an_epoch_has_the_steps_of_the_dead(doomed, monkeypatch, model, pushes):
    monkeypatch.setattr(opening, "LOCAL_BYTES", 0)
    X = da.random.default_rng(5).normal(size=(3_000, 6), chunks=(500, 6))
    X, y = doomed.persist([X, (X[:, 0] * X[:, 1] + X[:, 2] > 0).astype(int)])
    model.set_params(batch_size=300, training=Synchronous(virtual_workers=3, push_every=1))
    for seed, push in enumerate(pushes):
        model.set_params(random_state=seed)
        expected = outcome(model, X, y)
        assert 3 < expected[0] < model.max_iter
        doomed.wait_for_workers(3)
        pids = doomed.run(os.getpid)
        address = sorted(pids)[-seed]  # the server's, then another
        doomed.run(die_at, push, workers=[address])
        assert outcome(model, X, y) == expected
        doomed.wait_for_workers(3)
        assert pids[address] not in doomed.run(os.getpid).values()


def die_between_servers(push):
    """Let this process kill itself when only the first server has its part of the step of this number."""
    push_step, pushes = WorkerClient.push_step, []

    def push_or_die(worker, parts, **options):
        pushes.append(parts)
        if len(pushes) == push:
            first, _ = worker._step_messages(parts, options["epoch"])
            worker.servers.send(0, first, ACKNOWLEDGEMENT).result()
            os.kill(os.getpid(), signal.SIGKILL)
        return push_step(worker, parts, **options)

    WorkerClient.push_step = push_or_die


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_step_that_only_some_servers_have_begins_its_epoch_anew(doomed, monkeypatch):
    monkeypatch.setattr(opening, "LOCAL_BYTES", 0)
    X = da.random.default_rng(5).normal(size=(3_000, 6), chunks=(500, 6))
    X, y = doomed.persist([X, (X[:, 0] * X[:, 1] + X[:, 2] > 0).astype(int)])
    training = Synchronous(virtual_workers=3, push_every=1, servers=2)
    model = MLPClassifier(5, max_iter=4, batch_size=300, training=training, random_state=0)
    expected = outcome(model, X, y)
    doomed.run(die_between_servers, 14, workers=[max(doomed.run(os.getpid))])
    with pytest.warns(
        RuntimeWarning, match="lost while it pushed its part of step 13; .* from the end of epoch 1 of 4"
    ):
        assert outcome(model, X, y) == expected

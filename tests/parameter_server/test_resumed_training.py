"""A training that is broken off after an epoch goes on from its checkpoint: none is made again, the bits are equal."""

from __future__ import annotations

import os
import stat

import dask.array as da
import numpy as np
import pytest

from daskml_kit.exceptions import CheckpointError
from daskml_kit.linear_model import SGDClassifier, SGDRegressor
from daskml_kit.neural_network import MLPClassifier, MLPRegressor
from daskml_kit.parameter_server import Asynchronous, History, ParameterServer, Synchronous, adam, add, train
from daskml_kit.parameter_server.training.reached import TrainingCheckpoint
from daskml_kit.recommendation import MatrixFactorization

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
ROWS = np.random.default_rng(0).normal(size=(600, 4))
X, Y = da.from_array(ROWS, chunks=(150, 4)), (ROWS[:, 0] * ROWS[:, 1] + ROWS[:, 2] > 0).astype(int)
PAIRS = np.random.default_rng(1).integers(0, 9, size=(600, 2))
NAMES = np.array(["no", "yes"])[Y]
SLOW = {"learning_rate": "adaptive", "n_iter_no_change": 1, "random_state": 0}
CASES = {
    "labels": (SGDClassifier("log_loss", max_iter=5, tol=None, random_state=0), X, da.from_array(NAMES, chunks=150)),
    "memory": (SGDClassifier("log_loss", max_iter=5, average=True, random_state=0), ROWS, NAMES),
    "adaptive SGD": (SGDRegressor(eta0=0.5, tol=0.1, **SLOW), X, Y),
    "validated": (SGDClassifier(early_stopping=True, max_iter=5, random_state=0), X, Y),
    "network": (MLPClassifier(3, early_stopping=True, learning_rate_init=0.1, max_iter=6, random_state=0), X, Y),
    "adaptive network": (MLPRegressor(hidden_layer_sizes=3, solver="sgd", tol=0.1, max_iter=30, **SLOW), X, Y),
    "full batch": (MLPClassifier(3, solver="lbfgs", max_iter=4, random_state=0), X, Y),
    "ratings": (MatrixFactorization(2, max_iter=4, random_state=0), PAIRS, Y.astype(float)),
}


class Broken(Exception):
    pass


def breaking(monkeypatch, after):
    """Let a training break off when it has written down so many epochs; return a list of the epochs that end."""
    end, write, ended, written = History.end, TrainingCheckpoint.write, [], []

    def note(history, epoch, *sums):
        ended.append(epoch)
        return end(history, epoch, *sums)

    def write_and_break(*args):
        write(*args)
        written.append(args)
        if len(written) == after:
            raise Broken

    monkeypatch.setattr(History, "end", note)
    monkeypatch.setattr(TrainingCheckpoint, "write", write_and_break)
    return ended


def learned(model):
    """Return the bits of the fitted attributes, without times."""
    left_out = ("profile_", "history_")
    own = {name: value for name, value in vars(model).items() if name.endswith("_") and name not in left_out}
    return {name: [np.asarray(v).tobytes() for v in (a if isinstance(a, list) else [a])] for name, a in own.items()}


@pytest.mark.parametrize("case", CASES)
def test_a_fit_goes_on(case, monkeypatch, tmp_path):
    model, rows, target = CASES[case]
    expected, whole = learned(model.fit(rows, target)), model.profile_.passes
    n_epochs = len(getattr(model, "history_", History()).epochs)
    for after in (1, 3):
        folder = tmp_path / f"{after}"
        with monkeypatch.context() as patched:
            ended = breaking(patched, after)
            if n_epochs:
                with pytest.raises(Broken):
                    model.fit(rows, target, checkpoint=folder)
            assert learned(model.fit(rows, target, checkpoint=folder)) == expected
            assert ended == list(range(n_epochs))
            assert learned(model.fit(rows, target, checkpoint=folder)) == expected  # all is there
            assert len(ended) == n_epochs
            assert model.profile_.passes < max(whole, 1)


def squares(params, X, y):
    error = X @ params["w"] - y
    return (error**2).mean(), {"w": 2 * X.T @ error / len(y)}


@pytest.mark.parametrize("training", [Synchronous(virtual_workers=3), Asynchronous(push_every=1)])
def test_a_training_of_ones_own_goes_on(training, monkeypatch, tmp_path):
    options = {"update": adam(0.1), "epochs": 5, "training": training, "validation_fraction": 0.2, "n_jobs": 1}
    start = {"w": np.zeros(4, np.float32)}
    ended = breaking(monkeypatch, 2)
    with pytest.raises(Broken):
        train(squares, start, X, Y, checkpoint=tmp_path, random_state=None, **options)
    with ParameterServer.restore(tmp_path, adam(0.1), client="local") as server:
        assert server.pull()["w"].dtype == np.float32
    found = train(squares, start, X, Y, checkpoint=tmp_path, random_state=None, **options)
    assert ended == [epoch.epoch for epoch in found.history.epochs] == list(range(5))
    seconds = [epoch.seconds for epoch in found.history.epochs]
    assert seconds == sorted(seconds)
    assert {stat.S_IMODE(os.stat(path).st_mode) for path in tmp_path.iterdir()} == {0o600}


def test_a_checkpoint_of_something_else_is_refused(tmp_path):
    model = SGDRegressor(max_iter=2, tol=None, random_state=0).fit(X, Y, checkpoint=tmp_path / "fit")
    moved = model.set_params(training=Synchronous(replicas=0, servers=1)).fit(X, Y, checkpoint=tmp_path / "fit")
    assert len(moved.history_.epochs) == 2
    with pytest.raises(CheckpointError, match="other data or other parameters"):
        model.set_params(alpha=0.5).fit(X, Y, checkpoint=tmp_path / "fit")
    with pytest.raises(CheckpointError, match="other data or other parameters"):
        train(squares, {"w": np.zeros(4)}, X, Y, checkpoint=tmp_path / "fit")
    with ParameterServer({"w": np.zeros(4)}, add(), client="local") as server:
        server.snapshot(tmp_path / "server")
    with pytest.raises(CheckpointError, match="of no training"):
        train(squares, {"w": np.zeros(4)}, X, Y, update=add(), checkpoint=tmp_path / "server")
    with pytest.raises(ValueError, match="checkpoint: expected None with solver='lbfgs' on data in memory"):
        MLPClassifier(solver="lbfgs").fit(ROWS, Y, checkpoint=tmp_path / "network")

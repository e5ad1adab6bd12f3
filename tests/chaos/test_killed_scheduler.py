"""The scheduler is killed (SIGKILL) in the middle of a fit, search, training or job: one error tells so, all go on."""

from __future__ import annotations

import time
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import sklearn.linear_model
from distributed import Client, LocalCluster
from numpy.testing import assert_array_equal

from benchmarks.kills import scheduler_process
from daskml_kit.engines import open as opening
from daskml_kit.engines.engine import watching
from daskml_kit.exceptions import CheckpointError, LostDataError, LostSchedulerError
from daskml_kit.linear_model import LogisticRegression, Ridge, SGDClassifier
from daskml_kit.model_selection import GridSearchCV, attach, submit
from daskml_kit.model_selection.search.progress import listening
from daskml_kit.neural_network import MLPClassifier
from daskml_kit.optim import adam, add
from daskml_kit.parameter_server import ParameterServer, Synchronous, train
from daskml_kit.parameter_server.training.reached import TrainingCheckpoint


@pytest.fixture
def doomed(monkeypatch):
    """A client, and what kills the scheduler that it is connected to."""
    monkeypatch.setattr(opening, "LOCAL_BYTES", 0)
    with scheduler_process() as (client, kill):
        yield client, kill


def make():
    X = da.random.default_rng(5).normal(size=(4000, 4), chunks=(1000, 4))
    return X, (X[:, 0] - 0.5 * X[:, 1] + X[:, 2] ** 2 > 0.8).astype(int)


def test_a_fit_and_its_job_tell_and_the_fit_goes_on_elsewhere(doomed, monkeypatch, tmp_path):
    client, kill = doomed
    job = submit(sklearn.linear_model.Ridge(), [[0.0], [1.0]], [1.0, 3.0], name="line")
    job.result()

    def kill_after_two(profile):
        if profile.passes == 2:
            kill()

    model = LogisticRegression(tol=1e-9, solver="lbfgs")
    with watching(kill_after_two), pytest.raises(LostSchedulerError, match=f"kept in the checkpoint '{tmp_path}'"):
        model.fit(*make(), checkpoint=tmp_path)
    with pytest.raises(LostSchedulerError, match=r"attach\('line'\) under a new client"):
        job.status()
    assert repr(job) == "<Job line: unreachable>"
    client.close()
    with LocalCluster(n_workers=1, processes=False, dashboard_address=":0") as cluster, Client(cluster):
        found = model.fit(*make(), checkpoint=tmp_path).coef_.copy()
        assert_array_equal(found, model.fit(*make()).coef_)


def test_a_search_tells(doomed, tmp_path):
    _, kill = doomed

    def kill_after_three(progress):
        if progress.fits == 3:
            kill()

    search = GridSearchCV(sklearn.linear_model.Ridge(), {"alpha": [float(i) for i in range(1, 20)]}, cv=2)
    with listening(kill_after_three), pytest.raises(LostSchedulerError, match="kept in the checkpoint"):
        search.fit(*make(), checkpoint=tmp_path)


SECONDS = 120


class Noted(sklearn.linear_model.Ridge):
    """Writes a line for each fit, and waits in the sixth while there is a file "hold" beside it."""

    def __init__(self, path=None, alpha=1.0):
        super().__init__(alpha=alpha)
        self.path = path

    def fit(self, X, y):
        with open(self.path, "a") as file:
            file.write(f"{self.alpha} {float(y.sum()):.6f}\n")
        if len(Path(self.path).read_text().splitlines()) > 5:
            until(lambda: not Path(self.path).with_name("hold").exists())
        return super().fit(X, y)


class Held(LogisticRegression):
    """Waits in its third pass while there is a file "hold" beside the checkpoint."""

    def fit(self, X, y, *, checkpoint):
        def hold(profile):
            if profile.passes == 3:
                until(lambda: not Path(checkpoint).with_name("hold").exists())

        with watching(hold):
            return super().fit(X, y, checkpoint=checkpoint)


def until(is_so):
    end = time.monotonic() + SECONDS
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.01)


def n_written(folder):
    """Return how many answers, or fits of a search, a checkpoint has."""
    log = folder / "fits.jsonl"
    return log.read_text().count("\n") - 1 if log.exists() else len(list(folder.glob("*.npz")))


@pytest.mark.parametrize("kind", ["fit", "search"])
def test_a_job_goes_on_under_a_new_scheduler(doomed, tmp_path, kind):
    client, kill = doomed
    grid, path = {"alpha": [0.1, 1.0, 10.0, 100.0]}, str(tmp_path / "fits")
    own = Held(tol=1e-9, solver="lbfgs") if kind == "fit" else GridSearchCV(Noted(path), grid, cv=2, refit=False)
    kept = tmp_path / "kept"
    (tmp_path / "hold").touch()
    submit(own, *make(), client=client, name="it", checkpoint=kept)
    until(lambda: kept.exists() and n_written(kept) >= 2)
    kill()
    (tmp_path / "hold").unlink()
    until(lambda: client.status != "running")
    client.close()
    n_kept = n_written(kept)
    before = Path(path).read_text() if kind == "search" else ""
    with LocalCluster(n_workers=1, processes=False, dashboard_address=":0") as cluster, Client(cluster) as client:
        with pytest.raises(ValueError, match="there is no job 'it'"):
            attach("it")
        job = attach("it", checkpoint=kept) if kind == "fit" else attach(checkpoint=kept)
        assert attach(checkpoint=kept).key == attach("it").key == job.key
        found = job.result(SECONDS)
        if kind == "fit":
            whole = LogisticRegression(tol=1e-9, solver="lbfgs").fit(*make())
            assert_array_equal(found.coef_, whole.coef_)
            assert found.profile_.passes == whole.profile_.passes - n_kept
        else:
            whole = GridSearchCV(sklearn.linear_model.Ridge(), grid, cv=2, refit=False).fit(*make())
            assert_array_equal(found.cv_results_["mean_test_score"], whole.cv_results_["mean_test_score"])
            again = Path(path).read_text().removeprefix(before).splitlines()
            assert len(again) == len(set(again)) == 8 - n_kept
        job.forget()


def test_jobs_that_cannot_go_on_tell_why(client, tmp_path):
    X, y = client.persist(make())
    kept = tmp_path / "new" / "kept"
    ridge = Ridge()
    job = submit(ridge, X, y, name="held", checkpoint=kept)
    job.result(SECONDS)
    with pytest.raises(ValueError, match="that of the job 'held', and not of 'other'"):
        attach("other", checkpoint=kept)
    job.forget()
    with pytest.raises(LostDataError, match="job 'held': X, y had been persisted on a cluster"):
        attach(checkpoint=kept)
    with pytest.raises(CheckpointError, match=r"there is no .*other\.job"):
        attach(checkpoint=tmp_path / "other")
    with pytest.warns(UserWarning, match=r"a lost scheduler loses the job: .*cannot be written"):
        job = submit(ridge, X, y, name="nowhere", checkpoint="/dev/null/kept")
    with pytest.raises(CheckpointError, match="cannot be made"):
        job.result(SECONDS)
    job.forget()


ALONE = Synchronous(replicas=0)
"""There is one worker."""


class Squares:
    """Least squares, trained by a call that looks like a fit."""

    def fit(self, X, y, checkpoint=None):
        options = {"update": adam(0.1), "epochs": 5, "training": ALONE, "checkpoint": checkpoint}
        self.params_, self.history_, _ = train(squares, {"w": np.zeros(4)}, X, y, **options)
        return self


def squares(params, X, y):
    error = X @ params["w"] - y
    return (error**2).mean(), {"w": 2 * X.T @ error / len(y)}


def bits(model):
    """Return the bits of what was learned, and the losses."""
    arrays = [*getattr(model, "params_", {}).values(), *getattr(model, "coefs_", ()), getattr(model, "coef_", None)]
    return [array.tobytes() for array in arrays if array is not None], [e.loss for e in model.history_.epochs]


def test_a_server_of_a_training_of_ones_own_tells(doomed):
    client, kill = doomed
    with ParameterServer({"w": np.zeros(3)}, add(), replicas=0, client=client) as server:
        server.push({"w": np.ones(3)})
        kill()
        with pytest.raises(LostSchedulerError, match="or a snapshot of a parameter server keeps what was finished"):
            server.push({"w": np.ones(3)})


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    "model",
    [
        Squares(),
        SGDClassifier(
            "log_loss", learning_rate="adaptive", eta0=0.5, n_iter_no_change=1, training=ALONE, random_state=0
        ),
        MLPClassifier(4, max_iter=5, early_stopping=True, training=ALONE, random_state=0),
    ],
    ids=["train", "SGD", "MLP"],
)
def test_a_training_goes_on_from_its_checkpoint(doomed, tmp_path, monkeypatch, model):
    client, kill = doomed
    write, written = TrainingCheckpoint.write, []

    def write_and_kill(checkpoint, server, machines, reached):
        write(checkpoint, server, machines, reached)
        written.append(reached.epoch)
        if len(written) == 2:
            kill()

    monkeypatch.setattr(TrainingCheckpoint, "write", write_and_kill)
    with pytest.raises(LostSchedulerError, match=f"kept in the checkpoint '{tmp_path}'"):
        model.fit(*make(), checkpoint=tmp_path)
    client.close()
    with LocalCluster(n_workers=1, processes=False, dashboard_address=":0") as cluster, Client(cluster):
        found = bits(model.fit(*make(), checkpoint=tmp_path))
        assert written == list(range(1, len(found[1]) + 1))  # none twice
        assert found == bits(model.fit(*make()))

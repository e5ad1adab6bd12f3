"""Processes are killed (SIGKILL) in the middle of a search or a job: nothing finished is done again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import dask.array as da
import pytest
import sklearn.linear_model
import sklearn.model_selection
from distributed import Client
from numpy.testing import assert_array_equal
from sklearn.pipeline import Pipeline

from daskml_kit.engines.engine import watching
from daskml_kit.exceptions import LostDataError
from daskml_kit.linear_model import Ridge
from daskml_kit.model_selection import GridSearchCV, attach, submit

ALPHAS = [0.01, 0.1, 1.0, 10.0, 100.0]
N_FITS = 3 * len(ALPHAS)
SECONDS = 240


class Gated(sklearn.linear_model.Ridge):
    """Writes a line for each fit, of alpha and of the sum of y, by which a split is known.

    It waits in the ``held``-th until there is a file "go" beside it.
    """

    def __init__(self, path=None, held=5, alpha=1.0):
        super().__init__(alpha=alpha)
        self.path, self.held = path, held

    def fit(self, X, y):
        with open(self.path, "a") as file:
            file.write(f"{self.alpha} {float(y.sum()):.6f}\n")
        if n_lines(self.path) >= self.held:
            until(Path(self.path).with_name("go").exists)
        return super().fit(X, y)


def n_lines(path):
    return Path(path).read_text().count("\n") if Path(path).exists() else 0


def until(is_so):
    end = time.monotonic() + SECONDS
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.01)


def make():
    X = da.random.default_rng(0).normal(size=(600, 3), chunks=(150, 3))
    return X, X.sum(axis=1) + da.random.default_rng(1).normal(size=600, chunks=150)


def search(folder):
    """Return a search of which one half shares passes and is done first."""
    steps = {"model__alpha": ALPHAS, "model": [Ridge(), Gated(str(folder / "fits"))]}
    return GridSearchCV(Pipeline([("model", Ridge())]), steps, cv=3, refit=False, n_jobs=1)


def run(folder, address):
    """Search, in a process of its own; the number of passes is written."""
    passes = []
    with watching(lambda profile: passes.append(1)):
        if address == "none":
            search(folder).fit(*make(), checkpoint=folder / "kept")
        else:
            with Client(address):
                search(folder).fit(*make(), checkpoint=folder / "kept")
    (folder / "passes").write_text(f"{len(passes)}")


def start(folder, address):
    code = f"from pathlib import Path; from {__name__} import run; run(Path({str(folder)!r}), {address!r})"
    paths = os.pathsep.join(filter(None, sys.path))
    return subprocess.Popen([sys.executable, "-W", "ignore", "-c", code], env={**os.environ, "PYTHONPATH": paths})


@pytest.mark.parametrize("on_cluster", [False, True], ids=["threads", "cluster"])
def test_a_killed_client_resumes(tmp_path, cluster, on_cluster):
    address = cluster.scheduler_address if on_cluster else "none"
    log = tmp_path / "kept" / "fits.jsonl"
    killed = start(tmp_path, address)
    until(lambda: n_lines(tmp_path / "fits") >= 5)
    os.kill(killed.pid, signal.SIGKILL)
    assert killed.wait(SECONDS) == -signal.SIGKILL
    (tmp_path / "go").touch()
    kept = n_lines(log) - 1 - N_FITS
    assert 0 < kept <= 5
    with Client(cluster, set_as_default=False) as client:  # fits that were begun are over
        until(lambda: not any(client.processing().values()))
    (tmp_path / "fits").write_text("")
    assert start(tmp_path, address).wait(SECONDS) == 0
    assert n_lines(tmp_path / "fits") == N_FITS - kept
    assert (tmp_path / "passes").read_text() == "0"
    assert n_lines(log) == 1 + 2 * N_FITS
    resumed = search(tmp_path).fit(*make(), checkpoint=tmp_path / "kept")
    direct = search(tmp_path).fit(*make())
    assert_array_equal(resumed.cv_results_["mean_test_score"], direct.cv_results_["mean_test_score"])


@pytest.mark.parametrize("checkpoint", [False, True])
def test_a_job_runs_again_where_its_worker_died(tmp_path, whole_cluster, checkpoint):
    path = str(tmp_path / "fits")
    grid = {"alpha": ALPHAS}
    direct = GridSearchCV(sklearn.linear_model.Ridge(), grid, cv=3).fit(*make())
    with Client(whole_cluster, set_as_default=False) as client:
        X, y = client.persist(make())
        params = {"checkpoint": tmp_path / "kept"} if checkpoint else {}
        submit(GridSearchCV(Gated(path, held=6), grid, cv=3), X, y, client=client, name="it", **params)
        del X, y
    with Client(whole_cluster, set_as_default=False) as client:
        job = attach("it", client)
        until(lambda: n_lines(path) >= 6)
        kill(client, job)
        kept = finished_fits(tmp_path / "kept" / "fits.jsonl") if checkpoint else []
        (tmp_path / "go").touch()
        fitted = job.result(SECONDS)
        assert job.status() == "finished"
        assert job.progress()[:2] == (N_FITS, N_FITS)
        job.forget()  # the cluster goes on
    assert fitted.best_params_ == direct.best_params_
    assert_array_equal(fitted.cv_results_["mean_test_score"], direct.cv_results_["mean_test_score"])
    assert_array_equal(fitted.best_estimator_.coef_, direct.best_estimator_.coef_)
    if checkpoint:
        fits = Path(path).read_text().splitlines()
        assert len(kept) > 0
        assert [fits.count(fit) for fit in kept] == [1] * len(kept)


def finished_fits(log):
    """Return the lines that `Gated` wrote of the fits that are in the log."""
    y = make()[1].compute()
    sums = [y[train].sum() for train, _ in sklearn.model_selection.KFold(3).split(y)]
    entries = [json.loads(line) for line in log.read_text().splitlines()[1:]]
    return [f"{ALPHAS[entry['candidate']]} {sums[entry['split']]:.6f}" for entry in entries]


def kill(client, job):
    """Kill the worker that runs the job, and wait until the scheduler knows."""
    (address,) = [worker for worker, keys in client.processing().items() if job.key in keys]
    (pid,) = client.run(os.getpid, workers=[address]).values()
    os.kill(pid, signal.SIGKILL)
    until(lambda: address not in client.nthreads())


def test_a_result_that_died_is_made_again(whole_cluster):
    with Client(whole_cluster, set_as_default=False) as client:
        X, y = client.persist(make())
        job = submit(GridSearchCV(Ridge(), {"alpha": ALPHAS}, cv=3), X, y, client=client)
        expected = job.result(SECONDS).best_estimator_.coef_
        ((address,),) = client.who_has([job.future]).values()
        (pid,) = client.run(os.getpid, workers=[address]).values()
        os.kill(pid, signal.SIGKILL)
        until(lambda: address not in client.nthreads())
        assert_array_equal(job.result(SECONDS).best_estimator_.coef_, expected)
        job.forget()


# a client names what the cluster has forgotten, which the scheduler only mentions
@pytest.mark.filterwarnings("ignore:Client '.* but key is unknown:UserWarning")
def test_a_restarted_cluster_has_lost_its_jobs(lone_cluster, tmp_path):
    path = str(tmp_path / "fits")
    with Client(lone_cluster, set_as_default=False) as client:
        kept = submit(Ridge(), *make(), client=client, name="kept", checkpoint=tmp_path / "kept")
        coef = kept.result(SECONDS).coef_
        job = submit(Gated(path, held=1), *make(), client=client, name="it")
        until(lambda: n_lines(path) >= 1)
        (tmp_path / "go").touch()
        client.restart()
        assert job.status() == "lost"
        with pytest.raises(LostDataError, match="job 'it' was lost with its cluster: submit it again"):
            job.result(SECONDS)
        job.forget()
        assert kept.status() == "lost"
        kept = attach("kept", client, checkpoint=tmp_path / "kept")
        assert_array_equal(kept.result(SECONDS).coef_, coef)
        assert kept.progress().passes == 0
        kept.forget()
        assert client.list_datasets() == ()

"""Fits that run on a cluster by themselves: they outlive the session, are found again, fail, and are canceled."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import dask
import dask.array as da
import numpy as np
import pandas as pd
import pytest
import sklearn.linear_model
from distributed import CancelledError, Client, Event, LocalCluster
from numpy.testing import assert_array_equal
from sklearn import config_context
from sklearn.preprocessing import StandardScaler

from daskml_kit.engines import open as opening
from daskml_kit.exceptions import AsynchronousClientError, DataError
from daskml_kit.linear_model import LogisticRegression, Ridge
from daskml_kit.model_selection import GridSearchCV, IncrementalSearchCV, attach, list_jobs, submit
from daskml_kit.model_selection import jobs as submitting
from daskml_kit.model_selection.search.progress import FitProgress

ALPHAS = [0.1, 1.0, 10.0, 100.0]
SECONDS = 30
# a client names again what it has just canceled, which the scheduler only mentions
pytestmark = pytest.mark.filterwarnings("ignore:Client '.* but key is unknown:UserWarning")


class Noted(GridSearchCV):
    """Says when its fit has ended."""

    def fit(self, X, y=None):
        try:
            return super().fit(X, y)
        finally:
            Event(f"ended {self.estimator.path}").set()


class Gated(sklearn.linear_model.Ridge):
    """Says that its fit has begun, and waits to be let on from the ``held``-th fit on."""

    def __init__(self, path=None, held=1, alpha=1.0):
        super().__init__(alpha=alpha)
        self.path, self.held = path, held

    def fit(self, X, y, sample_weight=None):
        with open(self.path, "a") as file:
            file.write(f"{self.alpha}\n")
        if count(self.path) >= self.held:
            Event(f"begun {self.path}").set()
            Event(f"let on {self.path}").wait(SECONDS)
        return super().fit(X, y, sample_weight)


def until(is_so):
    """Ask again and again until it is so, or for too long."""
    end = time.monotonic() + SECONDS
    while not is_so():
        assert time.monotonic() < end


def count(path):
    return len(Path(path).read_text().splitlines()) if Path(path).exists() else 0


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "fits")


def settled(cluster):
    """Return a client, also where the scheduler has more to say than welcome, as of keys that a closed one has left."""
    try:
        return Client(cluster, set_as_default=False)
    except AssertionError:  # Dask expects one message
        time.sleep(0.2)
        return Client(cluster, set_as_default=False)


@pytest.fixture
def sessions(cluster):
    """Open clients one after another; in the end there is no job left."""
    opened = []

    def open_one():
        opened.append(Client(cluster, set_as_default=False))
        return opened[-1]

    yield open_one
    with settled(cluster) as last:
        for name in list(last.list_datasets()):
            if name.startswith("daskml-job/"):
                attach(name.removeprefix("daskml-job/"), last).forget()
        assert last.list_datasets() == ()
        for client in opened:
            client.close()


def make(kind="dask"):
    X = da.random.default_rng(0).normal(size=(600, 3), chunks=(150, 3))
    y = X.sum(axis=1) + da.random.default_rng(1).normal(size=600, chunks=150)
    return dask.compute(X, y, scheduler="sync") if kind == "memory" else (X, y)


def assert_same(search, other):
    assert search.best_params_ == other.best_params_
    for name, values in other.cv_results_.items():
        if "time" not in name:
            assert_array_equal(search.cv_results_[name], values)
    assert_array_equal(search.best_estimator_.coef_, other.best_estimator_.coef_)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["dask", "held", "memory"])
@pytest.mark.parametrize("estimator", [sklearn.linear_model.Ridge(), Ridge()], ids=["graph", "fused"])
def test_a_search_goes_on_when_its_session_ends(sessions, estimator, kind):
    search = GridSearchCV(estimator, {"alpha": ALPHAS}, cv=3)
    first = sessions()
    X, y = first.persist(make()) if kind == "held" else make(kind)
    job = submit(search, X, y, name="a search", client=first)
    assert repr(job).startswith("<Job a search: ")
    del X, y, job
    first.close()
    job = attach("a search", sessions())
    fitted = job.result(SECONDS)
    assert job.status() == "finished"
    assert job.progress()[:2] == (12, 12)
    assert job.progress().best == pytest.approx(fitted.best_score_, rel=1e-14)
    assert not hasattr(search, "cv_results_")
    assert_same(fitted, search.fit(*make(kind)))
    assert attach("a search", sessions()).status() == "finished"


@pytest.mark.parametrize("kind", ["dask", "memory"])
def test_an_estimator_has_passes(sessions, kind):
    X, y = make(kind)
    weight = abs(X[:, 0])
    job = submit(LogisticRegression(C=0.1), X, y > 0, sample_weight=weight, client=sessions())
    assert job.name.startswith("LogisticRegression-")
    fitted = attach(job.name, sessions()).result(SECONDS)
    assert job.progress() == FitProgress(passes=fitted.profile_.passes)
    assert fitted.profile_.passes > 1
    assert_array_equal(fitted.coef_, LogisticRegression(C=0.1).fit(X, y > 0, sample_weight=weight).coef_)


def test_an_adaptive_search_tells_its_scores(sessions):
    search = IncrementalSearchCV(
        sklearn.linear_model.SGDRegressor(random_state=0),
        {"alpha": ALPHAS},
        n_initial_parameters="grid",
        max_iter=5,
        random_state=0,
    )
    job = submit(search, *make(), client=sessions())
    fitted = job.result(SECONDS)
    scores = [record["score"] for record in fitted.history_]
    assert job.progress() == FitProgress(len(scores), best=max(scores))


def test_an_estimator_without_a_target(sessions):
    X, _ = make("memory")
    assert_array_equal(
        submit(StandardScaler(), X, client=sessions()).result(SECONDS).mean_, StandardScaler().fit(X).mean_
    )


def test_settings_of_scikit_learn_go_along(sessions):
    frame = pd.DataFrame(make("memory")[0], columns=["a", "b", "c"])
    frame.iloc[0, 0] = np.inf
    with config_context(assume_finite=True):
        job = submit(sklearn.linear_model.SGDRegressor(max_iter=1, tol=None), frame, frame["b"], client=sessions())
    with pytest.raises(ValueError, match=r"overflow|weights"):  # not that X contains infinity
        job.result(SECONDS)


def test_a_job_waits_runs_and_is_finished(sessions, path):
    client = sessions()
    gate = Event("free", client)
    blocking = client.map(lambda i: Event("free").wait(SECONDS), range(4), pure=False)
    job = submit(Gated(path), *make("memory"), client=client, name="slow")
    assert job.status() == attach("slow", client).status() == "waiting"
    assert job.progress() == FitProgress()
    with pytest.raises(TimeoutError):
        job.result(timeout=0.01)
    gate.set()
    assert client.gather(blocking) == [True] * 4
    assert Event(f"begun {path}", client).wait(SECONDS)
    assert job.status() == attach("slow", sessions()).status() == "running"
    Event(f"let on {path}", client).set()
    assert job.result(SECONDS).coef_.shape == (3,)
    assert job.status() == attach("slow", sessions()).status() == "finished"


def test_progress_is_seen_on_the_way(sessions, path):
    client = sessions()
    search = GridSearchCV(Gated(path), {"held": [3, 4], "alpha": ALPHAS}, cv=2, refit=False)
    job = submit(search, *make(), client=client)
    assert Event(f"begun {path}", client).wait(SECONDS)
    assert job.status() == "running"
    until(lambda: job.progress().of == 16)
    assert job.progress().fits < 16
    Event(f"let on {path}", client).set()
    job.result(SECONDS)
    assert job.progress().fits == 16


def test_a_fit_that_fails_is_told(sessions):
    job = submit(GridSearchCV(Ridge(), {"alpha": ALPHAS}, cv=1), *make(), client=sessions(), name="bad")
    with pytest.raises(ValueError, match="n_splits"):
        job.result(SECONDS)
    assert job.status() == "failed"
    with pytest.raises(ValueError, match="n_splits"):
        attach("bad", sessions()).result(SECONDS)


def test_a_search_that_is_cancelled_ends(sessions, path):
    client = sessions()
    search = Noted(Gated(path, held=2), {"alpha": list(range(1, 10_000))}, cv=2)
    job = submit(search, *make(), client=client, name="long")
    other = attach("long", sessions())
    assert Event(f"begun {path}", client).wait(SECONDS)
    other.cancel()
    other.cancel()
    for same in (job, other, attach("long", sessions())):
        assert same.status() == "canceled"
        with pytest.raises(CancelledError):
            same.result(SECONDS)
    with pytest.raises(ValueError, match="there is a job 'long'"):
        submit(search, *make(), client=client, name="long")
    Event(f"let on {path}", client).set()
    assert Event(f"ended {path}", client).wait(SECONDS)
    assert count(path) < 20_000


def test_a_forgotten_job_leaves_nothing(sessions):
    client = sessions()
    X, y = client.persist(make())
    job = submit(GridSearchCV(Ridge(), {"alpha": ALPHAS}, cv=3), X, y, client=client, name="once")
    best = job.result(SECONDS).best_params_
    job.forget()
    del X, y
    assert client.list_datasets() == ()
    assert job.result(SECONDS).best_params_ == best
    with pytest.raises(LookupError, match="'once' was forgotten"):
        job.progress()
    with pytest.raises(ValueError, match="no job 'once'; there are none"):
        attach("once", client)
    again = submit(GridSearchCV(Ridge(), {"alpha": ALPHAS}, cv=3), *make(), client=client, name="once")
    with pytest.raises(LookupError, match="'once' was forgotten"):
        job.forget()
    assert attach("once", client).result(SECONDS).best_params_ == best
    assert again.status() == "finished"


def test_what_is_finished_cannot_be_cancelled(sessions):
    job = submit(Ridge(), *make(), client=sessions())
    job.result(SECONDS)
    job.cancel()
    assert job.status() == "finished"


def test_a_job_needs_no_thread_of_its_own(monkeypatch):
    monkeypatch.setattr(opening, "LOCAL_BYTES", 0)
    options = {"n_workers": 1, "threads_per_worker": 1, "processes": False, "dashboard_address": ":0"}
    with LocalCluster(**options) as cluster, Client(cluster):
        for estimator in (sklearn.linear_model.Ridge(), Ridge()):
            search = GridSearchCV(estimator, {"alpha": ALPHAS}, cv=3)
            assert submit(search, *make()).result(SECONDS).best_params_ == {"alpha": 1.0}


def test_names_are_checked(sessions, client):
    submit(Ridge(), *make(), name="one")
    submit(Ridge(), *make(), name="two")
    with pytest.raises(ValueError, match="there is a job 'one'; attach to it, forget it, or name another"):
        submit(Ridge(), *make(), name="one")
    with pytest.raises(ValueError, match="there is no job 'three'; there are 'one', 'two'"):
        attach("three")
    found = list_jobs()
    assert [job.name for job in found] == ["one", "two"]
    assert all(job.result(SECONDS).coef_.shape == (3,) for job in found)
    found[0].forget()
    assert [job.name for job in list_jobs()] == ["two"]


def test_a_name_taken_meanwhile_is_refused(sessions, monkeypatch):
    client = sessions()
    first = submit(Ridge(), *make(), client=client, name="one")
    monkeypatch.setattr(submitting, "_names", lambda client: [])
    with pytest.raises(ValueError, match="there is a job 'one' since now"):
        submit(Ridge(), *make(), client=client, name="one")
    assert first.result(SECONDS).coef_.shape == (3,)
    assert client.get_dataset("daskml-job/one")[0] == first.key


def test_a_client_is_needed():
    for call in (lambda: submit(Ridge(), *make()), lambda: attach("it"), list_jobs):
        with pytest.raises(ValueError, match="there is no current client"):
            call()


def test_an_asynchronous_client_is_refused():
    async def attach_to_it():
        async with Client(processes=False, n_workers=1, dashboard_address=":0", asynchronous=True) as client:
            with pytest.raises(AsynchronousClientError, match="expected a synchronous client"):
                attach("it", client)

    asyncio.run(attach_to_it())


def test_large_data_in_memory_are_refused(sessions, client, monkeypatch):
    monkeypatch.setattr(submitting, "MEMORY_BYTES", 10_000)
    with pytest.raises(DataError, match=r"X: expected at most .* GiB of data in memory"):
        submit(Ridge(), *make("memory"))
    submit(Ridge(), *make())

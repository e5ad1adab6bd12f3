"""The scheduler is killed (SIGKILL) in the middle of a fit or a search: one error tells so, and what is kept."""

from __future__ import annotations

import dask.array as da
import pytest
import sklearn.linear_model
from distributed import Client, LocalCluster
from numpy.testing import assert_array_equal

from benchmarks.kills import scheduler_process
from daskml_kit.engines import open as opening
from daskml_kit.engines.engine import watching
from daskml_kit.exceptions import LostSchedulerError
from daskml_kit.linear_model import LogisticRegression
from daskml_kit.model_selection import GridSearchCV, submit
from daskml_kit.model_selection.search.progress import listening


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

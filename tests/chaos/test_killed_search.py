"""Worker processes are killed (SIGKILL) in the middle of a search: the results are the identical bits."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import dask
import dask.array as da
import numpy as np
import pytest
import sklearn.linear_model
from numpy.testing import assert_array_equal
from sklearn.pipeline import make_pipeline

from daskml_kit.data import collections as capacity
from daskml_kit.engines import open as opening
from daskml_kit.engines.engine import watching
from daskml_kit.linear_model import LogisticRegression, Ridge
from daskml_kit.model_selection import GridSearchCV, KFold
from daskml_kit.preprocessing import StandardScaler

GRID = {"logisticregression__C": [0.01, 1.0, 100.0]}


class Killer:
    """Kills one worker after a number of passes of a search, and counts them all."""

    def __init__(self, client, after=None):
        self.client, self.after, self.pid, self.passes = client, after, None, 0

    def __call__(self, profile):
        if profile.tasks:  # a pass of the cluster, not one over a sample here
            self.passes += 1
        if self.passes == self.after and self.pid is None:
            pids = self.client.run(os.getpid)
            self.pid = pids[sorted(pids)[0]]
            os.kill(self.pid, signal.SIGKILL)


def make():
    X = da.random.default_rng(5).normal(size=(20_000, 6), chunks=(1000, 6)) + 3
    return X, (X[:, 0] - 0.5 * X[:, 1] + (X[:, 2] - 3) ** 2 > 2).astype(int)


def search(X, y):
    model = make_pipeline(StandardScaler(), LogisticRegression(tol=1e-8))
    cv = KFold(3, shuffle=True, random_state=0)
    return GridSearchCV(model, GRID, cv=cv, scoring="neg_log_loss", return_train_score=True).fit(X, y)


@pytest.mark.parametrize(("stream", "after"), [(False, 1), (True, 4)], ids=["persisted", "streaming"])
def test_a_search_survives(doomed, monkeypatch, stream, after):
    monkeypatch.setattr(opening, "LOCAL_BYTES", 0)
    if stream:
        monkeypatch.setattr(capacity, "FIT_FRACTION", 0)
    X, y = make() if stream else doomed.persist(make())
    counted, killer = Killer(doomed), Killer(doomed, after)
    with watching(counted):
        expected = search(X, y)
    with watching(killer):
        found = search(X, y)
    assert killer.pid is not None
    assert killer.passes == counted.passes > after
    for name, column in expected.cv_results_.items():
        if "test" in name or "train" in name:
            assert_array_equal(found.cv_results_[name], column, err_msg=name)
    assert_array_equal(found.best_estimator_[-1].coef_, expected.best_estimator_[-1].coef_)


def test_a_worker_that_dies_inside_of_a_pass(doomed, monkeypatch, tmp_path):
    monkeypatch.setattr(opening, "LOCAL_BYTES", 0)
    monkeypatch.setattr(capacity, "FIT_FRACTION", 0)
    marker = str(tmp_path / "died")

    def die_once(block):
        if not os.path.exists(marker):
            open(marker, "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        return block

    X, y = make()
    grid = {"alpha": [0.1, 10.0]}
    expected = GridSearchCV(Ridge(), grid, cv=KFold(3)).fit(X, y)
    found = GridSearchCV(Ridge(), grid, cv=KFold(3)).fit(X.map_blocks(die_once, meta=np.empty((0, 6))), y)
    assert os.path.exists(marker)
    assert_array_equal(found.cv_results_["mean_test_score"], expected.cv_results_["mean_test_score"])


class LastWill(sklearn.linear_model.Ridge):
    """Kills all workers in its second fit, where ``folder`` has the list of their processes."""

    def __init__(self, folder=None, alpha=1.0):
        super().__init__(alpha=alpha)
        self.folder = folder

    def fit(self, X, y):
        pids = Path(self.folder, "pids")
        if self.alpha == 2.0 and pids.exists():
            numbers = set(map(int, pids.read_text().split()))
            pids.unlink()
            for pid in [*(numbers - {os.getpid()}), os.getpid()]:
                os.kill(pid, signal.SIGKILL)
        return super().fit(X, y)


@pytest.mark.timeout(240)
def test_all_workers_die_at_once(doomed, tmp_path):
    X, y = doomed.persist(make())
    search = GridSearchCV(LastWill(str(tmp_path)), {"alpha": [1.0, 2.0, 3.0]}, cv=KFold(3))
    in_memory = doomed.gather(doomed.compute([X, y]))
    with dask.config.set(scheduler="threads"):
        expected = search.fit(*in_memory).cv_results_
    (tmp_path / "pids").write_text(" ".join(map(str, doomed.run(os.getpid).values())))
    found = search.fit(X, y).cv_results_
    assert not (tmp_path / "pids").exists()
    for split in range(3):
        assert_array_equal(found[f"split{split}_test_score"], expected[f"split{split}_test_score"])

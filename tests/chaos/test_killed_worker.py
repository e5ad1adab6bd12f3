"""A worker process is killed (SIGKILL) in the middle of a fit: it ends with the identical bits."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from distributed import Client, LocalCluster
from numpy.testing import assert_array_equal
from sklearn.pipeline import make_pipeline

from daskml_kit.compose import make_column_transformer
from daskml_kit.data import collections as capacity
from daskml_kit.engines import open as opening
from daskml_kit.engines.engine import watching
from daskml_kit.exceptions import LostDataError
from daskml_kit.linear_model import ElasticNet, LogisticRegression
from daskml_kit.model_selection import GridSearchCV
from daskml_kit.model_selection.search import task_search
from daskml_kit.preprocessing import OneHotEncoder, StandardScaler


def make():
    X = da.random.default_rng(5).normal(size=(30_000, 6), chunks=(1500, 6))
    return X, (X[:, 0] - 0.5 * X[:, 1] + X[:, 2] ** 2 > 0.8).astype(int)


class Killer:
    """Kills one worker after a given pass of the first fit that gets so far, and remembers which."""

    def __init__(self, client, after):
        self.client, self.after, self.pid = client, after, None

    def __call__(self, profile):
        if profile.passes == self.after and self.pid is None:
            pids = self.client.run(os.getpid)
            self.pid = pids[sorted(pids)[0]]
            os.kill(self.pid, signal.SIGKILL)


@pytest.mark.parametrize(("stream", "after"), [(False, 1), (False, 3), (True, 2)])
def test_a_fit_survives(doomed, monkeypatch, stream, after):
    monkeypatch.setattr(opening, "LOCAL_BYTES", 0)
    if stream:
        monkeypatch.setattr(capacity, "FIT_FRACTION", 0)
    X, y = make() if stream else doomed.persist(make())
    expected = LogisticRegression(tol=1e-9, solver="lbfgs").fit(X, y)
    killer = Killer(doomed, after)
    with watching(killer):
        model = LogisticRegression(tol=1e-9, solver="lbfgs").fit(X, y)
    assert killer.pid is not None
    assert model.profile_.passes == expected.profile_.passes > after
    assert_array_equal(model.coef_, expected.coef_)
    assert_array_equal(model.intercept_, expected.intercept_)


def test_a_fit_survives_retirement(monkeypatch):
    """Dask copies what a worker has before it goes, but not while its tasks run."""
    monkeypatch.setattr(opening, "LOCAL_BYTES", 0)
    cluster = LocalCluster(n_workers=3, threads_per_worker=1, processes=True, dashboard_address=":0")
    with cluster, Client(cluster) as client:
        X, y = client.persist(make())
        model = LogisticRegression(tol=1e-9, solver="lbfgs")
        expected, gone = model.fit(X, y).coef_, sorted(client.nthreads())[:2]

        def retire(profile):
            if gone and profile.passes in (2, 4):
                client.retire_workers([gone.pop()])

        with watching(retire):
            assert_array_equal(model.fit(X, y).coef_, expected)
        assert not gone
        assert model.profile_.n_threads == len(client.nthreads()) == 1


def table():
    """Categories, one of 1,500 levels, and a number; and a target that depends on them."""
    draw = np.random.default_rng(6)
    many, few, number = draw.integers(0, 1_500, 60_000), draw.integers(0, 9, 60_000), draw.normal(size=60_000)
    y = pd.Series((number + draw.normal(size=1_500)[many] + few / 9 > 0.5).astype(int))
    frame = pd.DataFrame({"many": pd.Categorical(many), "few": pd.Categorical(few), "number": number})
    return [dd.from_pandas(part, npartitions=6) for part in (frame, y)]


def categories():
    """Encode them as codes."""
    rows, target = table()
    encode = make_column_transformer((OneHotEncoder(), ["many", "few"]), ("passthrough", ["number"]))
    return encode.fit_transform(rows), target


def repeated():
    """Encoded categories of few levels, so that rows repeat, and a target."""
    draw = np.random.default_rng(9)
    frame = pd.DataFrame(
        {name: draw.integers(0, levels, 240_000) for name, levels in zip("abc", (3, 4, 5), strict=True)}
    )
    y = pd.Series((frame.sum(axis=1) + draw.normal(size=240_000) > 4).astype(int))
    rows, target = (dd.from_pandas(part, npartitions=6) for part in (frame.astype("category"), y))
    return OneHotEncoder().fit_transform(rows), target


def words():
    """Wide sparse rows, which Newton steps by conjugate gradients are for."""
    X = sp.random_array((3_000, 2_000), density=0.01, rng=np.random.default_rng(7), format="csr")
    y = (X @ np.random.default_rng(8).normal(size=2_000) > 0).astype(int)
    rows = da.concatenate(
        [da.from_delayed(dask.delayed(X[i : i + 500]), (500, 2_000), meta=X[:0]) for i in range(0, 3_000, 500)]
    )
    return rows, da.from_array(y, chunks=500)


@pytest.mark.parametrize(
    ("made", "solver"),
    [
        (categories, "newton-cholesky: of columns"),
        (repeated, "equal rows are merged"),
        (words, "Newton by conjugate gradients"),
    ],
)
def test_sparse_fits_survive(doomed, monkeypatch, made, solver):
    monkeypatch.setattr(opening, "LOCAL_BYTES", 0)
    X, y = (doomed.persist(part) for part in made())
    expected = LogisticRegression(tol=1e-8).fit(X, y)
    killer = Killer(doomed, 3)
    with watching(killer):
        model = LogisticRegression(tol=1e-8).fit(X, y)
    assert killer.pid is not None
    assert solver in model.profile_.solver
    assert model.profile_.passes == expected.profile_.passes > 3
    assert_array_equal(model.coef_, expected.coef_)


def test_folds_on_rows_that_were_encoded_once_survive(doomed, monkeypatch):
    monkeypatch.setattr(opening, "LOCAL_BYTES", 0)
    common, fit = [], task_search.fit_on_common_rows
    monkeypatch.setattr(task_search, "fit_on_common_rows", lambda *args: common.append(fit(*args)) or common[-1])
    X, y = table()
    encode = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["many", "few"]), (StandardScaler(), ["number"])
    )
    model = make_pipeline(encode, LogisticRegression())
    search = GridSearchCV(model, {"logisticregression__C": [0.1, 1.0]}, cv=3, scoring="neg_log_loss", refit=False)
    expected = search.fit(X, y).cv_results_
    killer = Killer(doomed, 3)
    with watching(killer):
        found = search.fit(X, y).cv_results_
    assert killer.pid is not None
    assert [len(outcomes) for outcomes in common] == [6, 6]
    for split in range(3):
        assert_array_equal(found[f"split{split}_test_score"], expected[f"split{split}_test_score"])


def test_a_worker_takes_only_its_cached_blocks_with_it(doomed, monkeypatch):
    monkeypatch.setattr(opening, "LOCAL_BYTES", 0)
    monkeypatch.setattr(capacity, "FIT_FRACTION", 0)
    X, y = make()
    with dask.config.set({"daskml-kit.cache": False}):
        expected = LogisticRegression(tol=1e-9, solver="lbfgs").fit(X, y)
    folders = doomed.run(lambda dask_worker: dask_worker.local_directory).values()
    killer = Killer(doomed, 3)
    with watching(killer):
        model = LogisticRegression(tol=1e-9, solver="lbfgs").fit(X, y)
    assert killer.pid is not None
    assert_array_equal(model.coef_, expected.coef_)
    assert not [path for folder in folders for path in Path(folder).glob("daskml-cache-*")]


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
    expected = ElasticNet(alpha=0.01).fit(X, y)
    model = ElasticNet(alpha=0.01).fit(X.map_blocks(die_once, meta=np.empty((0, 6))), y)
    assert os.path.exists(marker)
    assert_array_equal(model.coef_, expected.coef_)


def test_data_without_a_recipe_is_said_to_be_lost(doomed, monkeypatch):
    monkeypatch.setattr(opening, "LOCAL_BYTES", 0)
    X, y = (array.compute() for array in make())
    pieces = [doomed.scatter((X[i : i + 1500], y[i : i + 1500])) for i in range(0, 30_000, 1500)]
    blocks = [[doomed.submit(lambda pair, k=k: pair[k], piece) for piece in pieces] for k in (0, 1)]
    X = da.concatenate([da.from_delayed(f, (1500, 6), float) for f in blocks[0]])
    y = da.concatenate([da.from_delayed(f, (1500,), int) for f in blocks[1]])
    with watching(Killer(doomed, 2)), pytest.raises(LostDataError, match="cannot be computed again"):
        LogisticRegression(tol=1e-9, solver="lbfgs").fit(X, y)

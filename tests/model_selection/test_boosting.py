"""Searches over LightGBM's estimators on Dask, which take Dask data and train on the workers themselves."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pytest
import sklearn.model_selection as skm
from distributed import Client, LocalCluster
from numpy.testing import assert_allclose
from sklearn.datasets import make_classification, make_regression

from daskml_kit.model_selection import GridSearchCV, cross_validate

lightgbm = pytest.importorskip("lightgbm")

pytestmark = [  # of LightGBM about its own calls
    pytest.mark.filterwarnings("ignore:Parameter n_jobs will be ignored"),
    pytest.mark.filterwarnings("ignore:X does not have valid feature names"),
]
GRID = {"num_leaves": [4, 15]}
SETTINGS = {"n_estimators": 10, "random_state": 0, "verbose": -1}
CLOSE = 0.02
"""Trees grown on two workers see other histograms."""


def problem():
    return make_classification(1_200, 8, n_informative=6, random_state=0)


def lazily(X, y):
    return da.from_array(X, chunks=(200, -1)), da.from_array(y, chunks=200)


def as_frames(X, y):
    X, y = lazily(X, y)
    return dd.from_dask_array(X, columns=list("abcdefgh")), dd.from_dask_array(y, columns="y")


@pytest.mark.parametrize("kind", [lazily, as_frames])
def test_scores_are_those_of_lightgbm_in_memory(client, kind):
    X, y = problem()
    model, peer = lightgbm.DaskLGBMClassifier(**SETTINGS), lightgbm.LGBMClassifier(**SETTINGS)
    options = {"cv": skm.KFold(2), "scoring": ["accuracy", "roc_auc"], "refit": "accuracy", "error_score": "raise"}
    search = GridSearchCV(model, GRID, **options).fit(*kind(X, y))
    expected = skm.GridSearchCV(peer, GRID, **options).fit(X, y)
    for name in ("accuracy", "roc_auc"):
        column = f"mean_test_{name}"
        assert_allclose(search.cv_results_[column], expected.cv_results_[column], atol=CLOSE)
    assert search.best_params_ == expected.best_params_
    lazy = kind(X, y)
    predicted = search.predict(lazy[0])
    assert isinstance(predicted, da.Array)
    assert search.score(*lazy) == pytest.approx(np.mean(predicted.compute() == y))


def test_a_score_of_its_own_is_taken_on_frames(client):
    model = lightgbm.DaskLGBMClassifier(**SETTINGS)
    search = GridSearchCV(model, GRID, cv=2).fit(*as_frames(*problem()))
    assert 0.8 < search.best_score_ <= search.score(*as_frames(*problem())) <= 1


def test_blocks_of_one_class_are_joined_to_their_neighbors(client):
    X, y = problem()
    order = np.argsort(np.where(np.arange(1_200) < 600, y, 2), kind="stable")  # so that a worker has but one class
    X, y, sizes = X[order], np.array(["no", "yes"])[y[order]], (100, 100, 400, 593, 7)
    lazy = da.from_array(X, chunks=(sizes, (8,))), da.from_array(y, chunks=(sizes,))
    model = lightgbm.DaskLGBMClassifier(**SETTINGS)
    options = {"cv": skm.StratifiedKFold(2, shuffle=True, random_state=0), "error_score": "raise"}
    search = GridSearchCV(model, {"num_leaves": [15]}, **options).fit(*lazy, sample_weight=da.ones(1_200, chunks=300))
    assert search.best_score_ > 0.8
    assert search.best_estimator_.classes_.tolist() == ["no", "yes"]
    sizes = (600, 600)
    lazy = da.from_array(X, chunks=(sizes, (8,))), da.from_array(np.sort(y), chunks=(sizes,))
    with pytest.warns(UserWarning, match="one worker trains alone; shuffle the rows"):
        cross_validate(model, *lazy, cv=skm.KFold(2, shuffle=True, random_state=0))


def test_regressors_are_validated(client):
    X, y = make_regression(600, 8, noise=1.0, random_state=0)
    model, peer = lightgbm.DaskLGBMRegressor(**SETTINGS), lightgbm.LGBMRegressor(**SETTINGS)
    found = cross_validate(model, *lazily(X, y), cv=skm.KFold(2), return_train_score=True)
    expected = skm.cross_validate(peer, X, y, cv=skm.KFold(2), return_train_score=True)
    for name in ("test_score", "train_score"):
        assert_allclose(found[name], expected[name], atol=CLOSE)


def killer(path):
    def kill(env):
        """Kill the worker that trains, once."""
        if env.iteration == 3:
            try:
                Path(path).touch(exist_ok=False)
            except FileExistsError:
                return
            os.kill(os.getpid(), signal.SIGKILL)

    return kill


def test_a_killed_worker_costs_a_fit_or_is_told(tmp_path):
    """LightGBM does not always outlive a lost worker: the scores are right, or its own error comes, and in time."""
    X, y = problem()
    path = str(tmp_path / "killed")
    model = lightgbm.DaskLGBMClassifier(**SETTINGS)
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        lazy = client.persist(lazily(X, y))
        options = {"cv": skm.KFold(2), "refit": False, "error_score": "raise"}
        search = GridSearchCV(model, GRID, **options)
        try:
            search.fit(*lazy, callbacks=[killer(path)])
        except lightgbm.basic.LightGBMError as error:
            if "Socket" not in str(error):
                raise
            return
        finally:
            assert os.path.exists(path)
    expected = skm.GridSearchCV(lightgbm.LGBMClassifier(**SETTINGS), GRID, **options).fit(X, y)
    assert_allclose(search.cv_results_["mean_test_score"], expected.cv_results_["mean_test_score"], atol=CLOSE)

"""Gradient boosting of LightGBM and XGBoost, whose estimators on Dask train on the workers themselves."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pytest
import sklearn.model_selection as skm
from distributed import Client, LocalCluster
from numpy.testing import assert_allclose
from sklearn.datasets import make_classification, make_regression
from sklearn.linear_model import LinearRegression

from daskml_kit.ensemble import EarlyStopping, StackingClassifier
from daskml_kit.model_selection import GridSearchCV, cross_validate
from daskml_kit.model_selection.search.slivers import fit_on_dask

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
    assert search.best_score_ > 0.7  # which rows a worker has decides some of it
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


def boosting(package):
    if package == "lightgbm":
        return lightgbm.DaskLGBMClassifier(n_estimators=200, num_leaves=7, verbose=-1)
    pytest.importorskip("xgboost")
    return import_module("xgboost.dask").DaskXGBClassifier(n_estimators=200, max_depth=3, random_state=0)


@pytest.mark.parametrize("package", ["lightgbm", "xgboost"])
def test_all_workers_stop_early_by_the_same_rows(client, package):
    X, y = make_classification(600, 8, n_informative=3, flip_y=0.2, random_state=0)
    lazy = da.from_array(X, chunks=(150, -1)), da.from_array(y, chunks=150)
    model = EarlyStopping(boosting(package), early_stopping_rounds=5, random_state=0)
    search = GridSearchCV(model, {"estimator__learning_rate": [0.3]}, cv=2, error_score="raise").fit(*lazy)
    fitted = search.best_estimator_.estimator_
    assert 1 <= search.best_estimator_.best_iteration_ < 100
    assert type(fitted).__module__ == f"{package}.sklearn"
    assert search.best_score_ > 0.65
    assert_allclose(search.predict_proba(lazy[0]).compute(), fitted.predict_proba(X), rtol=1e-6)
    stack = StackingClassifier([("boosting", boosting(package).set_params(n_estimators=5))], cv=2).fit(*lazy)
    assert [type(member) for member in stack.to_sklearn().estimators_] == [type(fitted)]
    assert stack.score(*lazy) > 0.65


def test_early_stopping_in_memory_and_wrong_arguments():
    X, y = make_regression(300, 4, noise=1.0, random_state=0)
    inner = lightgbm.LGBMRegressor(n_estimators=500, verbose=-1)
    model = EarlyStopping(inner, random_state=0).fit(X, y, sample_weight=np.ones(300))
    assert model.best_iteration_ < 500
    assert model.score(X, y) > 0.8
    lazy = da.from_array(X, chunks=(100, -1)), da.from_array(y, chunks=100)
    assert model.predict(lazy[0]).compute().shape == (300,)
    for wrong, error, message in (
        (EarlyStopping(), TypeError, "estimator: expected an estimator with 'fit', got None"),
        (EarlyStopping(LinearRegression()), TypeError, "expected one of LightGBM or XGBoost, got LinearRegression"),
        (EarlyStopping(inner, early_stopping_rounds=0), ValueError, "early_stopping_rounds: expected an integer"),
        (EarlyStopping(inner, validation_fraction=0), ValueError, "validation_fraction: expected a finite number"),
        (EarlyStopping(lightgbm.DaskLGBMRegressor()), TypeError, "expected one that takes data in memory"),
    ):
        with pytest.raises(error, match=message):
            wrong.fit(X, y)
    with pytest.raises(TypeError, match="expected one that takes a Dask collection, as X is, got LGBMRegressor"):
        model.fit(*lazy)
    with pytest.raises(TypeError, match="eval_set: the rows that validate are drawn from X"):
        model.fit(X, y, eval_set=[(X, y)])
    assert model.best_iteration_ < 500


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


@pytest.mark.chaos
def test_a_killed_worker_costs_a_fit_or_is_told(tmp_path):
    """LightGBM does not always outlive a lost worker: the scores are right, or its own error comes, and in time.

    Those that are left may wait for it, by default for two hours.
    """
    X, y = problem()
    path = str(tmp_path / "killed")
    options = {"cv": skm.KFold(2), "refit": False, "error_score": "raise"}
    search = GridSearchCV(lightgbm.DaskLGBMClassifier(**SETTINGS, time_out=1), GRID, **options)
    sizes = {"n_workers": 2, "threads_per_worker": 1}
    try:
        with LocalCluster(**sizes, dashboard_address=":0") as cluster, Client(cluster) as client:
            search.fit(*client.persist(lazily(X, y)), callbacks=[killer(path)])
    except lightgbm.basic.LightGBMError as error:
        if "Socket" not in str(error):
            raise
        return
    finally:
        assert os.path.exists(path)
    expected = skm.GridSearchCV(lightgbm.LGBMClassifier(**SETTINGS), GRID, **options).fit(X, y)
    assert_allclose(search.cv_results_["mean_test_score"], expected.cv_results_["mean_test_score"], atol=CLOSE)


def killing_callback(path):
    class Killing(import_module("xgboost").callback.TrainingCallback):
        def after_iteration(self, model, epoch, evals_log):
            if epoch == 3:
                with suppress(FileExistsError):
                    Path(path).touch(exist_ok=False)
                    os.kill(os.getpid(), signal.SIGKILL)
            return False

    return Killing()


@pytest.mark.chaos
def test_early_stopping_begins_anew_where_a_worker_was_killed(doomed, tmp_path):
    model, path, lazy = boosting("xgboost"), tmp_path / "killed", doomed.persist(lazily(*problem()))
    model.set_params(learning_rate=0.3, callbacks=[killing_callback(str(path))])
    stopping = EarlyStopping(model, early_stopping_rounds=5, random_state=0).fit(*lazy)
    assert path.exists()
    assert 3 < stopping.best_iteration_ < 200
    assert stopping.score(*lazy) > 0.8


def test_what_fails_without_a_lost_worker_is_told_at_once():
    calls = []

    class Broken(lightgbm.DaskLGBMClassifier):
        def fit(self, X, y):
            calls.append(1)
            raise OSError("no worker was lost")

    with pytest.raises(OSError, match="no worker was lost"):
        fit_on_dask(Broken(), np.zeros((4, 1)), np.arange(4))
    assert len(calls) == 1

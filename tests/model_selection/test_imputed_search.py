"""Imputers that are made part of models: scikit-learn's scores, each fold's own statistics, no imputed rows held."""

from __future__ import annotations

import re
import tracemalloc

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import sklearn.impute
import sklearn.linear_model as skl
import sklearn.model_selection as skm
import sklearn.preprocessing as skp
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import FitFailedWarning
from sklearn.pipeline import Pipeline, make_pipeline

from daskml_kit import linear_model as ours
from daskml_kit import model_selection as cv
from daskml_kit.engines import open as opening
from daskml_kit.exceptions import DataError
from daskml_kit.impute import SimpleImputer
from daskml_kit.linear_model import base as linear_models
from daskml_kit.model_selection.search.fused import run_fused
from daskml_kit.model_selection.search.scoring import named_scoring
from daskml_kit.model_selection.search.search_plan import EvaluationData, EvaluationSpec
from daskml_kit.model_selection.search.task_search import run_tasks
from daskml_kit.numerics import targets as tiles
from daskml_kit.preprocessing import StandardScaler

N_ROWS, WIDTH = 120, 4
TIGHT = {"tol": 1e-9, "max_iter": 3000}
MODELS = {
    "logistic": (
        ours.LogisticRegression(**TIGHT),
        skl.LogisticRegression(solver="newton-cholesky", **TIGHT),
        {"C": [0.1, 5.0]},
        ("binary", "classes"),
        ("accuracy", "neg_log_loss", None),
    ),
    "ridge": (
        ours.Ridge(),
        skl.Ridge(tol=1e-12),
        {"alpha": [0.1, 10.0], "fit_intercept": [True, False]},
        ("number", "pair"),
        ("r2", "neg_mean_absolute_error", None),
    ),
    "elastic": (
        ours.ElasticNet(**TIGHT),
        skl.ElasticNet(tol=1e-11, max_iter=100_000),
        {"alpha": [0.01, 0.3]},
        ("number",),
        ("neg_mean_squared_error", None),
    ),
    "poisson": (
        ours.PoissonRegressor(**TIGHT),
        skl.PoissonRegressor(solver="newton-cholesky", **TIGHT),
        {"alpha": [0.01, 1.0]},
        ("count",),
        ("neg_mean_poisson_deviance",),
    ),
}
SPLITTERS = [
    skm.KFold(2),
    skm.KFold(5, shuffle=True, random_state=0),
    skm.RepeatedKFold(n_splits=2, n_repeats=2, random_state=0),
    skm.ShuffleSplit(2, test_size=0.3, train_size=0.5, random_state=0),
    skm.TimeSeriesSplit(2),
]
STRATEGIES = ["mean", "median", "most_frequent", "constant"]
THEIRS = {SimpleImputer: sklearn.impute.SimpleImputer, StandardScaler: skp.StandardScaler}


def make(seed, patterns, share):
    """Return features with gaps in some columns, and targets that know what is missing."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(N_ROWS, WIDTH)) * [1, 5, 0.3, 1] + [0, 20, -1, 3]
    X[:, 3] = np.round(X[:, 3])
    signal = (X - X.mean(axis=0)) / X.std(axis=0) @ rng.normal(size=WIDTH)
    targets = {
        "binary": (signal + rng.logistic(size=N_ROWS) > 0).astype(int),
        "classes": np.digitize(signal + rng.logistic(size=N_ROWS), [-1, 1]),
        "number": signal + rng.normal(size=N_ROWS),
        "pair": np.column_stack([signal, -signal]) + rng.normal(size=(N_ROWS, 2)),
        "count": rng.poisson(np.exp(signal / 4)).astype(float),
    }
    for column, pattern in enumerate(patterns):
        if pattern == "scattered":
            X[rng.random(N_ROWS) < share, column] = np.nan
        elif pattern == "late":
            X[-30:, column] = np.nan
        elif pattern == "of the target":
            X[signal > 1, column] = np.nan
        elif pattern == "nearly all":
            X[5:, column] = np.nan
    return X, targets


def theirs_of(model, reference):
    """Return the pipeline of scikit-learn's own estimators."""
    steps = [(n, THEIRS[type(s)](**s.get_params()) if type(s) in THEIRS else s) for n, s in model.steps[:-1]]
    return Pipeline([*steps, ("model", reference)])


def in_frame(X):
    return dd.from_pandas(pd.DataFrame(X, columns=[f"x{i}" for i in range(X.shape[1])]), npartitions=3)


LAYOUTS = {
    "memory": lambda X: X,
    "pandas": lambda X: pd.DataFrame(X, columns=[f"x{i}" for i in range(X.shape[1])]),
    "blocks": lambda X: da.from_array(X, chunks=((50, 0, 37, 33), -1)),
    "tiles": lambda X: da.from_array(X, chunks=(45, 3)),
    "frame": in_frame,
}


def assert_same_scores(found, expected, atol=1e-5):
    names = [n for n in expected if n.startswith("split")]
    assert names
    for name in names:
        assert_allclose(found[name].astype(float), expected[name].astype(float), rtol=atol, atol=atol, err_msg=name)


@st.composite
def problems(draw):
    name = draw(st.sampled_from(sorted(MODELS)))
    model, reference, grid, kinds, scorings = MODELS[name]
    patterns = draw(st.lists(st.sampled_from(["none", "scattered", "late", "of the target"]), min_size=4, max_size=4))
    X, targets = make(draw(st.integers(0, 9)), patterns, draw(st.sampled_from([0.02, 0.3])))
    kind = draw(st.sampled_from(kinds))
    imputer = draw(st.sampled_from([SimpleImputer, sklearn.impute.SimpleImputer]))
    filled = imputer(
        add_indicator=draw(st.booleans()),
        keep_empty_features=draw(st.booleans()),
        fill_value=draw(st.sampled_from([None, 7.5])),
    )
    scaler = draw(st.sampled_from([None, "passthrough", StandardScaler(), skp.StandardScaler(with_mean=False)]))
    steps = [("impute", filled), *([] if scaler is None else [("scale", scaler)]), ("model", model)]
    tried = draw(st.lists(st.sampled_from(STRATEGIES), min_size=1, max_size=3, unique=True))
    grid = {"impute__strategy": tried, **{f"model__{key}": values for key, values in grid.items()}}
    ours_, theirs = Pipeline(steps), theirs_of(Pipeline(steps), reference)
    return ours_, theirs, grid, X, targets[kind], draw(st.sampled_from(scorings))


@pytest.mark.slow
@settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],  # to shrink searches takes minutes, and tells little
    suppress_health_check=list(HealthCheck),
)
@given(problems(), st.sampled_from(sorted(LAYOUTS)), st.sampled_from(SPLITTERS))
def test_a_search_is_scikit_learns_and_that_of_single_fits(problem, layout, splitter):
    model, reference, grid, X, y, scoring = problem
    rows = LAYOUTS[layout](X)
    lazy = layout not in ("memory", "pandas")
    splits = list(splitter.split(X))
    target = da.from_array(y, chunks=(60, *y.shape[1:])) if lazy else y
    options = {"cv": splits, "scoring": scoring, "return_train_score": True}
    search = cv.GridSearchCV(model, grid, **options).fit(rows, target)
    assert len(search.plan_.fused) == len(search.cv_results_["params"]), str(search.plan_)
    expected = skm.GridSearchCV(reference, grid, **options).fit(X, y)
    assert_same_scores(search.cv_results_, expected.cv_results_)
    scoring = named_scoring(scoring)
    folds = cv.KFold(2, shuffle=True, random_state=1).assign(X)
    candidates = list(skm.ParameterGrid(grid))[:3]
    spec, data = EvaluationSpec(model, candidates, scoring, "raise"), EvaluationData(X, y, folds)
    together = run_fused(spec, data)
    alone = {}
    run_tasks(spec, data, alone.__setitem__)
    for place, outcome in alone.items():
        assert together.outcomes[place].test == pytest.approx(dict(outcome.test), rel=1e-5, abs=1e-5)


def pipeline(model=None, *, scaled=True, **options):
    return make_pipeline(SimpleImputer(**options), *([StandardScaler()] if scaled else []), model or ours.Ridge())


def missing_at_random(seed=0):
    X, targets = make(seed, ["scattered", "of the target", "none", "scattered"], 0.2)
    return X, targets


def test_the_best_estimator_is_as_if_fitted_by_scikit_learn():
    X, targets = missing_at_random()
    frame = pd.DataFrame(X, columns=list("abcd"))
    for imputer in (SimpleImputer(add_indicator=True), sklearn.impute.SimpleImputer(add_indicator=True)):
        model = make_pipeline(imputer, StandardScaler(), ours.Ridge())
        search = cv.GridSearchCV(model, {"ridge__alpha": [1.0]}, cv=3).fit(frame, targets["number"])
        reference = make_pipeline(sklearn.impute.SimpleImputer(add_indicator=True), skp.StandardScaler(), skl.Ridge())
        expected = reference.fit(frame, targets["number"])
        found, known = search.best_estimator_[0], expected[0]
        assert type(found) is type(imputer)
        assert_allclose(found.statistics_, known.statistics_, rtol=1e-12)
        assert_array_equal(found.indicator_.features_, known.indicator_.features_)
        assert_array_equal(found.get_feature_names_out(), known.get_feature_names_out())
        assert_allclose(search.best_estimator_[1].mean_, expected[1].mean_, atol=1e-12)
        assert search.best_estimator_[1].n_features_in_ == search.best_estimator_[2].n_features_in_ == 7
        assert_allclose(search.best_estimator_[2].coef_, expected[2].coef_, rtol=1e-7)
        assert_allclose(search.predict(frame), expected.predict(frame), rtol=1e-8)
        lazily = search.predict(dd.from_pandas(frame, npartitions=2))
        assert isinstance(lazily, da.Array)
        assert_allclose(lazily, expected.predict(frame), rtol=1e-8)


def test_blocks_are_not_written_to_though_an_imputer_may():
    X, targets = missing_at_random()
    before = X.copy()
    model = make_pipeline(sklearn.impute.SimpleImputer(copy=False), ours.PoissonRegressor())
    search = cv.GridSearchCV(model, {}, cv=3, scoring="neg_mean_poisson_deviance", refit=False)
    search.fit(da.from_array(X, chunks=(60, 4)), targets["count"])
    assert search.plan_.alone == {}
    assert_array_equal(X, before)


def test_a_folds_imputer_has_seen_its_training_rows_only():
    X, targets = missing_at_random()
    X[80:] += 1000
    blocks = da.from_array(X, chunks=(37, 4))
    found = cv.cross_validate(
        pipeline(), blocks, targets["number"], cv=cv.KFold(3), return_estimator=True, return_indices=True
    )
    for fitted, train in zip(found["estimator"], found["indices"]["train"], strict=True):
        alone = sklearn.impute.SimpleImputer().fit(X[train])
        assert_allclose(fitted[0].statistics_, alone.statistics_, rtol=1e-12)
        assert_allclose(fitted[1].mean_, alone.transform(X[train]).mean(axis=0), rtol=1e-12)
    assert found["estimator"][2][0].statistics_.max() < 500


@pytest.mark.slow
def test_columns_without_values_in_a_fold_are_dropped_there():
    X, targets = make(0, ["nearly all", "scattered", "none", "none"], 0.2)  # only the first rows have the first
    options = {"cv": skm.KFold(4), "return_train_score": True}
    for model, reference, kind in (
        (ours.LogisticRegression(**TIGHT), skl.LogisticRegression(solver="newton-cholesky", **TIGHT), "binary"),
        (ours.Ridge(), skl.Ridge(), "number"),
    ):
        mine = pipeline(model, add_indicator=True)
        grid = {"simpleimputer__strategy": STRATEGIES, "simpleimputer__keep_empty_features": [True, False]}
        search = cv.GridSearchCV(mine, grid, **options)
        with pytest.warns(UserWarning, match="Skipping features without any observed values: .0."):
            search.fit(X, targets[kind])
        assert search.plan_.alone == {}
        theirs = make_pipeline(sklearn.impute.SimpleImputer(add_indicator=True), skp.StandardScaler(), reference)
        with pytest.warns(UserWarning, match="Skipping features"):
            expected = skm.GridSearchCV(theirs, grid, **options).fit(X, targets[kind])
        assert_same_scores(search.cv_results_, expected.cv_results_)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_sparse_rows(strategy):
    rng = np.random.default_rng(0)
    X = np.where(rng.random((N_ROWS, WIDTH)) < 0.5, 0, rng.integers(1, 4, (N_ROWS, WIDTH))).astype(float)
    y = X @ [1, -1, 0.5, 2] + rng.normal(size=N_ROWS)
    X[rng.random(X.shape) < 0.1] = np.nan
    model = make_pipeline(SimpleImputer(strategy=strategy, fill_value=2), StandardScaler(with_mean=False), ours.Ridge())
    theirs = theirs_of(model, skl.Ridge(tol=1e-12, solver="sparse_cg"))
    grid = [{"ridge__alpha": [0.1, 10.0]}, {"model__alpha": [0.1, 10.0]}]
    expected = skm.GridSearchCV(theirs, grid[1], cv=skm.KFold(3)).fit(sp.csr_array(X), y)
    for rows in (sp.csr_array(X), da.from_array(X, chunks=(50, 4)).map_blocks(sp.csr_matrix)):
        search = cv.GridSearchCV(model, grid[0], cv=skm.KFold(3)).fit(rows, y)
        assert search.plan_.alone == {}
        assert_same_scores(search.cv_results_, expected.cv_results_)
        assert_allclose(np.asarray(search.predict(rows)), expected.predict(sp.csr_array(X)), rtol=1e-6)


def test_single_precision_stays():
    X, targets = missing_at_random()
    X = X.astype(np.float32)
    search = cv.GridSearchCV(pipeline(), {"ridge__alpha": [1.0]}, cv=3).fit(X, targets["number"])
    expected = skm.cross_val_score(theirs_of(pipeline(), skl.Ridge()), X, targets["number"], cv=3)
    assert_allclose([search.cv_results_[f"split{i}_test_score"][0] for i in range(3)], expected, rtol=1e-4)
    assert search.best_estimator_[2].coef_.dtype == np.float32


def test_frames_of_nullable_numbers():
    X, targets = missing_at_random()
    plain = pd.DataFrame(X, columns=list("abcd"))
    frame = plain.astype({"a": "Float64", "d": "Int64"})
    expected = cv.GridSearchCV(pipeline(), {"ridge__alpha": [1.0]}, cv=3).fit(plain, targets["number"])
    for rows in (frame, dd.from_pandas(frame, npartitions=2)):
        search = cv.GridSearchCV(pipeline(), {"ridge__alpha": [1.0]}, cv=skm.KFold(3)).fit(rows, targets["number"])
        assert search.plan_.alone == {}
        assert_same_scores(search.cv_results_, expected.cv_results_, 1e-9)


@pytest.mark.slow
def test_passes_are_few():
    X, targets = missing_at_random()
    folds = cv.KFold(5).assign(X)
    alphas = np.logspace(-3, 2, 20)

    def passes(strategies, y="number", model=None, grid="ridge__alpha"):
        candidates = [{grid: a, "simpleimputer__strategy": s} for a in alphas for s in strategies]
        spec = EvaluationSpec(pipeline(model), candidates, {"score": None})
        return run_fused(spec, EvaluationData(X, targets[y], folds)).passes

    assert passes(["mean"]) == 2  # moments, products
    assert passes(STRATEGIES) == 2  # moments with what is present, values in order with products
    logistic = ours.LogisticRegression()
    assert passes(["mean", "constant"], "binary", logistic, "logisticregression__C") <= 26


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["mean", "constant"])
def test_rows_are_neither_copied_nor_changed(monkeypatch, strategy):
    monkeypatch.setattr(linear_models, "sample_rows", lambda p: 2000)
    monkeypatch.setattr(tiles, "TILE_BYTES", 2**19)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200_000, 20))
    y = (X[:, 0] > 0).astype(int)
    X[rng.random(X.shape) < 0.1] = np.nan
    X.flags.writeable = y.flags.writeable = False
    tracemalloc.start()
    model = pipeline(ours.LogisticRegression(), strategy=strategy, add_indicator=True)
    search = cv.GridSearchCV(model, {"logisticregression__C": [0.1, 1.0]}, cv=4).fit(X, y)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert search.plan_.alone == {}
    assert peak < 0.7 * X.nbytes  # two blocks at work, and the rows of a fold that are taken from each


@pytest.mark.slow
def test_on_a_cluster(client, monkeypatch):
    monkeypatch.setattr(opening, "LOCAL_BYTES", 0)
    X, targets = missing_at_random()
    model = pipeline(ours.LogisticRegression(**TIGHT), add_indicator=True)
    grid = {"logisticregression__C": [0.1, 5.0], "simpleimputer__strategy": STRATEGIES}
    options = {"cv": skm.KFold(3), "scoring": ["neg_log_loss", "accuracy"], "refit": "neg_log_loss"}
    blocks = da.from_array(X, chunks=(40, 4)), da.from_array(targets["classes"], chunks=33)
    there = cv.GridSearchCV(model, grid, **options).fit(*blocks)
    assert there.plan_.alone == {}
    here = cv.GridSearchCV(model, grid, **options).fit(X, targets["classes"])
    assert_same_scores(there.cv_results_, here.cv_results_, 1e-7)
    assert_array_equal(there.predict(blocks[0]).compute(), here.predict(X))


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (
            SimpleImputer(missing_values=-1),
            "SimpleImputer is made part of a model where NaN is what is .*, not -1",
        ),
        (SimpleImputer(missing_values=pd.NA), "SimpleImputer is made part of a model where NaN is .*, not <NA>"),
        (sklearn.impute.SimpleImputer(strategy=np.ptp), "SimpleImputer with a callable strategy needs whole columns"),
        (sklearn.impute.KNNImputer(), "of steps before the model a SimpleImputer and .*, not KNNImputer"),
    ],
)
def test_what_is_not_absorbed_and_why(step, reason):
    X, targets = missing_at_random()
    model = Pipeline([("impute", step), ("model", ours.Ridge())])
    search = cv.GridSearchCV(model, {"model__alpha": [1.0]}, cv=3)
    (why,) = search.plan().alone
    assert re.match(reason, why)
    X = np.nan_to_num(X, nan=-1)
    found = search.fit(X, targets["number"]).cv_results_
    expected = skm.GridSearchCV(Pipeline([("impute", step), ("model", skl.Ridge())]), search.param_grid, cv=3)
    assert_same_scores(found, expected.fit(X, targets["number"]).cv_results_)


def test_other_orders_and_models_say_so():
    refused = [
        make_pipeline(StandardScaler(), SimpleImputer(), ours.Ridge()),
        make_pipeline(SimpleImputer(), SimpleImputer(), ours.Ridge()),
    ]
    plans = [cv.GridSearchCV(model, {}, cv=2).plan() for model in refused]
    reasons = [next(iter(plan.alone)) for plan in plans]
    assert reasons[0].endswith("are made part of it, not StandardScaler, SimpleImputer")
    assert reasons[1].endswith("are made part of it, not SimpleImputer, SimpleImputer")
    X, targets = missing_at_random()
    for model in refused:
        search = cv.GridSearchCV(model, {}, cv=3).fit(X, targets["number"])
        assert np.isfinite(search.best_score_)


def test_most_frequent_of_many_values_is_left_to_single_fits():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(9000, 2)), rng.normal(size=9000)
    X[::7, 1] = np.nan
    grid = {"ridge__alpha": [0.1, 1.0], "simpleimputer__strategy": ["mean", "most_frequent"]}
    search = cv.GridSearchCV(pipeline(), grid, cv=skm.KFold(3)).fit(X, y)
    ((why, numbers),) = search.plan_.alone.items()
    assert "the most frequent one takes them all, and column 0 has more than 4096" in why
    assert [search.cv_results_["params"][n]["simpleimputer__strategy"] for n in numbers] == ["most_frequent"] * 2
    expected = skm.GridSearchCV(theirs_of(pipeline(), skl.Ridge()), prefixed(grid), cv=skm.KFold(3)).fit(X, y)
    assert_same_scores(search.cv_results_, expected.cv_results_)
    only = cv.GridSearchCV(pipeline(strategy="most_frequent"), {"ridge__alpha": [1.0]}, cv=3).fit(X, y)
    assert (only.plan_.fused, np.isfinite(only.best_score_)) == ([], True)


def prefixed(grid):
    return {name.replace("ridge", "model"): values for name, values in grid.items()}


@pytest.mark.filterwarnings("ignore:One or more of the")
def test_missing_values_that_nothing_fills():
    X, targets = missing_at_random()
    grid = [{"ridge__alpha": [1.0]}, {"simpleimputer": ["passthrough"]}]
    options = {"cv": skm.KFold(3)}
    with pytest.warns(FitFailedWarning, match="NaN, and no SimpleImputer comes before the model: column 0"):
        search = cv.GridSearchCV(pipeline(), grid, **options).fit(X, targets["number"])
    assert np.isnan(search.cv_results_["mean_test_score"]).tolist() == [False, True]
    assert search.best_index_ == 0
    with pytest.raises(ValueError, match="no SimpleImputer comes before the model"):
        cv.GridSearchCV(pipeline(), grid, error_score="raise", **options).fit(X, targets["number"])
    with pytest.raises(DataError, match="Input X contains NaN in block 0"):
        cv.GridSearchCV(pipeline().set_params(simpleimputer="passthrough"), {}, cv=3).fit(X, targets["number"])
    whole = np.nan_to_num(X)
    search = cv.GridSearchCV(pipeline(), grid, **options).fit(whole, targets["number"])
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_infinity_is_an_error_as_ever():
    X, targets = missing_at_random()
    X[70, 2] = np.inf
    rows = da.from_array(X, chunks=(50, 4))
    with pytest.raises(DataError, match="infinity in block 1, row 20 of the block, column 2"):
        cv.GridSearchCV(pipeline(), {}, cv=3).fit(rows, targets["number"])


@pytest.mark.filterwarnings("ignore:One or more of the")
def test_parameters_that_imputers_refuse_fail_their_candidates():
    X, targets = missing_at_random()
    grid = {"simpleimputer__strategy": ["mean", "mode"]}
    with pytest.warns(FitFailedWarning, match="The 'strategy' parameter of SimpleImputer must be"):
        search = cv.GridSearchCV(pipeline(), grid, cv=skm.KFold(3)).fit(X, targets["number"])
    assert np.isnan(search.cv_results_["mean_test_score"]).tolist() == [False, True]


def test_weights_of_the_model_run_as_before():
    X, targets = missing_at_random()
    weight = np.random.default_rng(0).integers(1, 4, N_ROWS).astype(float)
    search = cv.GridSearchCV(pipeline(), {"ridge__alpha": [1.0]}, cv=skm.KFold(3))
    search.fit(X, targets["number"], ridge__sample_weight=weight)
    assert list(search.plan_.alone) == ["fit takes ridge__sample_weight too"]
    expected = skm.GridSearchCV(theirs_of(pipeline(), skl.Ridge()), {"model__alpha": [1.0]}, cv=skm.KFold(3))
    expected.fit(X, targets["number"], model__sample_weight=weight)
    assert_same_scores(search.cv_results_, expected.cv_results_)

"""Selectors of features on every layout: scikit-learn's scores, ranks and columns, in one pass where that is enough."""

from __future__ import annotations

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import sklearn.feature_selection as genuine
import sklearn.linear_model
import sklearn.model_selection
import sklearn.pipeline
import sklearn.preprocessing
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from daskml_kit import feature_selection as ours
from daskml_kit.composition import to_sklearn
from daskml_kit.exceptions import DataError
from daskml_kit.feature_extraction.text import TfidfTransformer
from daskml_kit.linear_model import Lasso, LinearRegression, LogisticRegression, Ridge
from daskml_kit.model_selection import GridSearchCV, cross_val_score
from daskml_kit.preprocessing import StandardScaler

N_ROWS = 240
rng = np.random.default_rng(0)
LABELS = rng.integers(0, 3, N_ROWS)
X = rng.normal(size=(N_ROWS, 6)) * [1, 2, 1, 0.5, 3, 1] + np.outer(LABELS, [1, 0, 0.3, 0, 0, 0])
TARGET = X @ [1, 0.5, 0, 3, 0, 0.2] + rng.normal(size=N_ROWS)
TARGETS = np.column_stack([TARGET, X[:, 2] - TARGET + rng.normal(size=N_ROWS)])
BINARY = (TARGET > 0).astype(int)
WEIGHT = rng.integers(0, 3, N_ROWS).astype(float)
CONSTANT = np.column_stack([X, np.full(N_ROWS, 0.1)])
COUNTS = np.floor(np.abs(X) * 3)
CV = sklearn.model_selection.KFold(3)
LAYOUTS = {
    "array": lambda X: da.from_array(X, chunks=(77, 4)),
    "frame": lambda X: dd.from_pandas(pd.DataFrame(X, columns=list("abcdefgh")[: X.shape[1]]), npartitions=3),
    "CSR": lambda X: da.from_array(X, chunks=(100, -1)).map_blocks(sp.csr_array, meta=sp.csr_array((0, 0))),
}
ON_EVERY_LAYOUT = pytest.mark.parametrize("make", LAYOUTS.values(), ids=LAYOUTS)


def lazy(y):
    return da.from_array(y, chunks=(100, *y.shape[1:]))


def dense(value):
    value = value.compute()
    return value.toarray() if sp.issparse(value) else np.asarray(value)


@ON_EVERY_LAYOUT
def test_scores(make):
    with pytest.warns(UserWarning, match="Features \\[6\\] are constant"):
        found = ours.f_classif(make(CONSTANT), lazy(LABELS))
    assert np.isnan(found[0][-1])
    assert_allclose([part[:-1] for part in found], genuine.f_classif(X, LABELS), rtol=1e-9)
    assert_allclose(ours.chi2(make(COUNTS), lazy(LABELS)), genuine.chi2(COUNTS, LABELS), rtol=1e-9)
    for options in ({}, {"center": False}):
        expected = genuine.f_regression(X, TARGET, **options)
        assert_allclose(ours.f_regression(make(X), lazy(TARGET), **options), expected, rtol=1e-9)
        expected = genuine.r_regression(X, TARGET, **options)
        assert_allclose(ours.r_regression(make(X), lazy(TARGET), **options), expected, rtol=1e-9)
    assert [part[-1] for part in ours.f_regression(make(CONSTANT), lazy(TARGET))] == [0.0, 1.0]
    assert np.isnan(ours.f_regression(make(CONSTANT), lazy(TARGET), force_finite=False)[0][-1])
    assert_array_equal(ours.f_classif(X, LABELS), genuine.f_classif(X, LABELS))


SELECTORS = [
    ("SelectKBest", {"k": 2}, LABELS),
    ("SelectKBest", {"k": "all", "score_func": ours.f_regression}, TARGET),
    ("SelectPercentile", {"percentile": 40, "score_func": genuine.f_regression}, TARGET),
    ("SelectFpr", {}, LABELS),
    ("SelectFdr", {"alpha": 0.01}, LABELS),
    ("SelectFwe", {}, LABELS),
    ("GenericUnivariateSelect", {"mode": "k_best", "param": 3}, LABELS),
    ("VarianceThreshold", {"threshold": 0.9}, LABELS),
]


@ON_EVERY_LAYOUT
@pytest.mark.parametrize(("name", "options", "y"), SELECTORS, ids=lambda value: value if isinstance(value, str) else "")
def test_selectors(name, options, y, make):
    data = make(X)
    selector = getattr(ours, name)(**options).fit(data, lazy(y))
    expected = getattr(genuine, name)(**options).fit(X, y)
    assert selector.profile_.passes == 1
    assert_array_equal(selector.get_support(), expected.get_support())
    for attribute in ("scores_", "pvalues_", "variances_"):
        if hasattr(expected, attribute):
            assert_allclose(getattr(selector, attribute), getattr(expected, attribute), rtol=1e-8)
    found = selector.transform(data)
    assert_array_equal(dense(found), expected.transform(X))
    assert_array_equal(dense(selector.inverse_transform(found)), expected.inverse_transform(expected.transform(X)))
    assert_array_equal(to_sklearn(selector).get_support(), expected.get_support())


def test_missing_values_and_constants_have_their_variance():
    gaps = CONSTANT.copy()
    gaps[::7, 2] = np.nan
    for make in (LAYOUTS["array"], LAYOUTS["frame"]):
        found = ours.VarianceThreshold().fit(make(gaps))
        assert_allclose(found.variances_, genuine.VarianceThreshold().fit(gaps).variances_, rtol=1e-9)
        assert found.variances_[-1] == 0


def test_data_frames_stay_such_where_set():
    frame = LAYOUTS["frame"](X)
    selector = ours.SelectKBest(k=2).set_output(transform="pandas").fit(frame, lazy(LABELS))
    assert list(selector.transform(frame).columns) == list(selector.get_feature_names_out()) == ["a", "c"]


def test_selection_before_a_model_is_fused_into_it():
    steps = (StandardScaler(), ours.SelectKBest(ours.f_classif), LogisticRegression(tol=1e-9))
    theirs = (
        sklearn.preprocessing.StandardScaler(),
        genuine.SelectKBest(),
        sklearn.linear_model.LogisticRegression(tol=1e-9),
    )
    grid = {"selectkbest__k": [1, 3], "logisticregression__C": [0.1, 10]}
    found = GridSearchCV(make_pipeline(*steps), grid, cv=CV).fit(LAYOUTS["array"](X), LABELS)
    expected = sklearn.model_selection.GridSearchCV(make_pipeline(*theirs), grid, cv=CV).fit(X, LABELS)
    assert found.plan_.alone == {}
    assert_allclose(found.cv_results_["mean_test_score"], expected.cv_results_["mean_test_score"])
    assert_allclose(found.best_estimator_[-1].coef_, expected.best_estimator_[-1].coef_, rtol=1e-4)
    grid = {"selectkbest__k": [1, 3], "ridge__alpha": [0.1, 10]}
    model = make_pipeline(ours.SelectKBest(ours.f_regression), Ridge())
    found = GridSearchCV(model, grid, cv=CV).fit(LAYOUTS["array"](X), TARGET)
    model = make_pipeline(genuine.SelectKBest(genuine.f_regression), sklearn.linear_model.Ridge())
    expected = sklearn.model_selection.GridSearchCV(model, grid, cv=CV).fit(X, TARGET)
    assert found.plan_.alone == {}
    assert_allclose(found.cv_results_["mean_test_score"], expected.cv_results_["mean_test_score"])


def test_other_selectors_in_searches():
    plain = sklearn.linear_model.Ridge()
    for name in ("RFE", "SelectFromModel"):
        theirs = make_pipeline(getattr(genuine, name)(plain), plain)
        expected = sklearn.model_selection.cross_val_score(theirs, X, TARGET, cv=CV)
        for data in (X, LAYOUTS["array"](X)):
            model = make_pipeline(getattr(ours, name)(Ridge()), Ridge())
            assert_allclose(cross_val_score(model, data, TARGET, cv=CV), expected)
    by_sign = make_pipeline(ours.SelectKBest(lambda X, y: np.abs(X.T @ y), k=2), Ridge())
    expected = sklearn.model_selection.cross_val_score(by_sign, X, TARGET, cv=CV)
    assert_allclose(cross_val_score(by_sign, X, TARGET, cv=CV), expected)
    expected = sklearn.model_selection.cross_val_score(genuine.RFE(sklearn.linear_model.Ridge()), X, TARGET, cv=CV)
    assert_allclose(cross_val_score(ours.RFE(Ridge()), LAYOUTS["array"](X), TARGET, cv=CV), expected)


def assert_same_elimination(found, expected):
    assert_array_equal(found.ranking_, expected.ranking_)
    assert_array_equal(found.support_, expected.support_)
    assert found.n_features_ == expected.n_features_
    assert_allclose(found.estimator_.coef_, expected.estimator_.coef_, rtol=1e-5, atol=1e-6)
    if hasattr(expected, "cv_results_"):
        assert list(found.cv_results_) == list(expected.cv_results_)
        for name, values in expected.cv_results_.items():
            assert_allclose(found.cv_results_[name], values, rtol=1e-6, err_msg=name)


MODELS = [
    (Ridge(2.0), sklearn.linear_model.Ridge(2.0), TARGET),
    (Ridge(2.0), sklearn.linear_model.Ridge(2.0), TARGETS),
    (LinearRegression(), sklearn.linear_model.LinearRegression(), TARGET),
    (Lasso(0.05, tol=1e-9), sklearn.linear_model.Lasso(0.05, tol=1e-9), TARGET),
]


@pytest.mark.slow
@pytest.mark.parametrize(("model", "theirs", "y"), MODELS, ids=["ridge", "two outputs", "ols", "lasso"])
def test_least_squares_are_selected_for_in_one_pass(model, theirs, y):
    settings = [
        {"step": 2, "scoring": "neg_mean_squared_error"},
        {"step": 0.3, "min_features_to_select": 3, "scoring": "neg_root_mean_squared_error"},
    ]
    eliminated = [genuine.RFECV(theirs, cv=CV, **options).fit(X, y) for options in settings]
    half = genuine.RFE(theirs).fit(X, y)
    ways = [{}, {"direction": "backward"}, {"tol": 0.01}]
    chosen = [genuine.SequentialFeatureSelector(theirs, cv=CV, **options).fit(X, y) for options in ways]
    for make in (np.asarray, *LAYOUTS.values()):
        data, target = make(X), y if make is np.asarray else lazy(y)
        for options, expected in zip(settings, eliminated, strict=True):
            found = ours.RFECV(model, cv=CV, **options).fit(data, target)
            assert found.profile_.passes == 1
            assert_same_elimination(found, expected)
        assert_same_elimination(ours.RFE(model).fit(data, target), half)
        for options, expected in zip(ways, chosen, strict=True):
            found = ours.SequentialFeatureSelector(model, cv=CV, **options).fit(data, target)
            assert found.profile_.passes == 1
            assert_array_equal(found.support_, expected.support_)
            assert found.n_features_to_select_ == expected.n_features_to_select_
    found, expected = ours.RFECV(model, cv=CV, **settings[0]).fit(data, target), eliminated[0]
    assert_allclose(found.predict(data).compute(), expected.predict(X), rtol=1e-5, atol=1e-5)
    assert found.score(data, target) == pytest.approx(expected.score(X, y), rel=1e-5)
    assert_allclose(to_sklearn(found).predict(X), expected.predict(X), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("layout", ["array", "CSR"])
def test_other_models_are_fitted_on_columns(layout):
    data, y = LAYOUTS[layout](X), lazy(BINARY)
    model, theirs = LogisticRegression(tol=1e-9), sklearn.linear_model.LogisticRegression(tol=1e-9)
    expected = genuine.RFECV(theirs, cv=CV, step=3).fit(X, BINARY)
    found = ours.RFECV(model, cv=CV, step=3).fit(data, y)
    assert_array_equal(found.ranking_, expected.ranking_)
    assert_allclose(found.cv_results_["mean_test_score"], expected.cv_results_["mean_test_score"])
    assert found.score(data, y) == expected.score(X, BINARY)
    expected = genuine.SequentialFeatureSelector(theirs, cv=CV, n_features_to_select=1).fit(X, BINARY)
    found = ours.SequentialFeatureSelector(model, cv=CV, n_features_to_select=1).fit(data, y)
    assert_array_equal(found.support_, expected.support_)
    expected = genuine.SelectFromModel(theirs).fit(X, BINARY)
    found = ours.SelectFromModel(model).fit(data, y)
    assert_array_equal(found.get_support(), expected.get_support())
    assert found.threshold_ == pytest.approx(expected.threshold_, rel=1e-3)
    assert_array_equal(dense(found.transform(data)), expected.transform(X))
    assert type(to_sklearn(found).estimator_) is sklearn.linear_model.LogisticRegression


def test_models_of_scikit_learn_weights_and_groups():
    forest = RandomForestClassifier(5, random_state=0)
    found = ours.SelectFromModel(forest, max_features=2).fit(LAYOUTS["array"](X), lazy(BINARY))
    assert_array_equal(
        found.get_support(), genuine.SelectFromModel(forest, max_features=2).fit(X, BINARY).get_support()
    )
    in_memory = ours.RFE(forest, n_features_to_select=2).fit(X, BINARY)
    assert_array_equal(in_memory.ranking_, genuine.RFE(forest, n_features_to_select=2).fit(X, BINARY).ranking_)
    expected = genuine.RFE(sklearn.linear_model.Ridge()).fit(X, TARGET, sample_weight=WEIGHT)
    for data in (X, LAYOUTS["array"](X)):
        assert_same_elimination(ours.RFE(Ridge()).fit(data, TARGET, sample_weight=WEIGHT), expected)
    groups, folds = np.arange(N_ROWS) % 9, sklearn.model_selection.GroupKFold(3)
    expected = genuine.RFECV(sklearn.linear_model.Ridge(), cv=folds).fit(X, TARGET, groups=groups)
    found = ours.RFECV(Ridge(), cv=folds).fit(LAYOUTS["array"](X), lazy(TARGET), groups=groups)
    assert_same_elimination(found, expected)


GAPS = X.copy()
GAPS[150, 2] = np.nan
BAD = {
    "k": (lambda X: ours.SelectKBest(k=-1).fit(X, LABELS), "k: expected an integer of at least 0, got -1"),
    "a function of all rows": (
        lambda X: ours.SelectKBest(genuine.mutual_info_classif).fit(X, LABELS),
        "score_func: expected one of chi2, f_classif, .* got 'mutual_info_classif'",
    ),
    "no target": (lambda X: ours.SelectKBest().fit(X), "requires y to be passed"),
    "negative counts": (lambda X: ours.SelectKBest(ours.chi2).fit(X, LABELS), "Negative values in data passed to X"),
    "alpha": (lambda X: ours.SelectFwe(alpha=2).fit(X, LABELS), "alpha: expected a finite number from 0 to 1, got 2"),
    "mode": (lambda X: ours.GenericUnivariateSelect(mode="x").fit(X, LABELS), "mode: expected one of"),
    "threshold": (lambda X: ours.VarianceThreshold(99).fit(X), "No feature in X meets the variance threshold 99"),
    "step": (lambda X: ours.RFE(Ridge(), step=0).fit(X, TARGET), "step: expected an integer of at least 1, got 0"),
    "share": (lambda X: ours.RFE(Ridge(), step=1.5).fit(X, TARGET), "step: expected a finite number from 0 to 1"),
    "model": (lambda X: ours.RFE(Ridge(alpha=-1)).fit(X, TARGET), "alpha: expected finite numbers"),
    "a model without Dask": (
        lambda X: ours.RFE(RandomForestClassifier()).fit(X, BINARY),
        "estimator: RandomForestClassifier takes no Dask data",
    ),
    "one feature": (lambda X: ours.RFE(Ridge()).fit(X[:, :1], TARGET), "1 feature.* minimum of 2 is required"),
    "lengths": (lambda X: ours.RFE(Ridge()).fit(X, lazy(TARGET)[:50]), "y: .*expected 240 rows as in X, got 50"),
    "scoring": (lambda X: ours.RFECV(Ridge(), scoring="x").fit(X, TARGET), "'x' is not a valid scoring value"),
    "cv": (lambda X: ours.RFECV(Ridge(), cv="x").fit(X, TARGET), "cv: expected a number of folds"),
    "parameters of fit": (lambda X: ours.RFECV(Ridge()).fit(X, TARGET, sample_weight=WEIGHT), "sample_weight"),
    "direction": (
        lambda X: ours.SequentialFeatureSelector(Ridge(), direction="up").fit(X, TARGET),
        "direction: expected one of",
    ),
    "too many": (
        lambda X: ours.SequentialFeatureSelector(Ridge(), n_features_to_select=6).fit(X, TARGET),
        "n_features_to_select must be < n_features",
    ),
    "max_features": (
        lambda X: ours.SelectFromModel(Ridge(), max_features=-1).fit(X, TARGET),
        "max_features: expected an integer of at least 0",
    ),
    "importance": (
        lambda X: ours.RFE(Ridge(), importance_getter="nope").fit(X, TARGET),
        "importance_getter: 'Ridge' object has no attribute 'nope'",
    ),
    "a threshold": (lambda X: ours.SelectFromModel(Ridge(), threshold="x").fit(X, TARGET), "threshold='median' got x"),
    "threads": (lambda X: ours.RFECV(Ridge(), n_jobs="x").fit(X, TARGET), "n_jobs"),
    "param": (lambda X: ours.GenericUnivariateSelect(param=-1).fit(X, LABELS), "param: percentile: expected"),
    "no rows": (lambda X: ours.SelectKBest().fit(X[:0], LABELS[:0]), "0 sample"),
    "infinity": (lambda X: ours.VarianceThreshold().fit(da.where(X > 3, np.inf, X)), "X contains infinity .* block 0"),
    "no target of a model": (lambda X: ours.SequentialFeatureSelector(Ridge()).fit(X), "requires y to be passed"),
    "NaN": (lambda X: ours.SelectKBest().fit(LAYOUTS["array"](GAPS), LABELS), "X contains NaN in block 1, row 73"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_is_named(name):
    run, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        run(LAYOUTS["array"](X))


def test_a_failed_fit_changes_nothing():
    model = ours.RFE(Ridge()).fit(LAYOUTS["array"](X), TARGET)
    before = dict(vars(model))
    with pytest.raises(DataError, match="NaN"):
        model.fit(LAYOUTS["array"](GAPS), TARGET)
    assert vars(model) == before


@parametrize_with_checks(
    [
        ours.SelectKBest(k=1),
        ours.VarianceThreshold(),
        ours.RFE(Ridge()),
        ours.SelectFromModel(Ridge()),
        TfidfTransformer(),
    ],
    expected_failed_checks=lambda estimator: (
        {"check_supervised_y_2d": "ridge regression takes several outputs, as scikit-learn's does"}
        if isinstance(estimator, ours.RFE)
        else {}
    ),
)
def test_scikit_learns_checks(estimator, check):
    check(estimator)


@ON_EVERY_LAYOUT
@pytest.mark.filterwarnings("ignore:X has feature names:UserWarning")  # scikit-learn's selector says so, too
def test_a_fitted_model_selects_without_a_fit_of_the_selector(make):
    model = LogisticRegression().fit(make(X), lazy(LABELS))
    known = genuine.SelectFromModel(model.to_sklearn(), prefit=True)
    expected = known.transform(X if not hasattr(make(X), "columns") else pd.DataFrame(X, columns=list("abcdef")))
    selector = ours.SelectFromModel(model, prefit=True)
    assert_array_equal(dense(selector.transform(make(X))), expected)
    assert selector.n_features_in_ == X.shape[1]
    assert selector.fit(make(X)).estimator_ is not model
    with pytest.raises(DataError, match="has 3 features"):
        ours.SelectFromModel(model, prefit=True).transform(da.ones((9, 3), chunks=3))


def test_a_model_that_is_to_be_fitted_already_and_is_not():
    with pytest.raises(NotFittedError, match="expected to be a fitted"):
        ours.SelectFromModel(LogisticRegression(), prefit=True).transform(X)
    with pytest.raises(NotFittedError):
        ours.SelectFromModel(LogisticRegression()).transform(lazy(X))

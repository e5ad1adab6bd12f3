"""Fits that share passes give what scikit-learn's searches give, whatever the model, grid, folds, and layout."""

from __future__ import annotations

import threading
import tracemalloc

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import sklearn.linear_model as skl
import sklearn.model_selection as skm
import sklearn.naive_bayes
import sklearn.preprocessing
import sklearn.svm
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.pipeline import Pipeline

from daskml_kit import linear_model as ours
from daskml_kit import model_selection as cv
from daskml_kit.data import collections as capacity
from daskml_kit.engines import open as opening
from daskml_kit.engines.engine import watching
from daskml_kit.exceptions import DataError
from daskml_kit.model_selection.search.evaluate import folds_of
from daskml_kit.model_selection.search.fused import run_fused
from daskml_kit.model_selection.search.scoring import named_scoring
from daskml_kit.model_selection.search.search_plan import EvaluationData, EvaluationSpec, RoutedParams
from daskml_kit.model_selection.search.task_search import run_tasks
from daskml_kit.naive_bayes import GaussianNB
from daskml_kit.preprocessing import StandardScaler

N_ROWS, WIDTH = 150, 4
TIGHT = {"tol": 1e-9, "max_iter": 3000}
THEIRS = {"tol": 1e-9, "max_iter": 3000}
CLASSES = ("accuracy", "neg_log_loss", "neg_brier_score")
NUMBERS = ("r2", "neg_mean_squared_error", "neg_mean_absolute_error", "neg_root_mean_squared_error")
SPAN = {"C": [0.03, 1.0, 20.0]}
STRENGTHS = {"alpha": [0.003, 0.1, 2.0]}


def make(seed):
    """Return badly placed features with targets of each kind, and weights."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(N_ROWS, WIDTH)) * [1, 5, 0.3, 1] + [0, 20, -1, 0.5]
    signal = (X - X.mean(axis=0)) / X.std(axis=0) @ rng.normal(size=WIDTH)
    targets = {
        "binary": (signal + rng.logistic(size=N_ROWS) > 0).astype(int),
        "classes": np.digitize(signal + rng.logistic(size=N_ROWS), [-1, 1]),
        "number": signal + rng.standard_t(3, size=N_ROWS),
        "pair": np.column_stack([signal, -signal]) + rng.normal(size=(N_ROWS, 2)),
        "count": rng.poisson(np.exp(signal / 4)).astype(float),
        "positive": rng.gamma(2.0, np.exp(signal / 4)) + 0.01,
    }
    return X, targets, rng.integers(1, 4, N_ROWS).astype(float)


MODELS = {
    "logistic": (ours.LogisticRegression(**TIGHT), skl.LogisticRegression(solver="newton-cholesky", **THEIRS), SPAN),
    "unpenalized": (
        ours.LogisticRegression(C=np.inf, **TIGHT),
        skl.LogisticRegression(C=np.inf, solver="newton-cholesky", **THEIRS),
        {"fit_intercept": [True, False]},
    ),
    "weighted classes": (
        ours.LogisticRegression(**TIGHT),
        skl.LogisticRegression(solver="newton-cholesky", **THEIRS),
        {"class_weight": ["balanced", None], "C": [0.1, 5.0]},
    ),
    "elastic logistic": (
        ours.LogisticRegression(C=0.3, **TIGHT),
        skl.LogisticRegression(C=0.3, solver="saga", tol=1e-10, max_iter=100_000),
        {"l1_ratio": [0.4, 1.0]},
    ),
    "machine": (
        ours.LinearSVC(fit_intercept=False, **TIGHT),
        sklearn.svm.LinearSVC(fit_intercept=False, tol=1e-11, max_iter=1_000_000),
        {"C": [0.01, 0.5]},
    ),
    "ridge": (ours.Ridge(), skl.Ridge(tol=1e-12), {"alpha": [0.01, 3.0, 100.0], "fit_intercept": [True, False]}),
    "bayesian": (ours.BayesianRidge(), skl.BayesianRidge(), {"alpha_1": [1e-6, 10.0], "fit_intercept": [True, False]}),
    "lasso": (ours.Lasso(**TIGHT), skl.Lasso(tol=1e-11, max_iter=100_000), STRENGTHS),
    "elastic": (
        ours.ElasticNet(**TIGHT),
        skl.ElasticNet(tol=1e-11, max_iter=100_000),
        {**STRENGTHS, "l1_ratio": [0.2, 0.8]},
    ),
    "least squares": (ours.LinearRegression(), skl.LinearRegression(), {"fit_intercept": [True, False]}),
    "poisson": (ours.PoissonRegressor(**TIGHT), skl.PoissonRegressor(solver="newton-cholesky", **THEIRS), STRENGTHS),
    "gamma": (ours.GammaRegressor(**TIGHT), skl.GammaRegressor(solver="newton-cholesky", **THEIRS), STRENGTHS),
    "tweedie": (
        ours.TweedieRegressor(power=1.5, **TIGHT),
        skl.TweedieRegressor(power=1.5, solver="newton-cholesky", **THEIRS),
        STRENGTHS,
    ),
}
TARGETS = {
    **dict.fromkeys(MODELS, ("number", "pair")),
    **dict.fromkeys(
        ("logistic", "unpenalized", "weighted classes", "elastic logistic", "machine"), ("binary", "classes")
    ),
    "poisson": ("count",),
    "gamma": ("positive",),
    "tweedie": ("positive", "count"),
}
SCORINGS = {
    **dict.fromkeys(MODELS, (None, *NUMBERS)),
    **dict.fromkeys(
        MODELS.keys() & {"logistic", "unpenalized", "weighted classes", "elastic logistic"}, (None, *CLASSES)
    ),
    "machine": (None, "accuracy"),
    "poisson": ("neg_mean_poisson_deviance", "r2"),
    "gamma": ("neg_mean_gamma_deviance", "neg_mean_absolute_error"),
    "tweedie": NUMBERS,
}
NAMES = {"ints": lambda y: y * 2 - 1, "words": lambda y: np.array(["low", "high", "medium"])[y], "floats": np.float64}
SPLITTERS = {
    "three": 3,
    "blocks": cv.KFold(4),
    "shuffled": cv.KFold(3, shuffle=True, random_state=1),
    "strata": cv.StratifiedKFold(3),
    "drawn": cv.ShuffleSplit(2, test_size=0.3, train_size=0.5, random_state=2),
    "drawn strata": cv.StratifiedShuffleSplit(2, test_size=0.4, random_state=2),
    "repeated": cv.RepeatedKFold(n_splits=2, n_repeats=2, random_state=3),
    "groups": cv.GroupKFold(3),
    "time": cv.TimeSeriesSplit(2),
    "theirs": skm.KFold(3, shuffle=True, random_state=4),
    "their strata": skm.RepeatedStratifiedKFold(n_splits=2, n_repeats=2, random_state=4),
    "given": [(np.arange(60), np.arange(60, 90)), (np.arange(40, 150), np.arange(40))],
}


@st.composite
def cuts(draw):
    """Draw lengths of blocks, which may be empty."""
    edges = sorted(draw(st.lists(st.integers(0, N_ROWS), max_size=5)))
    return tuple(np.diff([0, *edges, N_ROWS]).tolist())


def in_frame(X, lengths):
    frame = pd.DataFrame(X, columns=[f"x{i}" for i in range(X.shape[1])])
    whole = dd.from_pandas(frame.assign(row=np.arange(len(X))), npartitions=3, sort=False)
    return whole[whole["row"] >= 0].drop(columns="row")


SCALERS = {
    "ours": StandardScaler(),
    "theirs": sklearn.preprocessing.StandardScaler(),
    "only scale": StandardScaler(with_mean=False),
    "only mean": sklearn.preprocessing.StandardScaler(with_std=False),
}
LAYOUTS = {
    "memory": lambda X, lengths: X,
    "pandas": lambda X, lengths: pd.DataFrame(X, columns=[f"x{i}" for i in range(X.shape[1])]),
    "blocks": lambda X, lengths: da.from_array(X, chunks=(lengths, -1)),
    "tiles": lambda X, lengths: da.from_array(X, chunks=(lengths, 3)),
    "frame": in_frame,
    "sparse": lambda X, lengths: da.from_array(X, chunks=(lengths, -1)).map_blocks(sp.csr_matrix),
}


def scaled(model, scaler):
    return Pipeline([("scale", scaler), ("model", model)])


def prefixed(grid):
    return {f"model__{name}": values for name, values in grid.items()}


def numbers_of(folds):
    """Return a Folds as the row numbers that scikit-learn takes."""
    columns = [np.asarray(ids) for ids in folds.ids]
    return [
        tuple(np.flatnonzero(np.isin(columns[split.column], side)) for side in (split.train, split.test))
        for split in folds.splits
    ]


def assert_same_scores(found, expected, atol=1e-5):
    names = [name for name in expected if "test" in name or "train" in name]
    assert [name for name in found if "test" in name or "train" in name] == names
    for name in names:
        if not name.startswith("rank"):
            assert_allclose(found[name].astype(float), expected[name].astype(float), rtol=atol, atol=atol, err_msg=name)


@st.composite
def problems(draw):
    """Draw a model of ours with scikit-learn's, a grid, rows and targets, and a scoring that suits them."""
    name = draw(st.sampled_from(sorted(MODELS)))
    model, reference, grid = MODELS[name]
    X, targets, weight = make(draw(st.integers(0, 20)))
    kind = draw(st.sampled_from(TARGETS[name]))
    y = targets[kind]
    if kind in ("binary", "classes"):
        y = NAMES[draw(st.sampled_from(sorted(NAMES)))](y)
    scaler = draw(st.sampled_from(["none", *SCALERS]))
    if scaler != "none" and name != "least squares":
        own = SCALERS[scaler]
        theirs = sklearn.preprocessing.StandardScaler(**own.get_params())
        model, reference, grid = scaled(model, own), scaled(reference, theirs), prefixed(grid)
    elif name in ("elastic logistic", "machine", "unpenalized"):  # scikit-learn's solvers need scaled features
        X = sklearn.preprocessing.scale(X)
    named = y.dtype.kind == "U"  # scikit-learn's Brier score does not know which of two names is the positive one
    scorings = [score for score in SCORINGS[name] if not (named and score == "neg_brier_score")]
    return model, reference, grid, X, y, kind, weight, scorings


def some_layout(draw, model, X):
    """Draw a layout; sparse rows cannot be centered."""
    centered = isinstance(model, Pipeline) and model.named_steps["scale"].with_mean
    layout = draw(st.sampled_from(sorted(LAYOUTS.keys() - ({"sparse"} if centered else set()))))
    return LAYOUTS[layout](X, draw(cuts())), layout not in ("memory", "pandas")


@pytest.mark.slow
@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],  # to shrink searches takes minutes, and tells little
    suppress_health_check=list(HealthCheck),
)
@given(st.data())
def test_a_search_is_scikit_learns(data):
    model, reference, grid, X, y, kind, weight, scorings = data.draw(problems())
    rows, lazy = some_layout(data.draw, model, X)
    way = data.draw(st.sampled_from(sorted(SPLITTERS)))
    if "strata" in way and kind not in ("binary", "classes"):
        way = "shuffled"
    splitter, groups = SPLITTERS[way], np.arange(N_ROWS) % 11 if way == "groups" else None
    chosen = data.draw(st.lists(st.sampled_from(scorings), min_size=1, max_size=3, unique=True))
    several = len(chosen) > 1 and None not in chosen
    options = {"scoring": chosen if several else chosen[0], "refit": chosen[0] if several else True}
    options["return_train_score"] = data.draw(st.booleans())
    weighted = data.draw(st.booleans()) and not isinstance(model, Pipeline)
    params = {"sample_weight": weight} if weighted else {}
    target = da.from_array(y, chunks=(data.draw(cuts()), *y.shape[1:])) if lazy else y
    search = cv.GridSearchCV(model, grid, cv=splitter, **options).fit(rows, target, groups=groups, **params)
    assert len(search.plan_.fused) == len(search.cv_results_["params"]), str(search.plan_)
    splits = numbers_of(folds_of(splitter, model, rows, target, groups))
    expected = skm.GridSearchCV(reference, grid, cv=splits, **options).fit(X, y, **params)
    assert_same_scores(search.cv_results_, expected.cv_results_)
    assert search.best_score_ == pytest.approx(expected.best_score_, rel=1e-5, abs=1e-5)
    predicted = search.predict(rows)
    assert isinstance(predicted, da.Array) == lazy
    chosen_alike = search.best_params_ == expected.best_params_  # not where candidates tie to rounding
    if chosen_alike and kind not in ("binary", "classes"):
        assert_allclose(np.asarray(predicted), expected.predict(X), rtol=1e-4, atol=1e-4)


HUBER = ours.HuberRegressor(tol=1e-9, max_iter=1000)


@pytest.mark.parametrize(
    ("model", "grid", "kind", "scoring"),
    [
        (ours.LogisticRegression(**TIGHT), SPAN, "classes", ["accuracy", "neg_log_loss"]),
        (ours.LogisticRegression(solver="lbfgs", **TIGHT), SPAN, "binary", ["neg_brier_score"]),
        (
            ours.LogisticRegression(solver="fista", C=0.1, l1_ratio=0.5, **TIGHT),
            {"tol": [1e-9]},
            "binary",
            ["accuracy"],
        ),
        (ours.LinearSVC(**TIGHT), SPAN, "classes", ["accuracy"]),
        (ours.Ridge(solver="lbfgs", tol=1e-10), STRENGTHS, "pair", ["r2", "neg_mean_absolute_error"]),
        (HUBER, {"epsilon": [1.2, 2.0], "alpha": [1e-4, 1.0]}, "number", ["r2"]),
        (ours.TweedieRegressor(power=0, link="log", **TIGHT), STRENGTHS, "positive", ["r2"]),
        (ours.Lasso(positive=True, **TIGHT), STRENGTHS, "number", ["neg_root_mean_squared_error"]),
    ],
    ids=lambda value: repr(value) if hasattr(value, "fit") else "",
)
def test_fused_is_one_by_one(model, grid, kind, scoring):
    X, targets, weight = make(3)
    X, y = sklearn.preprocessing.scale(X), targets[kind]
    folds = cv.KFold(3, shuffle=True, random_state=0).assign(X)
    candidates, scoring = list(skm.ParameterGrid(grid)), named_scoring(scoring)
    spec = EvaluationSpec(model, candidates, scoring, "raise", with_train=True)
    weights = {"sample_weight": weight}
    data = EvaluationData(X, y, folds, RoutedParams({}, weights, weights))
    together = run_fused(spec, data)
    alone = {}
    run_tasks(spec, data, alone.__setitem__)
    assert together.outcomes.keys() == alone.keys()
    for place, outcome in alone.items():
        assert together.outcomes[place].test == pytest.approx(dict(outcome.test), rel=1e-5, abs=1e-5)
        assert together.outcomes[place].train == pytest.approx(dict(outcome.train), rel=1e-5, abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("stream", [False, True], ids=["persisted", "streaming"])
def test_on_a_cluster(client, monkeypatch, stream):
    monkeypatch.setattr(opening, "LOCAL_BYTES", 0)
    if stream:
        monkeypatch.setattr(capacity, "FIT_FRACTION", 0)
    X, targets, _ = make(1)
    y = NAMES["words"](targets["classes"])
    model, grid = scaled(ours.LogisticRegression(**TIGHT), StandardScaler()), prefixed(SPAN)
    options = {"cv": cv.StratifiedKFold(3, shuffle=True, random_state=0), "scoring": "neg_log_loss"}
    here = cv.GridSearchCV(model, grid, **options).fit(X, y)
    blocks = da.from_array(X, chunks=(40, 4)), da.from_array(y, chunks=33)
    there = cv.GridSearchCV(model, grid, **options).fit(*blocks)
    splits = numbers_of(folds_of(options["cv"], model, *blocks, None))
    again = cv.GridSearchCV(model, grid, cv=splits, scoring="neg_log_loss").fit(X, y)
    assert_same_scores(there.cv_results_, again.cv_results_)
    assert there.best_params_ == here.best_params_
    assert there.score(*blocks) == pytest.approx(here.score(X, y), abs=1e-6)


def test_probabilities_of_a_model_that_is_not_linear_are_scored():
    X, targets, _ = make(0)
    options = {"scoring": list(CLASSES), "refit": False, "cv": skm.KFold(3), "return_train_score": True}
    search = cv.GridSearchCV(GaussianNB(), {"var_smoothing": [1e-9, 1e-2]}, **options).fit(X, targets["classes"])
    assert len(search.plan_.fused) == 2
    expected = skm.GridSearchCV(sklearn.naive_bayes.GaussianNB(), {"var_smoothing": [1e-9, 1e-2]}, **options)
    assert_same_scores(search.cv_results_, expected.fit(X, targets["classes"]).cv_results_)


def test_least_squares_on_all_folds_cost_one_pass():
    X, targets, _ = make(0)
    folds = cv.KFold(5).assign(X)
    for model in (ours.Ridge(), ours.Lasso(), scaled(ours.Ridge(), StandardScaler())):
        name = "model__alpha" if isinstance(model, Pipeline) else "alpha"
        candidates = [{name: alpha} for alpha in np.logspace(-3, 2, 30)]
        spec = EvaluationSpec(model, candidates, {"score": "r2"})
        found = run_fused(spec, EvaluationData(X, targets["number"], folds))
        assert found.passes == (2 if isinstance(model, Pipeline) else 1)  # moments, products


def test_more_candidates_and_folds_cost_hardly_more_passes():
    X, targets, _ = make(0)

    def passes(n_candidates, n_folds):
        candidates = [{"C": C} for C in np.logspace(-2, 2, n_candidates)]
        folds = cv.KFold(n_folds).assign(X)
        spec = EvaluationSpec(ours.LogisticRegression(), candidates, {"score": "neg_log_loss"})
        return run_fused(spec, EvaluationData(X, targets["binary"], folds)).passes

    few, many = passes(2, 2), passes(12, 5)
    assert many <= few + 6 < 25


def test_a_folds_scaler_has_seen_its_training_rows_only():
    X, targets, _ = make(2)
    X[100:] += 1000
    blocks = da.from_array(X, chunks=(37, 4))
    model = scaled(ours.Ridge(), StandardScaler())
    found = cv.cross_validate(
        model, blocks, targets["number"], cv=cv.KFold(3), return_estimator=True, return_indices=True
    )
    assert found["estimator"][2].named_steps["scale"].mean_.max() < 500
    for fitted, train in zip(found["estimator"], found["indices"]["train"], strict=True):
        alone = scaled(skl.Ridge(), sklearn.preprocessing.StandardScaler()).fit(X[train], targets["number"][train])
        assert_allclose(fitted.named_steps["scale"].mean_, alone.named_steps["scale"].mean_, rtol=1e-12)
        assert_allclose(fitted.named_steps["scale"].scale_, alone.named_steps["scale"].scale_, rtol=1e-9)
        assert fitted.named_steps["scale"].n_samples_seen_ == len(train)
        assert_allclose(fitted.named_steps["model"].coef_, alone.named_steps["model"].coef_, rtol=1e-6)


def test_rows_are_neither_copied_nor_changed():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(150_000, 20))
    y = (X[:, 0] > 0).astype(int)
    X.flags.writeable = y.flags.writeable = False
    before = X.copy()
    tracemalloc.start()
    cv.GridSearchCV(ours.LogisticRegression(), SPAN, cv=5).fit(X, y)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    kept = 2**22  # temporaries of tiles that two threads use again
    assert peak < 1.2 * X.nbytes + kept  # of these 0.5 are the sample of 60000 rows, and 0.3 two blocks at work
    assert_array_equal(X, before)


@pytest.mark.slow
def test_many_candidates_start_no_threads():
    X, targets, _ = make(0)
    seen = []
    before = threading.active_count()
    with watching(lambda profile: seen.append(threading.active_count())):
        cv.GridSearchCV(ours.Ridge(), {"alpha": np.logspace(-3, 3, 500)}, cv=4).fit(X, targets["number"])
        cv.GridSearchCV(ours.LogisticRegression(), {"C": np.logspace(-3, 3, 200)}, cv=2).fit(X, targets["binary"])
    assert max(seen) == before


def test_an_interrupt_ends_all_fits():
    X, targets, _ = make(0)

    def interrupt(profile):
        if profile.passes == 4:
            raise KeyboardInterrupt

    with watching(interrupt), pytest.raises(KeyboardInterrupt), pytest.warns(UserWarning, match="interrupted"):
        cv.GridSearchCV(ours.LogisticRegression(solver="lbfgs"), SPAN, cv=5).fit(X, targets["binary"])


def test_errors_of_the_data_name_the_block():
    X, targets, _ = make(0)
    X[70, 2] = np.nan
    with pytest.raises(DataError, match="X contains NaN in block 1, row 20 of the block"):
        cv.GridSearchCV(ours.LogisticRegression(), SPAN).fit(da.from_array(X, chunks=(50, 4)), targets["binary"])


def test_weights_of_named_classes():
    X, targets, _ = make(4)
    y = NAMES["words"](targets["classes"])
    grid = {"class_weight": [{"low": 5, "high": 1, "medium": 0.2}, {"low": 0.1}, None, "balanced"]}
    search = cv.GridSearchCV(ours.LogisticRegression(**TIGHT), grid, cv=3, scoring="neg_log_loss").fit(X, y)
    theirs = skl.LogisticRegression(solver="newton-cholesky", **THEIRS)
    expected = skm.GridSearchCV(theirs, grid, cv=3, scoring="neg_log_loss").fit(X, y)
    assert_same_scores(search.cv_results_, expected.cv_results_)
    assert search.best_estimator_.class_weight == expected.best_estimator_.class_weight
    assert_array_equal(search.classes_, expected.classes_)


@pytest.mark.parametrize("names", [[3, 1, 2], ["c", "a", "b"]], ids=str)
def test_classes_that_training_rows_lack(names):
    X, targets, _ = make(5)
    y = np.array(names)[np.where(targets["classes"] == 2, 0, targets["classes"])]
    y[:10] = names[2]  # the first fold alone has this class
    options = {"cv": skm.KFold(3), "scoring": ["accuracy", "neg_log_loss"], "refit": False}
    search = cv.GridSearchCV(ours.LogisticRegression(**TIGHT), SPAN, error_score=-9.0, **options)
    with pytest.warns(UserWarning, match="Scoring failed.*set to -9.0.*labels that the training rows have not"):
        search.fit(X, y)
    theirs = skl.LogisticRegression(solver="newton-cholesky", **THEIRS)
    with pytest.warns(UserWarning, match="Scoring failed"):
        expected = skm.GridSearchCV(theirs, SPAN, error_score=-9.0, **options).fit(X, y)
    for split in range(3):
        name = f"split{split}_test_accuracy"
        assert_allclose(search.cv_results_[name], expected.cv_results_[name], atol=1e-5)
    assert (search.cv_results_["split0_test_neg_log_loss"] == -9).all()
    assert (search.cv_results_["split1_test_neg_log_loss"] > -5).all()
    with pytest.raises(ValueError, match="labels that the training rows have not"):
        search.set_params(error_score="raise").fit(X, y)


@pytest.mark.filterwarnings("ignore:One or more of the")
def test_scores_that_predictions_do_not_allow():
    X, targets, _ = make(0)
    scoring = {"mse": "neg_mean_squared_error", "gamma": "neg_mean_gamma_deviance"}
    options = {"cv": 3, "scoring": scoring, "refit": "mse"}
    with pytest.warns(UserWarning, match="Scoring failed"):
        search = cv.GridSearchCV(ours.Ridge(), STRENGTHS, **options).fit(X, targets["number"])
    with pytest.warns(UserWarning, match="Scoring failed"):
        expected = skm.GridSearchCV(skl.Ridge(), STRENGTHS, **options).fit(X, targets["number"])
    assert_same_scores(search.cv_results_, expected.cv_results_)


@pytest.mark.filterwarnings("ignore:One or more of the")
def test_rows_without_weight_have_no_score():
    X, targets, weight = make(0)
    weight[:50] = 0
    for model, y in ((ours.Ridge(), targets["number"]), (ours.LogisticRegression(), targets["binary"])):
        with pytest.warns(UserWarning, match="no rows with a positive weight"):
            search = cv.GridSearchCV(model, {"tol": [1e-5]}, cv=skm.KFold(3)).fit(X, y, sample_weight=weight)
        scores = [search.cv_results_[f"split{split}_test_score"][0] for split in range(3)]
        assert np.isnan(scores).tolist() == [True, False, False]


def test_a_scorer_of_the_other_kind_is_not_made_of_sums():
    X, targets, _ = make(0)
    search = cv.GridSearchCV(ours.LogisticRegression(**TIGHT), SPAN, scoring="r2", cv=3).fit(X, targets["binary"])
    assert search.plan_.fused == []
    theirs = skl.LogisticRegression(solver="newton-cholesky", **THEIRS)
    expected = skm.GridSearchCV(theirs, SPAN, scoring="r2", cv=3).fit(X, targets["binary"])
    assert_same_scores(search.cv_results_, expected.cv_results_)


def test_lists_and_one_column():
    X, targets, _ = make(0)
    expected = cv.GridSearchCV(ours.LogisticRegression(), SPAN, cv=3).fit(X, targets["binary"])
    search = cv.GridSearchCV(ours.LogisticRegression(), SPAN, cv=3).fit(X.tolist(), targets["binary"].tolist())
    assert_same_scores(search.cv_results_, expected.cv_results_, 0)
    assert_array_equal(search.predict(X.tolist()), expected.predict(X))


SINGLE = {
    "logistic": (ours.LogisticRegression(), "C", False),
    "lasso logistic": (ours.LogisticRegression(l1_ratio=1.0), "C", False),
    "lbfgs": (ours.LogisticRegression(solver="lbfgs"), "C", False),
    "fista": (ours.LogisticRegression(solver="fista", l1_ratio=0.5), "C", False),
    "wide": (ours.LogisticRegression(), "C", True),
    "poisson": (ours.PoissonRegressor(), "alpha", False),
    "machine": (ours.LinearSVC(), "C", False),
}


@pytest.mark.parametrize("name", SINGLE)
def test_fits_in_single_precision_end_where_the_loss_can_fall_no_further(name):
    model, strength, wide = SINGLE[name]
    draw = np.random.default_rng(0)
    X = draw.normal(size=(1_500, 20)).astype(np.float32)
    y = draw.poisson(np.exp(X[:, 0] / 3)) if name == "poisson" else (X[:, 0] + draw.normal(size=1_500) > 0).astype(int)
    X = sp.random_array((1_500, 2_000), density=0.01, rng=draw, format="csr", dtype=np.float32) if wide else X
    scores, passes = [], []
    for rows, tol in ((X, 1e-12), (X.astype(np.float64), 1e-6)):
        search = cv.GridSearchCV(model.set_params(tol=tol, max_iter=150), {strength: [0.1, 1.0, 10.0]}, cv=3)
        with watching(lambda _: passes.append(1)):  # a warning that a fit has not converged would be an error
            scores.append(search.fit(rows, y).cv_results_["mean_test_score"])
    assert_allclose(*scores, atol=2e-3)
    assert len(passes) < 700

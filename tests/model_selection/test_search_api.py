"""What a search gives beside scores: the results' table, the best of it, errors, the plan, methods on Dask."""

from __future__ import annotations

import pickle

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import sklearn
import sklearn.linear_model as skl
import sklearn.metrics
import sklearn.model_selection as skm
import sklearn.preprocessing as skp
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import loguniform
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.exceptions import FitFailedWarning, NotFittedError
from sklearn.metrics import make_scorer, mean_absolute_error
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.tree import DecisionTreeClassifier

from daskml_kit import metrics
from daskml_kit.exceptions import DataError
from daskml_kit.linear_model import ElasticNet, LinearSVC, LogisticRegression, PoissonRegressor, Ridge
from daskml_kit.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    RandomizedSearchCV,
    SearchPlan,
    cross_val_predict,
    cross_validate,
)
from daskml_kit.preprocessing import StandardScaler

NAMES = list("abcd")
GRID = {"C": [0.01, 1.0]}
RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 4)) + np.arange(4)
NUMBER = X[:, 0] - X[:, 1] + RNG.normal(size=120)
LABEL = (NUMBER > -1).astype(int)
WORD = np.where(LABEL, "yes", "no")
GROUPS = np.arange(120) % 7


def blocks(values, rows=50):
    return da.from_array(values, chunks=(rows, *values.shape[1:]))


def sparse_blocks(values):
    return blocks(values).map_blocks(sp.csr_array)


def frame():
    return dd.from_pandas(pd.DataFrame(X, columns=NAMES), npartitions=3, sort=False)


def both(ours, theirs, grid, y=LABEL, **options):
    """Return our search and scikit-learn's, fitted to the same."""
    return GridSearchCV(ours, grid, **options).fit(X, y), skm.GridSearchCV(theirs, grid, **options).fit(X, y)


TABLES = {
    "one": ({"C": [0.1, 1.0, 10.0]}, {}),
    "train": (GRID, {"return_train_score": True}),
    "several": (GRID, {"scoring": ["accuracy", "neg_log_loss"], "refit": "accuracy", "return_train_score": True}),
    "named": (GRID, {"scoring": {"hits": "accuracy", "loss": "neg_log_loss"}, "refit": False}),
    "unlike grids": ([{"C": [1.0]}, {"C": [0.1, 0.2], "fit_intercept": [False]}, {"max_iter": [50, 70]}], {}),
    "words and none": ({"class_weight": [None, "balanced", {0: 2, 1: 1}], "random_state": [None, 1]}, {}),
    "ties": ({"random_state": [3, 2, 1], "C": [1.0, 0.001]}, {}),
}


@pytest.mark.parametrize(("grid", "options"), TABLES.values(), ids=TABLES)
def test_the_table_is_scikit_learns(grid, options):
    tight = {"tol": 1e-9, "max_iter": 1000}
    theirs = skl.LogisticRegression(solver="newton-cholesky", **tight)
    if isinstance(grid, list):
        tight = {"tol": 1e-9}
    ours, expected = both(LogisticRegression(**tight), theirs, grid, cv=3, **options)
    found, table = ours.cv_results_, expected.cv_results_
    assert list(found) == list(table)
    assert found["params"] == table["params"]
    for name, column in table.items():
        if name.startswith("param_"):
            assert found[name].dtype == column.dtype, name
            assert_array_equal(found[name].mask, column.mask)
            assert list(found[name].compressed()) == list(column.compressed())
        elif "time" in name:
            assert (found[name] >= 0).all()
            assert found[name].dtype == np.float64
        elif name != "params":
            assert found[name].dtype == column.dtype, name
            assert_allclose(found[name], column, atol=1e-5, err_msg=name)
    for name in ("best_index_", "best_params_", "best_score_", "multimetric_", "n_splits_"):
        assert hasattr(ours, name) == hasattr(expected, name), name
        if hasattr(expected, name):
            assert getattr(ours, name) == pytest.approx(getattr(expected, name)), name
    assert hasattr(ours, "best_estimator_") == hasattr(ours, "refit_time_") == bool(ours.refit)


def test_values_that_are_estimators_or_sequences():
    ours = Pipeline([("scale", None), ("model", Ridge())])
    grid = {
        "scale": ["passthrough", StandardScaler(), skp.StandardScaler(with_mean=False), None],
        "model": [Ridge(alpha=2.0), ElasticNet(alpha=0.1)],
    }
    search = GridSearchCV(ours, grid, cv=KFold(3)).fit(X, NUMBER)
    assert search.plan_.fused == list(range(8))
    expected = skm.GridSearchCV(ours, grid, cv=3).fit(X, NUMBER)
    assert_allclose(search.cv_results_["mean_test_score"], expected.cv_results_["mean_test_score"], atol=1e-6)
    assert search.cv_results_["param_model"].dtype == object
    assert not hasattr(grid["model"][0], "coef_")
    assert not hasattr(grid["scale"][1], "mean_")
    pair = {"alpha": [np.array([1.0, 2.0]), np.array([0.1, 0.1])]}
    search = GridSearchCV(Ridge(), pair, cv=3).fit(X, np.column_stack([NUMBER, -NUMBER]))
    expected = skm.GridSearchCV(skl.Ridge(), pair, cv=3).fit(X, np.column_stack([NUMBER, -NUMBER]))
    assert_allclose(search.cv_results_["mean_test_score"], expected.cv_results_["mean_test_score"])
    assert search.cv_results_["param_alpha"].dtype == object


class Descent:
    """Mixin: twice the best value so far, while that is better, as a subclass of scikit-learn's searches does."""

    def _run_search(self, evaluate_candidates):
        tried, value = {}, self.param_grid["alpha"][0]
        while not tried or max(tried, key=tried.get) * 2 not in tried:
            value = max(tried, key=tried.get) * 2 if tried else value
            table = evaluate_candidates(({"alpha": v} for v in [value]), more_results={"step": [len(tried)]})
            tried = dict(zip(table["param_alpha"], table["mean_test_score"], strict=True))


class OurDescent(Descent, GridSearchCV):
    pass


class TheirDescent(Descent, skm.GridSearchCV):
    pass


class NoCandidates(GridSearchCV):
    def _run_search(self, evaluate_candidates):
        pass


class TwoRounds(GridSearchCV):
    def _run_search(self, evaluate_candidates):
        super()._run_search(evaluate_candidates)
        evaluate_candidates([{"alpha": 0.5}], cv=self.second)


@pytest.mark.parametrize("lazy", [False, True], ids=["memory", "dask"])
def test_a_subclass_asks_for_candidates_in_rounds(tmp_path, lazy):
    y = NUMBER + 6 * np.random.default_rng(1).normal(size=120)
    expected = TheirDescent(skl.Ridge(), {"alpha": [1.0]}, cv=3).fit(X, y)
    search = OurDescent(Ridge(), {"alpha": [1.0]}, cv=KFold(3))
    for _ in range(2):  # the second time from the checkpoints of all rounds
        data = (blocks(X), blocks(y)) if lazy else (X, y)
        search.fit(*data, checkpoint=tmp_path)
        assert 2 < len(expected.cv_results_["params"]) < 20
        assert list(search.cv_results_) == list(expected.cv_results_)
        assert search.cv_results_["step"].tolist() == list(range(len(search.cv_results_["params"])))
        for name in ("mean_test_score", "rank_test_score", "param_alpha"):
            assert_allclose(search.cv_results_[name].astype(float), expected.cv_results_[name].astype(float), rtol=1e-6)
        assert search.plan_.fused == list(range(len(search.cv_results_["params"])))
        assert search.best_params_ == {"alpha": search.best_estimator_.alpha} == expected.best_params_
    assert_allclose(search.best_estimator_.coef_, expected.best_estimator_.coef_, rtol=1e-6)
    assert_allclose(search.to_sklearn().predict(X), expected.predict(X), rtol=1e-6)


def test_rounds_that_cannot_be_one_search_are_refused():
    with pytest.raises(ValueError, match="_run_search of NoCandidates has evaluated no candidates"):
        NoCandidates(Ridge(), {"alpha": [1.0]}).fit(X, NUMBER)
    search = TwoRounds(Ridge(), {"alpha": [1.0]}, cv=3)
    search.second = KFold(4)
    with pytest.raises(ValueError, match="cv: expected 3 splits in each round, got 4"):
        search.fit(X, NUMBER)
    search.second = KFold(3)
    assert len(search.fit(X, NUMBER).cv_results_["params"]) == 2


def test_a_callable_chooses():
    def least(table):
        return int(np.argmin(table["mean_test_score"]))

    search = GridSearchCV(LogisticRegression(), GRID, refit=least, cv=3).fit(X, LABEL)
    assert search.best_index_ == least(search.cv_results_)
    assert search.best_params_["C"] == search.best_estimator_.C
    assert not hasattr(search, "best_score_")
    for wrong, error in ((lambda table: 2, IndexError), (lambda table: -1, IndexError), (lambda table: "C", TypeError)):
        with pytest.raises(error, match="refit"):
            clone(search).set_params(refit=wrong).fit(X, LABEL)


def test_the_best_is_fitted_to_all_rows():
    search = GridSearchCV(LogisticRegression(tol=1e-9), GRID, cv=3).fit(blocks(X), blocks(WORD, 33))
    alone = LogisticRegression(tol=1e-9, **search.best_params_).fit(X, WORD)
    assert_allclose(search.best_estimator_.coef_, alone.coef_, atol=1e-6)
    assert_array_equal(search.best_estimator_.classes_, ["no", "yes"])
    assert_array_equal(search.classes_, ["no", "yes"])
    assert search.best_estimator_ is not search.estimator
    assert not hasattr(search.estimator, "coef_")
    assert search.n_features_in_ == 4
    again = pickle.loads(pickle.dumps(search))
    assert_array_equal(again.predict(X), search.predict(X))


def test_names_of_features():
    search = GridSearchCV(make_pipeline(StandardScaler(), Ridge()), {"ridge__alpha": [1.0, 2.0]}, cv=KFold(3))
    search.fit(frame(), blocks(NUMBER))
    assert list(search.feature_names_in_) == NAMES
    assert list(search.best_estimator_.named_steps["standardscaler"].feature_names_in_) == NAMES
    with pytest.raises(ValueError, match="feature names should match"):
        search.predict(frame()[NAMES[::-1]])


def test_parameters_are_those_of_the_search():
    search = GridSearchCV(LogisticRegression(C=3.0), GRID, cv=4, scoring="accuracy")
    assert search.get_params()["estimator__C"] == 3.0
    other = clone(search).set_params(estimator__tol=1e-2, cv=3)
    assert (other.estimator.tol, other.cv, search.cv) == (1e-2, 3, 4)
    assert other.fit(X, LABEL).n_splits_ == 3


def test_random_search_draws_as_scikit_learn():
    distributions = {"alpha": loguniform(1e-3, 1e3), "fit_intercept": [True, False]}
    options = {"n_iter": 5, "random_state": 0, "cv": 3}
    ours = RandomizedSearchCV(Ridge(), distributions, **options).fit(X, NUMBER)
    theirs = skm.RandomizedSearchCV(skl.Ridge(), distributions, **options).fit(X, NUMBER)
    assert ours.cv_results_["params"] == theirs.cv_results_["params"]
    assert_allclose(ours.cv_results_["mean_test_score"], theirs.cv_results_["mean_test_score"])
    assert ours.best_params_ == theirs.best_params_


# errors


def one_class_folds():
    """A split whose training rows have one class, and one that is fine."""
    ones, zeros = np.flatnonzero(LABEL), np.flatnonzero(1 - LABEL)
    return [(ones[:20], zeros[:20]), (np.arange(60), np.arange(60, 120))]


@pytest.mark.filterwarnings("ignore:One or more of the")
@pytest.mark.parametrize("lazy", [False, True], ids=["memory", "dask"])
@pytest.mark.parametrize("error_score", [np.nan, -1.0])
def test_fits_that_fail_have_the_error_score(error_score, lazy):
    options = {"cv": one_class_folds(), "error_score": error_score, "return_train_score": True}
    search = GridSearchCV(LogisticRegression(), GRID, **options)
    with pytest.warns(FitFailedWarning, match="2 fits failed out of a total of 4") as seen:
        search.fit(blocks(X), blocks(LABEL)) if lazy else search.fit(X, LABEL)
    assert "only one class" in str(seen[0].message)
    with pytest.warns(FitFailedWarning):
        expected = skm.GridSearchCV(skl.LogisticRegression(), GRID, **options).fit(X, LABEL)
    for name in ("split0_test_score", "split0_train_score", "mean_test_score", "rank_test_score"):
        assert_allclose(search.cv_results_[name], expected.cv_results_[name], atol=1e-3, err_msg=name)


def test_ranks_with_failures_come_last():
    grid = {"C": [1.0, -1.0, 0.001]}
    with pytest.warns(UserWarning, match="non-finite"), pytest.warns(FitFailedWarning):
        search = GridSearchCV(LogisticRegression(), grid, cv=3).fit(X, LABEL)
    assert search.cv_results_["rank_test_score"][1] == 3
    assert search.best_params_ != {"C": -1.0}


def test_fits_that_fail_may_raise():
    search = GridSearchCV(LogisticRegression(), GRID, cv=one_class_folds(), error_score="raise")
    with pytest.raises(ValueError, match="only one class"):
        search.fit(X, LABEL)


def test_all_fits_failed():
    with pytest.raises(
        ValueError, match=r"All the 6 fits failed(.|\n)*3 fits failed with(.|\n)*above 0, got -1(.|\n)*got -2"
    ):
        GridSearchCV(LogisticRegression(), {"C": [-1, -2]}, cv=3).fit(X, LABEL)


BAD = {
    "scorer": ({"scoring": "accurate"}, "'accurate' is not a valid scoring value"),
    "scorers": ({"scoring": ["accuracy", "accuracy"], "refit": "accuracy"}, "each scorer once"),
    "no scorers": ({"scoring": []}, "names must be"),
    "kind of scoring": ({"scoring": 3}, "scoring: expected a name"),
    "refit of several": ({"scoring": ["accuracy", "roc_auc"]}, "refit must be set to a scorer key"),
    "parameter": ({"param_grid": {"c": [1]}}, "Invalid parameter 'c'"),
    "no grid": ({"param_grid": []}, "Were there no candidates"),
    "no values": ({"param_grid": {"C": []}}, "need to be a non-empty sequence"),
    "cv": ({"cv": "five"}, "cv: expected a number of folds"),
    "folds": ({"cv": 1}, "n_splits"),
    "error_score": ({"error_score": "nan"}, "error_score: expected 'raise' or a number"),
    "pre_dispatch": ({"pre_dispatch": "all"}, "pre_dispatch: only"),
    "row on both sides": ({"cv": [(np.arange(100), np.arange(90, 120))]}, "split 0 names row 90 more than once"),
    "row twice": ({"cv": [([1, 1, 2], [3])]}, "split 0 names row 1 more than once"),
    "row that is not there": ({"cv": [([1, 2], [3, 4]), ([1], [120])]}, "cv: test rows of split 1"),
}


@pytest.mark.parametrize("lazy", [False, True], ids=["memory", "dask"])
@pytest.mark.parametrize(("options", "message"), BAD.values(), ids=BAD)
def test_errors_name_what_is_wrong(options, message, lazy):
    search = GridSearchCV(LogisticRegression(), GRID).set_params(**options)
    with pytest.raises(ValueError, match=message):
        search.fit(*((blocks(X), blocks(LABEL)) if lazy else (X, LABEL)))


def test_lengths_have_to_fit():
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        GridSearchCV(LogisticRegression(), GRID).fit(X, LABEL[:-1])
    with pytest.raises(ValueError, match="rows"):
        GridSearchCV(LogisticRegression(), GRID).fit(blocks(X), blocks(LABEL[:-1]))


def test_masks_are_rows():
    mask = np.arange(120) < 80
    by_mask = GridSearchCV(Ridge(), {"alpha": [1.0]}, cv=[(mask, ~mask)]).fit(X, NUMBER)
    by_number = GridSearchCV(Ridge(), {"alpha": [1.0]}, cv=[(np.arange(80), np.arange(-40, 0))]).fit(X, NUMBER)
    assert by_mask.best_score_ == by_number.best_score_


def test_groups_stay_together():
    for given in (GROUPS, blocks(GROUPS)):
        search = GridSearchCV(Ridge(), {"alpha": [1.0]}, cv=GroupKFold(3)).fit(blocks(X), blocks(NUMBER), groups=given)
        expected = skm.cross_val_score(skl.Ridge(), X, NUMBER, groups=GROUPS, cv=skm.GroupKFold(3))
        assert_allclose([search.cv_results_[f"split{i}_test_score"][0] for i in range(3)], expected)


# the plan


def test_the_plan_says_what_is_fused_and_why_not():
    model = Pipeline([("scale", StandardScaler()), ("model", LogisticRegression())])
    grid = [
        {"model__C": [0.1, 1.0]},
        {"scale": [PCA(2)]},
        {"scale": [skp.MinMaxScaler(), "passthrough"]},
        {"model": [DecisionTreeClassifier(random_state=0)]},
    ]
    search = GridSearchCV(model, grid, cv=KFold(3), n_jobs=1)
    planned = search.plan()
    assert isinstance(planned, SearchPlan)
    assert (planned.n_splits, planned.fused) == (3, [0, 1, 3, 4])
    assert str(planned).splitlines() == [
        "18 fits: 6 candidates on 3 splits",
        "  4 candidates share passes over the data",
        "  1 candidates are fitted each by itself: of steps before the model a SimpleImputer and then transformers of "
        "numbers that learn by reductions are made part of it, not PCA",
        "  1 candidates are fitted each by itself: its last step, DecisionTreeClassifier, does not learn by reductions "
        "that several fits can share",
    ]
    steps = [[("model", skl.LogisticRegression())], [("model", LogisticRegression())]]
    assert GridSearchCV(model, {"steps": steps}, cv=KFold(3)).plan().fused == [1]
    html = planned._repr_html_()
    assert html.count("<li>") == 3
    assert "18 fits" in html
    search.fit(X, LABEL)
    assert search.plan_ == planned
    expected = skm.GridSearchCV(model, grid, cv=skm.KFold(3)).fit(X, LABEL)
    assert_allclose(search.cv_results_["mean_test_score"], expected.cv_results_["mean_test_score"], atol=1e-6)


def test_html_is_escaped():
    assert "&lt;b&gt;" in SearchPlan(2, ["<b>"])._repr_html_()


@pytest.mark.parametrize(
    ("estimator", "scoring", "reason"),
    [
        (LogisticRegression(), "roc_auc", "scoring score is not made of sums"),
        (LogisticRegression(), "r2", "scoring score is not made of sums"),
        (Ridge(), "accuracy", "scoring score is not made of sums"),
        (LinearSVC(), "neg_log_loss", "scoring score is not made of sums"),
        (Ridge(), make_scorer(mean_absolute_error), "scoring score is not made of sums"),
        (PoissonRegressor(), None, "scoring score is not made of sums"),
        (skl.Ridge(), None, "Ridge does not learn by reductions"),
    ],
)
def test_reasons(estimator, scoring, reason):
    (found,) = GridSearchCV(estimator, {"tol": [1e-3]}, scoring=scoring).plan().reasons
    assert reason in found


def test_fit_parameters_of_steps_are_no_part_of_fused_fits():
    model = make_pipeline(StandardScaler(), Ridge())
    weight = np.arange(120) + 1.0
    search = GridSearchCV(model, {"ridge__alpha": [1.0]}, cv=3, n_jobs=1).fit(X, NUMBER, ridge__sample_weight=weight)
    assert search.plan_.alone == {"fit takes ridge__sample_weight too": [0]}
    expected = skm.GridSearchCV(model, {"ridge__alpha": [1.0]}, cv=3).fit(X, NUMBER, ridge__sample_weight=weight)
    assert_allclose(search.best_score_, expected.best_score_)


def test_splits_are_counted_for_the_plan():
    search = GridSearchCV(Ridge(), {"alpha": [1.0]})
    splits = list(skm.KFold(4).split(X))
    for cv, n_splits in ((None, 5), (3, 3), (KFold(2), 2), (skm.ShuffleSplit(7), 7), (splits, 4)):
        assert search.set_params(cv=cv).plan().n_splits == n_splits
    assert search.set_params(cv=KFold(6).assign(X)).plan().n_splits == 6
    assert search.set_params(cv=skm.LeaveOneGroupOut()).plan(X, NUMBER, GROUPS).n_splits == 7
    with pytest.raises(ValueError, match="give a list"):
        search.set_params(cv=iter(splits)).plan()


def test_an_iterator_of_splits_is_used_once():
    search = GridSearchCV(Ridge(), {"alpha": [1.0, 2.0]}, cv=skm.KFold(4).split(X)).fit(X, NUMBER)
    assert search.n_splits_ == 4


@pytest.mark.slow
def test_half_a_million_candidates_are_planned_at_once():
    search = GridSearchCV(Ridge(), {"alpha": np.arange(1.0, 1001), "tol": np.arange(1.0, 501) / 1e3})
    planned = search.plan()
    assert len(planned.reasons) == 500_000
    assert str(planned).startswith("2500000 fits: 500000 candidates on 5 splits")


# on Dask


def fitted(estimator, y, X=X):
    return GridSearchCV(estimator, {}, cv=2, n_jobs=1).fit(X, y)


THEIR_METHODS = {
    "tree": (DecisionTreeClassifier(max_depth=3, random_state=0), LABEL, ["predict", "predict_proba"]),
    "words": (skl.LogisticRegression(), WORD, ["predict", "predict_proba", "predict_log_proba", "decision_function"]),
    "three": (skl.LogisticRegression(), GROUPS % 3, ["decision_function", "predict_proba"]),
    "numbers": (skl.Ridge(), NUMBER, ["predict"]),
    "two numbers": (skl.Ridge(), np.column_stack([NUMBER, NUMBER]), ["predict"]),
    "scaled": (make_pipeline(skp.StandardScaler(), LogisticRegression()), WORD, ["predict", "decision_function"]),
    "both ours": (make_pipeline(StandardScaler(), LogisticRegression()), WORD, ["predict", "predict_proba"]),
    "transformer": (make_pipeline(skp.StandardScaler(), PCA(2)), None, ["transform", "inverse_transform"]),
}


@pytest.mark.parametrize("kind", ["arrays", "unlike chunks", "frame"])
@pytest.mark.parametrize(("estimator", "y", "methods"), THEIR_METHODS.values(), ids=THEIR_METHODS)
def test_methods_are_lazy_on_dask(estimator, y, methods, kind):
    search = fitted(estimator, y, pd.DataFrame(X, columns=NAMES) if kind == "frame" else X)
    rows = {"arrays": blocks(X), "unlike chunks": da.from_array(X, chunks=(41, 3)), "frame": frame()}[kind]
    for method in methods:
        if method == "inverse_transform":
            rows = blocks(X[:, :2])
        whole = dask.compute(rows)[0]
        expected = getattr(search, method)(whole)
        found = getattr(search, method)(rows)
        assert isinstance(found, da.Array)
        assert found.dtype == np.asarray(expected).dtype
        assert found.ndim == np.ndim(expected)
        assert_allclose(*(v if v.dtype.kind == "f" else v == expected for v in (found.compute(), np.asarray(expected))))


def test_methods_of_sparse_rows_and_columns_of_words():
    search = fitted(skl.LogisticRegression(), LABEL, sp.csr_matrix(X))
    assert_array_equal(search.predict(sparse_blocks(X)).compute(), search.predict(X))
    table = pd.DataFrame({"size": X[:, 0], "kind": np.where(LABEL, "big", "small")})
    encode = skp.OneHotEncoder(handle_unknown="error")
    search = fitted(
        make_pipeline(encode.set_params(min_frequency=None), skl.LogisticRegression()), WORD, table[["kind"]]
    )
    lazy = dd.from_pandas(table[["kind"]], npartitions=2)
    for method in ("predict", "predict_proba", "decision_function"):
        assert_array_equal(getattr(search, method)(lazy).compute(), getattr(search, method)(table[["kind"]]))


def test_methods_there_are():
    search = GridSearchCV(LinearSVC(), GRID, cv=3)
    assert hasattr(search, "decision_function")
    assert not hasattr(search, "predict_proba")
    assert not hasattr(search, "transform")
    with pytest.raises(NotFittedError):
        search.predict(X)
    search.set_params(refit=False).fit(X, LABEL)
    assert not hasattr(search, "predict")
    with pytest.raises(AttributeError, match="refit=False"):
        search.score(blocks(X), blocks(LABEL))


def test_features_are_checked_before_anything_is_computed():
    search = fitted(skl.Ridge(), NUMBER)
    with pytest.raises(DataError, match="X has 3 features, but Ridge is expecting 4"):
        search.predict(blocks(X)[:, :3])


SCORES = {
    "own": (Ridge(), NUMBER, {}),
    "deviance": (PoissonRegressor(), np.abs(NUMBER).round(), {"scoring": "neg_mean_poisson_deviance"}),
    "own deviance": (PoissonRegressor(), np.abs(NUMBER).round(), {}),
    "loss": (LogisticRegression(), WORD, {"scoring": "neg_log_loss"}),
    "scaled": (make_pipeline(StandardScaler(), LogisticRegression()), WORD, {"scoring": "neg_log_loss"}),
    "half ours": (make_pipeline(skp.StandardScaler(), LogisticRegression()), LABEL, {"scoring": "roc_auc"}),
    "several": (LogisticRegression(), LABEL, {"scoring": ["roc_auc", "neg_log_loss"], "refit": "neg_log_loss"}),
    "theirs": (DecisionTreeClassifier(max_depth=2, random_state=0), WORD, {}),
}


@pytest.mark.parametrize("layout", [blocks, sparse_blocks, frame], ids=lambda layout: layout.__name__)
@pytest.mark.parametrize(("estimator", "y", "options"), SCORES.values(), ids=SCORES)
def test_scores_on_dask_are_those_in_memory(estimator, y, options, layout):
    rows = frame() if layout is frame else layout(X)
    if isinstance(estimator, Pipeline) and layout is sparse_blocks:
        estimator = clone(estimator).set_params(**{f"{estimator.steps[0][0]}__with_mean": False})
    named = layout is frame
    search = GridSearchCV(estimator, {}, cv=2, n_jobs=1, **options)
    search.fit(pd.DataFrame(X, columns=NAMES) if named else X, y)
    whole = pd.DataFrame(X, columns=NAMES) if named else X
    score = search.score(rows, blocks(y, 33))
    assert isinstance(score, float)
    assert score == pytest.approx(search.score(whole, y), rel=1e-9)


def test_score_refuses_what_it_would_ignore():
    search = GridSearchCV(LogisticRegression(), GRID, cv=2).fit(X, LABEL)
    with pytest.raises(ValueError, match="sample_weight"):
        search.score(blocks(X), blocks(LABEL), sample_weight=blocks(NUMBER))
    several = GridSearchCV(LogisticRegression(), GRID, cv=2, scoring=["accuracy", "r2"], refit=lambda table: 0)
    with pytest.raises(ValueError, match="refit names no scorer"):
        several.fit(X, LABEL).score(blocks(X), blocks(LABEL))


def test_a_distributed_best_estimator_is_fitted_to_dask_data():
    seen = []

    class Scaler(StandardScaler):
        def fit(self, X, y=None, sample_weight=None):
            seen.append(type(X))
            return super().fit(X, y, sample_weight)

        def score(self, X, y=None):
            return float(dask.compute(X.mean())[0])

    search = GridSearchCV(Scaler(), {"with_std": [True, False]}, cv=KFold(2)).fit(blocks(X))
    assert set(seen) == {da.Array}
    assert isinstance(search.transform(blocks(X)), da.Array)


@pytest.mark.parametrize("n_iter", [-1, 0, 2.5, "all"])
def test_a_number_of_draws_is_at_least_one(n_iter):
    search = RandomizedSearchCV(Ridge(), {"alpha": loguniform(1e-3, 1e3)}, n_iter=n_iter, cv=2)
    with pytest.raises(ValueError, match="n_iter: expected an integer of at least 1"):
        search.fit(X, NUMBER)
    assert not hasattr(search, "cv_results_")


@pytest.mark.parametrize("method", ["zz", 3, None])
def test_a_method_of_predictions_is_one_of_the_estimator(method):
    with pytest.raises(ValueError, match="method: expected the name of a method of LogisticRegression"):
        cross_val_predict(LogisticRegression(), X, LABEL, method=method)


def test_a_checkpoint_is_a_folder(tmp_path):
    file = tmp_path / "file"
    file.touch()
    for checkpoint, error in ((3, TypeError), (file, ValueError)):
        with pytest.raises(error, match="checkpoint: expected the path of a folder, got"):
            GridSearchCV(LogisticRegression(), GRID, cv=2).fit(X, LABEL, checkpoint=checkpoint)


@pytest.mark.parametrize("metric", [sklearn.metrics.f1_score, metrics.f1_score, metrics.pairwise_distances])
@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("on_dask", [False, True])
def test_a_metric_is_no_scorer(metric, several, on_dask):
    rows, y = RNG.normal(size=(30, 2)), np.arange(30) % 2
    given = (da.from_array(rows, chunks=(10, 2)), da.from_array(y, chunks=10)) if on_dask else (rows, y)
    scoring = {"f1": metric} if several else metric
    told = pytest.raises(ValueError, match=rf"give make_scorer\({metric.__name__}\)")
    with told:
        GridSearchCV(LogisticRegression(), GRID, scoring=scoring, refit=False).fit(*given)
    with told:
        cross_validate(LogisticRegression(), *given, scoring=scoring)
    with told:
        metrics.check_scoring(LogisticRegression(), scoring)


def test_what_is_asked_of_a_scorer_does_not_change_others_of_its_name():
    with sklearn.config_context(enable_metadata_routing=True):
        metrics.get_scorer("accuracy").set_score_request(sample_weight=True)
        assert not metrics.get_scorer("accuracy").get_metadata_routing().consumes("score", ["sample_weight"])
    scores = cross_validate(LogisticRegression(), np.eye(12), np.arange(12) % 2, scoring=metrics.get_scorer("accuracy"))
    assert len(scores["test_score"]) == 5

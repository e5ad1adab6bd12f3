"""Evaluation has scikit-learn's habits: its numbers on data in memory, its kinds of scorers, targets and metadata."""

from __future__ import annotations

import dask
import dask.array as da
import numpy as np
import pytest
import scipy.sparse as sp
import sklearn.linear_model as skl
import sklearn.model_selection as skm
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_breast_cancer, make_classification, make_multilabel_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import FitFailedWarning, UnsetMetadataPassedError
from sklearn.metrics import accuracy_score, get_scorer, make_scorer, recall_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC

from daskml_kit import metrics
from daskml_kit import model_selection as dms
from daskml_kit.linear_model import LogisticRegression

X, Y = make_classification(120, 5, n_informative=3, random_state=0)
GROUPS = np.arange(120) % 6
WEIGHT = np.random.default_rng(0).exponential(size=120)
LAZY_X, LAZY_Y = da.from_array(X, chunks=(50, 5)), da.from_array(Y, chunks=50)


def two_scores(estimator, X, y):
    predicted = estimator.predict(X)
    return {"accuracy": accuracy_score(y, predicted), "recall": recall_score(y, predicted)}


def test_a_forest_sees_the_rows_in_the_order_of_the_splits():
    data = load_breast_cancer()
    forest = RandomForestClassifier(20, random_state=0)
    got, want = (
        module.cross_val_score(forest, data.data, data.target, cv=module.ShuffleSplit(2, random_state=0))
        for module in (dms, skm)
    )
    np.testing.assert_array_equal(got, want)


def test_indices_are_those_of_the_splitter():
    cv = skm.ShuffleSplit(2, random_state=0)
    got = dms.cross_validate(skl.Ridge(), X, Y, cv=cv, return_indices=True)["indices"]
    for number, sides in enumerate(cv.split(X)):
        for name, rows in zip(("train", "test"), sides, strict=True):
            np.testing.assert_array_equal(got[name][number], rows)


@pytest.mark.parametrize("random_state", [3, None, "RandomState", "Generator"])
def test_random_states_of_every_kind(random_state):
    kinds = {"RandomState": lambda: np.random.RandomState(1), "Generator": lambda: np.random.default_rng(1)}
    make = kinds.get(random_state, lambda: random_state)
    for data in (X, LAZY_X):
        sizes = [len(test) for _, test in dms.KFold(3, shuffle=True, random_state=make()).split(data)]
        assert sizes == [40, 40, 40]
        assert dms.train_test_split(data, test_size=30, random_state=make())[1].shape == (30, 5)
    search = dms.RandomizedSearchCV(skl.Ridge(), {"alpha": [1, 2, 3, 4]}, n_iter=2, cv=2, random_state=make())
    assert len(search.fit(X, Y).cv_results_["params"]) == 2


def test_a_generator_draws_the_same_again():
    def splits():
        cv = dms.ShuffleSplit(2, random_state=np.random.default_rng(1))
        return [test.compute().tolist() for _, test in cv.split(LAZY_X)]

    assert splits() == splits()


def test_lists_are_handed_on_as_lists():
    class TakesLists(ClassifierMixin, BaseEstimator):
        def fit(self, X, y):
            assert isinstance(X, list)
            assert isinstance(y, list)
            self.classes_ = np.unique(y)
            return self

        def predict(self, X):
            assert isinstance(X, list)
            return np.full(len(X), self.classes_[0])

    got = dms.cross_val_score(TakesLists(), X.tolist(), Y.tolist(), cv=3)
    np.testing.assert_array_equal(got, skm.cross_val_score(TakesLists(), X.tolist(), Y.tolist(), cv=3))


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("scoring", [two_scores, ["accuracy", "recall"]])
def test_a_scorer_may_return_a_dict(lazy, scoring):
    given = (LAZY_X, LAZY_Y) if lazy else (X, Y)
    model = LinearSVC(C=0.1)
    got = dms.cross_validate(model, *given, cv=3, scoring=scoring, return_train_score=True)
    want = skm.cross_validate(model, X, Y, cv=3, scoring=scoring, return_train_score=True)
    for name in ("test_accuracy", "test_recall", "train_recall"):
        np.testing.assert_allclose(got[name], want[name])
    search = dms.GridSearchCV(model, {"C": [0.001, 0.1]}, cv=3, scoring=scoring, refit="recall").fit(*given)
    theirs = skm.GridSearchCV(model, {"C": [0.001, 0.1]}, cv=3, scoring=scoring, refit="recall").fit(X, Y)
    assert search.best_params_ == theirs.best_params_
    assert search.multimetric_
    assert search.score(*given) == pytest.approx(theirs.score(X, Y))


def test_a_dict_of_scores_needs_a_refit_that_names_one():
    with pytest.raises(ValueError, match="refit must be set to a scorer key"):
        dms.GridSearchCV(LinearSVC(), {"C": [0.1]}, scoring=two_scores).fit(X, Y)


def test_failed_fits_get_the_names_of_the_others():
    class FailsAtTwo(skl.RidgeClassifier):
        def fit(self, X, y):
            if self.alpha == 2:
                raise ValueError("two")
            return super().fit(X, y)

    search = dms.GridSearchCV(FailsAtTwo(), {"alpha": [1, 2]}, cv=3, scoring=two_scores, refit="recall", error_score=-1)
    with pytest.warns(FitFailedWarning, match="3 fits failed"):
        search.fit(X, Y)
    assert search.cv_results_["mean_test_accuracy"][1] == -1
    assert "mean_test_score" not in search.cv_results_


def test_a_grid_of_estimators_leaves_them_as_they_are():
    mine = LinearSVC(C=7.0)
    model = Pipeline([("scale", StandardScaler()), ("clf", skl.Ridge())])
    grid = {"clf": [mine, LogisticRegression()], "clf__C": [0.01, 1.0]}
    search = dms.GridSearchCV(model, grid, cv=3, scoring="accuracy").fit(X, Y)
    theirs = skm.GridSearchCV(model, {"clf": [LinearSVC()], "clf__C": [0.01, 1.0]}, cv=3, scoring="accuracy").fit(X, Y)
    assert mine.C == 7.0
    assert not hasattr(mine, "coef_")
    np.testing.assert_allclose(search.cv_results_["mean_test_score"][[0, 1]], theirs.cv_results_["mean_test_score"])


def test_refit_by_a_callable():
    search = dms.GridSearchCV(skl.Ridge(), {"alpha": [1, 2, 3]}, cv=3, refit=lambda results: 1).fit(X, Y)
    assert search.best_params_ == {"alpha": 2}
    assert not hasattr(search, "best_score_")
    with pytest.raises(IndexError, match="best_index_ index out of range"):
        dms.GridSearchCV(skl.Ridge(), {"alpha": [1]}, cv=3, refit=lambda results: 1).fit(X, Y)


def test_fit_parameters_that_are_no_rows():
    class Remembers(skl.Ridge):
        def fit(self, X, y, pair=None, callback=None, sample_weight=None):
            assert len(pair) == 2
            assert callback is len
            assert len(sample_weight) == len(X)
            return super().fit(X, y)

    params = {"pair": (X, Y), "callback": len, "sample_weight": WEIGHT.tolist()}
    got = dms.cross_val_score(Remembers(), X, Y, cv=3, params=params)
    np.testing.assert_array_equal(got, skm.cross_val_score(skl.Ridge(), X, Y, cv=3))


@pytest.mark.parametrize("method", ["predict", "predict_proba", "decision_function"])
def test_predictions_of_several_outputs(method):
    features, labels = make_multilabel_classification(80, 6, n_classes=3, random_state=0)
    model = RandomForestClassifier(5, random_state=0)
    if method == "decision_function":
        from sklearn.multiclass import OneVsRestClassifier

        model = OneVsRestClassifier(LinearSVC(C=0.1))
    got, want = (m.cross_val_predict(model, features, labels, cv=skm.KFold(3), method=method) for m in (dms, skm))
    np.testing.assert_allclose(np.asarray(got), np.asarray(want))


def test_sparse_predictions():
    class GivesSparse(skl.Ridge):
        def predict(self, X):
            return sp.csr_matrix(super().predict(X)[:, None])

    got = dms.cross_val_predict(GivesSparse(), X, Y, cv=3)
    assert sp.issparse(got)
    np.testing.assert_allclose(got.toarray()[:, 0], skm.cross_val_predict(skl.Ridge(), X, Y, cv=3))


def test_predictions_where_a_class_is_missing_from_training():
    target = np.repeat([0, 1, 2], 40)
    for module in (dms, skm):
        with pytest.warns(RuntimeWarning, match="Number of classes in training fold"):
            proba = module.cross_val_predict(
                skl.LogisticRegression(), X, target, cv=skm.KFold(3), method="predict_proba"
            )
        assert (proba[:40, 0] == 0).all()


def test_precomputed_kernels_are_cut_on_both_axes():
    kernel = X @ X.T
    got, want = (m.cross_val_score(SVC(kernel="precomputed"), kernel, Y, cv=3) for m in (dms, skm))
    np.testing.assert_array_equal(got, want)
    with pytest.raises(ValueError, match="precomputed kernel"):
        dms.cross_val_score(SVC(kernel="precomputed"), da.from_array(kernel), LAZY_Y, cv=3)


@pytest.mark.parametrize("incremental", [False, True])
@pytest.mark.parametrize("shuffle", [False, True])
def test_learning_curves_are_those_of_sklearn(incremental, shuffle):
    model = skl.SGDClassifier(random_state=0, shuffle=False, max_iter=5, tol=None)
    options = {"shuffle": shuffle, "random_state": 0, "exploit_incremental_learning": incremental, "cv": 3}
    got, want = (module.learning_curve(model, X, Y, **options) for module in (dms, skm))
    for ours, theirs in zip(got, want, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_learning_curve_by_partial_fit_on_dask():
    model = skl.SGDClassifier(random_state=0, shuffle=False)
    options = {"exploit_incremental_learning": True, "cv": 3, "return_times": True}
    got = dms.learning_curve(model, LAZY_X, LAZY_Y, **options)
    want = skm.learning_curve(model, X, Y, **options)
    for ours, theirs in zip(got[:3], want[:3], strict=True):
        np.testing.assert_allclose(ours, theirs)
    assert got[3].shape == got[4].shape == (5, 3)


def test_learning_curve_of_few_rows_has_fewer_sizes():
    with pytest.warns(RuntimeWarning, match="Removed duplicate entries"):
        sizes, *_ = dms.learning_curve(
            skl.Ridge(), X[:8], Y[:8], cv=skm.KFold(2), train_sizes=[0.1, 0.2, 1.0], scoring="neg_mean_squared_error"
        )
    assert sizes.tolist() == [1, 4]


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.filterwarnings("ignore:The groups parameter is ignored")
def test_permutation_tests_are_those_of_sklearn(lazy, grouped):
    groups = GROUPS if grouped else None
    options = {"cv": 3, "n_permutations": 5, "random_state": 2, "groups": groups, "scoring": "accuracy"}
    want = skm.permutation_test_score(skl.RidgeClassifier(), X, Y, **options)
    got = dms.permutation_test_score(skl.RidgeClassifier(), *((LAZY_X, LAZY_Y) if lazy else (X, Y)), **options)
    for ours, theirs in zip(got, want, strict=True):
        np.testing.assert_allclose(ours, theirs)


SPLITTERS = {
    "LeaveOneGroupOut": {},
    "LeavePGroupsOut": {"n_groups": 2},
    "LeaveOneOut": {},
    "LeavePOut": {"p": 2},
    "PredefinedSplit": {"test_fold": np.arange(30) % 4 - 1},
}


@pytest.mark.parametrize("name", SPLITTERS)
@pytest.mark.filterwarnings("ignore:The groups parameter is ignored")
def test_splitters_that_leave_out_give_the_splits_of_sklearn(name):
    rows, groups = da.zeros((30, 1), chunks=(11, 1)), np.arange(30) % 5
    want = list(getattr(skm, name)(**SPLITTERS[name]).split(np.zeros((30, 1)), groups=groups))
    splitter = getattr(dms, name)(**SPLITTERS[name])
    got = [dask.compute(*sides) for sides in splitter.split(rows, groups=da.from_array(groups, chunks=11))]
    assert len(got) == len(want) == len(splitter.assign(rows, groups=groups).splits)
    for ours, theirs in zip(got, want, strict=True):
        np.testing.assert_array_equal(ours[0], theirs[0])
        np.testing.assert_array_equal(ours[1], theirs[1])


def test_scores_of_splits_that_leave_groups_out():
    options = {"groups": GROUPS, "scoring": "accuracy"}
    want = skm.cross_val_score(skl.RidgeClassifier(), X, Y, cv=skm.LeaveOneGroupOut(), **options)
    got = dms.cross_val_score(skl.RidgeClassifier(), LAZY_X, LAZY_Y, cv=dms.LeaveOneGroupOut(), **options)
    np.testing.assert_allclose(got, want)


@pytest.mark.parametrize("lazy", [False, True])
def test_metadata_are_routed(lazy):
    given = (LAZY_X, LAZY_Y) if lazy else (X, Y)
    params = {"sample_weight": WEIGHT, "groups": GROUPS}
    with config_context(enable_metadata_routing=True):
        model = skl.LogisticRegression().set_fit_request(sample_weight=True)
        scorer = make_scorer(accuracy_score).set_score_request(sample_weight=True)
        want = skm.cross_val_score(model, X, Y, cv=skm.GroupKFold(3), scoring=scorer, params=params)
        got = dms.cross_val_score(model, *given, cv=dms.GroupKFold(3), scoring=scorer, params=params)
        np.testing.assert_allclose(got, want, rtol=1e-12)
        unweighted = get_scorer("accuracy").set_score_request(sample_weight=False)
        ours = LogisticRegression(tol=1e-9).set_fit_request(sample_weight=True)
        grid = {"C": [0.1, 1.0]}
        want = skm.GridSearchCV(model, grid, cv=skm.GroupKFold(3), scoring=unweighted).fit(X, Y, **params)
        got = dms.GridSearchCV(ours, grid, cv=dms.GroupKFold(3), scoring=unweighted).fit(*given, **params)
        np.testing.assert_allclose(got.cv_results_["mean_test_score"], want.cv_results_["mean_test_score"])
        pipeline = Pipeline([("scale", StandardScaler().set_fit_request(sample_weight=True)), ("model", model)])
        want = skm.cross_validate(pipeline, X, Y, cv=skm.GroupKFold(3), params=params, scoring=unweighted)
        got = dms.cross_validate(pipeline, *given, cv=dms.GroupKFold(3), params=params, scoring=unweighted)
        np.testing.assert_allclose(got["test_score"], want["test_score"])


def test_metadata_that_nobody_asked_for():
    with config_context(enable_metadata_routing=True):
        with pytest.raises(UnsetMetadataPassedError, match="cross_validate"):
            dms.cross_validate(skl.Ridge(), X, Y, params={"sample_weight": WEIGHT})
        with pytest.raises(ValueError, match="`groups` can only be passed if"):
            dms.cross_validate(skl.Ridge(), X, Y, groups=GROUPS)


def test_a_scorer_that_knows_no_weights():
    scorer = make_scorer(lambda y, predicted: float((y == predicted).mean()))
    with pytest.warns(UserWarning, match="does not support sample_weight"):
        got = dms.GridSearchCV(skl.RidgeClassifier(), {"alpha": [1.0]}, cv=3, scoring=scorer).fit(
            X, Y, sample_weight=np.ones(120)
        )
    want = skm.cross_val_score(skl.RidgeClassifier(), X, Y, cv=3).mean()
    assert got.best_score_ == pytest.approx(want)


def test_parameters_of_dask_ml():
    grid = {"alpha": [1.0, 2.0]}
    search = dms.GridSearchCV(skl.Ridge(), grid, cv=3, scheduler="synchronous").fit(X, Y)
    assert search.get_params()["scheduler"] == "synchronous"
    with pytest.warns(FutureWarning, match="iid has no effect"):
        dms.GridSearchCV(skl.Ridge(), grid, cv=3, iid=True).fit(X, Y)
    with pytest.warns(UserWarning, match="cache_cv=False has no effect"):
        dms.RandomizedSearchCV(skl.Ridge(), grid, n_iter=1, cv=3, cache_cv=False).fit(X, Y)


def test_blockwise_shuffle_splits_draw_from_each_block():
    rows = da.arange(100, chunks=(40, 60)).reshape(100, 1)
    for _, test in dms.ShuffleSplit(3, test_size=0.1, random_state=0, blockwise=True).split(rows):
        assert [int((test < 40).sum().compute()), len(test)] == [4, 10]


@pytest.mark.parametrize(
    ("name", "lazy"),
    [("accuracy_score", "labels"), ("mean_squared_error", "numbers"), ("r2_score", "numbers"), ("log_loss", "proba")],
)
def test_metrics_are_lazy_on_demand(name, lazy):
    rng = np.random.default_rng(0)
    truth = {"labels": rng.integers(0, 3, 50), "numbers": rng.normal(size=50), "proba": rng.integers(0, 2, 50)}[lazy]
    predicted = {"labels": rng.integers(0, 3, 50), "numbers": rng.normal(size=50), "proba": rng.uniform(size=50)}[lazy]
    metric, given = getattr(metrics, name), (da.from_array(truth, chunks=7), da.from_array(predicted, chunks=20))
    later = metric(*given, compute=False, sample_weight=np.arange(50.0))
    assert dask.is_dask_collection(later)
    assert later.compute() == metric(*given, sample_weight=np.arange(50.0))
    assert metric(truth, predicted, compute=False) == metric(truth, predicted)

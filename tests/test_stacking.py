"""Stacks and votes of estimators, against scikit-learn's, and what they leave behind."""

from __future__ import annotations

import os
import signal

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import sklearn.ensemble
import sklearn.linear_model as skl
import sklearn.model_selection as skm
import sklearn.preprocessing as skp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.naive_bayes import GaussianNB as TheirGaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from sklearn.utils.estimator_checks import parametrize_with_checks

from daskml_kit.engines import open as opening
from daskml_kit.engines.engine import watching
from daskml_kit.ensemble import StackingClassifier, StackingRegressor, VotingClassifier, VotingRegressor
from daskml_kit.exceptions import DataError
from daskml_kit.linear_model import LinearRegression, LogisticRegression, Ridge, RidgeClassifier, SGDClassifier
from daskml_kit.model_selection import GridSearchCV, KFold
from daskml_kit.naive_bayes import GaussianNB
from daskml_kit.preprocessing import StandardScaler

rng = np.random.default_rng(0)
X = rng.normal(loc=[0, 1, 2], size=(300, 3))
LABELS = np.array(["ash", "birch", "cedar"])[np.digitize(X[:, 0] + 0.5 * rng.normal(size=300), [-0.5, 0.5])]
TWO = (X[:, 0] + 0.5 * rng.normal(size=300) > 0).astype(int)
NUMBER = X @ [1, 2, 3] + rng.normal(size=300)
WEIGHT = rng.integers(1, 4, 300).astype(float)
TIGHT = {"tol": 1e-10}


def blocks(values, sizes=(70, 0, 130, 100)):
    return da.concatenate([da.from_array(part, chunks=part.shape) for part in np.split(values, np.cumsum(sizes)[:-1])])


def classifiers():
    ours = [
        ("bayes", GaussianNB()),
        ("ridge", RidgeClassifier()),
        ("scaled", make_pipeline(StandardScaler(), LogisticRegression(**TIGHT))),
        ("tree", DecisionTreeClassifier(max_depth=2, random_state=0)),
        ("none", "drop"),
    ]
    theirs = [
        ("bayes", TheirGaussianNB()),
        ("ridge", skl.RidgeClassifier()),
        ("scaled", make_pipeline(skp.StandardScaler(), skl.LogisticRegression(solver="newton-cholesky", **TIGHT))),
        ("tree", DecisionTreeClassifier(max_depth=2, random_state=0)),
        ("none", "drop"),
    ]
    final = skl.LogisticRegression(solver="newton-cholesky", **TIGHT)
    return (
        StackingClassifier(ours, LogisticRegression(**TIGHT), cv=3),
        sklearn.ensemble.StackingClassifier(theirs, final, cv=3),
    )


def regressors(**options):
    ours = [("line", LinearRegression()), ("tree", DecisionTreeRegressor(max_depth=2, random_state=0))]
    theirs = [("line", skl.LinearRegression()), ("tree", DecisionTreeRegressor(max_depth=2, random_state=0))]
    return (
        StackingRegressor(ours, Ridge(), **options),
        sklearn.ensemble.StackingRegressor(theirs, skl.Ridge(), **options),
    )


def frame(values):
    return dd.from_pandas(pd.DataFrame(values, columns=list("abc")), npartitions=3)


LAYOUTS = {
    "NumPy": (lambda X: X, lambda y: y),
    "uneven blocks": (blocks, blocks),
    "columns apart": (lambda X: da.from_array(X, chunks=(64, 2)), lambda y: y),
    "unknown sizes": (lambda X: blocks(X)[blocks(X)[:, 0] > -99], lambda y: blocks(y)[blocks(X)[:, 0] > -99]),
    "frame": (frame, lambda y: dd.from_pandas(pd.Series(y), npartitions=3)),
    "empty partition": (
        lambda X: dd.concat([frame(X[:100]), frame(X[:3]).query("a > 99"), frame(X[100:])]),
        lambda y: da.from_array(y, chunks=90),
    ),
}
LAYOUT = pytest.mark.parametrize("layout", LAYOUTS)


def assert_close(found, expected):
    lazy = found.compute() if hasattr(found, "compute") else found
    if expected.dtype.kind in "US":
        assert_array_equal(lazy, expected)
    else:
        assert_allclose(lazy, expected, atol=1e-6)


@LAYOUT
def test_classifiers_are_scikit_learns(layout):
    of_rows, of_labels = LAYOUTS[layout]
    model, expected = classifiers()
    rows = of_rows(X)
    model, expected = model.fit(rows, of_labels(LABELS)), expected.fit(X, LABELS)
    for method in ("predict", "predict_proba", "decision_function", "transform"):
        found = getattr(model, method)(rows)
        assert isinstance(found, np.ndarray if layout == "NumPy" else da.Array)
        assert_close(found, getattr(expected, method)(X))
    assert model.score(rows, of_labels(LABELS)) == expected.score(X, LABELS)
    assert_allclose(model.final_estimator_.coef_, expected.final_estimator_.coef_, atol=1e-5)
    assert model.stack_method_ == ["predict_proba", "decision_function", "predict_proba", "predict_proba"]
    assert list(model.named_estimators_) == list(expected.named_estimators_)
    assert_array_equal(model.get_feature_names_out(), expected.get_feature_names_out())


@pytest.mark.parametrize("options", [{}, {"passthrough": True, "cv": KFold(4, shuffle=True, random_state=0)}], ids=str)
@pytest.mark.parametrize("layout", ["uneven blocks", "frame", "empty partition"])
def test_regressors_are_scikit_learns(layout, options):
    of_rows, of_numbers = LAYOUTS[layout]
    model, expected = regressors(**options)
    if "cv" in options:  # of which the rows differ from those of scikit-learn's splitter
        pairs = options["cv"].split(blocks(X))
        expected.set_params(cv=[(np.asarray(train), np.asarray(test)) for train, test in pairs])
    model, expected = model.fit(of_rows(X), of_numbers(NUMBER)), expected.fit(X, NUMBER)
    assert_close(model.predict(of_rows(X)), expected.predict(X))
    assert_close(model.transform(of_rows(X)), expected.transform(X))
    by_default = StackingRegressor(model.estimators).fit(of_rows(X), of_numbers(NUMBER))
    assert by_default.final_estimator_.alpha_ in (0.1, 1.0, 10.0)
    plain = model.to_sklearn()
    named = pd.DataFrame(X, columns=list("abc")) if hasattr(plain, "feature_names_in_") else X
    assert_close(plain.predict(named), expected.predict(X))
    assert modules_in(plain) == {"sklearn"}


def test_parameters_of_predict_are_the_final_estimators():
    model = StackingRegressor([LINE], skl.BayesianRidge(), cv=2).fit(blocks(X), blocks(NUMBER))
    mean, deviation = model.predict(X, return_std=True)
    assert_allclose(model.predict(blocks(X)).compute(), mean)
    assert deviation.shape == (300,)
    with pytest.raises(ValueError, match="predict: return_std not possible on Dask input"):
        model.predict(blocks(X), return_std=True)


def modules_in(model):
    values = [model, model.cv, model.final_estimator, model.final_estimator_, *model.estimators_]
    values += [*model.named_estimators_.values(), *(member for _, member in model.estimators)]
    return {
        type(v).__module__.partition(".")[0] for v in values if not isinstance(v, (int, str, list)) and v is not None
    }


def test_weights_sparse_rows_and_two_classes():
    model, expected = classifiers()
    unweighted = {"scaled": "drop"}
    model.set_params(**unweighted).fit(blocks(X), blocks(TWO), sample_weight=blocks(WEIGHT))
    expected.set_params(**unweighted).fit(X, TWO, sample_weight=WEIGHT)
    assert_close(model.predict_proba(blocks(X)), expected.predict_proba(X))
    assert model.transform(blocks(X)).shape == (300, 3)
    model.fit(blocks(X), TWO, sample_weight=2)
    expected.fit(X, TWO, sample_weight=np.full(300, 2.0))
    assert_close(model.predict_proba(blocks(X)), expected.predict_proba(X))
    with pytest.raises(TypeError, match="Underlying estimator scaled does not support sample weights"):
        classifiers()[0].fit(blocks(X), TWO, sample_weight=WEIGHT)
    csr = blocks(X).map_blocks(sp.csr_array, meta=sp.csr_array((0, 0)))
    options = {"bayes": "drop", "scaled": "drop", "passthrough": True}
    model.set_params(**options).fit(csr, TWO)
    expected.set_params(**options).fit(sp.csr_array(X), TWO)
    assert sp.issparse(model.transform(csr).compute())
    assert_close(model.predict_proba(csr), expected.predict_proba(sp.csr_array(X)))


def test_members_share_passes_and_rows_stay_where_they_are():
    model = classifiers()[0].set_params(tree="drop")
    passes = []
    with watching(lambda profile: passes.append(profile.passes)):
        model.fit(blocks(X), blocks(TWO))
    assert passes.count(1) == 2  # one engine for all members on all folds, and one for the final estimator
    assert len(passes) < 40
    alone = GaussianNB().fit(blocks(X), TWO)
    assert_allclose(model.estimators_[0].theta_, alone.theta_, rtol=1e-12)


def test_fitted_estimators_are_taken_as_they_are():
    model, expected = classifiers()
    for stack, rows in ((model, blocks(X)), (expected, X)):
        members = [(name, member.fit(rows, TWO)) for name, member in stack.estimators[:3]]
        stack.set_params(estimators=members, cv="prefit").fit(rows, TWO)
    assert_close(model.predict_proba(blocks(X)), expected.predict_proba(X))
    assert model.estimators_[0] is model.estimators[0][1]
    with pytest.raises(Exception, match="not fitted yet"):
        classifiers()[0].set_params(cv="prefit").fit(blocks(X), TWO)


def test_a_class_that_a_fold_lacks():
    y = np.where(np.arange(300) < 3, 2, TWO)
    model, expected = classifiers()
    options = {"cv": skm.KFold(3), "ridge": "drop", "tree": "drop"}
    with pytest.warns(RuntimeWarning, match="Number of classes in training fold"):
        model.set_params(**options).fit(blocks(X), y)
    with pytest.warns(RuntimeWarning, match="Number of classes in training fold"):
        expected.set_params(**options).fit(X, y)
    assert_close(model.predict_proba(blocks(X)), expected.predict_proba(X))


def test_frames_with_words_and_distributed_members():
    words = pd.DataFrame({"a": X[:, 0], "tree": np.resize(["elm", "fir"], 300)})
    encoder = make_pipeline(
        sklearn.compose.ColumnTransformer([("tree", skp.OneHotEncoder(), ["tree"])], remainder="passthrough"),
        DecisionTreeClassifier(max_depth=2),
    )
    model = StackingClassifier([("tree", encoder)], cv=2).fit(dd.from_pandas(words, npartitions=3), TWO)
    assert model.predict(dd.from_pandas(words, npartitions=2)).compute().shape == (300,)
    assert model.transform(dd.from_pandas(words, npartitions=2)).compute().shape == (300, 1)
    assert list(model.feature_names_in_) == ["a", "tree"]
    named = model.set_params(tree=DecisionTreeClassifier(max_depth=2)).fit(frame(X), TWO).set_output(transform="pandas")
    assert list(named.transform(frame(X)).compute().columns) == ["stackingclassifier_tree"]
    small_steps = StackingClassifier([("sgd", SGDClassifier(random_state=0)), ("bayes", GaussianNB())], cv=2)
    assert small_steps.fit(blocks(X), TWO).score(blocks(X), TWO) > 0.8


def test_searches_go_over_stacks():
    grid = {"final_estimator__alpha": [0.1, 10.0], "tree": ["drop"], "passthrough": [True]}
    model, expected = regressors(cv=2)
    found = GridSearchCV(model, grid, cv=3).fit(blocks(X), blocks(NUMBER))
    wanted = skm.GridSearchCV(expected, grid, cv=3).fit(X, NUMBER)
    assert_allclose(found.cv_results_["mean_test_score"], wanted.cv_results_["mean_test_score"], rtol=1e-6)
    assert_close(found.predict(blocks(X)), wanted.predict(X))


def votings(**options):
    stack, theirs = classifiers()
    return (
        VotingClassifier(stack.estimators, **options),
        sklearn.ensemble.VotingClassifier(theirs.estimators, **options),
    )


@pytest.mark.parametrize("voting", ["hard", "soft"])
@pytest.mark.parametrize("layout", ["uneven blocks", "unknown sizes", "frame", "empty partition"])
def test_votes_are_scikit_learns(layout, voting):
    of_rows, of_labels = LAYOUTS[layout]
    model, expected = votings(voting=voting, weights=[1, 2, 1, 0.5, 1])
    if voting == "soft":
        model.set_params(ridge="drop")
        expected.set_params(ridge="drop")
    model.fit(of_rows(X), of_labels(LABELS))
    expected.fit(X, LABELS)
    for method in ("predict", "predict_proba", "transform"):
        assert hasattr(model, method) == hasattr(expected, method)
        if hasattr(model, method):
            found = getattr(model, method)(of_rows(X))
            assert isinstance(found, da.Array)
            assert_close(found, getattr(expected, method)(X))
    assert model.score(of_rows(X), of_labels(LABELS)) == expected.score(X, LABELS)
    assert {type(member).__module__.partition(".")[0] for member in model.to_sklearn().estimators_} == {"sklearn"}


def test_voters_share_passes_weights_and_errors():
    passes = []
    model = votings()[0].set_params(tree="drop", scaled="drop")
    with watching(lambda profile: passes.append(profile.passes)):
        model.fit(blocks(X), blocks(TWO), sample_weight=blocks(WEIGHT))
    assert passes.count(1) == 1
    expected = votings()[1].set_params(tree="drop", scaled="drop").fit(X, TWO, sample_weight=WEIGHT)
    assert_allclose(model.estimators_[0].theta_, expected.estimators_[0].theta_, rtol=1e-6)
    numbers, theirs = (kind(stack.estimators) for kind, stack in zip(REGRESSORS, regressors(), strict=True))
    numbers.fit(blocks(X), blocks(NUMBER))
    assert_close(numbers.predict(blocks(X)), theirs.fit(X, NUMBER).predict(X))
    for name, value in {"voting": "loud", "weights": [1], "estimators": [LINE]}.items():
        with pytest.raises(ValueError, match=f"{name}: "):
            votings()[0].set_params(**{name: value}).fit(blocks(X), blocks(TWO))
    whole = votings(voting="soft", flatten_transform=False)[0].set_params(ridge="drop").fit(blocks(X), TWO)
    with pytest.raises(ValueError, match="flatten_transform: expected True on Dask input"):
        whole.transform(blocks(X))


REGRESSORS = VotingRegressor, sklearn.ensemble.VotingRegressor
LINE = ("line", LinearRegression())


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (StackingRegressor, {"estimators": []}, "estimators: expected at least one that is not dropped"),
        (StackingRegressor, {"estimators": [("a", "drop")]}, "estimators: expected at least one that is not dropped"),
        (StackingRegressor, {"estimators": LINE}, "estimators: expected a list of"),
        (StackingRegressor, {"estimators": [LINE, LINE]}, "estimators: expected each name once"),
        (StackingRegressor, {"estimators": [("a__b", Ridge())]}, "estimators: expected names without __"),
        (StackingRegressor, {"estimators": [("cv", Ridge())]}, "estimators: expected each name once"),
        (StackingRegressor, {"estimators": [("a", "dropped")]}, "estimators: expected estimators or 'drop'"),
        (StackingRegressor, {"estimators": [("a", GaussianNB())]}, "GaussianNB should be a regressor"),
        (StackingRegressor, {"estimators": [LINE], "final_estimator": GaussianNB()}, "should be a regressor"),
        (StackingClassifier, {"estimators": [LINE], "final_estimator": Ridge()}, "should be a classifier"),
        (StackingClassifier, {"estimators": [LINE], "stack_method": "guess"}, "stack_method: expected one of"),
        (StackingClassifier, {"estimators": [LINE], "stack_method": "predict_proba"}, "line does not implement"),
        (StackingClassifier, {"estimators": [LINE], "cv": "pre"}, "cv: expected a number of folds"),
        (StackingClassifier, {"estimators": [LINE], "cv": skm.ShuffleSplit(2)}, "tests each row once"),
        (StackingClassifier, {"estimators": [LINE], "passthrough": "yes"}, "passthrough: expected True or False"),
    ],
    ids=str,
)
def test_wrong_parameters_are_named(kind, options, message):
    model = kind(**options)
    with pytest.raises(ValueError, match=message):
        model.fit(blocks(X), blocks(TWO))
    assert set(vars(model)) == set(kind(**options).get_params(deep=False)) | set(vars(kind(**options)))


def test_wrong_data_is_named_and_nothing_changes():
    model = classifiers()[0].fit(blocks(X), blocks(LABELS))
    before = dict(vars(model))
    for data, labels, message in (
        (X, LABELS[:-1], "y: Found input variables with inconsistent numbers"),
        (X, np.where(np.arange(300) == 7, None, LABELS), "y contains NaN"),
        (np.where(X > 3, np.nan, X), LABELS, "NaN"),
        (X, NUMBER, "Unknown label type"),
        (X, np.column_stack([TWO, TWO]), "y: expected one column"),
    ):
        with pytest.raises(ValueError, match=message):
            model.fit(blocks(data), labels)
    with pytest.raises(TypeError, match="no other parameters than sample_weight, got groups"):
        model.fit(blocks(X), LABELS, groups=TWO)
    with pytest.raises(ValueError, match="requires y to be passed"):
        model.fit(blocks(X), None)
    assert vars(model) == before
    with pytest.raises(DataError, match="X has 2 features, but StackingClassifier is expecting 3"):
        model.predict(blocks(X[:, :2]))
    with pytest.raises(DataError, match="X has 2 features"):
        model.transform(blocks(X[:, :2]))


def test_a_killed_worker_changes_no_bits(doomed, monkeypatch):
    monkeypatch.setattr(opening, "LOCAL_BYTES", 0)
    data = da.random.default_rng(0).normal(size=(8_000, 3), chunks=(1_000, 3))
    data, labels = doomed.persist([data, (data[:, 0] > 0).astype(int)])
    model = classifiers()[0].set_params(tree="drop")
    before = model.fit(data, labels).final_estimator_.coef_
    os.kill(next(iter(doomed.run(os.getpid).values())), signal.SIGKILL)
    assert_array_equal(model.fit(data, labels).final_estimator_.coef_, before)
    assert model.predict(data).compute().shape == (8_000,)


@pytest.mark.filterwarnings("ignore:invalid value encountered in cast")  # of scikit-learn, of infinite labels
@parametrize_with_checks(
    [
        StackingClassifier([("bayes", GaussianNB()), ("ridge", RidgeClassifier())], RidgeClassifier(), cv=2),
        StackingRegressor([("ridge", Ridge()), LINE], Ridge(), cv=2),
        VotingClassifier([("bayes", GaussianNB()), ("ridge", RidgeClassifier())]),
        VotingRegressor([("ridge", Ridge()), LINE]),
    ],
    expected_failed_checks=lambda estimator: {
        "check_classifiers_one_label_sample_weights": "the error is that of an estimator, of the labels alone"
    },
)
def test_scikit_learns_checks(estimator, check):
    check(estimator)

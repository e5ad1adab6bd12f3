"""Perceptrons do as well as scikit-learn's at equal epochs, in each mode, on each kind of input."""

from __future__ import annotations

import pickle
import warnings

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import sklearn.neural_network as theirs
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from daskml_kit.engines import open as opening
from daskml_kit.exceptions import DataError
from daskml_kit.neural_network import MLPClassifier, MLPRegressor
from daskml_kit.parameter_server import Asynchronous, Synchronous

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
POINT = 0.01


def blocks(*arrays, rows=400):
    return [da.from_array(a, chunks=(rows, *a.shape[1:])) for a in arrays]


def surface(n=1500, seed=0):
    X = np.random.default_rng(seed).normal(size=(n, 3))
    return X, np.column_stack([X[:, 0] * X[:, 1], np.sin(X[:, 2])])


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"solver": "sgd", "learning_rate_init": 0.1},
        {"solver": "sgd", "learning_rate_init": 0.1, "nesterovs_momentum": False, "momentum": 0.5},
        {"activation": "tanh", "hidden_layer_sizes": (40, 20), "learning_rate_init": 0.01},
        {"activation": "logistic", "learning_rate_init": 0.01, "batch_size": 50},
    ],
    ids=str,
)
@pytest.mark.parametrize("training", [Synchronous(), Asynchronous()], ids=["sync", "async"])
def test_digits_within_a_point_of_scikit_learn(digits, options, training):
    options = {"max_iter": 30, "random_state": 0, **options}
    expected = theirs.MLPClassifier(**options).fit(digits.X, digits.y).score(digits.test, digits.expected)
    model = MLPClassifier(training=training, **options).fit(digits.X, digits.y)
    assert model.score(digits.test, digits.expected) >= expected - POINT
    assert model.n_iter_ == len(model.loss_curve_) == 30
    assert model.loss_curve_[-1] == model.loss_ < model.loss_curve_[0]


def test_steps_are_scikit_learns(digits):
    """Where a batch is all rows; Adam moves weights of pixels that are always 0 by its epsilon, so it has none here."""
    options = {"max_iter": 3, "random_state": 0, "batch_size": len(digits.y), "alpha": 0.5}
    for rule in ({"solver": "sgd"}, {"solver": "adam", "epsilon": 1e-20}):
        expected = theirs.MLPClassifier(**rule, **options).fit(digits.X, digits.y)
        model = MLPClassifier(training=Synchronous(virtual_workers=1), **rule, **options).fit(digits.X, digits.y)
        for ours, other in zip(model.coefs_ + model.intercepts_, expected.coefs_ + expected.intercepts_, strict=True):
            assert_allclose(ours, other, rtol=1e-6, atol=1e-9)
        assert_allclose(model.loss_curve_, expected.loss_curve_)
        assert model.t_ == expected.t_


@pytest.mark.parametrize("schedule", ["adaptive", "invscaling"])
def test_rates_follow_scikit_learns_schedules(digits, schedule):
    options = {"solver": "sgd", "learning_rate": schedule, "learning_rate_init": 0.5, "batch_size": 1347}
    options |= {"max_iter": 25, "n_iter_no_change": 2, "tol": 0.5, "random_state": 0, "momentum": 0.2}
    expected = theirs.MLPClassifier(**options).fit(digits.X, digits.y)
    model = MLPClassifier(training=Synchronous(virtual_workers=1), **options).fit(digits.X, digits.y)
    assert_allclose(model.loss_curve_, expected.loss_curve_, rtol=1e-6)
    assert model.n_iter_ == expected.n_iter_


def test_early_stopping_keeps_the_best(digits):
    options = {"early_stopping": True, "validation_fraction": 0.2, "max_iter": 60, "n_iter_no_change": 3}
    model = MLPClassifier(random_state=0, learning_rate_init=0.01, **options).fit(digits.X, digits.y)
    assert model.n_iter_ < 60
    assert model.best_validation_score_ == max(model.validation_scores_) > 0.9
    assert model.best_loss_ is None
    assert len(model.validation_scores_) == model.n_iter_
    X, y = surface()
    other = MLPRegressor(random_state=0, learning_rate_init=0.01, **options).fit(X, y)
    assert 0.5 < other.best_validation_score_ == max(other.validation_scores_) <= 1
    with pytest.raises(ValueError, match="validation set is too small"):
        MLPClassifier(early_stopping=True).fit(digits.X[:15], digits.y[:15])


@pytest.mark.parametrize("kind", ["array", "dask", "frame", "pandas", "csr", "float32"])
def test_each_kind_of_input(digits, kind):
    X, y = digits.X, np.array([f"digit {i}" for i in digits.y])
    names = [f"pixel {i}" for i in range(X.shape[1])]
    frame, labels = pd.DataFrame(X, columns=names), pd.Series(y)
    inputs = {
        "array": lambda: (X, y),
        "dask": lambda: blocks(X, y),
        "frame": lambda: (dd.from_pandas(frame, npartitions=3), dd.from_pandas(labels, npartitions=3)),
        "pandas": lambda: (frame, labels),
        "csr": lambda: (sp.csr_array(X), y),
        "float32": lambda: (X.astype(np.float32), y),
    }[kind]()
    model = MLPClassifier(max_iter=30, random_state=0, learning_rate_init=0.01).fit(*inputs)
    predicted = model.predict(inputs[0])
    assert hasattr(predicted, "dask") == (kind in ("dask", "frame"))
    predicted = np.asarray(predicted.compute() if hasattr(predicted, "dask") else predicted)
    assert (predicted == y).mean() > 0.97
    probabilities = model.predict_proba(inputs[0])
    assert probabilities.shape[1] == 10
    assert_allclose(np.asarray(probabilities).sum(axis=1), 1, rtol=1e-5)
    assert model.coefs_[0].dtype == (np.float32 if kind == "float32" else np.float64)
    assert model.score(*inputs) > 0.97


def test_regression_of_several_outputs():
    X, y = surface()
    options = {"max_iter": 100, "random_state": 0, "learning_rate_init": 0.01}
    model = MLPRegressor(**options).fit(*blocks(X, y))
    expected = theirs.MLPRegressor(**options).fit(X, y).score(X, y)
    assert model.score(X, y) >= expected - POINT
    lazy = model.predict(blocks(X)[0])
    assert lazy.shape == (1500, 2)
    assert_array_equal(lazy.compute(), model.predict(X))
    assert model.score(*blocks(X, y)) == pytest.approx(model.score(X, y))
    single = MLPRegressor(**options, training=Asynchronous(), hidden_layer_sizes=30).fit(X, y[:, 0])
    assert single.predict(X).shape == (1500,)
    assert single.score(X, y[:, 0]) > 0.9


def test_poisson_deviance():
    X = surface()[0]
    y = np.random.default_rng(1).poisson(np.exp(X[:, 0]))
    options = {"loss": "poisson", "max_iter": 50, "random_state": 0}
    model, expected = MLPRegressor(**options).fit(X, y), theirs.MLPRegressor(**options).fit(X, y)
    assert model.loss_ == pytest.approx(expected.loss_, rel=0.02)
    assert model.predict(X).min() > 0
    with pytest.raises(DataError, match="no number below 0"):
        MLPRegressor(loss="poisson").fit(X, y - 1)


@pytest.mark.slow
@pytest.mark.parametrize("training", [Synchronous(), Asynchronous(), Asynchronous(staleness=4)], ids=str)
def test_on_a_cluster(client, digits, monkeypatch, training):
    monkeypatch.setattr(opening, "LOCAL_BYTES", 0)
    X, y = client.persist(blocks(digits.X, digits.y))
    options = {"max_iter": 25, "random_state": 0, "batch_size": 100, "learning_rate_init": 0.005}
    model = MLPClassifier(training=training, **options).fit(X, y)
    expected = theirs.MLPClassifier(**options)
    bound = expected.fit(digits.X, digits.y).score(digits.test, digits.expected) - 2 * POINT
    assert model.score(digits.test, digits.expected) >= bound
    assert sum(epoch.n_rows for epoch in model.history_.epochs) == 25 * len(digits.y)


def test_synchronous_bits_do_not_depend_on_workers(client, digits, monkeypatch):
    arrays = blocks(digits.X, digits.y, rows=200)
    options = {"max_iter": 4, "random_state": 0, "training": Synchronous(virtual_workers=3), "early_stopping": True}
    here = MLPClassifier(n_jobs=1, **options).fit(*arrays)
    monkeypatch.setattr(opening, "LOCAL_BYTES", 0)
    there = MLPClassifier(**options).fit(*client.persist(arrays))
    for ours, other in zip(here.coefs_ + here.intercepts_, there.coefs_ + there.intercepts_, strict=True):
        assert_array_equal(ours, other)
    assert here.loss_curve_ == there.loss_curve_
    assert here.validation_scores_ == there.validation_scores_


def test_partial_fit_goes_on(digits):
    classes = np.arange(10)
    model = MLPClassifier(random_state=0, learning_rate_init=0.01)
    with pytest.raises(ValueError, match="classes must be passed"):
        model.partial_fit(digits.X, digits.y)
    few = digits.y < 8
    model.partial_fit(digits.X[few], digits.y[few], classes=classes)
    for _ in range(20):
        model.partial_fit(digits.X, digits.y)
    assert model.score(digits.test, digits.expected) > 0.95
    assert len(model.loss_curve_) == 21
    assert model.t_ == few.sum() + 20 * len(digits.y)
    with pytest.raises(ValueError, match="some of the classes"):
        model.partial_fit(digits.X, digits.y + 5)
    with pytest.raises(ValueError, match="not the same as on last call"):
        model.partial_fit(digits.X, digits.y, classes=[0, 1])


def test_partial_fit_keeps_the_moments_of_adam(digits):
    """An epoch a call, of one batch, is scikit-learn's; moments that began anew would show in the second step."""
    options = {"random_state": 0, "epsilon": 1e-20, "batch_size": len(digits.y), "shuffle": False}
    model, expected = MLPClassifier(training=Synchronous(virtual_workers=1), **options), theirs.MLPClassifier(**options)
    for _ in range(4):
        model.partial_fit(digits.X, digits.y, classes=np.arange(10))
        expected.partial_fit(digits.X, digits.y, classes=np.arange(10))
    assert_allclose(model.loss_curve_, expected.loss_curve_)


def test_warm_start_goes_on_from_the_last(digits):
    model = MLPClassifier(max_iter=8, random_state=0, warm_start=True).fit(digits.X, digits.y)
    first = list(model.loss_curve_)
    model.fit(digits.X, digits.y)
    assert model.loss_curve_[:8] == first
    assert model.loss_curve_[8] < first[0] / 2
    with pytest.raises(ValueError, match="the classes"):
        model.fit(digits.X[digits.y < 5], digits.y[digits.y < 5])
    with pytest.raises(ValueError, match="layers have changed"):
        model.set_params(hidden_layer_sizes=7).fit(digits.X, digits.y)


def test_to_sklearn_is_free_of_dask_and_can_go_on(digits):
    model = MLPClassifier(max_iter=10, random_state=0, early_stopping=True).fit(*blocks(digits.X, digits.y))
    twin = pickle.loads(pickle.dumps(model.to_sklearn()))
    assert type(twin) is theirs.MLPClassifier
    assert twin.get_params() == {name: getattr(model, name) for name in twin.get_params()}
    assert_array_equal(twin.predict(digits.test), model.predict(digits.test))
    assert_allclose(twin.predict_proba(digits.test), model.predict_proba(digits.test))
    before = twin.set_params(early_stopping=False).score(digits.test, digits.expected)
    for _ in range(3):
        twin.set_params(early_stopping=False)
        twin.best_loss_ = np.inf
        twin.partial_fit(digits.X, digits.y)
    assert twin.score(digits.test, digits.expected) >= before - POINT
    X, y = surface(300)
    other = MLPRegressor(max_iter=5, random_state=0).fit(X, y)
    assert_array_equal(other.to_sklearn().predict(X), other.predict(X))


def test_lbfgs_is_scikit_learns_in_memory_and_reaches_as_low_a_loss_on_dask(digits):
    options = {"hidden_layer_sizes": (12,), "solver": "lbfgs", "random_state": 0, "max_iter": 60, "alpha": 1.0}
    expected = theirs.MLPClassifier(**options).fit(digits.X, digits.y)
    model = MLPClassifier(**options).fit(digits.X, digits.y)
    assert_allclose(model.coefs_[0], expected.coefs_[0], rtol=1e-6, atol=1e-8)
    assert_array_equal(model.predict(digits.test), expected.predict(digits.test))
    lazy = MLPClassifier(**options).fit(*blocks(digits.X, digits.y))
    assert lazy.loss_ <= 1.1 * expected.loss_
    assert lazy.score(digits.test, digits.expected) >= expected.score(digits.test, digits.expected) - 3 * POINT
    assert not hasattr(model, "partial_fit")
    assert clone(model).set_params(max_fun=5).fit(*blocks(digits.X, digits.y)).loss_ > lazy.loss_
    warm = MLPClassifier(**{**options, "max_iter": 5, "warm_start": True}).fit(*blocks(digits.X, digits.y))
    first = warm.loss_
    assert warm.fit(*blocks(digits.X, digits.y)).loss_ < first
    X, y = surface()
    deep = MLPRegressor(hidden_layer_sizes=(12,), solver="lbfgs", random_state=0).fit(*blocks(X, y))
    assert deep.score(X, y) > 0.95


def test_several_labels_a_row(digits):
    """Multilabel targets: columns of 0 and 1, of which the score counts rows with all right."""
    y = np.column_stack([digits.y % 2, digits.y > 4, digits.y % 3 == 0]).astype(int)
    options = {"hidden_layer_sizes": (30,), "max_iter": 25, "random_state": 0, "learning_rate_init": 0.01}
    expected = theirs.MLPClassifier(**options).fit(digits.X, y).score(digits.X, y)
    for arrays in ((digits.X, y), blocks(digits.X, y)):
        model = MLPClassifier(**options).fit(*arrays)
        assert (np.asarray(model.predict(arrays[0])) == y).all(axis=1).mean() >= expected - 2 * POINT
    assert model.predict_proba(digits.test).shape == (450, 3)
    assert model.classes_.tolist() == [0, 1, 2]
    stopped = MLPClassifier(early_stopping=True, **options).fit(digits.X, y)
    assert stopped.best_validation_score_ > 0.7
    with pytest.raises(ValueError, match="0 and 1"):
        MLPClassifier().fit(*blocks(digits.X, 2 * y))
    with pytest.raises(ValueError, match="0 and 1"):
        MLPClassifier().fit(digits.X, digits.X[:, :2])


def test_each_kind_of_random_state(digits):
    for state in (lambda: 1, lambda: np.random.RandomState(1), lambda: np.random.default_rng(1)):
        one, two = (MLPClassifier((5,), max_iter=2, random_state=state()) for _ in range(2))
        one.fit(digits.X.tolist(), digits.y.tolist())
        assert_array_equal(one.coefs_[0], two.fit(digits.X, digits.y).coefs_[0])


def test_it_says_when_it_has_not_converged(digits):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ConvergenceWarning, match=r"Maximum iterations \(2\)"):
            MLPClassifier(max_iter=2).fit(digits.X, digits.y)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"solver": "lbfgs", "training": Synchronous()}, "training"),
        ({"solver": "sgd", "momentum": 1.0}, "momentum"),
        ({"early_stopping": True, "validation_fraction": 1.0}, "validation_fraction"),
        ({"hidden_layer_sizes": (5, 0)}, "hidden_layer_sizes"),
        ({"hidden_layer_sizes": 2.5}, "hidden_layer_sizes"),
        ({"activation": "swish"}, "activation"),
        ({"batch_size": 0}, "batch_size"),
        ({"alpha": -1}, "alpha"),
        ({"training": "fast"}, "training"),
        ({"training": Synchronous(virtual_workers=1, backup_workers=1)}, "backup_workers"),
        ({"n_iter_no_change": 0}, "n_iter_no_change"),
    ],
    ids=str,
)
def test_a_parameter_without_sense_is_refused(digits, options, message):
    with pytest.raises(ValueError, match=message):
        MLPClassifier(**options).fit(digits.X, digits.y)


@pytest.mark.parametrize(
    "options",
    [
        {"solver": "lbfgs", "early_stopping": True},
        {"max_fun": 10},
        {"learning_rate": "adaptive"},
        {"solver": "sgd", "power_t": 0.3},
        {"solver": "sgd", "beta_1": 0.5},
        {"momentum": 0.5},
        {"validation_fraction": 0.5},
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_parameter_without_use_changes_nothing_and_warns(digits, options):
    few = {"max_iter": 2, "random_state": 0}
    with pytest.warns(UserWarning, match=f"{[*options][-1]}=.* has no effect: it is used with .* only"):
        told = MLPClassifier(**few, **options).fit(digits.X, digits.y)
    plain = MLPClassifier(**few, solver=told.solver).fit(digits.X, digits.y)
    assert_array_equal(told.coefs_[0], plain.coefs_[0])


def test_a_failed_fit_leaves_the_model_as_it_was(digits):
    model = MLPClassifier(max_iter=3, random_state=0).fit(digits.X, digits.y)
    before = clone(model), model.coefs_[0].copy()
    broken = digits.X.copy()
    broken[1000, 3] = np.nan
    with pytest.raises(DataError, match="block 2"):
        model.fit(*blocks(broken, digits.y))
    assert model.get_params() == before[0].get_params()
    assert_array_equal(model.coefs_[0], before[1])

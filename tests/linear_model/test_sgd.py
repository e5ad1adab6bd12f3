"""SGDClassifier and SGDRegressor: scikit-learn's steps and objectives, and what a parameter server adds."""

from __future__ import annotations

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import sklearn.linear_model as skl
from distributed import Client, LocalCluster
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from daskml_kit import linear_model
from daskml_kit.engines import open as opening
from daskml_kit.exceptions import DataError
from daskml_kit.linear_model import SGDClassifier, SGDRegressor
from daskml_kit.linear_model.sgd_step import standardized
from daskml_kit.model_selection import GridSearchCV
from daskml_kit.numerics.losses import MARGIN_LOSSES, RESIDUAL_LOSSES, classifier_loss, regressor_loss, signs
from daskml_kit.numerics.penalties import shrinkage
from daskml_kit.parameter_server import Asynchronous, ParameterServer, Synchronous, add

EPOCHS = {"max_iter": 5, "tol": None, "random_state": 0}


def chunked(values, rows=130):
    return da.from_array(values, chunks=(rows, *values.shape[1:]))


def large(n_rows=20_000, n_blocks=10):
    X = da.random.default_rng(3).normal(size=(n_rows, 5), chunks=(n_rows // n_blocks, 5)) * np.arange(1, 6) + 3
    return X, (X[:, 0] + 0.3 * X[:, 1] - 0.2 * X[:, 2] > 3.5).astype(int)


def objective(model, X, y, loss):
    penalty = shrinkage(model.penalty, model.alpha, model.l1_ratio)
    coef = np.ravel(model.coef_)
    raw = (X @ coef + model.intercept_)[None]
    return loss.terms(raw, y[None], 1).value.mean() + penalty.value(coef)


@pytest.mark.parametrize("rate", ["pa1", "pa2"])
@pytest.mark.parametrize("kind", ["SGDClassifier", "SGDRegressor"])
def test_passive_aggressive_steps_are_those_of_scikit_learn(data, kind, rate):
    same = {"learning_rate": rate, "eta0": 0.5, "alpha": 0.01, "shuffle": False, "max_iter": 2, "tol": None}
    same["loss"] = "hinge" if kind == "SGDClassifier" else "epsilon_insensitive"
    y = data.labels if kind == "SGDClassifier" else data.number
    ours = getattr(linear_model, kind)(batch_size=1, **same).fit(data.X, y)
    theirs = getattr(skl, kind)(**same).fit(data.X, y)
    assert_allclose(ours.coef_, theirs.coef_, rtol=1e-7, atol=1e-9)
    assert_allclose(ours.intercept_, theirs.intercept_, rtol=1e-7, atol=1e-9)


@pytest.mark.slow
def test_adaptive_rates_are_those_of_scikit_learn(data):
    same = {"learning_rate": "adaptive", "eta0": 0.5, "loss": "log_loss", "shuffle": False, "n_iter_no_change": 2}
    ours = SGDClassifier(batch_size=1, **same).fit(data.X, data.labels > 0)
    theirs = skl.SGDClassifier(**same).fit(data.X, data.labels > 0)
    assert (
        abs(ours.n_iter_ - theirs.n_iter_) <= 2
    )  # scikit-learn's objective is summed row by row, ours a push at a time
    assert_allclose(ours.coef_, theirs.coef_, rtol=1e-3)
    assert len(ours.history_.epochs) == ours.n_iter_


def test_scikit_learns_habits(data):
    """Lists, each kind of random state, sparse coefficients, and a twin that goes on averaging."""
    states = [lambda: 1, lambda: np.random.RandomState(1), lambda: np.random.default_rng(1)]
    for state in states:
        one, two = (SGDClassifier("log_loss", max_iter=2, tol=None, random_state=state()) for _ in range(2))
        one.fit(data.X.tolist(), data.labels.tolist())
        assert_array_equal(one.coef_, two.fit(data.X, data.labels).coef_)
    expected = one.predict(data.X)
    assert sp.issparse(one.sparsify().coef_)
    assert_array_equal(one.predict(data.X), expected)
    assert_array_equal(one.partial_fit(data.X, data.labels).coef_, two.partial_fit(data.X, data.labels).coef_)
    assert isinstance(one.densify().coef_, np.ndarray)
    averaged = SGDRegressor(average=True, **EPOCHS).fit(data.X, data.number).to_sklearn()
    assert averaged.partial_fit(data.X, data.number).t_ == 6 * len(data.X) + 1


@pytest.mark.parametrize("average", [False, True, 700])
@pytest.mark.parametrize("rate", ["optimal", "constant", "invscaling"])
@pytest.mark.parametrize("loss", ["hinge", "log_loss", "perceptron", "epsilon_insensitive"])
def test_plain_steps_of_one_row_are_those_of_scikit_learn(data, loss, rate, average):
    same = {"loss": loss, "learning_rate": rate, "alpha": 0.5, "eta0": 0.01, "average": average}
    same |= {"shuffle": False, "max_iter": 2, "tol": None}
    ours = SGDClassifier(optimizer="sgd", batch_size=1, **same).fit(data.X, data.labels > 0)
    theirs = skl.SGDClassifier(**same).fit(data.X, data.labels > 0)
    assert_allclose(ours.coef_, theirs.coef_, rtol=1e-7, atol=1e-9)
    assert_allclose(ours.intercept_, theirs.intercept_, rtol=1e-7, atol=1e-9)
    assert (ours.n_iter_, ours.t_) == (theirs.n_iter_, theirs.t_)


@pytest.mark.parametrize("loss", RESIDUAL_LOSSES)
def test_plain_steps_of_a_regression_and_its_defaults_are_those_of_scikit_learn(data, loss):
    same = {"loss": loss, "shuffle": False, "max_iter": 2, "tol": None, "penalty": "l2", "epsilon": 0.2}
    ours = SGDRegressor(optimizer="sgd", batch_size=1, **same).fit(data.X, data.number, sample_weight=data.weight)
    theirs = skl.SGDRegressor(**same).fit(data.X, data.number, sample_weight=data.weight)
    assert_allclose(ours.coef_, theirs.coef_, rtol=1e-7)
    assert_allclose(ours.intercept_, theirs.intercept_, rtol=1e-7)


@pytest.mark.parametrize("penalty", ["l2", "l1", "elasticnet", None])
@pytest.mark.parametrize("loss", [*MARGIN_LOSSES, *RESIDUAL_LOSSES])
def test_training_ends_at_scikit_learns_optimum(data, loss, penalty):
    regression = loss in RESIDUAL_LOSSES
    y = data.number if regression else data.labels > 0
    one = regressor_loss(loss, 0.5) if regression else classifier_loss(loss)
    target = y if regression else signs(one, y)
    same = {"loss": loss, "penalty": penalty, "alpha": 0.01, "l1_ratio": 0.5}
    same |= {"epsilon": 0.5, "random_state": 0, "tol": None}
    kind, peer = (SGDRegressor, skl.SGDRegressor) if regression else (SGDClassifier, skl.SGDClassifier)
    ours = kind(max_iter=100, average=True, **same).fit(data.X, y)
    theirs = peer(max_iter=400, average=2000, learning_rate="constant", eta0=2e-3, **same).fit(data.X, y)
    bound = 0.004 if loss == "perceptron" else 0.002  # the perceptron's optimum is zero coefficients, far from any
    assert objective(ours, data.X, target, one) <= objective(theirs, data.X, target, one) + bound


@pytest.mark.parametrize("optimizer", ["adagrad", "adam", "momentum"])
@pytest.mark.parametrize("penalty", ["l2", "l1"])
def test_all_optimizers_find_the_same_optimum(data, optimizer, penalty):
    model = SGDClassifier("log_loss", penalty=penalty, alpha=0.01, optimizer=optimizer, max_iter=150, tol=None)
    model.set_params(random_state=0).fit(data.X, data.labels > 0)
    loss = classifier_loss("log_loss")
    exact = skl.LogisticRegression(
        C=1 / (0.01 * len(data.X)), l1_ratio=float(penalty == "l1"), solver="saga", max_iter=5000, tol=1e-6
    ).fit(data.X, data.labels > 0)
    exact.penalty, exact.alpha = penalty, 0.01
    y = signs(loss, data.labels > 0)
    assert objective(model, data.X, y, loss) == pytest.approx(objective(exact, data.X, y, loss), abs=1e-3)
    if penalty == "l1":
        wide = np.hstack([data.X, np.random.default_rng(0).normal(size=(len(data.X), 5))])
        assert (model.set_params(alpha=0.1).fit(wide, data.labels > 0).coef_[0, 7:] == 0).any()


def test_scales_and_means_of_features_change_little(data):
    """Adagrad's steps are made in standardized features: a unit of measurement is none of a user's concerns."""
    model = SGDClassifier("log_loss", alpha=0, random_state=0, max_iter=20, tol=None)
    units = 10.0 ** np.arange(-3, 4)
    plain = clone(model).fit(data.X, data.labels > 0)
    scaled = clone(model).fit(data.X * units + 50 * units, data.labels > 0)
    assert_allclose(scaled.coef_ * units, plain.coef_, rtol=1e-6)
    number = SGDRegressor(alpha=0, random_state=0, max_iter=20, tol=None)
    near, far = clone(number).fit(data.X, data.number), clone(number).fit(data.X, 1e4 * data.number + 1e6)
    assert_allclose(far.coef_, 1e4 * near.coef_, rtol=1e-6)


def test_classes_are_fitted_one_against_the_rest_at_once(data):
    names = np.array(["low", "middle", "high"])[data.labels]
    model = SGDClassifier("log_loss", class_weight={"low": 2.0, "middle": 0.5, "high": 1.0}, **EPOCHS)
    model.fit(chunked(data.X), chunked(names))
    assert model.coef_.shape == (3, 7)
    for k, name in enumerate(model.classes_):
        weight = {True: model.class_weight[name], False: 1.0}
        alone = SGDClassifier("log_loss", class_weight=weight, **EPOCHS).fit(chunked(data.X), chunked(names == name))
        assert_allclose(model.coef_[k], alone.coef_[0], rtol=1e-9)
    predicted = model.predict(chunked(data.X))
    assert isinstance(predicted, da.Array)
    assert_array_equal(predicted.compute(), model.predict(data.X))
    assert_allclose(model.predict_proba(chunked(data.X)).compute(), model.to_sklearn().predict_proba(data.X))


def test_balanced_weights_count_rows(data):
    y = data.labels == 2
    balanced = SGDClassifier("log_loss", class_weight="balanced", **EPOCHS).fit(data.X, y)
    share = y.mean()
    given = SGDClassifier("log_loss", class_weight={True: 0.5 / share, False: 0.5 / (1 - share)}, **EPOCHS)
    assert_allclose(balanced.coef_, given.fit(data.X, y).coef_)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [SGDClassifier, SGDRegressor])
def test_weights_are_about_repetitions(data, kind):
    """As in scikit-learn, the penalty is beside the mean over rows: of more rows it weighs less."""
    name, loss = ("log_loss", classifier_loss("log_loss"))
    y = target = data.number
    if kind is SGDClassifier:
        y, target = data.labels > 0, signs(loss, data.labels > 0)
    else:
        name, loss = "squared_error", regressor_loss("squared_error")
    double = 1 + 2 * (data.labels > 0 if kind is SGDClassifier else data.number > np.median(data.number))
    model = kind(name, alpha=0.01 * double.mean(), average=30_000, random_state=0, max_iter=100, tol=None)
    weighted = clone(model).fit(chunked(data.X), chunked(y), sample_weight=chunked(double, 77)).set_params(alpha=0.01)
    X, y, target = (np.repeat(values, double, axis=0) for values in (data.X, y, target))
    repeated = model.set_params(alpha=0.01).fit(X, y)
    assert objective(weighted, X, target, loss) == pytest.approx(objective(repeated, X, target, loss), abs=1e-3)
    plain = clone(model).fit(data.X, y[np.cumsum(double) - 1])
    assert objective(plain, X, target, loss) > objective(repeated, X, target, loss) + 1e-3


@pytest.mark.parametrize(
    "settings", [{}, {"optimizer": "adam"}, {"average": True}, {"learning_rate": "optimal"}], ids=str
)
def test_partial_fits_are_the_epochs_of_a_fit(data, settings):
    model = SGDClassifier("log_loss", shuffle=False, **{**EPOCHS, **settings})
    whole = clone(model).fit(chunked(data.X), data.labels)
    for _ in range(5):
        model.partial_fit(chunked(data.X), data.labels, classes=[0, 1, 2])
    assert_array_equal(model.coef_, whole.coef_)
    assert model.t_ == whole.t_
    assert model.n_iter_ == 1


def test_partial_fit_of_parts_and_what_it_refuses(data):
    model = SGDClassifier("log_loss", random_state=0)
    with pytest.raises(ValueError, match="classes must be passed"):
        model.partial_fit(data.X, data.labels)
    for start in range(0, 600, 100):
        part = slice(start, start + 100)
        model.partial_fit(data.X[part], data.labels[part], classes=[0, 1, 2])
    assert model.score(data.X, data.labels) > 0.5
    with pytest.raises(DataError, match="expected labels among classes"):
        model.partial_fit(data.X, data.labels + 1)
    with pytest.raises(ValueError, match="7 features"):
        model.partial_fit(data.X[:, :3], data.labels)
    with pytest.raises(ValueError, match="7 features"):
        model.partial_fit(chunked(data.X[:, :3]), chunked(data.labels))
    with pytest.raises(ValueError, match="not the same as on last call"):
        model.partial_fit(data.X, data.labels, classes=[0, 1])
    with pytest.raises(ValueError, match="early_stopping"):
        clone(model).set_params(early_stopping=True).partial_fit(data.X, data.labels, classes=[0, 1, 2])
    with pytest.raises(ValueError, match="balanced"):
        clone(model).set_params(class_weight="balanced").partial_fit(data.X, data.labels, classes=[0, 1, 2])
    before = model.coef_.copy()
    model.set_params(optimizer="adam").partial_fit(data.X, data.labels)  # a state of its own, the same coefficients
    assert 0 < np.abs(model.coef_ - before).max() < 2
    number = SGDRegressor(random_state=0)
    for _ in range(3):
        number.partial_fit(data.X, data.number)
    assert number.score(data.X, data.number) > 0.2


def test_rows_held_out_decide_when_to_stop(data):
    model = SGDClassifier("log_loss", early_stopping=True, validation_fraction=0.2, random_state=0)
    model.fit(chunked(data.X), data.labels > 0)
    assert 5 < model.n_iter_ < 1000
    held_out = [epoch.validation_loss for epoch in model.history_.epochs]
    assert min(held_out[:-5]) <= min(held_out[-5:]) + model.tol
    assert model.history_.epochs[0].n_rows == 480
    with pytest.raises(DataError, match="empty set"):
        model.set_params(validation_fraction=0.001).fit(data.X, data.labels > 0)
    with pytest.warns(ConvergenceWarning, match="max_iter=2"):
        SGDClassifier(max_iter=2).fit(data.X, data.labels > 0)


def test_sparse_rows(data):
    wide = np.where(np.abs(data.X) > 1.5, data.X, 0)
    model = SGDClassifier(learning_rate="constant", **EPOCHS)
    dense, sparse = clone(model).fit(wide, data.labels), clone(model).fit(sp.csr_matrix(wide), data.labels)
    assert_allclose(sparse.coef_, dense.coef_, rtol=1e-9)
    lazy = chunked(wide).map_blocks(sp.csr_matrix)
    even_ones = SGDClassifier("log_loss", random_state=0).fit(lazy, chunked(data.labels > 0))
    assert even_ones.score(lazy, chunked(data.labels > 0)) > 0.65
    rare = np.zeros((1000, 1))
    rare[:3] = 1
    assert_allclose(standardized(rare, np.ones(1000), centered=True).scale, 1, rtol=0.01)
    assert_allclose(standardized(sp.csr_array(rare), np.ones(1000), centered=True).scale, 1)


def test_single_precision_stays(data):
    X = data.X.astype(np.float32)
    single = SGDClassifier("log_loss", **EPOCHS).fit(chunked(X), data.labels)
    double = SGDClassifier("log_loss", **EPOCHS).fit(chunked(data.X), data.labels)
    assert single.coef_.dtype == single.decision_function(chunked(X)).dtype == np.float32
    assert_allclose(single.coef_, double.coef_, atol=1e-3)
    number = SGDRegressor(**EPOCHS).fit(X, data.number.astype(np.float32))
    assert number.coef_.dtype == number.predict(X).dtype == np.float32


def test_data_frames_and_starts(data):
    names = list("abcdefg")
    frame = dd.from_pandas(pd.DataFrame(data.X, columns=names), npartitions=4)
    y = dd.from_pandas(pd.Series(data.number), npartitions=4)
    model = SGDRegressor(warm_start=True, **EPOCHS).fit(frame, y)
    assert list(model.feature_names_in_) == names
    assert isinstance(model.predict(frame), da.Array)
    first = model.coef_.copy()
    again = clone(model).fit(frame, y, coef_init=first, intercept_init=model.intercept_)
    assert_array_equal(model.fit(frame, y).coef_, again.coef_)
    assert np.abs(again.coef_ - first).max() > 0
    with pytest.raises(ValueError, match="coef_init"):
        model.fit(frame, y, coef_init=[1.0])
    twin = model.to_sklearn()
    assert isinstance(twin, skl.SGDRegressor)
    assert_allclose(twin.predict(frame.compute()), model.predict(frame).compute())
    through_zero = clone(model).set_params(fit_intercept=False).fit(frame, y)
    assert through_zero.intercept_ == [0]


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"loss": "absolute"}, "loss: expected one of"),
        ({"penalty": "l3"}, "penalty: expected"),
        ({"learning_rate": "pa1", "loss": "log_loss"}, "expected loss='hinge'"),
        ({"learning_rate": "constant", "optimizer": "adam"}, "optimizer='sgd' takes it"),
        ({"optimizer": "lion"}, "optimizer: expected one of"),
        ({"optimizer": "sgd", "alpha": 0}, "alpha: expected a number above 0"),
        ({"eta0": 0}, "eta0"),
        ({"max_iter": 0}, "max_iter"),
        ({"average": -1}, "average"),
        ({"batch_size": 0}, "batch_size"),
        ({"training": "eventually"}, "training: expected Synchronous"),
        ({"training": Synchronous(virtual_workers=1, backup_workers=1)}, "backup_workers"),
        ({"early_stopping": True, "validation_fraction": 1.5}, "validation_fraction"),
        ({"penalty": "elasticnet", "l1_ratio": 2}, "l1_ratio"),
    ],
    ids=str,
)
def test_settings_that_cannot_be_are_named(data, settings, match):
    with pytest.raises(ValueError, match=match):
        SGDClassifier(**settings).fit(data.X, data.labels)


def test_probabilities_only_where_the_loss_has_some(data):
    assert not hasattr(SGDClassifier("hinge"), "predict_proba")
    model = SGDClassifier("modified_huber", **EPOCHS).fit(data.X, data.labels)
    assert_allclose(model.predict_proba(data.X).sum(axis=1), 1)


def test_steps_that_diverge_are_said_to(data):
    model = SGDRegressor(learning_rate="constant", eta0=1e3, **EPOCHS)
    with pytest.raises(DataError, match=r"finite|the loss is"):
        model.fit(data.X, data.number)
    assert not hasattr(model, "coef_")


@pytest.mark.parametrize(
    "settings",
    [{}, {"optimizer": "adam", "average": True}, {"penalty": "l1", "training": Synchronous(push_every=3)}],
    ids=str,
)
def test_the_same_bits_on_any_number_of_workers(client, monkeypatch, settings):
    X, y = large()
    model = SGDClassifier("log_loss", **{**EPOCHS, "max_iter": 2, **settings})
    with dask.config.set(scheduler="threads"):
        alone, shared = (clone(model).set_params(n_jobs=n).fit(X, y) for n in (1, 3))
    assert_array_equal(shared.coef_, alone.coef_)
    monkeypatch.setattr(opening, "LOCAL_BYTES", 0)
    on_two = clone(model).fit(*dask.persist(X, y))
    assert_array_equal(on_two.coef_, alone.coef_)
    assert_array_equal(on_two.intercept_, alone.intercept_)
    assert len(on_two.history_.idle) == 2
    four = LocalCluster(n_workers=4, threads_per_worker=1, processes=False, dashboard_address=":0")
    with four, Client(four):
        assert_array_equal(clone(model).fit(*dask.persist(X, y)).coef_, alone.coef_)


@pytest.mark.slow
@pytest.mark.parametrize(
    "training", [Asynchronous(), Asynchronous(staleness=2), Synchronous(backup_workers=1)], ids=str
)
def test_other_trainings_end_near_on_a_cluster(client, monkeypatch, training):
    monkeypatch.setattr(opening, "LOCAL_BYTES", 0)
    X, y = dask.persist(*large())
    model = SGDClassifier("log_loss", **EPOCHS)
    expected = clone(model).fit(X, y).history_.epochs[-1].loss
    found = clone(model).set_params(training=training).fit(X, y)
    assert found.history_.epochs[-1].loss < expected + 0.02
    assert sum(epoch.n_rows for epoch in found.history_.epochs) == 5 * 20_000


def test_a_search_fits_each_candidate_by_itself():
    X, y = large(2000, 4)
    search = GridSearchCV(SGDClassifier("log_loss", **EPOCHS), {"alpha": [1e-4, 10.0]}, cv=3).fit(X, y)
    assert search.best_params_ == {"alpha": 1e-4}


def test_a_checkpoint_is_a_snapshot(data, tmp_path):
    model = SGDClassifier("log_loss", **EPOCHS).fit(data.X, data.labels, checkpoint=tmp_path / "state")
    with ParameterServer.restore(tmp_path / "state", add(), client="local") as server:
        assert server.pull()["coef"].shape == (3, 8)
    assert model.history_.epochs[-1].epoch == 4

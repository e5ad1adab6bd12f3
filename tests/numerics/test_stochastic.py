"""The losses and penalties of stochastic gradient descent against finite differences and scikit-learn."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import SGDClassifier, SGDRegressor

from daskml_kit.numerics.losses import MARGIN_LOSSES, RESIDUAL_LOSSES, classifier_loss, regressor_loss, signs
from daskml_kit.numerics.penalties import Shrinkage, shrinkage

ROWS = 40
CLASSIFIER = [*MARGIN_LOSSES, *RESIDUAL_LOSSES]


def cases():
    rng = np.random.default_rng(0)
    for name in CLASSIFIER:
        loss = classifier_loss(name, 0.3)
        yield name, loss, rng.normal(size=(2, ROWS)) * 2, signs(loss, rng.random((1, ROWS)) < 0.5)
    for name in RESIDUAL_LOSSES:
        yield name, regressor_loss(name, 0.3), rng.normal(size=(2, ROWS)), rng.normal(size=(1, ROWS))


@pytest.mark.parametrize(("name", "loss", "raw", "y"), list(cases()))
def test_slope_and_curvature_are_derivatives(name, loss, raw, y):
    step = 1e-6
    up, down = loss.terms(raw + step, y, 1), loss.terms(raw - step, y, 1)
    here = loss.terms(raw.copy(), y, 2)
    assert up.hessian is None
    assert_allclose(here.gradient, (up.value - down.value) / (2 * step), rtol=1e-5, atol=1e-7)
    assert_allclose(here.hessian, (up.gradient - down.gradient) / (2 * step), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("name", "loss", "raw", "y"), list(cases()))
def test_float32_stays(name, loss, raw, y):
    value, gradient, _ = loss.terms(raw.astype(np.float32), y.astype(np.float32), 1)
    assert value.dtype == gradient.dtype == np.float32
    want = loss.terms(raw.copy(), y, 1)
    assert_allclose(value, want.value, rtol=1e-4, atol=1e-5)
    assert_allclose(gradient, want.gradient, rtol=1e-4, atol=1e-5)


def value_and_slope_of_sklearn(model, raw, y, classifier):
    """One row with the feature 1 and no penalty: the coefficient moves by the learning rate times the gradient."""
    start = np.array([[raw]]) if classifier else np.array([raw])
    if classifier:
        targets = np.array(["a", "b"])[(np.array([y, -y]) > 0).astype(int)]
        # a second row of weight 0 lets it see both classes
        model.fit(np.ones((2, 1)), targets, coef_init=start, intercept_init=[0.0], sample_weight=[1, 0])
    else:
        model.fit(np.ones((1, 1)), [y], coef_init=start, intercept_init=[0.0])
    return (raw - float(model.coef_.ravel()[0])) / model.eta0


@pytest.mark.parametrize("raw", [-2.5, -1.0, -0.9, -0.3, 0.0, 0.25, 0.3, 1.0, 2.0])
@pytest.mark.parametrize("y", [-1.0, 1.0])
@pytest.mark.parametrize("name", CLASSIFIER)
def test_slopes_are_those_of_sgd_classifier(name, raw, y):
    model = SGDClassifier(
        name, penalty=None, learning_rate="constant", eta0=0.5, max_iter=1, tol=None, epsilon=0.3, fit_intercept=False
    )
    loss = classifier_loss(name, 0.3)
    gradient = loss.terms(np.array([[raw]]), signs(loss, np.array([[y > 0]])), 1).gradient[0, 0]
    assert_allclose(gradient, value_and_slope_of_sklearn(model, raw, y, True), atol=1e-12)


@pytest.mark.parametrize("raw", [-2.5, -0.4, 0.0, 0.2, 0.35, 2.0])
@pytest.mark.parametrize("name", RESIDUAL_LOSSES)
def test_slopes_are_those_of_sgd_regressor(name, raw):
    model = SGDRegressor(
        name, penalty=None, learning_rate="constant", eta0=0.5, max_iter=1, tol=None, epsilon=0.3, fit_intercept=False
    )
    gradient = regressor_loss(name, 0.3).terms(np.array([[raw]]), np.array([[0.05]]), 1).gradient[0, 0]
    assert_allclose(gradient, value_and_slope_of_sklearn(model, raw, 0.05, False), atol=1e-12)


@pytest.mark.parametrize("y", [-1.0, 1.0])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hinge", lambda z: max(0, 1 - z)),
        ("perceptron", lambda z: max(0, -z)),
        ("squared_hinge", lambda z: max(0, 1 - z) ** 2),
        ("modified_huber", lambda z: max(0, 1 - z) ** 2 if z >= -1 else -4 * z),
        ("log_loss", lambda z: np.log1p(np.exp(-z))),
        ("squared_error", lambda z: 0.5 * (1 - z) ** 2),
        ("huber", lambda z: 0.5 * (1 - z) ** 2 if abs(1 - z) <= 0.3 else 0.3 * abs(1 - z) - 0.5 * 0.3**2),
        ("epsilon_insensitive", lambda z: max(0, abs(1 - z) - 0.3)),
        ("squared_epsilon_insensitive", lambda z: max(0, abs(1 - z) - 0.3) ** 2),
    ],
)
def test_values_are_those_of_the_guide(name, value, y):
    """For labels of 1 and -1, a loss of the residual is one of z = y * raw too."""
    raw = np.linspace(-3, 3, 25)[None]
    loss = classifier_loss(name, 0.3)
    got = loss.terms(raw.copy(), signs(loss, np.full((1, 1), y > 0)), 1).value
    assert_allclose(got, [[value(y * z) for z in raw[0]]], atol=1e-12)


def test_losses_are_equal_to_their_copies():
    for name in CLASSIFIER:
        assert pickle.loads(pickle.dumps(classifier_loss(name))) == classifier_loss(name)


@pytest.mark.parametrize("make", [classifier_loss, regressor_loss])
def test_unknown_losses_are_named(make):
    with pytest.raises(ValueError, match=r"loss: expected one of .*'epsilon_insensitive'.*, got 'log'"):
        make("log")
    with pytest.raises(ValueError, match="epsilon: expected a number of at least 0"):
        make("huber", -1.0)
    with pytest.raises(ValueError, match="loss"):
        regressor_loss("hinge")


@pytest.mark.parametrize(("name", "l1_ratio"), [("l2", 0.0), ("l1", 1.0), ("elasticnet", 0.4)])
def test_penalties(name, l1_ratio):
    rng, penalty = np.random.default_rng(0), shrinkage(name, 0.3, 0.4)
    w, step, rate = rng.normal(size=(3, 4)), 1e-6, 0.7
    assert penalty == Shrinkage(0.3, l1_ratio)
    want = 0.3 * (l1_ratio * np.abs(w).sum() + (1 - l1_ratio) / 2 * (w**2).sum())
    assert_allclose(penalty.value(w), want)
    smooth = shrinkage("l2", 0.3 * (1 - l1_ratio))
    move = rng.normal(size=w.shape)
    gradient = (smooth.value(w + step * move) - smooth.value(w - step * move)) / (2 * step)
    assert_allclose((penalty.gradient(w) * move).sum(), gradient, rtol=1e-6, atol=1e-9)
    moved = penalty.proximal(w, rate)
    distance = w - moved
    threshold = rate * 0.3 * l1_ratio
    assert_allclose(distance[moved != 0], threshold * np.sign(moved[moved != 0]), atol=1e-12)
    assert (np.abs(distance[moved == 0]) <= threshold).all()


def test_no_penalty_changes_nothing():
    w, none = np.array([1.0, -2.0]), shrinkage(None, 0.5)
    assert none.value(w) == 0
    assert_array_equal(none.gradient(w), 0)
    assert_array_equal(none.proximal(w, 3.0), w)


@pytest.mark.parametrize(
    ("name", "arguments"), [("penalty", ("l3", 1)), ("alpha", ("l2", -1)), ("l1_ratio", ("elasticnet", 1, 2))]
)
def test_penalties_out_of_range_are_named(name, arguments):
    with pytest.raises(ValueError, match=f"{name}: expected"):
        shrinkage(*arguments)

"""Networks against finite differences, and against scikit-learn on the same weights."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor

from daskml_kit.numerics.feed_forward import ACTIVATIONS, OUTPUTS, NetworkLoss, glorot

ROWS, FEATURES = 30, 5
RNG = np.random.default_rng(0)
X = RNG.normal(size=(ROWS, FEATURES)) * (RNG.random((ROWS, FEATURES)) < 0.7)
CODES = RNG.integers(0, 3, ROWS)
LABELS = RNG.integers(0, 2, (ROWS, 3))
NUMBERS = RNG.normal(size=(ROWS, 2))
TARGETS = {
    "softmax": (CODES, 3),
    "logistic": (LABELS[:, 0], 1),
    "logistic, several labels": (LABELS, 3),
    "identity": (NUMBERS[:, 0], 1),
    "identity, several outputs": (NUMBERS, 2),
    "exp": (np.abs(NUMBERS), 2),
}


def network(case, activation, hidden=(4, 3), alpha=0.7, seed=1):
    output, (y, k) = case.split(",")[0], TARGETS[case]
    params = glorot([FEATURES, *hidden, k], activation, np.random.default_rng(seed))
    return NetworkLoss(activation, output, alpha), params, y


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("hidden", [(), (6,), (4, 3)], ids=str)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("case", TARGETS)
def test_gradients_are_derivatives(case, activation, hidden, weighted):
    loss, params, y = network(case, activation, hidden)
    weight = RNG.random(ROWS) if weighted else None
    _, grads = loss(params, X, y, weight)
    assert list(grads) == list(params)
    step = 1e-6
    for name, array in params.items():
        move = np.random.default_rng(2).normal(size=array.shape)
        up = loss({**params, name: array + step * move}, X, y, weight)[0]
        down = loss({**params, name: array - step * move}, X, y, weight)[0]
        assert_allclose((grads[name] * move).sum(), (up - down) / (2 * step), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("case", TARGETS)
def test_losses_steps_and_predictions_are_those_of_scikit_learn(case, activation):
    """One step of plain gradient descent over all rows: its loss is of the weights before it."""
    loss, _, y = network(case, activation, alpha=0.7)
    setting = {"hidden_layer_sizes": (4, 3), "activation": activation, "solver": "sgd", "alpha": 0.7}
    setting |= {"batch_size": ROWS, "momentum": 0.0, "learning_rate_init": 0.1, "max_iter": 1}
    setting |= {"shuffle": False, "random_state": 7}
    if loss.output in ("identity", "exp"):
        model = MLPRegressor(loss={"identity": "squared_error", "exp": "poisson"}[loss.output], **setting)
    else:
        model = MLPClassifier(**setting)
    with pytest.warns(ConvergenceWarning):
        model.fit(X, y)
    params = glorot([FEATURES, 4, 3, model.n_outputs_], activation, np.random.RandomState(7))
    value, grads = loss(params, X, y)
    if "several outputs" not in case:
        assert_allclose(value, model.loss_, rtol=1e-12)
    for i in range(3):
        assert_allclose(params[f"coefs_{i}"] - 0.1 * grads[f"coefs_{i}"], model.coefs_[i], rtol=1e-10, atol=1e-14)
        moved = params[f"intercepts_{i}"] - 0.1 * grads[f"intercepts_{i}"]
        assert_allclose(moved, model.intercepts_[i], rtol=1e-10, atol=1e-14)
        params |= {f"coefs_{i}": model.coefs_[i], f"intercepts_{i}": model.intercepts_[i]}
    if loss.output in ("identity", "exp"):
        want = model.predict(X).reshape(ROWS, -1)
    else:
        want = model.predict_proba(X)[:, -model.n_outputs_ :]
    assert_allclose(loss.predict(params, X), want, rtol=1e-12)


@pytest.mark.parametrize("kind", [sp.csr_array, sp.csr_matrix])
@pytest.mark.parametrize("case", TARGETS)
def test_sparse_rows_are_dense_rows(case, kind):
    loss, params, y = network(case, "tanh")
    value, grads = loss(params, kind(X), y)
    want, want_grads = loss(params, X, y)
    assert_allclose(value, want)
    for name in params:
        assert type(grads[name]) is np.ndarray
        assert_allclose(grads[name], want_grads[name], atol=1e-12)
    assert_allclose(loss.predict(params, kind(X)), loss.predict(params, X))


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("case", TARGETS)
def test_float32_stays(case, activation, wide):
    loss, params, y = network(case, activation)
    narrow = {name: array.astype(np.float32) for name, array in params.items()}
    rows = X if wide else X.astype(np.float32)
    value, grads = loss(narrow, rows, y)
    want, want_grads = loss(params, X, y)
    assert_allclose(value, want, rtol=1e-5)
    for name in params:
        assert grads[name].dtype == np.float32
        assert_allclose(grads[name], want_grads[name], rtol=1e-3, atol=1e-5)
    if not wide:
        assert loss.predict(narrow, rows).dtype == np.float32


@pytest.mark.parametrize("case", TARGETS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_nothing_that_is_given_is_written_to(case, activation):
    loss, params, y = network(case, activation)
    weight = np.ones(ROWS)
    for array in (X, y, weight, *params.values()):
        array.setflags(write=False)
    try:
        loss(params, X, y, weight)
        loss.predict(params, X)
    finally:
        for array in (X, y):
            array.setflags(write=True)


def test_large_inputs_overflow_nowhere():
    for case in ("softmax", "logistic"):
        for activation in ACTIVATIONS:
            loss, params, y = network(case, activation)
            value, grads = loss(params, 1e4 * X, y)
            assert np.isfinite([value, *(np.abs(grad).max() for grad in grads.values())]).all()


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int32, np.float32])
@pytest.mark.parametrize("case", ["logistic", "logistic, several labels", "identity"])
def test_targets_of_any_dtype(case, dtype):
    loss, params, _ = network(case, "relu")
    y = LABELS if "several" in case else LABELS[:, 0]
    want, value = loss(params, X, y.astype(np.float64))[0], loss(params, X, y.astype(dtype))[0]
    assert_allclose(value, want)


def test_a_network_without_hidden_units_is_a_linear_model():
    loss, params, y = network("identity", "relu", hidden=(), alpha=0.0)
    residual = X @ params["coefs_0"][:, 0] + params["intercepts_0"] - y
    value, grads = loss(params, X, y)
    assert_allclose(value, 0.5 * (residual**2).mean())
    assert_allclose(grads["coefs_0"][:, 0], X.T @ residual / ROWS)


@pytest.mark.parametrize(("activation", "squared"), [("relu", 6.0), ("logistic", 2.0)])
def test_initial_parameters_fill_the_bounds_of_glorot(activation, squared):
    params = glorot([300, 100, 2], activation, np.random.default_rng(0), np.float32)
    bound = np.sqrt(squared / 400)
    assert params["coefs_0"].dtype == np.float32
    assert 0.999 * bound < np.abs(params["coefs_0"]).max() <= bound * (1 + 1e-6)
    again = glorot([300, 100, 2], activation, np.random.default_rng(0), np.float32)
    for name in params:
        assert_array_equal(params[name], again[name])


def test_it_is_equal_to_its_copy():
    loss = NetworkLoss("relu", "softmax", 1e-4)
    assert pickle.loads(pickle.dumps(loss)) == loss


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("sine", "softmax"), "activation: expected one of"),
        (("relu", "probit"), "output: expected one of"),
        (("relu", "softmax", -1.0), "alpha: expected a number of at least 0"),
    ],
)
def test_settings_that_are_unknown_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        NetworkLoss(*settings)


@pytest.mark.parametrize("output", OUTPUTS)
def test_targets_of_another_shape_are_refused(output):
    params = glorot([FEATURES, 2], "relu", np.random.default_rng(0))
    with pytest.raises(ValueError, match="y: expected"):
        NetworkLoss("relu", output)(params, X, np.zeros((ROWS, 5)))

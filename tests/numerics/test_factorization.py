"""Gradients of factors against finite differences, rating by rating, and in training."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from daskml_kit.numerics.factorization import NAMES, FactorizationLoss
from daskml_kit.numerics.row_sparse import sum_rows
from daskml_kit.optim import apply_rows, sgd

USERS, ITEMS, K, ROWS = 12, 9, 3, 40


def problem(biases=True, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    shapes = [(USERS, K), (ITEMS, K), (USERS,), (ITEMS,)][: 4 if biases else 2]
    params = {name: rng.normal(size=shape).astype(dtype) for name, shape in zip(NAMES, shapes, strict=False)}
    # users 10 and 11 and item 8 are rated by nobody, and some pairs come twice
    X = np.column_stack([rng.integers(0, USERS - 2, ROWS), rng.integers(0, ITEMS - 1, ROWS)])
    return params, X, rng.normal(size=ROWS) + 3


def by_rating(params, X, y, regularization, mean):
    """Each rating's loss and gradients, as Koren et al. (2009) have them."""
    value, sums = 0.0, {name: np.zeros_like(array) for name, array in params.items()}
    for (u, i), r in zip(X, y, strict=True):
        p, q = params["user_factors"][u], params["item_factors"][i]
        b_u, b_i = params["user_biases"][u], params["item_biases"][i]
        e = r - mean - b_u - b_i - p @ q
        value += 0.5 * e**2 + 0.5 * regularization * (p @ p + q @ q + b_u**2 + b_i**2)
        sums["user_factors"][u] += -e * q + regularization * p
        sums["item_factors"][i] += -e * p + regularization * q
        sums["user_biases"][u] += -e + regularization * b_u
        sums["item_biases"][i] += -e + regularization * b_i
    return value, sums


@pytest.mark.parametrize("average", [False, True])
def test_it_is_the_sum_of_ratings(average):
    params, X, y = problem()
    value, grads = FactorizationLoss(0.3, 2.5, average)(params, X, y)
    want, sums = by_rating(params, X, y, 0.3, 2.5)
    assert_allclose(value, want / ROWS)
    for name, (rows, values) in grads.items():
        column = X[:, NAMES.index(name) % 2]
        assert_array_equal(rows, np.unique(column))
        counts = np.bincount(column)[rows].reshape(-1, *[1] * (values.ndim - 1))
        assert_allclose(values, sums[name][rows] / (counts if average else 1), atol=1e-12)


@pytest.mark.parametrize("biases", [False, True])
def test_sums_are_derivatives(biases):
    params, X, y = problem(biases)
    loss, step = FactorizationLoss(0.3, 2.5, average=False), 1e-6
    _, grads = loss(params, X, y)
    assert set(grads) == set(params)
    for name, array in params.items():
        move = np.random.default_rng(2).normal(size=array.shape)
        up = loss({**params, name: array + step * move}, X, y)[0]
        down = loss({**params, name: array - step * move}, X, y)[0]
        rows, values = grads[name]
        assert_allclose((values * move[rows]).sum() / ROWS, (up - down) / (2 * step), rtol=1e-6, atol=1e-9)


def test_predictions():
    params, X, _ = problem()
    u, i = X[5]
    want = 2.5 + params["user_biases"][u] + params["item_biases"][i]
    want += params["user_factors"][u] @ params["item_factors"][i]
    assert_allclose(FactorizationLoss(mean=2.5).predict(params, X)[5], want)
    many = np.repeat(X, 200, axis=0)
    assert_array_equal(FactorizationLoss().predict(params, many), FactorizationLoss().predict(params, X).repeat(200))


@pytest.mark.parametrize("average", [False, True])
def test_float32_stays_and_nothing_is_written_to(average):
    params, X, y = problem(dtype=np.float32)
    for array in (X, y, *params.values()):
        array.setflags(write=False)
    loss = FactorizationLoss(0.3, 2.5, average)
    value, grads = loss(params, X, y)
    want, wide = loss({name: array.astype(np.float64) for name, array in params.items()}, X, y)
    assert_allclose(value, want, rtol=1e-5)
    assert loss.predict(params, X).dtype == np.float32
    for name, (_, values) in grads.items():
        assert values.dtype == np.float32
        assert values.shape[1:] == params[name].shape[1:]
        assert_allclose(values, wide[name].values, rtol=1e-4, atol=1e-5)


def test_no_ratings_touch_no_rows():
    params, X, y = problem()
    value, grads = FactorizationLoss(0.1)(params, X[:0], y[:0])
    assert value == 0
    for name, (rows, values) in grads.items():
        assert rows.shape == (0,)
        assert values.shape == (0, *params[name].shape[1:])


@pytest.mark.parametrize("batch", [50, 1000])
def test_training_finds_the_factors(batch):
    rng, rule = np.random.default_rng(0), sgd(0.2)
    users, items = rng.normal(size=(40, 2)), rng.normal(size=(30, 2))
    X = np.array([(u, i) for u in range(40) for i in range(30)])
    y = 3 + np.einsum("ij,ij->i", users[X[:, 0]], items[X[:, 1]])
    loss = FactorizationLoss(mean=3.0)
    params = {"user_factors": rng.normal(size=(40, 2)), "item_factors": rng.normal(size=(30, 2))}
    states = {name: rule.init(array) for name, array in params.items()}
    for _ in range(60 if batch == 50 else 600):
        order = rng.permutation(len(y))
        for start in range(0, len(y), batch):
            rows = order[start : start + batch]
            for name, (touched, values) in loss(params, X[rows], y[rows])[1].items():
                apply_rows(rule, touched, values, states[name], params[name])
    assert np.sqrt(np.mean((loss.predict(params, X) - y) ** 2)) < 1e-3 * y.std()


def test_it_is_equal_to_its_copy_and_names_what_is_out_of_range():
    loss = FactorizationLoss(0.1, 3.0)
    assert pickle.loads(pickle.dumps(loss)) == loss
    with pytest.raises(ValueError, match="regularization: expected a number of at least 0"):
        FactorizationLoss(-0.1)


@pytest.mark.parametrize("number", [-1, USERS])
def test_users_who_do_not_exist_are_refused(number):
    params, X, y = problem()
    X[3, 0] = number
    with pytest.raises(IndexError):
        FactorizationLoss()(params, X, y)


@pytest.mark.parametrize("shape", [(), (3,), (2, 2)], ids=str)
def test_rows_are_summed(shape):
    rng = np.random.default_rng(0)
    rows, values = rng.integers(0, 5, 30) * 10**12, rng.normal(size=(30, *shape)).astype(np.float32)
    distinct, sums = sum_rows(rows, values)
    assert_array_equal(distinct, np.unique(rows))
    assert sums.dtype == np.float32
    for row, got in zip(distinct, sums, strict=True):
        assert_allclose(got, values[rows == row].sum(axis=0), rtol=1e-4, atol=1e-5)
    assert sum_rows(rows[:0], values[:0]).values.shape == (0, *shape)

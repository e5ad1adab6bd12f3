"""Factorizations reach what a plain stochastic gradient descent reaches, in each mode, with sparse pulls and pushes."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from daskml_kit.datasets import make_ratings
from daskml_kit.engines import open as opening
from daskml_kit.exceptions import DataError
from daskml_kit.parameter_server import Asynchronous, Synchronous
from daskml_kit.recommendation import MatrixFactorization

NOISE, N_USERS, N_ITEMS, N_FACTORS = 0.1, 300, 150, 3
TWO = Synchronous(virtual_workers=2)
OPTIONS = {"n_factors": N_FACTORS, "max_iter": 25, "random_state": 0, "batch_size": 400, "training": TWO}


@pytest.fixture(scope="module")
def ratings():
    """Pairs and ratings to train on, and others to judge by."""
    frame = make_ratings(N_USERS, N_ITEMS, 20_000, N_FACTORS, NOISE, rating_range=None, random_state=0).compute()
    frame = frame.sample(frac=1, random_state=0)
    X, y = frame[["user", "item"]].to_numpy(), frame["rating"].to_numpy()
    return X[:16_000], y[:16_000], X[16_000:], y[16_000:]


@pytest.fixture(scope="module")
def plain(ratings):
    """The error of one step a rating, in NumPy."""
    X, y, test, expected = ratings
    rng, rate, strength = np.random.default_rng(0), 0.05, 0.02
    tables = [rng.normal(scale=0.1, size=(n, N_FACTORS)) for n in (N_USERS, N_ITEMS)]
    biases, mean = [np.zeros(N_USERS), np.zeros(N_ITEMS)], y.mean()
    for _ in range(OPTIONS["max_iter"]):
        for row in rng.permutation(len(y)):
            (user, item), rows = X[row], [table[i] for table, i in zip(tables, X[row], strict=True)]
            error = y[row] - mean - biases[0][user] - biases[1][item] - rows[0] @ rows[1]
            own, other = rows[0].copy(), rows[1].copy()
            tables[0][user] += rate * (error * other - strength * own)
            tables[1][item] += rate * (error * own - strength * other)
            biases[0][user] += rate * (error - strength * biases[0][user])
            biases[1][item] += rate * (error - strength * biases[1][item])
    predicted = mean + sum(b[test[:, i]] for i, b in enumerate(biases))
    return rmse(predicted + np.einsum("ij,ij->i", tables[0][test[:, 0]], tables[1][test[:, 1]]), expected)


def rmse(predicted, expected):
    return float(np.sqrt(np.mean((predicted - expected) ** 2)))


def on_dask(X, y, rows=2_000):
    return da.from_array(X, chunks=(rows, 2)), da.from_array(y, chunks=rows)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"training": Asynchronous(staleness=2)},
        {"optimizer": "adam", "learning_rate": 0.02},
        {"training": Synchronous(virtual_workers=2, push_every=2)},
    ],
    ids=str,
)
def test_the_error_is_that_of_plain_steps(ratings, plain, options):
    X, y, test, expected = ratings
    model = MatrixFactorization(**{**OPTIONS, **options}).fit(*on_dask(X, y))
    found = rmse(model.predict(test), expected)
    assert NOISE < found < 2.5 * NOISE
    assert found < 1.25 * plain
    assert model.history_.epochs[-1].loss < 0.1 * model.history_.epochs[0].loss


@pytest.mark.parametrize("training", [TWO, Asynchronous()], ids=["sync", "async"])
def test_on_a_cluster(client, ratings, plain, monkeypatch, training):
    monkeypatch.setattr(opening, "LOCAL_BYTES", 0)
    X, y, test, expected = ratings
    options = {**OPTIONS, "max_iter": 12, "learning_rate": 0.1, "batch_size": 1600 if training is TWO else 200}
    model = MatrixFactorization(**{**options, "training": training}).fit(*client.persist(on_dask(X, y)))
    assert rmse(model.predict(test), expected) < 1.5 * plain


def test_synchronous_bits_do_not_depend_on_workers(client, ratings, monkeypatch):
    arrays = on_dask(*ratings[:2])
    options = {**OPTIONS, "max_iter": 2, "batch_size": 2000, "training": Synchronous(virtual_workers=5)}
    here = MatrixFactorization(n_jobs=1, **options).fit(*arrays)
    monkeypatch.setattr(opening, "LOCAL_BYTES", 0)
    there = MatrixFactorization(**options).fit(*client.persist(arrays))
    for name in ("user_factors_", "item_factors_", "user_biases_", "item_biases_"):
        assert_array_equal(getattr(here, name), getattr(there, name))


def test_virtual_workers_that_have_ended_do_not_lengthen_the_steps_of_others(ratings):
    """One virtual worker has many rows, the other few: where gradients add up, it goes on at its own rate."""
    X, y, test, expected = ratings
    arrays = (da.from_array(X, chunks=((15_000, 1_000), 2)), da.from_array(y, chunks=((15_000, 1_000),)))
    model = MatrixFactorization(**{**OPTIONS, "learning_rate": 0.1}).fit(*arrays)
    assert rmse(model.predict(test), expected) < 2.5 * NOISE


def test_frames_floats_and_lists_of_ids():
    frame = make_ratings(60, 30, 900, 2, random_state=0, chunks=300)
    X, y = frame[["user", "item"]], frame["rating"]
    lazy = MatrixFactorization(2, max_iter=3, random_state=0).fit(X, y)
    assert lazy.user_factors_.shape == (60, 2)
    predicted = lazy.predict(X)
    assert hasattr(predicted, "dask")
    assert_allclose(predicted.compute(), lazy.predict(X.compute()))
    assert lazy.score(X, y) == pytest.approx(lazy.score(X.compute(), y.compute()))
    single = MatrixFactorization(2, max_iter=3, random_state=0).fit(X.compute().to_numpy(), y.compute().astype("f4"))
    assert single.item_factors_.dtype == single.predict(X.compute()).dtype == np.float32


def test_users_and_items_without_ratings_count_nothing(ratings):
    X, y = ratings[:2]
    kept = (X[:, 0] != 7) & (X[:, 1] != 9)
    model = MatrixFactorization(n_users=400, n_items=200, **{**OPTIONS, "max_iter": 3}).fit(X[kept], y[kept])
    assert model.user_factors_.shape == (400, N_FACTORS)
    assert model.item_biases_.shape == (200,)
    strange = np.array([[7, 9], [7, 3], [5, 9], [399, 3], [5, 199], [10_000, 3], [5, 10_000], [-1, -1]])
    item, user = model.mean_ + model.item_biases_[3], model.mean_ + model.user_biases_[5]
    assert_allclose(model.predict(strange), [model.mean_, item, user, item, user, item, user, model.mean_])


def test_recommendations_are_the_highest_predictions(ratings):
    X, y = ratings[:2]
    model = MatrixFactorization(**{**OPTIONS, "max_iter": 5}).fit(X, y)
    users = np.array([4, 250, 4, 10_000])
    found = model.recommend(users, k=6, exclude=X)
    for user, items, values in zip(users, *found, strict=True):
        left = np.setdiff1d(np.arange(N_ITEMS), X[X[:, 0] == user, 1])
        scores = model.predict(np.column_stack([np.full(len(left), user), left]))
        best = left[np.argsort(-scores, kind="stable")[:6]]
        assert_array_equal(items, np.pad(best, (0, 6 - len(best)), constant_values=-1))
        assert_allclose(values[: len(best)], np.sort(scores)[::-1][:6])
    assert model.recommend(users, k=N_ITEMS).items.shape == (4, N_ITEMS)
    with pytest.raises(ValueError, match="k: expected at most"):
        model.recommend(users, k=N_ITEMS + 1)
    with pytest.raises(DataError, match="users"):
        model.recommend([0.5])


def test_without_biases(ratings):
    X, y, test, expected = ratings
    model = MatrixFactorization(biases=False, **OPTIONS).fit(X, y)
    assert not model.user_biases_.any()
    assert rmse(model.predict(test), expected) < 2.5 * NOISE


def test_it_stops_where_the_loss_does_not_fall(ratings):
    model = MatrixFactorization(n_iter_no_change=2, tol=0.5, **OPTIONS).fit(*ratings[:2])
    assert model.n_iter_ < OPTIONS["max_iter"]


@pytest.mark.parametrize(
    ("X", "y", "options", "message"),
    [
        ([[0, 1], [0.5, 2]], [1.0, 2], {}, "whole numbers"),
        ([[0, 1], [-1, 2]], [1.0, 2], {}, "users from 0"),
        ([[0, 1], [1, 9]], [1.0, 2], {"n_items": 9}, r"items from 0 to 8 \(n_items=9\), got 9"),
        ([[0, 1, 2]], [1.0], {}, "two columns"),
        ([[0, 1], [1, 2]], [1.0, np.nan], {}, "y contains NaN"),
        ([[0, 1], [1, 2]], ["a", "b"], {}, "y: expected a number"),
        ([[0, 1], [1, 2]], [1.0], {}, "inconsistent numbers of samples"),
        ([[0, 1]], [1.0], {"optimizer": "lbfgs"}, "optimizer"),
        ([[0, 1]], [1.0], {"regularization": -1}, "regularization"),
        ([[0, 1]], [1.0], {"n_factors": 0}, "n_factors"),
        ([[0, 1]], [1.0], {"training": "async"}, "training"),
    ],
    ids=str,
)
def test_bad_input_is_named(X, y, options, message):
    with pytest.raises(ValueError, match=message):
        MatrixFactorization(**options).fit(np.array(X), np.array(y))


def test_items_without_ratings_are_similar_to_none():
    X = np.column_stack([np.arange(40) % 8, np.arange(40) % 5])
    model = MatrixFactorization(2, n_items=7, max_iter=2, random_state=0).fit(X, np.arange(40.0) % 3)
    found = model.similar_items([0, 6], 6)
    assert sorted(found.ids[0]) == [-1, -1, 1, 2, 3, 4]
    assert np.isnan(found.similarities[0]).sum() == 2
    assert np.isnan(found.similarities[1]).all()
    assert model.similar_users([1], 3).ids.shape == (1, 3)

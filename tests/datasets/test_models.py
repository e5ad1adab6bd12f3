"""The rows follow the models that the generators name."""

from __future__ import annotations

import datetime

import dask
import numpy as np
import pytest
import sklearn.datasets
from scipy import stats
from sklearn.linear_model import LinearRegression, LogisticRegression, PoissonRegressor

from daskml_kit.datasets import (
    make_blobs,
    make_classification,
    make_classification_df,
    make_counts,
    make_ratings,
    make_regression,
)
from daskml_kit.datasets.ratings import item_counts


@pytest.mark.parametrize("options", [{}, {"weights": [0.7, 0.2]}, {"weights": [0.1, 0.1, 0.5]}, {"n_samples": 101}])
def test_classes_have_the_numbers_of_rows_of_scikit_learn(options):
    options = {"n_samples": 1000, "n_classes": 3, "n_informative": 4, "flip_y": 0, "random_state": 0} | options
    _, y = make_classification(**options)
    _, expected = sklearn.datasets.make_classification(**options)
    np.testing.assert_array_equal(np.bincount(y.compute()), np.bincount(expected))
    assert y.dtype == np.int64


def test_classes_are_as_hard_to_tell_as_scikit_learns():
    def accuracy(make, seed):
        X, y = dask.compute(
            *make(1000, 12, n_informative=5, n_redundant=3, n_repeated=1, n_classes=3, class_sep=1.5, random_state=seed)
        )
        return LogisticRegression().fit(X, y).score(X, y)

    def adapted(n_samples, n_features, **options):
        return sklearn.datasets.make_classification(n_samples, n_features, **options)

    ours, theirs = ([accuracy(make, seed) for seed in range(15)] for make in (make_classification, adapted))
    error = np.hypot(stats.sem(ours), stats.sem(theirs))
    assert abs(np.mean(ours) - np.mean(theirs)) < 3 * error < 0.1


def test_flip_y_draws_classes_at_random():
    _, plain = make_classification(20_000, n_classes=4, n_informative=3, flip_y=0, shuffle=False, random_state=0)
    _, flipped = make_classification(20_000, n_classes=4, n_informative=3, flip_y=0.4, shuffle=False, random_state=0)
    # a quarter of the classes that are drawn are those that the rows had
    assert (plain != flipped).mean().compute() == pytest.approx(0.3, abs=0.015)


def test_unshuffled_columns_are_in_scikit_learns_order_and_rows_by_cluster():
    X, y = dask.compute(
        *make_classification(
            900, 10, 3, 2, 2, n_classes=3, flip_y=0, n_clusters_per_class=1, shuffle=False, random_state=0, chunks=100
        )
    )
    np.testing.assert_array_equal(y, np.repeat([0, 1, 2], 300))
    redundant = np.linalg.lstsq(X[:, :3], X[:, 3:5], rcond=None)[0]
    np.testing.assert_allclose(X[:, :3] @ redundant, X[:, 3:5], atol=1e-9)
    assert all(any((X[:, repeated] == X[:, source]).all() for source in range(5)) for repeated in (5, 6))
    assert all(stats.kstest(X[:, noise], "norm").pvalue > 1e-3 for noise in (7, 8, 9))
    for k in range(3):
        np.testing.assert_allclose(np.abs(X[y == k, :3].mean(axis=0)), 1, atol=0.3)


def test_a_polytope_lies_inside_the_hypercube():
    X, y = make_classification(
        4000, 3, 3, 0, n_clusters_per_class=1, hypercube=False, class_sep=10, flip_y=0, random_state=0
    )
    X, y = dask.compute(X, y)
    assert all(np.abs(X[y == k].mean(axis=0)).max() < 9.9 for k in (0, 1))


def test_shift_and_scale_are_as_given_or_drawn():
    options = {"n_samples": 500, "n_features": 6, "random_state": 0, "shuffle": False}
    plain = make_classification(**options)[0].compute()
    moved = make_classification(**options, shift=np.arange(6.0), scale=2.0)[0].compute()
    np.testing.assert_allclose(moved, (plain + np.arange(6.0)) * 2)
    drawn = make_classification(**options, shift=None, scale=None)[0].compute()
    ratio = drawn.std(axis=0) / plain.std(axis=0)
    assert ((ratio >= 1) & (ratio <= 101)).all()
    assert np.ptp(ratio) > 1
    assert (np.abs((drawn / ratio - plain).mean(axis=0)) < 1).all()


def test_vertices_are_distinct_in_more_dimensions_than_an_integer_has_bits():
    X, _ = make_classification(640, 40, 40, 0, n_classes=64, class_sep=1e4, n_clusters_per_class=1, random_state=0)
    assert len(np.unique(np.sign(X.compute()), axis=0)) == 64


def test_rows_are_mixed():
    _, y = make_classification(20_000, flip_y=0, random_state=0, chunks=20_000)
    y = y.compute()
    assert np.abs(np.corrcoef(y[:-1], y[1:])[0, 1]) < 0.03
    assert np.abs(y.reshape(20, -1).mean(axis=1) - 0.5).max() < 0.07


@pytest.mark.parametrize("n_targets", [1, 3])
def test_regression_gives_its_coefficients(n_targets):
    bias = np.arange(5.0, 5 + n_targets)
    X, y, coef = make_regression(4000, 12, 5, n_targets, bias=bias, noise=2.0, coef=True, random_state=1, chunks=1000)
    assert isinstance(coef, np.ndarray)
    assert (np.count_nonzero(np.atleast_2d(coef.T), axis=1) == 5).all()
    X, y = dask.compute(X, y)
    model = LinearRegression().fit(X, y)
    np.testing.assert_allclose(model.coef_, coef.T, atol=0.2)
    np.testing.assert_allclose(model.intercept_, bias if n_targets > 1 else bias[0], atol=0.2)
    assert (y - model.predict(X)).std() == pytest.approx(2.0, rel=0.1)
    assert y.shape == ((4000,) if n_targets == 1 else (4000, 3))


def test_unshuffled_regression_has_the_informative_features_first():
    *_, coef = make_regression(10, 6, 2, shuffle=False, coef=True, random_state=0)
    assert (coef != 0).tolist() == [True, True, False, False, False, False]


def test_low_rank_has_the_singular_values_of_scikit_learn():
    X, _ = make_regression(4000, 30, effective_rank=4, tail_strength=0.2, random_state=0)
    theirs, _ = sklearn.datasets.make_regression(4000, 30, effective_rank=4, tail_strength=0.2, random_state=0)
    np.testing.assert_allclose(
        np.linalg.svd(X.compute(), compute_uv=False), np.linalg.svd(theirs, compute_uv=False), rtol=0.15
    )


def test_blobs_have_scikit_learns_centers_and_sizes():
    options = {"n_samples": 1001, "n_features": 3, "centers": 4, "random_state": 7, "return_centers": True}
    X, y, centers = make_blobs(**options, cluster_std=[0.1, 0.2, 1.0, 2.0], chunks=300)
    _, expected_y, expected = sklearn.datasets.make_blobs(**options)
    np.testing.assert_array_equal(centers, expected)
    X, y = dask.compute(X, y)
    np.testing.assert_array_equal(np.bincount(y), np.bincount(expected_y))
    for blob, std in enumerate([0.1, 0.2, 1.0, 2.0]):
        np.testing.assert_allclose(X[y == blob].mean(axis=0), centers[blob], atol=0.3 * std)
        np.testing.assert_allclose(X[y == blob].std(axis=0), std, rtol=0.2)


def test_blobs_take_centers_and_sizes():
    given = np.array([[0.0, 0.0], [50.0, 50.0], [-50.0, 0.0]])
    X, y = dask.compute(*make_blobs([5, 0, 20], n_features=9, centers=given, shuffle=False, random_state=0))
    np.testing.assert_array_equal(y, [0] * 5 + [2] * 20)
    np.testing.assert_allclose(X[5:].mean(axis=0), given[2], atol=1)
    mixed = make_blobs([5, 0, 20], centers=given, random_state=0)[1].compute()
    assert np.bincount(mixed).tolist() == [5, 0, 20]
    assert (np.diff(mixed) < 0).any()
    assert make_blobs([1, 2, 3, 4], random_state=0)[0].shape == (10, 2)
    inside = make_blobs(10, 2, centers=50, center_box=(3, 4), return_centers=True)[2]
    assert ((inside >= 3) & (inside <= 4)).all()


def test_counts_are_poisson():
    X, y = dask.compute(*make_counts(20_000, 6, n_informative=3, random_state=0))
    assert y.dtype == np.int64
    model = PoissonRegressor(alpha=0, tol=1e-8).fit(X, y)
    strong = np.abs(model.coef_) > 0.04
    assert strong.sum() == 3
    assert ((model.coef_[strong] > -1.05) & (model.coef_[strong] < 0)).all()
    mean = model.predict(X)
    assert ((y - mean) ** 2 / mean).mean() == pytest.approx(1, abs=0.05)


def test_frames_follow_the_response_rate_and_the_dates():
    dates = datetime.date(2019, 1, 1), datetime.date(2019, 3, 2)
    X, y = make_classification_df(5000, 0.2, 1.0, random_state=0, chunks=1000, dates=dates, n_features=5)
    X, y = dask.compute(X, y)
    assert X.columns.tolist() == ["var0", "var1", "var2", "var3", "var4", "date"]
    assert y.name == "target"
    assert y.mean() == pytest.approx(0.2)
    days = (X["date"] - np.datetime64("2019-01-01")) / np.timedelta64(1, "D")
    assert stats.kstest(days / 60, "uniform").pvalue > 1e-3
    random = make_classification_df(5000, 0.2, 0.0, random_state=0)[1].compute()
    assert random.mean() == pytest.approx(0.5, abs=0.03)
    same = make_classification(5000, 5, weights=[0.8, 0.2], flip_y=0, random_state=0)
    np.testing.assert_array_equal(same[0].compute(), X.drop(columns="date"))


def test_ratings_are_of_low_rank_each_pair_once_and_long_tailed():
    frame, users, items = make_ratings(
        300, 200, 20_000, 4, noise=0.0, rating_range=None, random_state=0, chunks=3000, return_factors=True
    )
    ratings = frame.compute()
    np.testing.assert_allclose(ratings["rating"], (users @ items.T)[ratings["user"], ratings["item"]])
    assert users.shape == (300, 4)
    assert ratings["rating"].std() == pytest.approx(1, rel=0.2)
    assert not ratings.duplicated(["user", "item"]).any()
    popular = ratings["item"].value_counts()
    np.testing.assert_array_equal(popular, item_counts(300, 200, 20_000, 1.0))
    assert popular.iloc[:20].sum() > 0.25 * 20_000
    assert np.corrcoef(popular.index, popular)[0, 1] > -0.3  # the first items are not the popular ones
    each = np.bincount(ratings["user"], minlength=300)
    assert stats.kstest(each, stats.poisson(each.mean()).cdf).statistic < 0.15


def test_items_are_rated_by_users_of_their_own():
    ratings = make_ratings(500, 60, 6000, popularity=0.0, random_state=0).compute()
    seen = np.zeros((500, 60))
    seen[ratings["user"], ratings["item"]] = 1
    together = (seen.T @ seen)[np.triu_indices(60, 1)]
    assert together.mean() == pytest.approx(100 * 100 / 500, rel=0.02)
    assert together.var() == pytest.approx(20 * 0.8 * 400 / 499, rel=0.15)


def test_ratings_keep_their_range_and_their_noise():
    frame, users, items = make_ratings(
        200, 100, 10_000, noise=0.3, rating_range=(0, 10), random_state=0, return_factors=True
    )
    ratings = frame.compute()
    assert ratings["rating"].between(0, 10).all()
    expected = 5 + (users @ items.T)[ratings["user"], ratings["item"]]
    inside = (expected > 1.5) & (expected < 8.5)
    assert (ratings["rating"] - expected)[inside].std() == pytest.approx(0.3, rel=0.05)


@pytest.mark.parametrize("exponent", [0.0, 1.0, 4.0])
@pytest.mark.parametrize("n_ratings", [1, 7, 350, 699, 700])
def test_counts_of_items_add_up_to_any_number(n_ratings, exponent):
    counts = item_counts(n_users=20, n_items=35, n_ratings=n_ratings, exponent=exponent)
    assert counts.sum() == n_ratings
    assert counts.max() <= 20
    assert (np.diff(counts) <= 0).all()


def test_all_pairs_can_be_rated():
    ratings = make_ratings(7, 5, 35, random_state=0).compute()
    assert not ratings.duplicated(["user", "item"]).any()
    assert len(make_ratings(1, 1, 1).compute()) == 1

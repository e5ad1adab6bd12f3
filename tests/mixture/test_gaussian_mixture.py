"""Gaussian mixtures of every kind, from every start, on rows that are hard on digits."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import scipy.sparse as sp
import sklearn.mixture
import sklearn.model_selection
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from daskml_kit.exceptions import DataError
from daskml_kit.mixture import GaussianMixture
from daskml_kit.model_selection import GridSearchCV

rng = np.random.default_rng(0)
CENTERS = rng.normal(size=(3, 4)) * 4
X = CENTERS[rng.integers(0, 3, 300)] + rng.normal(size=(300, 4)) * [1, 2, 0.5, 1]
KINDS = ("full", "tied", "diag", "spherical")
FITTED = ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_", "lower_bound_")


@pytest.fixture(autouse=True)
def one_thread():
    """Keep scikit-learn's BLAS to one thread: several wait for each other for most of the time."""
    with threadpool_limits(1):
        yield


def lazy(rows):
    return da.from_array(rows, chunks=(110, rows.shape[1]))


def both(rows=X, **options):
    ours = GaussianMixture(**options).fit(lazy(rows))
    return ours, sklearn.mixture.GaussianMixture(**options).fit(rows)


def assert_same(ours, theirs, rtol=1e-6):
    assert ours.n_iter_ == theirs.n_iter_
    for name in FITTED:
        assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=rtol, atol=rtol, err_msg=name)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_from_clusters_of_small_data_is_scikit_learns(kind):
    ours, theirs = both(n_components=3, covariance_type=kind, random_state=0, tol=1e-5)
    assert_same(ours, theirs)
    assert ours.profile_.passes == ours.n_iter_ + 1
    for name in ("bic", "aic"):
        assert getattr(ours, name)(lazy(X)) == pytest.approx(getattr(theirs, name)(X))
        assert getattr(ours, name)(X) == pytest.approx(getattr(theirs, name)(X))
    again = sklearn.mixture.GaussianMixture(
        3, covariance_type=kind, precisions_init=ours.precisions_, means_init=X[:3], tol=0.1, random_state=0
    )
    assert_same(GaussianMixture(**again.get_params()).fit(lazy(X)), again.fit(X))


@pytest.mark.parametrize("start", ["k-means++", "random", "random_from_data"])
def test_starts_of_small_data_are_scikit_learns(start):
    assert_same(*both(n_components=2, init_params=start, random_state=1))


def test_several_starts_share_passes_and_the_best_is_kept():
    options = {"n_components": 2, "init_params": "random_from_data", "random_state": 3}
    ours, theirs = both(n_init=4, **options)
    one = GaussianMixture(**options).fit(lazy(X))
    assert ours.lower_bound_ == pytest.approx(theirs.lower_bound_, abs=1e-3)
    assert ours.lower_bound_ >= one.lower_bound_
    assert ours.profile_.passes < 2 * one.profile_.passes


@pytest.mark.parametrize("kind", KINDS)
def test_a_large_offset_and_a_constant_and_a_double_column_cost_no_digits(kind):
    hard = np.column_stack([X, X[:, 0], np.full(len(X), 3.0)])
    options = {"n_components": 3, "covariance_type": kind, "random_state": 0}
    near, far = (GaussianMixture(**options).fit(lazy(hard + offset)) for offset in (0.0, 1e6))
    assert far.n_iter_ == near.n_iter_
    assert_allclose(far.means_ - 1e6, near.means_, atol=1e-6)
    assert_allclose(far.weights_, near.weights_, rtol=1e-6)
    assert_allclose(far.covariances_, near.covariances_, atol=1e-6)
    theirs = sklearn.mixture.GaussianMixture(**options).fit(hard)
    assert_allclose(near.covariances_, theirs.covariances_, rtol=1e-6, atol=1e-6)


def test_a_warm_start_goes_on_where_the_last_fit_ended():
    options = {"n_components": 3, "warm_start": True, "max_iter": 2, "tol": 0.0, "init_params": "random"}
    ours, theirs = (
        GaussianMixture(random_state=0, **options),
        sklearn.mixture.GaussianMixture(random_state=0, **options),
    )
    for _ in range(2):
        with pytest.warns(ConvergenceWarning, match="did not converge"):
            ours.fit(lazy(X))
        with pytest.warns(ConvergenceWarning):
            theirs.fit(X)
        assert_same(ours, theirs)
    with pytest.raises(ValueError, match="warm_start: expected weights_ of shape"):
        ours.set_params(n_components=2).fit(X)


def test_no_iteration_keeps_the_start_and_reads_all_rows():
    start = {"weights_init": [0.5, 0.5], "means_init": X[:2], "precisions_init": np.stack([np.eye(4)] * 2)}
    model = GaussianMixture(2, max_iter=0, **start).fit(lazy(X))
    assert_allclose(model.means_, X[:2])
    assert_allclose(model.covariances_, np.stack([np.eye(4)] * 2))
    hollow = X.copy()
    hollow[200, 1] = np.nan
    with pytest.raises(DataError, match="Input X contains NaN in block 1, row 90 of the block, column 1"):
        GaussianMixture(2, max_iter=0, **start).fit(lazy(hollow))


def test_labels_and_samples_come_from_the_model():
    model = GaussianMixture(3, random_state=0)
    labels = model.fit_predict(lazy(X))
    assert isinstance(labels, da.Array)
    assert_array_equal(labels.compute(), model.to_sklearn().predict(X))
    rows, components = model.sample(20)
    assert rows.shape == (20, 4)
    assert components.shape == (20,)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"covariance_type": "round"}, "covariance_type: expected one of"),
        ({"init_params": "guess"}, "init_params: expected one of"),
        ({"n_components": 301}, "Expected n_samples >= n_components but got n_components = 301, n_samples = 300"),
        ({"n_components": 2, "weights_init": [0.5, 0.6]}, "weights_init: expected numbers from 0 to 1 that sum to 1"),
        ({"n_components": 2, "means_init": X[:3]}, r"means_init: expected the shape \(2, 4\), got \(3, 4\)"),
        ({"precisions_init": -np.eye(4)[None]}, "precisions_init: expected symmetric, positive definite matrices for"),
        ({"reg_covar": 0.0, "n_components": 2, "init_params": "k-means++"}, "ill-defined empirical covariance"),
        ({"tol": -1}, "tol: expected a finite number of at least 0, got -1"),
    ],
    ids=str,
)
def test_wrong_parameters_are_named(options, message):
    model = GaussianMixture(**options)
    with pytest.raises(ValueError, match=message):
        model.fit(lazy(X))
    assert not hasattr(model, "means_")


def test_sparse_rows_are_refused():
    with pytest.raises(DataError, match="X: expected a dense array, got a sparse one in block"):
        GaussianMixture(2).fit(lazy(X).map_blocks(sp.csr_array))


def test_starts_of_a_search_on_small_data_come_from_all_rows_of_a_fold():
    cv, grid = sklearn.model_selection.KFold(3), {"n_components": [2, 3, 5]}
    found = GridSearchCV(GaussianMixture(random_state=0, tol=0.01), grid, cv=cv).fit(lazy(X))
    expected = sklearn.model_selection.GridSearchCV(
        sklearn.mixture.GaussianMixture(random_state=0, tol=0.01), grid, cv=cv
    ).fit(X)
    assert found.plan_.alone == {}
    assert found.best_params_ == expected.best_params_
    assert_allclose(found.cv_results_["mean_test_score"][:2], expected.cv_results_["mean_test_score"][:2], rtol=0.01)

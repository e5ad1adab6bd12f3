"""Bayesian mixtures of every kind and prior, from equal starts."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import sklearn.mixture
from numpy.testing import assert_allclose
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from daskml_kit.mixture import BayesianGaussianMixture

rng = np.random.default_rng(0)
CENTERS = rng.normal(size=(3, 4)) * 4
X = CENTERS[rng.integers(0, 3, 300)] + rng.normal(size=(300, 4)) * [1, 2, 0.5, 1]
COVARIANCES = {"full": np.eye(4), "tied": np.eye(4), "diag": np.ones(4), "spherical": 2.0}
PROCESS, DISTRIBUTION = "dirichlet_process", "dirichlet_distribution"


@pytest.fixture(autouse=True)
def one_thread():
    """Keep scikit-learn's BLAS to one thread: several wait for each other for most of the time."""
    with threadpool_limits(1):
        yield


def lazy(rows):
    return da.from_array(rows, chunks=(110, 4))


def assert_same(ours, theirs):
    assert ours.n_iter_ == theirs.n_iter_
    for name in [name for name in vars(theirs) if name.endswith("_") and name != "n_features_in_"]:
        own, other = getattr(ours, name), getattr(theirs, name)
        other = np.ravel(other) if name.startswith("lower_bound") else other
        for a, b in zip(own, other, strict=True) if isinstance(own, tuple) else [(own, other)]:
            assert_allclose(a, b, rtol=1e-6, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("informed", [False, True], ids=["default", "informed"])
@pytest.mark.parametrize("prior", [PROCESS, DISTRIBUTION])
@pytest.mark.parametrize("kind", COVARIANCES)
def test_each_kind_and_prior_is_scikit_learns(kind, prior, informed):
    options = {"covariance_type": kind, "weight_concentration_prior_type": prior, "n_components": 5, "random_state": 0}
    if informed:
        options |= {"weight_concentration_prior": 10.0, "mean_precision_prior": 0.5, "mean_prior": np.ones(4)}
        options |= {"degrees_of_freedom_prior": 6.0, "covariance_prior": COVARIANCES[kind], "init_params": "random"}
    options |= {"max_iter": 15, "tol": 1e-12}
    with pytest.warns(ConvergenceWarning, match="did not converge"):
        ours = BayesianGaussianMixture(**options).fit(lazy(X))
    with pytest.warns(ConvergenceWarning):
        theirs = sklearn.mixture.BayesianGaussianMixture(**options).fit(X)
    assert_same(ours, theirs)
    assert_allclose(ours.predict_proba(lazy(X)).compute(), theirs.predict_proba(X), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("kind", COVARIANCES)
def test_a_large_offset_costs_no_digits(kind):
    options = {"covariance_type": kind, "n_components": 3, "random_state": 0, "tol": 0.1}
    near, far = (BayesianGaussianMixture(**options).fit(lazy(X + offset)) for offset in (0.0, 1e6))
    assert far.n_iter_ == near.n_iter_
    assert_allclose(far.means_ - 1e6, near.means_, atol=1e-6)
    assert_allclose(far.covariances_, near.covariances_, rtol=1e-6)


def test_a_warm_start_goes_on_where_the_last_fit_ended():
    options = {"n_components": 3, "warm_start": True, "max_iter": 2, "tol": 1e-12, "random_state": 0}
    ours, theirs = BayesianGaussianMixture(**options), sklearn.mixture.BayesianGaussianMixture(**options)
    for _ in range(2):
        for model, rows in ((ours, lazy(X)), (theirs, X)):
            with pytest.warns(ConvergenceWarning):
                model.fit(rows)
        assert_same(ours, theirs)
    with pytest.raises(ValueError, match="warm_start: expected the last fit to have the same"):
        ours.set_params(weight_concentration_prior_type=DISTRIBUTION).fit(X)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weight_concentration_prior_type": "beta"}, "weight_concentration_prior_type: expected one of"),
        ({"weight_concentration_prior": 0}, "weight_concentration_prior: expected a finite number above 0"),
        ({"degrees_of_freedom_prior": 3}, "degrees_of_freedom_prior: expected a finite number above 3, got 3"),
        ({"mean_prior": [0.0]}, r"mean_prior: expected the shape \(4,\), got \(1,\)"),
        ({"covariance_prior": -np.eye(4)}, "covariance_prior: expected symmetric, positive definite matrices"),
        ({"covariance_prior": -1.0, "covariance_type": "spherical"}, "covariance_prior: expected positive numbers"),
    ],
    ids=str,
)
def test_wrong_parameters_are_named(options, message):
    model = BayesianGaussianMixture(**options)
    with pytest.raises(ValueError, match=message):
        model.fit(lazy(X))
    assert not hasattr(model, "means_")

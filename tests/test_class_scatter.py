"""Discriminant analysis, covariances and centroids: their parameters, and columns that are hard on digits."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import scipy.sparse as sp
import sklearn.covariance
import sklearn.discriminant_analysis
import sklearn.neighbors
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.covariance import MinCovDet

from daskml_kit.covariance import OAS, EmpiricalCovariance, LedoitWolf, ShrunkCovariance
from daskml_kit.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from daskml_kit.exceptions import DataError
from daskml_kit.neighbors import NearestCentroid

rng = np.random.default_rng(0)
CODES = rng.integers(0, 3, 200)
Y = np.array(["ash", "birch", "cedar"])[CODES]
X = (rng.normal(size=(3, 4)) * 3)[CODES] + rng.normal(size=(200, 4)) @ rng.normal(size=(4, 4))
HARD = np.column_stack([X, X[:, 0], np.full(len(X), 3.1)])
"""A column twice, and one of a number that binary fractions do not have."""


def lazy(rows):
    return da.from_array(rows, chunks=(90, rows.shape[1]))


def compare(kind, theirs, options, names, rows=X, labels=Y):
    ours, expected = kind(**options).fit(lazy(rows), labels), theirs(**options).fit(rows, labels)
    for name in names:
        assert_allclose(getattr(ours, name), getattr(expected, name), rtol=1e-6, atol=1e-9, err_msg=name)
    return ours, expected


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"store_covariance": True, "priors": [0.2, 0.3, 0.5], "n_components": 1}, ("covariance_", "xbar_")),
        ({"solver": "lsqr"}, ("covariance_",)),
        ({"solver": "lsqr", "shrinkage": 0.3, "priors": [0.2, 0.3, 0.5]}, ("covariance_",)),
        ({"solver": "lsqr", "shrinkage": "auto"}, ("covariance_",)),
        ({"solver": "eigen", "shrinkage": 0.2}, ("covariance_", "explained_variance_ratio_")),
    ],
    ids=str,
)
def test_every_solver_of_linear_discriminants(options, names):
    theirs = sklearn.discriminant_analysis.LinearDiscriminantAnalysis
    for labels in (Y, Y == "ash"):
        if labels.dtype == bool:
            options = {name: value for name, value in options.items() if name != "priors"}
        ours, expected = compare(
            LinearDiscriminantAnalysis, theirs, options, ("coef_", "intercept_", *names), labels=labels
        )
        assert_allclose(ours.predict_proba(lazy(X)).compute(), expected.predict_proba(X), rtol=1e-6, atol=1e-9)
        if ours.solver != "lsqr":
            assert_allclose(np.abs(ours.transform(lazy(X)).compute()), np.abs(expected.transform(X)), atol=1e-6)
            assert list(ours.get_feature_names_out()) == list(expected.get_feature_names_out())
        assert ours.profile_.passes == (2 if ours.shrinkage == "auto" else 1)


def test_double_and_constant_columns_and_a_large_offset_change_no_discriminants():
    plain = sklearn.discriminant_analysis.LinearDiscriminantAnalysis().fit(X, Y)
    for offset in (0.0, 1e6):
        model = LinearDiscriminantAnalysis().fit(lazy(HARD + offset), Y)
        assert_allclose(model.decision_function(HARD + offset), plain.decision_function(X), rtol=1e-5, atol=1e-5)
    with pytest.raises(np.linalg.LinAlgError, match="class ash is not full rank"):
        QuadraticDiscriminantAnalysis().fit(lazy(HARD), Y)
    near, far = (
        QuadraticDiscriminantAnalysis(reg_param=0.1).fit(lazy(HARD + offset), Y).predict_proba(HARD + offset)
        for offset in (0.0, 1e6)
    )
    assert_allclose(far, near, atol=1e-6)


def test_priors_that_do_not_sum_to_one_are_normalized_with_a_warning():
    for kind in (LinearDiscriminantAnalysis, NearestCentroid):
        with pytest.warns(UserWarning, match="The priors do not sum to 1"):
            model = kind(priors=[1, 1, 2]).fit(lazy(X), Y)
        assert_allclose(getattr(model, "priors_", getattr(model, "class_prior_", None)), [0.25, 0.25, 0.5])


@pytest.mark.parametrize(
    ("kind", "theirs"),
    [
        (own, getattr(sklearn.covariance, own.__name__))
        for own in (OAS, EmpiricalCovariance, LedoitWolf, ShrunkCovariance)
    ],
)
def test_covariances_about_zero_and_of_hard_columns(kind, theirs):
    compare(kind, theirs, {"assume_centered": True}, ("covariance_", "location_", "precision_"))
    near, far = (kind(store_precision=False).fit(lazy(HARD + offset)) for offset in (0.0, 1e6))
    assert near.precision_ is None
    assert_allclose(far.covariance_, near.covariance_, atol=1e-8)
    assert_allclose(near.covariance_, theirs().fit(HARD).covariance_, rtol=1e-6, atol=1e-12)
    assert near.mahalanobis(lazy(HARD)).shape == (200,)
    compare(kind, theirs, {}, ("covariance_", "precision_"), rows=X[:, :1])


def test_centroids_of_hard_columns_warn_as_scikit_learn_does():
    with pytest.warns(UserWarning, match="at least 1 zero standard deviation"):
        model = NearestCentroid(shrink_threshold=0.5).fit(lazy(HARD), Y)
    assert model.within_class_std_dev_[-1] == 0
    with pytest.warns(UserWarning, match="at least 1 zero standard deviation"):
        expected = sklearn.neighbors.NearestCentroid(shrink_threshold=0.5).fit(
            np.hstack([HARD[:, :-1], HARD[:, -1:] * 0]), Y
        )
    assert_allclose(model.centroids_[:, :-1], expected.centroids_[:, :-1])
    with pytest.raises(ValueError, match="All features have zero variance"):
        NearestCentroid().fit(lazy(HARD[:, -1:]), Y)


def test_medians_of_many_distinct_values_are_exact():
    rows, labels = rng.normal(size=(30_000, 1)), rng.integers(0, 2, 30_000)
    model = NearestCentroid("manhattan").fit(da.from_array(rows, chunks=(9_000, 1)), labels)
    assert_array_equal(model.centroids_, [np.median(rows[labels == code], axis=0) for code in (0, 1)])
    assert model.profile_.passes <= 4


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (LinearDiscriminantAnalysis("qr"), "solver: expected one of"),
        (LinearDiscriminantAnalysis(n_components=3), "n_components cannot be larger than min"),
        (LinearDiscriminantAnalysis(priors=[0.5, 0.5]), "priors: expected 3 numbers, one a class, got 2"),
        (LinearDiscriminantAnalysis("eigen", shrinkage=1.5), "shrinkage: expected a number from 0 to 1"),
        (LinearDiscriminantAnalysis("eigen", shrinkage="some"), "shrinkage: expected one of"),
        (
            LinearDiscriminantAnalysis("lsqr", covariance_estimator=MinCovDet()),
            r"covariance_estimator: expected one .*\(EmpiricalCovariance, ShrunkCovariance, LedoitWolf, OAS\)",
        ),
        (LinearDiscriminantAnalysis(covariance_estimator=OAS()), "not supported with solver='svd'"),
        (LinearDiscriminantAnalysis("eigen", 0.5, covariance_estimator=OAS()), "shrinkage: expected None with a"),
        (
            LinearDiscriminantAnalysis("eigen", covariance_estimator=ShrunkCovariance(shrinkage=2)),
            "shrinkage: expected a number from 0 to 1",
        ),
        (QuadraticDiscriminantAnalysis(solver="eigen", reg_param=0.5), "reg_param: expected 0 with solver='eigen'"),
        (QuadraticDiscriminantAnalysis(tol=1e9), "is not full rank"),
        (NearestCentroid("cosine"), "metric: expected one of"),
        (NearestCentroid(shrink_threshold=0), "shrink_threshold: expected a finite number above 0, got 0"),
        (NearestCentroid(priors=[-1, 1, 1]), "priors: expected finite numbers of at least 0"),
        (ShrunkCovariance(shrinkage=2), "shrinkage: expected a number from 0 to 1"),
        (LedoitWolf(block_size=0), "block_size: expected an integer of at least 1"),
    ],
    ids=str,
)
def test_wrong_parameters_are_named(model, message):
    with pytest.raises(ValueError, match=message):
        model.fit(lazy(X), Y)
    assert not [name for name in vars(model) if name.endswith("_")]


@pytest.mark.parametrize(
    "estimator",
    [
        EmpiricalCovariance(),
        ShrunkCovariance(shrinkage=0.3),
        LedoitWolf(),
        LedoitWolf(assume_centered=True),
        OAS(),
    ],
    ids=str,
)
def test_covariance_estimators_of_classes(estimator):
    twin = estimator.to_sklearn()
    for ours, attributes in (
        (LinearDiscriminantAnalysis("lsqr"), ("coef_", "intercept_", "covariance_")),
        (LinearDiscriminantAnalysis("eigen"), ("coef_", "intercept_", "covariance_", "explained_variance_ratio_")),
        (QuadraticDiscriminantAnalysis(solver="eigen", store_covariance=True), ("covariance_", "scalings_")),
    ):
        for given in (estimator, twin):
            model = clone(ours).set_params(covariance_estimator=given).fit(lazy(X), Y)
            expected = ours.to_sklearn().set_params(covariance_estimator=clone(twin)).fit(X, Y)
            for name in attributes:
                assert_allclose(getattr(model, name), getattr(expected, name), rtol=1e-6, atol=1e-9)
            assert model.profile_.passes == 1 + isinstance(estimator, LedoitWolf)
        assert_array_equal(model.to_sklearn().predict(X), expected.predict(X))
        assert type(model.to_sklearn().covariance_estimator) is type(twin)


def test_what_one_pass_cannot_do_is_refused():
    with pytest.raises(NotImplementedError, match="shrinkage not supported with 'svd' solver"):
        LinearDiscriminantAnalysis(shrinkage="auto").fit(X, Y)
    csr = lazy(X).map_blocks(sp.csr_array)
    for model in (LinearDiscriminantAnalysis(), LedoitWolf()):
        with pytest.raises(DataError, match="X: expected a dense array, got a sparse one"):
            model.fit(csr, Y)
    with pytest.raises(ValueError, match="has to be greater than one"):
        QuadraticDiscriminantAnalysis().fit(lazy(X), np.zeros(200, int))
    few = np.append(Y[:10], "yew")
    with pytest.raises(ValueError, match="y has only 1 sample in class yew"):
        QuadraticDiscriminantAnalysis().fit(X[:11], few)
    with pytest.raises(np.linalg.LinAlgError, match="class yew has 2 samples and 4 features"):
        QuadraticDiscriminantAnalysis(reg_param=0.5).fit(X[:22], np.append(np.repeat(["ash", "fir"], 10), ["yew"] * 2))

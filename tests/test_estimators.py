"""The shared table of estimators: a row each, and what every row is put through."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, field
from typing import Any

import dask
import dask.array as da
import dask.bag as db
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import sklearn.cluster
import sklearn.covariance
import sklearn.decomposition
import sklearn.discriminant_analysis
import sklearn.impute
import sklearn.kernel_approximation
import sklearn.linear_model
import sklearn.mixture
import sklearn.model_selection
import sklearn.naive_bayes
import sklearn.neighbors
import sklearn.preprocessing
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks
from threadpoolctl import threadpool_limits

from daskml_kit.cluster import BisectingKMeans, KMeans, MiniBatchKMeans
from daskml_kit.covariance import OAS, EmpiricalCovariance, LedoitWolf, ShrunkCovariance
from daskml_kit.decomposition import NMF, PCA, IncrementalPCA, TruncatedSVD
from daskml_kit.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from daskml_kit.engines import open as opening
from daskml_kit.engines.engine import watching
from daskml_kit.exceptions import DataError
from daskml_kit.feature_extraction.text import TfidfVectorizer
from daskml_kit.feature_selection import RFECV
from daskml_kit.impute import IterativeImputer
from daskml_kit.kernel_approximation import Nystroem, RBFSampler
from daskml_kit.linear_model import Ridge, RidgeClassifier
from daskml_kit.mixture import BayesianGaussianMixture, GaussianMixture
from daskml_kit.model_selection import GridSearchCV
from daskml_kit.naive_bayes import BernoulliNB, CategoricalNB, ComplementNB, GaussianNB, MultinomialNB
from daskml_kit.neighbors import NearestCentroid
from daskml_kit.preprocessing import (
    MaxAbsScaler,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)
from daskml_kit.reductions import nearest, row_factors
from daskml_kit.solvers import alternating_updates, subspace

N_ROWS, WIDTH = 300, 4
rng = np.random.default_rng(0)
CENTERS = rng.normal(size=(3, WIDTH)) * 4
CODES = rng.integers(0, 3, N_ROWS)
X = CENTERS[CODES] + rng.normal(size=(N_ROWS, WIDTH)) * [1, 2, 0.5, 1] + 10
LABELS = np.array(["ash", "birch", "cedar"])[CODES]
WEIGHT = rng.integers(1, 4, N_ROWS).astype(float)


@dataclass
class Row:
    """An estimator of ours and scikit-learn's, and the grid that a search goes over."""

    ours: Any
    theirs: Any
    attributes: tuple[str, ...]
    grid: dict[str, list[Any]]
    labeled: bool = False
    weighted: bool = True
    sparse: bool = True
    rows: Any = field(default_factory=lambda: X)
    final: bool = True
    """Whether it has a score, so that a search may be over it alone."""
    passes: int = 20
    """Passes of a search, at most."""
    scaled: bool = True
    """Whether it takes rows that a scaler has made."""
    expected_failures: dict[str, str] = field(default_factory=dict)


COVARIANCE = ("location_", "covariance_", "precision_")
COUNTS = np.floor(np.abs(X) / 3)
GAPS = np.where(np.random.default_rng(1).random(X.shape) < [0, 0.1, 0.2, 0.2], np.nan, X)
MIXTURE = {
    "n_components": 3,
    "tol": 0.05,
    "weights_init": [0.2, 0.3, 0.5],
    "means_init": CENTERS + 10,
    "precisions_init": np.stack([np.eye(WIDTH)] * 3),
}
WEIGHTS = [f"check_sample_weight_equivalence_on_{kind}_data" for kind in ("dense", "sparse")]
TABLE = {
    "KMeans": Row(
        KMeans(3, init=X[:3], tol=1e-6),
        sklearn.cluster.KMeans(3, init=X[:3], n_init=1, tol=1e-6),
        ("cluster_centers_", "inertia_", "n_iter_"),
        {"max_iter": [1, 5]},
        expected_failures=dict.fromkeys(WEIGHTS, "the first centers are drawn from the rows, as scikit-learn's are"),
    ),
    "GaussianMixture": Row(
        GaussianMixture(**MIXTURE),
        sklearn.mixture.GaussianMixture(**MIXTURE),
        ("weights_", "means_", "covariances_", "precisions_", "lower_bound_", "n_iter_", "converged_"),
        {"reg_covar": [1e-6, 0.1]},
        weighted=False,
        sparse=False,
    ),
    "IterativeImputer": Row(
        IterativeImputer(tol=0.1),
        sklearn.impute.IterativeImputer(tol=0.1),
        ("n_iter_", "n_features_with_missing_"),
        {},
        weighted=False,
        sparse=False,
        final=False,
        rows=GAPS,
        scaled=False,
    ),
    "NMF": Row(
        NMF(2, tol=0),
        sklearn.decomposition.NMF(2, tol=0),
        ("components_", "reconstruction_err_", "n_iter_"),
        {},
        weighted=False,
        final=False,
        rows=np.abs(X),
        scaled=False,
    ),
    "NMF, multiplicative": Row(
        NMF(2, solver="mu", beta_loss=1.5, alpha_W=0.01, l1_ratio=0.3, tol=0),
        sklearn.decomposition.NMF(2, solver="mu", beta_loss=1.5, alpha_W=0.01, l1_ratio=0.3, tol=0),
        ("components_", "reconstruction_err_", "n_iter_"),
        {},
        weighted=False,
        final=False,
        rows=COUNTS,
        scaled=False,
    ),
    "BayesianGaussianMixture": Row(
        BayesianGaussianMixture(n_components=3, random_state=0, tol=50.0),
        sklearn.mixture.BayesianGaussianMixture(n_components=3, random_state=0, tol=50.0),
        ("weights_", "means_", "covariances_", "lower_bound_", "mean_precision_", "degrees_of_freedom_"),
        {"mean_precision_prior": [1.0, 300.0]},
        weighted=False,
        sparse=False,
    ),
    "MiniBatchKMeans": Row(
        MiniBatchKMeans(3, n_init=2, max_iter=5, random_state=0),
        sklearn.cluster.MiniBatchKMeans(3, n_init=2, max_iter=5, random_state=0),
        ("cluster_centers_", "inertia_", "n_iter_", "n_steps_"),
        {"max_iter": [1, 5]},
        expected_failures=dict.fromkeys(WEIGHTS, "batches are drawn from the rows, as scikit-learn's are"),
    ),
    "BisectingKMeans": Row(
        BisectingKMeans(3, random_state=0),
        sklearn.cluster.BisectingKMeans(3, random_state=0),
        ("cluster_centers_", "inertia_"),
        {"n_clusters": [2, 4]},
        passes=80,
        expected_failures=dict.fromkeys(WEIGHTS, "the first centers are drawn from the rows, as scikit-learn's are"),
    ),
    "PCA": Row(
        PCA(2),
        sklearn.decomposition.PCA(2),
        ("components_", "explained_variance_", "explained_variance_ratio_", "mean_", "noise_variance_"),
        {"n_components": [1, 3]},
        weighted=False,
    ),
    "PCA, whitened": Row(
        PCA(0.9, whiten=True),
        sklearn.decomposition.PCA(0.9, whiten=True),
        ("components_", "singular_values_", "n_components_"),
        {"whiten": [True, False]},
        weighted=False,
    ),
    "IncrementalPCA": Row(
        IncrementalPCA(2, batch_size=90),
        sklearn.decomposition.IncrementalPCA(2, batch_size=90),
        ("components_", "explained_variance_", "explained_variance_ratio_", "mean_", "var_", "noise_variance_"),
        {},
        weighted=False,
        final=False,
    ),
    "TruncatedSVD": Row(
        TruncatedSVD(2),
        sklearn.decomposition.TruncatedSVD(2, algorithm="arpack"),
        ("components_", "singular_values_", "explained_variance_", "explained_variance_ratio_"),
        {"n_components": [1, 3]},
        weighted=False,
        final=False,
    ),
    "RBFSampler": Row(
        RBFSampler(gamma="scale", n_components=6, random_state=0),
        sklearn.kernel_approximation.RBFSampler(gamma="scale", n_components=6, random_state=0),
        ("random_weights_", "random_offset_"),
        {},
        weighted=False,
        final=False,
    ),
    "Nystroem": Row(
        Nystroem(gamma=0.01, n_components=6, random_state=0),
        sklearn.kernel_approximation.Nystroem(gamma=0.01, n_components=6, random_state=0),
        ("component_indices_", "normalization_"),
        {},
        weighted=False,
        final=False,
    ),
    "Nystroem, polynomial": Row(
        Nystroem("poly", gamma=0.01, coef0=1.0, degree=2, n_components=3, random_state=1),
        sklearn.kernel_approximation.Nystroem("poly", gamma=0.01, coef0=1.0, degree=2, n_components=3, random_state=1),
        ("component_indices_", "normalization_"),
        {},
        weighted=False,
        final=False,
    ),
    "GaussianNB": Row(
        GaussianNB(),
        sklearn.naive_bayes.GaussianNB(),
        ("theta_", "var_", "class_prior_", "class_count_", "epsilon_"),
        {"var_smoothing": [1e-9, 0.1]},
        labeled=True,
        sparse=False,
    ),
    "MultinomialNB": Row(
        MultinomialNB(alpha=0.5),
        sklearn.naive_bayes.MultinomialNB(alpha=0.5),
        ("feature_count_", "feature_log_prob_", "class_log_prior_"),
        {"alpha": [0.1, 10.0]},
        labeled=True,
        rows=COUNTS,
        scaled=False,
    ),
    "ComplementNB": Row(
        ComplementNB(norm=True),
        sklearn.naive_bayes.ComplementNB(norm=True),
        ("feature_all_", "feature_log_prob_", "class_count_"),
        {"norm": [True, False]},
        labeled=True,
        rows=COUNTS,
        scaled=False,
    ),
    "BernoulliNB": Row(
        BernoulliNB(binarize=2.0, fit_prior=False),
        sklearn.naive_bayes.BernoulliNB(binarize=2.0, fit_prior=False),
        ("feature_count_", "feature_log_prob_", "class_log_prior_"),
        {"binarize": [0.5, 2.0]},
        labeled=True,
    ),
    "CategoricalNB": Row(
        CategoricalNB(min_categories=30),
        sklearn.naive_bayes.CategoricalNB(min_categories=30),
        ("class_count_", "class_log_prior_", "n_categories_"),
        {"alpha": [0.1, 10.0]},
        labeled=True,
        sparse=False,
        rows=COUNTS,
        scaled=False,
    ),
    "LinearDiscriminantAnalysis": Row(
        LinearDiscriminantAnalysis(),
        sklearn.discriminant_analysis.LinearDiscriminantAnalysis(),
        ("coef_", "intercept_", "means_", "priors_", "xbar_", "explained_variance_ratio_"),
        {"priors": [None, [0.6, 0.3, 0.1]]},
        labeled=True,
        weighted=False,
        sparse=False,
    ),
    "LinearDiscriminantAnalysis, shrunk": Row(
        LinearDiscriminantAnalysis("eigen", shrinkage="auto"),
        sklearn.discriminant_analysis.LinearDiscriminantAnalysis("eigen", shrinkage="auto"),
        ("coef_", "intercept_", "covariance_", "explained_variance_ratio_"),
        {"shrinkage": ["auto", 0.9]},
        labeled=True,
        weighted=False,
        sparse=False,
    ),
    "QuadraticDiscriminantAnalysis": Row(
        QuadraticDiscriminantAnalysis(reg_param=0.1),
        sklearn.discriminant_analysis.QuadraticDiscriminantAnalysis(reg_param=0.1),
        ("means_", "priors_", "scalings_"),
        {"reg_param": [0.1, 1.0]},
        labeled=True,
        weighted=False,
        sparse=False,
    ),
    "QuadraticDiscriminantAnalysis, shrunk": Row(
        QuadraticDiscriminantAnalysis(solver="eigen", shrinkage="auto", store_covariance=True),
        sklearn.discriminant_analysis.QuadraticDiscriminantAnalysis(
            solver="eigen", shrinkage="auto", store_covariance=True
        ),
        ("covariance_", "scalings_"),
        {"shrinkage": ["auto", 0.9]},
        labeled=True,
        weighted=False,
        sparse=False,
    ),
    "NearestCentroid": Row(
        NearestCentroid(shrink_threshold=0.5, priors="empirical"),
        sklearn.neighbors.NearestCentroid(shrink_threshold=0.5, priors="empirical"),
        ("centroids_", "deviations_", "within_class_std_dev_", "class_prior_"),
        {"shrink_threshold": [0.5, 9.0]},
        labeled=True,
        weighted=False,
    ),
    "NearestCentroid, medians": Row(
        NearestCentroid("manhattan"),
        sklearn.neighbors.NearestCentroid("manhattan"),
        ("centroids_", "deviations_", "within_class_std_dev_"),
        {"metric": ["manhattan", "euclidean"]},
        labeled=True,
        weighted=False,
    ),
    **{
        type(ours).__name__: Row(ours, theirs, (*COVARIANCE, *learned), grid, weighted=False, sparse=False)
        for ours, theirs, learned, grid in (
            (
                EmpiricalCovariance(),
                sklearn.covariance.EmpiricalCovariance(),
                (),
                {"store_precision": [True, False]},
            ),
            (ShrunkCovariance(), sklearn.covariance.ShrunkCovariance(), (), {"shrinkage": [0.01, 0.9]}),
            (LedoitWolf(), sklearn.covariance.LedoitWolf(), ("shrinkage_",), {"store_precision": [True, False]}),
            (OAS(), sklearn.covariance.OAS(), ("shrinkage_",), {"store_precision": [True, False]}),
        )
    },
    "RidgeClassifier": Row(
        RidgeClassifier(class_weight="balanced"),
        sklearn.linear_model.RidgeClassifier(class_weight="balanced"),
        ("coef_", "intercept_"),
        {"alpha": [0.1, 100.0]},
        labeled=True,
        expected_failures={
            **dict.fromkeys(WEIGHTS, "balanced weights count rows, not their weights, as in scikit-learn"),
            "check_non_transformer_estimators_n_iter": "none where the solution is direct, as in scikit-learn",
        },
    ),
}
OF_ANY_ROWS = {"KMeans": KMeans(3, n_init=2), "GaussianMixture": GaussianMixture(2, n_init=2)}
"""Estimators of the table without a start that is made for its rows."""
ROWS = pytest.mark.parametrize("row", TABLE.values(), ids=TABLE)


def blocks(values, sizes=(70, 0, 130, 100)):
    return da.concatenate([da.from_array(part, chunks=part.shape) for part in np.split(values, np.cumsum(sizes)[:-1])])


LAYOUTS = {
    "NumPy": (lambda X: X, lambda: LABELS),
    "uneven blocks": (blocks, lambda: blocks(LABELS)),
    "other blocks": (lambda X: da.from_array(X, chunks=(64, 3)), lambda: LABELS),
    "unknown sizes": (lambda X: blocks(X)[blocks(X)[:, 0] > -99], lambda: blocks(LABELS)[blocks(X)[:, 0] > -99]),
    "frame": (
        lambda X: dd.from_pandas(pd.DataFrame(X, columns=list("abcd")), npartitions=3),
        lambda: dd.from_pandas(pd.Series(LABELS), npartitions=3),
    ),
}


def fit(model, row, data, labels, weight=None):
    targets = (labels,) if row.labeled else ()
    return model.fit(data, *targets) if weight is None else model.fit(data, *targets, sample_weight=weight)


def assert_same(model, expected, row, rtol=1e-6):
    for name in row.attributes:
        assert_allclose(getattr(model, name), getattr(expected, name), rtol=rtol, atol=rtol, err_msg=name)


def computed(value):
    value = value.compute() if hasattr(value, "compute") else value
    return np.asarray(value.toarray() if sp.issparse(value) else value)


def assert_same_results(model, expected, data, plain):
    for method in ("predict", "predict_proba", "decision_function", "transform", "score_samples"):
        if hasattr(expected, method):
            ours, theirs = computed(getattr(model, method)(data)), getattr(expected, method)(plain)
            if theirs.dtype.kind in "US":
                assert_array_equal(ours, theirs)
            else:
                assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6, err_msg=method)
        else:
            assert not hasattr(model, method)


@pytest.mark.parametrize("layout", LAYOUTS)
@ROWS
def test_agreement_on_every_layout(row, layout):
    X, (make, make_labels) = row.rows, LAYOUTS[layout]
    data, labels = make(X), make_labels()
    model, expected = fit(clone(row.ours), row, data, labels), fit(clone(row.theirs), row, X, LABELS)
    assert_same(model, expected, row)
    assert_same_results(model, expected, data, X)
    if row.final:
        assert model.score(data, labels) == pytest.approx(expected.score(X, LABELS), rel=1e-6)
    assert type(model.to_sklearn()) is type(expected)
    assert not [name for name, value in vars(model.to_sklearn()).items() if type(value).__module__.startswith("dask")]


@ROWS
def test_weights_single_precision_and_sparse_blocks(row):
    X = row.rows
    if row.weighted:
        expected = fit(clone(row.theirs), row, X, LABELS, WEIGHT)
        assert_same(fit(clone(row.ours), row, blocks(X), blocks(LABELS), blocks(WEIGHT)), expected, row)
    expected = fit(clone(row.theirs), row, X, LABELS)
    single = fit(clone(row.ours), row, blocks(X.astype(np.float32)), LABELS)
    assert_same(single, expected, row, rtol=1e-3)
    if row.sparse:
        csr = blocks(X).map_blocks(sp.csr_array, meta=sp.csr_array((0, 0)))
        assert_same(fit(clone(row.ours), row, csr, LABELS), expected, row)


@pytest.mark.parametrize("scaled", [False, True], ids=["bare", "behind a scaler"])
@ROWS
def test_fused_searches_are_scikit_learns(row, scaled):
    X = row.rows
    if (scaled and not row.scaled) or not row.final:
        return
    model, theirs, grid = clone(row.ours), clone(row.theirs), row.grid
    for name in {"init", "means_init"} & set(model.get_params()):  # of the rows as a scaler leaves them, too
        if not isinstance(model.get_params()[name], str):
            model.set_params(**{name: np.eye(3, WIDTH)}), theirs.set_params(**{name: np.eye(3, WIDTH)})
    if scaled:
        name = type(model).__name__.lower()
        model, theirs = (
            make_pipeline(StandardScaler(), model),
            make_pipeline(sklearn.preprocessing.StandardScaler(), theirs),
        )
        grid = {f"{name}__{parameter}": values for parameter, values in grid.items()}
    targets = (LABELS,) if row.labeled else ()
    cv = sklearn.model_selection.KFold(3)
    passes = []
    with watching(lambda profile: passes.append(profile.passes)):
        found = GridSearchCV(model, grid, cv=cv).fit(blocks(X), *targets)
    with threadpool_limits(1):  # threads of BLAS wait for each other for most of the time
        expected = sklearn.model_selection.GridSearchCV(theirs, grid, cv=cv).fit(X, *targets)
    assert found.plan_.alone == {}
    assert max(passes) <= row.passes
    for split in range(3):
        name = f"split{split}_test_score"
        assert_allclose(found.cv_results_[name], expected.cv_results_[name], rtol=1e-6)
    assert found.best_params_ == expected.best_params_


@ROWS
def test_weights_in_a_search_are_refused_by_an_estimator_without_weights(row):
    if not row.final or row.weighted:
        return
    with pytest.raises(ValueError, match="got an unexpected keyword argument 'sample_weight'"):
        GridSearchCV(row.ours, row.grid, cv=2).fit(blocks(row.rows), LABELS, sample_weight=WEIGHT)


@pytest.mark.parametrize("name", ["PCA", "LinearDiscriminantAnalysis", "LinearDiscriminantAnalysis, shrunk"])
def test_components_before_a_model_are_fused_too(name):
    ours, theirs = clone(TABLE[name].ours), clone(TABLE[name].theirs)
    model = make_pipeline(StandardScaler(), ours, RidgeClassifier())
    theirs = make_pipeline(sklearn.preprocessing.StandardScaler(), theirs, sklearn.linear_model.RidgeClassifier())
    grid = {f"{type(ours).__name__.lower()}__n_components": [1, 2], "ridgeclassifier__alpha": [0.1, 10.0]}
    cv = sklearn.model_selection.KFold(3)
    found = GridSearchCV(model, grid, cv=cv).fit(blocks(X), LABELS)
    expected = sklearn.model_selection.GridSearchCV(theirs, grid, cv=cv).fit(X, LABELS)
    assert found.plan_.alone == {}
    assert_allclose(found.cv_results_["mean_test_score"], expected.cv_results_["mean_test_score"], rtol=1e-6)
    assert_array_equal(found.predict(blocks(X)).compute(), expected.predict(X))


@pytest.mark.parametrize("offset", [0.0, 1e8])
@pytest.mark.parametrize("name", ["IncrementalPCA", "NMF", "NMF, multiplicative", "RBFSampler", "Nystroem"])
def test_constant_equal_and_shifted_columns(name, offset):
    row = TABLE[name]
    rows = np.c_[np.full(N_ROWS, 3.0), row.rows[:, 0], row.rows[:, 0], row.rows[:, 1] + offset]
    model, expected = clone(row.ours).fit(blocks(rows)), clone(row.theirs).fit(rows)
    for attribute in row.attributes:
        assert_allclose(getattr(model, attribute), getattr(expected, attribute), rtol=1e-6, atol=1e-6)
    assert_allclose(computed(model.transform(blocks(rows))), expected.transform(rows), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("sampler", [RBFSampler, Nystroem])
def test_kernels_before_a_linear_model(sampler):
    options = {"gamma": 0.05, "n_components": 20, "random_state": 0}
    theirs = make_pipeline(
        getattr(sklearn.kernel_approximation, sampler.__name__)(**options), sklearn.linear_model.RidgeClassifier()
    )
    model = make_pipeline(sampler(**options), RidgeClassifier())
    assert_array_equal(model.fit(blocks(X), LABELS).predict(blocks(X)).compute(), theirs.fit(X, LABELS).predict(X))
    grid = {"ridgeclassifier__alpha": [1e-3, 10.0], f"{sampler.__name__.lower()}__gamma": [1e-4, 0.05]}
    cv = sklearn.model_selection.KFold(3)
    found = GridSearchCV(model, grid, cv=cv).fit(blocks(X), LABELS)
    expected = sklearn.model_selection.GridSearchCV(theirs, grid, cv=cv).fit(X, LABELS)
    assert_allclose(found.cv_results_["mean_test_score"], expected.cv_results_["mean_test_score"], rtol=1e-6)


def test_random_features_read_no_data():
    nowhere = da.from_delayed(dask.delayed(pytest.fail)("read"), (N_ROWS, WIDTH), dtype=float)
    model = RBFSampler(gamma=0.1, n_components=5, random_state=0).fit(nowhere)
    expected = sklearn.kernel_approximation.RBFSampler(gamma=0.1, n_components=5, random_state=0).fit(X)
    assert_array_equal(model.random_weights_, expected.random_weights_)


@pytest.mark.filterwarnings("ignore:divide by zero encountered in log")
@parametrize_with_checks(
    [OF_ANY_ROWS.get(name, row.ours) for name, row in TABLE.items() if "," not in name],
    expected_failed_checks=lambda estimator: TABLE[type(estimator).__name__].expected_failures,
)
def test_scikit_learns_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_components_of_many_features_need_no_matrix_of_them(kind, monkeypatch):
    monkeypatch.setattr(subspace, "MANY_FEATURES", 50)
    draw = np.random.default_rng(0)
    wide = sp.random_array((400, 90), density=0.2, rng=draw).toarray() * np.linspace(3, 0.5, 90)
    data = blocks(wide, (150, 0, 250)) if kind == "dense" else blocks(wide).map_blocks(sp.csr_array)
    for ours, theirs, offset in (
        (PCA(4), sklearn.decomposition.PCA(4), 1000.0 if kind == "dense" else 0.0),
        (TruncatedSVD(4), sklearn.decomposition.TruncatedSVD(4, algorithm="arpack"), 0.0),
    ):
        model, expected = ours.fit(data + offset if offset else data), theirs.fit(wide + offset)
        assert 2 < model.profile_.passes < 40
        for name in ("components_", "singular_values_", "explained_variance_ratio_"):
            assert_allclose(getattr(model, name), getattr(expected, name), rtol=1e-6, atol=1e-6, err_msg=name)
        if isinstance(ours, PCA):
            assert model.noise_variance_ == pytest.approx(expected.noise_variance_)


def test_small_singular_values_by_a_qr_decomposition():
    scales = np.logspace(0, -10, WIDTH)
    rows = np.linalg.qr(rng.normal(size=(N_ROWS, WIDTH)))[0] * scales
    model = TruncatedSVD(WIDTH, algorithm="tsqr").fit(blocks(rows))
    assert_allclose(model.singular_values_, scales, rtol=1e-5)
    with pytest.raises(DataError, match="expected dense rows for a QR decomposition"):
        TruncatedSVD(2, algorithm="tsqr").fit(sp.csr_array(X))


@pytest.mark.parametrize("kept_bytes", [2**28, 0], ids=["made again", "begun anew"])
def test_factors_of_rows_that_are_lost_change_no_bits(kept_bytes, monkeypatch):
    monkeypatch.setattr(alternating_updates, "HISTORY_BYTES", kept_bytes)
    model = NMF(2, init="random", random_state=0, max_iter=12, tol=0).fit(blocks(np.abs(X)))
    passes = model.profile_.passes
    before, error = model.components_, model.reconstruction_err_
    fits, factors_of = set(), row_factors.factors_of
    monkeypatch.setattr(row_factors, "factors_of", lambda fit: fits.add(fit) or factors_of(fit))

    def lose(profile):
        if profile.passes in (7, 10):
            for fit in fits:
                factors_of(fit).pop(profile.passes % 4, None)

    with watching(lose):
        again = model.fit(blocks(np.abs(X)))
    assert_array_equal(again.components_, before)
    assert again.reconstruction_err_ == error
    assert again.profile_.passes > passes + 5
    assert fits
    assert not any(map(factors_of, fits))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"shuffle": True, "random_state": 0},
        {"solver": "mu"},
        *({"solver": "mu", "beta_loss": loss} for loss in ("kullback-leibler", "itakura-saito", -0.5, 3)),
        {"alpha_W": 0.01, "alpha_H": 0.001, "l1_ratio": 0.3},
        {"solver": "mu", "alpha_W": 0.01, "l1_ratio": 0.5},
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_factors_from_a_given_start_are_scikit_learns(options):
    draw = np.random.default_rng(0)
    rows = draw.gamma(1, size=(N_ROWS, 2)) @ draw.gamma(1, size=(2, WIDTH)) + draw.random((N_ROWS, WIDTH))
    W, H = draw.random((N_ROWS, 2)), draw.random((2, WIDTH))
    options = {"init": "custom", "max_iter": 30, "tol": 1e-3, **options}
    thinned = rows * (draw.random(rows.shape) < 0.6)
    csr = blocks(thinned).map_blocks(sp.csr_array, meta=sp.csr_array((0, 0)))
    cases = [(blocks(rows), rows), (csr, sp.csr_array(thinned))]
    for data, plain in cases[: 1 if options.get("beta_loss", 2) in ("itakura-saito", -0.5) else 2]:
        model = NMF(2, **options).fit(data, W=blocks(W), H=H)
        expected = sklearn.decomposition.NMF(2, **options).fit(plain, W=W.copy(), H=H.copy())
        assert_same(model, expected, TABLE["NMF"])
        assert_allclose(model.inverse_transform(blocks(W)).compute(), W @ expected.components_, rtol=1e-6)


def test_random_first_factors_end_as_well_as_scikit_learns():
    rows = np.abs(X)
    for init in ("nndsvdar", "random"):
        model = NMF(2, init=init, random_state=0, tol=0).fit(blocks(rows))
        expected = sklearn.decomposition.NMF(2, init=init, random_state=0, tol=0).fit(rows)
        assert model.reconstruction_err_ == pytest.approx(expected.reconstruction_err_, rel=1e-3)


def test_an_empty_cluster_takes_the_farthest_row():
    init = np.vstack([X[:2], np.full((1, WIDTH), 1e6)])
    model = KMeans(3, init=init, tol=0).fit(blocks(X))
    expected = sklearn.cluster.KMeans(3, init=init, n_init=1, tol=0).fit(X)
    assert_allclose(model.cluster_centers_, expected.cluster_centers_, rtol=1e-6)
    assert model.inertia_ == pytest.approx(expected.inertia_)


@pytest.mark.slow
def test_compiled_assignment_is_that_of_numpy(monkeypatch):
    for rows, rtol in ((X + 1e6, 1e-9), (X.astype(np.float32), 1e-4)):
        plain = KMeans(3, init=rows[:3], tol=1e-6).fit(blocks(rows), sample_weight=WEIGHT)
        with monkeypatch.context() as patch:
            patch.setattr(nearest, "MANY_PRODUCTS", 0)
            patch.setattr(nearest, "NEAR_ROWS", 64)
            compiled = KMeans(3, init=rows[:3], tol=1e-6).fit(blocks(rows), sample_weight=WEIGHT)
        assert_allclose(compiled.cluster_centers_, plain.cluster_centers_, rtol=rtol)
        assert compiled.inertia_ == pytest.approx(plain.inertia_, rel=1e3 * rtol)


def test_first_centers_of_small_data_are_scikit_learns():
    for options in ({}, {"n_init": 3}, {"init": "random", "n_init": 1}):
        ours = KMeans(3, random_state=0, **options).fit(X)
        theirs = sklearn.cluster.KMeans(3, random_state=0, **{"n_init": "auto", **options}).fit(X)
        assert ours.inertia_ == pytest.approx(theirs.inertia_)


def test_counts_of_a_fit_on_dask_go_on_in_memory():
    for name in ("MultinomialNB", "CategoricalNB"):
        row = TABLE[name]
        first, more = COUNTS[:200], COUNTS[200:]
        model = fit(clone(row.ours), row, blocks(first, (150, 50)), LABELS[:200]).partial_fit(more, LABELS[200:])
        assert_same(model, fit(clone(row.theirs), row, COUNTS, LABELS), row)


def test_batches_of_incremental_components_are_the_blocks():
    model = IncrementalPCA(2).fit(blocks(X)).partial_fit(blocks(X[:100], (1, 50, 49)))
    expected = sklearn.decomposition.IncrementalPCA(2)
    for batch in (X[:70], X[70:200], X[200:], X[:51], X[51:100]):  # a block of one row is joined with the next
        expected.partial_fit(batch)
    assert_same(model, expected, TABLE["IncrementalPCA"], rtol=1e-12)
    assert model.n_samples_seen_ == 400
    for size in (40, 99, 299):
        model = IncrementalPCA(2, batch_size=size).fit(blocks(X))
        expected = sklearn.decomposition.IncrementalPCA(2, batch_size=size).fit(X)
        assert_same(model, expected, TABLE["IncrementalPCA"], rtol=1e-12)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (KMeans(301), "n_samples=300 should be >= n_clusters=301"),
        (KMeans(0), "n_clusters: expected an integer of at least 1, got 0"),
        (KMeans(2, init=np.zeros((3, WIDTH))), "init: the shape of the initial centers"),
        (KMeans(2, algorithm="quick"), "algorithm: expected one of"),
        (KMeans(2, init="k-means||", oversampling_factor=0), "oversampling_factor: expected a finite number above 0"),
        (KMeans(2, init="k-means||", init_max_iter=0), "init_max_iter: expected an integer of at least 1, got 0"),
        (MiniBatchKMeans(2, batch_size=0), "batch_size: expected an integer of at least 1, got 0"),
        (MiniBatchKMeans(301), "n_samples=300 should be >= n_clusters=301"),
        (BisectingKMeans(2, init=X[:2]), "init: expected 'k-means"),
        (BisectingKMeans(301), "n_samples=300 should be >= n_clusters=301"),
        (PCA(5), "n_components=5 must be between 0 and"),
        (IncrementalPCA(5), "n_components=5 invalid for n_features=4"),
        (IncrementalPCA(2, svd_solver="quick"), "svd_solver: expected one of"),
        (NMF(2), "Negative values in data passed to X"),
        (NMF(0), "n_components: expected an integer of at least 1, got 0"),
        (NMF(n_components=None, tol=-1), "tol: expected a finite number of at least 0, got -1"),
        (NMF(2, init="custom"), "init='custom' needs W, of fit"),
        (NMF(2, beta_loss=1), "solver 'cd' does not handle beta_loss = 1"),
        (NMF(2, l1_ratio=2), "l1_ratio: expected a number from 0 to 1, got 2"),
        (RBFSampler(gamma="wide"), "gamma: expected a finite number of at least 0, got 'wide'"),
        (RBFSampler(n_components=0), "n_components: expected an integer of at least 1, got 0"),
        (Nystroem("precomputed"), "kernel: expected one of"),
        (Nystroem(len, gamma=1, n_components=3), "Don't pass gamma, coef0 or degree to Nystroem"),
        (PCA("most"), "n_components: expected a number, 'mle' or None, got 'most'"),
        (PCA("mle", svd_solver="arpack"), "svd_solver, with n_components='mle'"),
        (GaussianNB(var_smoothing=-1), "var_smoothing: expected a finite number of at least 0, got -1"),
        (MultinomialNB(), "Negative values in data passed to X: expected counts"),
        (BernoulliNB(alpha=-1), "alpha: expected a finite number of at least 0, got -1"),
        (BernoulliNB(class_prior=[0.5, 0.5]), "Number of priors must match number of classes"),
        (GaussianNB(priors=[0.5, 0.5]), "Number of priors must match number of classes"),
    ],
    ids=str,
)
def test_wrong_parameters_are_named(model, message):
    with pytest.raises(ValueError, match=message):
        model.fit(blocks(X), LABELS)
    assert not [name for name in vars(model) if name.endswith("_") and not name.startswith("_")]


TRANSFORMERS = (
    (MaxAbsScaler(), "scale_"),
    (RobustScaler(), "center_"),
    (QuantileTransformer(n_quantiles=50, subsample=1_000), "quantiles_"),
    (PowerTransformer(), "lambdas_"),
)


def test_killed_workers_change_no_bits(doomed, monkeypatch):
    monkeypatch.setattr(opening, "LOCAL_BYTES", 0)
    data = da.random.default_rng(0).normal(size=(20_000, WIDTH), chunks=(1_000, WIDTH))
    labels, counts = (data[:, 0] > 0).astype(int), da.floor(abs(data))
    data, labels, counts = doomed.persist([data, labels, counts])
    models = {name: clone(row.ours) for name, row in TABLE.items()}
    for name in ("KMeans", "NMF"):
        models[name].set_params(max_iter=10)  # a pass each, of hundreds
    fits = {
        name: lambda row=row, name=name: fit(clone(models[name]), row, data if row.rows is X else counts, labels)
        for name, row in TABLE.items()
        if "," not in name
    }
    attributes = {name: row.attributes for name, row in TABLE.items()} | {"TfidfVectorizer": ("vocabulary_", "idf_")}
    texts = db.from_sequence([f"word{code} is word{code % 7}" for code in range(500)], npartitions=8)
    fits["TfidfVectorizer"] = lambda: TfidfVectorizer(max_features=15).fit(texts)
    attributes["RFECV"] = ("ranking_",)
    fits["RFECV"] = lambda: RFECV(Ridge()).fit(data, data[:, 0] + 0.1 * data[:, 1])
    found = (vectorizer := TfidfVectorizer()).fit_transform(texts)
    rows = vectorizer.transform(texts).compute()
    for transformer, attribute in TRANSFORMERS:
        fits[type(transformer).__name__] = lambda transformer=transformer: clone(transformer).fit(data)
        attributes[type(transformer).__name__] = (attribute,)
    before = {name: run() for name, run in fits.items()}
    victims = doomed.run(os.getpid)
    os.kill(next(iter(victims.values())), signal.SIGKILL)
    for name, run in fits.items():
        after = run()
        for attribute in attributes[name]:
            assert_array_equal(getattr(after, attribute), getattr(before[name], attribute), err_msg=name)
    assert (found.compute() != rows).nnz == 0  # of counts that a lost worker held


@pytest.mark.parametrize("kind", ["iris", "three of six", "redundant", "one feature", "constant"])
def test_the_most_likely_number_of_components_is_scikit_learns(kind):
    draw = np.random.default_rng(0)
    X = {
        "iris": lambda: load_iris().data,
        "three of six": lambda: draw.normal(size=(200, 6)) * [5, 4, 3, 0.1, 0.1, 0.1],
        "redundant": lambda: draw.normal(size=(50, 3)) @ draw.normal(size=(3, 6)),
        "one feature": lambda: draw.normal(size=(100, 1)),
        "constant": lambda: np.ones((20, 3)),
    }[kind]()
    with np.errstate(all="ignore"):
        theirs = sklearn.decomposition.PCA("mle").fit(X)
    ours = PCA("mle").fit(da.from_array(X, chunks=(37, -1)))
    assert ours.n_components_ == theirs.n_components_
    assert_allclose(ours.components_, theirs.components_, atol=1e-6)
    assert_allclose(ours.noise_variance_, theirs.noise_variance_, atol=1e-9)
    with pytest.raises(ValueError, match="n_samples >= n_features"):
        PCA("mle").fit(draw.normal(size=(5, 9)))

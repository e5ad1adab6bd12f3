"""The shared table of estimators: a row each, and what every row is put through."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, field
from typing import Any

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import sklearn.cluster
import sklearn.decomposition
import sklearn.linear_model
import sklearn.model_selection
import sklearn.naive_bayes
import sklearn.preprocessing
from distributed import Client, LocalCluster
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from daskml_kit.cluster import KMeans
from daskml_kit.decomposition import PCA, TruncatedSVD
from daskml_kit.engines import open as opening
from daskml_kit.engines.engine import watching
from daskml_kit.exceptions import DataError
from daskml_kit.linear_model import RidgeClassifier
from daskml_kit.model_selection import GridSearchCV
from daskml_kit.naive_bayes import BernoulliNB, CategoricalNB, ComplementNB, GaussianNB, MultinomialNB
from daskml_kit.preprocessing import (
    MaxAbsScaler,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)
from daskml_kit.reductions import nearest
from daskml_kit.solvers import subspace

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
    scaled: bool = True
    """Whether it takes rows that a scaler has made."""
    expected_failures: dict[str, str] = field(default_factory=dict)


COUNTS = np.floor(np.abs(X) / 3)
WEIGHTS = [f"check_sample_weight_equivalence_on_{kind}_data" for kind in ("dense", "sparse")]
TABLE = {
    "KMeans": Row(
        KMeans(3, init=X[:3], tol=1e-6),
        sklearn.cluster.KMeans(3, init=X[:3], n_init=1, tol=1e-6),
        ("cluster_centers_", "inertia_", "n_iter_"),
        {"max_iter": [1, 5]},
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
    "TruncatedSVD": Row(
        TruncatedSVD(2),
        sklearn.decomposition.TruncatedSVD(2, algorithm="arpack"),
        ("components_", "singular_values_", "explained_variance_", "explained_variance_ratio_"),
        {"n_components": [1, 3]},
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
    "RidgeClassifier": Row(
        RidgeClassifier(class_weight="balanced"),
        sklearn.linear_model.RidgeClassifier(class_weight="balanced"),
        ("coef_", "intercept_"),
        {"alpha": [0.1, 100.0]},
        labeled=True,
        expected_failures=dict.fromkeys(WEIGHTS, "balanced weights count rows, not their weights, as in scikit-learn"),
    ),
}
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
    if "init" in model.get_params():  # of the rows as a scaler leaves them, too
        model.set_params(init=np.eye(3, WIDTH)), theirs.set_params(init=np.eye(3, WIDTH))
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
    expected = sklearn.model_selection.GridSearchCV(theirs, grid, cv=cv).fit(X, *targets)
    assert found.plan_.alone == {}
    assert max(passes) <= 20
    for split in range(3):
        name = f"split{split}_test_score"
        assert_allclose(found.cv_results_[name], expected.cv_results_[name], rtol=1e-6)
    assert found.best_params_ == expected.best_params_


def test_components_before_a_model_are_fused_too():
    model = make_pipeline(StandardScaler(), PCA(2), RidgeClassifier())
    theirs = make_pipeline(
        sklearn.preprocessing.StandardScaler(), sklearn.decomposition.PCA(2), sklearn.linear_model.RidgeClassifier()
    )
    grid = {"pca__n_components": [1, 3], "ridgeclassifier__alpha": [0.1, 10.0]}
    cv = sklearn.model_selection.KFold(3)
    found = GridSearchCV(model, grid, cv=cv).fit(blocks(X), LABELS)
    expected = sklearn.model_selection.GridSearchCV(theirs, grid, cv=cv).fit(X, LABELS)
    assert found.plan_.alone == {}
    assert_allclose(found.cv_results_["mean_test_score"], expected.cv_results_["mean_test_score"], rtol=1e-6)
    assert_array_equal(found.predict(blocks(X)).compute(), expected.predict(X))


@pytest.mark.filterwarnings("ignore:divide by zero encountered in log")
@parametrize_with_checks(
    [row.ours if name != "KMeans" else KMeans(3, n_init=2) for name, row in TABLE.items() if "," not in name],
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


def test_an_empty_cluster_takes_the_farthest_row():
    init = np.vstack([X[:2], np.full((1, WIDTH), 1e6)])
    model = KMeans(3, init=init, tol=0).fit(blocks(X))
    expected = sklearn.cluster.KMeans(3, init=init, n_init=1, tol=0).fit(X)
    assert_allclose(model.cluster_centers_, expected.cluster_centers_, rtol=1e-6)
    assert model.inertia_ == pytest.approx(expected.inertia_)


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


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (KMeans(301), "n_samples=300 should be >= n_clusters=301"),
        (KMeans(0), "n_clusters: expected an integer of at least 1, got 0"),
        (KMeans(2, init=np.zeros((3, WIDTH))), "init: the shape of the initial centers"),
        (KMeans(2, algorithm="quick"), "algorithm: expected one of"),
        (PCA(5), "n_components=5 must be between 0 and"),
        (PCA("mle"), "n_components: expected a number or None, got 'mle'"),
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


@pytest.mark.chaos
def test_killed_workers_change_no_bits(monkeypatch):
    monkeypatch.setattr(opening, "LOCAL_BYTES", 0)
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster, Client(cluster) as client:
        data = da.random.default_rng(0).normal(size=(20_000, WIDTH), chunks=(1_000, WIDTH))
        labels, counts = (data[:, 0] > 0).astype(int), da.floor(abs(data))
        data, labels, counts = client.persist([data, labels, counts])
        fits = {
            name: lambda row=row: fit(clone(row.ours), row, counts if row.rows is COUNTS else data, labels)
            for name, row in TABLE.items()
            if "," not in name
        }
        learned = {name: row.attributes for name, row in TABLE.items()}
        for transformer, attribute in TRANSFORMERS:
            fits[type(transformer).__name__] = lambda transformer=transformer: clone(transformer).fit(data)
            learned[type(transformer).__name__] = (attribute,)
        before = {name: run() for name, run in fits.items()}
        victims = client.run(os.getpid)
        os.kill(next(iter(victims.values())), signal.SIGKILL)
        for name, run in fits.items():
            after = run()
            for attribute in learned[name]:
                assert_array_equal(getattr(after, attribute), getattr(before[name], attribute), err_msg=name)

"""Starts, small and large samples, degenerate rows, and parameters of the clustering estimators."""

from __future__ import annotations

from functools import partial

import dask.array as da
import numpy as np
import pytest
import scipy.sparse as sp
import sklearn.cluster
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import make_circles
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import KFold
from sklearn.utils.estimator_checks import parametrize_with_checks

from daskml_kit.cluster import BisectingKMeans, KMeans, MiniBatchKMeans, SpectralClustering, k_means, mini_batch_k_means
from daskml_kit.cluster import bisecting_k_means as bisecting
from daskml_kit.data.block import Block
from daskml_kit.exceptions import DataError
from daskml_kit.model_selection import GridSearchCV
from daskml_kit.reductions import bounds, kept_rows, nearest
from daskml_kit.reductions.nearest import Nearest

rng = np.random.default_rng(0)
CENTERS = rng.normal(size=(6, 3)) * 9
CODES = rng.integers(0, 6, 1200)
X = CENTERS[CODES] + rng.normal(size=(1200, 3))
CIRCLES, INNER = make_circles(600, factor=0.4, noise=0.05, random_state=0)


def blocks(values, rows=250):
    return da.from_array(values, chunks=(rows, *values.shape[1:]))


def csr(values):
    return blocks(values).map_blocks(sp.csr_array, meta=sp.csr_array((0, 0)))


@pytest.mark.parametrize(
    "data", [X, blocks(X), csr(X), blocks(X.astype(np.float32))], ids=["NumPy", "dask", "CSR", "f4"]
)
def test_scalable_seeds_find_clusters_that_are_apart(data):
    best = sklearn.cluster.KMeans(6, init=CENTERS, n_init=1).fit(X)
    model = KMeans(6, init="k-means||", random_state=0).fit(data)
    assert model.inertia_ == pytest.approx(best.inertia_, rel=1e-4)
    assert model.profile_.passes <= 10
    assert model.to_sklearn().init == "k-means++"
    assert_array_equal(model.to_sklearn().predict(X.astype(model.cluster_centers_.dtype)), model.labels_)


@pytest.mark.parametrize("kind", [KMeans, MiniBatchKMeans, BisectingKMeans])
def test_distances_to_centers_have_names(kind):
    for data in (X, blocks(X)):
        model = kind(2, random_state=0).fit(data)
        assert model.get_feature_names_out().tolist() == [f"{kind.__name__.lower()}{at}" for at in range(2)]


def test_seeds_are_drawn_by_weight_and_only_from_distinct_rows():
    weight = (CODES != 2).astype(float)
    model = KMeans(5, init="k-means||", random_state=1, n_init=2).fit(blocks(X), sample_weight=blocks(weight))
    best = sklearn.cluster.KMeans(5, init=np.delete(CENTERS, 2, axis=0), n_init=1).fit(X, sample_weight=weight)
    assert model.inertia_ == pytest.approx(best.inertia_, rel=1e-4)
    few = KMeans(3, init="k-means||", init_max_iter=1, oversampling_factor=0.1, random_state=0).fit(blocks(X))
    assert few.cluster_centers_.shape == (3, 3)


@pytest.mark.parametrize("init", ["k-means++", "k-means||", "random"])
def test_more_clusters_than_distinct_rows(init):
    rows = np.repeat([[0.0, 0.0], [1.0, 1.0], [4.0, 4.0]], 20, axis=0)
    with pytest.warns(ConvergenceWarning, match="Number of distinct clusters"):
        model = KMeans(5, init=init, random_state=0).fit(blocks(rows, 17))
    assert np.isfinite(model.cluster_centers_).all()
    assert len(np.unique(model.labels_.compute())) <= 3
    tree = BisectingKMeans(5, random_state=0).fit(blocks(rows, 17))
    assert tree.inertia_ == pytest.approx(0, abs=1e-9)
    with pytest.warns(ConvergenceWarning, match="Number of distinct clusters"):
        SpectralClustering(3, random_state=0).fit(rows[:40])


@pytest.mark.parametrize("kind", [KMeans, BisectingKMeans])
def test_constant_duplicate_and_far_off_columns(kind):
    rows = np.column_stack([X + 1e6, X[:, 0], np.full(len(X), 7.0)])
    model, expected = (
        each(4, init="k-means++", random_state=0) for each in (kind, getattr(sklearn.cluster, kind.__name__))
    )
    assert_allclose(model.fit(blocks(rows)).cluster_centers_, expected.fit(rows).cluster_centers_, rtol=1e-9)
    assert model.inertia_ == pytest.approx(expected.inertia_)


def test_large_data_start_from_the_clusters_of_a_sample(monkeypatch):
    monkeypatch.setattr(k_means, "SAMPLE_ROWS", 300)
    monkeypatch.setattr(bisecting, "SAMPLE_ROWS", 300)
    monkeypatch.setattr(mini_batch_k_means, "SAMPLE_ROWS", 300)
    best = sklearn.cluster.KMeans(6, init=CENTERS, n_init=1).fit(X)
    model = KMeans(6, n_init=3, random_state=0).fit(blocks(X))
    assert model.inertia_ == pytest.approx(best.inertia_, rel=1e-4)
    assert model.profile_.passes <= 6
    tree = BisectingKMeans(6, init="k-means++", n_init=3, random_state=0).fit(blocks(X))
    assert tree.inertia_ < 3 * best.inertia_
    assert_array_equal(tree.predict(X), tree.labels_.compute())
    batches = MiniBatchKMeans(6, init=CENTERS + 0.5, n_init=1, batch_size=5, tol=1e-4, random_state=0)
    batches.fit(blocks(X), sample_weight=blocks(np.ones(len(X))))
    assert batches.inertia_ < 2 * best.inertia_
    assert batches.profile_.passes > 2
    assert batches.fit(blocks(X)).labels_.shape == (len(X),)


def test_bisections_are_scikit_learns():
    weight = rng.integers(1, 4, len(X)).astype(float)
    for options in ({"bisecting_strategy": "largest_cluster"}, {"n_init": 2, "tol": 0.5}):
        model = BisectingKMeans(5, random_state=0, **options).fit(blocks(X), sample_weight=blocks(weight))
        expected = sklearn.cluster.BisectingKMeans(5, random_state=0, **options).fit(X, sample_weight=weight)
        assert_allclose(model.cluster_centers_, expected.cluster_centers_, rtol=1e-9)
        assert_array_equal(model.labels_.compute(), expected.labels_)
        assert_array_equal(model.to_sklearn().predict(X), expected.predict(X))


def test_mini_batches_go_on_in_memory():
    model, expected = (
        each(4, random_state=0, max_iter=2) for each in (MiniBatchKMeans, sklearn.cluster.MiniBatchKMeans)
    )
    model.fit(blocks(X)), expected.fit(X)
    first = model.cluster_centers_
    before = first.copy()
    assert_allclose(
        model.partial_fit(X[:50]).cluster_centers_, expected.partial_fit(X[:50]).cluster_centers_, rtol=1e-9
    )
    assert_array_equal(first, before)
    with pytest.raises(DataError, match="X: expected a mini-batch in memory, got Dask data"):
        model.partial_fit(blocks(X))
    estimate = MiniBatchKMeans(4, compute_labels=False, random_state=0).fit(blocks(X))
    assert not hasattr(estimate, "labels_")


def test_drawn_starts_of_fused_fits_are_scikit_learns():
    grid, cv = {"n_clusters": [2, 6]}, KFold(3)
    found = GridSearchCV(KMeans(n_init=2, random_state=0), grid, cv=cv).fit(blocks(X))
    expected = sklearn.model_selection.GridSearchCV(sklearn.cluster.KMeans(n_init=2, random_state=0), grid, cv=cv).fit(
        X
    )
    assert_allclose(found.cv_results_["mean_test_score"], expected.cv_results_["mean_test_score"], rtol=1e-6)
    assert found.best_estimator_.labels_.shape == (len(X),)


@pytest.mark.slow
@pytest.mark.parametrize("weight", [None, rng.integers(1, 4, 1200).astype(float)], ids=["alike", "weighted"])
@pytest.mark.parametrize("fold", [np.arange(1200) // 400, rng.integers(0, 3, 1200)], ids=["runs", "mixed"])
def test_sets_of_centers_are_served_by_one_reading(monkeypatch, weight, fold):
    rows = np.asfortranarray(X + 1e4)
    block = Block(rows, None, weight, fold=fold[:, None])
    sets = [(rows[:2], None), (rows[5:10], (0, 2)), (rows[10:11], (1,)), (rows[20:24], (0, 2))]
    asked = []
    for centers, ids in sets:
        shift = rows[np.isin(fold, ids or range(3))].mean(axis=0)
        asked.append(Nearest(centers - shift, shift, 0, ids))
    fused = asked[0].fuse(asked[1:])
    plain = fused.finalize(fused.chunk(block))
    monkeypatch.setattr(nearest, "MANY_PRODUCTS", 0)
    for found, expected, (_, ids) in zip(fused.finalize(fused.chunk(block)), plain, sets, strict=True):
        own = np.isin(fold, ids or range(3))
        assert expected.weights.sum() == (own.sum() if weight is None else weight[own].sum())
        assert_allclose(found.weights, expected.weights)
        assert_allclose(found.sums, expected.sums, rtol=1e-9, atol=1e-6)
        assert found.inertia == pytest.approx(expected.inertia, rel=1e-9)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    "weight", [pytest.param(None, marks=pytest.mark.slow), rng.random(1200)], ids=["alike", "weighted"]
)
def test_bounds_of_rows_change_no_bit(monkeypatch, weight, dtype):
    draw, rows = np.random.default_rng(3), np.asfortranarray(X + 10, dtype)
    monkeypatch.setattr(nearest, "MANY_PRODUCTS", 0)
    monkeypatch.setattr(bounds, "TILE", 100)
    asked, found, take = [], [], bounds.take

    def forgetful(share, fit, part):
        before = take(fit, part)
        before = before if share > draw.random() else None  # what a lost worker kept is lost
        asked.append(before is None)
        return before

    options = {"n_clusters": 6, "init": rows[:6], "tol": 0.0, "max_iter": 30, "n_init": 1}
    for share in (1.0, 0.5, 0.0):
        monkeypatch.setattr(bounds, "take", partial(forgetful, share))
        found.append(KMeans(**options).fit(blocks(rows, 350), sample_weight=weight))
        assert sum(asked) == 4 or share < 1
        assert not kept_rows._kept.rows
        assert kept_rows._kept.n_bytes == 0
    for model in found[1:]:
        assert model.cluster_centers_.tobytes() == found[0].cluster_centers_.tobytes()
        assert (model.inertia_, model.n_iter_) == (found[0].inertia_, found[0].n_iter_)
    expected = sklearn.cluster.KMeans(**options).fit(rows, sample_weight=weight)
    assert_allclose(found[0].cluster_centers_, expected.cluster_centers_, rtol=1e-9 if dtype == np.float64 else 1e-4)
    assert np.array_equal(np.asarray(found[0].labels_), expected.labels_)


def test_rows_of_branches_are_kept_and_change_no_bit(monkeypatch):
    draw, take, found = np.random.default_rng(3), nearest.take, []
    for share in (1.0, 0.5, 0.0):
        monkeypatch.setattr(nearest, "take", lambda *part, s=share: take(*part) if s > draw.random() else None)
        found.append(BisectingKMeans(6, random_state=0).fit(blocks(X, 350)))
        assert not kept_rows._kept.rows
    for model in found[1:]:
        assert model.cluster_centers_.tobytes() == found[0].cluster_centers_.tobytes()
        assert model.inertia_ == found[0].inertia_


def test_bounds_are_kept_as_long_as_there_is_room(monkeypatch):
    block = Block(X)
    bounds.bounded_sums([bounds.Asked("first", np.zeros(3), X[:3].copy(), False)], block, slice(0, 1200))
    some = kept_rows.take("first", (block.index, 0))
    monkeypatch.setattr(kept_rows, "KEPT_BYTES", int(1.5 * some.n_bytes))
    kept_rows.keep("old", 0, some)
    kept_rows.keep("new", 0, some)
    assert kept_rows.take("new", 0) is None
    monkeypatch.setattr(kept_rows, "IDLE_SECONDS", -1.0)
    kept_rows.keep("new", 0, some)
    assert kept_rows.take("old", 0) is None
    assert kept_rows.take("new", 0) is some


def test_spectral_clusters_are_no_balls():
    data = blocks(CIRCLES, 170)
    for options, given in (
        ({}, data),
        ({"persist_embedding": True, "kmeans_params": {"n_init": 2}}, csr(CIRCLES)),
        ({"assign_labels": sklearn.cluster.KMeans(2)}, CIRCLES),
        ({"affinity": rbf}, data[data[:, 0] > -99]),
    ):
        model = SpectralClustering(2, gamma=40, random_state=0, **options)
        assert adjusted_rand_score(np.asarray(model.fit_predict(given)), INNER) == 1
    assert model.profile_.passes == 3
    assert model.eigenvalues_[0] == pytest.approx(1)
    assert type(model.to_sklearn()) is sklearn.cluster.SpectralClustering


@pytest.mark.filterwarnings("ignore:Number of distinct clusters")  # one landmark, which a check wants
@parametrize_with_checks([SpectralClustering(3, random_state=0)])
def test_scikit_learns_checks_of_spectral_clustering(estimator, check):
    check(estimator)


def rbf(X, Y, gamma, **_):
    return np.exp(-gamma * ((X[:, None] - Y) ** 2).sum(axis=2))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"affinity": "nearest_neighbors"}, "affinity: expected one of"),
        ({"eigen_solver": "amg"}, "eigen_solver='amg' is not supported on Dask data"),
        ({"n_neighbors": 3}, "n_neighbors=3 is not supported"),
        ({"assign_labels": "discretize"}, "assign_labels: expected one of"),
        ({"assign_labels": 3}, "assign_labels: expected 'kmeans' or an estimator"),
        ({"kmeans_params": {"nope": 1}}, "kmeans_params"),
        ({"kernel_params": 1}, "kernel_params: expected a dict or None, got 1"),
        ({"affinity": "linear"}, "affinity: expected a kernel of positive sums"),
        ({"n_components": 0}, "n_components: expected an integer of at least 1, got 0"),
        ({"n_clusters": 601}, "n_samples=600 should be >= n_clusters=601"),
    ],
    ids=str,
)
def test_wrong_parameters_of_spectral_clustering_are_named(options, message):
    model = SpectralClustering(**{"n_clusters": 2, "random_state": 0, **options})
    with pytest.raises(ValueError, match=message):
        model.fit(blocks(CIRCLES))
    assert not [name for name in vars(model) if name.endswith("_")]


@pytest.mark.parametrize(
    "options",
    [
        {"affinity": "nearest_neighbors", "eigen_solver": "arpack"},
        {"affinity": "precomputed", "n_components": 3},
        {"assign_labels": "cluster_qr", "gamma": 40},
    ],
    ids=str,
)
def test_spectral_clustering_in_memory_has_the_affinities_of_scikit_learn(options):
    rows = CIRCLES[:60]
    X = rbf(rows, rows, 40) if options.get("affinity") == "precomputed" else rows
    ours = SpectralClustering(2, random_state=0, **options).fit(X)
    theirs = sklearn.cluster.SpectralClustering(2, random_state=0, **options).fit(X)
    np.testing.assert_array_equal(ours.labels_, theirs.labels_)
    assert ours.affinity_matrix_.shape == (60, 60)
    plain = {name: value for name, value in SpectralClustering().get_params().items() if name in options}
    assert "affinity_matrix_" not in vars(ours.set_params(**plain).fit(rows))

"""Distances and kernels by tiles equal scikit-learn's of all rows."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import scipy.sparse as sp
import sklearn.metrics.pairwise

from daskml_kit.metrics import pairwise

RNG = np.random.default_rng(0)
X, Y = RNG.random((23, 4)), RNG.random((11, 4))
TILED = [
    ("additive_chi2_kernel", {}),
    ("chi2_kernel", {"gamma": 0.5}),
    ("cosine_distances", {}),
    ("cosine_similarity", {}),
    ("euclidean_distances", {"squared": True}),
    ("laplacian_kernel", {}),
    ("linear_kernel", {}),
    ("manhattan_distances", {}),
    ("nan_euclidean_distances", {}),
    ("pairwise_distances", {"metric": "minkowski", "p": 3}),
    ("pairwise_distances", {"metric": "mahalanobis", "VI": np.eye(4) + 0.1}),
    ("pairwise_kernels", {"metric": "rbf", "gamma": 2.0}),
    ("polynomial_kernel", {"degree": 2}),
    ("rbf_kernel", {}),
    ("sigmoid_kernel", {"coef0": 0.5}),
]


def lazy(values, sizes):
    return da.from_array(values, chunks=(sizes, (2, 2)))


LAZY_X, LAZY_Y = lazy(X, (10, 0, 13)), lazy(Y, (5, 6))


@pytest.mark.parametrize(("name", "options"), TILED)
def test_tiles(name, options):
    ours, theirs = getattr(pairwise, name), getattr(sklearn.metrics.pairwise, name)
    pairs = [(LAZY_X, LAZY_Y)] if name != "rbf_kernel" else [(LAZY_X, Y), (X, LAZY_Y), (LAZY_X[LAZY_X[:, 0] > -1], Y)]
    for first, second in pairs:
        got = ours(first, second, **options)
        assert isinstance(got, da.Array)
        np.testing.assert_allclose(got.compute(scheduler="sync"), theirs(X, Y, **options), rtol=1e-9, atol=1e-12)
    got = ours(LAZY_X, **options)
    assert got.chunks == ((10, 0, 13), (10, 0, 13))
    np.testing.assert_allclose(got.compute(scheduler="sync"), theirs(X, **options), rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(ours(X, Y, **options), theirs(X, Y, **options))


def test_a_row_is_at_no_distance_from_itself():
    assert (da.diag(pairwise.euclidean_distances(LAZY_X)).compute(scheduler="sync") == 0).all()


def test_sparse_blocks():
    sparse = LAZY_X.rechunk({1: -1}).map_blocks(sp.csr_array, meta=sp.csr_array((0, 4)))
    got = pairwise.cosine_similarity(sparse, sp.csr_array(Y)).compute(scheduler="sync")
    np.testing.assert_allclose(got, sklearn.metrics.pairwise.cosine_similarity(X, Y), rtol=1e-9)


@pytest.mark.parametrize("options", [{}, {"metric": "manhattan"}, {"metric": "minkowski", "metric_kwargs": {"p": 3}}])
def test_nearest(options):
    position, distance = sklearn.metrics.pairwise.pairwise_distances_argmin_min(X, Y, **options)
    for second in (Y, LAZY_Y, LAZY_Y[LAZY_Y[:, 0] > -1]):
        found = pairwise.pairwise_distances_argmin_min(LAZY_X, second, **options)
        assert [part.dtype for part in found] == [np.int64, np.float64]
        np.testing.assert_array_equal(found[0].compute(scheduler="sync"), position)
        np.testing.assert_allclose(found[1].compute(scheduler="sync"), distance, rtol=1e-9)
        alone = pairwise.pairwise_distances_argmin(LAZY_X, second, **options)
        np.testing.assert_array_equal(alone.compute(scheduler="sync"), position)


@pytest.mark.parametrize(
    ("name", "args", "options", "match"),
    [
        ("pairwise_distances", (LAZY_X,), {"metric": "mahalanobis"}, "VI: expected a value"),
        ("pairwise_distances", (LAZY_X,), {"metric": "precomputed"}, "metric='precomputed'"),
        ("euclidean_distances", (LAZY_X,), {"X_norm_squared": np.ones(23)}, "X_norm_squared: expected None"),
        ("cosine_similarity", (LAZY_X,), {"dense_output": False}, "dense_output=False"),
        ("rbf_kernel", (LAZY_X, Y[:, :3]), {}, "Y: expected 4 features as in X, got 3"),
        ("rbf_kernel", (LAZY_X, Y[:, 0]), {}, "Y: expected a 2-dimensional array"),
        ("pairwise_distances_argmin", (LAZY_X, Y), {"axis": 0}, "axis: expected 1"),
    ],
)
def test_refused(name, args, options, match):
    with pytest.raises(ValueError, match=match):
        getattr(pairwise, name)(*args, **options)

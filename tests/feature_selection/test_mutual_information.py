from __future__ import annotations

from functools import partial

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import sklearn.feature_selection
from numpy.testing import assert_allclose, assert_array_equal

from daskml_kit.engines.engine import watching
from daskml_kit.feature_selection import SelectKBest, mutual_info_classif, mutual_info_regression

draw = np.random.default_rng(0)
N_ROWS = 20_000
X = np.column_stack([draw.normal(size=(N_ROWS, 3)), draw.integers(0, 4, N_ROWS), draw.integers(0, 3, N_ROWS) / 2])
CLASS = (X[:, 0] + 0.5 * X[:, 3] > draw.normal(size=N_ROWS)).astype(int)
COUNTS = draw.poisson(0.3, size=(500, 6))
THEIRS = sklearn.feature_selection.mutual_info_classif


def lazy(X=X):
    return da.concatenate([da.from_array(part, chunks=(6_000, 3)) for part in (X[:40], X[:0], X[40:])])


@pytest.mark.filterwarnings("ignore:Clustering metrics expects discrete values")
def test_discrete_features_are_scikit_learns():
    words = np.array(["no", "yes"])[CLASS]
    rows = X[:, 3:]
    expected = THEIRS(rows, CLASS, discrete_features=True)
    passes = []
    with watching(lambda profile: passes.append(profile.passes)):
        for y in (words, dd.from_pandas(pd.Series(words), npartitions=3), lazy(CLASS[:, None])[:, 0]):
            assert_allclose(mutual_info_classif(lazy(rows), y, discrete_features=True), expected, atol=1e-12)
    assert max(passes) == 1
    for mask in ([3, 4], np.arange(5) > 2):
        assert_allclose(mutual_info_classif(lazy(), words, discrete_features=mask)[3:], expected, atol=1e-12)
    csr = da.from_array(COUNTS, chunks=(90, 6)).map_blocks(sp.csr_array, meta=sp.csr_array((0, 0), dtype=int))
    assert_allclose(mutual_info_classif(csr, CLASS[:500]), THEIRS(sp.csr_array(COUNTS), CLASS[:500]), atol=1e-12)


@pytest.mark.parametrize("correlation", [0.0, 0.3, 0.6, 0.9])
def test_continuous_features_are_near_the_truth(correlation):
    y = correlation * X[:, 0] + np.sqrt(1 - correlation**2) * draw.normal(size=N_ROWS)
    truth = -0.5 * np.log(1 - correlation**2)
    passes = []
    with watching(lambda profile: passes.append(profile.passes)):
        found = mutual_info_regression(lazy(), y)
    assert max(passes) == 2
    assert found[0] == pytest.approx(truth, rel=0.07, abs=0.003)
    assert found[1:].max() < 0.004
    assert_allclose(found, mutual_info_regression(da.from_array(X, chunks=(6_000, 5)), y, n_bins=27), atol=2e-3)
    classes = mutual_info_classif(lazy(), (y > 0).astype(int))
    nearest = THEIRS(X[:4_000, :1], y[:4_000] > 0, random_state=0)
    assert classes[0] == pytest.approx(nearest[0], abs=0.05)


def test_in_memory_bins_only_where_asked():
    assert_array_equal(
        mutual_info_classif(X[:300], CLASS[:300], random_state=0), THEIRS(X[:300], CLASS[:300], random_state=0)
    )
    binned = mutual_info_classif(X[:300], CLASS[:300], n_bins=5)
    assert_array_equal(binned, mutual_info_classif(da.from_array(X[:300], chunks=70), CLASS[:300], n_bins=5))


def test_selection_by_it():
    selector = SelectKBest(partial(mutual_info_classif, n_bins=20), k=2).fit(lazy(), CLASS)
    assert_array_equal(selector.get_support(), [True, False, False, True, False])
    assert selector.profile_.passes == 2
    plain = selector.to_sklearn().score_func
    assert (plain.func, plain.keywords) == (THEIRS, {})
    assert SelectKBest(mutual_info_regression, k=1).fit(lazy(), X[:, 1] ** 2).get_support()[1]
    with pytest.raises(ValueError, match="of scikit-learn, which needs all rows; use daskml_kit's mutual_info_classif"):
        SelectKBest(THEIRS).fit(lazy(), CLASS)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_bins": 1}, "n_bins: expected an integer of at least 2, got 1"),
        ({"n_neighbors": 4}, "n_neighbors: expected 3 where features are binned, got 4"),
        ({"n_jobs": 2}, "n_jobs: expected None where features are binned, got 2"),
        ({"discrete_features": "x"}, "discrete_features: expected 'auto', a bool, a mask or positions, got 'x'"),
        ({"discrete_features": [True]}, "discrete_features: expected a mask of 5 features, got 1"),
        ({"discrete_features": [9]}, "discrete_features: expected positions below 5"),
    ],
)
def test_wrong_parameters_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        mutual_info_classif(lazy(), CLASS, **options)
    with pytest.raises(ValueError, match="y: expected class labels, got fractions in block 0"):
        mutual_info_classif(lazy(), X[:, 0])

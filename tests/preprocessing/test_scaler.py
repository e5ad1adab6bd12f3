from __future__ import annotations

from itertools import pairwise

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import sklearn.preprocessing
from distributed import Client
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.utils.estimator_checks import parametrize_with_checks

from daskml_kit.exceptions import DataError
from daskml_kit.preprocessing import OneHotEncoder, StandardScaler

STATE = ("mean_", "var_", "scale_", "n_samples_seen_")


@parametrize_with_checks([StandardScaler(), StandardScaler(with_mean=False), OneHotEncoder()])
def test_scikit_learns_checks(estimator, check):
    check(estimator)


def rows(seed=0, n_rows=60, missing=True):
    rng = np.random.default_rng(seed)
    X = rng.normal([0.0, 1e6, 3.0], [1.0, 5.0, 0.0], (n_rows, 3))
    if missing:
        X[rng.random(X.shape) < 0.1] = np.nan
    return X


def blocks_of_csr(X, chunks):
    parts = np.split(np.arange(X.shape[0]), np.cumsum(chunks)[:-1])
    arrays = [da.from_delayed(dask.delayed(X[part]), (len(part), X.shape[1]), meta=X[:0]) for part in parts]
    return da.concatenate(arrays)


def assert_same_state(ours, theirs, rtol=1e-9):
    for name in STATE:
        mine, wanted = getattr(ours, name), getattr(theirs, name)
        assert (mine is None) == (wanted is None), name
        if wanted is not None:
            np.testing.assert_allclose(mine, wanted, rtol=rtol, atol=1e-20, err_msg=name)
            assert np.asarray(mine).dtype == np.asarray(wanted).dtype, name


@settings(max_examples=25, deadline=None)
@given(
    cuts=st.lists(st.integers(0, 60), max_size=6),
    dtype=st.sampled_from(["f8", "f4"]),
    with_mean=st.booleans(),
    with_std=st.booleans(),
    missing=st.booleans(),
)
def test_any_chunking_gives_scikit_learns_scaler(cuts, dtype, with_mean, with_std, missing):
    X = rows(missing=missing).astype(dtype)
    edges = [0, *sorted(cuts), 60]  # blocks without rows come too
    dX = da.concatenate([da.from_array(X[a:b], chunks=(max(b - a, 1), 2)) for a, b in pairwise(edges)])
    theirs = sklearn.preprocessing.StandardScaler(with_mean=with_mean, with_std=with_std).fit(X)
    ours = StandardScaler(with_mean=with_mean, with_std=with_std).fit(dX)
    assert_same_state(ours, theirs)
    result = ours.transform(dX)
    assert result.dtype == X.dtype
    np.testing.assert_allclose(result.compute(), theirs.transform(X), rtol=1e-6, atol=2e-6)
    back = ours.inverse_transform(result)
    np.testing.assert_allclose(back.compute(), X, rtol=1e-6)


def test_a_column_of_missing_values_only():
    X = rows()
    X[:, 0] = np.nan
    with np.errstate(invalid="ignore"):
        theirs = sklearn.preprocessing.StandardScaler().fit(X)
    assert_same_state(StandardScaler().fit(da.from_array(X, chunks=(7, 3))), theirs)


@pytest.mark.parametrize("with_std", [True, False])
def test_csr_blocks_stay_sparse(with_std):
    X = sp.random_array((50, 4), density=0.3, format="csr", rng=np.random.default_rng(0))
    theirs = sklearn.preprocessing.StandardScaler(with_mean=False, with_std=with_std).fit(X)
    ours = StandardScaler(with_mean=False, with_std=with_std).fit(blocks_of_csr(X, [20, 30]))
    assert_same_state(ours, theirs)
    result = ours.transform(blocks_of_csr(X, [20, 30])).compute()
    assert sp.issparse(result)
    np.testing.assert_allclose(result.toarray(), theirs.transform(X).toarray())
    with pytest.raises(ValueError, match="Cannot center sparse"):
        StandardScaler().fit(blocks_of_csr(X, [20, 30]))


@pytest.mark.parametrize("as_frame", [True, False])
def test_weights_count_as_scikit_learn_counts_them(as_frame):
    X, weight = rows(), np.random.default_rng(1).random(60)
    frame = dd.from_pandas(pd.DataFrame(X, columns=list("abc")), npartitions=4)
    weights = dd.from_pandas(pd.Series(weight), npartitions=3) if as_frame else da.from_array(weight, chunks=11)
    theirs = sklearn.preprocessing.StandardScaler().fit(X, sample_weight=weight)
    assert_same_state(StandardScaler().fit(frame, sample_weight=weights), theirs)
    double = sklearn.preprocessing.StandardScaler().fit(X, sample_weight=2.0)
    assert_same_state(StandardScaler().fit(frame, sample_weight=2.0), double)


def test_partial_fit_goes_on_and_fit_begins_anew():
    X = rows()
    theirs = sklearn.preprocessing.StandardScaler().partial_fit(X[:25]).partial_fit(X[25:])
    first, second = da.from_array(X[:25], chunks=(10, 3)), da.from_array(X[25:], chunks=(9, 3))
    ours = StandardScaler().partial_fit(first).partial_fit(second)
    assert_same_state(ours, theirs, rtol=1e-7)
    assert_same_state(ours.fit(first), sklearn.preprocessing.StandardScaler().fit(X[:25]))
    with pytest.raises(DataError, match="X has 2 features, but StandardScaler is expecting 3"):
        ours.partial_fit(da.from_array(X[:, :2], chunks=(10, 2)))


def test_unknown_chunks_frames_and_the_cluster(client: Client):
    frame = pd.DataFrame(rows(n_rows=3000), columns=list("abc"))
    lazy = dd.from_pandas(frame, npartitions=5)
    theirs = sklearn.preprocessing.StandardScaler().fit(frame)
    ours = StandardScaler().fit(lazy)
    assert_same_state(ours, theirs)
    assert list(ours.feature_names_in_) == list("abc")
    unknown = lazy.to_dask_array()
    assert np.isnan(unknown.chunks[0]).all()
    result = StandardScaler().fit_transform(unknown).compute()
    np.testing.assert_allclose(result, theirs.transform(frame), rtol=1e-9, atol=1e-9)
    weight = frame["a"].fillna(0).abs()
    weighted = StandardScaler().fit(lazy, sample_weight=lazy["a"].fillna(0).abs())
    assert_same_state(weighted, sklearn.preprocessing.StandardScaler().fit(frame, sample_weight=weight))


def test_set_output_gives_data_frames_with_the_index():
    frame = pd.DataFrame(rows(), columns=list("abc"), index=np.arange(60) * 2)
    result = StandardScaler().set_output(transform="pandas").fit_transform(dd.from_pandas(frame, npartitions=3))
    assert isinstance(result, dd.DataFrame)
    wanted = sklearn.preprocessing.StandardScaler().set_output(transform="pandas").fit_transform(frame)
    pd.testing.assert_frame_equal(result.compute(), wanted)
    array = StandardScaler().set_output(transform="pandas").fit_transform(da.from_array(rows(), chunks=(25, 3)))
    assert list(array.compute().columns) == ["x0", "x1", "x2"]
    with sklearn.config_context(transform_output="pandas"):
        configured = StandardScaler().fit_transform(dd.from_pandas(frame, npartitions=3))
    pd.testing.assert_frame_equal(configured.compute(), wanted)


def refuse(block):
    raise AssertionError("computed")


def test_transform_computes_nothing_and_writes_nowhere():
    frame = pd.DataFrame(rows(), columns=list("abc"))
    before = frame.copy()
    scaler = StandardScaler().fit(dd.from_pandas(frame, npartitions=3))
    trap = dd.from_pandas(frame, npartitions=3).map_partitions(refuse, meta=frame[:0])
    lazy = scaler.transform(trap), scaler.inverse_transform(scaler.transform(trap))
    for result in lazy:
        with pytest.raises(AssertionError, match="computed"):
            result.compute()
    held = dd.from_pandas(frame, npartitions=3).persist()
    scaler.transform(held).compute()
    pd.testing.assert_frame_equal(frame, before)
    pd.testing.assert_frame_equal(held.compute(), before)
    with pytest.raises(DataError, match="copy=False"):
        StandardScaler(copy=False).fit(held)


def test_wrong_values_are_named_with_column_and_block():
    frame = pd.DataFrame({"a": [1.0, 2.0, 3.0], "city": pd.Series(["1", "2", "Oslo"], dtype=object)})
    with dask.config.set({"dataframe.convert-string": False}):
        lazy = dd.from_pandas(frame, npartitions=3)
        with pytest.raises(DataError, match=r"'city' \(object\) in block 2.*Oslo"):
            StandardScaler().fit(lazy)
    with pytest.raises(DataError, match=r"infinity.* in block 1"):
        StandardScaler().fit(da.from_array(np.array([[1.0], [np.inf]]), chunks=1))
    with pytest.raises(DataError, match="0 sample"):
        StandardScaler().fit(da.zeros((0, 2)))
    with pytest.raises(ValueError, match="feature names"):
        StandardScaler().fit(lazy[["a"]]).transform(lazy[["a"]].rename(columns={"a": "b"}))


def test_the_twin_needs_no_dask():
    scaler = StandardScaler(with_std=False).fit(da.from_array(rows(), chunks=(20, 3)))
    twin = scaler.to_sklearn()
    assert type(twin) is sklearn.preprocessing.StandardScaler
    assert twin.get_params() == scaler.get_params()
    np.testing.assert_array_equal(twin.transform(rows()), scaler.transform(rows()))
    assert not any(name.startswith("_example") for name in vars(twin))

from __future__ import annotations

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

from daskml_kit.exceptions import DataError
from daskml_kit.preprocessing import OneHotEncoder

GROUPED = [
    {},
    {"min_frequency": 12},
    {"min_frequency": 0.1, "drop": "first"},
    {"max_categories": 3},
    {"max_categories": 1},
    {"min_frequency": 9, "max_categories": 4, "handle_unknown": "infrequent_if_exist"},
    {"drop": "if_binary"},
    {"drop": ["a", 1, True], "min_frequency": 5, "handle_unknown": "ignore"},
    {"drop": ["a", 1, True]},
    {"feature_name_combiner": lambda feature, category: f"{feature}={category}", "dtype": np.float32},
]


def frame(n_rows=120, missing=False):
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "letter": rng.choice(list("abcdefgh"), n_rows, p=[0.3, 0.2, 0.1, 0.1, 0.1, 0.1, 0.05, 0.05]),
            "digit": rng.integers(0, 5, n_rows),
            "flag": rng.random(n_rows) < 0.4,
        }
    )
    if missing:
        table.loc[::7, "letter"] = np.nan
    return table


def assert_same(ours, theirs, lazy, table):
    for mine, wanted in zip(ours.categories_, theirs.categories_, strict=True):
        assert mine.dtype == wanted.dtype
        assert [repr(value) for value in mine] == [repr(value) for value in wanted]
    if hasattr(theirs, "infrequent_categories_"):
        for mine, wanted in zip(ours.infrequent_categories_, theirs.infrequent_categories_, strict=True):
            assert [repr(value) for value in np.ravel(mine)] == [repr(value) for value in np.ravel(wanted)]
    np.testing.assert_array_equal(ours.drop_idx_, theirs.drop_idx_)
    np.testing.assert_array_equal(ours.get_feature_names_out(), theirs.get_feature_names_out())
    assert ours.n_features_in_ == theirs.n_features_in_
    result, wanted = ours.transform(lazy), theirs.transform(table)
    assert result.dtype == wanted.dtype
    np.testing.assert_array_equal(result.compute().toarray(), wanted.toarray())


@pytest.mark.parametrize("parameters", GROUPED, ids=lambda parameters: ", ".join(parameters) or "none")
@pytest.mark.parametrize("missing", [False, True])
def test_infrequent_and_dropped_categories(parameters, missing):
    table = frame(missing=missing)
    lazy = dd.from_pandas(table, npartitions=7)
    theirs = sklearn.preprocessing.OneHotEncoder(**parameters).fit(table)
    ours = OneHotEncoder(**parameters).fit(lazy)
    assert_same(ours, theirs, lazy, table)
    assert ours.get_params() == {**OneHotEncoder().get_params(), **parameters}


@settings(max_examples=30, deadline=None)
@given(
    letters=st.lists(st.sampled_from(["a", "b", "ß", "", None, "zz"]), min_size=1, max_size=30),
    n_blocks=st.integers(1, 6),
    max_categories=st.sampled_from([None, 1, 2, 3]),
    min_frequency=st.sampled_from([None, 2, 0.2]),
)
def test_any_chunking_any_ties_objects_with_none(letters, n_blocks, max_categories, min_frequency):
    X = np.array(letters, dtype=object)[:, None]
    lazy = da.from_array(X, chunks=(-(-len(X) // n_blocks), 1))
    options = {"max_categories": max_categories, "min_frequency": min_frequency}
    theirs = sklearn.preprocessing.OneHotEncoder(**options).fit(X)
    assert_same(OneHotEncoder(**options).fit(lazy), theirs, lazy, X)


@pytest.mark.parametrize(
    "X",
    [
        np.array([[1.0, np.nan], [2.0, 0.5], [np.nan, 0.5], [1.0, -0.5]]),
        np.array([[1, 2], [3, 2], [1, 4]], dtype=np.int8),
        np.array([["x", "yy"], ["x", "z"], ["w", "z"]]),
        np.array([[True, False], [True, True]]),
        np.array([[None, np.nan], ["a", 3], [np.nan, 2]], dtype=object),
    ],
    ids=["float", "int8", "unicode", "bool", "mixed missing"],
)
def test_arrays_of_any_type(X):
    lazy = da.from_array(X, chunks=(1, 1))
    assert_same(OneHotEncoder().fit(lazy), sklearn.preprocessing.OneHotEncoder().fit(X), lazy, X)


def test_categoricals_whose_categories_differ_between_blocks():
    parts = [pd.DataFrame({"c": pd.Categorical(["a", "b"])}), pd.DataFrame({"c": pd.Categorical(["z", None, "a"])})]
    lazy = dd.from_map(lambda number: parts[number], range(2), meta=parts[0][:0])
    table = pd.DataFrame({"c": ["a", "b", "z", np.nan, "a"]})
    assert_same(OneHotEncoder().fit(lazy), sklearn.preprocessing.OneHotEncoder().fit(table), lazy, table)


def test_given_categories():
    table = frame()[["letter"]]
    lazy = dd.from_pandas(table, npartitions=3)
    options = {"categories": [["z", "b", "a"]], "handle_unknown": "ignore", "min_frequency": 1}
    theirs = sklearn.preprocessing.OneHotEncoder(**options).fit(table)
    assert_same(OneHotEncoder(**options).fit(lazy), theirs, lazy, table)
    with pytest.raises(ValueError, match="Found unknown categories"):
        OneHotEncoder(categories=[["a", "b"]]).fit(lazy)


def test_csr_blocks_and_empty_partitions():
    X = sp.csr_array(np.array([[1.0, 0], [0, 0], [2, 3]]))
    with pytest.raises(TypeError, match=r"[Ss]parse"):
        sklearn.preprocessing.OneHotEncoder().fit(X)
    table = frame()
    lazy = dd.from_pandas(table, npartitions=6)
    lazy = lazy[lazy["digit"] < 2]  # leaves blocks of any size, known to nobody
    few = table[table["digit"] < 2]
    few_again = dd.concat([lazy[lazy["digit"] > 9], lazy])
    assert_same(OneHotEncoder().fit(few_again), sklearn.preprocessing.OneHotEncoder().fit(few), few_again, few)


def test_the_cluster_lends_its_workers(client: Client):
    table = frame(2000, missing=True)
    lazy = dd.from_pandas(table, npartitions=20)
    ours = OneHotEncoder(max_categories=4).fit(lazy)
    assert_same(ours, sklearn.preprocessing.OneHotEncoder(max_categories=4).fit(table), lazy, table)


def test_unknown_categories():
    table = frame()
    other = table.assign(letter="new")
    lazy = dd.from_pandas(other, npartitions=2)
    strict = OneHotEncoder().fit(dd.from_pandas(table, npartitions=2)).transform(lazy)
    with pytest.raises(DataError, match=r"Found unknown categories \['new'\] in column 0 during .*in block \d"):
        strict.compute()
    late = da.from_array(np.array([["a"], ["a"], ["z"]], dtype=object), chunks=1)
    with pytest.raises(DataError, match="in block 2"):
        OneHotEncoder().fit(late[:2]).transform(late).compute()
    for handle in ("ignore", "infrequent_if_exist"):
        options = {"handle_unknown": handle, "min_frequency": 10}
        theirs = sklearn.preprocessing.OneHotEncoder(**options).fit(table)
        ours = OneHotEncoder(**options).fit(dd.from_pandas(table, npartitions=2))
        np.testing.assert_array_equal(ours.transform(lazy).compute().toarray(), theirs.transform(other).toarray())


def test_dropping_what_is_not_there_or_infrequent():
    table = frame()[["letter"]]
    lazy = dd.from_pandas(table, npartitions=2)
    with pytest.raises(ValueError, match="supposed to be dropped"):
        OneHotEncoder(drop=["q"]).fit(lazy)
    with pytest.raises(DataError, match="Unable to drop category 'h' from feature 0 because it is infrequent"):
        OneHotEncoder(drop=["h"], min_frequency=20).fit(lazy)
    with pytest.raises(ValueError, match="min_frequency"):
        OneHotEncoder(min_frequency=-1).fit(lazy)


def test_dense_frames_and_the_way_back():
    table = frame()
    lazy = dd.from_pandas(table, npartitions=3)
    options = {"sparse_output": False}
    ours = OneHotEncoder(**options).set_output(transform="pandas").fit(lazy)
    wanted = sklearn.preprocessing.OneHotEncoder(**options).set_output(transform="pandas").fit(table)
    pd.testing.assert_frame_equal(ours.transform(lazy).compute(), wanted.transform(table))
    back = ours.inverse_transform(ours.transform(lazy))
    np.testing.assert_array_equal(back.compute(), wanted.inverse_transform(wanted.transform(table)))
    encoder = OneHotEncoder().fit(lazy)
    back = encoder.inverse_transform(encoder.transform(lazy))
    np.testing.assert_array_equal(back.compute(), table.to_numpy(dtype=object))
    with pytest.raises(ValueError, match="sparse"):
        OneHotEncoder().set_output(transform="pandas").fit(lazy).transform(lazy)
    with pytest.raises(DataError, match="expected the 15 of transform"):
        encoder.inverse_transform(da.zeros((4, 2)))


def test_fitted_in_memory_transforms_dask():
    table = frame()
    ours = OneHotEncoder().fit(table)
    wanted = sklearn.preprocessing.OneHotEncoder().fit(table)
    assert_same(ours, wanted, dd.from_pandas(table, npartitions=3), table)

from __future__ import annotations

from itertools import pairwise

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import sklearn.impute
from distributed import Client
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.utils.estimator_checks import parametrize_with_checks

from daskml_kit.data.block import Block
from daskml_kit.exceptions import DataError
from daskml_kit.impute import SimpleImputer
from daskml_kit.reductions import quantiles as order
from daskml_kit.reductions.reduction import Node, reduce_nodes

STRATEGIES = ["mean", "median", "most_frequent", "constant"]
EMPTY = "ignore:Skipping features without any observed values"


@parametrize_with_checks([SimpleImputer(), SimpleImputer(strategy="median")])
def test_scikit_learns_checks(estimator, check):
    check(estimator)


def cut(X, cuts):
    edges = [0, *sorted(cuts), len(X)]
    return da.concatenate([da.from_array(X[a:b], chunks=(max(b - a, 1), 2)) for a, b in pairwise(edges)])


def plain(result):
    return result.toarray() if sp.issparse(result) else np.asarray(result)


def assert_same(ours, theirs, lazy, table, rtol=1e-12):
    atol = 1e-6 if rtol > 1e-9 else 1e-15
    assert ours.statistics_.dtype == theirs.statistics_.dtype
    if theirs.statistics_.dtype == object:
        assert [repr(value) for value in ours.statistics_] == [repr(value) for value in theirs.statistics_]
    else:
        np.testing.assert_allclose(ours.statistics_, theirs.statistics_, rtol=rtol, atol=atol)
    assert list(ours.get_feature_names_out()) == list(theirs.get_feature_names_out())
    result, wanted = ours.transform(lazy), theirs.transform(table)
    assert result.dtype == wanted.dtype
    got = pd.DataFrame(plain(result.compute()))
    pd.testing.assert_frame_equal(got, pd.DataFrame(plain(wanted)), rtol=rtol, atol=atol)


@pytest.mark.filterwarnings(EMPTY)
@settings(max_examples=40, deadline=None)
@given(
    cuts=st.lists(st.integers(0, 50), max_size=6),
    strategy=st.sampled_from(STRATEGIES),
    share=st.sampled_from([0.0, 0.2, 0.9]),
    kind=st.sampled_from(["f8", "f4", "i8"]),
    add_indicator=st.booleans(),
    keep_empty_features=st.booleans(),
    seed=st.integers(0, 5),
)
def test_any_chunking_and_pattern(cuts, strategy, share, kind, add_indicator, keep_empty_features, seed):
    rng = np.random.default_rng(seed)
    X = rng.integers(-3, 4, (50, 4)) * (0.5 if kind[0] == "f" else 1)
    X = X.astype(kind)
    marker = np.nan if kind[0] == "f" else -7
    X[rng.random(X.shape) < share] = marker
    X[:, 3] = marker
    options = {"strategy": strategy, "add_indicator": add_indicator, "keep_empty_features": keep_empty_features}
    theirs = sklearn.impute.SimpleImputer(missing_values=marker, **options).fit(X)
    ours = SimpleImputer(missing_values=marker, **options).fit(cut(X, cuts))
    assert_same(ours, theirs, cut(X, cuts), X, rtol=1e-6 if kind == "f4" else 1e-12)


def mixed():
    rng = np.random.default_rng(3)
    table = pd.DataFrame(
        {
            "city": rng.choice(["Oslo", "Rome", "Bern"], 90),
            "floor": rng.integers(0, 4, 90),
            "wind": rng.normal(size=90).round(1),
            "kind": pd.Categorical(rng.choice(["u", "v"], 90)),
            "whole": pd.array(rng.integers(0, 9, 90), dtype="Int64"),
        }
    )
    table.loc[::5, "city"] = np.nan
    table.loc[1::5, "wind"] = np.nan
    table.loc[2::5, "kind"] = np.nan
    return table


@pytest.mark.parametrize("strategy", ["most_frequent", "constant"])
def test_mixed_data_frames(strategy):
    table = mixed()
    lazy = dd.from_pandas(table, npartitions=4)
    theirs = sklearn.impute.SimpleImputer(strategy=strategy, add_indicator=True).fit(table)
    assert_same(SimpleImputer(strategy=strategy, add_indicator=True).fit(lazy), theirs, lazy, table)


@pytest.mark.parametrize("marker", [np.nan, pd.NA], ids=["nan", "NA"])
@pytest.mark.parametrize("dtype", ["str", "string", "category"])
def test_strings_missing_in_any_way(marker, dtype):
    table = mixed()[["city"]].astype({"city": dtype})
    lazy = dd.from_pandas(table, npartitions=4)
    ours = SimpleImputer(strategy="most_frequent", missing_values=marker).fit(lazy)
    plain_table = table.astype({"city": "str"})
    theirs = sklearn.impute.SimpleImputer(strategy="most_frequent", missing_values=marker).fit(plain_table)
    assert_same(ours, theirs, lazy, plain_table)


@pytest.mark.parametrize(
    ("values", "marker"),
    [
        (["b", None, "a", None, "a", "b"], None),
        (["b", "?", "a", "?", "?", "b"], "?"),
        (["b", None, "a", np.nan, "a", "b"], np.nan),
    ],
    ids=["None", "?", "nan"],
)
@pytest.mark.parametrize("strategy", ["most_frequent", "constant"])
def test_objects(values, marker, strategy):
    X = np.array(values, dtype=object)[:, None]
    options = {"strategy": strategy, "missing_values": marker}
    theirs = sklearn.impute.SimpleImputer(**options).fit(X)
    assert_same(SimpleImputer(**options).fit(cut(X, [1, 4])), theirs, cut(X, [1, 4]), X)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_csr_blocks(strategy):
    rng = np.random.default_rng(0)
    X = sp.random_array((40, 3), density=0.5, format="csr", rng=rng)
    X.data[rng.random(X.nnz) < 0.3] = np.nan
    halves = [X[:20], X[20:]]
    lazy = da.concatenate([da.from_delayed(dask.delayed(half), (20, 3), meta=X[:0]) for half in halves])
    theirs = sklearn.impute.SimpleImputer(strategy=strategy).fit(X)
    ours = SimpleImputer(strategy=strategy).fit(lazy)
    assert_same(ours, theirs, lazy, X)
    assert sp.issparse(ours.transform(lazy).compute())


def asked(X, n_blocks, limit):
    """Return the medians and the number of passes."""
    blocks = [Block(part) for part in np.array_split(X, n_blocks)]
    asking = order.medians(limit)
    reduction, passes = next(asking), 0
    while passes < 20:
        passes += 1
        nodes = [Node(0, position, reduction.chunk(block)) for position, block in enumerate(blocks)]
        total = reduce_nodes(reduction, nodes, n_blocks)[0].partial
        assert max(len(within.values) for within in total) <= max(limit, order.LEAST_LIMIT)
        try:
            reduction = asking.send(total)
        except StopIteration as end:
            return end.value, passes
    raise AssertionError("the brackets do not close")


@settings(max_examples=40, deadline=None)
@given(
    n_rows=st.integers(1, 9000),
    n_blocks=st.integers(1, 9),
    scale=st.sampled_from([1, 40, 10_000]),
    zeros=st.sampled_from([0.0, 0.49, 0.5, 0.51, 0.95]),
    seed=st.integers(0, 99),
)
def test_medians_are_exact_in_bounded_memory(n_rows, n_blocks, scale, zeros, seed):
    rng = np.random.default_rng(seed)
    X = np.stack([rng.normal(size=n_rows), np.round(scale * rng.standard_cauchy(n_rows))], axis=1)
    X = np.where(rng.random(X.shape) < zeros, 0, np.abs(X))
    found, passes = asked(X, n_blocks, order.LEAST_LIMIT)
    np.testing.assert_array_equal(found, np.median(X, axis=0))
    assert passes <= 3


def test_medians_take_two_passes_of_a_million_rows():
    X = np.random.default_rng(0).normal(size=(1_000_000, 1))
    found, passes = asked(X, 8, order.LIMIT)
    assert found == np.median(X)
    assert passes == 2


def test_data_that_change_between_passes_are_found_out():
    X = np.random.default_rng(0).normal(size=(5000, 1))
    asking = order.medians(1024)
    second = asking.send(next(asking).chunk(Block(X)))
    with pytest.raises(DataError, match="differ from one pass"):
        asking.send(second.chunk(Block(X + 9)))


def test_reading_the_source_once_where_two_passes_are_needed(monkeypatch):
    monkeypatch.setattr(order, "LEAST_LIMIT", 16)
    monkeypatch.setattr(order, "TOTAL_LIMIT", 16)
    reads = []
    X = np.random.default_rng(0).normal(size=(400, 1))

    def read(number):
        reads.append(number)
        return X[number * 100 : (number + 1) * 100]

    lazy = da.concatenate([da.from_delayed(dask.delayed(read)(i), (100, 1), meta=X[:0]) for i in range(4)])
    imputer = SimpleImputer(strategy="median").fit(lazy)
    assert imputer.statistics_ == np.median(X)
    assert sorted(reads) == [0, 1, 2, 3]


@pytest.mark.slow
def test_frames_on_the_cluster_with_empty_partitions(client: Client):
    table = mixed()[["floor", "wind"]]
    lazy = dd.from_pandas(table, npartitions=6)
    lazy = dd.concat([lazy[lazy["floor"] > 7], lazy])
    for strategy in STRATEGIES:
        theirs = sklearn.impute.SimpleImputer(strategy=strategy).fit(table)
        assert_same(SimpleImputer(strategy=strategy).fit(lazy), theirs, lazy, table)


def refuse(block):
    raise AssertionError("computed")


def test_transform_computes_nothing_and_writes_nowhere():
    table = mixed()[["wind", "floor"]]
    before = table.copy()
    held = dd.from_pandas(table, npartitions=3).persist()
    imputer = SimpleImputer(add_indicator=True).fit(held)
    trap = imputer.transform(held.map_partitions(refuse, meta=table[:0]))
    with pytest.raises(AssertionError, match="computed"):
        trap.compute()
    back = imputer.inverse_transform(imputer.transform(held)).compute()
    np.testing.assert_array_equal(back, before.to_numpy())
    pd.testing.assert_frame_equal(held.compute(), before)
    pd.testing.assert_frame_equal(table, before)
    framed = SimpleImputer().set_output(transform="pandas").fit_transform(held).compute()
    wanted = sklearn.impute.SimpleImputer().set_output(transform="pandas").fit_transform(table)
    pd.testing.assert_frame_equal(framed, wanted)


def test_what_cannot_be_is_named():
    lazy = dd.from_pandas(mixed(), npartitions=3)
    with pytest.raises(DataError, match=r"'city' \(str\) in block \d"):
        SimpleImputer().fit(lazy)
    with pytest.raises(DataError, match="strategy: a callable needs whole columns"):
        SimpleImputer(strategy=np.mean).fit(lazy[["wind"]])
    with pytest.raises(DataError, match=r"contains NaN in block \d"):
        SimpleImputer(missing_values=-1).fit(lazy[["wind"]])
    with pytest.raises(DataError, match="copy=False"):
        SimpleImputer(copy=False).fit(lazy[["wind"]])
    with pytest.raises(ValueError, match="strategy"):
        SimpleImputer(strategy="mode").fit(lazy[["wind"]])
    with pytest.raises(ValueError, match="fill_value='x'"):
        SimpleImputer(strategy="constant", fill_value="x").fit(lazy[["wind"]])


def test_the_twin_needs_no_dask():
    X = np.array([[1.0, np.nan], [3.0, 2.0]])
    twin = SimpleImputer(add_indicator=True).fit(da.from_array(X, chunks=1)).to_sklearn()
    assert type(twin) is sklearn.impute.SimpleImputer
    np.testing.assert_array_equal(twin.transform(X), [[1, 2, 1], [3, 2, 0]])

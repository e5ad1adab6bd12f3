"""Collections that partition functions and data sets return are sound Dask collections, in graph, meta and blocks."""

from __future__ import annotations

import datetime

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from dask.array.utils import assert_eq as assert_arrays_equal
from dask.dataframe.utils import assert_eq as assert_frames_equal

from daskml_kit import datasets
from daskml_kit.partition import hash_partition, place, random_partition, rebalance
from daskml_kit.partition import shuffle as shuffle_module

N = 60
X = np.arange(N * 2.0).reshape(N, 2)
FRAME = pd.DataFrame({"a": np.arange(N) % 4, "b": np.arange(N) / 2})


def collections():
    """Arrays of whole rows, of cut ones, of unknown lengths and of CSR blocks, a frame, a series, and values."""
    lazy = da.from_array(X, chunks=(20, 2))
    csr = lazy.map_blocks(sp.csr_array, meta=sp.csr_array((0, 2)))
    frame = dd.from_pandas(FRAME, npartitions=3)
    return [lazy, da.from_array(X, chunks=(25, 1)), lazy[lazy[:, 0] >= 0], csr, frame, frame["b"], np.arange(N)]


def check(collection, expected=None):
    """Compare with ``expected`` rows; the graph is validated on the way."""
    if isinstance(collection, da.Array):
        if sp.issparse(collection._meta):
            collection.__dask_graph__().validate()
            np.testing.assert_array_equal(collection.compute(scheduler="sync").toarray(), expected)
            return
        expected = collection.compute(scheduler="sync") if expected is None else expected
        assert_arrays_equal(collection, expected, scheduler="sync")
    else:
        expected = collection.compute(scheduler="sync") if expected is None else expected
        assert_frames_equal(collection, expected, check_index=True, sort_results=False, scheduler="sync")


@pytest.mark.slow
@pytest.mark.parametrize("way", ["exchange", "spill"])
@pytest.mark.parametrize("kind", ["random", "hash", "hash, even"])
def test_shuffled_rows(monkeypatch, way, kind):
    monkeypatch.setattr(shuffle_module, "fits", lambda *_: way == "exchange")
    given = collections()
    with dask.config.set(scheduler="sync"):
        if kind == "random":
            moved = random_partition(*given, npartitions=4, random_state=0)
        else:
            limit = {"max_skew": 1.5, "on_skew": "split"} if kind == "hash, even" else {}
            moved = hash_partition(*given, by="a", npartitions=3, **limit)
        order = moved[-1].compute()
    check(moved[-1])
    expected = [X, X, X, X, FRAME, FRAME["b"]]
    for collection, rows in zip(moved[:-1], expected, strict=True):
        check(collection, rows.iloc[order] if hasattr(rows, "iloc") else rows[order])


@pytest.mark.slow
def test_placed_blocks(client):
    for moved in (place(*collections(), strategy="round_robin"), rebalance(*collections())):
        for collection, rows in zip(moved, [X, X, X, None, FRAME, FRAME["b"], np.arange(N)], strict=True):
            if isinstance(collection, da.Array):
                collection.__dask_graph__().validate()
            if rows is not None:
                np.testing.assert_array_equal(collection.compute(), rows)


GENERATED = {
    "make_classification": lambda: datasets.make_classification(N, random_state=0, chunks=25),
    "make_regression": lambda: datasets.make_regression(N, 4, n_targets=2, random_state=0, chunks=25),
    "make_blobs": lambda: datasets.make_blobs(N, random_state=0, chunks=25),
    "make_counts": lambda: datasets.make_counts(N, 4, random_state=0, chunks=25),
    "make_ratings": lambda: [datasets.make_ratings(20, 10, N, random_state=0, chunks=25)],
    "make_classification_df": lambda: datasets.make_classification_df(
        N, random_state=0, chunks=25, dates=(datetime.date(2020, 1, 1), datetime.date(2021, 1, 1))
    ),
    "load_flights": lambda: [datasets.load_flights(columns=["carrier", "arr_delay"])],
}


def test_every_generator_is_checked():
    assert sorted(GENERATED) == sorted(datasets.__all__)


@pytest.mark.parametrize("name", GENERATED)
def test_generated_rows(name):
    for collection in GENERATED[name]():
        check(collection)

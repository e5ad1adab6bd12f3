"""hash_partition: rows of a key lie together, in order, complete; no block is larger than was asked for."""

from __future__ import annotations

import warnings

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from daskml_kit.exceptions import DataError
from daskml_kit.numerics.hashing import hash_keys
from daskml_kit.partition import hash_partition
from daskml_kit.partition import shuffle as move

LETTERS = np.array(list("abcde") * 8)
N = len(LETTERS)
TIMES = pd.Series(pd.to_datetime(np.arange(N) % 7, unit="D"))


@pytest.fixture(autouse=True)
def _one_thread():
    with dask.config.set(scheduler="sync"):
        yield


@pytest.fixture(params=["exchange", "spill"])
def way(request, monkeypatch):
    """Rows travel in memory, or by Dask's own shuffle."""
    monkeypatch.setattr(move, "fits", lambda *_: request.param == "exchange")
    return request.param


def blocks_of(collection):
    return [dask.delayed(block).compute() for block in np.ravel(collection.to_delayed())]


def skewed(n, n_keys, exponent, seed):
    weights = np.arange(1, n_keys + 1.0) ** -exponent
    return np.random.default_rng(seed).choice(n_keys, n, p=weights / weights.sum())


def where(keys, moved_rows):
    """The blocks that each key lies in."""
    found = {}
    for number, rows in enumerate(moved_rows):
        for key in np.unique(keys[rows]):
            found.setdefault(key, set()).add(number)
    return found


KINDS = ["array", "lazy", "series", "lazy series", "object", "times", "int8", "wide"]


@pytest.mark.parametrize(("kind", "fits"), [*((kind, True) for kind in KINDS), ("lazy", False), ("wide", False)])
def test_rows_of_a_key_lie_together_and_in_order(monkeypatch, kind, fits):
    monkeypatch.setattr(move, "fits", lambda *_: fits)
    numbers = np.arange(N) % 5
    by = {
        "array": numbers,
        "lazy": da.from_array(numbers, chunks=7),
        "series": pd.Series(LETTERS),
        "lazy series": dd.from_pandas(pd.Series(LETTERS), npartitions=3),
        "object": LETTERS.astype(object),
        "times": TIMES.to_numpy(),
        "int8": numbers.astype("i1"),
        "wide": np.stack([numbers, numbers % 2], axis=1),
    }[kind]
    keys = TIMES.to_numpy() if kind == "times" else numbers
    X = da.from_array(np.arange(N * 2.0).reshape(N, 2), chunks=(9, 1))
    moved, rows = dask.persist(*hash_partition(X, np.arange(N), by=by, npartitions=4))
    assert np.isnan(rows.chunks[0]).all()
    found = blocks_of(rows)
    assert len(found) == 4
    assert all((np.diff(block) > 0).all() for block in found)
    assert_array_equal(np.sort(np.concatenate(found)), np.arange(N))
    assert all(len(blocks) == 1 for blocks in where(keys, found).values())
    for block, row in zip(blocks_of(moved), found, strict=True):
        assert_array_equal(block[:, 0], row * 2)


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.lists(st.integers(-3, 3), max_size=12), min_size=1, max_size=6),
    st.integers(1, 9),
    st.sampled_from([np.int64, np.int8, np.float32, object, "M8[D]", str]),
)
def test_the_hash_says_where_whatever_the_blocks(blocks, npartitions, dtype):
    keys = np.concatenate([np.asarray(block, int) for block in blocks]).astype(dtype)
    lazy = da.from_array(keys, chunks=(tuple(len(block) for block in blocks),))
    rows = hash_partition(np.arange(len(keys)), by=lazy, npartitions=npartitions)
    homes = (hash_keys([("k", keys)]) % np.uint64(npartitions)).astype(int)
    for number, found in enumerate(blocks_of(rows)):
        assert_array_equal(found, np.flatnonzero(homes == number))


def frame():
    return pd.DataFrame(
        {
            "letter": pd.array(LETTERS, dtype="string"),
            "number": pd.array(np.arange(N) % 3, dtype="Int32"),
            "category": pd.Categorical(LETTERS),
            "time": TIMES.dt.tz_localize("Asia/Tokyo").to_numpy(),
            "object": np.array([[i] for i in range(N)] + [0], object)[:-1],
            "value": np.arange(N) / 4,
        },
        index=pd.Index(np.arange(N) * 3, name="id"),
    )


@pytest.mark.slow
@pytest.mark.parametrize("by", ["letter", "number", "category", "time", ["letter", "number"], ["value"]], ids=str)
def test_columns_of_a_frame_are_keys(way, by):
    with dask.config.set({"dataframe.convert-string": False}):
        moved, rows, sparse = hash_partition(
            dd.from_pandas(frame(), npartitions=3), np.arange(N), sp.eye_array(N, format="csr"), by=by, npartitions=5
        )
        parts, found, eyes = (blocks_of(part.persist()) for part in (moved, rows, sparse))
    keys = frame()[by].astype(str).agg("/".join, axis=1) if isinstance(by, list) else frame()[by].astype(str)
    assert all(len(blocks) == 1 for blocks in where(keys.to_numpy(), found).values())
    assert_array_equal(np.sort(np.concatenate(found)), np.arange(N))
    for part, row, eye in zip(parts, found, eyes, strict=True):
        pd.testing.assert_frame_equal(part, frame().iloc[row])
        assert_array_equal(eye.toarray(), np.eye(N)[row])


@pytest.mark.parametrize("by", ["letter", 0, ("letter", 1)], ids=str)
def test_column_names_of_any_kind(by):
    data = pd.DataFrame({"letter": LETTERS, 0: LETTERS, ("letter", 1): LETTERS, "row": np.arange(N)})
    (found,) = {part["row"].tolist()[0] for part in blocks_of(hash_partition(data, by=by, npartitions=1))}
    assert found == 0


def test_keys_in_several_columns_are_frames_arrays_or_names():
    data = frame()[["letter", "value"]]
    ways = [["letter", "value"], data, dd.from_pandas(data, npartitions=4)]
    results = [
        [r.tolist() for r in blocks_of(hash_partition(data, np.arange(N), by=by, npartitions=4)[1])] for by in ways
    ]
    assert results[0] == results[1] == results[2]
    numbers = np.stack([np.arange(N) % 3, np.arange(N) % 4], axis=1)
    array = hash_partition(np.arange(N), by=numbers, npartitions=4).compute()
    assert_array_equal(array, hash_partition(np.arange(N), by=pd.DataFrame(numbers), npartitions=4).compute())


def test_two_data_sets_meet_in_their_blocks():
    left = pd.DataFrame({"id": (np.arange(200) % 100).astype("i1"), "x": np.arange(200)})
    right = pd.DataFrame({"key": pd.Categorical(np.arange(100.0)), "z": np.arange(100) * 2})
    pairs = zip(
        blocks_of(hash_partition(dd.from_pandas(left, npartitions=5), by="id", npartitions=7)),
        blocks_of(hash_partition(dd.from_pandas(right, npartitions=2), by="key", npartitions=7)),
        strict=True,
    )
    joined = [a.merge(b.astype({"key": int}), left_on="id", right_on="key", how="left") for a, b in pairs]
    found = pd.concat(joined).sort_values("x")
    assert_array_equal(found["z"], found["x"] % 100 * 2)


def test_the_callers_data_is_not_written_to(way):
    data, keys = frame(), np.arange(N) % 4
    moved = hash_partition(data, keys, by="letter", npartitions=3, max_skew=1.2, on_skew="split")
    for part in moved:
        part.compute()
    pd.testing.assert_frame_equal(data, frame())
    assert_array_equal(keys, np.arange(N) % 4)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 1200),
    st.integers(1, 400),
    st.floats(0, 3),
    st.integers(1, 20),
    st.sampled_from([1.01, 1.05, 1.2, 2.0]),
    st.integers(1, 7),
    st.integers(0, 2**32 - 1),
)
def test_split_bounds_the_skew_and_loses_nothing(n, n_keys, exponent, npartitions, max_skew, n_blocks, seed):
    keys = skewed(n, n_keys, exponent, seed)
    rows = hash_partition(
        da.arange(n, chunks=-(-max(n, 1) // n_blocks)),
        by=keys,
        npartitions=npartitions,
        max_skew=max_skew,
        on_skew="split",
    )
    found = blocks_of(rows)
    lengths = np.array([len(block) for block in found])
    assert rows.chunks[0] == tuple(lengths)
    assert lengths.max() <= max(max_skew * n / npartitions, -(-n // npartitions))
    assert all((np.diff(block) > 0).all() for block in found)
    assert_array_equal(np.sort(np.concatenate(found)), np.arange(n))


def test_split_where_no_key_is_frequent():
    n, npartitions = 200_000, 8
    keys = np.arange(n) % 1500  # each a little too rare to be counted at first
    loads = [len(block) for block in blocks_of(hash_partition(keys, by=keys, npartitions=npartitions))]
    assert max(loads) > 1.05 * n / npartitions
    moved = hash_partition(keys, by=keys, npartitions=npartitions, max_skew=1.05, on_skew="split")
    assert max(moved.chunks[0]) <= 1.05 * n / npartitions
    assert_array_equal(np.bincount(moved.compute()), np.bincount(keys))
    with pytest.raises(DataError, match=r"1\.09 times.* in block 4; .*hot keys: none"):
        hash_partition(keys, by=keys, npartitions=npartitions, max_skew=1.05)


def test_keys_that_need_not_be_split_stay_whole():
    keys = np.concatenate([np.zeros(500, int), np.arange(1, 501)])
    rows = hash_partition(np.arange(1000), by=keys, npartitions=4, max_skew=1.1, on_skew="split")
    found = where(keys, blocks_of(rows))
    assert len(found.pop(0)) > 1
    assert all(len(blocks) == 1 for blocks in found.values())
    assert all(blocks == {int(hash_keys([("k", np.array([key]))])[0] % np.uint64(4))} for key, blocks in found.items())


def test_split_is_the_same_either_way(monkeypatch):
    keys = skewed(3000, 50, 1.1, 0)
    found = []
    for fits in (True, False):
        monkeypatch.setattr(move, "fits", lambda *_, fits=fits: fits)
        rows = hash_partition(da.arange(3000, chunks=500), by=keys, npartitions=6, max_skew=1.2, on_skew="split")
        found.append(rows.compute())
    assert_array_equal(*found)


HOT = r"hot keys: 7 \(60 rows, 60.0%\)"


def uneven():
    return np.where(np.arange(100) < 60, 7, np.arange(100))


def test_skew_raises_and_names_the_keys():
    message = (
        rf"max_skew: expected at most 1.5 times the mean of 25 rows in a block, got .*2\.\d+ times.* in block \d.*{HOT}"
    )
    with pytest.raises(DataError, match=message):
        hash_partition(uneven(), by=uneven(), npartitions=4, max_skew=1.5)
    data = pd.DataFrame({"a": uneven(), "b": ["x"] * 100})
    with pytest.raises(DataError, match=r"hot keys: 7, x \(60 rows, 60.0%\)"):
        hash_partition(data, by=["a", "b"], npartitions=4, max_skew=1.5)


def test_skew_warns_and_names_the_keys():
    with pytest.warns(UserWarning, match=HOT) as caught:
        rows = hash_partition(np.arange(100), by=uneven(), npartitions=4, max_skew=1.5, on_skew="warn")
    assert caught[0].filename == __file__
    found = blocks_of(rows)
    assert rows.chunks[0] == tuple(len(block) for block in found)
    assert all(len(blocks) == 1 for blocks in where(uneven(), found).values())


def test_no_complaint_without_skew():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for on_skew in ("raise", "warn", "split"):
            rows = hash_partition(np.arange(100), by=np.arange(100), npartitions=2, max_skew=1.9, on_skew=on_skew)
            assert sum(rows.chunks[0]) == 100
        assert sum(hash_partition(np.arange(0), by=np.arange(0), npartitions=2, max_skew=1.1).chunks[0]) == 0


def with_column(values):
    return dd.from_pandas(frame().assign(key=values), npartitions=4)


MISSING = {
    "NaN": np.where(np.arange(N) == 25, np.nan, 1.0),
    "None": np.array(["a"] * 25 + [None] + ["b"] * (N - 26), object),
    "NaT": TIMES.where(TIMES.index != 25).to_numpy(),
    "NA": pd.array([1] * 25 + [None] + [2] * (N - 26), dtype="Int64"),
    "category": pd.Categorical(["a"] * 25 + [None] + ["b"] * (N - 26)),
}


@pytest.mark.parametrize(
    ("kind", "fits", "counted"),
    [*((kind, True, False) for kind in MISSING), ("NaN", False, False), ("NaN", True, True)],
)
def test_missing_keys_are_named_with_column_and_block(monkeypatch, kind, fits, counted):
    monkeypatch.setattr(move, "fits", lambda *_: fits)
    message = r"by: column 'key' has missing keys, .* in row 5.* \(in block 2\)"
    limit = {"max_skew": 9, "on_skew": "warn"} if counted else {}
    with dask.config.set({"dataframe.convert-string": False}), pytest.raises(DataError, match=message):
        hash_partition(with_column(MISSING[kind]), by="key", **limit).compute()


@pytest.mark.parametrize("values", [[[i] for i in range(N)], [1, "a"] * (N // 2)], ids=["lists", "mixed"])
def test_keys_without_a_hash_are_named(way, values):
    keys = np.array([*values, None], object)[:-1]
    with pytest.raises(DataError, match=r"by: expected keys of one kind.*the keys with mixed.* \(in block 0\)"):
        hash_partition(np.arange(N), by=keys).compute()


X, KEYS, FRAME = np.ones((10, 2)), np.arange(10), pd.DataFrame({"a": range(10), "b": range(10)})
WRONG = {
    "missing column": ({"by": "z"}, r"by: expected columns of collections\[1\] \('a', 'b'\), got 'z'"),
    "missing columns": ({"by": ["a", "z", 3]}, r"\('a', 'b'\), got 'z', 3"),
    "no columns": ({"by": []}, r"\('a', 'b'\), got none"),
    "None": ({"by": None}, "by: expected column names, or dense keys .*, got None"),
    "a number": ({"by": 1.5}, "by: expected column names, or dense keys .*, got 1.5"),
    "3-D": ({"by": np.ones((10, 2, 2))}, r"by: expected .* keys of one column or several, got rows of shape \(2, 2\)"),
    "no column": ({"by": np.ones((10, 0))}, r"by: expected .* keys of one column or several, got rows of shape \(0,\)"),
    "empty frame": ({"by": FRAME[[]]}, "by: expected .* keys of one column or several"),
    "sparse": ({"by": sp.csr_array(X)}, "by: expected .* keys of one column or several, got a sparse matrix"),
    "0": ({"by": KEYS, "npartitions": 0}, "npartitions: expected .* got 0"),
    "-1": ({"by": KEYS, "npartitions": -1}, "npartitions: expected .* got -1"),
    "1.5": ({"by": KEYS, "npartitions": 1.5}, "npartitions: expected .* got 1.5"),
    "True": ({"by": KEYS, "npartitions": True}, "npartitions: expected .* got True"),
    "skew 1": ({"by": KEYS, "max_skew": 1}, "max_skew: expected a number above 1, got 1"),
    "skew 0": ({"by": KEYS, "max_skew": 0}, "max_skew: expected a number above 1, got 0"),
    "skew nan": ({"by": KEYS, "max_skew": np.nan}, "max_skew: expected a number above 1, got nan"),
    "skew True": ({"by": KEYS, "max_skew": True}, "max_skew: expected a number above 1, got True"),
    "skew text": ({"by": KEYS, "max_skew": "2"}, "max_skew: expected a number above 1, got '2'"),
    "on_skew": ({"by": KEYS, "on_skew": "spilt"}, 'on_skew: expected "raise", "split" or "warn", got \'spilt\''),
    "lengths": ({"by": KEYS[:-1]}, r"by: Found .* expected 10 rows as in collections\[0\], got 9"),
    "lazy lengths": ({"by": da.arange(9, chunks=3)}, r"collections\[0\]: Found .* expected 9 rows as in by, got 10"),
}


@pytest.mark.parametrize("case", WRONG)
def test_bad_input_is_named(case):
    options, message = WRONG[case]
    with pytest.raises(DataError, match=message):
        hash_partition(X, FRAME, **options)


def test_collections_that_are_none_or_no_rows_are_named():
    with pytest.raises(DataError, match="collections: expected at least one"):
        hash_partition(by=KEYS)
    with pytest.raises(DataError, match=r"collections\[0\]: expected rows, got"):
        hash_partition(3, by=KEYS)
    with pytest.raises(DataError, match="by: expected an array or Series of keys beside arrays, got 'a'"):
        hash_partition(X, by="a")
    twice = pd.DataFrame(X, columns=["a", "a"])
    with pytest.raises(DataError, match=r"by: collections\[0\] has several columns 'a'"):
        hash_partition(twice, by="a")
    assert sum(len(block) for block in blocks_of(hash_partition(twice, by=twice, npartitions=2))) == 10


@pytest.mark.parametrize("limit", [{}, {"max_skew": 1.5, "on_skew": "split"}], ids=["at once", "counted"])
def test_lengths_that_differ_unseen_are_named_where_the_rows_are(way, limit):
    parts = [dask.delayed(FRAME["a"].iloc[a:b]) for a, b in ((0, 5), (5, 9), (9, 10))]
    keys = dd.from_delayed(parts, meta=FRAME["a"].iloc[:0])
    with pytest.raises(DataError, match=r"by: .*inconsistent.*: expected \d rows, got \d in block [12]"):
        hash_partition(da.arange(10, chunks=(5, 3, 2)), by=keys, **limit).compute()

"""Collections of any kind become blocks of the same rows, and are collections again."""

from __future__ import annotations

from itertools import pairwise

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

from daskml_kit.data.align import align_rows, check_lengths
from daskml_kit.data.collections import align, cut, dask_matrix, dask_vector, join, take
from daskml_kit.exceptions import DataError

SIZES = st.lists(st.integers(0, 9), min_size=1, max_size=6)


@pytest.fixture(autouse=True)
def _one_thread():
    with dask.config.set(scheduler="sync"):
        yield


def split(values, sizes):
    edges = np.cumsum([0, *sizes])
    return [cut(values, a, b) for a, b in pairwise(edges)]


def lazy_array(values, sizes, known=True):
    array = da.from_array(values, chunks=(tuple(sizes), *values.shape[1:]))
    unknown = ((np.nan,) * len(sizes), *array.chunks[1:])
    return array if known else array.map_blocks(lambda block: block, chunks=unknown, meta=values[:0])


def lazy_frame(values, sizes):
    return dd.from_delayed([dask.delayed(part) for part in split(values, sizes)], meta=values.iloc[:0])


def resized(draw, total):
    cuts = sorted(draw(st.lists(st.integers(0, total), max_size=5)))
    return np.diff([0, *cuts, total]).tolist()


@settings(max_examples=20, deadline=None)
@given(SIZES, st.data())
def test_blocks_are_cut_alike(sizes, data):
    n, other, third = sum(sizes), resized(data.draw, sum(sizes)), resized(data.draw, sum(sizes))
    values = np.arange(n * 2).reshape(n, 2)
    frame = pd.DataFrame({"a": np.arange(n), "b": np.arange(n).astype(str)})
    matrix = sp.csr_array(np.arange(n * 2).reshape(n, 2))
    given = {
        "X": lazy_array(values, sizes),
        "y": lazy_array(np.arange(n), other, known=len(other) == len(sizes)),
        "frame": lazy_frame(frame, third) if len(third) != len(sizes) else lazy_frame(frame, sizes),
        "matrix": matrix,
        "series": frame["a"],
        "list": list(range(n)),
    }
    if len(other) == len(sizes):
        given["y"] = lazy_array(np.arange(n), sizes, known=False)
    rows = align_rows(given)
    assert rows.lengths == sizes
    assert rows.n_rows == n
    assert rows.starts == np.cumsum([0, *sizes])[:-1].tolist()
    whole = [values, np.arange(n), frame, matrix, frame["a"], np.arange(n)]
    for column, expected in zip(rows.columns, whole, strict=True):
        parts = dask.compute(*column.blocks)
        for part, piece in zip(parts, split(expected, sizes), strict=True):
            assert part.shape == piece.shape
            if isinstance(piece, pd.DataFrame):
                pd.testing.assert_frame_equal(part, piece)
            elif isinstance(piece, pd.Series):
                pd.testing.assert_series_equal(part, piece)
            elif sp.issparse(piece):
                assert_array_equal(part.toarray(), piece.toarray())
            else:
                assert_array_equal(part, piece)


def test_lengths_are_counted_from_what_is_cheapest():
    read = []

    def watched(block):
        read.append(block.ndim)
        return block

    X = da.ones((10, 3), chunks=(4, 3)).map_blocks(watched, meta=np.empty((0, 3)))
    y = da.ones(10, chunks=4).map_blocks(watched, meta=np.empty(0))
    rows = align_rows({"X": X[X[:, 0] > 0], "y": y[y > 0]})
    assert rows.lengths == [4, 4, 2]
    assert 2 not in read
    read.clear()
    assert align_rows({"X": X[X[:, 0] > 0], "y": y}).lengths == [4, 4, 2]
    assert read == []


def test_the_callers_unknown_lengths_stay_unknown():
    x = da.arange(10, chunks=4)
    unknown = x[x >= 0]
    align_rows({"x": unknown, "y": np.arange(10)})
    assert np.isnan(unknown.chunks[0]).all()


def test_memory_alone_is_cut_by_its_size():
    assert align_rows({"x": np.arange(10)}).lengths == [10]
    lengths = align_rows({"x": np.zeros((200_000, 8))}).lengths
    assert len(lengths) == 3
    assert max(lengths) - min(lengths) <= 1
    assert align_rows({"x": np.arange(0)}).lengths == [0]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"x": 3}, "x: expected rows, got"),
        ({"x": da.ones(3).sum()}, "x: expected rows, got an array without dimensions"),
        ({"x": np.ones(3), "y": "abc"}, "y: expected rows, got"),
        ({"x": np.ones(3), "y": np.ones(4)}, "y: .*inconsistent.*expected 3 rows as in x, got 4"),
        ({"x": da.ones(6, chunks=3), "y": da.ones(7, chunks=4)}, r"block 0: 3 rows in x, 4 in y"),
    ],
)
def test_bad_input_is_named(values, message):
    with pytest.raises(DataError, match=message):
        align_rows(values)


def test_parts_of_other_lengths_are_named():
    check_lengths(["x", "y"], [np.ones(3), pd.Series([1, 2, 3])], 4, 3)
    with pytest.raises(DataError, match=r"y: .*inconsistent.* expected 3 rows, got 2 in block 4"):
        check_lengths(["x", "y"], [np.ones(3), np.ones(2)], 4, 3)


FRAME = pd.DataFrame({"a": [1, 2, 3], "c": pd.Categorical(list("xyx"))}, index=[5, 6, 7])


@pytest.mark.parametrize(
    "part",
    [np.arange(6).reshape(3, 2), sp.csr_array(np.eye(3)), FRAME, FRAME["a"], FRAME["c"]],
    ids=lambda p: type(p).__name__,
)
def test_pieces_are_taken_cut_and_joined(part):
    mask = np.array([True, False, True])
    assert_array_equal(dense(take(part, np.array([2, 0]))), dense(part)[[2, 0]])
    assert_array_equal(dense(take(part, mask)), dense(part)[[0, 2]])
    assert_array_equal(dense(cut(part, 1, 3)), dense(part)[1:])
    joined = join([cut(part, 0, 1), cut(part, 1, 1), cut(part, 1, 3)])
    assert type(joined) is type(part)
    assert_array_equal(dense(joined), dense(part))


def dense(part):
    return part.toarray() if sp.issparse(part) else np.asarray(part)


def test_categories_are_united_and_the_pieces_left_alone():
    pieces = [pd.DataFrame({"c": pd.Categorical(list(word)), "n": 1}) for word in ("ab", "c", "b")]
    before = [piece.copy() for piece in pieces]
    joined = join(pieces)
    assert joined["c"].tolist() == list("abcb")
    assert joined["c"].cat.categories.tolist() == list("abc")
    assert join([piece["c"] for piece in pieces]).tolist() == list("abcb")
    for piece, original in zip(pieces, before, strict=True):
        pd.testing.assert_frame_equal(piece, original)


@pytest.fixture
def files(tmp_path):
    """A data frame of files, of which Dask reads several at once where it takes few columns."""
    rng = np.random.default_rng(0)
    for part in range(9):
        frame = pd.DataFrame(rng.normal(size=(10 + part, 12)), columns=list("abcdefghijkl"))
        frame.to_parquet(tmp_path / f"{part}.parquet")
    return dd.read_parquet(tmp_path)


def test_columns_of_files_have_the_same_blocks(files):
    X, y = files[list("abcdefghijk")], files["l"]
    rows = align_rows({"X": X, "y": y})
    assert rows.lengths == [10 + part for part in range(9)]
    for column in rows.columns:
        assert [len(block.compute()) for block in column.blocks] == rows.lengths


def test_columns_of_files_are_aligned_without_counting(files):
    arrays = {"X": dask_matrix(files[list("abcdefghijk")]), "y": dask_vector(files["l"], "y")}
    aligned = align(arrays, trust=True)
    assert aligned == arrays
    assert {array.numblocks[0] for array in aligned.values()} == {9}
    assert_array_equal(aligned["y"].compute(), files["l"].compute())

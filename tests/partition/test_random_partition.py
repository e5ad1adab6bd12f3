"""random_partition: uniform, aligned, even, complete; the same for any blocks and either way through the machine."""

from __future__ import annotations

from itertools import pairwise, permutations

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from dask.dataframe.utils import make_meta
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from scipy.stats import chi2

from daskml_kit.exceptions import DataError
from daskml_kit.partition import random_partition
from daskml_kit.partition import shuffle as move

FEW = settings(max_examples=25, deadline=None)


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


def cut(values, sizes):
    return da.from_array(values, chunks=(tuple(sizes), *values.shape[1:]))


def dask_frame(frame, sizes):
    edges = np.cumsum([0, *sizes])
    return dd.from_delayed([dask.delayed(frame.iloc[a:b]) for a, b in pairwise(edges)], meta=frame.iloc[:0])


def rows_of(n, row):
    """Values that tell the row they stand for, in every dtype."""
    return {
        "f4": row.astype("f4") / 4,
        "f8": row / 4,
        "i8": row,
        "bool": row % 3 == 0,
        "object": np.array([f"s{r}" if r % 2 else r for r in row.tolist()] + [None], object)[:-1],
        "str": np.array([f"{r}" for r in row.tolist()], "U8"),
        "datetime": row.astype("M8[s]"),
        "2-D": np.stack([row, -row], axis=1),
        "3-D": np.stack([row, -row], axis=1)[:, None, :] * np.ones((1, 3, 1)),
        "no columns": np.empty((n, 0)),
        "strings 2-D": np.array([[f"a{r}", "b"] for r in row.tolist()] + [["", ""]], object)[:-1],
    }


def frame_of(row):
    return pd.DataFrame(
        {
            "number": row / 4,
            "category": pd.Categorical(row % 3, categories=[2, 0, 1]),
            "ordered": pd.Categorical(np.array(list("ab"))[row % 2], categories=["b", "a"], ordered=True),
            "nullable": pd.array(row, dtype="Int64"),
            "string": pd.array(row.astype(str), dtype="string"),
            "zone": pd.to_datetime(row, unit="h", utc=True).tz_convert("Asia/Tokyo"),
            "truth": row % 2 == 0,
        },
        index=pd.Index(row * 10, name="id"),
    ).assign(nullable=lambda f: f["nullable"].where(f["nullable"] % 4 != 0))


@st.composite
def sizes(draw):
    return draw(st.lists(st.integers(0, 12), min_size=1, max_size=7))


@pytest.mark.slow
def test_all_orders_are_as_likely():
    every = {order: i for i, order in enumerate(permutations(range(4)))}
    numbers = da.arange(4, chunks=3)
    drawn = np.random.RandomState(0)
    shuffled = [random_partition(numbers, random_state=drawn) for _ in range(24 * 20)]
    counts = np.bincount([every[tuple(order)] for order in np.array(dask.compute(*shuffled)).tolist()], minlength=24)
    assert 1e-3 < chi2.sf(((counts - 20) ** 2).sum() / 20, 23) < 1 - 1e-3


def test_rows_of_a_block_go_to_all_blocks_alike():
    n, n_blocks = 64_000, 16
    shuffled = random_partition(da.arange(n, chunks=n // n_blocks), random_state=3)
    table = np.array([np.bincount(block * n_blocks // n, minlength=n_blocks) for block in blocks_of(shuffled)])
    expected = n / n_blocks**2
    assert 1e-3 < chi2.sf(((table - expected) ** 2).sum() / expected, (n_blocks - 1) ** 2) < 1 - 1e-3


@FEW
@given(sizes(), st.integers(1, 12), st.integers(0, 2**31 - 1))
def test_blocks_are_even_and_complete_and_any_chunks_give_the_same(sizes, npartitions, seed):
    n = sum(sizes)
    shuffled = random_partition(cut(np.arange(n), sizes), npartitions=npartitions, random_state=seed)
    blocks = blocks_of(shuffled)
    lengths = [len(block) for block in blocks]
    assert shuffled.chunks[0] == tuple(lengths)
    assert max(lengths) - min(lengths) <= 1
    assert len(lengths) == npartitions
    assert n < npartitions or min(lengths) >= 1
    assert_array_equal(np.sort(np.concatenate(blocks)), np.arange(n))
    in_memory = random_partition(np.arange(n), npartitions=npartitions, random_state=seed)
    assert_array_equal(np.concatenate(blocks_of(in_memory)), np.concatenate(blocks))


def test_arrays_of_any_kind(way):
    @settings(max_examples=8 if way == "exchange" else 3, deadline=None)
    @given(sizes(), st.integers(1, 9), st.booleans())
    def any_cuts(sizes, npartitions, unknown):
        n = sum(sizes)
        kinds = list(rows_of(n, np.arange(n)).values())
        lazy = [cut(values, sizes) for values in kinds]
        if unknown:
            lazy = [
                part.map_blocks(lambda block: block, chunks=((np.nan,) * len(sizes), *part.chunks[1:]), meta=values[:0])
                for part, values in zip(lazy, kinds, strict=True)
            ]
        *moved, order = dask.persist(*random_partition(*lazy, np.arange(n), npartitions=npartitions, random_state=n))
        row = order.compute()
        assert_array_equal(np.sort(row), np.arange(n))
        before = rows_of(n, np.arange(n)).values()
        for values, original, part in zip(kinds, before, moved, strict=True):
            blocks = blocks_of(part)
            assert (part.dtype, part.shape) == (values.dtype, values.shape)
            assert [len(block) for block in blocks] == list(part.chunks[0])
            assert {block.dtype for block in blocks} == {values.dtype}
            assert_array_equal(np.concatenate(blocks), values[row])
            assert_array_equal(values, original)

    any_cuts()


@pytest.mark.slow
@settings(max_examples=3, deadline=None)
@given(sizes(), st.integers(1, 9))
def test_data_frames_series_and_csr_move_with_arrays(sizes, npartitions):
    n = sum(sizes)
    frame, lazy = frame_of(np.arange(n)), dask_frame(frame_of(np.arange(n)), sizes)
    matrix = sp.random_array((n, 4), density=0.4, format="csr", rng=0)
    results = {}
    for fits in (True, False):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(move, "fits", lambda *_, fits=fits: fits)
            parts = [lazy, lazy["string"], lazy["category"], matrix, np.arange(n)]
            shuffled = random_partition(*parts, npartitions=npartitions, random_state=7)
            results[fits] = [part.persist() for part in shuffled]
        moved, series, category, sparse, order = (part.compute() for part in results[fits])
        assert_array_equal(np.sort(order), np.arange(n))
        pd.testing.assert_frame_equal(moved, frame.iloc[order])
        pd.testing.assert_series_equal(series, frame["string"].iloc[order])
        pd.testing.assert_series_equal(category, frame["category"].iloc[order])
        assert_array_equal(sparse.toarray(), matrix.toarray()[order])
    for memory, disk in zip(results[True], results[False], strict=True):
        for a, b in zip(blocks_of(memory), blocks_of(disk), strict=True):
            assert type(a) is type(b)
            assert a.shape == b.shape


def test_categories_that_differ_or_are_not_known(way):
    parts = [pd.DataFrame({"c": pd.Categorical(list(word)), "n": range(len(word))}) for word in ("aab", "bcc", "zz")]
    unknown = dd.from_pandas(parts[0], npartitions=1)["c"].cat.as_unknown().to_frame().assign(n=0)
    lazy = dd.from_delayed([dask.delayed(part) for part in parts], meta=make_meta(unknown))
    assert not lazy["c"].cat.known
    moved, order = random_partition(lazy, np.arange(8), npartitions=2, random_state=0)
    expected = pd.concat([part.astype({"c": str}) for part in parts]).iloc[order.compute()]
    found = moved.compute()
    assert isinstance(found["c"].dtype, pd.CategoricalDtype)
    pd.testing.assert_frame_equal(found.astype({"c": str}), expected)


def test_objects_stay_what_they_are(way):
    things = [1, 2.5, "a", None, (1, 2), b"b", ["x"], {"k": 1}, True]
    objects = np.empty(len(things), object)
    objects[:] = things
    frame = pd.DataFrame({"o": objects}, index=pd.Index(objects[::-1], name="i"))
    with dask.config.set({"dataframe.convert-string": False}):
        found, framed, order = (
            part.compute() for part in random_partition(objects, frame, np.arange(9), npartitions=2, random_state=0)
        )
    for place, row in enumerate(order):
        assert found[place] == framed["o"].iloc[place] == things[row]
        assert type(found[place]) is type(framed["o"].iloc[place]) is type(things[row])
        assert framed.index[place] == things[::-1][row]
    assert framed.index.name == "i"


def test_blocks_of_another_dtype_than_announced_are_not_misread(way):
    whole = dask.delayed(np.arange)(6)
    values = da.from_delayed(whole, (6,), float)
    assert_array_equal(np.sort(random_partition(values, npartitions=2, random_state=0).compute()), np.arange(6.0))
    words = da.from_delayed(dask.delayed(np.array(["abc", "de"])), (2,), "U1")
    assert sorted(random_partition(words, random_state=0).compute()) == ["abc", "de"]


def test_equal_column_names(way):
    frame = pd.DataFrame(np.arange(12.0).reshape(4, 3), columns=["a", "a", "b"])
    moved, order = random_partition(frame, np.arange(4), npartitions=2, random_state=0)
    pd.testing.assert_frame_equal(moved.compute(), frame.iloc[order.compute()])


def test_columns_in_several_blocks_are_brought_together(way):
    values = np.arange(40.0).reshape(10, 4)
    moved, order = random_partition(da.from_array(values, chunks=(3, 2)), np.arange(10), random_state=0)
    assert moved.chunks == ((2, 3, 2, 3), (4,))
    assert_array_equal(moved.compute(), values[order.compute()])


def test_a_state_decides_and_is_drawn_from():
    numbers = da.arange(100, chunks=30)
    first, again, other = (random_partition(numbers, random_state=seed).compute() for seed in (0, 0, 1))
    assert_array_equal(first, again)
    assert (first != other).any()
    state = np.random.RandomState(0)
    drawn = [random_partition(numbers, random_state=state).compute() for _ in range(2)]
    assert_array_equal(drawn[0], first)
    assert (drawn[0] != drawn[1]).any()


def test_one_gives_one_and_several_a_tuple():
    numbers = np.arange(5)
    assert isinstance(random_partition(numbers), da.Array)
    several = random_partition(numbers, pd.Series(numbers), pd.DataFrame({"n": numbers}), sp.csr_array((5, 1)))
    assert [type(part) for part in several] == [da.Array, dd.Series, dd.DataFrame, da.Array]
    assert isinstance(several[3].compute(), sp.csr_array)


def test_blocks_are_read_late_and_once(way, tmp_path):
    def read(block, block_info=None):
        if block_info:
            with open(tmp_path / f"{block_info[0]['chunk-location'][0]}", "a") as file:
                file.write("x")
        return block

    X = da.ones((40, 2), chunks=(5, 2)).map_blocks(read, dtype=float, meta=np.empty((0, 2)))
    moved = random_partition(X, X[:, 0], np.arange(40), npartitions=3, random_state=0)
    assert not list(tmp_path.iterdir())
    dask.compute(*moved)
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {str(i): "x" for i in range(8)}


def n_tasks(n_blocks, fits):
    X = da.ones((n_blocks * 4, 2), chunks=(4, 2))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(move, "fits", lambda *_: fits)
        moved = random_partition(X, X[:, 0], random_state=0)
    return sum(len(part.__dask_graph__()) for part in moved)


def test_tasks_grow_in_proportion_to_the_blocks():
    few, many = n_tasks(64, fits=True), n_tasks(1024, fits=True)
    assert many <= 17 * few
    assert many <= 20 * 1024


LENGTHS = r"inconsistent numbers of samples: expected 10 rows as in collections\[0\], got 9"
WRONG = {
    "nothing": (lambda: random_partition(), "collections: expected at least one"),
    "none": (lambda: random_partition(np.arange(3), None), r"collections\[1\]: expected rows, got"),
    "a number": (lambda: random_partition(3), r"collections\[0\]: expected rows, got"),
    "no dimension": (lambda: random_partition(da.ones(3).sum()), r"collections\[0\]: expected rows"),
    "0": (lambda: random_partition(np.arange(3), npartitions=0), "npartitions: expected .* at least 1, got 0"),
    "-1": (lambda: random_partition(np.arange(3), npartitions=-1), "npartitions: .* got -1"),
    "1.5": (lambda: random_partition(np.arange(3), npartitions=1.5), "npartitions: .* got 1.5"),
    "True": (lambda: random_partition(np.arange(3), npartitions=True), "npartitions: .* got True"),
    "'2'": (lambda: random_partition(np.arange(3), npartitions="2"), "npartitions: .* got '2'"),
    "lengths": (lambda: random_partition(np.arange(10), np.arange(9)), r"collections\[1\]: .*" + LENGTHS),
    "lazy lengths": (lambda: random_partition(da.arange(10, chunks=5), da.arange(9, chunks=5)), LENGTHS),
    "frame": (
        lambda: random_partition(da.arange(10, chunks=5), dd.from_pandas(pd.Series(range(9)), npartitions=3)),
        LENGTHS,
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_bad_input_is_named(case):
    call, message = WRONG[case]
    with pytest.raises(DataError, match=message):
        call()


def test_lengths_that_differ_unseen_are_named_where_the_rows_are(way):
    y = dask_frame(pd.DataFrame({"y": range(10)}), [5, 4, 1])["y"]
    moved = random_partition(da.arange(10, chunks=(5, 3, 2)), y, random_state=0)
    message = r"collections\[1\]: .* expected (3 rows, got 4 in block 1|2 rows, got 1 in block 2)"
    for part in moved:
        with pytest.raises(DataError, match=message):
            part.compute()

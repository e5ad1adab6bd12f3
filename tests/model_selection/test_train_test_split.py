"""train_test_split: exact sizes, aligned parts, nothing read that is not needed."""

from __future__ import annotations

import asyncio
import pickle

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import sklearn.model_selection as theirs
from distributed import Client
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from daskml_kit.exceptions import AsynchronousClientError, DataError
from daskml_kit.model_selection import train_test_split

UNEVEN = (3, 0, 11, 1, 20, 5)
N_ROWS = sum(UNEVEN)
ROWS = np.arange(N_ROWS)


def outcome(split, values, **options):
    try:
        return [len(part) for part in split(values, **options)]
    except ValueError as error:
        return str(error)


sizes = st.one_of(st.none(), st.integers(1, 45), st.floats(0.001, 0.999))


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(test_size=sizes, train_size=sizes, stratified=st.booleans())
def test_sizes_and_errors_are_those_of_scikit_learn(test_size, train_size, stratified):
    stratify = ROWS % 3 if stratified else None
    options = {"test_size": test_size, "train_size": train_size, "stratify": stratify}
    with dask.config.set(scheduler="sync"):
        got = outcome(train_test_split, da.from_array(ROWS, chunks=(UNEVEN,)), **options)
    assert got == outcome(theirs.train_test_split, ROWS, **options)


@pytest.mark.parametrize("options", [{}, {"stratify": True}, {"groups": True}])
def test_the_same_rows_are_drawn_whatever_the_blocks(options):
    def drawn(chunks, seed=1):
        by = {name: da.from_array(ROWS % 8, chunks=(chunks,)) for name in options}
        X = da.from_array(ROWS, chunks=(chunks,))
        return dask.compute(*train_test_split(X, test_size=0.3, random_state=seed, **by))

    train, test = drawn(UNEVEN)
    assert_array_equal(np.sort(np.concatenate([train, test])), ROWS)
    assert (np.diff(train) > 0).all()
    for chunks in ((N_ROWS,), (1,) * N_ROWS, (10,) * 4):
        assert_array_equal(drawn(chunks)[1], test)
    assert not np.array_equal(drawn(UNEVEN, 2)[1], test)


def test_classes_have_their_shares():
    y = np.repeat([0, 1, 2], [4, 9, 27])
    parts = dask.compute(*train_test_split(da.from_array(y, chunks=7), stratify=y, test_size=0.3, random_state=0))
    assert [len(part) for part in parts] == [28, 12]
    for part in parts:
        assert (abs(np.bincount(part) - np.bincount(y) * len(part) / N_ROWS) <= 1).all()


def test_groups_stay_on_one_side():
    groups = ROWS // 4
    train, test = dask.compute(
        *train_test_split(da.from_array(groups, chunks=(UNEVEN,)), groups=groups, random_state=0)
    )
    assert not set(train) & set(test)
    assert len(set(test)) == 3  # a quarter of ten, rounded up
    in_memory = train_test_split(groups, sp.csr_array(groups[:, None]), groups=groups, random_state=0)
    assert [part.shape[0] for part in in_memory] == [28, 12, 28, 12]
    assert_array_equal(in_memory[3].toarray().ravel(), in_memory[1])


def test_without_shuffle_the_last_rows_test():
    X = da.from_array(ROWS, chunks=(UNEVEN,))
    train, test = train_test_split(X, shuffle=False)
    assert_array_equal(train.compute(), ROWS[:30])
    assert_array_equal(test.compute(), ROWS[30:])
    assert test.chunks == ((5, 5),)
    train, test = train_test_split(X, shuffle=False, train_size=4, test_size=5)
    assert_array_equal(test.compute(), ROWS[4:9])


def test_blockwise_draws_a_share_of_each_block():
    chunks = (10, 0, 7, 23)
    X = da.from_array(ROWS, chunks=(chunks,))
    train, test = train_test_split(X, blockwise=True, test_size=0.3, random_state=0)
    assert test.chunks == ((3, 2, 7),)
    assert_array_equal(np.sort(np.concatenate(dask.compute(train, test))), ROWS)
    again = train_test_split(X, blockwise=True, test_size=0.3, random_state=0)[1]
    assert_array_equal(again.compute(), test.compute())


def frame_of_rows():
    text = pd.Series(np.array(["x", "y"])[ROWS % 2])
    return pd.DataFrame({"row": ROWS, "text": text, "kind": text.astype("category"), "when": pd.to_datetime(ROWS)})


def test_all_kinds_of_collections_stay_aligned_and_what_they_are():
    frame = frame_of_rows().set_index(pd.Index(ROWS + 100, name="id"))
    lazy = dd.from_pandas(frame, npartitions=4)
    matrix = np.stack([ROWS, ROWS], axis=1)
    sparse = da.from_array(matrix, chunks=(UNEVEN, 2)).map_blocks(sp.csr_array)
    given = (lazy, lazy.row, da.from_array(matrix, chunks=(7, 1)), sparse, frame, frame.row, matrix, ROWS.tolist())
    parts = train_test_split(*given, sp.csr_array(matrix), test_size=11, random_state=0)
    assert len(parts) == 18
    known = [part.compute() for part in parts]
    for side, size in ((0, 29), (1, 11)):
        rows = known[side].row.to_numpy()
        assert len(rows) == size
        pd.testing.assert_frame_equal(known[side], lazy.compute().loc[rows + 100], check_freq=False)
        pd.testing.assert_series_equal(known[2 + side], known[side].row)
        assert_array_equal(known[4 + side], matrix[rows])
        assert_array_equal(known[6 + side].toarray(), matrix[rows])
        pd.testing.assert_frame_equal(known[8 + side].astype(known[side].dtypes), known[side])
        assert_array_equal(known[10 + side].to_numpy(), rows)
        assert_array_equal(known[12 + side], matrix[rows])
        assert_array_equal(known[14 + side], rows)
        assert_array_equal(known[16 + side].toarray(), matrix[rows])
    assert parts[4].shape == (29, 2)


def test_unknown_lengths_become_known_and_frames_of_the_same_blocks_are_trusted():
    frame = dd.from_pandas(frame_of_rows(), npartitions=5)
    X = frame[["row"]].to_dask_array()
    assert np.isnan(X.shape[0])
    X_train, X_test, y_train, y_test = train_test_split(X, frame.row, random_state=0)
    assert (X_train.shape, X_test.shape) == ((30, 1), (10, 1))
    assert_array_equal(X_test.compute().ravel(), y_test.compute())
    assert_array_equal(X_train.compute().ravel(), y_train.compute())


def test_mixed_types_are_converted_where_asked_for():
    frame = frame_of_rows()
    X = da.from_array(ROWS, chunks=(UNEVEN,))
    kinds = [type(part) for part in train_test_split(X, dd.from_pandas(frame.row, npartitions=2), frame.row)]
    assert kinds == [da.Array] * 2 + [dd.Series] * 4
    parts = train_test_split(
        X, dd.from_pandas(frame.row, npartitions=2), frame.row, convert_mixed_types=True, random_state=0
    )
    assert [type(part) for part in parts] == [da.Array] * 6
    assert_array_equal(parts[3].compute(), parts[1].compute())
    only = train_test_split(dd.from_pandas(frame.row, npartitions=2), convert_mixed_types=True)
    assert isinstance(only[0], dd.Series)
    assert isinstance(train_test_split(ROWS, frame.row, convert_mixed_types=True)[2], np.ndarray)


def test_in_memory_it_is_scikit_learns():
    frame = frame_of_rows()
    for options in ({}, {"shuffle": False}, {"stratify": ROWS % 2}, {"train_size": 0.5}):
        got = train_test_split(ROWS, frame, random_state=0, **options)
        expected = theirs.train_test_split(ROWS, frame, random_state=0, **options)
        assert_array_equal(got[0], expected[0])
        pd.testing.assert_frame_equal(got[3], expected[3])


def test_X_is_read_once_and_only_when_the_parts_are_computed():
    reads = {"X": 0, "y": 0}

    def counted(name):
        def read(block):
            reads[name] += len(block)
            return block

        return read

    X = da.zeros((N_ROWS, 2), chunks=(UNEVEN, 2)).map_blocks(counted("X"), dtype=float, meta=np.empty((0, 2)))
    y = da.from_array(ROWS % 2, chunks=(UNEVEN,)).map_blocks(counted("y"), dtype=int, meta=np.empty(0, int))
    with dask.config.set(scheduler="sync"):
        parts = train_test_split(X, y, stratify=y)
        assert reads == {"X": 0, "y": N_ROWS}
        dask.compute(*parts)
        assert reads == {"X": N_ROWS, "y": 2 * N_ROWS}
        train_test_split(X, y)
    assert reads == {"X": N_ROWS, "y": 2 * N_ROWS}


def graph_of(n_blocks):
    X = da.zeros((100 * n_blocks, 2), chunks=(100, 2))
    y = da.ones(100 * n_blocks, chunks=100, dtype=int)
    X_train, *_ = train_test_split(X, y, stratify=y, random_state=0)
    return dict(X_train.__dask_graph__())


def test_the_graph_grows_with_the_blocks_alone():
    small, large = graph_of(10), graph_of(40)
    assert (len(large) - len(small)) / 30 <= 7
    assert len(pickle.dumps(large)) < 40 * 2500


def test_errors_say_what_does_not_go_together():
    X = da.from_array(ROWS, chunks=(UNEVEN,))
    with pytest.raises(ValueError, match="At least one array required"):
        train_test_split()
    with pytest.raises(
        DataError, match="stratify and groups are not implemented together, use one of them; StratifiedGroupKFold"
    ):
        train_test_split(X, stratify=X, groups=X)
    with pytest.raises(DataError, match="stratify and shuffle=False are not implemented together"):
        train_test_split(X, stratify=X, shuffle=False)
    with pytest.raises(DataError, match="groups and blockwise=True are not implemented together"):
        train_test_split(X, groups=X, blockwise=True)
    with pytest.raises(DataError, match="blockwise=True: expected a Dask collection"):
        train_test_split(ROWS, blockwise=True)
    with pytest.raises(DataError, match="shuffle: expected True, False or None, got 'yes'"):
        train_test_split(X, shuffle="yes")
    for size in (0, -1, 0.0, 1.0, 40):
        with pytest.raises(
            ValueError, match=f"train_size={size} should be either positive and smaller than the number"
        ):
            train_test_split(X, train_size=size)
    with pytest.raises(ValueError, match="Invalid value for test_size: 'half'"):
        train_test_split(X, test_size="half")
    for rows in (X, ROWS):
        with pytest.raises(DataError, match=r"stratify: expected a value per row, got the name 'late'; pass frame\["):
            train_test_split(rows, stratify="late")
        with pytest.raises(DataError, match=r"groups: expected a value per row, got the name 'late'; pass frame\["):
            train_test_split(rows, groups="late")
    with pytest.raises(DataError, match=r"arrays\[1\]: Found input variables with inconsistent numbers of samples"):
        train_test_split(X, ROWS[:-1])
    with pytest.raises(DataError, match="stratify contains NaN: a missing label in block 0, row 1"):
        train_test_split(X, stratify=np.where(ROWS == 1, np.nan, 1.0))
    with pytest.raises(DataError, match=r"least populated classes in stratify .* are: \[7\]"):
        train_test_split(X, stratify=np.where(ROWS == 1, 7, 1))
    frame = dd.from_pandas(frame_of_rows(), npartitions=6)
    parts = train_test_split(X, frame.row)
    with pytest.raises(DataError, match=r"arrays\[1\]: Found input .* expected \d+ rows, got \d+ in block \d"):
        parts[2].compute()


@pytest.mark.slow
def test_parts_of_a_cluster_are_those_of_threads(client):
    frame = dd.from_pandas(frame_of_rows(), npartitions=5)
    X = da.from_array(ROWS, chunks=(UNEVEN,))
    parts = train_test_split(X, frame.repartition(npartitions=2), stratify=frame.text, random_state=0)
    there = [part.compute() for part in parts]
    with dask.config.set(scheduler="sync"):
        here = [part.compute() for part in parts]
    assert_array_equal(there[1], here[1])
    assert_array_equal(there[3].row, here[1])
    pd.testing.assert_frame_equal(there[2], here[2])


def test_an_asynchronous_client_is_refused(cluster):
    async def work():
        async with Client(cluster.scheduler_address, asynchronous=True):
            with pytest.raises(AsynchronousClientError, match="asynchronous"):
                train_test_split(da.from_array(ROWS, chunks=(UNEVEN,)))

    asyncio.run(work())

"""Runs of tiny blocks are read as one block, with the same bits wherever they lie."""

from __future__ import annotations

import os
import signal
from itertools import pairwise

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from distributed import wait
from hypothesis import given
from hypothesis import strategies as st

from daskml_kit.data import collections as memory
from daskml_kit.data import merge
from daskml_kit.data.block import Block, Run
from daskml_kit.data.collections import MAX_BLOCKS
from daskml_kit.data.merge import TINY_BYTES, merge_tiny, tiny_runs
from daskml_kit.engines import open as opening
from daskml_kit.engines.cluster import FuturesEngine
from daskml_kit.engines.open import open_engine
from daskml_kit.exceptions import DataError
from daskml_kit.linear_model import LogisticRegression
from daskml_kit.reductions.gram import Gram

WIDTH = 40
ROWS = [100, 0, 60, 1, 300, 7] * 30
"""Of 180 blocks; merged ones have 327 rows at most, so that one of 300 takes those of one row and of seven with it."""


def tiny(seed=0):
    X = da.random.default_rng(seed).normal(size=(sum(ROWS), WIDTH), chunks=(tuple(ROWS), WIDTH))
    return X, (X[:, 0] > 0).astype(int)


def bits(X, y=None):
    with open_engine(X, y) as engine:
        (scatter,) = engine.answer(Gram())
        assert engine.n_blocks < len(ROWS)
    return scatter.product.tobytes() + scatter.mean.tobytes()


@pytest.fixture(scope="module", autouse=True)
def _small():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(merge, "MERGED_BYTES", 327 * WIDTH * 8)
        yield


@pytest.fixture
def far(monkeypatch):
    monkeypatch.setattr(opening, "LOCAL_BYTES", 0)


@pytest.fixture(scope="module")
def expected():
    return bits(*dask.persist(*tiny()))


@given(st.lists(st.integers(0, 20), min_size=1, max_size=50), st.integers(1, 30))
def test_runs_hold_all_blocks_and_as_many_rows_as_they_may(lengths, most):
    runs = tiny_runs(lengths, most)
    assert [length for run in runs for length in run.lengths] == lengths
    assert [run.first for run in runs] == np.cumsum([0, *(len(run.lengths) for run in runs)])[:-1].tolist()
    assert all(sum(run.lengths) <= most or len(run.lengths) == 1 for run in runs)
    for run, after in pairwise(runs):
        assert sum(run.lengths) + after.lengths[0] > most


def test_few_blocks_and_large_ones_stay_as_they_are():
    few = da.zeros((MAX_BLOCKS, 3), chunks=(1, 3))
    assert merge_tiny({"X": few}) == ({"X": few}, [])
    rows = TINY_BYTES // 8 + 1
    large = da.zeros((100 * rows, 1), chunks=(rows, 1))
    assert merge_tiny({"X": large}) == ({"X": large}, [])


def test_csr_weighs_as_sparse():
    X = da.from_array(np.eye(700), chunks=(7, 700)).map_blocks(sp.csr_array, meta=sp.csr_array((0, 700)))
    arrays, runs = merge_tiny({"X": X})
    assert [run.first for run in runs] == list(range(0, 100, 14))  # a row counts as 128 columns
    assert (arrays["X"].compute() != sp.eye_array(700)).nnz == 0


def test_unknown_lengths_are_counted_from_what_is_cheapest():
    X, y = tiny()
    lazy_y = y.map_blocks(lambda block: block, chunks=((np.nan,) * len(ROWS),))
    unknown = X.map_blocks(lambda block: block, chunks=((np.nan,) * len(ROWS), (WIDTH,)))
    with dask.config.set(scheduler="sync"):
        known, unknown = merge_tiny({"X": X, "y": y}), merge_tiny({"X": unknown, "y": lazy_y})
    assert known[1] == unknown[1]
    assert known[0]["X"].chunks == unknown[0]["X"].chunks


def test_a_merged_block_gives_its_parts_back():
    values = np.arange(6.0)
    block = Block(values[:, None], values, None, 1, None, Run(5, (2, 0, 4)))
    parts = list(block.unmerged())
    assert [part.index for part in parts] == [5, 6, 7]
    assert [part.X[:, 0].tolist() for part in parts] == [[0, 1], [], [2, 3, 4, 5]]
    assert list(Block(values[:, None]).unmerged()) == []


def test_the_bits_do_not_depend_on_threads_or_streaming(expected, monkeypatch):
    with open_engine(*dask.persist(*tiny()), n_jobs=1) as engine:
        (scatter,) = engine.answer(Gram())
    assert scatter.product.tobytes() + scatter.mean.tobytes() == expected
    monkeypatch.setattr(memory, "FIT_FRACTION", 0)
    assert bits(*tiny()) == expected


@pytest.mark.slow
def test_the_bits_are_the_same_on_a_cluster(client, far, expected, monkeypatch):
    X, y = tiny()
    assert bits(X, y) == expected
    with open_engine(*client.persist([X, y])) as engine:
        assert isinstance(engine, FuturesEngine)
    assert bits(*client.persist([X, y])) == expected
    monkeypatch.setattr(memory, "FIT_FRACTION", 0)
    assert bits(X, y) == expected


def test_a_frame_has_the_bits_of_its_array(expected):
    X, y = dask.persist(*tiny())
    frame = dd.from_dask_array(X, columns=[f"x{i}" for i in range(WIDTH)])
    assert bits(frame, y) == expected


def test_the_bits_are_the_same_after_a_killed_worker(doomed, far, expected):
    X, y = doomed.persist(tiny())
    wait([X, y])
    with open_engine(X, y) as engine:
        engine.answer(Gram())
        os.kill(doomed.run(os.getpid, workers=[engine.homes()[0]]).popitem()[1], signal.SIGKILL)
        (scatter,) = engine.answer(Gram())
    assert scatter.product.tobytes() + scatter.mean.tobytes() == expected


def broken(part, row):
    X, y = tiny()
    at = sum(ROWS[:part]) + row
    return da.where(da.arange(sum(ROWS), chunks=(tuple(ROWS),))[:, None] == at, np.nan, X), y


def test_an_error_names_the_callers_block_and_row():
    with pytest.raises(DataError, match=r"X contains NaN in block 102, row 17 of the block"):
        LogisticRegression().fit(*broken(102, 17))


@pytest.mark.slow
def test_an_error_on_a_worker_names_the_callers_block_and_row(client, far):
    with pytest.raises(DataError, match=r"X contains NaN in block 102, row 17 of the block"):
        LogisticRegression().fit(*broken(102, 17))


def test_a_part_of_another_width_is_named():
    X, y = tiny()
    cut = X.map_blocks(
        lambda block, block_info: block[:, :-1] if block_info[0]["chunk-location"][0] == 99 else block,
        dtype=float,
        meta=np.empty((0, WIDTH)),
    )
    with pytest.raises(DataError, match=f"X: expected {WIDTH} features, got {WIDTH - 1} in block 99"):
        LogisticRegression().fit(cut, y)


def test_a_part_of_another_length_is_named():
    X, y = tiny()
    late = y.map_blocks(
        lambda block, block_info: block[1:] if block_info[0]["chunk-location"][0] == 100 else block, dtype=int
    )
    with pytest.raises(DataError, match="y: expected 300 rows as in X, got 299 in block 100"):
        LogisticRegression().fit(X, late)


def test_text_among_the_numbers_is_named():
    X, y = tiny()
    weight = pd.Series(np.ones(sum(ROWS)), dtype=object)
    weight[sum(ROWS[:52])] = "heavy"
    weights = da.from_array(weight.to_numpy(), chunks=(tuple(ROWS),))
    with pytest.raises(DataError, match=r"sample_weight: .*in block 52"), open_engine(X, y, weights):
        pass

"""A worker process is killed (SIGKILL) in the middle of a shuffle: no row is lost, or the loss is said."""

from __future__ import annotations

import os
import signal

import dask
import dask.array as da
import numpy as np
import pandas as pd
import pytest
from distributed import CancelledError, wait
from numpy.testing import assert_array_equal

from daskml_kit.partition import hash_partition, place, random_partition
from daskml_kit.partition import shuffle as move

N, BLOCK = 12_000, 500


@pytest.fixture(params=["exchange", "spill"])
def way(request, monkeypatch):
    """Rows travel in memory, or by Dask's own shuffle."""
    monkeypatch.setattr(move, "fits", lambda *_: request.param == "exchange")
    return request.param


@pytest.fixture
def fatal(tmp_path):
    """What kills the first worker that comes to a block with the row 7000, and no other."""
    marker = str(tmp_path / "died")

    def die_once(block):
        if (block[..., 0] == 7000).any() and not os.path.exists(marker):
            open(marker, "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        return block

    yield lambda X: X.map_blocks(die_once, meta=np.empty((0, 3)))
    assert os.path.exists(marker)


def make():
    """Rows that carry their number, drawn on the workers."""
    row = da.arange(N, chunks=BLOCK)
    return da.stack([row, row % 13, row * 0.5], axis=1).rechunk((BLOCK, 3)), row


def checksum(rows):
    """The sum of a hash of each row: the same in any order."""
    return pd.util.hash_pandas_object(pd.DataFrame(rows), index=False).sum()


SHUFFLES = {
    "random": lambda X, row: random_partition(X, row, npartitions=10, random_state=0),
    "hash": lambda X, row: hash_partition(X, row, by=row % 500, npartitions=10),
}


@pytest.mark.parametrize(("way", "shuffle"), [("spill", "random"), ("exchange", "hash")], indirect=["way"])
def test_a_worker_that_dies_reading_loses_no_row(doomed, way, fatal, shuffle):
    X, row = make()
    with dask.config.set(scheduler="sync"), pytest.MonkeyPatch.context() as patch:
        patch.setattr(move, "fits", lambda *_: True)
        expected = dask.compute(*SHUFFLES[shuffle](X, row))
    moved, rows = SHUFFLES[shuffle](fatal(X), row)
    found, order = dask.compute(moved, rows)
    assert_array_equal(np.sort(order), np.arange(N))
    assert_array_equal(found, np.stack([order, order % 13, order * 0.5], axis=1))
    assert_array_equal(found, expected[0])
    assert_array_equal(order, expected[1])


@pytest.mark.parametrize(("way", "shuffle"), [("exchange", "random"), ("spill", "hash")], indirect=["way"])
def test_a_worker_that_dies_with_its_share_of_the_rows_loses_none(doomed, way, fatal, shuffle):
    X, row = doomed.persist(make())
    wait([X, row])
    moved, rows = SHUFFLES[shuffle](X, row)
    found, order = dask.compute(fatal(moved), rows)
    assert_array_equal(np.sort(order), np.arange(N))
    assert_array_equal(found[:, 0], order)
    assert checksum(found) == checksum(X.compute())


def test_data_without_a_recipe_is_not_lost_in_silence(doomed, way, fatal):
    rows = np.stack([np.arange(N)] * 3, axis=1) * 1.0
    futures = doomed.scatter(np.split(rows, N // BLOCK))
    X = da.concatenate([da.from_delayed(future, (BLOCK, 3), float) for future in futures])
    moved, _ = random_partition(fatal(X), da.arange(N, chunks=BLOCK), random_state=0)
    try:
        found = moved.compute()
    except CancelledError:
        return  # what the worker held was still needed
    assert_array_equal(np.sort(found, axis=0), rows)


def test_placed_blocks_are_computed_again(doomed):
    X, row = place(*make(), strategy="round_robin")
    os.kill(min(doomed.run(os.getpid).values()), signal.SIGKILL)
    found, order = dask.compute(X, row)
    assert_array_equal(order, np.arange(N))
    assert_array_equal(found, np.stack([order, order % 13, order * 0.5], axis=1))

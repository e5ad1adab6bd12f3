"""place and rebalance: blocks lie where it was asked for, with their rows' other blocks, and are the same as before."""

from __future__ import annotations

from collections import Counter

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from distributed import Client, LocalCluster, futures_of, wait
from numpy.testing import assert_array_equal

from daskml_kit.engines import open as opening
from daskml_kit.engines.open import open_engine
from daskml_kit.exceptions import DataError
from daskml_kit.linear_model import LogisticRegression
from daskml_kit.partition import place, placement, random_partition, rebalance

STRATEGIES = ["round_robin", "random", "least_loaded", "weighted"]
N, BLOCKS = 800, 8


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr("daskml_kit.partition.placement.SECONDS", 0.02)


@pytest.fixture(scope="module")
def threads():
    """A cluster of two workers that hold nothing between tests."""
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=False, dashboard_address=":0") as cluster:
        yield cluster


@pytest.fixture
def empty(threads):
    """Two workers that hold nothing."""
    with Client(threads) as client:
        yield client


def make():
    X = da.random.default_rng(1).normal(size=(N, 3), chunks=(N // BLOCKS, 3))
    return X, (X[:, 0] > 0).astype(int)


def homes(client, collection):
    """The worker of each block, in order."""
    futures = sorted(futures_of(collection), key=lambda future: future.key[1])
    holders = client.who_has(futures)
    assert all(len(holders[future.key]) == 1 for future in futures)
    return [holders[future.key][0] for future in futures]


def bytes_on(client, array):
    rows = dict.fromkeys(client.nthreads(), 0)
    for worker, length in zip(homes(client, array), array.chunks[0], strict=True):
        rows[worker] += length
    return [rows[worker] for worker in sorted(rows)]


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["round_robin", "weighted"])
def test_collections_lie_together_and_are_what_they_were(empty, strategy):
    X, y = make()
    frame = dd.from_pandas(pd.DataFrame({"a": np.arange(N), "b": list("pq") * (N // 2)}), npartitions=BLOCKS)
    memory = np.arange(N) / 2
    placed = place(X, y, frame, frame["b"], memory, strategy=strategy, random_state=0)
    expected = homes(empty, placed[0])
    for part, original in zip(placed[1:], (y, frame, frame["b"], memory), strict=True):
        assert homes(empty, part) == expected
        if isinstance(original, np.ndarray):
            assert_array_equal(part.compute(), original)
        elif isinstance(original, da.Array):
            assert part.chunks == original.chunks
            assert_array_equal(part.compute(), original.compute())
        elif isinstance(original, dd.DataFrame):
            pd.testing.assert_frame_equal(part.compute(), original.compute())
        else:
            pd.testing.assert_series_equal(part.compute(), original.compute())
    assert_array_equal(placed[0].compute(), X.compute())


def test_round_robin_goes_from_worker_to_worker(empty):
    workers = sorted(empty.nthreads())
    for _ in range(2):
        assert homes(empty, place(make()[0], strategy="round_robin")) == workers * (BLOCKS // 2)


def test_random_is_decided_by_the_state(client):
    X = make()[0].persist()
    first, again, other = (homes(client, place(X, strategy="random", random_state=seed)) for seed in (0, 0, 5))
    assert first == again != other
    drawn = np.random.RandomState(0).randint(2, size=BLOCKS)
    assert first == [sorted(client.nthreads())[number] for number in drawn]


def test_least_loaded_evens_out_unequal_blocks(empty):
    sizes = (4000, 100, 100, 100, 2000, 100, 1500, 300)
    X = place(da.random.default_rng(0).normal(size=(sum(sizes), 3), chunks=(sizes, 3)), strategy="least_loaded")
    assert abs(np.diff(bytes_on(empty, X))) <= 200


def test_least_loaded_counts_what_lies_there_already(empty):
    busy, idle = sorted(empty.nthreads())
    other = empty.submit(np.ones, 100_000, workers=[busy], pure=False)
    wait(other)
    X = place(make()[0], strategy="least_loaded")
    assert set(homes(empty, X)) == {idle}
    assert other.status == "finished"


@pytest.mark.parametrize(("speeds", "expected"), [((3, 1), [600, 200]), ((1, 7), [100, 700])])
def test_weighted_follows_the_speeds(client, monkeypatch, speeds, expected):
    monkeypatch.setattr(
        placement, "measure_speeds", lambda _, threads, __: dict(zip(sorted(threads), speeds, strict=True))
    )
    assert bytes_on(client, place(*make(), strategy="weighted")[0]) == expected
    assert bytes_on(client, rebalance(*place(*make()), strategy="weighted")[0]) == expected


def test_results_are_of_the_kind_that_was_given(client):
    X, y = make()
    assert isinstance(place(X), da.Array)
    assert isinstance(place(X, y), tuple)
    assert isinstance(place([X, y]), list)
    assert isinstance(rebalance((X, y)), tuple)
    (only,) = place([X])
    assert isinstance(only, da.Array)


def test_rebalance_leaves_alone_what_is_even(client):
    X, y = place(*make(), strategy="round_robin")
    before = homes(client, X)
    again, labels = rebalance(X, y)
    assert homes(client, again) == homes(client, labels) == before
    assert_array_equal(again.compute(), X.compute())


def test_rebalance_moves_as_few_as_it_takes(client):
    first = sorted(client.nthreads())[0]
    pieces = [client.submit(np.full, (10, 2), i, workers=[first], pure=False) for i in range(6)]
    X = da.concatenate([da.from_delayed(piece, (10, 2), float) for piece in pieces])
    moved = rebalance(X)
    assert homes(client, moved).count(first) == 3
    assert_array_equal(moved[:, 0].compute(), np.repeat(np.arange(6.0), 10))


@pytest.mark.slow
def test_a_fit_on_placed_blocks_finds_the_same_bits(client, monkeypatch):
    monkeypatch.setattr(opening, "LOCAL_BYTES", 0)
    X, y = make()
    fits = [LogisticRegression().fit(X, y)]
    fits += [LogisticRegression().fit(*place(X, y, strategy=strategy, random_state=3)) for strategy in STRATEGIES]
    for fit in fits[1:]:
        assert_array_equal(fit.coef_, fits[0].coef_)
        assert_array_equal(fit.intercept_, fits[0].intercept_)


@pytest.mark.parametrize("n_blocks", [64, 256])
def test_tasks_of_a_shuffle_on_a_cluster_grow_in_proportion(empty, n_blocks):
    X = da.ones((n_blocks * 4, 2), chunks=(4, 2))
    moved = random_partition(X, X[:, 0], random_state=0)
    assert max(len(part.__dask_graph__()) for part in moved) <= 14 * n_blocks


def test_without_a_cluster():
    for call in (place, rebalance):
        with pytest.raises(RuntimeError, match="need a Dask client"):
            call(np.ones((4, 2)))


def test_bad_input_is_named(client):
    for call in (place, rebalance):
        with pytest.raises(DataError, match=r"strategy: expected .*, got 'fastest'"):
            call(np.ones((4, 2)), strategy="fastest")
        with pytest.raises(DataError, match="collections: expected at least one"):
            call()
        with pytest.raises(DataError, match=r"collections\[1\]: .*inconsistent.* expected 4 rows .* got 3"):
            call(np.ones((4, 2)), np.ones(3))
    with pytest.raises(DataError, match=r'strategy: expected "least_loaded" or "weighted", got \'round_robin\''):
        rebalance(np.ones((4, 2)), strategy="round_robin")


class TestWorkersThatComeAndGo:
    @pytest.fixture
    def growing(self):
        """A cluster of one worker, to be scaled."""
        with (
            LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0") as cluster,
            Client(cluster) as client,
        ):
            yield client

    @staticmethod
    def scale(client, n_workers):
        client.cluster.scale(n_workers)
        client.wait_for_workers(n_workers)

    def test_rebalance_gives_a_new_worker_its_share(self, growing):
        X, y = place(*make())
        before = homes(growing, X)
        self.scale(growing, 2)
        X, y = rebalance(X, y)
        after = homes(growing, X)
        assert sorted(Counter(after).values()) == [BLOCKS // 2] * 2
        assert sum(a != b for a, b in zip(before, after, strict=True)) == BLOCKS // 2
        assert homes(growing, y) == after

    def test_a_running_engine_follows(self, growing, monkeypatch):
        """The pass after a worker joined runs on it too; the pass after one left on those that are there."""
        monkeypatch.setattr(opening, "LOCAL_BYTES", 0)
        X, y = place(*make())
        with open_engine(X, y) as engine:
            first, old = engine.answer(visited()), homes(growing, X)[0]
            self.scale(growing, 2)
            second = engine.answer(visited())
            growing.retire_workers([old])
            third = engine.answer(visited())
        assert set(first[0]) == {old}
        assert len(set(second[0])) == 2
        assert set(third[0]) == set(second[0]) - {old}
        assert [len(answer[0]) for answer in (first, second, third)] == [BLOCKS] * 3


def visited():
    """A question that asks which worker reads each block."""
    from distributed import get_worker

    from daskml_kit.reductions.reduction import SingleReduction

    class Visited(SingleReduction):
        def chunk(self, block):
            return [get_worker().address]

        def combine(self, a, b):
            return [*a, *b]

    return Visited()

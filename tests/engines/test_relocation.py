"""Blocks on a cluster are moved where passes cost more than that, and no bit depends on it."""

from __future__ import annotations

from itertools import groupby

import dask
import dask.array as da
import numpy as np
import pytest
from distributed import wait
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from daskml_kit.data.shards import Shard, in_runs
from daskml_kit.engines import open as opening
from daskml_kit.engines.open import open_engine
from daskml_kit.engines.relocation import Fetching, count_nodes
from daskml_kit.linear_model import LogisticRegression
from daskml_kit.reductions.gram import Gram
from daskml_kit.reductions.summary import Summary

WIDTH, ROWS, N_BLOCKS = 60, 10, 12
X = np.random.default_rng(0).normal(size=(ROWS * N_BLOCKS, WIDTH))
Y = (X[:, 0] > 0).astype(int)


@pytest.fixture
def alternating(client, monkeypatch):
    """Rows whose blocks lie on the two workers in turn, too large to be fetched at once."""
    monkeypatch.setattr(opening, "LOCAL_BYTES", X.nbytes // 4)
    workers, parts = sorted(client.nthreads()), []
    for number in range(N_BLOCKS):
        rows = slice(number * ROWS, (number + 1) * ROWS)
        future = client.submit(np.copy, X[rows], workers=[workers[number % 2]], pure=False)
        wait(future)
        parts.append(da.from_delayed(dask.delayed(future), (ROWS, WIDTH), float))
    rows, targets = client.persist([da.concatenate(parts), da.from_array(Y, chunks=ROWS)])
    wait([rows, targets])
    return rows, targets


def after(n_passes):
    """Return a `Fetching` that pays after so many passes."""

    class Counting(Fetching):
        n_passes = 0

        def count(self, seconds, computing):
            self.n_passes += 1
            super().count(seconds, computing)

        @property
        def pays(self):
            return self.n_passes >= n_passes

    return Counting


def test_a_fit_goes_on_here_with_the_same_bits(alternating, monkeypatch):
    monkeypatch.setattr(opening, "MOST_FETCHED", 0)
    there = LogisticRegression(solver="lbfgs").fit(*alternating)
    assert there.profile_.where == "on the workers of the cluster"
    monkeypatch.setattr(opening, "MOST_FETCHED", 16)
    monkeypatch.setattr(opening, "Fetching", after(3))
    model = LogisticRegression(solver="lbfgs").fit(*alternating)
    assert "on the workers of the cluster at first, from pass 4 in threads" in model.profile_.where
    assert "fetched 0.0576 MB of X" in model.profile_.where
    assert model.profile_.passes == there.profile_.passes > 4
    assert_array_equal(model.coef_, there.coef_)


def test_targets_change_here_too(alternating, monkeypatch):
    monkeypatch.setattr(opening, "Fetching", after(1))
    rows, targets = alternating
    with open_engine(rows, targets) as engine:
        engine.answer(Summary(labeled=True))
        (before,) = engine.answer(Summary(labeled=True))
        engine.relabel(lambda y: y + 5)
        (found,) = engine.answer(Summary(labeled=True))
        assert "fetched" in engine.profile.where
    assert_array_equal(found.labels, before.labels + 5)


def test_one_pass_fetches_nothing(alternating, monkeypatch):
    monkeypatch.setattr(opening, "Fetching", after(0))
    with open_engine(alternating[0], many_passes=False) as engine:
        engine.answer(Gram())
    assert engine.profile.where == "on the workers of the cluster"


def test_blocks_that_lie_otherwise_elsewhere_stay(client, monkeypatch):
    """Sent, a part of each row becomes an array of its own, whose products are rounded otherwise."""
    monkeypatch.setattr(opening, "LOCAL_BYTES", X.nbytes // 4)
    monkeypatch.setattr(opening, "Fetching", after(1))
    rows = client.persist(
        da.from_array(X, chunks=(ROWS, WIDTH)).map_blocks(lambda block: block[:, ::2], chunks=(ROWS, 30))
    )
    with open_engine(rows) as engine:
        for _ in range(3):
            engine.answer(Gram())
    assert engine.profile.where == "on the workers of the cluster"


def test_large_partial_answers_bring_neighbors_together(alternating, monkeypatch):
    monkeypatch.setattr(opening, "MOST_FETCHED", 0)
    with open_engine(alternating[0]) as engine:
        assert len(list(groupby(engine.homes()))) == N_BLOCKS
        answers = [engine.answer(Gram())[0] for _ in range(3)]
        assert len(list(groupby(engine.homes()))) == 2
    for answer in answers[1:]:
        assert_array_equal(answer.product, answers[0].product)


def test_fetching_pays_when_messages_took_longer():
    fetching = Fetching(n_bytes=5e6, n_threads=2)
    fetching.count(seconds=9.0, computing=0.0)  # modules are loaded
    assert not fetching.pays
    fetching.count(seconds=0.06, computing=0.1)
    assert not fetching.pays
    fetching.count(seconds=0.06, computing=0.1)
    assert fetching.pays
    fetching.measure(n_bytes=1e6, seconds=1.0)
    assert not fetching.pays
    fetching.measure(n_bytes=0, seconds=1.0)
    assert not fetching.pays
    for _ in range(3):
        fetching.count(seconds=0.01, computing=1.0)  # the cluster computes faster
    assert fetching.lost == 0


BLOCKS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 50)), min_size=1, max_size=30)
SHARES = st.dictionaries(st.sampled_from("abcd"), st.sampled_from([0.5, 1.0, 5.0]), min_size=1)


@given(BLOCKS, SHARES)
def test_runs_follow_each_other_and_weigh_as_shared(blocks, shares):
    homes, sizes = [home for home, _ in blocks], [size for _, size in blocks]
    placed = in_runs(homes, sizes, shares)
    assert set(placed) <= set(shares)
    assert len(list(groupby(placed))) == len(set(placed))
    weights = [max(size, 1) for size in sizes]
    for worker, share in shares.items():
        own = sum(weight for weight, home in zip(weights, placed, strict=True) if home == worker)
        assert own <= sum(weights) * share / sum(shares.values()) + max(weights) + 1e-9


def test_nodes_are_counted_as_the_tree_combines_them():
    shards = [Shard("a", [0, 1, 2, 3]), Shard("b", [4, 5, 6])]
    assert count_nodes(shards, 7) == 2
    assert count_nodes([Shard("a", [0, 2, 4, 6]), Shard("b", [1, 3, 5])], 7) == 7

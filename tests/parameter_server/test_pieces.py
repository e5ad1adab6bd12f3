"""Rows and blocks are visited once an epoch; what is not pushed is kept; settings are checked."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from daskml_kit.data.block import Block
from daskml_kit.exceptions import DataError
from daskml_kit.numerics.row_sparse import SparseRows
from daskml_kit.parameter_server.protocol import Consistency
from daskml_kit.parameter_server.training.config import Asynchronous, Synchronous, TrainingConfig, checked, seed_of
from daskml_kit.parameter_server.training.coordinator import BlockScheduler
from daskml_kit.parameter_server.training.minibatches import MinibatchOrder, RowBuffer
from daskml_kit.parameter_server.training.updates import TopK
from daskml_kit.parameter_server.training.worker_loop import SizedLoad, VirtualWorker, WorkerConfig


def block_of(n_rows, index=0, sparse=False):
    X = np.arange(n_rows, dtype=float)[:, None] + 1
    return Block(sp.csr_array(X) if sparse else X, np.arange(n_rows), np.ones(n_rows), index)


orders = st.builds(
    MinibatchOrder,
    seed=st.integers(0, 5),
    batch_size=st.integers(1, 12),
    validation_fraction=st.sampled_from([0.0, 0.1, 0.5, 0.99]),
    shuffle=st.booleans(),
)


@given(orders, st.integers(0, 50), st.integers(0, 3), st.booleans())
def test_an_epoch_visits_each_row_once_that_is_not_held_out(order, n_rows, index, sparse):
    block = block_of(n_rows, index, sparse)
    held = order.validation(block)
    held_rows = set() if held is None else set(held.y.tolist())
    assert len(held_rows) == order.n_validation(n_rows)
    orders = []
    for epoch in range(3):
        shuffled = order.shuffled(block, epoch)
        batches = shuffled.batches(0, order.n_batches(n_rows))
        assert all(0 < batch.n_rows <= order.batch_size for batch in batches)
        seen = [row for batch in batches for row in batch.y.tolist()]
        assert [x for batch in batches for x in batch.X.sum(axis=1)] == [row + 1 for row in seen]
        assert sorted(seen) == sorted(set(range(n_rows)) - held_rows)
        orders.append(seen)
    assert order.shuffle or orders[0] == orders[1] == sorted(orders[0])
    assert not order.shuffle or len(orders[0]) < 12 or orders[0] != orders[1]


@given(orders, st.lists(st.integers(0, 30), min_size=1, max_size=4), st.integers(1, 5))
def test_a_virtual_worker_visits_each_row_once(order, sizes, every):
    blocks = [block_of(n_rows, index) for index, n_rows in enumerate(sizes)]
    config = WorkerConfig(None, order, every, None, Consistency())
    loads = [SizedLoad(b.n_rows, lambda b=b: b) for b in blocks]
    virtual_worker = VirtualWorker(config, 1, loads, RowBuffer())
    length = sum(config.n_steps(n_rows) for n_rows in sizes)
    seen = []
    for step in range(length):
        batches, block = virtual_worker.batches(step)
        assert 0 < len(batches) <= every
        seen += [(block.index, row) for batch in batches for row in batch.y.tolist()]
    assert virtual_worker.batches(length) == ([], None)
    expected = [(b.index, row) for b in blocks for row in order.shuffled(b, 1).rows.tolist()]
    assert seen == expected


@given(st.integers(1, 40), st.integers(1, 3), st.data())
def test_a_scheduler_hands_out_each_block_once_an_epoch(n_blocks, epochs, data):
    scheduler = BlockScheduler(n_blocks, epochs, seed=3)
    visits = []
    while True:
        near = data.draw(st.sets(st.integers(0, n_blocks - 1), max_size=5))
        visit = scheduler.take(near, data.draw(st.integers(1, 4)))
        if visit is None:
            break
        assert visit[1]
        visits.append(visit)
    assert [e for e, _ in visits] == sorted(e for e, _ in visits)
    for epoch in range(epochs):
        assert sorted(b for e, blocks in visits if e == epoch for b in blocks) == list(range(n_blocks))
    assert scheduler.take(set(), 1) is None


def test_a_scheduler_that_is_stopped_ends():
    scheduler = BlockScheduler(4, 3, seed=0)
    scheduler.take(set(), 1)
    scheduler.stop()
    assert scheduler.take({0}, 1) is None


@settings(deadline=None)
@given(st.floats(0.01, 1), st.integers(1, 8))
def test_top_k_keeps_what_it_does_not_push(share, n_pushes):
    rng = np.random.default_rng(n_pushes)
    params = {"w": np.zeros((9, 2)), "b": np.zeros(()), "v": np.zeros(5)}
    top = TopK(share)
    given, pushed = (dict.fromkeys(params, 0.0) for _ in range(2))
    for _ in range(n_pushes):
        gradients = {name: rng.normal(size=p.shape) for name, p in params.items()}
        kept = {name: g.copy() for name, g in gradients.items()}
        for name, told in top.compress(gradients).items():
            assert_array_equal(gradients[name], kept[name])
            given[name] = given[name] + gradients[name]
            whole = np.zeros(params[name].shape)
            if isinstance(told, SparseRows):
                assert len(told.rows) == max(int(np.ceil(share * len(whole))), 1)
                whole[told.rows] = told.values
            else:
                whole = told
            pushed[name] = pushed[name] + whole
    for name in params:
        rest = given[name] - pushed[name]
        if share == 1 or name == "b":
            assert_allclose(rest, 0, atol=1e-12)
        else:
            assert_allclose(top._rest[name], rest, atol=1e-12)


def test_top_k_pushes_the_largest():
    top = TopK(0.5)
    told = top.compress({"w": np.array([0.0, -5.0, 1.0, 3.0])})["w"]
    assert told.rows.tolist() == [1, 3]
    with pytest.raises(DataError, match="top_k: expected whole gradients"):
        top.compress({"w": SparseRows(np.array([0]), np.ones(1))})


@pytest.mark.parametrize(
    ("make", "config", "message"),
    [
        (TrainingConfig, {"training": "sync"}, "training: expected Synchronous.*, got 'sync'"),
        (TrainingConfig, {"epochs": 0}, "epochs: expected an integer of at least 1, got 0"),
        (TrainingConfig, {"batch_size": 2.5}, "batch_size: expected an integer of at least 1, got 2.5"),
        (TrainingConfig, {"patience": -1}, "patience: expected an integer of at least 1, got -1"),
        (
            TrainingConfig,
            {"validation_fraction": 1.0},
            "validation_fraction: expected .* from 0 to below 1",
        ),
        (TrainingConfig, {"tol": -1.0}, "tol: expected a finite number of at least 0, got -1.0"),
        (TrainingConfig, {"tol": "x"}, "tol: expected a finite number of at least 0, got 'x'"),
        (TrainingConfig, {"on_nan": 3}, "on_nan: expected one of"),
        (TrainingConfig, {"verbose": "x"}, "verbose: expected a finite number of at least 0, got 'x'"),
        (Synchronous, {"replicas": 2}, "replicas: expected an integer from 0 to 1, got 2"),
        (Asynchronous, {"replicas": "2"}, "replicas: expected an integer from 0 to 1, got '2'"),
        (Synchronous, {"servers": 0}, "servers: expected an integer of at least 1, got 0"),
        (Asynchronous, {"servers": "many"}, "servers: expected an integer of at least 1, got 'many'"),
        (Synchronous, {"virtual_workers": True}, "virtual_workers: expected an integer of at least 1, got True"),
        (Synchronous, {"push_every": 0}, "push_every: expected an integer of at least 1, got 0"),
        (Synchronous, {"backup_workers": -1}, "backup_workers: expected an integer of at least 0, got -1"),
        (Asynchronous, {"push_every": 0.5}, "push_every: expected an integer of at least 1, got 0.5"),
        (Asynchronous, {"staleness": 0}, "staleness: expected an integer of at least 1, got 0"),
        (Asynchronous, {"staleness": -3}, "staleness: expected an integer of at least 1, got -3"),
        (Asynchronous, {"top_k": 0.0}, "top_k: expected a finite number above 0 to 1, got 0.0"),
    ],
)
def test_settings_that_cannot_be(make, config, message):
    with pytest.raises(ValueError, match=message):
        checked(make(**config))


@pytest.mark.parametrize(
    ("training", "staleness"), [(Synchronous(), 0), (Asynchronous(staleness=4), 4), (Asynchronous(), np.inf)]
)
def test_the_staleness_that_servers_allow(training, staleness):
    assert checked(TrainingConfig(training)).training.staleness == staleness


def test_seeds_of_each_kind_of_random_state():
    assert seed_of(7) == seed_of(np.int64(7)) == 7
    assert seed_of(np.random.RandomState(1)) == seed_of(np.random.RandomState(1))
    assert seed_of(np.random.default_rng(1)) == seed_of(np.random.default_rng(1))
    assert seed_of(None) != seed_of(None)

"""A store is a function of its messages: what comes twice changes nothing, and lanes combine the same in any order."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from daskml_kit.exceptions import DataError
from daskml_kit.numerics.row_sparse import Rows
from daskml_kit.optim import adagrad, adam, add, inverse_scaling, momentum, sgd
from daskml_kit.parameter_server.layout import Layout, cut
from daskml_kit.parameter_server.protocol import Enter, Leave, Pieces, Push, RowGradient, Share, Terms, Wish
from daskml_kit.parameter_server.state_machine import Shares, Store
from daskml_kit.reductions.reduction import Node, reduce_nodes

RULES = [sgd(0.1), sgd(inverse_scaling(0.5)), momentum(0.1), adagrad(0.1), adam(0.1), add()]
PARAMS = {"u": np.linspace(-1, 1, 12).reshape(6, 2), "v": np.linspace(0, 1, 5), "b": np.array(0.5)}


def make(rule, staleness=np.inf, n_servers=1, **terms):
    layout = Layout.of(PARAMS, n_servers)
    vector = layout.flatten(PARAMS)
    stores = [
        Store(vector[part].copy(), rule, layout.spans(server), Terms(staleness, **terms))
        for server, part in enumerate(layout.ranges())
    ]
    return layout, stores


def same(a, b):
    assert_array_equal(a.vector, b.vector)
    for one, other in zip(a.state, b.state, strict=True):
        assert_array_equal(one, other)
    assert (a.version, a.numbers, a.clocks, a.lags, a.late) == (b.version, b.numbers, b.clocks, b.lags, b.late)


def messages_of(seed, n=30):
    rng = np.random.default_rng(seed)
    numbers = {"a": 0, "b": 0, "c": 0}
    for _ in range(n):
        name = rng.choice(sorted(numbers))
        kind = rng.random()
        if kind < 0.1:
            yield Enter(name)
        elif kind < 0.15:
            yield Leave(name)
        else:
            numbers[name] += 1
            rows = (RowGradient("u", np.array([1, 4]), rng.normal(size=(2, 2))),)
            gradient = [rng.normal(size=18), rows, None, ()][rng.integers(4)]
            yield Push(name, (0, numbers[name]), gradient, int(rng.integers(5)))


@pytest.mark.parametrize("rule", RULES)
def test_the_same_messages_give_the_same_bits(rule):
    (_, (one,)), (_, (other,)) = make(rule), make(rule)
    for message in messages_of(1):
        one.take(message)
        other.take(pickle.loads(pickle.dumps(message)))
        same(one, other)
        same(one, pickle.loads(pickle.dumps(one)))


@pytest.mark.parametrize("rule", RULES)
def test_pushes_that_come_again_change_nothing(rule):
    (_, (one,)), (_, (other,)) = make(rule), make(rule)
    pushed = []
    rng = np.random.default_rng(2)
    for message in messages_of(2):
        one.take(message)
        other.take(message)
        if isinstance(message, Push):
            pushed.append(message)
        for old in rng.choice(len(pushed), min(len(pushed), 3)):
            other.take(pushed[old])
        same(one, other)


@pytest.mark.parametrize("rule", [sgd(0.1), sgd(inverse_scaling(0.5)), momentum(0.1), adagrad(0.1), adam(0.1), add()])
@pytest.mark.parametrize("n_servers", [1, 2, 4])
def test_rows_of_all_are_the_whole(rule, n_servers):
    rng = np.random.default_rng(3)
    layout, dense = make(rule, n_servers=n_servers)
    _, sparse = make(rule, n_servers=n_servers)
    for number in range(4):
        whole = {name: rng.normal(size=array.shape) for name, array in PARAMS.items()}
        rows = {name: g if name == "b" else Rows(np.arange(len(g)), g) for name, g in whole.items()}
        for stores, gradients in ((dense, whole), (sparse, rows)):
            for store, told in zip(stores, cut(layout, gradients), strict=True):
                store.take(Push("a", (0, number), told))
    for one, other in zip(dense, sparse, strict=True):
        same(one, other)


@pytest.mark.parametrize("rule", RULES)
def test_some_rows_are_the_same_on_any_number_of_servers(rule):
    vectors = []
    for n_servers in (1, 2, 3, 5):
        rng = np.random.default_rng(4)
        layout, stores = make(rule, n_servers=n_servers)
        for number in range(6):
            gradients = {"u": Rows(rng.integers(6, size=2), rng.normal(size=(2, 2)))}
            if number % 2:
                gradients["v"] = rng.normal(size=5)
            for store, told in zip(stores, cut(layout, gradients), strict=True):
                store.take(Push("a", (0, number), told))
        assert {store.version for store in stores} == {6}
        vectors.append(np.concatenate([store.vector for store in stores]))
    for vector in vectors[1:]:
        assert_array_equal(vector, vectors[0])


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 9), st.booleans(), st.data())
def test_lanes_in_any_groups_and_order_give_the_same_bits(n_lanes, rows, data):
    rng = np.random.default_rng(n_lanes)
    gradients = rng.normal(size=(n_lanes, 18))
    weights = rng.integers(0, 3, n_lanes).astype(float)

    def share(lane):
        if not weights[lane]:
            return Share(0.0, None)
        some = (RowGradient("u", np.array([lane % 6]), gradients[lane, :2].reshape(1, 2) * weights[lane]),)
        return Share(weights[lane], some if rows else gradients[lane] * weights[lane])

    _, (one,) = make(adam(0.1), staleness=0, lanes=n_lanes)
    for lane in range(n_lanes):
        one.take(Pieces(0, (Node(0, lane, share(lane)),)))
    assert one.version == 1
    _, (other,) = make(adam(0.1), staleness=0, lanes=n_lanes)
    order = data.draw(st.permutations(range(n_lanes)))
    cuts = sorted(data.draw(st.sets(st.integers(1, n_lanes))) | {n_lanes})
    start = 0
    for stop in cuts:
        nodes = tuple(reduce_nodes(Shares(), [Node(0, lane, share(lane)) for lane in order[start:stop]], n_lanes))
        for _ in range(data.draw(st.integers(1, 2))):
            other.take(Pieces(0, nodes))
        start = stop
    same(one, other) if one.late == other.late else assert_array_equal(one.vector, other.vector)


def piece(step, lane, value, weight=1.0):
    return Pieces(step, (Node(0, lane, Share(weight, np.full(18, value * weight))),))


def test_a_step_goes_on_without_backup_lanes():
    _, (store,) = make(sgd(1.0), staleness=0, lanes=3, backup=1)
    start = store.vector.copy()
    store.take(piece(0, 2, 4.0))
    assert not store.is_ready(Wish(version=1))
    store.take(piece(0, 0, 2.0))
    assert store.is_ready(Wish(version=1))
    store.take(piece(0, 1, 1000.0))
    assert (store.version, store.late) == (1, 1)
    assert_array_equal(store.vector, start - 3.0)


def test_pieces_of_later_steps_are_kept():
    _, (store,) = make(add(), staleness=0, lanes=2)
    start = store.vector.copy()
    for step in range(3):
        store.take(piece(step, 0, 2.0))
        store.take(piece(step, 0, 2.0))
    assert store.version == 0
    for step in range(3):
        store.take(piece(step, 1, 4.0))
        assert store.version == step + 1
    assert_array_equal(store.vector, start + 9.0)


def test_lanes_of_one_step_push_alike():
    _, (store,) = make(add(), staleness=0, lanes=2)
    store.take(piece(0, 0, 2.0))
    rows = Share(1.0, (RowGradient("v", np.array([0]), np.ones((1, 1))),))
    with pytest.raises(DataError, match="expected all lanes of a step to push all parameters whole, or all not to"):
        store.take(Pieces(0, (Node(0, 1, rows),)))


def test_clocks():
    _, (store,) = make(add(), staleness=2)
    for message in (Enter("a"), Enter("b")):
        store.take(message)
    for number in range(3):
        assert store.is_ready(Wish("a"))
        store.take(Push("a", (0, number)))
    assert not store.is_ready(Wish("a"))
    assert store.is_ready(Wish("b"))
    assert store.is_ready(Wish(""))
    store.take(Enter("a"))
    assert not store.is_ready(Wish("a"))
    store.take(Push("b", (0, 0)))
    store.take(Enter("c"))
    assert store.clocks == {"a": 3, "b": 1, "c": 1}
    store.take(Leave("b"))
    store.take(Leave("b"))
    assert store.clocks == {"a": 3, "c": 1}
    store.take(Leave("c"))
    assert store.is_ready(Wish("a"))


def test_a_skipped_gradient_counts_for_the_pace_only():
    _, (store,) = make(adam(), staleness=1)
    store.take(Enter("a"))
    start = store.vector.copy()
    store.take(Push("a", (0, 0), None))
    assert (store.version, store.clocks) == (0, {"a": 1})
    assert_array_equal(store.vector, start)


def test_reads_are_copies():
    _, (store,) = make(add())
    for wish in (Wish(), Wish(names=("u",)), Wish(rows=(("u", np.array([0])),))):
        store.read(wish).values[0][...] = np.nan
    assert np.isfinite(store.vector).all()

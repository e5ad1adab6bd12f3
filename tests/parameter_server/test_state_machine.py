"""State machine as a function of its messages: repeats change nothing, virtual workers combine alike in any order."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from daskml_kit.exceptions import DataError
from daskml_kit.numerics.row_sparse import SparseRows
from daskml_kit.optim import adagrad, adam, add, inverse_scaling, momentum, sgd
from daskml_kit.parameter_server.layout import Layout, cut
from daskml_kit.parameter_server.protocol import (
    Consistency,
    Enter,
    Leave,
    LossSums,
    Push,
    ReadRequest,
    RowGradient,
    StepParts,
    WeightedGradient,
)
from daskml_kit.parameter_server.state_machine import GradientSum, StateMachine
from daskml_kit.reductions.reduction import Node, reduce_nodes

RULES = [sgd(0.1), sgd(inverse_scaling(0.5)), momentum(0.1), adagrad(0.1), adam(0.1), add()]
PARAMS = {"u": np.linspace(-1, 1, 12).reshape(6, 2), "v": np.linspace(0, 1, 5), "b": np.array(0.5)}


def make(rule, staleness=np.inf, n_servers=1, **options):
    layout = Layout.of(PARAMS, n_servers)
    vector = layout.flatten(PARAMS)
    machines = [
        StateMachine(vector[part].copy(), rule, layout.spans(server), Consistency(staleness, **options))
        for server, part in enumerate(layout.ranges())
    ]
    return layout, machines


def same(a, b):
    assert_array_equal(a.vector, b.vector)
    for one, other in zip(a.state, b.state, strict=True):
        assert_array_equal(one, other)
    assert (a.version, a.numbers, a.clocks, a.staleness_counts, a.late) == (
        b.version,
        b.numbers,
        b.clocks,
        b.staleness_counts,
        b.late,
    )


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
        one.apply(message)
        other.apply(pickle.loads(pickle.dumps(message)))
        same(one, other)
        same(one, pickle.loads(pickle.dumps(one)))


@pytest.mark.parametrize("rule", RULES)
def test_pushes_that_come_again_change_nothing(rule):
    (_, (one,)), (_, (other,)) = make(rule), make(rule)
    pushed = []
    rng = np.random.default_rng(2)
    for message in messages_of(2):
        one.apply(message)
        other.apply(message)
        if isinstance(message, Push):
            pushed.append(message)
        for old in rng.choice(len(pushed), min(len(pushed), 3)):
            other.apply(pushed[old])
        same(one, other)


@pytest.mark.parametrize("rule", [sgd(0.1), sgd(inverse_scaling(0.5)), momentum(0.1), adagrad(0.1), adam(0.1), add()])
@pytest.mark.parametrize("n_servers", [1, 2, 4])
def test_rows_of_all_are_the_whole(rule, n_servers):
    rng = np.random.default_rng(3)
    layout, dense = make(rule, n_servers=n_servers)
    _, sparse = make(rule, n_servers=n_servers)
    for number in range(4):
        whole = {name: rng.normal(size=array.shape) for name, array in PARAMS.items()}
        rows = {name: g if name == "b" else SparseRows(np.arange(len(g)), g) for name, g in whole.items()}
        for machines, gradients in ((dense, whole), (sparse, rows)):
            for machine, told in zip(machines, cut(layout, gradients), strict=True):
                machine.apply(Push("a", (0, number), told))
    for one, other in zip(dense, sparse, strict=True):
        same(one, other)


@pytest.mark.parametrize("rule", RULES)
def test_some_rows_are_the_same_on_any_number_of_servers(rule):
    vectors = []
    for n_servers in (1, 2, 3, 5):
        rng = np.random.default_rng(4)
        layout, machines = make(rule, n_servers=n_servers)
        for number in range(6):
            gradients = {"u": SparseRows(rng.integers(6, size=2), rng.normal(size=(2, 2)))}
            if number % 2:
                gradients["v"] = rng.normal(size=5)
            for machine, told in zip(machines, cut(layout, gradients), strict=True):
                machine.apply(Push("a", (0, number), told))
        assert {machine.version for machine in machines} == {6}
        vectors.append(np.concatenate([machine.vector for machine in machines]))
    for vector in vectors[1:]:
        assert_array_equal(vector, vectors[0])


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 9), st.booleans(), st.data())
def test_virtual_workers_in_any_groups_and_order_give_the_same_bits(n_virtual, rows, data):
    rng = np.random.default_rng(n_virtual)
    gradients = rng.normal(size=(n_virtual, 18))
    weights = rng.integers(0, 3, n_virtual).astype(float)
    sums = [LossSums(loss, weight, 7, 1) for loss, weight in zip(rng.normal(size=n_virtual), weights, strict=True)]

    def weighted(leaf):
        if not weights[leaf]:
            return WeightedGradient(0.0, None, sums[leaf])
        some = (RowGradient("u", np.array([leaf % 6]), gradients[leaf, :2].reshape(1, 2) * weights[leaf]),)
        return WeightedGradient(weights[leaf], some if rows else gradients[leaf] * weights[leaf], sums[leaf])

    _, (one,) = make(adam(0.1), staleness=0, virtual_workers=n_virtual)
    for leaf in range(n_virtual):
        one.apply(StepParts(0, (Node(0, leaf, weighted(leaf)),)))
    assert one.version == 1
    assert one.epoch_sums()[1:] == (weights.sum(), 7 * n_virtual, n_virtual)
    _, (other,) = make(adam(0.1), staleness=0, virtual_workers=n_virtual)
    order = data.draw(st.permutations(range(n_virtual)))
    cuts = sorted(data.draw(st.sets(st.integers(1, n_virtual))) | {n_virtual})
    start = 0
    for stop in cuts:
        nodes = tuple(
            reduce_nodes(GradientSum(), [Node(0, leaf, weighted(leaf)) for leaf in order[start:stop]], n_virtual)
        )
        for _ in range(data.draw(st.integers(1, 2))):
            other.apply(StepParts(0, nodes))
        start = stop
    same(one, other) if one.late == other.late else assert_array_equal(one.vector, other.vector)
    assert one.epoch_sums() == other.epoch_sums()


def part_of(step, virtual_worker, value, weight=1.0, epoch=0):
    partial = WeightedGradient(weight, np.full(18, value * weight), LossSums(value, weight, 3, 1))
    return StepParts(step, (Node(0, virtual_worker, partial),), epoch)


def test_a_step_goes_on_without_backup_lanes():
    _, (machine,) = make(sgd(1.0), staleness=0, virtual_workers=3, backup_workers=1)
    start = machine.vector.copy()
    machine.apply(part_of(0, 2, 4.0))
    assert not machine.is_ready(ReadRequest(version=1))
    assert machine.has_parts(0, [2])
    assert not machine.has_parts(0, [1, 2])
    machine.apply(part_of(0, 0, 2.0))
    assert machine.is_ready(ReadRequest(version=1))
    machine.apply(part_of(0, 1, 1000.0))
    assert (machine.version, machine.late) == (1, 1)
    assert machine.has_parts(0, [1])
    assert not machine.has_parts(1, [1])
    assert_array_equal(machine.vector, start - 3.0)


def test_pieces_of_later_steps_are_kept():
    _, (machine,) = make(add(), staleness=0, virtual_workers=2)
    start = machine.vector.copy()
    for step in range(3):
        machine.apply(part_of(step, 0, 2.0))
        machine.apply(part_of(step, 0, 2.0))
    assert machine.version == 0
    for step in range(3):
        machine.apply(part_of(step, 1, 4.0))
        assert machine.version == step + 1
    assert_array_equal(machine.vector, start + 9.0)


def test_sums_are_of_the_steps_of_one_epoch():
    _, (machine,) = make(add(), staleness=0, virtual_workers=2)
    for step, epoch, expected in [(0, 3, (5.0, 2.0, 6, 2)), (1, 3, (12.0, 4.0, 12, 4)), (2, 4, (9.0, 2.0, 6, 2))]:
        for virtual_worker in (1, 0, 1):
            machine.apply(part_of(step, virtual_worker, 2.0 + step + virtual_worker, epoch=epoch))
        assert machine.epoch_sums() == expected


def test_lanes_of_one_step_push_alike():
    _, (machine,) = make(add(), staleness=0, virtual_workers=2)
    machine.apply(part_of(0, 0, 2.0))
    rows = WeightedGradient(1.0, (RowGradient("v", np.array([0]), np.ones((1, 1))),))
    with pytest.raises(DataError, match="expected all workers of a step to push all parameters whole, or all not to"):
        machine.apply(StepParts(0, (Node(0, 1, rows),)))


def test_clocks():
    _, (machine,) = make(add(), staleness=2)
    for message in (Enter("a"), Enter("b")):
        machine.apply(message)
    for number in range(3):
        assert machine.is_ready(ReadRequest("a"))
        machine.apply(Push("a", (0, number)))
    assert not machine.is_ready(ReadRequest("a"))
    assert machine.is_ready(ReadRequest("b"))
    assert machine.is_ready(ReadRequest(""))
    machine.apply(Enter("a"))
    assert not machine.is_ready(ReadRequest("a"))
    machine.apply(Push("b", (0, 0)))
    machine.apply(Enter("c"))
    assert machine.clocks == {"a": 3, "b": 1, "c": 1}
    machine.apply(Leave("b"))
    machine.apply(Leave("b"))
    assert machine.clocks == {"a": 3, "c": 1}
    machine.apply(Leave("c"))
    assert machine.is_ready(ReadRequest("a"))


def test_a_skipped_gradient_counts_for_the_pace_only():
    _, (machine,) = make(adam(), staleness=1)
    machine.apply(Enter("a"))
    start = machine.vector.copy()
    machine.apply(Push("a", (0, 0), None))
    assert (machine.version, machine.clocks) == (0, {"a": 1})
    assert_array_equal(machine.vector, start)


def test_reads_are_copies():
    _, (machine,) = make(add())
    for wanted in (ReadRequest(), ReadRequest(rows=(("u", slice(None)),)), ReadRequest(rows=(("u", np.array([0])),))):
        machine.read(wanted).values[0][...] = np.nan
    assert np.isfinite(machine.vector).all()

"""Snapshots: what is written comes back on any number of servers, whole or not at all."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from daskml_kit.exceptions import CheckpointError
from daskml_kit.parameter_server import ParameterServer, adagrad, adam, chain, clip, momentum, sgd
from daskml_kit.parameter_server.layout import Layout
from daskml_kit.parameter_server.protocol import Consistency, Push
from daskml_kit.parameter_server.snapshots import read_snapshot, write_snapshot
from daskml_kit.parameter_server.state_machine import StateMachine

PARAMS = {"w": np.linspace(-1, 1, 20).reshape(10, 2), "b": np.array([0.5], np.float64)}
RULES = [sgd(0.1), momentum(0.1), adagrad(0.1), adam(0.1), chain(clip(0.5), adam(0.1))]


def make(rule, n_servers, n_pushes=5):
    layout, rng = Layout.of(PARAMS, n_servers), np.random.default_rng(0)
    vector = layout.flatten(PARAMS)
    machines = [
        StateMachine(vector[p].copy(), rule, layout.spans(i), Consistency(3.0)) for i, p in enumerate(layout.ranges())
    ]
    for number in range(n_pushes):
        gradient = rng.normal(size=layout.size)
        for machine, part in zip(machines, layout.ranges(), strict=True):
            machine.apply(Push("a", (0, number), gradient[part], number // 2))
    return layout, machines


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("before", "after"), [(1, 1), (3, 2), (1, 4)])
def test_it_goes_on_as_if_nothing_had_been(tmp_path, rule, before, after):
    layout, machines = make(rule, before)
    write_snapshot(tmp_path, layout, machines, Consistency(3.0))
    layout, found = read_snapshot(tmp_path, rule).cut(after, rule)
    gradient = np.random.default_rng(1).normal(size=layout.size)
    (_, (whole,)) = make(rule, 1)
    whole.apply(Push("a", (0, 5), gradient))
    for machine, part in zip(found, layout.ranges(), strict=True):
        assert (machine.version, machine.numbers, machine.consistency) == (5, {"a": (0, 4)}, Consistency(3.0))
        machine.apply(Push("a", (0, 4), np.full(machine.vector.size, np.nan)))
        machine.apply(Push("a", (0, 5), gradient[part]))
        assert machine.staleness_counts.total() == 6
        assert_array_equal(machine.vector, whole.vector[part])
        for own, all_ in zip(machine.state, whole.state, strict=True):
            assert_array_equal(own, all_[part] if all_.ndim else all_)


@pytest.mark.parametrize("other", [sgd(0.1), momentum(0.1), adagrad(0.1), adam(0.1)])
@pytest.mark.parametrize("rule", [sgd(0.1), momentum(0.1), adagrad(0.1), chain(clip(1.0), adam(0.1))])
def test_the_state_of_another_rule_is_refused(tmp_path, rule, other):
    write_snapshot(tmp_path, *make(rule, 2), Consistency())
    if type(getattr(rule, "rule", rule)) is type(other):
        read_snapshot(tmp_path, other)
        return
    with pytest.raises(CheckpointError, match=r"update: the snapshot in .* has the state of"):
        read_snapshot(tmp_path, other)


def test_a_range_that_was_a_push_ahead_takes_it_once(tmp_path):
    layout, machines = make(sgd(1.0), 3)
    ahead, parts = Push("a", (0, 5), None), list(layout.ranges())
    pushed = [ahead._replace(gradient=np.ones(p.stop - p.start)) for p in parts]
    machines[1].apply(pushed[1])
    write_snapshot(tmp_path, layout, machines, Consistency(3.0))
    _, found = read_snapshot(tmp_path, sgd(1.0)).cut(3, sgd(1.0))
    for machine, before, push in zip(found, machines, pushed, strict=True):
        machine.apply(push)
        before.apply(push)
        assert_array_equal(machine.vector, before.vector)
        assert machine.counts() == before.counts()
    _, (whole,) = read_snapshot(tmp_path, sgd(1.0)).cut(1, sgd(1.0))
    assert (whole.version, whole.numbers) == (5, {"a": (0, 4)})


class Crash(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("at", range(4))
def test_one_that_was_torn_leaves_the_last_whole_one(tmp_path, monkeypatch, at):
    layout, machines = make(adam(0.1), 2)
    write_snapshot(tmp_path, layout, machines, Consistency())
    saved = np.concatenate([machine.vector for machine in machines])
    for machine in machines:
        machine.apply(Push("a", (0, 9), np.ones(machine.vector.size)))

    def crash(*args, **kwargs):
        raise Crash

    place = [(np, "savez"), (os, "fsync"), (json, "dumps"), (os, "replace")][at]
    with monkeypatch.context() as patched:
        patched.setattr(*place, crash)
        with pytest.raises(Crash):
            write_snapshot(tmp_path, layout, machines, Consistency())
    assert_array_equal(read_snapshot(tmp_path, adam(0.1)).vector, saved)
    write_snapshot(tmp_path, layout, machines, Consistency())
    assert (read_snapshot(tmp_path, adam(0.1)).vector != saved).any()
    assert [path.name for path in tmp_path.iterdir()] == ["snapshot.npz"]


@pytest.mark.parametrize("kept", [0, 20, 200])
def test_files_that_were_cut_off_are_named(tmp_path, kept):
    write_snapshot(tmp_path, *make(adam(0.1), 1), Consistency())
    path = tmp_path / "snapshot.npz"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match=r"holds no snapshot that can be read: .*snapshot\.npz is damaged"):
        read_snapshot(tmp_path, adam(0.1))


def test_a_directory_without_a_snapshot(tmp_path):
    with pytest.raises(CheckpointError, match="holds no snapshot"):
        ParameterServer.restore(tmp_path, sgd(0.1), client="local")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_server_goes_on_from_its_snapshot(tmp_path, dtype):
    params = {"w": np.arange(4, dtype=dtype), "b": np.array(1, dtype)}
    gradients = {name: np.ones_like(p) for name, p in params.items()}
    with ParameterServer(params, adam(0.1), np.inf, client="local") as server:
        server.push(gradients)
        server.snapshot(tmp_path)
        server.push(gradients)
        expected = server.pull()
    with ParameterServer.restore(tmp_path, adam(0.1), client="local") as server:
        server.push(gradients)
        found = server.pull()
        assert server.version == 2
    for name in params:
        assert found[name].dtype == dtype
        assert_array_equal(found[name], expected[name])

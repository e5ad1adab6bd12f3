"""Tables out of step in a synchronous training: applied as they come, once each, while all else keeps its bits."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from daskml_kit.exceptions import DataError, LostServerError
from daskml_kit.optim import adam, add, clip_norm, inverse_scaling, momentum, sgd
from daskml_kit.optim.transforms import chain
from daskml_kit.parameter_server import Asynchronous, ParameterServer, SparseRows, Synchronous, WorkerClient, train
from daskml_kit.parameter_server.layout import Layout
from daskml_kit.parameter_server.protocol import Consistency, ReadRequest, StepPart
from daskml_kit.parameter_server.rpc import Address
from daskml_kit.parameter_server.snapshots import read_snapshot, write_snapshot
from daskml_kit.parameter_server.state_machine import split

N_ROWS = 240
DENSE = {"w": np.zeros(3), "b": np.zeros(2)}
PARAMS = {"table": np.zeros((N_ROWS, 2)), **DENSE}


class Ranges:
    """Servers of several ranges in this process, which answer at once, ready or not."""

    def __init__(self, params, n_ranges, rule, consistency):
        self.layout = Layout.of(params, n_ranges)
        self.machines = split(self.layout, self.layout.flatten(params), rule, consistency)
        self.sent = []

    def send(self, server, messages, wanted):
        self.sent.append((server, messages))
        for message in messages:
            self.machines[server].apply(message)
        return SimpleNamespace(result=lambda: self.machines[server].read(wanted))

    def ask(self, server, question, *args):
        return getattr(self.machines[server], question)(*args)

    def worker(self, virtual_worker):
        source, consistency = Address("it", self.layout), self.machines[0].consistency
        return WorkerClient(source, consistency, "it", virtual_worker=virtual_worker, servers=self)


def two_workers(n_ranges=1, bound=np.inf, rule=None, backup_workers=0):
    """Return servers of ``w`` and of a table, and two workers that make a step together."""
    params = {"w": np.zeros(2), "table": np.zeros((8, 1))}
    consistency = Consistency(0, 2, backup_workers, tables=(("table", bound),))
    ranges = Ranges(params, n_ranges, rule or add(), consistency)
    return ranges, ranges.worker(0), ranges.worker(1)


def gradients(number, row):
    return {"w": np.full(2, number), "table": SparseRows(np.array([row]), np.full((1, 1), number))}


def squares(params, X, y):
    error = X[:, 1:] @ params["w"] - y
    return float((error**2).mean()), {"w": 2 * X[:, 1:].T @ error / len(y), "b": np.full(2, error.mean())}


def squares_and_visits(params, X, y):
    loss, grads = squares(params, X, y)
    rows = X[:, 0].astype(int)
    return loss, {"table": SparseRows(rows, np.full((len(rows), 2), 1 / len(rows))), **grads}


def rows_and_targets():
    X = np.column_stack([np.arange(N_ROWS), np.random.default_rng(0).normal(size=(N_ROWS, 3))])
    return X, X @ [0.0, 1.0, -2.0, 0.5]


@pytest.mark.parametrize("rule", [sgd(inverse_scaling(0.1)), momentum(0.1), adam(0.1), chain(clip_norm(0.5), sgd(0.1))])
def test_what_is_in_step_keeps_its_bits(rule, tmp_path):
    X, y = rows_and_targets()
    config = {"update": rule, "epochs": 3, "batch_size": 32}
    expected = train(squares, DENSE, X, y, **config)
    config["training"] = Synchronous(staleness={"table": 2})
    found = train(squares_and_visits, PARAMS, X, y, **config)
    config["epochs"] = 2
    train(squares_and_visits, PARAMS, X, y, **config, checkpoint=tmp_path)
    again = train(squares_and_visits, PARAMS, X, y, **config, checkpoint=tmp_path)
    for name in DENSE:
        assert_array_equal(found.params[name], expected.params[name])
    assert [count for count in found.state if not count.ndim] == [count for count in expected.state if not count.ndim]
    assert found.history.staleness_counts == {0: 24}
    assert_array_equal(again.state[0], found.state[0] * 2 // 3)


def test_a_contribution_is_applied_as_it_comes_and_its_step_when_it_is_whole():
    ranges, first, second = two_workers()
    first.push(gradients(2.0, row=3))
    (machine,) = ranges.machines
    assert_array_equal(machine.vector, [0, 0, 0, 0, 0, 2, 0, 0, 0, 0])
    assert not machine.is_ready(ReadRequest(version=1))
    assert not machine.is_ready(ReadRequest(version=1, rows=(("w", slice(None)),)))
    assert not machine.is_ready(ReadRequest(version=1, rows=()))
    assert machine.is_ready(ReadRequest(version=1, rows=(("table", np.array([3])),)))
    second.push(gradients(4.0, row=3))
    assert_array_equal(machine.vector, [3, 3, 0, 0, 0, 6, 0, 0, 0, 0])
    for server, messages in list(ranges.sent):
        ranges.send(server, messages, ReadRequest())
    assert_array_equal(machine.vector, [3, 3, 0, 0, 0, 6, 0, 0, 0, 0])
    assert machine.version == 1


@pytest.mark.parametrize("bound", [1, 2])
def test_a_straggler_holds_up_readers_of_a_table_within_its_bound(bound):
    ranges, first, second = two_workers(bound=bound, backup_workers=1)
    second.push(gradients(1.0, row=0))
    for number in range(bound + 1):
        (machine,) = ranges.machines
        assert machine.is_ready(ReadRequest(version=number)) == (number <= bound)
        first.push(gradients(1.0, row=1))
        first.await_version(machine.version)
    assert machine.version == bound + 1
    assert not machine.is_ready(ReadRequest(version=bound + 2))
    assert machine.is_ready(ReadRequest(version=bound + 1, rows=(("w", slice(None)),)))
    second.await_version(bound)
    second.push({"w": np.zeros(2)})  # names no table, and keeps up all the same
    assert machine.is_ready(ReadRequest(version=bound + 2)) == (machine.version >= bound + 2)


def test_a_range_of_a_table_alone_waits_for_no_step():
    ranges, first, second = two_workers(n_ranges=2, rule=sgd(inverse_scaling(1.0, 1.0)))
    apart = ranges.machines[1]
    first.push(gradients(1.0, row=7))
    assert apart.is_ready(ReadRequest(version=1, rows=()))
    assert apart.has_parts(0, [0])
    assert not apart.has_parts(0, [0, 1])
    second.push(gradients(1.0, row=7))
    assert apart.vector[-1] == -2
    first.pull()
    first.push(gradients(1.0, row=7))  # the second step, of half the rate, which this range hears of by the push only
    assert apart.vector[-1] == -2.5
    assert (apart.version, apart.state[0]) == (1, 1)
    assert first.version == 2


def test_a_worker_lost_between_step_and_table_is_told():
    ranges, first, second = two_workers(n_ranges=2)
    first.push(gradients(1.0, row=7))
    (in_step, _) = second._step_messages([StepPart(1, 1.0, gradients(1.0, row=7))])
    ranges.send(0, in_step, ReadRequest(rows=()))
    assert ranges.worker(0).join_step([0])["w"].tolist() == [1, 1]
    with pytest.raises(LostServerError, match="its part of step 0"):
        ranges.worker(1).join_step([1])


def test_a_skipped_contribution_holds_up_nobody():
    params = {"w": np.zeros(2), "table": np.zeros((2, 1))}
    staleness = {"table": 1}
    with ParameterServer(params, add(), staleness, virtual_workers=1, on_nan="skip", client="local") as server:
        for _ in range(4):
            server.push({"w": np.ones(2), "table": np.full((2, 1), np.nan)})
        assert server.pull()["table"].tolist() == [[0], [0]]
        assert server.version == 4
        assert server.staleness_counts == {}


@pytest.mark.parametrize("n_ranges", [2, 3])
def test_a_snapshot_cut_anew_knows_which_contributions_it_has(tmp_path, n_ranges):
    ranges, first, second = two_workers(n_ranges=2)
    for worker in (first, second):
        worker.push(gradients(1.0, row=0))
    first.await_version(1)
    first.push(gradients(1.0, row=1))
    write_snapshot(tmp_path, ranges.layout, ranges.machines, ranges.machines[0].consistency)
    found = read_snapshot(tmp_path, add())
    assert found.consistency == ranges.machines[0].consistency
    layout, machines = found.cut(n_ranges, add())
    for machine in machines:
        machine.apply(ranges.sent[-1][1][0])
        assert machine.version == 1
    whole = layout.unflatten(np.concatenate([machine.vector for machine in machines]))
    assert whole["table"].ravel().tolist() == [2, 1, 0, 0, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("staleness", "message"),
    [
        ({"tabel": np.inf}, "staleness: expected names of parameters, 'table', 'w', 'b', got 'tabel'"),
        ({"table": -1}, r"staleness\['table'\]: expected 0, a number of steps, or numpy.inf, got -1"),
        ({"table": "x"}, r"staleness\['table'\]: expected 0, a number of steps, or numpy.inf, got 'x'"),
        ({"table": 1, "w": 2, "b": 3}, "staleness: expected a parameter in step, with 0, beside others, got {'table'"),
    ],
)
def test_bounds_that_cannot_be(staleness, message):
    with pytest.raises(DataError, match=message):
        ParameterServer(PARAMS, add(), staleness, client="local")


def test_a_training_names_what_cannot_be():
    X, y = rows_and_targets()
    with pytest.raises(DataError, match="staleness: expected names of parameters, 'w', 'b', got 'table'"):
        train(squares, DENSE, X, y, training=Synchronous(staleness={"table": np.inf}))
    with pytest.raises(ValueError, match=r"staleness\['table'\]: expected an integer of at least 0, got 0.5"):
        Synchronous(staleness={"table": 0.5})
    with pytest.raises(ValueError, match="staleness: expected a mapping"):
        Synchronous(staleness=3)
    with pytest.raises(ValueError, match="staleness"):
        Asynchronous(staleness={"table": 1})

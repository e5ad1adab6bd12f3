"""What cannot be is named at once, by a cluster as by threads."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import numpy as np
import pytest
from distributed import Client
from numpy.testing import assert_array_equal

from daskml_kit.exceptions import AsynchronousClientError, DataError
from daskml_kit.parameter_server import (
    Asynchronous,
    ParameterServer,
    SparseRows,
    Synchronous,
    add,
    chain,
    clip_norm,
    sgd,
    train,
)

PARAMS = {"w": np.zeros((4, 2)), "b": np.zeros(3)}


@pytest.fixture(params=["threads", "cluster"])
def where(request):
    return "local" if request.param == "threads" else request.getfixturevalue("client")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"params": {}}, "params: expected a mapping of names to arrays"),
        ({"params": [np.zeros(2)]}, "params: expected a mapping of names to arrays, got list"),
        ({"params": {"w": np.zeros(2, int)}}, r"params\['w'\]: expected an array of floats, got dtype int64"),
        ({"params": {3: np.zeros(2)}}, "params: expected a mapping of names to arrays, got dict"),
        ({"params": {"w": 3.0}}, r"params\['w'\]: expected an array, got 3.0"),
        ({"params": {"w": np.array([0.0, np.nan])}}, r"params\['w'\]: expected finite numbers, got nan"),
        ({"params": {"w": None}}, r"params\['w'\]: expected an array, got None"),
        ({"update": 0.1}, r"update: expected a rule such as sgd\(0.1\), got 0.1"),
        ({"update": sgd}, "update: expected a rule"),
        ({"staleness": -1}, "staleness: expected 0, a number of pushes, or numpy.inf, got -1"),
        ({"staleness": np.nan}, "staleness: expected 0, a number of pushes, or numpy.inf, got nan"),
        ({"staleness": "4"}, "staleness: expected 0, a number of pushes, or numpy.inf, got '4'"),
        ({"servers": 0}, "servers: expected 'auto' or a number of at least 1, got 0"),
        ({"servers": 1.5}, "servers: expected 'auto' or a number of at least 1, got 1.5"),
        ({"replicas": 2}, "replicas: expected 0 or 1, got 2"),
        ({"replicas": -1}, "replicas: expected 0 or 1, got -1"),
        ({"virtual_workers": 0}, "virtual_workers: expected a number of at least 1, got 0"),
        ({"virtual_workers": 2, "staleness": 3}, "virtual_workers: expected 1 with staleness=3"),
        ({"backup_workers": 1}, "backup_workers: expected a number from 0 to below virtual_workers, 1, got 1"),
        ({"on_nan": "ignore"}, "on_nan: expected 'raise' or 'skip', got 'ignore'"),
    ],
)
def test_servers_that_cannot_be(where, change, message):
    arguments = {"params": PARAMS, "update": add(), "client": where, **change}
    with pytest.raises(DataError, match=message):
        ParameterServer(**arguments)


def test_servers_without_a_cluster():
    with pytest.raises(DataError, match="servers: expected 1 without a cluster, got 3"):
        ParameterServer(PARAMS, add(), servers=3, client="local")


def test_norms_of_gradients_in_parts(client):
    rule = chain(clip_norm(1.0), sgd(0.1))
    with pytest.raises(DataError, match="update: a rule that needs the whole gradient, such as clip_norm, takes serv"):
        ParameterServer(PARAMS, rule, servers=2, client=client)
    with ParameterServer(PARAMS, rule, servers=1, client=client) as server:
        server.push({"w": np.zeros((4, 2)), "b": np.array([0.0, 30.0, 40.0])})
        assert_array_equal(server.pull()["b"], [0.0, -0.1 * (30 * 0.02), -0.1 * (40 * 0.02)])


@pytest.mark.parametrize("client", ["tcp://127.0.0.1:1", SimpleNamespace()])
def test_clients_that_are_none(client):
    with pytest.raises(DataError, match="client: expected a client, 'local' or None"):
        ParameterServer(PARAMS, add(), client=client)


def test_an_asynchronous_client(cluster):
    async def make():
        async with Client(cluster.scheduler_address, asynchronous=True) as client:
            with pytest.raises(AsynchronousClientError, match="client: expected a synchronous one"):
                ParameterServer(PARAMS, add(), client=client)

    asyncio.run(make())


@pytest.mark.parametrize(
    ("gradients", "message"),
    [
        ({"w": np.zeros((2, 4))}, r"gradients\['w'\]: expected shape \(4, 2\), got \(2, 4\)"),
        ({"w": np.zeros((4, 2)), "b": np.zeros(2)}, r"gradients\['b'\]: expected shape \(3,\), got \(2,\)"),
        ({"weights": np.zeros(2)}, "'weights' is no parameter: expected one of 'w', 'b'"),
        ({"w": SparseRows(np.array([4]), np.zeros((1, 2)))}, r"rows\['w'\]: expected rows from 0 to 3, got 4 to 4"),
        (
            {"w": SparseRows(np.array([0]), np.zeros((1, 3)))},
            r"gradients\['w'\]: expected shape \(1, 2\), got \(1, 3\)",
        ),
        ({"b": np.array([0, np.nan, 0])}, r"gradients\['b'\]: expected finite numbers, got nan at \(1,\)"),
        (
            {"w": SparseRows(np.array([1]), np.array([[0, np.inf]]))},
            r"gradients\['w'\]: .*finite numbers, got inf at \(0, 1\)",
        ),
        ({"b": np.array(["a", "b", "c"])}, r"gradients\['b'\]: expected real numbers"),
    ],
)
@pytest.mark.parametrize("staleness", [0, 2, np.inf])
def test_gradients_that_cannot_be_change_nothing(gradients, message, staleness):
    with ParameterServer(PARAMS, add(), staleness, client="local") as server:
        for push in (server.push, server.worker("a").push, server.worker("b").push_pull):
            with pytest.raises(DataError, match=message):
                push(gradients)
        assert server.version == 0
        server.push({name: np.ones(array.shape) for name, array in PARAMS.items()})
        assert_array_equal(server.pull()["b"], np.ones(3))


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        ({"names": ("x",)}, "'x' is no parameter"),
        ({"rows": {"x": [0]}}, "'x' is no parameter"),
        ({"rows": {"b": [3]}}, r"rows\['b'\]: expected rows from 0 to 2, got 3 to 3"),
        ({"rows": {"b": [-1]}}, r"rows\['b'\]: expected rows from 0 to 2, got -1 to -1"),
        ({"rows": {"b": [0.5]}}, r"rows\['b'\]: expected a vector of whole numbers"),
    ],
)
def test_reads_that_cannot_be(where, ask, message):
    with ParameterServer(PARAMS, add(), np.inf, client=where) as server:
        with pytest.raises(DataError, match=message):
            server.pull(**ask)
        assert_array_equal(server.pull(rows={"b": [2, 2, 0]})["b"], np.zeros(3))
        assert server.pull(rows={"w": []})["w"].shape == (0, 2)


def test_weights_are_of_steps(where):
    gradients = {"b": np.ones(3)}
    message = "weight: expected 1 with staleness=1"
    with ParameterServer(PARAMS, add(), 1, client=where) as server, pytest.raises(DataError, match=message):
        server.push(gradients, weight=2.0)
    with ParameterServer(PARAMS, add(), client=where) as server:
        for weight in (-1.0, np.nan, np.inf):
            with pytest.raises(ValueError, match="weight: expected a finite number of at least 0"):
                server.push(gradients, weight=weight)
        server.push(gradients, weight=0.5)
        with pytest.raises(ValueError, match="virtual_worker: expected an integer from 0 to 0, got 1"):
            server.worker("a", virtual_worker=1)


@pytest.mark.parametrize("staleness", [0, 2, np.inf])
def test_gradients_that_are_skipped_are_counted(where, staleness):
    with ParameterServer(PARAMS, add(), staleness, on_nan="skip", client=where) as server:
        worker = server.worker("a")
        for value in (1.0, np.nan, np.inf, 2.0):
            worker.push({"b": np.full(3, value)})
        assert worker.skipped == 2
        assert_array_equal(server.pull()["b"], np.full(3, 3.0))


def test_arrays_of_the_caller_are_never_written_to(where):
    given = np.ones(3)
    gradient = np.ones(3)
    with ParameterServer({"b": given}, add(), np.inf, client=where) as server:
        server.push({"b": gradient})
        found = server.pull()["b"]
        server.push({"b": gradient})
        assert_array_equal(found, np.full(3, 2.0))
        assert_array_equal(server.pull()["b"], np.full(3, 3.0))
    assert_array_equal(given, np.ones(3))
    assert_array_equal(gradient, np.ones(3))


def test_empty_parameters(where):
    params = {"none": np.zeros((0, 3)), "w": np.zeros(2), "thin": np.zeros((2, 0))}
    with ParameterServer(params, add(), np.inf, client=where) as server:
        server.push({name: np.ones(array.shape) for name, array in params.items()})
        assert {name: array.shape for name, array in server.pull().items()} == {
            "none": (0, 3),
            "w": (2,),
            "thin": (2, 0),
        }
        assert server.pull(("none", "w"))["none"].shape == (0, 3)
        assert server.pull(rows={"thin": [1]})["thin"].shape == (1, 0)


def squares(params, X, y):
    residual = X @ params["w"] - y
    return float(residual @ residual) / len(y), {"w": 2 * X.T @ residual / len(y)}


X = np.random.default_rng(0).normal(size=(64, 2))
y = X @ [1.0, 2.0]


@pytest.mark.parametrize(
    ("function", "config", "error", "message"),
    [
        (lambda p, X, y: (0.0, {"w": np.zeros(3)}), {}, DataError, r"gradients\['w'\]: expected shape \(2,\), got"),
        (lambda p, X, y: (0.0, {"v": np.zeros(2)}), {}, DataError, "'v' is no parameter: expected one of 'w'"),
        (lambda p, X, y: (0.0, {"w": np.full(2, np.nan)}), {}, DataError, "expected finite numbers, got nan"),
        (lambda p, X, y: 0.0, {}, DataError, "loss_and_grad: expected a pair of the mean loss"),
        ("model", {}, DataError, "loss_and_grad: expected a function, got 'model'"),
        (squares, {"speed": 3}, TypeError, "unexpected keyword argument 'speed'"),
        (squares, {"on_nan": "hope"}, ValueError, "on_nan: expected one of"),
        (squares, {"random_state": "x"}, ValueError, "random_state: 'x' cannot be used to seed"),
        (squares, {"random_state": -1}, ValueError, "random_state: expected an integer from 0 to 4294967295"),
        (squares, {"update": 3}, DataError, "update: expected a rule such as"),
        (squares, {"update": sgd(0.1), "local": sgd(0.1)}, DataError, "update: expected none beside local"),
    ],
)
@pytest.mark.parametrize("training", [Synchronous(), Asynchronous()], ids=["sync", "async"])
def test_trainings_that_cannot_be(function, config, error, message, training):
    with pytest.raises(error, match=message):
        train(function, {"w": np.zeros(2)}, X, y, training=training, **config)


@pytest.mark.parametrize(
    ("training", "message"),
    [
        (Synchronous(backup_workers=9), "backup_workers: expected a number from 0 to below virtual_workers"),
    ],
    ids=str,
)
def test_servers_of_a_training_that_cannot_be(training, message):
    with pytest.raises(DataError, match=message):
        train(squares, {"w": np.zeros(2)}, X, y, training=training)


@pytest.mark.parametrize("params", [None, 3, [np.zeros(2)], {3: np.zeros(2)}], ids=repr)
def test_starts_of_a_training_that_cannot_be(params):
    with pytest.raises(ValueError, match="params: expected a mapping of names to arrays"):
        train(squares, params, X, y)


def test_a_parameter_of_a_training_that_is_no_number():
    with pytest.raises(DataError, match=r"params\['w'\]: expected real numbers, got object"):
        train(squares, {"w": None}, X, y)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda server: server.push(3), "gradients: expected a mapping of names to arrays, got int 3"),
        (lambda server: server.push({"w": np.ones(2)}, weight="x"), "weight: expected a finite number of at least 0"),
        (lambda server: server.pull(names="w"), "names: expected a tuple of names, got 'w'"),
        (lambda server: server.pull(names=3), "names: expected a tuple of names, got 3"),
        (lambda server: server.pull(rows=3), "rows: expected a mapping of names to arrays, got int 3"),
        (lambda server: server.worker(3), "name: expected a string, got 3"),
        (lambda server: server.leave(3), "name: expected a string, got 3"),
        (lambda server: server.worker("a", virtual_worker="x"), "virtual_worker: expected an integer from 0 to 0"),
    ],
)
def test_calls_that_cannot_be(call, message):
    with ParameterServer({"w": np.zeros(2)}, sgd(0.1), client="local") as server:
        with pytest.raises(ValueError, match=message):
            call(server)
        assert server.pull()["w"].tolist() == [0.0, 0.0]

"""Under TLS all goes through Dask's own encrypted connections: no other socket is opened."""

from __future__ import annotations

import os

import dask.array as da
import numpy as np
import psutil
import pytest
from distributed import Client, LocalCluster
from distributed.security import Security

from daskml_kit.engines import open as opening
from daskml_kit.parameter_server import Asynchronous, ParameterServer, SparseRows, Synchronous, adam, add, train


@pytest.fixture
def encrypted(monkeypatch):
    pytest.importorskip("cryptography")
    monkeypatch.setattr(opening, "LOCAL_BYTES", 0)
    sizes = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": ":0"}
    _, of_others = tcp(os.getpid())
    with LocalCluster(security=Security.temporary(), **sizes) as cluster, Client(cluster) as client:
        yield client, of_others


def push_and_pull(worker):
    worker.push({"w": np.ones(1000)})
    return worker.push_pull({"w": SparseRows(np.array([3]), np.ones(1))})["w"].sum()


def squares(params, X, y):
    residual = X @ params["w"] - y
    return float(residual @ residual) / len(y), {"w": 2 * X.T @ residual / len(y)}


def tcp(pid):
    """Return what a process listens on, and what it is connected with, as (own port, other's port)."""
    connections = psutil.Process(pid).net_connections("tcp")
    listening = {c.laddr.port for c in connections if c.status == psutil.CONN_LISTEN}
    return listening, {(c.laddr.port, c.raddr.port) for c in connections if c.status == psutil.CONN_ESTABLISHED}


def all_tcp(client):
    """Return the same of all processes of the cluster, nannies and this one included."""
    pids = {os.getpid(), *client.run(os.getpid).values(), *client.run(os.getppid).values()}
    listening, connected = zip(*map(tcp, pids), strict=True)
    return set().union(*listening), set().union(*connected)


@pytest.mark.slow
def test_no_socket_is_unencrypted(encrypted):
    client, of_others = encrypted
    X = client.persist(da.random.default_rng(0).normal(size=(4000, 5), chunks=(500, 5)))
    y = client.persist(X @ np.arange(5.0))
    before, _ = all_tcp(client)  # the pages of workers are there, whatever they do
    with ParameterServer({"w": np.zeros(1000)}, add(), np.inf, servers=2, client=client) as server:
        found = [client.submit(push_and_pull, server.worker(name), pure=False) for name in "ab"]
        assert max(client.gather(found)) == 2002.0
        assert server.pull()["w"].sum() == 2002.0
        for training in (Synchronous(), Asynchronous(staleness=4), Asynchronous()):
            options = {"update": adam(0.1), "training": training, "epochs": 3, "batch_size": 250}
            result = train(squares, {"w": np.zeros(5)}, X, y, **options)
            losses = [epoch.loss for epoch in result.history.epochs]
            assert losses[2] < losses[0] / 2
        listening, connected = all_tcp(client)
    info = client.scheduler_info()
    addresses = [info["address"], *info["workers"], *(worker["nanny"] for worker in info["workers"].values())]
    assert all(address.startswith("tls://") for address in addresses)
    encrypted_ports = {int(address.rsplit(":", 1)[1]) for address in addresses}
    assert listening == before
    assert encrypted_ports <= listening
    assert len(connected - of_others) >= 8
    assert all(encrypted_ports.intersection(pair) for pair in connected - of_others)

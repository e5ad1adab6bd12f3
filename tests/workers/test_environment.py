"""Workers without the package, or with another version of it, also such as join later."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import dask.array as da
import pytest
from distributed import Client, LocalCluster

from daskml_kit.exceptions import MissingModuleError
from daskml_kit.linear_model import Ridge
from daskml_kit.workers import environment

WORKER = """
import importlib.metadata, runpy, sys, types
scheduler, name, version = sys.argv[1:]
if version:
    true = importlib.metadata.version
    importlib.metadata.version = lambda package: version if package == "daskml_kit" else true(package)
else:
    sys.modules["daskml_kit"] = None  # as if it were not there
sys.argv = ["dask-worker", scheduler, "--name", name, "--no-nanny", "--no-dashboard", "--nthreads", "1"]
runpy.run_module("distributed.cli.dask_worker", run_name="__main__")
"""


@contextmanager
def joined(client: Client, versions: dict[str, str]) -> Iterator[dict[str, str]]:
    """Let worker processes join that have some version of the package, or with "" none; give their addresses."""
    here = set(client.nthreads())
    orders = ([sys.executable, "-c", WORKER, client.scheduler.address, *pair] for pair in versions.items())
    processes = [subprocess.Popen(order, stderr=subprocess.DEVNULL) for order in orders]
    try:
        client.wait_for_workers(len(here) + len(versions), timeout=120)
        workers = client.scheduler_info(n_workers=-1)["workers"]
        yield {workers[address]["name"]: address for address in workers if address not in here}
    finally:
        for process in processes:
            process.kill()
            process.wait()
        while len(client.nthreads()) > len(here):
            time.sleep(0.05)


def test_workers_with_another_environment_are_named(monkeypatch):
    options = {"processes": False, "protocol": "tcp", "dashboard_address": ":0"}
    with LocalCluster(n_workers=1, **options) as cluster, Client(cluster) as client:
        X, y = client.persist((da.ones((40, 2), chunks=(10, 2)), da.arange(40, chunks=10)))
        Ridge().fit(X, y)
        with monkeypatch.context() as patch:  # each worker is asked once a client
            patch.setattr(environment, "run_on_workers", None)
            Ridge().fit(X, y)
        with joined(client, {"bare": "", "old": "0.0.1"}) as addresses:
            with pytest.raises(MissingModuleError, match="install what this process has") as caught:
                Ridge().fit(X, y)
            assert f"worker {addresses['bare']} lacks daskml_kit" in str(caught.value)
            assert f"worker {addresses['old']} has daskml_kit 0.0.1, not 0." in str(caught.value)
            with pytest.raises(MissingModuleError, match="lacks daskml_kit"):
                Ridge().fit(X, y)  # again: only workers that will do are not asked a second time
        assert Ridge().fit(X, y).n_features_in_ == 2

"""Workers that are retired one by one while others join."""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from distributed import Client

from benchmarks.kills import CASES, SECONDS, Case, fitted, given, killable_cluster
from benchmarks.program import Setting, Work
from benchmarks.race import Row


def _until(holds: Callable[[], Any]) -> None:
    deadline = time.monotonic() + SECONDS
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {SECONDS} s")
        time.sleep(0.05)


class Replacement(threading.Thread):
    """Retirement of each worker, one by one, when another has joined; ``error`` is what went wrong."""

    def __init__(self, client: Client) -> None:
        super().__init__()
        self.client = client
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            for address in sorted(self.client.nthreads()):
                self._replace(address)
        except Exception as error:
            self.error = error

    def _replace(self, address: str) -> None:
        before = set(self.client.nthreads())
        self.client.cluster.scale(len(self.client.cluster.worker_spec) + 1)
        _until(lambda: set(self.client.nthreads()) - before)
        if address not in self.client.retire_workers([address]):
            raise RuntimeError(f"{address} was not retired")


def fault_while_replaced(client: Client, case: Case) -> str | None:
    """Fit until all workers are replaced; return what went wrong, None where nothing did."""
    rows = given(client, case)
    expected = fitted(case, rows)
    replacement = Replacement(client)
    replacement.start()
    fault = None
    try:
        while replacement.is_alive() and fault is None:
            found = fitted(case, rows)
            other = [part for part in expected if found.get(part) != expected[part]]
            fault = f"other bits of {', '.join(other)}" if other else None
    except Exception as error:
        fault = f"{type(error).__name__}: {error}"[:200]
    replacement.join()
    return fault or (replacement.error and f"{type(replacement.error).__name__}: {replacement.error}"[:200])


def replaced(setting: Setting) -> list[Row]:
    """Replace all workers during each of some fits, and count those whose bits are not the undisturbed ones'."""
    n_fits, rng = max(round(40 * setting.scale), 1), np.random.default_rng(setting.seed)
    names = rng.permutation(list(CASES))[:n_fits]
    with warnings.catch_warnings(), killable_cluster(**{"distributed.deploy.lost-worker-timeout": "600s"}) as client:
        warnings.simplefilter("ignore")
        faults = {name: fault_while_replaced(client, CASES[name]) for name in names}
    notes = [f"{name}: {fault}" for name, fault in faults.items() if fault]
    work = "fits while all workers are replaced: other bits or an error"
    return [Row(work, len(notes), len(names), 0.0, True, "", notes)]


WORKS: dict[str, Work] = {"replaced": replaced}

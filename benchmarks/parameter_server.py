"""The parameter server: its calls beside a loop through the client, and training with a slow worker.

``python -m benchmarks.parameter_server`` prints one table; ``--scale 0.01`` runs it on a hundredth of the rows. Workers
are processes of one thread each.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from distributed import Client, LocalCluster, as_completed

from benchmarks import networks, sgd
from benchmarks.data import PART_ROWS, badly_scaled, on_workers
from benchmarks.partition import throttled
from benchmarks.program import Setting, Work, run
from benchmarks.race import Row
from daskml_kit.parameter_server import (
    Asynchronous,
    ParameterServer,
    SparseRows,
    Synchronous,
    TrainingResult,
    WorkerClient,
    adagrad,
    train,
)
from daskml_kit.parameter_server import sgd as descent

N_PARAMS = 100_000
CALLS = 300
WORKERS = 4
SECONDS = 4.0
SLOWED = 5
TABLE, WIDTH, PUSHED = 1_000_000, 32, 1_000
ROWS = 400_000


@contextmanager
def workers(n_workers: int) -> Iterator[Client]:
    with (
        LocalCluster(n_workers=n_workers, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        yield client


def calls(setting: Setting) -> list[Row]:
    """Exchanges of 100,000 float64 by a worker in another process: push and pull in one message, and one by one."""
    rows, n_calls = [], CALLS if setting.scale >= 1 else 20
    for replicas, wanted in ((1, 350), (0, 500)):
        with workers(3) as client:
            away = sorted(client.nthreads())[-1]
            params = {"w": np.zeros(N_PARAMS)}
            with ParameterServer(params, descent(0.1), np.inf, servers=1, replicas=replicas, client=client) as server:
                before = client.run(time.process_time)
                seconds = client.submit(called, server.worker("t"), n_calls, workers=[away]).result()
                after = client.run(time.process_time)
        kind = "replicated" if replicas else "without replica"
        busy = 1e3 * sum(after[worker] - before[worker] for worker in after) / n_calls
        quantiles = {name: 1e3 * np.quantile(own, (0.5, 0.99)) for name, own in seconds.items()}
        parts = [f"{name} {p50:.2f} ms (p50), {p99:.2f} ms (p99)" for name, (p50, p99) in quantiles.items()]
        apart = 1e3 / float(quantiles["pull"][0] + quantiles["push"][0])
        note = f"{', '.join(parts)}; of {n_calls}; a pull, then a push: {apart:.0f}/s"
        note += f"; processor time of all workers for one of each: {busy:.1f} ms"
        rate = 1e3 / float(quantiles["exchange"][0])
        work = f"exchange (push and pull in one message) of {N_PARAMS:,} float64, {kind}: a second"
        rows.append(Row(work, float(wanted), rate, 1, unit="/s", notes=[note]))
    return rows


def called(worker: WorkerClient, n_calls: int) -> dict[str, list[float]]:
    """Return the seconds of each exchange, as training workers make it, and of each pull and push alone."""
    gradients = {"w": np.ones(N_PARAMS)}
    kinds: dict[str, Callable[[], Any]] = {
        "exchange": lambda: worker.push_pull(gradients),
        "pull": worker.pull,
        "push": lambda: worker.push(gradients),
    }
    seconds: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(n_calls):
        for name, call in kinds.items():
            started = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - started)
    return seconds


def loop(setting: Setting) -> list[Row]:
    """Updates a second of four workers, and of a loop through the client that does the same."""
    seconds = SECONDS if setting.scale >= 1 else 0.5
    with workers(WORKERS) as client:
        params = {"w": np.zeros(N_PARAMS)}
        with ParameterServer(params, descent(0.1), np.inf, replicas=0, client=client) as server:
            busy = [client.submit(pushing, server.worker(f"t{i}"), seconds, pure=False) for i in range(WORKERS)]
            ours = sum(client.gather(busy)) / seconds
        peer = through_client(client, seconds)
    work = f"updates of {N_PARAMS:,} float64 a second, {WORKERS} workers: as_completed"
    return [Row(work, 1 / ours, 1 / peer, 3, notes=[f"{ours:.0f} against {peer:.0f} a second"])]


def pushing(worker: WorkerClient, seconds: float) -> int:
    """Push for so long; return how often."""
    done, until = 0, time.perf_counter() + seconds
    params = worker.pull()
    while time.perf_counter() < until:
        params = worker.push_pull({"w": gradient_at(params["w"])})
        done += 1
    return done


def through_client(client: Client, seconds: float) -> float:
    """Return the updates a second of the loop that Dask's documentation shows."""
    w, done = np.zeros(N_PARAMS), 0
    held = client.scatter(w)
    running = as_completed([client.submit(gradient_at, held, pure=False) for _ in range(WORKERS)])
    started = time.perf_counter()
    sent = {}  # parameters are held until their gradient is there
    for future in running:
        w -= 0.1 * future.result()
        sent.pop(future.key, None)
        done += 1
        if time.perf_counter() - started > seconds:
            break
        held = client.scatter(w, hash=False)
        running.add(following := client.submit(gradient_at, held, pure=False))
        sent[following.key] = held
    running.clear()
    return done / (time.perf_counter() - started)


def gradient_at(w: Any) -> Any:
    """Return a gradient that costs nothing."""
    return _constant(len(w))


@cache
def _constant(size: int) -> Any:
    return np.ones(size)


def slow_worker(setting: Setting) -> list[Row]:
    """Seconds until the loss that the synchronous run ends on, one of four workers having a fifth of its time."""
    n_rows = max(setting.rows(ROWS), WORKERS * PART_ROWS)
    with workers(WORKERS) as client:
        X, y = on_workers(badly_scaled, n_rows, 16)
        X = client.persist(((X - X.mean(axis=0)) / X.std(axis=0)).rechunk({1: -1}))
        in_step = Synchronous(virtual_workers=WORKERS, servers=1)
        *_, slow = sorted(client.nthreads())
        (pid,) = client.run(os.getpid, workers=[slow]).values()
        with throttled(pid, SLOWED):
            sync = trained(X, y, setting, 6, in_step)
            loss = sync.history.epochs[-1].validation_loss
            others = {
                "asynchronous, staleness 8": (0.5, trained(X, y, setting, 8, Asynchronous(staleness=8, servers=1))),
                "asynchronous, unbounded": (None, trained(X, y, setting, 8, Asynchronous(push_every=1, servers=1))),
                "synchronous, one backup worker": (0.6, trained(X, y, setting, 8, replace(in_step, backup_workers=1))),
            }
    rows = []
    for name, (wanted, found) in others.items():
        seconds = until(found, loss)
        note = f"to the validation loss {loss:.4f}; ends on {found.history.epochs[-1].validation_loss:.4f}"
        work = f"one of {WORKERS} workers slowed {SLOWED} times, {name}: synchronous"
        rows.append(Row(work, seconds, sync.history.seconds, wanted, at_most=True, notes=[note]))
    return rows


def trained(X: Any, y: Any, setting: Setting, epochs: int, training: Synchronous | Asynchronous) -> TrainingResult:
    return train(
        hidden_layer,
        start(X.shape[1]),
        X,
        y,
        update=descent(0.02),
        batch_size=1024 * (WORKERS if isinstance(training, Synchronous) else 1),
        training=training,
        epochs=epochs if setting.scale >= 1 else 2,
        validation_fraction=0.05,
    )


def until(found: TrainingResult, loss: float) -> float:
    """Return the seconds after which the validation loss was as low; infinite where it never was."""
    return min((e.seconds for e in found.history.epochs if e.validation_loss <= loss), default=float("inf"))


def start(n_features: int, n_hidden: int = 64) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {
        "hidden": rng.normal(size=(n_features, n_hidden)) / np.sqrt(n_features),
        "out": rng.normal(size=n_hidden) / np.sqrt(n_hidden),
    }


def hidden_layer(params: dict[str, Any], X: Any, y: Any) -> tuple[float, dict[str, Any]]:
    """The log-loss of a network of one hidden layer, and its gradient."""
    h = np.tanh(X @ params["hidden"])
    raw = h @ params["out"]
    p = 1 / (1 + np.exp(-raw))
    gradient = (p - y) / len(y)
    back = np.outer(gradient, params["out"]) * (1 - h * h)
    return float((np.logaddexp(0, raw) - y * raw).mean()), {"hidden": X.T @ back, "out": h.T @ gradient}


def sparse(setting: Setting) -> list[Row]:
    """Pushes of 1000 rows of a table of 1,000,000 x 32."""
    n_rows, n_calls = setting.rows(TABLE), 100 if setting.scale >= 1 else 10
    with workers(3) as client:
        away = sorted(client.nthreads())[-1]
        params = {"table": np.zeros((n_rows, WIDTH))}
        with ParameterServer(params, adagrad(0.1), np.inf, servers=2, client=client) as server:
            few, many = client.submit(pushed_rows, server.worker("t"), n_rows, n_calls, workers=[away]).result()
    note = f"replicated, Adagrad; of 10 times as many rows: {1e3 * many:.2g} ms"
    return [
        Row(f"push of {PUSHED:,} rows of {n_rows:,} x {WIDTH}: ms", 1e3 * few, 10.0, 1, True, "ms", [note]),
    ]


def pushed_rows(worker: WorkerClient, n_rows: int, n_calls: int) -> tuple[float, float]:
    """Return the median seconds of a push of some rows, and of ten times as many."""
    rng, medians = np.random.default_rng(0), []
    for n_pushed in (PUSHED, 10 * PUSHED):
        values, times = np.ones((n_pushed, WIDTH)), []
        for _ in range(n_calls):
            rows = rng.integers(n_rows, size=n_pushed)
            started = time.perf_counter()
            worker.push({"table": SparseRows(rows, values)})
            times.append(time.perf_counter() - started)
        medians.append(float(np.median(times)))
    return medians[0], medians[1]


WORKS: dict[str, Work] = {
    "calls": calls,
    "loop": loop,
    **sgd.WORKS,
    **networks.WORKS,
    "slow-worker": slow_worker,
    "sparse": sparse,
}


def main() -> None:
    run(WORKS, __doc__)


if __name__ == "__main__":
    main()

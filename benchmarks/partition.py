"""Rows dealt out anew, side by side with Dask's own ways.

``python -m benchmarks.partition`` prints one table; ``--scale 0.01`` runs it on a hundredth of the rows. Each work has
its own cluster of worker processes of one thread; data lie in their memory unless the work says otherwise.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import sklearn.model_selection
from distributed import Client, LocalCluster, wait

from benchmarks.program import Setting, Work, run
from benchmarks.race import Row, race
from benchmarks.watch import watching_workers
from daskml_kit.linear_model import LogisticRegression
from daskml_kit.model_selection import train_test_split
from daskml_kit.partition import hash_partition, place, random_partition

ROWS, WIDTH, BLOCKS = 10_000_000, 10, 64
N_KEYS = 1_000_000
SLOWED = 5
MEMORY = 1.5e9
"""Bytes of each of the two workers that data three times as large go through."""


@contextmanager
def workers(n_workers: int, memory: float | str = "auto") -> Iterator[Client]:
    """Start worker processes of one thread each."""
    options: dict[str, Any] = {"threads_per_worker": 1, "memory_limit": memory, "dashboard_address": ":0"}
    with LocalCluster(n_workers=n_workers, **options) as cluster, Client(cluster) as client:
        yield client


def shuffled(setting: Setting) -> list[Row]:
    """A uniform shuffle of a wide array."""
    n_rows = setting.rows(ROWS)
    with workers(2) as client:
        X = held(client, numbers(n_rows, WIDTH))
        frame = held(client, dd.from_dask_array(X, columns=[f"x{i}" for i in range(WIDTH)]))
        timed = race(
            {
                "ours": lambda: done(client, random_partition(X, npartitions=BLOCKS, random_state=0)),
                "ours, frame": lambda: done(client, random_partition(frame, npartitions=BLOCKS, random_state=0)),
                "X[permutation]": lambda: done(client, X[np.random.default_rng(0).permutation(n_rows)]),
                "p2p": lambda: done(client, frame.shuffle("x0", npartitions=BLOCKS, shuffle_method="p2p")),
            },
            setting.repeat,
            budget=60,
        )
    work = f"random_partition, {n_rows:,} x {WIDTH}"
    ours, frames, taken, p2p = (timed[name].seconds for name in timed)
    return [
        Row(f"{work}: dask.array by a permutation", ours, taken, 3),
        Row(f"{work}: DataFrame.shuffle, p2p", ours, p2p, 1),
        Row(f"{work}, as a frame: DataFrame.shuffle, p2p", frames, p2p),
    ]


def keyed(setting: Setting) -> list[Row]:
    """Rows of a key brought together."""
    n_rows = setting.rows(ROWS)
    with workers(2) as client:
        X = numbers(n_rows, WIDTH - 1)
        key = da.random.default_rng(1).integers(0, N_KEYS, n_rows, chunks=X.chunks[0])
        columns = [f"x{i}" for i in range(WIDTH - 1)]
        table = dd.from_dask_array(X, columns=columns).assign(key=dd.from_dask_array(key))
        frame = held(client, table)
        timed = race(
            {
                "ours": lambda: done(client, hash_partition(frame, by="key", npartitions=BLOCKS)),
                "shuffle": lambda: done(client, frame.shuffle("key", npartitions=BLOCKS)),
            },
            setting.repeat,
            budget=60,
        )
        sizes = hash_partition(frame, by="key", npartitions=BLOCKS).map_partitions(len).compute()
    work = f"hash_partition, {n_rows:,} rows, {N_KEYS:,} keys"
    return [
        Row(f"{work}: DataFrame.shuffle", timed["ours"].seconds, timed["shuffle"].seconds, 1),
        Row(f"{work}: skew", float(sizes.max() / sizes.mean()), 1.0, 1.05, at_most=True, unit=""),
    ]


def skewed(setting: Setting) -> list[Row]:
    """Keys of which few are very frequent."""
    n_rows = setting.rows(ROWS)
    with workers(2) as client:
        X = numbers(n_rows, WIDTH - 1)
        key = held(client, da.map_blocks(zipf, X[:, 0], dtype=np.int64))
        X = held(client, X)

        def split() -> list[int]:
            parts = hash_partition(X, key, by=key, npartitions=BLOCKS, max_skew=1.2, on_skew="split")
            done(client, *parts)
            return [int(length) for length in parts[0].chunks[0]]

        table = dd.from_dask_array(X, columns=[f"x{i}" for i in range(WIDTH - 1)])
        frame = held(client, table.assign(key=dd.from_dask_array(key)))
        timed = race(
            {"ours": split, "shuffle": lambda: done(client, frame.shuffle("key", npartitions=BLOCKS))},
            setting.repeat,
            budget=60,
        )
        whole = hash_partition(key, by=key, npartitions=BLOCKS, max_skew=1e6).chunks[0]
    work = f'Zipf(1.1) keys, {n_rows:,} rows, on_skew="split"'
    sizes = timed["ours"].result
    note = f"without: {max(whole) / np.mean(whole):.3g}"
    return [
        Row(f"{work}: skew", float(max(sizes) / np.mean(sizes)), 1.0, 1.2, at_most=True, unit="", notes=[note]),
        Row(f"{work}: DataFrame.shuffle", timed["ours"].seconds, timed["shuffle"].seconds),
    ]


def spilled(setting: Setting) -> list[Row]:
    """Rows three times the memory of the cluster, generated, shuffled and added up."""
    n_rows = int(3 * 2 * MEMORY * setting.scale / (8 * WIDTH))
    X = numbers(n_rows, WIDTH, n_blocks=int(max(8 * WIDTH * n_rows // 48e6, 4)))
    with workers(2, MEMORY) as client, watching_workers(client) as fate:
        started = time.perf_counter()
        shuffled = random_partition(X, random_state=0)
        total = shuffled.sum().compute()
        seconds = time.perf_counter() - started
        expected = X.sum().compute()
        size, peak = X.nbytes / 1e9, max(fate.peak.values())
    if not np.isclose(total, expected, rtol=1e-12):
        raise ValueError(f"rows were lost: their sum is {total!r}, not {expected!r}")
    note = f"{size:.3g} GB in {seconds:.1f} s; {len(fate.lost)} workers lost"
    bound = MEMORY / 1e9
    return [Row("rows of 3 x memory: peak of a worker, its limit", peak / 1e9, bound, 1, True, "GB", [note])]


def stratified(setting: Setting) -> list[Row]:
    """A stratified split, whose result is lazy."""
    n_rows = setting.rows(ROWS)
    reads: list[int] = []

    def counted(block: Any) -> Any:
        reads.append(len(block))
        return block

    held_X = numbers(n_rows, WIDTH).persist()
    X = held_X.map_blocks(counted, dtype=held_X.dtype, meta=np.empty((0, WIDTH)))
    y = (held_X[:, 0] * 5).astype(np.int64).persist()
    in_memory = held_X.compute(), y.compute()
    started = time.perf_counter()
    parts = train_test_split(X, y, test_size=0.2, stratify=y, random_state=0)
    seconds, n_read = time.perf_counter() - started, len(reads)
    classes = np.bincount(y.compute())
    off = np.abs(np.bincount(parts[3].compute()) - 0.2 * classes).max()
    timed = race(
        {
            "ours": lambda: dask.compute(*train_test_split(held_X, y, test_size=0.2, stratify=y, random_state=0)),
            "scikit-learn": lambda: sklearn.model_selection.train_test_split(
                *in_memory, test_size=0.2, stratify=in_memory[1], random_state=0
            ),
        },
        setting.repeat,
    )
    work = f"train_test_split, {n_rows:,} rows, stratified"
    return [
        Row(f"{work}: rows of a class off", float(off), 1.0, 1, at_most=True, unit=""),
        Row(f"{work}: reads of X", float(n_read), 1.0, 0, at_most=True, unit="", notes=[f"split in {seconds:.2f} s"]),
        Row(f"{work}, and computed: scikit-learn", timed["ours"].seconds, timed["scikit-learn"].seconds),
    ]


def slowed(setting: Setting) -> list[Row]:
    """A fit while one of four workers has a fifth of its time."""
    n_rows = setting.rows(4_000_000)
    with workers(4) as client:
        X = held(client, da.random.default_rng(0).normal(size=(n_rows, 28), chunks=(-(-n_rows // BLOCKS), 28)))
        y = held(client, (X[:, 0] + X[:, 1] > 0).astype(np.int64))
        (slow, *_), threads = sorted(client.nthreads()), client.nthreads()
        (pid,) = client.run(os.getpid, workers=[slow]).values()
        with throttled(pid, SLOWED):
            fits = {}
            for strategy in ("round_robin", "weighted"):
                data = place(X, y, strategy=strategy)
                fits[strategy] = lambda data=data: LogisticRegression(tol=1e-6).fit(*data)
            timed = race(fits, setting.repeat)
    shares = f"{n_rows:,} rows on {len(threads)} workers, one slowed {SLOWED} times"
    weighted, turns = timed["weighted"].seconds, timed["round_robin"].seconds
    return [Row(f"fit, {shares}: round_robin", weighted, turns, 0.6, at_most=True)]


def numbers(n_rows: int, width: int, n_blocks: int = BLOCKS) -> da.Array:
    return da.random.default_rng(0).random((n_rows, width), chunks=(-(-n_rows // n_blocks), width))


def zipf(block: Any) -> Any:
    """Return keys of Zipf's law, drawn by a seed that the block's first number gives."""
    return np.minimum(np.random.default_rng(int(block[0] * 2**53)).zipf(1.1, len(block)), 2**62)


def held(client: Client, collection: Any) -> Any:
    """Return the collection, computed and in the workers' memory."""
    collection = client.persist(collection)
    wait(collection)
    return collection


def done(client: Client, *collections: Any) -> None:
    """Compute the collections in the workers' memory, and let them go."""
    wait(client.persist(list(collections)))


@contextmanager
def throttled(pid: int, times: float, period: float = 0.05) -> Iterator[None]:
    """Let a process run for one of ``times`` parts of each ``period`` in seconds, while inside."""
    over = threading.Event()

    def stop_and_go() -> None:
        while not over.is_set():
            os.kill(pid, signal.SIGSTOP)
            over.wait(period * (1 - 1 / times))
            os.kill(pid, signal.SIGCONT)
            over.wait(period / times)

    thread = threading.Thread(target=stop_and_go)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


WORKS: dict[str, Work] = {
    "shuffled": shuffled,
    "keyed": keyed,
    "skewed": skewed,
    "stratified": stratified,
    "slowed": slowed,
    "spilled": spilled,
}


def main() -> None:
    run(WORKS, __doc__)


if __name__ == "__main__":
    main()

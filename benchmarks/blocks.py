"""A pass over the same rows in few and in many blocks, and on many workers against bare Dask tasks.

``python -m benchmarks.blocks`` prints one table. ``local`` and ``cluster`` compare a pass (and a whole fit) over 8, 64,
512 and 4,096 blocks of the same rows; ``workers`` compares a pass with as many bare tasks, of the same work and the
same tree of merges, that Dask is given without an engine.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import reduce
from typing import Any

import dask
import dask.array as da
from distributed import Client, LocalCluster, futures_of, wait

from benchmarks.program import Setting, Work, run
from benchmarks.race import Row, race
from daskml_kit.data.block import Block
from daskml_kit.engines import open as opening
from daskml_kit.engines.open import open_engine
from daskml_kit.engines.runtime import computing
from daskml_kit.linear_model import LogisticRegression
from daskml_kit.reductions.gram import Gram

ROWS, WIDTH = 400_000, 20
BLOCKS = (8, 64, 512, 4096)
WORKERS = (1, 16, 64, 128)
ROWS_A_WORKER = 3_500
"""Just too many to be merged with others, so that each worker has its own block."""
MERGE_WIDTH = 8
PASSES = 5
WANTED = 1.5


def local(setting: Setting) -> list[Row]:
    """Passes and fits on threads of this process."""
    with dask.config.set(scheduler="threads"):
        return _over_blocks("local", setting)


def cluster(setting: Setting) -> list[Row]:
    """Passes and fits on two worker processes of one thread each."""
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as workers, Client(workers):
        return _over_blocks("two workers", setting)


def in_process_workers(setting: Setting) -> list[Row]:
    """A pass on 1, 16, 64 and 128 workers of one thread, all in this process, and the bare tasks of one."""
    return [_against_bare(n_workers, setting) for n_workers in WORKERS if n_workers <= 128 * max(setting.scale, 0.1)]


WORKS: dict[str, Work] = {"local": local, "cluster": cluster, "workers": in_process_workers}


def _over_blocks(where: str, setting: Setting) -> list[Row]:
    n_rows = setting.rows(ROWS)
    data = {n: _persisted(n_rows, n) for n in BLOCKS if n <= n_rows}
    fits = {f"{n}": (lambda X, y: lambda: LogisticRegression().fit(X, y))(*data[n]) for n in data}
    passes = {f"{n}": _pass_of(data[n], setting) for n in data}
    rows = []
    for what, seconds in (("pass", passes), ("fit", {k: v.seconds for k, v in race(fits, setting.repeat).items()})):
        for n in data:
            wanted = WANTED if what == "pass" and n == max(BLOCKS) else None
            few = seconds[str(BLOCKS[0])]
            rows.append(Row(f"{what}, {where}, {n:,} blocks: 8 blocks", seconds[str(n)], few, wanted, at_most=True))
    return rows


def _persisted(n_rows: int, n_blocks: int) -> tuple[da.Array, da.Array]:
    X = da.random.default_rng(0).normal(size=(n_rows, WIDTH), chunks=(-(-n_rows // n_blocks), WIDTH))
    X, y = dask.persist(X, (X[:, 0] + X[:, 1] > 0.3).astype(int))
    if futures_of(X):
        wait([X, y])
    return X, y


def _pass_of(data: Sequence[da.Array], setting: Setting) -> float:
    with _on_the_cluster(), open_engine(*data) as engine:
        engine.answer(Gram())
        return _least(lambda: engine.answer(Gram()), PASSES * setting.repeat)


def _against_bare(n_workers: int, setting: Setting) -> Row:
    options = {"processes": False, "memory_limit": 0, "dashboard_address": ":0"}
    cluster = LocalCluster(n_workers=n_workers, threads_per_worker=1, **options)
    with cluster, Client(cluster) as client, _on_the_cluster():
        size = (n_workers * ROWS_A_WORKER, WIDTH)
        X = da.random.default_rng(0).normal(size=size, chunks=(ROWS_A_WORKER, WIDTH)).persist()
        wait(X)
        blocks = futures_of(X)
        with open_engine(X) as engine:
            engine.answer(Gram())
            both = race(
                {"ours": lambda: engine.answer(Gram()), "bare": lambda: bare_pass(client, blocks)},
                PASSES * setting.repeat,
            )
    name = f"pass, {n_workers} in-process workers: bare tasks"
    return Row(name, both["ours"].seconds, both["bare"].seconds, WANTED, at_most=True)


def bare_pass(client: Client, blocks: Sequence[Any]) -> Any:
    """Submit one task a block and a tree of merges, and gather the root, as one would by hand."""
    top = [client.submit(_chunk, block, pure=False) for block in blocks]
    while len(top) > MERGE_WIDTH:
        groups = [top[i : i + MERGE_WIDTH] for i in range(0, len(top), MERGE_WIDTH)]
        top = [client.submit(_merge, group, pure=False) for group in groups]
    return _merge(client.gather(top))


def _chunk(X: Any) -> Any:
    with computing():
        return Gram().chunk(Block(X))


def _merge(parts: Sequence[Any]) -> Any:
    return reduce(Gram().combine, parts)


@contextmanager
def _on_the_cluster() -> Iterator[None]:
    """Leave small data where it is, too."""
    size, opening.LOCAL_BYTES = opening.LOCAL_BYTES, 0
    try:
        yield
    finally:
        opening.LOCAL_BYTES = size


def _least(work: Callable[[], Any], repeat: int) -> float:
    seconds = []
    gc.collect()
    for _ in range(repeat):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def main() -> None:
    run(WORKS, __doc__)


if __name__ == "__main__":
    main()

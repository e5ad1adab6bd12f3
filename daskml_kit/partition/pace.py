"""How fast each worker reads blocks, measured on blocks."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from distributed import Client, Future, get_worker

from daskml_kit.engines.capacity import size_of
from daskml_kit.engines.computing import computing
from daskml_kit.numerics.tiles import tile_rows, tiles

SECONDS = 0.5
"""Each thread reads its blocks over and over for so long, so that all workers are busy while each is measured."""
ALIKE = 1.3
"""Workers whose pace is within this factor of the median are taken as equally fast: so much is noise of a moment."""


def measure_paces(
    client: Client, threads: Mapping[str, int], blocks: Mapping[str, Sequence[Sequence[Future]]]
) -> dict[str, float]:
    """Return the bytes a second that each worker reads with all its threads.

    Parameters
    ----------
    client : distributed.Client
    threads : mapping
        Threads of each worker.
    blocks : mapping
        For each worker the blocks it holds, each as the futures of its parts; one that holds none reads another's.
    """
    some = next(iter(blocks.values()))[:1]
    measured = [
        client.submit(
            read_for, blocks.get(worker, some), SECONDS, workers=[worker], allow_other_workers=True, pure=False
        )
        for worker, n_threads in threads.items()
        for _ in range(n_threads)
    ]
    paces = dict.fromkeys(threads, 0.0)
    for worker, pace in client.gather(measured):
        paces[worker] = paces.get(worker, 0.0) + pace
    one = {worker: paces[worker] / n_threads for worker, n_threads in threads.items()}
    typical = float(np.median([pace for pace in one.values() if pace]))
    alike = {worker for worker, pace in one.items() if not pace or typical / ALIKE < pace < typical * ALIKE}
    return {worker: n * (typical if worker in alike else one[worker]) for worker, n in threads.items()}


def read_for(blocks: Sequence[Sequence[Any]], seconds: float) -> tuple[str, float]:
    """Read the blocks again and again; return this worker's address, and the bytes read in a second."""
    n_bytes, elapsed, started = 0.0, 0.0, time.perf_counter()
    with computing():
        for parts in cycle(blocks):
            n_bytes += sum(max(_read(part), 1) for part in parts)
            elapsed = time.perf_counter() - started
            if elapsed > seconds:
                break
    return get_worker().address, n_bytes / elapsed


def _read(part: Any) -> int:
    """Compute on a part what a pass would: of a matrix the products of a gradient, of others what they have."""
    if isinstance(part, (pd.DataFrame, pd.Series)):
        return int(np.sum(part.memory_usage(deep=True)))
    if getattr(part, "ndim", 0) == 2 and part.dtype.kind in "fiub":
        coefficients = np.ones(part.shape[1])
        rows = [slice(None)] if sp.issparse(part) else tiles(part.shape[0], tile_rows(part, 1))
        for tile in rows:
            part[tile].T @ (part[tile] @ coefficients)
    return size_of(part)

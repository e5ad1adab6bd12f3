"""Placement of blocks on workers, and rebalancing after workers joined."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import pandas as pd
import scipy.sparse as sp
from dask.base import tokenize
from dask.highlevelgraph import HighLevelGraph
from distributed import Client, Future, futures_of, get_worker

from daskml_kit.arguments import random_state_of
from daskml_kit.data.align import Column, align_rows, collect
from daskml_kit.data.collections import size_of
from daskml_kit.data.shards import balance, choose_holders
from daskml_kit.engines.open import find_client
from daskml_kit.engines.runtime import computing
from daskml_kit.exceptions import DataError
from daskml_kit.numerics.targets import tile_rows, tiles
from daskml_kit.partition.shuffle import named
from daskml_kit.workers.connection import finish, gather, released_task_thread

SECONDS = 0.5
"""Each thread reads its blocks over and over for so long, so that all workers are busy while each is measured."""
ALIKE = 1.3
"""Workers whose speed is within this factor of the median are taken as equally fast: so much is noise of a moment."""


def measure_speeds(
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
    speeds = dict.fromkeys(threads, 0.0)
    with released_task_thread():
        found = gather(client, measured)
    for worker, speed in found:
        speeds[worker] = speeds.get(worker, 0.0) + speed
    one = {worker: speeds[worker] / n_threads for worker, n_threads in threads.items()}
    typical = float(np.median([speed for speed in one.values() if speed]))
    alike = {worker for worker, speed in one.items() if not speed or typical / ALIKE < speed < typical * ALIKE}
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


Strategy: TypeAlias = Literal["round_robin", "random", "least_loaded", "weighted"]
STRATEGIES = ("round_robin", "random", "least_loaded", "weighted")
ATTEMPTS = 3


def place(*collections: Any, strategy: Strategy = "least_loaded", random_state: Any = None) -> Any:
    """Put the blocks of all collections on workers, those of the same rows on the same worker, and hold them there.

    A fit reads each block where it lies, so this says how much each worker has to do in a pass. Placement is a wish:
    when a worker is lost its blocks are computed again on others.

    Parameters
    ----------
    *collections : Dask array, DataFrame or Series, NumPy array, pandas object or CSR matrix
        Of equal length; or one list of them. What is not persisted yet is computed. Together they have to fit in the
        cluster's memory.
    strategy : {"least_loaded", "round_robin", "random", "weighted"}, default="least_loaded"
        ``"round_robin"``: one block after the other to one worker after the other. ``"random"``: to workers drawn at
        random. ``"least_loaded"``: the largest block first, to the worker whose threads have the fewest bytes to
        read, counting what it holds of other data. ``"weighted"``: a pass over the blocks measures how fast each
        worker is now, all at once; each gets bytes in proportion, and as few blocks as possible are moved.
    random_state : int, RandomState instance or None, default=None
        Seed for ``"random"``.

    Returns
    -------
    Persisted Dask collection, or a tuple (for a list, a list) of them
        The collections with each block on its worker.

    Raises
    ------
    DataError
        Where the strategy is not known, or lengths differ.
    RuntimeError
        Without a Dask client.

    See Also
    --------
    rebalance : Move few blocks after workers joined.
    partition_report : See the blocks and bytes of each worker.

    Examples
    --------
    >>> from collections import Counter
    >>> import dask.array as da
    >>> from distributed import Client
    >>> from daskml_kit.partition import place
    >>> with Client(n_workers=2, threads_per_worker=1, processes=False, dashboard_address=":0") as client:
    ...     X = place(da.ones((8, 2), chunks=(1, 2)), strategy="round_robin")
    ...     sorted(Counter(workers[0] for workers in client.who_has(X).values()).values())
    [4, 4]
    """
    if strategy not in STRATEGIES:
        raise DataError(f"strategy: expected one of {', '.join(STRATEGIES)}, got {strategy!r}")
    held = _hold(collections)
    if strategy == "round_robin":
        workers = sorted(held.threads)
        homes = [workers[position % len(workers)] for position in range(len(held.sizes))]
    elif strategy == "random":
        drawn = random_state_of(random_state).randint(len(held.threads), size=len(held.sizes))
        homes = [sorted(held.threads)[number] for number in drawn]
    elif strategy == "least_loaded":
        homes = _least_loaded(held)
    else:
        homes = balance(held.homes, held.sizes, _measured(held))
    return _place_blocks(held, homes, collections)


def rebalance(*collections: Any, strategy: Literal["least_loaded", "weighted"] = "least_loaded") -> Any:
    """Move as few blocks as it takes to share the bytes out anew, as after workers joined.

    Parameters
    ----------
    *collections
        As in `place`.
    strategy : {"least_loaded", "weighted"}, default="least_loaded"
        Whether each worker gets bytes in proportion to its threads, or to its measured speed.

    Returns
    -------
    Persisted Dask collection, or a tuple (for a list, a list) of them
        The collections, of which no more blocks have moved than had to.

    Raises
    ------
    DataError, RuntimeError
        As `place`.

    See Also
    --------
    place : Put blocks on workers by turns, at random, by load or by speed.
    partition_report : See the blocks and bytes of each worker.

    Examples
    --------
    >>> from collections import Counter
    >>> import dask.array as da
    >>> from distributed import Client
    >>> from daskml_kit.partition import place, rebalance
    >>> with Client(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0") as client:
    ...     X = place(da.ones((8, 2), chunks=(1, 2)))
    ...     client.cluster.scale(2)
    ...     client.wait_for_workers(2)
    ...     X = rebalance(X)
    ...     sorted(Counter(workers[0] for workers in client.who_has(X).values()).values())
    [4, 4]
    """
    if strategy not in ("least_loaded", "weighted"):
        raise DataError(f'strategy: expected "least_loaded" or "weighted", got {strategy!r}')
    held = _hold(collections)
    shares: Mapping[str, float] = held.threads if strategy == "least_loaded" else _measured(held)
    return _place_blocks(held, balance(held.homes, held.sizes, shares), collections)


class PersistedRows(NamedTuple):
    """Aligned collections in the memory of a cluster.

    Parameters
    ----------
    client : distributed.Client
    columns : list of Column
    lengths : list of int
    futures : list of lists
        For each column the future of each block.
    sizes : list of int
        Bytes of each block, over all columns.
    homes : list of str
        The worker that holds the most of each block's first column.
    threads : mapping
        Threads of each worker.
    """

    client: Client
    columns: list[Column]
    lengths: list[int]
    futures: list[list[Future]]
    sizes: list[int]
    homes: list[str]
    threads: Mapping[str, int]


def _hold(collections: Sequence[Any]) -> PersistedRows:
    client = find_client()
    if client is None:
        raise RuntimeError(
            "place and rebalance need a Dask client: without a cluster there is one place for all blocks"
        )
    rows = align_rows(named(_flat(collections)))
    persisted = client.persist([block for column in rows.columns for block in column.blocks])
    every = {future.key: future for future in futures_of(persisted)}
    futures = [[every[block.key] for block in column.blocks] for column in rows.columns]
    finish(list(every.values()))
    n_bytes = client.nbytes(list(every), summary=False)
    sizes = [sum(n_bytes.get(future.key, 0) for future in parts) for parts in zip(*futures, strict=True)]
    threads = client.nthreads()
    holders = client.who_has(futures[0])
    homes = choose_holders([holders.get(future.key) or sorted(threads) for future in futures[0]], sizes)
    return PersistedRows(client, rows.columns, rows.lengths, futures, sizes, homes, threads)


def _least_loaded(held: PersistedRows) -> list[str]:
    contents = held.client.has_what()
    n_bytes = held.client.nbytes(summary=False)
    load = {worker: sum(n_bytes.get(key, 0) for key in contents.get(worker, ())) for worker in held.threads}
    for home, size in zip(held.homes, held.sizes, strict=True):
        if home in load:
            load[home] = max(load[home] - size, 0)
    homes = list(held.homes)
    for position in sorted(range(len(homes)), key=lambda p: -held.sizes[p]):
        home = min(sorted(load), key=lambda worker: (load[worker] + held.sizes[position]) / held.threads[worker])
        load[home] += held.sizes[position]
        homes[position] = home
    return homes


def _measured(held: PersistedRows) -> Mapping[str, float]:
    blocks = defaultdict(list)
    for position, home in enumerate(held.homes):
        blocks[home].append([column[position] for column in held.futures])
    return measure_speeds(held.client, held.threads, blocks)


def _place_blocks(held: PersistedRows, homes: Sequence[str], collections: Sequence[Any]) -> Any:
    """Return the collections with their blocks where ``homes`` says."""
    results = []
    for column, futures in zip(held.columns, held.futures, strict=True):
        moved = _move(held.client, futures, homes)
        keys = [future.key for future in moved]
        name = f"daskml-held-{tokenize(keys)}"
        graph = HighLevelGraph({name: dict(zip(keys, moved, strict=True))}, {name: set()})
        results.append(collect(column.meta, graph, keys, held.lengths, "daskml-placed"))
    persisted = [held.client.persist(result) for result in results]  # together they would be mixed, with a warning
    finish(futures_of(persisted))
    if len(collections) == 1 and isinstance(collections[0], (list, tuple)):
        return type(collections[0])(persisted)
    return persisted[0] if len(persisted) == 1 else tuple(persisted)


def _move(client: Client, futures: Sequence[Future], homes: Sequence[str]) -> list[Future]:
    """Return futures of the same blocks, each on its home, if that is still there.

    A block is moved by a task that returns it: unlike a copy it can be computed again, and anywhere. So is one that
    has copies elsewhere, as after an earlier move: what goes by another name could lie at any of them.
    """
    settled = list(futures)
    for _ in range(ATTEMPTS):
        holders = client.who_has(settled)
        astray = [i for i, future in enumerate(settled) if set(holders.get(future.key, ())) != {homes[i]}]
        if not astray:
            break
        for i in astray:
            settled[i] = client.submit(
                move_block, futures[i], workers=[homes[i]], allow_other_workers=True, pure=False, priority=1
            )
        finish(settled)
    return settled


def move_block(block: Any) -> Any:
    """Return the block, where this is run."""
    return block


def _flat(collections: Sequence[Any]) -> tuple[Any, ...]:
    if len(collections) == 1 and isinstance(collections[0], (list, tuple)):
        return tuple(collections[0])
    return tuple(collections)

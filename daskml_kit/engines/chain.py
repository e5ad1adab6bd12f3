"""A chain of steps over blocks: each takes what the one before it has made, where its block lies."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import dask
from distributed import Client

from daskml_kit.engines.open import find_client
from daskml_kit.workers.connection import finish, gather, released_task_thread

AHEAD = 2
"""Blocks that are computed, at most, before the chain comes to them."""


def chain(step: Callable[..., Any], state: Any, visits: Iterable[Mapping[str, Any]], *args: Any) -> Any:
    """Return what ``step(state, parts, *args)`` has made of ``state``, one visit of a block after another.

    On a cluster the state moves, the blocks do not. A step must leave the state it is given as it is: a worker that is
    lost has its steps made again.

    Parameters
    ----------
    step : callable
    state : object
    visits : iterable of mappings
        The parts of a block, by name; those that are delayed are computed.
    *args
        What every step takes beside.

    Examples
    --------
    >>> chain(lambda total, parts: total + parts["X"], 0, [{"X": dask.delayed(3)}, {"X": 4}])
    7
    """
    client = find_client()
    if client is not None:
        return _chain_on_cluster(client, step, state, visits, args)
    for parts in visits:
        (held,) = dask.compute(dict(parts))
        state = step(state, held, *args)
    return state


def _chain_on_cluster(
    client: Client, step: Callable[..., Any], state: Any, visits: Iterable[Mapping[str, Any]], args: tuple[Any, ...]
) -> Any:
    """Make the steps by a chain of tasks, of which few are submitted ahead of the one that runs."""
    task, ahead = dask.delayed(step, pure=False), deque[Any]()
    for parts in visits:
        state = client.compute(task(state, dict(parts), *args))
        ahead.append(state)
        if len(ahead) > AHEAD:
            finish([ahead.popleft()])
    with released_task_thread():
        return gather(client, [state])[0] if ahead else state

"""One lazy task for each block."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import dask
import numpy as np
from dask.base import tokenize
from dask.delayed import Delayed
from dask.highlevelgraph import HighLevelGraph

from daskml_kit.engines.opening import find_client

RUN_ROWS = 2**20


def block_tasks(
    name: str, functions: Sequence[Callable[..., Any]], *columns: Sequence[Delayed], shared: Delayed | None = None
) -> list[Delayed]:
    """Return for each block its function of its part of each column, and of what is ``shared``, in one layer.

    Parameters
    ----------
    name : str
        The prefix of the keys.
    functions : sequence of callables
        One a block; what is bound to them travels with the task, so it should be small.
    columns : sequences of Delayed
        Each with one a block.
    shared : Delayed, optional
        The last argument of all: it is in the graph once.

    Examples
    --------
    >>> words = [dask.delayed("a"), dask.delayed("b")]
    >>> dask.compute(block_tasks("upper", [str.upper, str.upper], words))
    (['A', 'B'],)
    """
    parts = [*zip(*columns, strict=True)] if columns else [() for _ in functions]
    last = () if shared is None else (shared,)
    inputs = [(*part, *last) for part in parts]
    name = f"{name}-{tokenize(functions, [[d.key for d in row] for row in inputs])}"
    layer = {
        (name, i): (function, *(d.key for d in row))
        for i, (function, row) in enumerate(zip(functions, inputs, strict=True))
    }
    needed = {d.key: d for row in inputs for d in row}
    graph = HighLevelGraph.from_collections(name, layer, dependencies=list(needed.values()))
    return [Delayed(key, graph, layer=name) for key in layer]


def runs_of_blocks(lengths: Sequence[int]) -> list[slice]:
    """Return runs of blocks of about `RUN_ROWS` rows: work that reads no data needs no task for each small block.

    Examples
    --------
    >>> runs_of_blocks([10, 600_000, 600_000, 10])
    [slice(0, 2, None), slice(2, 4, None)]
    """
    run = np.maximum(np.cumsum(lengths) - 1, 0) // RUN_ROWS
    edges = [0, *(np.flatnonzero(np.diff(run)) + 1).tolist(), len(lengths)]
    return [slice(start, stop) for start, stop in pairwise(edges)]


def answers(tasks: Sequence[Delayed]) -> list[Any]:
    """Compute the tasks together.

    Raises
    ------
    AsynchronousClientError
        Under an asynchronous client.
    """
    find_client()  # refuses an asynchronous one, which would return before there are answers
    return list(dask.compute(*tasks))

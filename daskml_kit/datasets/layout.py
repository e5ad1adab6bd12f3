"""Rows become lazy Dask collections: one task a block draws all of its parts, and each part is picked from it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from operator import getitem
from typing import Any, TypeAlias

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
from dask.highlevelgraph import HighLevelGraph
from dask.tokenize import tokenize

from daskml_kit.datasets.chunks import Chunks, row_chunks
from daskml_kit.datasets.rows import Rows
from daskml_kit.typing import Array

Framing: TypeAlias = Callable[[list[Array], int], pd.DataFrame | pd.Series]
"""Makes a frame or a series of the parts of a block whose first row has the given number."""


def arrays(rows: Rows, chunks: Chunks) -> list[da.Array]:
    """Return each part of the rows as a Dask array, of blocks of the same rows."""
    sizes = row_chunks(chunks, rows)
    token = tokenize(rows, sizes)
    drawn, recipe = f"draw-{token}", f"recipe-{token}"
    draws: dict[Any, Any] = {recipe: rows}
    for block, (start, stop) in enumerate(itertools.pairwise((0, *itertools.accumulate(sizes)))):
        draws[drawn, block] = (Rows.between, recipe, start, stop)
    laid = []
    for part, meta in enumerate(rows.recipe.empty()):
        name, corner = f"part{part}-{token}", (0,) * (meta.ndim - 1)
        picks = {(name, block, *corner): (getitem, (drawn, block), part) for block in range(len(sizes))}
        graph = HighLevelGraph({drawn: draws, name: picks}, {drawn: set(), name: {drawn}})
        laid.append(da.Array(graph, name, (sizes, *((width,) for width in meta.shape[1:])), meta=meta))
    return laid


def frame(framing: Framing, parts: list[da.Array]) -> Any:
    """Return what ``framing`` makes of the blocks of ``parts`` as a Dask DataFrame or Series with known divisions."""
    ends = [*itertools.accumulate(parts[0].chunks[0])]
    name = f"{framing.__name__}-{tokenize(parts)}"
    starts = [0, *ends[:-1]]
    tasks = {
        (name, block): (framing, [(part.name, block, *(0,) * (part.ndim - 1)) for part in parts], start)
        for block, start in enumerate(starts)
    }
    graph = {key: task for part in parts for key, task in dict(part.dask).items()}
    meta = framing([np.empty((0, *part.shape[1:]), part.dtype) for part in parts], 0)
    return dd.from_graph({**graph, **tasks}, meta, (*starts, ends[-1] - 1), list(tasks), name)

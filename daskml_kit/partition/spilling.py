"""Rows change blocks through disk: for data that does not fit in memory, by Dask's own shuffle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dask
import dask.dataframe as dd
import pandas as pd
from dask.base import tokenize
from dask.highlevelgraph import HighLevelGraph

from daskml_kit.engines.rows import Rows, check_lengths, collect
from daskml_kit.partition.packing import PLACE, pack, unpack
from daskml_kit.partition.route import Route


def spill(rows: Rows, route: Route) -> list[Any]:
    """Return the collections of ``rows``, lazy, cut and ordered as ``route`` says.

    All collections travel as one frame, sorted by place: `dask.dataframe.DataFrame.set_index` with the edges of the
    route as divisions, which on a cluster goes from worker to worker and spills, with as many tasks as blocks.
    """
    names = [column.name for column in rows.columns]
    packing, shared = dask.delayed(_pack, pure=True), dask.delayed(route, pure=True, traverse=False)
    blocks = zip(rows.starts, rows.lengths, zip(*(c.blocks for c in rows.columns), strict=True), strict=True)
    metas = [column.meta for column in rows.columns]
    kinds = dask.delayed(metas, traverse=False)
    packed = [
        packing(shared, names, kinds, index, start, length, list(parts))
        for index, (start, length, parts) in enumerate(blocks)
    ]
    meta = pack(route.edges[:0], metas, metas)
    edges = [int(edge) for edge in route.edges]
    shuffled = dd.from_delayed(packed, meta=meta).set_index(PLACE, divisions=edges, sort=True).to_delayed()
    name = f"daskml-unpack-{tokenize([part.key for part in shuffled])}"
    layer = {
        (name, position, c): (unpack, part.key, c, column.meta)
        for position, part in enumerate(shuffled)
        for c, column in enumerate(rows.columns)
    }
    graph = HighLevelGraph.from_collections(name, layer, dependencies=list(shuffled))
    return [
        collect(column.meta, graph, [(name, i, c) for i in range(len(shuffled))], route.lengths, "daskml-partition")
        for c, column in enumerate(rows.columns)
    ]


def _pack(
    route: Route, names: Sequence[str], metas: Sequence[Any], index: int, start: int, length: int, parts: Sequence[Any]
) -> pd.DataFrame:
    check_lengths(names, parts, index, length)
    return pack(route.places(index, start, parts), parts, metas)

"""The engine for tables: each question is one pass of the graph, on whatever scheduler Dask uses."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
from dask.array.utils import meta_from_array
from distributed import futures_of, wait

from daskml_kit.block import Block
from daskml_kit.engines.capacity import blocks_bytes, fits
from daskml_kit.engines.computing import computing
from daskml_kit.engines.opening import find_client
from daskml_kit.errors import DataError
from daskml_kit.queries.query import Node, Query, reduce_nodes
from daskml_kit.queries.tables import Delegate

RUN_LENGTH = 32
"""The most blocks that one task reads, of those that a worker holds."""
MERGE_WIDTH = 8
"""Blocks of one merging task; a power of two, so that merging keeps to the binary tree."""


class Tables:
    """Answers questions about a Dask DataFrame or array, its values of any type, block by block.

    Nothing is held but the partial answers. Blocks without rows are passed over.

    Parameters
    ----------
    X : Dask DataFrame or array
    keep : bool
        Whether to hold the data where it fits in memory: then several passes read the source once.

    Examples
    --------
    >>> import dask.dataframe as dd
    >>> from daskml_kit.queries.tables import Head
    >>> frame = dd.from_pandas(pd.DataFrame({"a": ["x", "y", "z"]}), npartitions=2)
    >>> Tables(frame).answer(Head(1))
    [   a
    0  x]
    """

    def __init__(self, X: Any, *, keep: bool = False) -> None:
        self._client = find_client()
        self._X = X
        if isinstance(X, da.Array) and X.ndim == 2 and X.numblocks[1] > 1:
            X = X.rechunk({1: -1})
        self._blocks = list(np.ravel(X.to_delayed()))
        self.n_blocks = len(self._blocks)
        if self._client is not None and _lies_in_memory(X, self.n_blocks):
            self._blocks = list(dask.persist(*self._blocks))  # the same futures, by the names of the blocks
        elif keep:
            self._hold()

    def answer(self, query: Query) -> list[Any]:
        """Return one answer for each question fused in ``query``.

        Raises
        ------
        DataError
            Where no block has rows.
        """
        shared = dask.delayed(query, traverse=False)
        answer, merge = dask.delayed(_answer), dask.delayed(_merge)
        parts = [answer(shared, [self._blocks[at] for at in run], run, self.n_blocks) for run in self._runs()]
        while len(parts) > 1:
            groups = [parts[i : i + MERGE_WIDTH] for i in range(0, len(parts), MERGE_WIDTH)]
            parts = [merge(shared, group, self.n_blocks) for group in groups]
        (nodes,) = dask.compute(parts[0])
        if nodes[0].partial is None:
            shape = (0, self._X.shape[1])
            raise DataError(f"Found array with 0 sample(s) (shape={shape}) while a minimum of 1 is required.")
        return query.split(nodes[0].partial)

    def collection(self) -> Any:
        """Return the data as a Dask collection, which reads what is held rather than the source."""
        if isinstance(self._X, dd.DataFrame):
            meta = pd.DataFrame(columns=self._X.columns).astype(self._X.dtypes)
            return dd.from_delayed(self._blocks, meta=meta)
        meta, width = meta_from_array(self._X), self._X.shape[1]
        rows = zip(self._blocks, self._X.chunks[0], strict=True)
        parts = [da.from_delayed(block, (length, width), meta=meta) for block, length in rows]
        return da.concatenate(parts, allow_unknown_chunksizes=True)

    def _runs(self) -> list[list[int]]:
        """Return which blocks one task reads: of those in a cluster's memory many that lie together, else one."""
        held = {future.key: future for future in futures_of(self._blocks)}
        if self._client is None or not all(block.key in held for block in self._blocks):
            return [[position] for position in range(self.n_blocks)]
        wait(list(held.values()))
        places = self._client.who_has(list(held.values()))
        homes = defaultdict(list)
        for position, block in enumerate(self._blocks):
            homes[min(places.get(block.key) or [""])].append(position)
        return [home[i : i + RUN_LENGTH] for home in homes.values() for i in range(0, len(home), RUN_LENGTH)]

    def _hold(self) -> None:
        first = dask.persist(self._blocks[0])
        if fits(self._client, blocks_bytes([*first, *self._blocks[1:]])):
            self._blocks = [*first, *dask.persist(*self._blocks[1:])]


def _lies_in_memory(X: Any, n_blocks: int) -> bool:
    """Whether a cluster holds X, as after ``persist``, so that its graph is but futures and their other names."""
    return len(futures_of(X)) == n_blocks and len(X.__dask_graph__()) <= 2 * n_blocks


def _answer(query: Query, tables: list[Any], positions: list[int], n_blocks: int) -> list[Node]:
    """Answer ``query`` for some blocks, one after another, as far combined as the tree allows."""
    nodes: list[Node] = []
    for table, position in zip(tables, positions, strict=True):
        nodes = reduce_nodes(_Skipping(query), [*nodes, *_answer_block(query, table, position)], n_blocks)
    return nodes


def _answer_block(query: Query, table: Any, index: int) -> list[Node]:
    if table.shape[0] == 0:
        return [Node(0, index, None)]
    try:
        with computing():
            return [Node(0, index, query.chunk(Block(table, index=index)))]
    except DataError:
        raise
    except (TypeError, ValueError) as error:
        raise (DataError if isinstance(error, ValueError) else TypeError)(f"{error} (in block {index})") from error


def _merge(query: Query, parts: list[list[Node]], n_blocks: int) -> list[Node]:
    return reduce_nodes(_Skipping(query), [node for part in parts for node in part], n_blocks)


@dataclass(frozen=True, eq=False)
class _Skipping(Delegate):
    """A query's ``combine``, where a block without rows has no partial answer."""

    def combine(self, a: Any, b: Any) -> Any:
        if a is None or b is None:
            return b if a is None else a
        return self.query.combine(a, b)

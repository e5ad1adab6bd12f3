"""Hold-out split of an adaptive search: blocks of rows to train on, and rows to score on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import dask
import dask.array as da
import numpy as np
import sklearn.model_selection
from dask.delayed import Delayed
from dask.optimization import cull
from distributed import Client, Future, futures_of

from daskml_kit.data.align import align_rows
from daskml_kit.data.collections import array_bytes, blocks_bytes, fits, is_dask, join, size_of
from daskml_kit.data.shards import choose_holders
from daskml_kit.model_selection.adaptive.partial_fit import Parts
from daskml_kit.model_selection.splits.shuffle_split import train_test_split
from daskml_kit.workers.connection import finish

LARGEST_TEST = 0.2
"""By default one block's worth of rows is held out, and no greater share than this."""
OVERLAP = 3
"""Blocks whose graphs together are so many times the graph of all, as after a shuffle, are not computed one by one."""


class HoldOut(NamedTuple):
    """Blocks to train on and blocks to score on, delayed, and the bytes of X in all.

    ``separable`` says whether a block can be computed without much of the others.
    """

    train: list[Parts]
    test: list[Parts]
    n_bytes: float
    separable: bool


def hold_out(X: Any, y: Any, test_size: Any, seed: int) -> HoldOut:
    """Draw the rows to score on; of Dask data, from each block its share.

    Parameters
    ----------
    X : Dask array or DataFrame, or in memory an array, CSR matrix or data frame
    y : as X, optional
    test_size : float, int or None
        Share or number of rows; None is one block's worth.
    seed : int

    Raises
    ------
    ValueError
        Where sizes are out of range or lengths differ.
    """
    given = [part if hasattr(part, "shape") else np.asarray(part) for part in (X, y) if part is not None]
    if any(map(is_dask, given)):
        n_blocks = given[0].numblocks[0] if isinstance(given[0], da.Array) else getattr(given[0], "npartitions", 1)
        size = min(LARGEST_TEST, 1 / n_blocks) if test_size is None else test_size
        parts = train_test_split(*given, test_size=size, random_state=seed, blockwise=True)
        n_bytes = _bytes_of(given[0])
    else:
        size = LARGEST_TEST if test_size is None else test_size
        parts = sklearn.model_selection.train_test_split(*given, test_size=size, random_state=seed)
        n_bytes = 0.0  # they are in memory already
    train, separable = _delayed_blocks(parts[::2])
    test, _ = _delayed_blocks(parts[1::2])
    return HoldOut(train, test, n_bytes, separable)


class TrainingBlocks:
    """Blocks to train on, on a cluster: persisted where they fit, else computed while models visit them.

    Parameters
    ----------
    client : distributed.Client
    split : HoldOut

    Attributes
    ----------
    persisted : bool
    test : distributed.Future
        The rows to score on, joined.
    """

    def __init__(self, client: Client, split: HoldOut) -> None:
        self._client, self._train = client, split.train
        self.n_blocks = len(split.train)
        self.persisted = fits(client, split.n_bytes) or not split.separable
        test = dask.delayed(joined)([list(parts) for parts in split.test])
        parts = [part for parts in split.train for part in parts] if self.persisted else []
        futures = self._started([*parts, test])
        finish(futures)
        *held, self.test = futures
        width = len(split.train[0])
        self._blocks = [tuple(held[i : i + width]) for i in range(0, len(held), width)]
        self._homes = self._find_homes()

    def block(self, number: int) -> tuple[Future, ...]:
        """Return the parts of a block; one that is not persisted is forgotten when nothing waits for it any more."""
        return self._blocks[number] if self.persisted else tuple(self._started(self._train[number]))

    def home(self, number: int) -> str | None:
        """Return the worker that holds a block, if any."""
        return self._homes[number] if self._homes else None

    def _started(self, tasks: Sequence[Delayed]) -> list[Future]:
        return [futures_of(task)[0] for task in self._client.persist(list(tasks))]

    def _find_homes(self) -> list[str]:
        first = [parts[0] for parts in self._blocks]
        if not first:
            return []
        holders, workers = self._client.who_has(first), sorted(self._client.nthreads())
        sizes = self._client.nbytes([future.key for future in first], summary=False)
        return choose_holders(
            [holders.get(future.key) or workers for future in first], [sizes.get(future.key, 0) for future in first]
        )


def load(parts: Parts) -> Parts:
    """Return the rows of a block, computed in this thread where they are not in memory."""
    return tuple(dask.compute(*parts, scheduler="sync", traverse=False))


def joined(blocks: Sequence[Parts]) -> Parts:
    """Return the rows of all blocks below each other.

    Examples
    --------
    >>> joined([(np.zeros((2, 1)), np.arange(2)), (np.zeros((1, 1)), np.arange(1))])[1]
    array([0, 1, 0])
    """
    return tuple(join(parts) for parts in zip(*blocks, strict=True))


def _delayed_blocks(collections: Sequence[Any]) -> tuple[list[Parts], bool]:
    """Return aligned collections block by block, each with the part of the graph that it needs."""
    if is_dask(collections[0]):
        columns = [_delayed(collection) for collection in collections]
    else:
        columns = [column.blocks for column in align_rows(dict(zip("Xy", collections, strict=False))).columns]
    graph = {key: task for column in columns for key, task in dict(column[0].dask).items()}
    found: list[Parts] = []
    for blocks in zip(*columns, strict=True):
        part, _ = cull(graph, [block.key for block in blocks])
        found.append(tuple(Delayed(block.key, part) for block in blocks))
    alone = sum(len(parts[0].dask) for parts in found)
    return found, alone <= OVERLAP * len(graph) + len(found)


def _delayed(collection: Any) -> list[Delayed]:
    if isinstance(collection, da.Array):
        return list(np.ravel(collection.to_delayed(optimize_graph=False)))
    return list(collection.to_delayed(optimize_graph=False))


def _bytes_of(X: Any) -> float:
    if isinstance(X, da.Array):
        return array_bytes(X)
    return blocks_bytes(X.to_delayed()) if is_dask(X) else float(size_of(X))

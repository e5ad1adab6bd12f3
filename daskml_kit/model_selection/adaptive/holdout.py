"""The rows that models are trained on, block by block, and those they are scored on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import dask
import dask.array as da
import numpy as np
import sklearn.model_selection
from dask.delayed import Delayed
from dask.optimization import cull

from daskml_kit.data.align import align_rows
from daskml_kit.data.collections import array_bytes, blocks_bytes, is_dask, join, size_of
from daskml_kit.model_selection.adaptive.partial_fit import Parts
from daskml_kit.model_selection.splits.train_test_split import train_test_split

LARGEST_TEST = 0.2
"""By default one block's worth of rows is held out, and no greater share than this."""
OVERLAP = 3
"""Blocks whose graphs together are so many times the graph of all, as after a shuffle, are not computed one by one."""


class Recipe(NamedTuple):
    """A block that can be computed by itself: X, or X and y."""

    parts: tuple[Delayed, ...]


class Sides(NamedTuple):
    """The blocks to train on, the blocks to score on, and the bytes of X in all.

    ``separable`` says whether a block can be computed without much of the others.
    """

    train: list[Recipe]
    test: list[Recipe]
    n_bytes: float
    separable: bool


def hold_out(X: Any, y: Any, test_size: Any, seed: int) -> Sides:
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
    train, separable = _recipes(parts[::2])
    test, _ = _recipes(parts[1::2])
    return Sides(train, test, n_bytes, separable)


def load(source: Recipe | Parts) -> Parts:
    """Return the rows of a block, computed in this thread where they are not held."""
    return tuple(dask.compute(*source.parts, scheduler="sync")) if isinstance(source, Recipe) else source


def joined(blocks: Sequence[Parts]) -> Parts:
    """Return the rows of all blocks below each other.

    Examples
    --------
    >>> joined([(np.zeros((2, 1)), np.arange(2)), (np.zeros((1, 1)), np.arange(1))])[1]
    array([0, 1, 0])
    """
    return tuple(join(parts) for parts in zip(*blocks, strict=True))


def _recipes(collections: Sequence[Any]) -> tuple[list[Recipe], bool]:
    """Return aligned collections as recipes, each with the part of the graph that it needs."""
    if is_dask(collections[0]):
        columns = [_delayed(collection) for collection in collections]
    else:
        columns = [column.blocks for column in align_rows(dict(zip("Xy", collections, strict=False))).columns]
    graph = {key: task for column in columns for key, task in dict(column[0].dask).items()}
    recipes = []
    for blocks in zip(*columns, strict=True):
        part, _ = cull(graph, [block.key for block in blocks])
        recipes.append(Recipe(tuple(Delayed(block.key, part) for block in blocks)))
    alone = sum(len(recipe.parts[0].dask) for recipe in recipes)
    return recipes, alone <= OVERLAP * len(graph) + len(recipes)


def _delayed(collection: Any) -> list[Delayed]:
    if isinstance(collection, da.Array):
        return list(np.ravel(collection.to_delayed(optimize_graph=False)))
    return list(collection.to_delayed(optimize_graph=False))


def _bytes_of(X: Any) -> float:
    if isinstance(X, da.Array):
        return array_bytes(X)
    return blocks_bytes(X.to_delayed()) if is_dask(X) else float(size_of(X))

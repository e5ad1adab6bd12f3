"""Density of the results of transformers, and the columns that rows have numbers in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from daskml_kit.data.block import Block
from daskml_kit.data.coded import codes_of, used_columns
from daskml_kit.reductions.frames import columns_at, is_sparse
from daskml_kit.reductions.reduction import SingleReduction
from daskml_kit.typing import Array


@dataclass(frozen=True, eq=False)
class Density(SingleReduction):
    """Of each model on its columns: the stored numbers of its result, and the size it would have if dense.

    Parameters
    ----------
    models : sequence of (model, positions)
    """

    models: Sequence[tuple[Any, Any]]

    def chunk(self, block: Block) -> Array:
        results = [model.transform(columns_at(block.X, positions)) for model, positions in self.models]
        return np.array([[r.nnz if is_sparse(r) else np.prod(r.shape), np.prod(r.shape)] for r in results])

    def combine(self, a: Array, b: Array) -> Array:
        return a + b


@dataclass(frozen=True, eq=False)
class UsedColumns(SingleReduction):
    """Of each column whether a row has a number other than zero there.

    Examples
    --------
    >>> UsedColumns().chunk(Block(np.array([[0.0, 2.0], [0.0, 0.0]])))
    array([False,  True])
    """

    def chunk(self, block: Block) -> Array:
        if not is_sparse(block.X):
            return np.asarray(np.any(block.X != 0, axis=0))
        if (own := codes_of(block.X)) is not None:
            return used_columns(own)
        used = np.zeros(block.X.shape[1], bool)
        used[block.X.indices[block.X.data != 0]] = True
        return used

    def combine(self, a: Array, b: Array) -> Array:
        return np.asarray(a | b)

"""Density of the results of transformers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from daskml_kit.data.block import Block
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

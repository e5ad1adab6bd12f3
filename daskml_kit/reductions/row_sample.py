"""A uniform sample of rows, drawn in one pass without knowing how many there are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from daskml_kit.data.block import Block, check_finite
from daskml_kit.reductions.reduction import SingleReduction
from daskml_kit.typing import Array, Matrix


class SampledRows(NamedTuple):
    """The rows in all, and of those drawn the keys, features and targets, by their keys."""

    n_rows: int
    keys: Array
    X: Matrix
    y: Array | None


@dataclass(frozen=True, eq=False)
class RowSample(SingleReduction):
    """Draw ``size`` rows without replacement: those of the least random keys, which ``seed`` and the blocks decide.

    Parameters
    ----------
    size : int
        With fewer rows all are drawn.
    seed : int
    """

    size: int
    seed: int = 0

    def chunk(self, block: Block) -> SampledRows:
        check_finite(block)
        keys = np.random.default_rng([self.seed, block.index]).random(block.n_rows)
        return self._least(SampledRows(block.n_rows, keys, block.X, block.y))

    def combine(self, a: SampledRows, b: SampledRows) -> SampledRows:
        join = sp.vstack if sp.issparse(a.X) or sp.issparse(b.X) else np.concatenate
        y = None if a.y is None or b.y is None else np.concatenate([a.y, b.y])
        X = join([a.X, b.X], format="csr") if join is sp.vstack else join([a.X, b.X])
        return self._least(SampledRows(a.n_rows + b.n_rows, np.concatenate([a.keys, b.keys]), X, y))

    def _least(self, rows: SampledRows) -> SampledRows:
        order = np.argsort(rows.keys, kind="stable")[: self.size]
        return SampledRows(rows.n_rows, rows.keys[order], rows.X[order], None if rows.y is None else rows.y[order])

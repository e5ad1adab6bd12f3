"""Smallest and largest value of each feature."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import numpy as np
import scipy.sparse as sp

from daskml_kit.data.block import Block
from daskml_kit.exceptions import DataError
from daskml_kit.reductions.reduction import SingleReduction
from daskml_kit.typing import Array


class Range(NamedTuple):
    """The number of rows, and of each feature the smallest and the largest value; NaN where there is none."""

    n_rows: int
    low: Array
    high: Array


class Extremes(SingleReduction):
    """The smallest and the largest value of each feature, NaN and rows without weight left out.

    Examples
    --------
    >>> Extremes().chunk(Block(np.array([[1.0, np.nan], [3.0, np.nan]])))
    Range(n_rows=2, low=array([ 1., nan]), high=array([ 3., nan]))
    """

    answer_type: ClassVar[type[Range]] = Range

    def chunk(self, block: Block) -> Range:
        if block.weight is not None and not np.isfinite(block.weight).all():
            raise DataError(f"sample_weight: expected finite numbers, got NaN or infinity in block {block.index}")
        X: Any = block.X if block.weight is None else block.X[block.weight > 0]
        if not X.shape[0]:
            nothing = np.full(X.shape[1], np.nan, X.dtype if X.dtype.kind == "f" else np.float64)
            return Range(block.n_rows, nothing, nothing)
        if sp.issparse(X):
            low, high = (np.asarray(found.toarray()).ravel() for found in (X.nanmin(axis=0), X.nanmax(axis=0)))
            return Range(block.n_rows, low, high)
        low, high = X.min(axis=0), X.max(axis=0)
        if low.dtype.kind == "f" and np.isnan(low).any():
            low, high = np.fmin.reduce(X, axis=0), np.fmax.reduce(X, axis=0)  # slower
        return Range(block.n_rows, low, high)

    def combine(self, a: Range, b: Range) -> Range:
        return Range(a.n_rows + b.n_rows, np.fmin(a.low, b.low), np.fmax(a.high, b.high))

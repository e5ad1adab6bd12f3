"""Counts of each feature against the target, continuous values in bins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from daskml_kit.data.block import Block, check_finite
from daskml_kit.reductions.distinct_pairs import DistinctPairs, PairTotals
from daskml_kit.reductions.quantiles import Brackets, BracketSummary
from daskml_kit.reductions.reduction import SingleReduction
from daskml_kit.typing import Array


class Sketches(NamedTuple):
    """Rows, whether a block was sparse, and summaries of the values of each feature and of the target.

    There are none of sparse features, nor of a target of labels.
    """

    n_rows: int
    sparse: bool
    features: list[BracketSummary]
    target: list[BracketSummary]


@dataclass(frozen=True, eq=False)
class ValueSketches(SingleReduction):
    """`Sketches` of features and target.

    Parameters
    ----------
    labels : bool
        Whether the target is labels.
    """

    labels: bool

    def chunk(self, block: Block) -> Sketches:
        check_finite(block)
        sparse = sp.issparse(block.X)
        features = [] if sparse else Brackets().chunk(block)
        target = [] if self.labels or block.y is None else Brackets().chunk(Block(_number(block)[:, None]))
        return Sketches(block.n_rows, sparse, features, target)

    def combine(self, a: Sketches, b: Sketches) -> Sketches:
        parts = [Brackets().combine(x, y) if x and y else x or y for x, y in zip(a[2:], b[2:], strict=True)]
        return Sketches(a.n_rows + b.n_rows, a.sparse or b.sparse, *parts)

    def finalize(self, total: Sketches) -> list[Sketches]:
        parts = [Brackets().finalize(part)[0] for part in total[2:]]
        return [total._replace(features=parts[0], target=parts[1])]


@dataclass(frozen=True, eq=False)
class CrossTables(SingleReduction):
    """The distinct pairs of each feature and the target, with the rows that have each; weights count nothing.

    Parameters
    ----------
    edges : sequence of array or None, optional
        Of each feature the values that are last in their bins, sorted, but for the last bin; None of one that is taken
        as it is, and by default of all.
    target_edges : array, optional
        The same of the target.

    Examples
    --------
    >>> found = CrossTables([np.array([2.0])]).chunk(Block(np.array([[1.0], [2.0], [3.0]]), np.array([0, 0, 1])))
    >>> found[0].predicted.tolist(), found[0].truth.tolist(), found[0].mass.tolist()
    ([0, 1], [0, 1], [2, 1])
    """

    edges: Sequence[Array | None] | None = None
    target_edges: Array | None = None

    def chunk(self, block: Block) -> list[PairTotals]:
        check_finite(block)
        X: Any = block.X.tocsc() if sp.issparse(block.X) else block.X
        y = block.y if self.target_edges is None else _binned(_number(block), self.target_edges)
        edges = [None] * X.shape[1] if self.edges is None else self.edges
        columns = (X[:, [j]].toarray()[:, 0] if sp.issparse(X) else X[:, j] for j in range(X.shape[1]))
        return [
            _PAIRS.chunk(Block(_binned(column, own)[:, None], y, index=block.index))
            for column, own in zip(columns, edges, strict=True)
        ]

    def combine(self, a: list[PairTotals], b: list[PairTotals]) -> list[PairTotals]:
        return [_PAIRS.combine(x, y) for x, y in zip(a, b, strict=True)]


_PAIRS = DistinctPairs("y", "X", alike=False)


def _number(block: Block) -> Array:
    if block.y is None:
        raise TypeError("a target is needed")
    return block.y.astype(np.float64)


def _binned(values: Array, edges: Array | None) -> Array:
    """Return the bin of each value; without edges an integer that tells it from others."""
    if edges is not None:
        return np.searchsorted(edges, values).astype(np.int64)
    if values.dtype.kind in "iub":
        return values.astype(np.int64)
    return (values.astype(np.float64) + 0.0).view(np.int64)  # 0.0 makes zeros of either sign the same

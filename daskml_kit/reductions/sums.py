"""Sums over rows: of features, and of their categories; and the extremes of features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import scipy.sparse as sp

from daskml_kit.data.block import Block
from daskml_kit.exceptions import DataError
from daskml_kit.numerics.csr import transposed_times
from daskml_kit.reductions.reduction import SingleReduction
from daskml_kit.typing import Array


class Totals(NamedTuple):
    """Weight of the rows, and the weighted sum of each feature."""

    weight: float
    sums: Array


@dataclass(frozen=True, eq=False)
class FeatureSums(SingleReduction):
    """Weighted sum of each feature, none of which may be negative, or of whether it is larger than ``above``.

    Parameters
    ----------
    above : float, optional

    Examples
    --------
    >>> FeatureSums().chunk(Block(np.array([[1.0, 2.0], [3.0, 4.0]]), weight=np.array([1.0, 2.0])))
    Totals(weight=3.0, sums=array([ 7., 10.]))
    """

    above: float | None = None

    answer_type: ClassVar[type[Totals]] = Totals

    def chunk(self, block: Block) -> Totals:
        X = block.X
        weight = np.ones(block.n_rows) if block.weight is None else block.weight.astype(np.float64)
        if self.above is not None:
            X = (self.above < X).astype(np.float64)
        elif block.n_rows and X.shape[1] and X.min() < 0:
            raise negative_values(X.min(), block)
        sums = transposed_times(X, weight) if sp.issparse(X) else weight @ X
        return Totals(float(weight.sum()), sums.astype(np.float64, copy=False))

    def combine(self, a: Totals, b: Totals) -> Totals:
        return Totals(a.weight + b.weight, a.sums + b.sums)


class CategoryTotals(NamedTuple):
    """Weight of the rows, and of each feature the weight of each of its categories."""

    weight: float
    counts: tuple[Array, ...]


class CategorySums(SingleReduction):
    """Weight of each category, 0, 1, 2, ..., of each feature; as in scikit-learn numbers are cut to integers.

    Examples
    --------
    >>> CategorySums().chunk(Block(np.array([[1, 0], [1, 2]]))).counts
    (array([0., 2.]), array([1., 0., 1.]))
    """

    answer_type: ClassVar[type[CategoryTotals]] = CategoryTotals

    def chunk(self, block: Block) -> CategoryTotals:
        if sp.issparse(block.X):
            raise DataError("X: expected a dense array of categories, got a sparse matrix")
        weight = np.ones(block.n_rows) if block.weight is None else block.weight.astype(np.float64)
        codes = block.X.astype(np.intp)
        if codes.min(initial=0) < 0:
            raise negative_values(codes.min(), block)
        return CategoryTotals(float(weight.sum()), tuple(np.bincount(column, weight) for column in codes.T))

    def combine(self, a: CategoryTotals, b: CategoryTotals) -> CategoryTotals:
        return CategoryTotals(a.weight + b.weight, tuple(map(_add, a.counts, b.counts)))


def negative_values(value: float, block: Block) -> DataError:
    """Return the error of features that have to be counts."""
    return DataError(
        f"Negative values in data passed to X: expected counts or categories, got {value} in block {block.index}"
    )


def _add(a: Array, b: Array) -> Array:
    total = np.zeros(max(len(a), len(b)))
    total[: len(a)] += a
    total[: len(b)] += b
    return total


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

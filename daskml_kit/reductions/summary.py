"""Summary of the data before a fit: number of rows, labels, and a sample of rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse as sp

from daskml_kit.data.block import Block, check_finite, check_not_negative
from daskml_kit.data.coded import codes_of, used_columns
from daskml_kit.exceptions import DataError
from daskml_kit.numerics.missing import Gaps, indicate
from daskml_kit.reductions.equal_rows import count_distinct
from daskml_kit.reductions.reduction import SingleReduction
from daskml_kit.typing import Array, Labels, Matrix

SAMPLE_BYTES = 32 * 2**20
"""Bytes that the rows of a sample may take."""


class DataSummary(NamedTuple):
    """The answer of `Summary`.

    ``labels`` are the distinct targets, sorted, with the rows (``label_rows``) and the sample weight
    (``label_weight``) that each has. ``sample_*`` are some rows, their weights scaled so that they stand for all.
    ``used`` tells of each column of a sparse X whether a row has a number there, and ``exclusive`` is the first of
    columns of which no row has two, the most that are known, and the one behind the last; both are None where that is
    not known. ``distinct`` is about how many rows are left once those that are equal in a block are one, None where
    that was not asked for.
    """

    n_rows: int
    weight: float
    low: Array
    labels: Array | None
    label_rows: Array | None
    label_weight: Array | None
    sample_X: Matrix
    sample_y: Array | None
    sample_weight: Array
    used: Array | None = None
    exclusive: Array | None = None
    distinct: float | None = None

    @property
    def precision(self) -> type[np.floating[Any]]:
        """The type that coefficients have: single precision where X is, else double."""
        return np.float32 if self.sample_X.dtype == np.float32 else np.float64

    def thinned(self, step: int) -> DataSummary:
        """Return the same with every so many rows of the sample, in memory of their own."""
        weight = self.sample_weight[::step]
        scaled = weight * (len(self.sample_weight) / max(len(weight), 1))
        y = None if self.sample_y is None else self.sample_y[::step].copy()
        return self._replace(sample_X=self.sample_X[::step].copy(), sample_y=y, sample_weight=scaled, used=None)


@dataclass(frozen=True, eq=False)
class Summary(SingleReduction):
    """Count rows and labels, and draw about ``sample_rows`` rows, the same number from each of ``n_blocks`` blocks.

    There are fewer where they would take more than `SAMPLE_BYTES`. Of a part of a block's rows the same ``share`` of
    that number is drawn.

    A drawn row's weight is multiplied by its block's rows over the rows drawn from it, so that sums over the sample
    estimate sums over the data without bias. The draw depends on the block's index and ``seed`` alone. NaN in X is an
    error, unless ``missing`` values are filled in later.

    Fits on subsets of the rows get a part of their samples only, as they start where the fit of all rows has ended.

    Where asked to ``count_distinct`` rows, those of classes are told apart by their labels, too.
    """

    labeled: bool
    sample_rows: int = 0
    n_blocks: int = 1
    seed: int = 0
    missing: bool = False
    share: float = 1.0
    count_distinct: bool = False

    answer_type: ClassVar[type[DataSummary]] = DataSummary

    def chunk(self, block: Block) -> DataSummary:
        """Read the targets and the sampled rows, not the rest of X.

        Raises
        ------
        DataError
            Where the targets of a regression are not numbers; where a sampled row, a target or a weight is not finite.
        """
        n_rows = block.n_rows
        weight = np.ones(n_rows) if block.weight is None else block.weight.astype(np.float64)
        check_not_negative(block)
        y = block.y
        if y is not None and not self.labeled and y.dtype.kind not in "fiub":
            raise DataError(f"y: expected numbers, got dtype {y.dtype} in block {block.index}")
        wanted = min(self.sample_rows, SAMPLE_BYTES // _row_bytes(block.X))
        few = min(n_rows, math.ceil(-(-wanted // self.n_blocks) * self.share))
        draw = np.random.default_rng([self.seed, block.index])
        rows = np.sort(draw.choice(n_rows, few, replace=False, shuffle=False)) if few < n_rows else slice(None)
        X, scaled = block.X[rows], weight[rows] * (n_rows / max(few, 1))
        check_finite(Block(_without_nan(X) if self.missing else X, y, weight, block.index))
        found = _count_labels(y, weight, block.index) if self.labeled and y is not None else NO_LABELS
        low = np.min(y, axis=0) if y is not None and not self.labeled and n_rows else np.array(np.inf)
        total = float(weight.sum())
        sample = X, None if y is None else y[rows], scaled
        columns = _used_columns(block.X), _widest_span(block.X)
        distinct = count_distinct(block, by_target=self.labeled) if self.count_distinct else None
        return DataSummary(n_rows, total, np.atleast_1d(low), *found, *sample, *columns, distinct)

    def for_subsets(self, partials: Sequence[DataSummary], n_subsets: int) -> list[DataSummary]:
        """Return the partial answers of ids as the subsets that are made of them need them."""
        # columns that other rows have numbers in do no harm, and with the same ones subsets share passes
        masks = [part.used for part in partials if part.used is not None]
        used = np.any(masks, axis=0) if len(masks) == len(partials) else None
        return [part.thinned(n_subsets)._replace(used=used) for part in partials]

    def of_share(self, share: float) -> Summary:
        """Return the reduction for a part of a block's rows."""
        return replace(self, share=share)

    def combine(self, a: DataSummary, b: DataSummary) -> DataSummary:
        join = sp.vstack if sp.issparse(a.sample_X) or sp.issparse(b.sample_X) else np.concatenate
        y = None if a.sample_y is None or b.sample_y is None else np.concatenate([a.sample_y, b.sample_y])
        found = _merge_labels(a, b) if self.labeled else NO_LABELS
        X, weight = join([a.sample_X, b.sample_X]), np.concatenate([a.sample_weight, b.sample_weight])
        used = None if a.used is None or b.used is None else a.used | b.used
        sums = a.n_rows + b.n_rows, a.weight + b.weight, np.minimum(a.low, b.low)
        distinct = None if a.distinct is None or b.distinct is None else a.distinct + b.distinct
        return DataSummary(*sums, *found, X, y, weight, used, _same_span(a, b), distinct)


def position_of(labels: Labels, y: Array) -> Array:
    """Return the position of each target among the sorted ``labels``.

    Examples
    --------
    >>> position_of(np.array(["no", "yes"]), np.array(["yes", "no", "yes"]))
    array([1, 0, 1], dtype=int32)
    """
    return np.searchsorted(labels, np.asarray(y, dtype=labels.dtype)).astype(np.int32)


def _used_columns(X: Matrix) -> Array | None:
    if not sp.issparse(X):
        return None
    if (own := codes_of(X)) is not None:
        return used_columns(own)
    used = np.zeros(X.shape[1], bool)
    used[X.indices] = True
    return used


def _widest_span(X: Matrix) -> Array | None:
    own = codes_of(X)
    if own is None:
        return None
    span: Array = own.spans[np.argmax(own.spans[:, 1] - own.spans[:, 0])]
    return span


def _same_span(a: DataSummary, b: DataSummary) -> Array | None:
    if not a.n_rows or not b.n_rows:
        return (a if a.n_rows else b).exclusive
    same = a.exclusive is not None and b.exclusive is not None and np.array_equal(a.exclusive, b.exclusive)
    return a.exclusive if same else None


def _row_bytes(X: Matrix) -> int:
    width = int(X.shape[1])
    return 12 * (int(X.nnz) // max(X.shape[0], 1) + 1) if sp.issparse(X) else 8 * (width + 1)


def _without_nan(X: Matrix) -> Matrix:
    return indicate(X, Gaps(np.arange(X.shape[1]), np.zeros(X.shape[1])))[:]


class Labeled(NamedTuple):
    """Distinct labels, sorted, with their rows and weight."""

    labels: Array | None
    rows: Array | None
    weight: Array | None


NO_LABELS = Labeled(None, None, None)


def _count_labels(y: Array, weight: Array, index: int) -> Labeled:
    missing = pd.isna(y)
    if missing.any():
        row = int(np.flatnonzero(missing)[0])
        raise DataError(f"Input y contains NaN: a missing label in block {index}, row {row} of the block")
    codes, labels = pd.factorize(y)
    try:
        order = np.argsort(labels, kind="stable")
    except TypeError as error:
        raise DataError(f"y: labels of one type expected, got a mixture in block {index}: {error}") from None
    rows = np.bincount(codes, minlength=len(labels))
    return Labeled(np.asarray(labels)[order], rows[order], np.bincount(codes, weight, minlength=len(labels))[order])


def _merge_labels(a: DataSummary, b: DataSummary) -> Labeled:
    parts = [part for part in (a, b) if part.n_rows]
    if len(parts) < 2:
        only = parts[0] if parts else a
        return Labeled(only.labels, only.label_rows, only.label_weight)
    labels, codes = np.unique(np.concatenate([_known(p.labels) for p in parts]), return_inverse=True)
    rows = np.bincount(codes, np.concatenate([_known(p.label_rows) for p in parts]), minlength=len(labels))
    weight = np.bincount(codes, np.concatenate([_known(p.label_weight) for p in parts]), minlength=len(labels))
    return Labeled(labels, rows.astype(np.int64), weight)


def _known(values: Array | None) -> Array:
    if values is None:
        raise TypeError("a block was surveyed without its labels")
    return values


def one_column(values: Array | None, name: str, index: int) -> Array:
    """Return ``values`` as one dimension, or raise a `DataError` that names them."""
    if values is None:
        raise DataError(f"{name}: expected values, got none in block {index}")
    if values.ndim == 2 and values.shape[1] == 1:
        return np.asarray(values[:, 0])
    if values.ndim != 1:
        raise DataError(f"{name}: expected one column, got shape {values.shape} in block {index}")
    return values


def sorted_labels(y: Array, index: int, name: str = "y_true") -> tuple[Array, Array]:
    """Return the code of each row and the distinct labels, sorted.

    Raises
    ------
    DataError
        Where a label is missing or labels cannot be compared.
    """
    codes, labels = pd.factorize(y)
    if (codes < 0).any():
        row = int(np.argmin(codes))
        raise DataError(f"{name} contains NaN: a missing label in block {index}, row {row} of the block")
    try:
        order = np.argsort(labels, kind="stable")
    except TypeError as error:
        raise DataError(f"{name}: labels of one type expected, got a mixture in block {index}: {error}") from None
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return place[codes], np.asarray(labels)[order]

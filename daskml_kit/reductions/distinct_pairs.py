"""Distinct pairs of truth and prediction with their weight: all that a metric of labels knows of the rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from daskml_kit.data.block import Block
from daskml_kit.exceptions import DataError
from daskml_kit.reductions.class_losses import predictions, require_finite, weights_of
from daskml_kit.reductions.reduction import SingleReduction
from daskml_kit.reductions.summary import one_column, sorted_labels
from daskml_kit.typing import Array

FEW = 2**12
"""Integers of fewer distinct values are counted in a table rather than by a hash."""
MOST_ROWS = 2**20
"""The most distinct pairs of rows of a multilabel indicator that are counted."""


class PairTotals(NamedTuple):
    """The rows, the distinct pairs of ``truth`` and ``predicted``, and the weight of each.

    Both are labels of shape (n_pairs,), or rows of an indicator of shape (n_pairs, n_labels). The mass of rows without
    weights, or with integers, is of integers; ``weighted`` tells whether rows have weights.
    """

    n_rows: int
    truth: Array
    predicted: Array
    mass: Array
    weighted: bool = False

    @property
    def weight(self) -> float:
        return float(self.mass.sum())


@dataclass(frozen=True, eq=False)
class DistinctPairs(SingleReduction):
    """Sum the weights of rows that have the same truth and the same prediction.

    What it holds grows with the number of pairs that occur, not with the rows. Numbers, strings and indicators of
    several labels are taken. Where labels are ``alike``, they have to be of one type.
    """

    truth: str = "y_true"
    predicted: str = "y_pred"
    alike: bool = True

    def chunk(self, block: Block) -> PairTotals:
        """Count the block's pairs.

        Raises
        ------
        DataError
            Where labels are missing, fractions or of several types, or where shapes differ.
        """
        if block.y is None:
            raise DataError(f"{self.truth}: expected labels, got none in block {block.index}")
        predicted = predictions(block, self.predicted)
        if self.alike and (block.y.dtype.kind in "fiub") != (predicted.dtype.kind in "fiub"):
            kinds = f"{block.y.dtype} and {predicted.dtype}"
            raise DataError(f"{self.truth}, {self.predicted}: expected labels of one type, got {kinds}")
        whole = block.weight is None or block.weight.dtype.kind in "iub"
        mass = None if block.weight is None else weights_of(block)
        if block.y.ndim == 2 and block.y.shape[1] > 1:
            if block.y.shape != predicted.shape:
                raise DataError(
                    f"{self.truth}, {self.predicted}: expected indicators of one shape, got {block.y.shape} and "
                    f"{predicted.shape} in block {block.index}"
                )
            found = self._indicators(block.y, predicted, mass, block.index)
        else:
            truth = one_column(block.y, self.truth, block.index)
            found = self._labels(truth, one_column(predicted, self.predicted, block.index), mass, block.index)
        found = found._replace(weighted=mass is not None)
        return found._replace(mass=found.mass.astype(np.int64)) if whole else found

    def combine(self, a: PairTotals, b: PairTotals) -> PairTotals:
        if not a.n_rows or not b.n_rows:
            return a if a.n_rows else b
        truth, predicted = np.concatenate([a.truth, b.truth]), np.concatenate([a.predicted, b.predicted])
        count = self._indicators if truth.ndim == 2 else self._labels
        masses = np.concatenate([a.mass, b.mass])
        both = count(truth, predicted, masses.astype(np.float64), 0)
        return PairTotals(a.n_rows + b.n_rows, *both[1:3], both.mass.astype(masses.dtype), a.weighted or b.weighted)

    def _labels(self, truth: Array, predicted: Array, mass: Array | None, index: int) -> PairTotals:
        rows, rows_names = _coded(truth, self.truth, index)
        columns, names = _coded(predicted, self.predicted, index)
        pairs, sums = _sums(rows * len(names) + columns, len(rows_names) * len(names), mass)
        return PairTotals(len(truth), rows_names[pairs // len(names)], names[pairs % len(names)], sums)

    def _indicators(self, truth: Array, predicted: Array, mass: Array | None, index: int) -> PairTotals:
        for name, values in ((self.truth, truth), (self.predicted, predicted)):
            if values.dtype.kind not in "fiub" or not ((values == 0) | (values == 1)).all():
                raise DataError(f"{name}: expected an indicator of 0 and 1, or one column, in block {index}")
        bits = np.packbits(np.hstack([truth, predicted]).astype(bool), axis=1)
        codes, first, n_codes = _row_codes(bits)
        if n_codes > MOST_ROWS:
            raise DataError(
                f"{self.truth}, {self.predicted}: expected at most {MOST_ROWS} distinct pairs of rows, got "
                f"{n_codes}; take fewer labels at a time"
            )
        sums = np.bincount(codes, mass, minlength=n_codes)
        return PairTotals(len(truth), truth[first].astype(np.int8), predicted[first].astype(np.int8), sums)


def _coded(values: Array, name: str, index: int) -> tuple[Array, Array]:
    """Return the position of each label among some sorted labels, of which a few may not occur."""
    require_finite(values, name, index)
    if values.dtype.kind == "f":
        whole = values.astype(np.int64)
        if (whole != values).any():
            raise DataError(f"{name}: expected class labels, got fractions in block {index}")
        codes, labels = _coded(whole, name, index)
        return codes, labels.astype(values.dtype)
    if values.dtype.kind in "iu" and len(values):
        low, high = int(values.min()), int(values.max())
        if high - low < FEW and high < 2**62:
            return values.astype(np.int64) - low, np.arange(low, high + 1).astype(values.dtype)
    return sorted_labels(values, index, name)


def _sums(codes: Array, n_codes: int, mass: Array | None) -> tuple[Array, Array]:
    """Return the codes that occur, in order, and the mass of each."""
    if n_codes <= max(FEW * 64, 16 * len(codes)):
        counts = np.bincount(codes, minlength=n_codes)
        occur = np.flatnonzero(counts)
        return occur, (counts if mass is None else np.bincount(codes, mass, minlength=n_codes))[occur]
    found, distinct = pd.factorize(codes, sort=True)
    return np.asarray(distinct), np.bincount(found, mass, minlength=len(distinct))


def _row_codes(bits: Array) -> tuple[Array, Array, int]:
    """Return the code of each row of bytes, in order, the first row of each code, and the number of codes."""
    padded = np.pad(bits, ((0, 0), (0, -bits.shape[1] % 8)))
    words = np.ascontiguousarray(padded).view(">u8").astype(np.uint64).T
    codes = np.zeros(len(bits), np.int64)
    for word in words:
        own, names = pd.factorize(word, sort=True)
        codes, _ = pd.factorize(codes * max(len(names), 1) + own, sort=True)
    n_codes = int(codes.max(initial=-1)) + 1
    first = np.zeros(n_codes, np.intp)
    first[codes[::-1]] = np.arange(len(codes))[::-1]
    return codes, first, n_codes

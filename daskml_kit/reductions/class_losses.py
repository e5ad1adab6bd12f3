"""Classification losses as reductions: accuracy, log loss and Brier score; labels are found in the same pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import scipy.sparse as sp

from daskml_kit.data.block import Block
from daskml_kit.exceptions import DataError
from daskml_kit.numerics.targets import tile_rows, tiles
from daskml_kit.reductions.reduction import SingleReduction
from daskml_kit.reductions.summary import one_column, sorted_labels
from daskml_kit.typing import Array


class CorrectTotals(NamedTuple):
    """Rows, their weight, and the weight of those whose prediction is the truth."""

    n_rows: int
    weight: float
    hits: float


@dataclass(frozen=True, eq=False)
class CorrectPredictions(SingleReduction):
    """The weight of the rows on which prediction and truth are equal."""

    def chunk(self, block: Block) -> CorrectTotals:
        truth = one_column(block.y, "y_true", block.index)
        predicted = one_column(predictions(block, "y_pred"), "y_pred", block.index)
        for name, values in (("y_true", truth), ("y_pred", predicted)):
            require_finite(values, name, block.index)
            if values.dtype.kind == "f" and (values != np.floor(values)).any():
                raise DataError(f"{name}: expected class labels, got fractions in block {block.index}")
        weight = weights_of(block)
        return CorrectTotals(block.n_rows, float(weight.sum()), float(weight[truth == predicted].sum()))

    def combine(self, a: CorrectTotals, b: CorrectTotals) -> CorrectTotals:
        return CorrectTotals(a.n_rows + b.n_rows, a.weight + b.weight, a.hits + b.hits)


def predictions(block: Block, name: str) -> Array:
    """Return the block's predictions, that the caller knows as ``name``.

    Raises
    ------
    DataError
        Where they are sparse.
    """
    if sp.issparse(block.X):
        raise DataError(f"{name}: expected a dense array, got a sparse one in block {block.index}")
    return np.asarray(block.X)


def weights_of(block: Block) -> Array:
    """Return the rows' weights in double precision, ones where there are none.

    Raises
    ------
    DataError
        Where a weight is negative, NaN or infinite.
    """
    if block.weight is None:
        return np.ones(block.n_rows)
    require_finite(block.weight, "sample_weight", block.index)
    if (block.weight < 0).any():
        row = int(np.flatnonzero(block.weight < 0)[0])
        raise DataError(f"sample_weight: expected no negative values, got {block.weight[row]} in block {block.index}")
    return block.weight.astype(np.float64)


def require_finite(values: Array, name: str, index: int) -> None:
    """Raise a `DataError` that says where ``values`` hold a NaN or an infinity."""
    if values.dtype.kind != "f" or np.isfinite(values).all():
        return
    row = int(np.argwhere(~np.isfinite(values))[0][0])
    kind = "NaN" if np.isnan(values[row]).any() else "infinity"
    raise DataError(f"{name} contains {kind} in block {index}, row {row} of the block")


class ClassLossTotals(NamedTuple):
    """Weighted losses (n_labels, k): the rows of each label found, sorted, as if column j were theirs.

    ``masses`` is the weight of the rows of each label.
    """

    n_rows: int
    weight: float
    labels: Array
    losses: Array
    normalized: bool
    masses: Array


@dataclass(frozen=True, eq=False)
class ClassLosses(SingleReduction):
    """The loss of every label's rows under every column of probabilities.

    Which column is a label's is known when all labels are: the total's diagonal is the loss. One column alone is the
    probability of the second of two labels.
    """

    loss: Literal["log", "brier"]

    def chunk(self, block: Block) -> ClassLossTotals:
        """Read the block tile by tile.

        Raises
        ------
        DataError
            Where probabilities leave [0, 1], are NaN, or there are more labels than columns.
        """
        probabilities = check_probabilities(block)
        width = max(probabilities.shape[1], 2)
        codes, labels = sorted_labels(one_column(block.y, "y_true", block.index), block.index)
        _require_few(labels, width)
        weight = weights_of(block)
        total, normalized = np.zeros((len(labels), width)), True
        for rows in tiles(block.n_rows, tile_rows(block.X, 3 * width)):
            p = probabilities[rows]
            p = p if p.dtype.kind == "f" else p.astype(np.float64)
            p = np.hstack([1 - p, p]) if p.shape[1] == 1 else p
            normalized &= bool(np.allclose(p.sum(axis=1), 1, rtol=np.sqrt(np.finfo(p.dtype).eps)))
            which = (weight[rows], (codes[rows], np.arange(len(p))))
            total += sp.csr_array(which, shape=(len(labels), len(p))) @ self._losses(p)
        masses = np.bincount(codes, weight, minlength=len(labels))
        return ClassLossTotals(block.n_rows, float(weight.sum()), labels, total, normalized, masses)

    def combine(self, a: ClassLossTotals, b: ClassLossTotals) -> ClassLossTotals:
        labels = union(a.labels, b.labels)
        _require_few(labels, a.losses.shape[1])
        losses, masses = np.zeros((len(labels), a.losses.shape[1])), np.zeros(len(labels))
        for part in (a, b):
            place = np.searchsorted(labels, part.labels)
            losses[place] += part.losses
            masses[place] += part.masses
        normalized = a.normalized and b.normalized
        return ClassLossTotals(a.n_rows + b.n_rows, a.weight + b.weight, labels, losses, normalized, masses)

    def _losses(self, p: Array) -> Array:
        if self.loss == "log":
            eps = np.finfo(p.dtype).eps
            return np.asarray(-np.log(np.clip(p, eps, 1 - eps).astype(np.float64)))
        squares = np.square(p.astype(np.float64))
        others = _sums_before(squares) + _sums_before(squares[:, ::-1])[:, ::-1]
        return np.asarray(others + np.square(1 - p.astype(np.float64)))


def check_probabilities(block: Block) -> Array:
    """Return the block's probabilities, or raise a `DataError` where they are none."""
    values = predictions(block, "y_proba")
    require_finite(values, "y_proba", block.index)
    if values.size and values.max() > 1:
        raise DataError(f"y_proba contains values greater than 1: {values.max()} in block {block.index}")
    if values.size and values.min() < 0:
        raise DataError(f"y_proba contains values lower than 0: {values.min()} in block {block.index}")
    return values


def union(a: Array, b: Array) -> Array:
    """Return the sorted labels of both; empty ones have no say in the dtype."""
    if not len(a) or not len(b):
        return b if len(b) else a
    try:
        return np.unique(np.concatenate([a, b]))
    except TypeError as error:
        some = f"{a[:3].tolist()} and {b[:3].tolist()}"
        raise DataError(f"y_true: labels of one type expected, got {some}: {error}") from None


def _require_few(labels: Array, width: int) -> None:
    if len(labels) > width:
        raise DataError(
            f"y_true and y_proba contain different number of classes: more than {len(labels) - 1} vs {width}. "
            f"Classes found in y_true: {labels[: width + 1].tolist()}, ..."
        )


def _sums_before(squares: Array) -> Array:
    """Return for each column the sum of those before it, without the cancellation of a total less the rest."""
    sums = np.zeros_like(squares)
    np.cumsum(squares[:, :-1], axis=1, out=sums[:, 1:])
    return sums

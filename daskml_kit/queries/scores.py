"""What the metrics ask of predictions: the blocks hold predictions as X, the truth as y."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from daskml_kit.block import Block
from daskml_kit.errors import DataError
from daskml_kit.queries.query import Alone
from daskml_kit.typing import Array


class Matches(NamedTuple):
    """Rows, their weight, and the weight of those whose prediction is the truth."""

    n_rows: int
    weight: float
    hits: float


@dataclass(frozen=True, eq=False)
class Hits(Alone):
    """The weight of the rows on which prediction and truth are equal."""

    def chunk(self, block: Block) -> Matches:
        truth = one_column(block.y, "y_true", block.index)
        predicted = one_column(predictions(block, "y_pred"), "y_pred", block.index)
        for name, values in (("y_true", truth), ("y_pred", predicted)):
            require_finite(values, name, block.index)
            if values.dtype.kind == "f" and (values != np.floor(values)).any():
                raise DataError(f"{name}: expected class labels, got fractions in block {block.index}")
        weight = weights_of(block)
        return Matches(block.n_rows, float(weight.sum()), float(weight[truth == predicted].sum()))

    def combine(self, a: Matches, b: Matches) -> Matches:
        return Matches(a.n_rows + b.n_rows, a.weight + b.weight, a.hits + b.hits)


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


def one_column(values: Array | None, name: str, index: int) -> Array:
    """Return ``values`` as one dimension, or raise a `DataError` that names them."""
    if values is None:
        raise DataError(f"{name}: expected values, got none in block {index}")
    if values.ndim == 2 and values.shape[1] == 1:
        return np.asarray(values[:, 0])
    if values.ndim != 1:
        raise DataError(f"{name}: expected one column, got shape {values.shape} in block {index}")
    return values


def require_finite(values: Array, name: str, index: int) -> None:
    """Raise a `DataError` that says where ``values`` hold a NaN or an infinity."""
    if values.dtype.kind != "f" or np.isfinite(values).all():
        return
    row = int(np.argwhere(~np.isfinite(values))[0][0])
    kind = "NaN" if np.isnan(values[row]).any() else "infinity"
    raise DataError(f"{name} contains {kind} in block {index}, row {row} of the block")

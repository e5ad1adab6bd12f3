"""Minibatches: each row once an epoch, in an order drawn from the seed and the block."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from daskml_kit.data.block import Block
from daskml_kit.numerics.csr import row_slice
from daskml_kit.numerics.permutation import key_of
from daskml_kit.typing import Array, Matrix

VALIDATION, EPOCHS = 0, 1
"""Purposes that an order of rows is drawn for."""


class RowBuffer:
    """Memory in which rows are gathered again and again.

    On a worker, where freed memory goes back to the system at once, new pages for 31 mini-batches of 512 x 28 cost
    twice what it takes to copy the rows.

    Examples
    --------
    >>> RowBuffer().take("X", np.array([[1.0], [2.0], [3.0]]), np.array([2, 0]))
    array([[3.],
           [1.]])
    """

    def __init__(self) -> None:
        self._held: dict[str, Array] = {}

    def take(self, name: str, values: Array, rows: Array) -> Array:
        """Return rows of an array, where those of the last call with this name were."""
        held = self._held.get(name)
        if held is None or held.dtype != values.dtype or held.shape[1:] != values.shape[1:] or len(held) < len(rows):
            held = self._held[name] = np.empty((len(rows), *values.shape[1:]), values.dtype)
        return values.take(rows, axis=0, out=held[: len(rows)], mode="clip")


class Minibatch(NamedTuple):
    """Rows of a block: features, targets and weights."""

    X: Matrix
    y: Array | None = None
    weight: Array | None = None

    @property
    def n_rows(self) -> int:
        return int(self.X.shape[0])

    @property
    def mass(self) -> float:
        """The weight of the rows together."""
        return float(self.n_rows) if self.weight is None else float(self.weight.sum())


class MinibatchOrder(NamedTuple):
    """Order in which rows are visited, and those that are held out for validation.

    Parameters
    ----------
    seed : int
    batch_size : int
        Rows of a minibatch; the last of a block may have fewer.
    validation_fraction : float
        The share of each block's rows that is never trained on.
    shuffle : bool
    """

    seed: int
    batch_size: int
    validation_fraction: float = 0.0
    shuffle: bool = True

    def n_validation(self, n_rows: int) -> int:
        return int(n_rows * self.validation_fraction)

    def n_batches(self, n_rows: int) -> int:
        """Return the number of minibatches of a block.

        Examples
        --------
        >>> MinibatchOrder(seed=0, batch_size=4, validation_fraction=0.2).n_batches(10)
        2
        """
        return -(-(n_rows - self.n_validation(n_rows)) // self.batch_size)

    def shuffled(self, block: Block, epoch: int, buffer: RowBuffer | None = None) -> ShuffledBlock:
        """Return a block in the order in which an epoch visits its rows; in a ``buffer``, only its last rows stay."""
        rows = self._trained(block.index, block.n_rows)
        if self.shuffle:
            drawn = _permutation(len(rows), key_of(self.seed, EPOCHS, epoch, block.index))
            rows = rows[drawn] if self.n_validation(block.n_rows) else drawn
        return ShuffledBlock(block, rows, self.batch_size, buffer)

    def validation(self, block: Block) -> Minibatch | None:
        """Return the rows that are not trained on; None where there are none."""
        n_validation = self.n_validation(block.n_rows)
        if not n_validation:
            return None
        order = _permutation(block.n_rows, key_of(self.seed, VALIDATION, block.index))
        return take_rows(block, np.sort(order[:n_validation]))

    def _trained(self, index: int, n_rows: int) -> Array:
        n_validation = self.n_validation(n_rows)
        if not n_validation:
            return np.arange(n_rows)
        return np.sort(_permutation(n_rows, key_of(self.seed, VALIDATION, index))[n_validation:])


class ShuffledBlock(NamedTuple):
    """Block with its rows in the order of an epoch."""

    block: Block
    rows: Array
    batch_size: int
    buffer: RowBuffer | None = None

    def batches(self, start: int, stop: int) -> list[Minibatch]:
        """Return the minibatches ``start .. stop - 1``."""
        size = self.batch_size
        whole = take_rows(self.block, self.rows[start * size : stop * size], self.buffer)
        cuts = [slice(at, at + size) for at in range(0, whole.n_rows, size)]
        y, weight = ([None if part is None else part[cut] for cut in cuts] for part in (whole.y, whole.weight))
        X = [row_slice(whole.X, cut) if sp.issparse(whole.X) else whole.X[cut] for cut in cuts]
        return [Minibatch(*parts) for parts in zip(X, y, weight, strict=True)]


def take_rows(block: Block, rows: Array, buffer: RowBuffer | None = None) -> Minibatch:
    """Return rows of a block."""
    take: Any = rows
    if len(rows) and rows[-1] - rows[0] == len(rows) - 1 and (np.diff(rows) == 1).all():
        take = slice(rows[0], rows[-1] + 1)  # a view
    place = buffer or RowBuffer()
    parts = {"X": block.X, "y": block.y, "weight": block.weight}
    slicing = isinstance(take, slice)
    return Minibatch(
        **{
            name: part[take] if slicing or sp.issparse(part) else place.take(name, part, take)
            for name, part in parts.items()
            if part is not None
        }
    )


def _permutation(n: int, key: int) -> Array:
    return np.random.default_rng(key).permutation(n)

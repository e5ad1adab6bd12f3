"""Which rows a mini-batch has: each row once an epoch, in an order that the seed and the block give."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from daskml_kit.data.block import Block
from daskml_kit.numerics.permutation import key_of
from daskml_kit.typing import Array, Matrix

HELD_OUT, VISITS = 0, 1
"""What an order of rows is drawn for."""


class Batch(NamedTuple):
    """Some rows."""

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


class Order(NamedTuple):
    """How rows are visited.

    Parameters
    ----------
    seed : int
    batch_size : int
        Rows of a mini-batch; the last of a block may have fewer.
    validation_fraction : float
        The share of each block's rows that is never trained on.
    shuffle : bool
    """

    seed: int
    batch_size: int
    validation_fraction: float = 0.0
    shuffle: bool = True

    def n_held_out(self, n_rows: int) -> int:
        return int(n_rows * self.validation_fraction)

    def n_batches(self, n_rows: int) -> int:
        """Return the number of mini-batches of a block.

        Examples
        --------
        >>> Order(seed=0, batch_size=4, validation_fraction=0.2).n_batches(10)
        2
        """
        return -(-(n_rows - self.n_held_out(n_rows)) // self.batch_size)

    def visit(self, block: Block, epoch: int, room: Room | None = None) -> Visit:
        """Return a block in the order in which an epoch visits its rows; in a ``room``, only its last rows stay."""
        rows = self._trained(block.index, block.n_rows)
        if self.shuffle:
            drawn = _permutation(len(rows), key_of(self.seed, VISITS, epoch, block.index))
            rows = rows[drawn] if self.n_held_out(block.n_rows) else drawn
        return Visit(block, rows, self.batch_size, room)

    def held_out(self, block: Block) -> Batch | None:
        """Return the rows that are not trained on; None where there are none."""
        n_held = self.n_held_out(block.n_rows)
        if not n_held:
            return None
        order = _permutation(block.n_rows, key_of(self.seed, HELD_OUT, block.index))
        return taken(block, np.sort(order[:n_held]))

    def _trained(self, index: int, n_rows: int) -> Array:
        n_held = self.n_held_out(n_rows)
        if not n_held:
            return np.arange(n_rows)
        return np.sort(_permutation(n_rows, key_of(self.seed, HELD_OUT, index))[n_held:])


class Visit(NamedTuple):
    """A block, and its rows in the order of an epoch."""

    block: Block
    rows: Array
    batch_size: int
    room: Room | None = None

    def batches(self, start: int, stop: int) -> list[Batch]:
        """Return the mini-batches ``start .. stop - 1``."""
        size = self.batch_size
        whole = taken(self.block, self.rows[start * size : stop * size], self.room)
        cuts = [slice(at, at + size) for at in range(0, whole.n_rows, size)]
        y, weight = ([None if part is None else part[cut] for cut in cuts] for part in (whole.y, whole.weight))
        return [Batch(whole.X[cut], *parts) for cut, *parts in zip(cuts, y, weight, strict=True)]


class Room:
    """Memory in which rows are gathered again and again.

    On a worker, where freed memory goes back to the system at once, new pages for 31 mini-batches of 512 x 28 cost
    twice what it takes to copy the rows.

    Examples
    --------
    >>> Room().take("X", np.array([[1.0], [2.0], [3.0]]), np.array([2, 0]))
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


def taken(block: Block, rows: Array, room: Room | None = None) -> Batch:
    """Return rows of a block."""
    take: Any = rows
    if len(rows) and rows[-1] - rows[0] == len(rows) - 1 and (np.diff(rows) == 1).all():
        take = slice(rows[0], rows[-1] + 1)  # a view
    place = room or Room()
    parts = {"X": block.X, "y": block.y, "weight": block.weight}
    slicing = isinstance(take, slice)
    return Batch(
        **{
            name: part[take] if slicing or sp.issparse(part) else place.take(name, part, take)
            for name, part in parts.items()
            if part is not None
        }
    )


def _permutation(n: int, key: int) -> Array:
    return np.random.default_rng(key).permutation(n)

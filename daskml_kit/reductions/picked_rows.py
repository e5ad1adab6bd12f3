"""Rows by their positions in the data, and the lengths of the blocks that tell where these are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from daskml_kit.data.block import Block, check_finite
from daskml_kit.reductions.frames import join_rows
from daskml_kit.reductions.reduction import SingleReduction
from daskml_kit.typing import Array, Matrix


@dataclass(frozen=True, eq=False)
class BlockLengths(SingleReduction):
    """Rows of each block, by its index, all of which have to be finite.

    Examples
    --------
    >>> BlockLengths().chunk(Block(np.zeros((3, 1)), index=7))
    {7: 3}
    """

    def chunk(self, block: Block) -> dict[int, int]:
        check_finite(block)
        return {block.index: block.n_rows}

    def combine(self, a: dict[int, int], b: dict[int, int]) -> dict[int, int]:
        return {index: a.get(index, 0) + b.get(index, 0) for index in sorted(a | b)}


@dataclass(frozen=True, eq=False)
class PickedRows(SingleReduction):
    """Some rows of each block, in their order.

    Parameters
    ----------
    rows : mapping
        Positions in each block, ascending, by its index.

    Examples
    --------
    >>> PickedRows({1: np.array([0, 2])}).chunk(Block(np.arange(3.0)[:, None], index=1)).ravel()
    array([0., 2.])
    """

    rows: Mapping[int, Array]

    def chunk(self, block: Block) -> Matrix:
        return block.X[self.rows.get(block.index, np.empty(0, np.intp))]

    def combine(self, a: Matrix, b: Matrix) -> Matrix:
        return join_rows(a, b)


def rows_at(positions: Array, lengths: Mapping[int, int]) -> PickedRows:
    """Return the reduction that picks the rows at ascending positions in the data.

    Examples
    --------
    >>> {index: rows.tolist() for index, rows in rows_at(np.array([1, 4]), {0: 3, 1: 3}).rows.items()}
    {0: [1], 1: [1]}
    """
    edges = np.cumsum([0, *lengths.values()])
    cuts = np.searchsorted(positions, edges)
    parts = zip(lengths, edges, cuts[:-1], cuts[1:], strict=False)
    return PickedRows({index: positions[a:b] - edge for index, edge, a, b in parts if b > a})

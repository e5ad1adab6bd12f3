"""Rows by their positions in the data, and the lengths of the blocks that tell where these are."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import scipy.sparse as sp

from daskml_kit.data.block import Block, check_finite, check_not_negative
from daskml_kit.reductions.frames import join_rows
from daskml_kit.reductions.reduction import SingleReduction
from daskml_kit.reductions.summary import SAMPLE_BYTES
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


class RowCounts(NamedTuple):
    """Rows of each block, by its index, and the numbers that are stored of all sparse ones."""

    lengths: Mapping[int, int]
    stored: int = 0

    @property
    def n_rows(self) -> int:
        """The number of all rows."""
        return sum(self.lengths.values())

    @property
    def starts(self) -> dict[int, int]:
        """The number of rows before each block."""
        return dict(zip(self.lengths, accumulate(self.lengths.values(), initial=0), strict=False))


@dataclass(frozen=True, eq=False)
class CountRows(SingleReduction):
    """Rows of each block, which an engine that knows them tells without a pass.

    Examples
    --------
    >>> CountRows().chunk(Block(np.zeros((3, 1)), index=7))
    RowCounts(lengths={7: 3}, stored=0)
    """

    answer_type: ClassVar[type[RowCounts]] = RowCounts

    def chunk(self, block: Block) -> RowCounts:
        return RowCounts({block.index: block.n_rows}, int(block.X.nnz) if sp.issparse(block.X) else 0)

    def combine(self, a: RowCounts, b: RowCounts) -> RowCounts:
        lengths = {
            index: a.lengths.get(index, 0) + b.lengths.get(index, 0) for index in sorted({*a.lengths, *b.lengths})
        }
        return RowCounts(lengths, a.stored + b.stored)


class Picked(NamedTuple):
    """Rows in the order of the data, and their weights."""

    X: Matrix
    weight: Array


@dataclass(frozen=True, eq=False)
class PickedRows(SingleReduction):
    """Some rows of each block, in their order, which have to be finite; so do the weights of all.

    Parameters
    ----------
    rows : mapping
        Positions in each block, ascending, by its index.
    name : str
        The same for reductions that pick the same rows, which fuse.
    column : int
        Of the blocks' folds, where positions are those among some rows.
    ids : tuple of int, optional
        The ids that these have there; by default positions are those among all rows.
    n_alike : int, default 1
        How many have the answer.

    Examples
    --------
    >>> PickedRows({1: np.array([0, 2])}, "two").chunk(Block(np.arange(3.0)[:, None], index=1)).X.ravel()
    array([0., 2.])
    """

    rows: Mapping[int, Array]
    name: str
    column: int = 0
    ids: tuple[int, ...] | None = None
    n_alike: int = 1

    answer_type: ClassVar[type[Picked]] = Picked

    def fusion_key(self) -> Hashable:
        return type(self), self.name, self.column, self.ids

    def fuse(self, others: Sequence[Self]) -> PickedRows:
        return replace(self, n_alike=self.n_alike + len(others))

    def within(self, column: int, ids: tuple[int, ...]) -> PickedRows:
        """Return the same among the rows that have one of ``ids`` in a column of the blocks' folds."""
        return replace(self, column=column, ids=ids)

    def chunk(self, block: Block) -> Picked:
        check_not_negative(block)
        rows = self.rows.get(block.index, np.empty(0, np.intp))
        if self.ids is not None:
            if block.fold is None:
                raise TypeError("the rows of a fold are asked for, and the blocks have no folds")
            rows = np.flatnonzero(np.isin(block.fold[:, self.column], self.ids))[rows]
        X = block.X[rows]
        if not np.isfinite(X.data if sp.issparse(X) else X).all():
            check_finite(block)  # names the row as the block has it
        check_finite(Block(X, None, block.weight, block.index))
        return Picked(X, np.ones(len(rows)) if block.weight is None else block.weight[rows].astype(np.float64))

    def combine(self, a: Picked, b: Picked) -> Picked:
        return Picked(join_rows(a.X, b.X), np.concatenate([a.weight, b.weight]))

    def finalize(self, total: Picked) -> list[Any]:
        return [total] * self.n_alike


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
    name = hashlib.blake2b(np.concatenate([positions, edges]).tobytes(), digest_size=16).hexdigest()
    return PickedRows({index: positions[a:b] - edge for index, edge, a, b in parts if b > a}, name)


def rows_drawn(counts: RowCounts, most: int, width: int, seed: int) -> PickedRows:
    """Return the reduction that picks ``most`` rows, each as likely as any other, or all where there are no more.

    Fewer are drawn where they would take more than `SAMPLE_BYTES`. The draw depends on the number of rows and the seed,
    not on the blocks: the same rows have the same sample, whatever blocks they are in.

    Parameters
    ----------
    counts : RowCounts
    most : int
    width : int
        Number of features.
    seed : int
    """
    n_rows = counts.n_rows
    row_bytes = 12 * (counts.stored // max(n_rows, 1) + 1) if counts.stored else 8 * (width + 1)
    most = min(most, SAMPLE_BYTES // row_bytes)
    if n_rows <= most:
        return rows_at(np.arange(n_rows), counts.lengths)
    drawn = np.random.default_rng(seed).choice(n_rows, most, replace=False, shuffle=False)
    return rows_at(np.sort(drawn), counts.lengths)

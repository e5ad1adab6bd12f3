"""Reductions over the rows of folds: of each fold apart in one pass, or of some folds only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, ClassVar

import numpy as np

from daskml_kit.data.block import Block, check_finite
from daskml_kit.exceptions import DataError
from daskml_kit.numerics.missing import Indicated
from daskml_kit.numerics.targets import rows_by_id
from daskml_kit.reductions.frames import Delegate
from daskml_kit.reductions.reduction import Reduction, SingleReduction
from daskml_kit.reductions.summary import Summary
from daskml_kit.typing import Array, Matrix


@dataclass(frozen=True, eq=False)
class PerFold(SingleReduction):
    """The partial answers of ``reduction`` for the rows of each id of a block's fold column.

    Partials combine, so those of the ids that a split trains on make the answer for its training rows: k splits cost
    no more than one pass, and no row is read twice.

    Parameters
    ----------
    reduction : Reduction
        One reduction.
    column : int
        Of `daskml_kit.data.block.Block.fold`.
    n_ids : int

    Examples
    --------
    >>> from daskml_kit.reductions.moments import Moments
    >>> block = Block(np.array([[1.0], [3.0], [8.0]]), fold=np.array([[0], [1], [0]]))
    >>> asked = PerFold(Moments(), 0, 2)
    >>> parts = asked.chunk(block)
    >>> [answer_for(Moments(), parts, ids).mean.tolist() for ids in [(0,), (1,), (0, 1)]]
    [[4.5], [3.0], [4.0]]
    """

    reduction: Reduction
    column: int
    n_ids: int

    answer_type: ClassVar[Callable[..., Any] | None] = None

    def chunk(self, block: Block) -> list[Any]:
        if block.fold is None:
            raise TypeError("the rows of a fold are asked for, and the blocks have no folds")
        rows = dict(rows_by_id(block.fold[:, self.column]))
        parts = [rows_of(block, rows.get(i, slice(0))) for i in range(self.n_ids)]
        try:
            return [self._asked(part.n_rows / max(block.n_rows, 1)).chunk(part) for part in parts]
        except DataError:
            check_finite(block)  # names the row as the block has it
            raise

    def combine(self, a: list[Any], b: list[Any]) -> list[Any]:
        return [self.reduction.combine(x, y) for x, y in zip(a, b, strict=True)]

    def _asked(self, share: float) -> Reduction:
        """Return what is asked of a share of a block's rows: of them, but that share of its sample."""
        return self.reduction.of_share(share) if isinstance(self.reduction, Summary) else self.reduction


@dataclass(frozen=True, eq=False)
class Restricted(Delegate):
    """The result of ``reduction`` over the rows that have one of ``ids`` in a column of the blocks' folds."""

    column: int
    ids: tuple[int, ...]

    def view(self, block: Block) -> Block:
        return rows_within(block, self.column, self.ids)


def answer_for(reduction: Reduction, partials: Sequence[Any], ids: Sequence[int]) -> Any:
    """Return the answer of ``reduction`` for the rows of ``ids``, from the partials of each id."""
    return reduction.finalize(reduce(reduction.combine, [partials[i] for i in ids]))[0]


def rows_of(block: Block, rows: slice | Array) -> Block:
    """Return some rows of a block: views of a slice of them, else copies."""
    parts = (block.X, block.y, block.weight, block.fold)
    if isinstance(rows, slice):
        X, y, weight, fold = (None if part is None else _cut(part, rows) for part in parts)
    else:
        X, y, weight, fold = (None if part is None else _taken(part, rows) for part in parts)
    return Block(X, y, weight, block.index, fold)


def rows_within(block: Block, column: int, ids: Sequence[int]) -> Block:
    """Return the rows of a block that have one of ``ids`` in a column of its folds."""
    if block.fold is None:
        raise TypeError("the rows of a fold are asked for, and the blocks have no folds")
    own = block.fold[:, column]
    rows = np.flatnonzero(own == ids[0] if len(ids) == 1 else np.isin(own, ids))
    if len(rows) and rows[-1] - rows[0] == len(rows) - 1:
        return rows_of(block, slice(int(rows[0]), int(rows[-1]) + 1))
    return rows_of(block, rows)


def _cut(part: Matrix, rows: slice) -> Matrix:
    return part.cut(rows) if isinstance(part, Indicated) else part[rows]


def _taken(part: Matrix, rows: Array) -> Matrix:
    if isinstance(part, np.ndarray):
        return np.take(part, rows, axis=0)  # which is faster than an index
    return part[rows]

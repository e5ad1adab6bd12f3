"""Indicators of several labels, a column of 0 and 1 each, as targets of a regression."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from daskml_kit.data.block import Block
from daskml_kit.exceptions import DataError
from daskml_kit.reductions.reduction import Delegate
from daskml_kit.typing import Array


@dataclass(frozen=True, eq=False)
class IndicatorColumns(Delegate):
    """Ask about the columns of the target in place of those of X; rows count alike.

    Raises
    ------
    DataError
        Where the target has other values than 0 and 1.
    """

    def view(self, block: Block) -> Block:
        return block._replace(X=_indicators(block).astype(np.float64), y=None, weight=None)


@dataclass(frozen=True, eq=False)
class IndicatorTargets(Delegate):
    """Ask with targets of -1 and 1, a column for each label.

    Parameters
    ----------
    reduction : Reduction
    factors : array of shape (2, n_labels), optional
        A row's weight is multiplied by those of what it is for each label.

    Raises
    ------
    DataError
        Where the target has other values than 0 and 1.

    Examples
    --------
    >>> view = IndicatorTargets(None, np.array([[1.0, 1.0], [2.0, 3.0]])).view
    >>> seen = view(Block(np.zeros((2, 1)), np.array([[0, 1], [1, 1]])))
    >>> seen.y.tolist(), seen.weight.tolist()
    ([[-1.0, 1.0], [1.0, 1.0]], [3.0, 6.0])
    """

    factors: Array | None = None

    def view(self, block: Block) -> Block:
        has = _indicators(block)
        weight = block.weight
        if self.factors is not None:
            factors = np.where(has, self.factors[1], self.factors[0]).prod(axis=1)
            weight = factors if weight is None else factors * weight
        return block._replace(y=np.where(has, 1.0, -1.0), weight=weight)


def _indicators(block: Block) -> Array:
    """Return whether each row has each label."""
    if block.y is None:
        raise TypeError("labels need targets")
    if not np.isin(block.y, (0, 1)).all():
        raise DataError(f"y: expected several columns of 0 and 1, got other values in block {block.index}")
    return np.asarray(block.y == 1)

"""Fourth powers of standardized rows' norms, of which the Ledoit-Wolf shrinkage is made."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from daskml_kit.data.block import Block, check_dense
from daskml_kit.numerics.targets import tile_rows, tiles
from daskml_kit.reductions.reduction import SingleReduction
from daskml_kit.reductions.summary import position_of
from daskml_kit.typing import Array, Labels


@dataclass(frozen=True, eq=False)
class FourthMoments(SingleReduction):
    r"""The sums :math:`\sum_i \|(x_i - m) / s\|^4` of the rows of each class, or of all rows.

    Parameters
    ----------
    means, scales : array of shape (n_classes, n_features)
        m and s above.
    labels : array of shape (n_classes,), optional
        The sorted labels of the classes; without them all rows are of one.

    Examples
    --------
    >>> FourthMoments(np.zeros((1, 2)), np.ones((1, 2))).chunk(Block(np.array([[1.0, 1.0], [0.0, 3.0]])))
    array([85.])
    """

    means: Array
    scales: Array
    labels: Labels | None = None

    def chunk(self, block: Block) -> Array:
        check_dense(block)
        totals = np.zeros(len(self.means))
        for rows in tiles(block.n_rows, tile_rows(block.X, block.X.shape[1])):
            codes = self._codes(block, rows)
            near = block.X[rows] - self.means[codes]
            near /= self.scales[codes]
            squares = np.einsum("ij,ij->i", near, near)
            if isinstance(codes, slice):
                totals += squares @ squares
            else:
                totals += np.bincount(codes, squares * squares, minlength=len(totals))
        return totals

    def _codes(self, block: Block, rows: slice) -> Array | slice:
        """Return the position of each row's class, or of the only one."""
        if self.labels is None:
            return slice(1)
        if block.y is None:
            raise TypeError("classes need targets")
        return position_of(self.labels, block.y[rows])

    def combine(self, a: Array, b: Array) -> Array:
        return a + b

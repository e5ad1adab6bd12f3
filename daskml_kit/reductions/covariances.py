"""Variance of each feature and covariance with the target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import scipy.sparse as sp

from daskml_kit.data.block import Block, check_finite
from daskml_kit.numerics.csr import transposed_times
from daskml_kit.numerics.targets import tile_rows, tiles
from daskml_kit.reductions.moments import Moments
from daskml_kit.reductions.reduction import SingleReduction
from daskml_kit.typing import Array


class WithTarget(NamedTuple):
    """Rows; of each feature the mean, the sum of squares about it, and of products with the target about both means;
    of the target the mean and the sum of squares."""

    n_rows: int
    mean: Array
    squares: Array
    products: Array
    target_mean: float
    target_squares: float


@dataclass(frozen=True, eq=False)
class Covariances(SingleReduction):
    """Sums of squares and of products with the target, joined by Chan, Golub & LeVeque (1983).

    Examples
    --------
    >>> found = Covariances().chunk(Block(np.array([[1.0], [3.0]]), np.array([5.0, 9.0])))
    >>> found.squares.tolist(), found.products.tolist(), found.target_squares
    ([2.0], [4.0], 8.0)
    """

    answer_type: ClassVar[type[WithTarget]] = WithTarget

    def chunk(self, block: Block) -> WithTarget:
        if block.y is None:
            raise TypeError("covariances need a target")
        check_finite(block)
        X: Any = block.X
        spread = Moments().chunk(block._replace(weight=None))
        y = block.y.astype(np.float64)
        mean = float(y.mean()) if len(y) else 0.0
        y -= mean
        if sp.issparse(X):  # y sums to zero, so that X need not be centered
            products = transposed_times(X.astype(np.float64), y)
        else:
            products = np.zeros(X.shape[1])
            for rows in tiles(block.n_rows, tile_rows(X, 1)):
                products += y[rows] @ (X[rows] - spread.mean)
        return WithTarget(block.n_rows, spread.mean, spread.squares, products, mean, float(y @ y))

    def combine(self, a: WithTarget, b: WithTarget) -> WithTarget:
        n_rows = a.n_rows + b.n_rows
        share, apart, other = b.n_rows / max(n_rows, 1), b.mean - a.mean, b.target_mean - a.target_mean
        return WithTarget(
            n_rows,
            a.mean + apart * share,
            a.squares + b.squares + apart**2 * (a.n_rows * share),
            a.products + b.products + apart * other * (a.n_rows * share),
            a.target_mean + other * share,
            a.target_squares + b.target_squares + other**2 * (a.n_rows * share),
        )

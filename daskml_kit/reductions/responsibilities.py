"""Expectation step of a Gaussian mixture: responsibilities of its components for rows, and the sums they make."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from daskml_kit.data.block import Block, check_dense, check_finite
from daskml_kit.numerics.gaussian_components import Gaussians, MixtureSums
from daskml_kit.numerics.targets import tiles
from daskml_kit.reductions.reduction import SingleReduction
from daskml_kit.typing import Array

TILE_NUMBERS = 2**16
"""Numbers of a tile of whitened rows, of all components: they stay in the processor's cache."""
LEAST_ROWS = 128
"""Rows of a tile, of which products take the time of products, also where components are many."""


@dataclass(frozen=True, eq=False)
class Responsibilities(SingleReduction):
    """Log-likelihood of the rows, and their sums weighted by the responsibility of each component.

    Parameters
    ----------
    gaussians : Gaussians
        Their means are less the shift.
    shift : array of shape (n_features,)
        Subtracted from the rows, so that a large offset costs no digits.
    entropies : bool, default False
        Whether to sum the entropies of the responsibilities, too.

    Examples
    --------
    >>> one = Gaussians(np.ones(1), np.zeros((1, 1)), np.array([[0.5]]), "diag")
    >>> found = Responsibilities(one, np.array([9.0])).chunk(Block(np.array([[9.0], [13.0]])))
    >>> found.weights, found.sums, found.products
    (array([2.]), array([[2.]]), array([[4.]]))
    """

    gaussians: Gaussians
    shift: Array
    entropies: bool = False

    answer_type: ClassVar[type[MixtureSums]] = MixtureSums

    def chunk(self, block: Block) -> MixtureSums:
        check_dense(block)
        k, d = self.gaussians.means.shape
        size = min(max(TILE_NUMBERS // (k * (d + 1)), LEAST_ROWS), max(block.n_rows, 1))
        whiten, scales = _Whitening(self.gaussians, size), self.gaussians.log_scales()[:, None]
        columns, likelihood, entropy = np.ones((d + 1, size)), 0.0, 0.0 if self.entropies else np.nan
        weights, sums = np.zeros(k), np.zeros((k, d))
        products = np.zeros((k, *_shape_of_products(self.gaussians.kind, d)))
        with np.errstate(all="ignore"):
            for rows in tiles(block.n_rows, size):
                tile = columns[:, : rows.stop - rows.start]
                np.subtract(block.X[rows].T, self.shift[:, None], out=tile[:d])
                near = whiten(tile)
                share = np.einsum("kdn,kdn->kn", near[:, :d], near[:, :d])
                share *= -0.5
                share += scales
                top = share.max(axis=0)
                share -= top
                logarithms = share.copy() if self.entropies else None
                np.exp(share, out=share)
                total = share.sum(axis=0)
                share /= total
                likelihood += float((top + np.log(total)).sum())
                if logarithms is not None:
                    entropy += float(np.log(total).sum() - (share * logarithms).sum())
                self._add(near, share, weights, sums, products)
        if not np.isfinite(likelihood) or not np.isfinite(sums).all():
            check_finite(block)
        return MixtureSums(block.n_rows, likelihood, weights, sums, products, entropy)

    def combine(self, a: MixtureSums, b: MixtureSums) -> MixtureSums:
        likelihood = a.log_likelihood + b.log_likelihood
        sums = (a.weights + b.weights, a.sums + b.sums, a.products + b.products)
        return MixtureSums(a.n_rows + b.n_rows, likelihood, *sums, a.entropy + b.entropy)

    def _add(self, near: Array, share: Array, weights: Array, sums: Array, products: Array) -> None:
        d = sums.shape[1]
        if self.gaussians.kind == "full":
            near *= np.sqrt(share, out=share)[:, None]
            every = near @ near.transpose(0, 2, 1)  # the last of its rows is of ones: all sums are one product
            weights += every[:, d, d]
            sums += every[:, :d, d]
            products += every[:, :d, :d]
            return
        weights += share.sum(axis=1)
        sums += (near @ share[:, :, None])[:, :, 0]
        if self.gaussians.kind != "tied":
            near *= near
            products += (near @ share[:, :, None])[:, :, 0]


class _Whitening:
    """Rows, as columns, less each component's mean and in units of its covariance; "full" has a row of ones beside."""

    def __init__(self, gaussians: Gaussians, size: int) -> None:
        k, d = gaussians.means.shape
        self.gaussians, self.offsets = gaussians, gaussians.offsets()[:, :, None]
        self.near = np.empty(k * (d + 1) * size if gaussians.kind == "full" else k * d * size)
        if gaussians.kind == "full":
            every = np.zeros((k, d + 1, d + 1))
            every[:, :d, :d], every[:, :d, d:], every[:, d, d] = gaussians.factors.mT, -self.offsets, 1
            self.matrix = every.reshape(k * (d + 1), d + 1)

    def __call__(self, tile: Array) -> Array:
        n, (k, d) = tile.shape[1], self.gaussians.means.shape
        factors, kind = self.gaussians.factors, self.gaussians.kind
        if kind == "full":
            near = self.near[: k * (d + 1) * n]
            np.matmul(self.matrix, tile, out=near.reshape(k * (d + 1), n))
            return near.reshape(k, d + 1, n)
        near = self.near[: k * d * n].reshape(k, d, n)
        if kind == "tied":
            np.subtract(factors.T @ tile[:d], self.offsets, out=near)
            return near
        np.multiply(tile[:d], factors.reshape(k, -1, 1), out=near)
        near -= self.offsets
        return near


def _shape_of_products(kind: str, d: int) -> tuple[int, ...]:
    return {"full": (d, d), "tied": (0,)}.get(kind, (d,))

"""Nearest centers of rows: sums, counts and squared distances of clusters, and the farthest rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from sklearn.utils.extmath import row_norms

from daskml_kit.data.block import Block, check_finite
from daskml_kit.numerics.csr import MANY_PRODUCTS
from daskml_kit.numerics.targets import tile_rows, tiles
from daskml_kit.reductions.reduction import SingleReduction
from daskml_kit.typing import Array, Matrix

NEAR_ROWS = 2_048
"""Rows whose products with the centers are made at a time, so that they stay in the processor's cache."""


class Clusters(NamedTuple):
    """Weighted sums of the rows of each cluster, about the shift, their weights, and the sum of squared distances."""

    sums: Array
    weights: Array
    inertia: float


@dataclass(frozen=True, eq=False)
class Nearest(SingleReduction):
    """Assign each row to its nearest center.

    Parameters
    ----------
    centers : array of shape (n_clusters, n_features)
        Less the shift.
    shift : array of shape (n_features,)
        Subtracted from dense rows, so that a large offset costs no digits; zeros for sparse ones.
    """

    centers: Array
    shift: Array

    def chunk(self, block: Block) -> Clusters:
        k, d = self.centers.shape
        sums, weights, inertia = np.zeros((k, d)), np.zeros(k), 0.0
        if not sp.issparse(block.X) and block.X.size * k >= MANY_PRODUCTS:
            return self._compiled(block)
        for rows in tiles(block.n_rows, tile_rows(block.X, k)):
            tile, labels, distances = self.assign(block.X[rows])
            weight = np.ones(len(labels)) if block.weight is None else block.weight[rows]
            members = sp.csr_array((weight, (labels, np.arange(len(labels)))), shape=(k, len(labels)))
            product = members @ tile
            sums += product.toarray() if sp.issparse(product) else product
            weights += np.bincount(labels, weight, minlength=k)
            inertia += float(distances @ weight)
        if not np.isfinite(sums).all():
            check_finite(block)
        return Clusters(sums, weights, inertia)

    def _compiled(self, block: Block) -> Clusters:
        from daskml_kit.numerics import compiled  # Numba takes a second to import: only where much is to do

        k, d = self.centers.shape
        dtype = block.X.dtype if block.X.dtype == np.float32 else np.dtype(np.float64)
        shift, centers = self.shift.astype(dtype), np.ascontiguousarray(self.centers, dtype)
        sums, weights, inertia, size = np.zeros((k, d)), np.zeros(k), 0.0, min(NEAR_ROWS, block.n_rows)
        buffer, near = np.empty((size, d), dtype), np.empty((size, k), dtype)
        whole = np.ones(size) if block.weight is None else block.weight.astype(np.float64)
        for rows in tiles(block.n_rows, size):
            n = rows.stop - rows.start
            tile = np.subtract(block.X[rows], shift, out=buffer[:n])
            products = np.matmul(tile, centers.T, out=near[:n])
            weight = whole[:n] if block.weight is None else whole[rows]
            inertia += compiled.add_to_nearest(tile, products, centers, weight, sums, weights)
        if not np.isfinite(sums).all():
            check_finite(block)
        return Clusters(sums, weights, inertia)

    def combine(self, a: Clusters, b: Clusters) -> Clusters:
        return Clusters(a.sums + b.sums, a.weights + b.weights, a.inertia + b.inertia)

    def assign(self, X: Matrix) -> tuple[Matrix, Array, Array]:
        """Return rows less the shift, the position of the nearest center of each, and the squared distance to it."""
        tile = X if sp.issparse(X) else X - self.shift.astype(X.dtype, copy=False)
        centers = self.centers.astype(tile.dtype, copy=False)
        squares = np.asarray(-2 * (tile @ centers.T))
        squares += row_norms(centers, squared=True)
        labels = squares.argmin(axis=1)
        distances = squares[np.arange(len(labels)), labels] + row_norms(tile, squared=True)
        return tile, labels, np.maximum(distances, 0)


class FarRows(NamedTuple):
    """Rows less the shift, with their squared distances, clusters and weights, the farthest first."""

    rows: Array
    distances: Array
    labels: Array
    weights: Array


@dataclass(frozen=True, eq=False)
class Farthest(SingleReduction):
    """The ``n_rows`` rows that are farthest from their nearest centers.

    Parameters
    ----------
    nearest : Nearest
    n_rows : int
    """

    nearest: Nearest
    n_rows: int

    def chunk(self, block: Block) -> FarRows:
        tile, labels, distances = self.nearest.assign(block.X)
        weights = np.ones(len(labels)) if block.weight is None else block.weight
        chosen = np.argsort(-distances, kind="stable")[: self.n_rows]
        rows = tile[chosen]
        return FarRows(
            rows.toarray() if sp.issparse(rows) else rows, distances[chosen], labels[chosen], weights[chosen]
        )

    def combine(self, a: FarRows, b: FarRows) -> FarRows:
        both = [np.concatenate(pair) for pair in zip(a, b, strict=True)]
        chosen = np.argsort(-both[1], kind="stable")[: self.n_rows]
        return FarRows(*(part[chosen] for part in both))

"""Affinities of rows with landmarks: their sums, and the products of maps of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from sklearn.metrics.pairwise import pairwise_kernels

from daskml_kit.data.block import Block
from daskml_kit.numerics.targets import tile_rows, tiles
from daskml_kit.reductions.reduction import SingleReduction
from daskml_kit.typing import Array, Matrix


@dataclass(frozen=True)
class Kernel:
    """Affinity of each of some rows with each of others.

    Parameters
    ----------
    affinity : str or callable
    parameters : dict
    """

    affinity: str | Callable[..., Any]
    parameters: dict[str, Any]

    def __call__(self, X: Matrix, Y: Matrix) -> Array:
        if callable(self.affinity):
            return np.asarray(self.affinity(X, Y, **self.parameters), dtype=np.float64)
        found = pairwise_kernels(X, Y, metric=self.affinity, filter_params=True, **self.parameters)
        return np.asarray(found.toarray() if sp.issparse(found) else found, dtype=np.float64)


@dataclass(frozen=True, eq=False)
class KernelSums(SingleReduction):
    """Sum, over the rows, of the affinities with each landmark.

    Parameters
    ----------
    kernel : Kernel
    landmarks : array or CSR matrix of shape (n_landmarks, n_features)
    """

    kernel: Kernel
    landmarks: Matrix

    def chunk(self, block: Block) -> Array:
        total = np.zeros(self.landmarks.shape[0])
        for rows in tiles(block.n_rows, tile_rows(block.X, len(total))):
            total += self.kernel(block.X[rows], self.landmarks).sum(axis=0)
        return total

    def combine(self, a: Array, b: Array) -> Array:
        return a + b


@dataclass(frozen=True)
class Embedding:
    """Linear map of the affinities of rows with landmarks.

    Parameters
    ----------
    kernel : Kernel
    landmarks : array or CSR matrix of shape (n_landmarks, n_features)
    matrix : array of shape (n_landmarks, n_columns)
    """

    kernel: Kernel
    landmarks: Matrix
    matrix: Array

    def tiles(self, X: Matrix) -> Iterator[tuple[slice, Array]]:
        """Yield the mapped affinities of some rows at a time, with the rows' places."""
        for rows in tiles(X.shape[0], tile_rows(X, len(self.matrix))):
            yield rows, self.kernel(X[rows], self.landmarks) @ self.matrix

    def transform(self, X: Any) -> Array:
        """Return the mapped affinities of rows, each scaled to unit length."""
        X = X.to_numpy() if hasattr(X, "to_numpy") else X
        mapped = np.empty((X.shape[0], self.matrix.shape[1]))
        for rows, own in self.tiles(X):
            lengths = np.sqrt(np.einsum("ij,ij->i", own, own))
            mapped[rows] = own / np.where(lengths > 0, lengths, 1.0)[:, None]
        return mapped


class Degrees(NamedTuple):
    """Coefficients that give the degree of a row from its mapped affinities, and the least that it is taken to be."""

    coef: Array
    least: float


@dataclass(frozen=True, eq=False)
class NormalizedGram(SingleReduction):
    """Sum, over the rows, of the products of mapped affinities, each divided by the row's degree.

    Parameters
    ----------
    embedding : Embedding
    degrees : Degrees
    """

    embedding: Embedding
    degrees: Degrees

    def chunk(self, block: Block) -> Array:
        total = np.zeros((len(self.degrees.coef), len(self.degrees.coef)))
        for _, mapped in self.embedding.tiles(block.X):
            degree = np.maximum(mapped @ self.degrees.coef, self.degrees.least)
            total += (mapped / degree[:, None]).T @ mapped
        return total

    def combine(self, a: Array, b: Array) -> Array:
        return a + b

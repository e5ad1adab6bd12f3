"""Rows far from their nearest centers: the farthest, and samples in proportion to squared distances."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
import scipy.sparse as sp
from sklearn.utils.extmath import row_norms

from daskml_kit.data.block import Block
from daskml_kit.reductions.nearest import Nearest, assigned_tiles
from daskml_kit.reductions.reduction import SingleReduction
from daskml_kit.typing import Array, Matrix


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

    answer_type: ClassVar[type[FarRows]] = FarRows

    def chunk(self, block: Block) -> FarRows:
        found = FarRows(np.empty((0, len(self.nearest.shift))), np.empty(0), np.empty(0, int), np.empty(0))
        for tile, labels, distances, weights in assigned_tiles(self.nearest, block):
            chosen = np.argsort(-distances, kind="stable")[: self.n_rows]
            own = FarRows(_dense(tile[chosen]), distances[chosen], labels[chosen], weights[chosen])
            found = self.combine(found, own)
        return found

    def combine(self, a: FarRows, b: FarRows) -> FarRows:
        both = [np.concatenate(pair) for pair in zip(a, b, strict=True)]
        chosen = np.argsort(-both[1], kind="stable")[: self.n_rows]
        return FarRows(*(part[chosen] for part in both))


class DrawnRows(NamedTuple):
    """Rows less the shift, and the keys by which they were drawn, ascending."""

    rows: Array
    keys: Array


@dataclass(frozen=True, eq=False)
class DistanceSample(SingleReduction):
    """At most ``n_rows`` rows, drawn in proportion to their weighted squared distances from the nearest centers.

    Each row draws an exponential number, and those are taken whose number, over the squared distance, is least: a
    sample without replacement (Efraimidis and Spirakis 2006) that needs no sum of all distances first. The numbers
    depend on the seed and the row's position in the data alone. Rows that are centers are never drawn.

    Parameters
    ----------
    nearest : Nearest
    n_rows : int
    seed : tuple of int
    starts : mapping
        The number of rows before each block, by its index.
    """

    nearest: Nearest
    n_rows: int
    seed: tuple[int, ...]
    starts: Mapping[int, int]

    answer_type: ClassVar[type[DrawnRows]] = DrawnRows

    def chunk(self, block: Block) -> DrawnRows:
        draw = np.random.Generator(np.random.PCG64(self.seed).advance(self.starts.get(block.index, 0)))
        found = DrawnRows(np.empty((0, len(self.nearest.shift))), np.empty(0))
        for tile, _, distances, weights in assigned_tiles(self.nearest, block):
            chances = distances * weights
            chances[distances <= _noise(tile)] = 0
            with np.errstate(divide="ignore"):
                keys = -np.log1p(-draw.random(len(chances))) / chances  # one number a row, unlike other methods
            chosen = np.argsort(keys, kind="stable")[: self.n_rows]
            chosen = chosen[np.isfinite(keys[chosen])]
            found = self.combine(found, DrawnRows(_dense(tile[chosen]), keys[chosen]))
        return found

    def combine(self, a: DrawnRows, b: DrawnRows) -> DrawnRows:
        rows, keys = (np.concatenate(pair) for pair in zip(a, b, strict=True))
        chosen = np.argsort(keys, kind="stable")[: self.n_rows]
        return DrawnRows(rows[chosen], keys[chosen])


def _noise(tile: Matrix) -> Array:
    """Return what the rounding of numbers makes of the squared distance of a row from itself."""
    eps = 8 * np.finfo(np.float32 if tile.dtype == np.float32 else np.float64).eps
    return np.asarray((eps if sp.issparse(tile) else eps**2) * row_norms(tile, squared=True))


def _dense(rows: Matrix) -> Array:
    return np.asarray(rows.toarray() if sp.issparse(rows) else rows)

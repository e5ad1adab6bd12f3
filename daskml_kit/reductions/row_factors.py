"""Factors of the rows, which stay where the rows lie, and the sums that the factors of the features need of them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
import scipy.sparse as sp

from daskml_kit.data.block import Block, check_finite
from daskml_kit.exceptions import DataError
from daskml_kit.numerics.csr import times, transposed_times
from daskml_kit.numerics.nonnegative import (
    SMALL_START,
    Penalty,
    descend_coordinates,
    divergence,
    multiply_rows,
    numerator_of,
)
from daskml_kit.reductions.reduction import SingleReduction
from daskml_kit.typing import Array

IDLE_SECONDS = 3600.0
"""Factors that were not asked for so long are those of a fit that died, and go when the next begins."""


class RowSums(NamedTuple):
    """Sums over rows of W'X (or its counterpart for the loss), of what makes its denominator, and of violations.

    ``behind``, where it is not None, is the update that some block's W is at: its rows have moved, and nothing is known
    of them here; the sums mean nothing then.
    """

    cross: Array
    gram: Array
    violation: float = 0.0
    behind: int | None = None


class Deviation(NamedTuple):
    """The divergence of the rows from their factorization, or how far some block is ``behind``, as in `RowSums`."""

    value: float
    behind: int | None = None


class _Held(NamedTuple):
    """Factors W of a block after an update, and what its rows add to the sums."""

    version: int
    W: Array
    sums: RowSums


class _Factors:
    """Factors of the blocks that this process has seen, of one fit."""

    def __init__(self) -> None:
        self.blocks: dict[int, _Held] = {}
        self.last_use = time.monotonic()


_factors: dict[str, _Factors] = {}
NOTHING = RowSums(np.zeros((0, 0)), np.zeros((0, 0)))


def factors_of(fit: str) -> dict[int, _Held]:
    """Return the factors of the blocks that this process has, of the fit of this name."""
    if fit not in _factors:
        for name, other in list(_factors.items()):
            if time.monotonic() - other.last_use > IDLE_SECONDS:
                _factors.pop(name, None)
    held = _factors.setdefault(fit, _Factors())
    held.last_use = time.monotonic()
    return held.blocks


def release(fit: str) -> None:
    """Forget the factors of a fit."""
    _factors.pop(fit, None)


@dataclass(frozen=True, eq=False)
class Start:
    """The first W of a block: given as its targets, drawn at random, or from singular vectors.

    Parameters
    ----------
    k : int
    given : bool
    scale : array of shape (k,)
        Of the columns of W.
    maps : array of shape (n_features, k), optional
        W is the positive part of ``X @ maps``, and of its first column the absolute values.
    fill : float
        What stands for zeros there.
    noise : bool
        Whether that is the standard deviation of random values.
    seed : int
    """

    k: int
    given: bool
    scale: Array
    maps: Array | None = None
    fill: float = 0.0
    noise: bool = False
    seed: int = 0

    def rows(self, block: Block) -> Array:
        """Return W of a block."""
        if self.given:
            W = np.array(block.y, dtype=np.float64).reshape(-1, self.k)
            if W.min(initial=0) < 0:
                raise DataError(f"Negative values in data passed to W: {W.min()} in block {block.index}")
            return W
        draw = np.random.default_rng([self.seed, block.index])
        if self.maps is None:
            return np.abs(draw.standard_normal((block.n_rows, self.k))) * self.scale
        W = times(block.X, self.maps)
        W[:, 0] = np.abs(W[:, 0])
        W *= self.scale
        W[SMALL_START > W] = 0
        zeros = W == 0
        W[zeros] = np.abs(self.fill * draw.standard_normal(zeros.sum())) if self.noise else self.fill
        return W


@dataclass(frozen=True, eq=False)
class FactorStep(SingleReduction):
    """One update of W with H fixed, which each process keeps for its blocks, and the sums for the update of H.

    W after an update is a function of the block, of the start and of the H of all updates so far, so what is lost with
    a process is made anew by asking for these updates again; blocks that are further then do nothing.

    Parameters
    ----------
    fit : str
        A name that no other fit has.
    version : int
        Number of this update, from 1.
    H : array of shape (k, n_features)
    beta : float
        The loss, see `daskml_kit.numerics.nonnegative.divergence`.
    penalty : Penalty
    order : int array of shape (k,), optional
        Order of the columns in coordinate descent; by default the update is multiplicative.
    start : Start, optional
        Given with the first update.
    """

    fit: str
    version: int
    H: Array
    beta: float
    penalty: Penalty
    order: Array | None = None
    start: Start | None = None

    answer_type: ClassVar[type[RowSums]] = RowSums

    def chunk(self, block: Block) -> RowSums:
        blocks = factors_of(self.fit)
        held = blocks.get(block.index)
        if held is not None and held.version >= self.version:
            return held.sums
        at = 0 if held is None else held.version
        if at < self.version - 1:
            return NOTHING._replace(behind=at)
        if held is not None:
            W = held.W
        elif self.start is not None:
            self._check(block)
            W = self.start.rows(block)
        else:
            raise TypeError("the first update needs a start")
        W, sums = self._updated(block, W)
        blocks[block.index] = _Held(self.version, W, sums)
        return sums

    def combine(self, a: RowSums, b: RowSums) -> RowSums:
        behind = _least(a.behind, b.behind)
        if behind is not None:
            return NOTHING._replace(behind=behind)
        return RowSums(a.cross + b.cross, a.gram + b.gram, a.violation + b.violation)

    def _updated(self, block: Block, W: Array) -> tuple[Array, RowSums]:
        if self.order is None:
            W = multiply_rows(block.X, W, self.H, self.beta, self.penalty)
            return W, RowSums(*numerator_of(block.X, W, self.H, self.beta))
        W = W.copy()
        violation = descend_coordinates(W, self.H @ self.H.T, times(block.X, self.H.T), self.penalty, self.order)
        return W, RowSums(transposed_times(block.X, W).T, W.T @ W, violation)

    def _check(self, block: Block) -> None:
        check_finite(block)
        if self.beta <= 0 and block.n_rows and block.X.min() == 0:
            raise DataError(
                "When beta_loss <= 0 and X contains zeros, the solver may diverge. Please add small values to X, or "
                f"use a positive beta_loss (a zero in block {block.index})."
            )


@dataclass(frozen=True, eq=False)
class FactorError(SingleReduction):
    """The divergence of X from WH, with the W that `FactorStep` has left.

    Parameters
    ----------
    fit : str
    version : int
        The last update of W.
    H : array of shape (k, n_features)
    beta : float
    start : Start, optional
        Given where there was no update yet.
    last : bool
        Whether W is not needed any more.
    """

    fit: str
    version: int
    H: Array
    beta: float
    start: Start | None = None
    last: bool = False

    answer_type: ClassVar[type[Deviation]] = Deviation

    def chunk(self, block: Block) -> Deviation:
        if self.start is not None:
            check_finite(block)
            return Deviation(divergence(block.X, self.start.rows(block), self.H, self.beta))
        blocks = factors_of(self.fit)
        held = blocks.get(block.index)
        if held is None or held.version < self.version:
            return Deviation(0.0, 0 if held is None else held.version)
        found = Deviation(divergence(block.X, held.W, self.H, self.beta))
        if self.last:
            self._forget(blocks, block.index)
        return found

    def _forget(self, blocks: dict[int, _Held], index: int) -> None:
        """Drop the factors of a block, and of those that have moved to another process meanwhile."""
        for other in [at for at, held in list(blocks.items()) if at == index or held.version < self.version]:
            blocks.pop(other, None)
        if not blocks:
            release(self.fit)

    def combine(self, a: Deviation, b: Deviation) -> Deviation:
        return Deviation(a.value + b.value, _least(a.behind, b.behind))


class PartTotals(NamedTuple):
    """Sums of squares of positive and of negative parts, of shape (2, k), and whether a block was sparse."""

    squares: Array
    sparse: bool


@dataclass(frozen=True, eq=False)
class PartNorms(SingleReduction):
    """Sums of squares of the positive and of the negative parts of each column of X times a matrix.

    Examples
    --------
    >>> PartNorms(np.eye(2)).chunk(Block(np.array([[3.0, -1.0], [4.0, 2.0]]))).squares
    array([[25.,  4.],
           [ 0.,  1.]])
    """

    matrix: Array

    answer_type: ClassVar[type[PartTotals]] = PartTotals

    def chunk(self, block: Block) -> PartTotals:
        product = times(block.X, self.matrix)
        squares = [(np.maximum(side, 0) ** 2).sum(axis=0) for side in (product, -product)]
        return PartTotals(np.array(squares), sp.issparse(block.X))

    def combine(self, a: PartTotals, b: PartTotals) -> PartTotals:
        return PartTotals(a.squares + b.squares, a.sparse or b.sparse)


def _least(a: int | None, b: int | None) -> int | None:
    return a if b is None else b if a is None else min(a, b)

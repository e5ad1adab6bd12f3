"""Reductions about rows whose missing values models have filled in, one column after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from daskml_kit.data.block import Block
from daskml_kit.reductions.frames import Delegate
from daskml_kit.reductions.reduction import SingleReduction
from daskml_kit.typing import Array


class ImputationStep(NamedTuple):
    """Imputation of the missing values of a column by a fitted model of other columns."""

    feature: int
    neighbors: Array
    model: Any


@dataclass(frozen=True, eq=False)
class ChainedSteps:
    """First values and steps that fill the gaps of rows.

    Parameters
    ----------
    kept : int array of shape (d,)
        Columns that have values.
    first : array of shape (d,)
        What is filled in at first.
    ignored : bool array of shape (d,)
        Columns whose gaps keep the first values.
    low, high : array of shape (d,)
        Bounds of what is filled in.
    steps : sequence of ImputationStep
    """

    kept: Array
    first: Array
    ignored: Array
    low: Array
    high: Array
    steps: Sequence[ImputationStep] = ()

    def filled(self, X: Array, missing: Array) -> Iterator[Array]:
        """Yield the rows, at first and after each step: always the same array, changed in place."""
        X = X[:, self.kept]
        gone = np.isnan(X)
        X[gone] = np.broadcast_to(self.first, X.shape)[gone]
        yield X
        gaps = [np.flatnonzero(column) for column in missing.T]
        for feature, neighbors, model in self.steps:
            own = gaps[feature]
            if len(own):
                values = model.predict(X[np.ix_(own, neighbors)])
                X[own, feature] = np.clip(values, self.low[feature], self.high[feature])
            yield X

    def missing(self, X: Array) -> Array:
        """Return which values of the kept columns are imputed."""
        return np.isnan(X[:, self.kept]) & ~self.ignored


@dataclass(frozen=True, eq=False)
class OfImputed(Delegate):
    """Ask about some columns of rows with filled gaps, with another as the target, of the rows that have it.

    Parameters
    ----------
    reduction : Reduction
    chain : ChainedSteps
    columns : int array
    feature : int, optional
        The target; without it all rows are asked about.
    """

    chain: ChainedSteps
    columns: Array
    feature: int | None = None

    def view(self, block: Block) -> Block:
        X, chain = np.asarray(block.X), self.chain
        missing = chain.missing(X)
        if self.feature is not None:
            present = ~missing[:, self.feature]
            X, missing = X[present], missing[present]
        *_, rows = chain.filled(X, missing)
        y = None if self.feature is None else rows[:, self.feature]
        return Block(rows[:, self.columns], y, index=block.index)


@dataclass(frozen=True, eq=False)
class RoundChanges(SingleReduction):
    """The largest change of a row, the sum of absolute changes of its values, in each round of imputation.

    Parameters
    ----------
    chain : ChainedSteps
    n_rounds : int
        Rounds that the steps are, all of the same length.
    """

    chain: ChainedSteps
    n_rounds: int

    def chunk(self, block: Block) -> Array:
        X = np.asarray(block.X)
        missing = self.chain.missing(X)
        touched = missing.any(axis=1)
        X, missing = X[touched], missing[touched]
        changes = np.zeros(self.n_rounds)
        length = len(self.chain.steps) // self.n_rounds
        before = np.empty(0)
        for number, rows in enumerate(self.chain.filled(X, missing)):
            round_, rest = divmod(number, length)
            if rest == 0:
                if round_:
                    changes[round_ - 1] = np.abs(rows - before).sum(axis=1).max(initial=0)
                before = rows.copy()
        return changes

    def combine(self, a: Array, b: Array) -> Array:
        return np.maximum(a, b)

"""Chained imputation: patterns of missing values, and reductions about rows filled in one column after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from daskml_kit.data.block import Block, check_dense
from daskml_kit.reductions.reduction import Delegate, SingleReduction
from daskml_kit.typing import Array

MOST_BYTES = 2**26
"""Bytes of the products of all patterns, beyond which none are kept."""


class PatternMoments(NamedTuple):
    """Rows, means and products about the means of P groups of rows: (P,), (P, d) and (P, d, d)."""

    rows: Array
    mean: Array
    product: Array


class Patterns(NamedTuple):
    """Patterns of missing values in the rows.

    Parameters
    ----------
    n_rows : int
    gone : array of shape (d,)
        How many values of each column are missing.
    largest : float
        The largest absolute value.
    missing : bool array of shape (P, d)
        The patterns that occur, sorted.
    moments : PatternMoments or None
        Of the rows of each pattern, zero where a value is missing; None where the patterns are too many.
    """

    n_rows: int
    gone: Array
    largest: float
    missing: Array
    moments: PatternMoments | None


@dataclass(frozen=True, eq=False)
class MissingPatterns(SingleReduction):
    """The patterns of NaN in dense rows, with the moments of the rows of each, joined by Chan, Golub & LeVeque (1983).

    Rows of one pattern stay alike under whatever linear model fills their gaps: their moments tell those of the filled
    rows.

    Examples
    --------
    >>> found = MissingPatterns().chunk(Block(np.array([[1.0, 4.0], [3.0, np.nan], [5.0, np.nan]])))
    >>> found.missing.tolist(), found.moments.mean.tolist(), found.largest
    ([[False, False], [False, True]], [[1.0, 4.0], [4.0, 0.0]], 5.0)
    """

    def chunk(self, block: Block) -> Patterns:
        check_dense(block)
        missing = np.isnan(block.X)
        X = np.where(missing, 0, block.X).astype(np.float64, copy=False)
        own, inverse = _distinct(missing)
        known = _moments(X, inverse, len(own)) if _fits(own) else None
        return Patterns(block.n_rows, missing.sum(axis=0), float(np.abs(X).max(initial=0)), own, known)

    def combine(self, a: Patterns, b: Patterns) -> Patterns:
        missing, inverse = _distinct(np.concatenate([a.missing, b.missing]))
        joined = None
        if a.moments is not None and b.moments is not None and _fits(missing):
            parts = [
                _spread_out(part, at, len(missing))
                for part, at in zip((a.moments, b.moments), np.split(inverse, [len(a.missing)]), strict=True)
            ]
            joined = _joined(*parts)
        elif not _fits(missing):
            missing = missing[:1]  # they are not needed any more, and may be as many as rows
        return Patterns(a.n_rows + b.n_rows, a.gone + b.gone, max(a.largest, b.largest), missing, joined)


def _fits(missing: Array) -> bool:
    n_patterns, d = missing.shape
    return bool(8 * n_patterns * d**2 <= MOST_BYTES)


def _distinct(missing: Array) -> tuple[Array, Array]:
    """Return the distinct rows, sorted, and the position of each row among them."""
    packed = np.packbits(missing, axis=1)
    _, first, inverse = np.unique(packed, axis=0, return_index=True, return_inverse=True)
    return missing[first], inverse.ravel()


def _moments(X: Array, group: Array, n_groups: int) -> PatternMoments:
    """Return the moments of the rows of each group."""
    d = X.shape[1]
    rows = np.bincount(group, minlength=n_groups).astype(np.float64)
    mean, product = np.zeros((n_groups, d)), np.zeros((n_groups, d, d))
    order = np.argsort(group, kind="stable")
    for number, own in enumerate(np.split(order, np.cumsum(rows[:-1]).astype(int)) if n_groups else []):
        part = X[own]
        mean[number] = part.mean(axis=0)
        part -= mean[number]
        product[number] = part.T @ part
    return PatternMoments(rows, mean, product)


def _spread_out(part: PatternMoments, at: Array, n_groups: int) -> PatternMoments:
    """Return moments with the groups at other places, those between without rows."""
    fields = (np.zeros((n_groups, *field.shape[1:])) for field in part)
    spread = PatternMoments(*fields)
    for new, old in zip(spread, part, strict=True):
        new[at] = old
    return spread


def _joined(a: PatternMoments, b: PatternMoments) -> PatternMoments:
    rows = a.rows + b.rows
    share = b.rows / np.maximum(rows, 1)
    apart = b.mean - a.mean
    product = a.product + b.product + apart[:, :, None] * apart[:, None, :] * (a.rows * share)[:, None, None]
    return PatternMoments(rows, a.mean + apart * share[:, None], product)


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

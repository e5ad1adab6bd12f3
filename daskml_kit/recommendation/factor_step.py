"""Gradient steps of matrix factorization: row-sparse pulls and pushes of the tables of factors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse as sp

from daskml_kit.data.block import Block, check_finite
from daskml_kit.exceptions import DataError
from daskml_kit.numerics.factorization import NAMES, FactorizationLoss
from daskml_kit.numerics.row_sparse import SparseRows
from daskml_kit.parameter_server.training.minibatches import Minibatch
from daskml_kit.parameter_server.training.updates import Contribution, WorkerStep
from daskml_kit.reductions.reduction import SingleReduction
from daskml_kit.typing import Array

SIDES = ("users", "items")


class RatingCounts(NamedTuple):
    """Counts of ratings: their number and sum, the users and items that have any, and whether they are of float32."""

    n_rows: int
    total: float
    users: Array
    items: Array
    single: bool


@dataclass(frozen=True, eq=False)
class CountRatings(SingleReduction):
    """Reduction that checks all pairs and ratings, and counts them.

    Parameters
    ----------
    n_users, n_items : int, optional
        Known to be above all numbers.
    """

    answer_type: ClassVar[type[RatingCounts]] = RatingCounts
    n_users: int | None = None
    n_items: int | None = None

    def chunk(self, block: Block) -> RatingCounts:
        """Read a block.

        Raises
        ------
        DataError
            Where a number is not whole, below 0 or too large, or a rating is not a finite number.
        """
        check_finite(block)
        if block.y is None or block.y.ndim != 1 or block.y.dtype.kind not in "fiub":
            found = "none" if block.y is None else f"dtype {block.y.dtype} of shape {block.y.shape}"
            raise DataError(f"y: expected a number for each pair, got {found} in block {block.index}")
        pairs, where = whole_pairs(block.X, f"in block {block.index}"), f"in block {block.index}"
        users, items = (_present(pairs[:, i], (self.n_users, self.n_items)[i], i, where) for i in (0, 1))
        return RatingCounts(
            block.n_rows, float(block.y.sum(dtype=np.float64)), users, items, block.y.dtype == np.float32
        )

    def combine(self, a: RatingCounts, b: RatingCounts) -> RatingCounts:
        users, items = _either(a.users, b.users), _either(a.items, b.items)
        return RatingCounts(a.n_rows + b.n_rows, a.total + b.total, users, items, a.single and b.single)


def whole_pairs(X: object, where: str = "") -> Array:
    """Return pairs of numbers as integers.

    Raises
    ------
    DataError
        Where there are not two columns, or a number is not whole.
    """
    if sp.issparse(X):
        raise DataError(f"X: expected a dense array of users and items, got a sparse one {where}".rstrip())
    pairs = np.asarray(X)
    if pairs.dtype == object and isinstance(X, pd.DataFrame) and not X.isna().any(axis=None):
        pairs = X.to_numpy(np.float64)  # nullable types
    if pairs.ndim != 2 or pairs.shape[1] != 2:
        raise DataError(f"X: expected two columns, users and items, got shape {pairs.shape} {where}".rstrip())
    if pairs.dtype.kind in "iu":
        return pairs.astype(np.int64, copy=False)
    if pairs.dtype.kind != "f":
        raise DataError(f"X: expected whole numbers, got dtype {pairs.dtype} {where}".rstrip())
    numbers = pairs.astype(np.int64)
    if (numbers != pairs).any():
        wrong = pairs[numbers != pairs][0]
        raise DataError(f"X: expected whole numbers of users and items, got {wrong} {where}".rstrip())
    return numbers


def _present(numbers: Array, known: int | None, side: int, where: str) -> Array:
    low, high = (int(numbers.min()), int(numbers.max())) if len(numbers) else (0, -1)
    if low < 0 or (known is not None and high >= known):
        bound = "" if known is None else f" to {known - 1} (n_{SIDES[side]}={known})"
        got = low if low < 0 else high
        raise DataError(f"X: expected numbers of {SIDES[side]} from 0{bound}, got {got} {where}")
    present = np.zeros(high + 1 if known is None else known, bool)
    present[numbers] = True
    return present


def _either(a: Array, b: Array) -> Array:
    short, long = sorted((a, b), key=len)
    found = long.copy()
    found[: len(short)] |= short
    return found


@dataclass(frozen=True)
class RatingGradientStep(WorkerStep):
    """Gradients of the rows that minibatches touch, each the mean over its ratings in its minibatch.

    Those of several minibatches, and of virtual workers, add up: a row that only one of them touches goes a whole step.

    Parameters
    ----------
    model : FactorizationLoss
    biases : bool
    """

    model: FactorizationLoss
    biases: bool
    row_sparse = True

    def required_rows(self, batches: list[Minibatch]) -> Mapping[str, Array]:
        """Return the users and items of minibatches, by the names of their tables."""
        sides = [np.unique(np.concatenate([whole_pairs(b.X)[:, side] for b in batches])) for side in (0, 1)]
        return {name: sides[i % 2] for i, name in enumerate(NAMES) if i < 2 or self.biases}

    def compute(self, params: dict[str, Array], batches: Iterable[Minibatch]) -> Contribution:
        """Return the contribution of minibatches at the rows that they need."""
        batches = list(batches)
        rows = self.required_rows(batches)
        found: dict[str, list[SparseRows]] = {name: [] for name in rows}
        loss, n_rows = 0.0, 0
        for batch in batches:
            pairs = whole_pairs(batch.X)
            places = [np.searchsorted(rows[name], pairs[:, i]) for i, name in enumerate(NAMES[:2])]
            value, grads = self.model(params, np.column_stack(places), np.asarray(batch.y))
            for name, grad in grads.items():
                found[name].append(SparseRows(rows[name][grad.rows], grad.values))
            loss, n_rows = loss + value * batch.n_rows, n_rows + batch.n_rows
        arrays = {
            name: SparseRows(*(np.concatenate(part) for part in zip(*own, strict=True))) for name, own in found.items()
        }
        return Contribution(loss / max(n_rows, 1), float(n_rows), n_rows, arrays)

    def loss(self, params: dict[str, Array], batch: Minibatch) -> float:
        return self.model(params, whole_pairs(batch.X), np.asarray(batch.y))[0]

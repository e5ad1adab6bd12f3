"""Moments of a target in each category of each feature, and each fold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from daskml_kit.data.block import Block
from daskml_kit.reductions.moments import joined
from daskml_kit.reductions.reduction import SingleReduction
from daskml_kit.typing import Array


class GroupMoments(NamedTuple):
    """Rows of groups, and for each target the mean and the sum of squares about it; groups along the first axis."""

    count: Array  # type: ignore[assignment]  # a tuple has a method of this name, which nothing here calls
    mean: Array
    squares: Array

    def joined(self, other: GroupMoments) -> GroupMoments:
        """Return the moments of the rows of both."""
        mean, squares = joined(
            (self.count[..., None], self.mean, self.squares), (other.count[..., None], other.mean, other.squares)
        )
        return GroupMoments(self.count + other.count, mean, squares)


@dataclass(frozen=True, eq=False)
class CategoryTargets(SingleReduction):
    """Moments of the targets for each category of each feature in each fold, those of all rows of a fold last.

    The rows are codes of categories, -1 for none, and in the last column the number of a fold.

    Parameters
    ----------
    n_categories : tuple of int
        Of each feature.
    n_folds : int
    labels : array, optional
        Where given, there is a target of zeros and ones for each of these values.

    Examples
    --------
    >>> rows, y = np.array([[0, 0], [1, 0], [1, 0]]), np.array([2.0, 3.0, 5.0])
    >>> [moments.mean.ravel().tolist() for moments in CategoryTargets((2,), 1).chunk(Block(rows, y))]
    [[2.0, 4.0], [3.3333333333333335]]
    """

    n_categories: tuple[int, ...]
    n_folds: int
    labels: Any = None

    def chunk(self, block: Block) -> list[GroupMoments]:
        codes = np.asarray(block.X).astype(np.intp)
        y = np.asarray(block.y)
        targets = y.astype(np.float64)[:, None] if self.labels is None else (y[:, None] == self.labels) * 1.0
        fold = codes[:, -1]
        widths = zip(codes[:, :-1].T, self.n_categories, strict=True)
        parts = [self._groups(own, fold, width, targets) for own, width in widths]
        return [*parts, self._groups(np.zeros_like(fold), fold, 1, targets)]

    def combine(self, a: list[GroupMoments], b: list[GroupMoments]) -> list[GroupMoments]:
        return [x.joined(y) for x, y in zip(a, b, strict=True)]

    def _groups(self, codes: Array, fold: Array, width: int, targets: Array) -> GroupMoments:
        known = codes >= 0
        place, n_groups = (fold * width + codes)[known], self.n_folds * width
        count = np.bincount(place, minlength=n_groups).astype(np.float64)
        mean, squares = np.zeros((2, n_groups, targets.shape[1]))
        for at, target in enumerate(targets[known].T):
            total = np.bincount(place, target, minlength=n_groups)
            mean[:, at] = np.divide(total, count, out=np.zeros(n_groups), where=count > 0)
            squares[:, at] = np.bincount(place, (target - mean[place, at]) ** 2, minlength=n_groups)
        return GroupMoments(
            count.reshape(self.n_folds, width),
            mean.reshape(self.n_folds, width, -1),
            squares.reshape(self.n_folds, width, -1),
        )

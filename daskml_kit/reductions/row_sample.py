"""Sample of rows without replacement, each as likely as any other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from daskml_kit.data.block import Block
from daskml_kit.reductions.frames import join_rows, rows_of
from daskml_kit.reductions.reduction import SingleReduction
from daskml_kit.typing import Array

DEVIATIONS = 6.0
"""Standard deviations of the number of ranks below a bound that are allowed for."""


class SampledRows(NamedTuple):
    """Sampled rows in the order of the data, their targets and weights if any, and the number of all rows."""

    rank: Array
    X: Any
    y: Array | None
    weight: Array | None
    n_rows: int

    @property
    def complete(self) -> bool:
        """Return whether these are all rows."""
        return len(self.rank) == self.n_rows


@dataclass(frozen=True, eq=False)
class RowSample(SingleReduction):
    """A sample of ``n_rows`` rows; all rows, where there are no more. Of wide rows fewer, if they hold ``n_values``.

    Each row draws a number, by the number of its block and its place there, and those with the smallest are kept: so
    the sample depends on the blocks and the seed alone.

    Examples
    --------
    >>> sample = RowSample(2, seed=0).chunk(Block(np.arange(8.0).reshape(4, 2)))
    >>> sample.X.shape, sample.n_rows
    ((2, 2), 4)
    """

    n_rows: int
    seed: int = 0
    n_values: int | None = None

    answer_type: ClassVar[type[SampledRows]] = SampledRows

    def chunk(self, block: Block) -> SampledRows:
        rank = np.random.default_rng((self.seed, block.index)).random(block.n_rows)
        kept = self._kept(rank, block.X.shape[1])
        some = rows_of(block, kept)
        return SampledRows(rank[kept], some.X, some.y, some.weight, block.n_rows)

    def combine(self, a: SampledRows, b: SampledRows) -> SampledRows:
        rank, n_rows = np.concatenate([a.rank, b.rank]), a.n_rows + b.n_rows
        kept = self._kept(rank, a.X.shape[1])
        cut = np.searchsorted(kept, len(a.rank))
        X = join_rows(a.X[kept[:cut]], b.X[kept[cut:] - len(a.rank)])
        y, weight = (_joined(one, other, kept) for one, other in ((a.y, b.y), (a.weight, b.weight)))
        return SampledRows(rank[kept], X, y, weight, n_rows)

    def _kept(self, rank: Array, width: int) -> Array:
        most = self.n_rows if self.n_values is None else min(self.n_rows, max(self.n_values // width, 1))
        return least(rank, most)


def _joined(one: Array | None, other: Array | None, kept: Array) -> Array | None:
    return None if one is None or other is None else np.concatenate([one, other])[kept]


def least(ranks: Array, most: int) -> Array:
    """Return the positions of the ``most`` smallest random ranks, in their order; all, where they are no more.

    Examples
    --------
    >>> least(np.array([0.5, 0.1, 0.9, 0.2]), 2)
    array([1, 3])
    """
    if len(ranks) <= most:
        return np.arange(len(ranks))
    bound = (most + DEVIATIONS * np.sqrt(most) + DEVIATIONS**2) / len(ranks)  # below it there are almost surely more
    near: Array = np.flatnonzero(ranks < bound)  # which takes a tenth of the time of a partition of all
    if len(near) <= most:
        near = np.arange(len(ranks))
    own = ranks[near]
    kept: Array = near[own < np.partition(own, most)[most]]  # of equal ranks one may go
    return kept

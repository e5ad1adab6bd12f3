"""Which blocks are visited next: each once an epoch, those that lie on the trainer's worker first."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import numpy as np

from daskml_kit.numerics.permutation import key_of

BLOCKS_DRAWN = 2
"""What an order of blocks is drawn for, beside those of rows."""


class Visit(NamedTuple):
    """Blocks to visit in an epoch."""

    epoch: int
    blocks: tuple[int, ...]


class Agenda:
    """The visits of all epochs, handed out piece by piece, larger pieces first (guided self-scheduling).

    Parameters
    ----------
    n_blocks, epochs, seed : int
    first_epoch : int

    Examples
    --------
    >>> agenda = Agenda(4, epochs=1, seed=0)
    >>> sorted(agenda.take({2, 3}, n_trainers=1).blocks)
    [2, 3]
    >>> agenda.take({2}, n_trainers=1).epoch
    0
    """

    def __init__(self, n_blocks: int, epochs: int, seed: int, first_epoch: int = 0) -> None:
        self.n_blocks, self.seed, self.epochs = n_blocks, seed, epochs
        self._epoch = first_epoch
        self._left = self._drawn()

    def take(self, near: Collection[int], n_trainers: int) -> Visit | None:
        """Return the next blocks for one of so many trainers, which has those ``near``; None where all are taken."""
        while not self._left:
            self._epoch += 1
            if self._epoch >= self.epochs:
                return None
            self._left = self._drawn()
        wanted = -(-len(self._left) // (2 * n_trainers))
        own = [block for block in self._left if block in near] or self._left
        taken = tuple(own[:wanted])
        self._left = [block for block in self._left if block not in taken]
        return Visit(self._epoch, taken)

    def stop(self) -> None:
        """Hand out nothing more."""
        self._left, self._epoch = [], self.epochs

    def _drawn(self) -> list[int]:
        if self._epoch >= self.epochs:
            return []
        rng = np.random.default_rng(key_of(self.seed, BLOCKS_DRAWN, self._epoch))
        return [int(block) for block in rng.permutation(self.n_blocks)]

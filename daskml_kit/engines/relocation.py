"""Moves of persisted blocks that pay: to this process, or to the workers of their neighbors in the tree.

Nobody knows before a fit how many passes it makes. So blocks are moved once the passes without that have cost as much
as it takes: a fit then costs at most about twice as much as by the better choice from its start (Karlin et al. 1994).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from dask.sizeof import sizeof

from daskml_kit.data.block import Block
from daskml_kit.data.shards import Shard
from daskml_kit.reductions.reduction import Node, SingleReduction, reduce_nodes

FETCH_RATE = 500e6
"""Bytes a second that come from a cluster, until the first block has told."""


class Fetching:
    """Decision to fetch the blocks: once the passes on the cluster have lost as much time as it takes to fetch them.

    A pass loses what it takes longer than this process would compute by itself: the way of coefficients, of tasks and
    of partial answers.

    Parameters
    ----------
    n_bytes : float
        Size of the blocks.
    n_threads : int
        Threads of this process.

    Examples
    --------
    >>> fetching = Fetching(n_bytes=30e6, n_threads=2)
    >>> for _ in range(3): fetching.count(seconds=0.06, computing=0.04)
    >>> fetching.pays
    True
    """

    def __init__(self, n_bytes: float, n_threads: int) -> None:
        self.n_bytes, self.n_threads = n_bytes, n_threads
        self.lost, self._rate, self._is_first = 0.0, FETCH_RATE, True

    def count(self, seconds: float, computing: float) -> None:
        """Count a pass that took so many seconds, in which the workers' threads computed so many together."""
        if not self._is_first:  # in which workers load modules
            self.lost = max(self.lost + seconds - computing / self.n_threads, 0.0)
        self._is_first = False

    def measure(self, n_bytes: float, seconds: float) -> None:
        """Take the time in which so many bytes have come."""
        if n_bytes:
            self._rate = n_bytes / max(seconds, 1e-9)

    def told(self, n_passes: int) -> str:
        """Return what a user is told of the blocks fetched after so many passes."""
        return (
            f"from pass {n_passes + 1} in threads of this process, which fetched {self.n_bytes / 1e6:.3g} MB of X as "
            f"{n_passes} passes had waited {self.lost:.2g} s for messages"
        )

    @property
    def pays(self) -> bool:
        """True once it is time to fetch the blocks."""
        return self.lost > self.n_bytes / self._rate


class Scattered(NamedTuple):
    """Partial answers of blocks whose neighbors lie on other workers, which combine behind their way to the client.

    Parameters
    ----------
    excess : int, default 0
        Partial answers of a pass that would combine on the workers, if each of these had a run of blocks.
    to_move : float, default 0.0
        Bytes of the blocks that would have to be moved for that.
    sent : float, default 0.0
        Bytes of such partial answers so far.
    in_runs : bool, default False
        Whether the blocks are shared out in runs.
    """

    excess: int = 0
    to_move: float = 0.0
    sent: float = 0.0
    in_runs: bool = False

    @property
    def pays(self) -> bool:
        """True once it is time to move the blocks."""
        return self.sent > self.to_move and self.excess > 0 and not self.in_runs

    def after(self, partial: Any) -> Scattered:
        """Return what is known after another pass, of which this is a partial answer."""
        return self._replace(sent=self.sent + self.excess * sizeof(partial)) if self.excess > 0 else self


class _Count(SingleReduction):
    """The number of blocks below a node."""

    def chunk(self, block: Block) -> int:
        return 1

    def combine(self, a: int, b: int) -> int:
        return a + b


def count_nodes(shards: Sequence[Shard], n_blocks: int) -> int:
    """Return how many partial answers the shards give: each as many as it has largest subtrees.

    Examples
    --------
    >>> count_nodes([Shard("a", [0, 1, 3]), Shard("b", [2])], 4)
    3
    """
    leaves = [[Node(0, position, 1) for position in shard.positions] for shard in shards]
    return sum(len(reduce_nodes(_Count(), nodes, n_blocks)) for nodes in leaves)


def travels_alike(block: Block) -> bool:
    """Return whether a block lies elsewhere as it does here: other strides, which sending changes, may round otherwise.

    Examples
    --------
    >>> travels_alike(Block(np.ones((4, 3)))), travels_alike(Block(np.ones((4, 3))[:, :2]))
    (True, False)
    """
    parts = [part for part in (block.X, block.y, block.weight, block.fold) if part is not None]
    return all(sp.issparse(part) or (isinstance(part, np.ndarray) and bool(part.flags.forc)) for part in parts)

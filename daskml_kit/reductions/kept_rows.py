"""Store of what a process keeps of the blocks' rows between the passes of a fit."""

from __future__ import annotations

import threading
import time
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, Protocol

import scipy.sparse as sp

from daskml_kit.data.block import Block
from daskml_kit.reductions.reduction import SingleReduction
from daskml_kit.typing import Array, Matrix

KEPT_BYTES = 2**28
"""Bytes that a process keeps for all fits; what comes then is not kept."""
IDLE_SECONDS = 600.0
"""What was not asked for so long is of a fit that failed elsewhere, and makes room."""


class Kept(Protocol):
    """Protocol of all that is kept of a part of a block."""

    used: float

    @property
    def n_bytes(self) -> int: ...


@dataclass
class BranchRows:
    """Positions of the rows of a block that bisections lead to."""

    positions: Array
    used: float = 0.0

    @property
    def n_bytes(self) -> int:
        return int(self.positions.nbytes)


@dataclass
class ShownRows:
    """Rows of a block as a view shows them."""

    X: Matrix
    used: float = 0.0

    @property
    def n_bytes(self) -> int:
        X: Any = self.X
        arrays = (X.data, X.indices, X.indptr) if sp.issparse(X) else (X,)
        return sum(array.nbytes for array in arrays)


class _Kept:
    """Store of what a process keeps of the blocks' rows for all its fits, and the bytes of that."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, Any], Any] = {}
        self.n_bytes = 0
        self.lock = threading.Lock()

    def pop(self, key: tuple[str, Hashable]) -> Any:
        found = self.rows.pop(key, None)
        self.n_bytes -= 0 if found is None else found.n_bytes
        return found


_kept = _Kept()


def take(fit: str, part: Hashable) -> Any:
    """Return what is kept for a part of a block, and keep it no more: nobody else changes it meanwhile."""
    with _kept.lock:
        return _kept.pop((fit, part))


def keep(fit: str, part: Hashable, rows: Kept, room: float = 0.0) -> None:
    """Keep what is known of a part of a block, if there is room: so many bytes more than `KEPT_BYTES`."""
    rows.used = time.monotonic()
    with _kept.lock:
        _kept.pop((fit, part))  # where two workers of a process did the same
        if _kept.n_bytes + rows.n_bytes > KEPT_BYTES + room:
            for key in [key for key, each in _kept.rows.items() if rows.used - each.used > IDLE_SECONDS]:
                _kept.pop(key)
        if _kept.n_bytes + rows.n_bytes <= KEPT_BYTES + room:
            _kept.rows[fit, part] = rows
            _kept.n_bytes += rows.n_bytes


def forget(fit: str | None, index: int | None = None) -> None:
    """Forget what this process keeps for a fit, or only of the block with an index, which parts begin with."""
    with _kept.lock:
        for key in [key for key in _kept.rows if key[0] == fit and index in (None, key[1][0])]:
            _kept.pop(key)


@dataclass(frozen=True, eq=False)
class Forget(SingleReduction):
    """Forget all that the processes which have the blocks keep for a fit, also of blocks that others have now."""

    fit: str

    def chunk(self, block: Block) -> None:
        forget(self.fit)

    def combine(self, a: None, b: None) -> None:
        return None

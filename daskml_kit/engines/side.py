"""The rows that some of the fits of a cross-validation see, and the engine that they see them by."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from daskml_kit.engines.profile import Profile
from daskml_kit.reductions.loss import LossAt, Within
from daskml_kit.reductions.reduction import Reduction


class Side(NamedTuple):
    """The rows whose id, in column ``column`` of the blocks' folds, is one of ``ids``; of ``n_ids`` in all."""

    column: int
    ids: tuple[int, ...]
    n_ids: int


class SideEngine(AbstractContextManager["SideEngine"]):
    """The engine that a fit on one side sees.

    Parameters
    ----------
    ask : callable
        Has a reduction answered for the side.
    n_blocks : int
    known : dict
        Where problems of this kind have ended before, by their key: a fit may start there, and leaves where it ended.
    shared : dict
        What fits on this side have in common.
    """

    def __init__(
        self,
        ask: Callable[[Reduction], Any],
        n_blocks: int,
        known: dict[Hashable, Any],
        shared: dict[Hashable, Any],
    ) -> None:
        self._ask = ask
        self.n_blocks = n_blocks
        self.known = known
        self.shared = shared
        self.profile = Profile()

    def answer(self, reduction: Reduction) -> list[Any]:
        answers: list[Any] = self._ask(reduction)
        self.profile.passes += 1  # no pass of its own: whoever watches is not told
        return answers

    def relabel(self, change: Callable[[Any], Any]) -> None:
        raise TypeError("the targets of a fit on a part of the rows cannot be changed: encode them before")

    def __exit__(self, *details: object) -> None:
        self.profile.stop()


def within(reduction: LossAt, side: Side | None) -> LossAt:
    """Return the reduction, asked of the rows of a side."""
    if side is None:
        return reduction
    return replace(
        reduction, within=Within(np.full(len(reduction.coef), side.column), (side.ids,) * len(reduction.coef))
    )

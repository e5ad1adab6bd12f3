"""Alternating updates of two nonnegative factors, a pass an iteration: those of the rows stay beside the rows."""

from __future__ import annotations

import uuid
from collections.abc import Generator
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from daskml_kit.activity import note_loss
from daskml_kit.numerics.nonnegative import Numerator, Penalty, descend_coordinates, multiply_components
from daskml_kit.reductions.row_factors import Deviation, FactorError, FactorStep, RowSums, Start, release
from daskml_kit.typing import Array

HISTORY_BYTES = 2**28
"""Bytes of earlier H that are kept to make lost W again; where these do not reach back, updates begin anew."""
CHECKED = 10
"""Multiplicative updates after which the error is looked at."""


class Factorization(NamedTuple):
    """End of the updates: H, the divergence of X from WH, iterations, and whether they converged."""

    H: Array
    error: float
    n_iter: int
    converged: bool


@dataclass(frozen=True)
class Setting:
    """Objective of the updates, and how they minimize it.

    Parameters
    ----------
    descent : bool
        Whether by coordinate descent, else by multiplicative updates.
    beta : float
    penalty_W, penalty_H : Penalty
    tol : float
    max_iter : int
    shuffle : bool
        Whether the order of the coordinates is drawn anew each time.
    """

    descent: bool
    beta: float
    penalty_W: Penalty
    penalty_H: Penalty
    tol: float
    max_iter: int
    shuffle: bool


class LostRowsError(Exception):
    """W of some rows is lost, and cannot be made of the updates that are kept."""


def alternate(
    H: Array, start: Start, setting: Setting, draw: np.random.RandomState
) -> Generator[Any, Any, Factorization]:
    """Update W and H in turn from the given start, until they have converged, as scikit-learn does.

    A worker that is lost takes its W along: these are made anew by the updates so far, of its blocks alone.
    """
    while True:
        rows = RowUpdates(start)
        try:
            return (yield from _updates(H, rows, setting, deepcopy(draw)))
        except LostRowsError:
            continue
        finally:
            release(rows.fit)


class RowUpdates:
    """W of all rows, by the updates that lead to it.

    Parameters
    ----------
    start : Start
    """

    def __init__(self, start: Start) -> None:
        self.fit, self.start = uuid.uuid4().hex, start
        self.steps: list[FactorStep] = []
        self.version = 0

    def update(self, setting: Setting, H: Array, order: Array | None) -> Generator[Any, Any, RowSums]:
        """Update W; return the sums for H."""
        start = None if self.version else self.start
        step = FactorStep(self.fit, self.version + 1, H, setting.beta, setting.penalty_W, order, start)
        found: RowSums = yield from self._caught_up(step)
        self.steps.append(step)
        self.version += 1
        if self.version * H.nbytes > HISTORY_BYTES:
            self.steps.clear()
        return found

    def error(self, setting: Setting, H: Array, *, last: bool = False) -> Generator[Any, Any, float]:
        """Return the divergence of X from WH."""
        start = None if self.version else self.start
        found: Deviation = yield from self._caught_up(FactorError(self.fit, self.version, H, setting.beta, start, last))
        return max(found.value, 0.0)

    def _caught_up(self, reduction: Any) -> Generator[Any, Any, Any]:
        """Ask, and where rows are behind, make their updates again and ask once more."""
        found = yield reduction
        while found.behind is not None:
            if len(self.steps) < self.version:
                raise LostRowsError
            for step in self.steps[found.behind :]:
                yield replace(step)
            found = yield reduction
        return found


def _updates(
    H: Array, rows: RowUpdates, setting: Setting, draw: np.random.RandomState
) -> Generator[Any, Any, Factorization]:
    update = _descent(H, rows, setting, draw) if setting.descent else _multiplication(H, rows, setting)
    H, n_iter, converged = yield from update
    error = yield from rows.error(setting, H, last=True)
    return Factorization(H, error, n_iter, converged)


def _descent(
    H: Array, rows: RowUpdates, setting: Setting, draw: np.random.RandomState
) -> Generator[Any, Any, tuple[Array, int, bool]]:
    """Update by coordinate descent until the projected gradients are ``tol`` of those of the first iteration."""
    columns, k, first = np.array(H.T, order="C", dtype=np.float64), len(H), 0.0
    for n_iter in range(1, setting.max_iter + 1):
        orders = [draw.permutation(k) if setting.shuffle else np.arange(k) for _ in range(2)]
        found = yield from rows.update(setting, columns.T.copy(), orders[0])
        violation = descend_coordinates(columns, found.gram, found.cross.T, setting.penalty_H, orders[1])
        violation += found.violation
        note_loss(violation, "projected gradients")
        first = violation if n_iter == 1 else first
        if violation <= setting.tol * first:
            return columns.T.copy(), n_iter, True
    return columns.T.copy(), setting.max_iter, False


def _multiplication(H: Array, rows: RowUpdates, setting: Setting) -> Generator[Any, Any, tuple[Array, int, bool]]:
    """Update by multiplication until ten updates lessen the error by less than ``tol`` of the first error."""
    H, first, before = H.astype(np.float64), 0.0, 0.0
    if setting.tol > 0:
        first = before = np.sqrt(2 * (yield from rows.error(setting, H)))
    for n_iter in range(1, setting.max_iter + 1):
        found = yield from rows.update(setting, H, None)
        H = multiply_components(H, Numerator(found.cross, found.gram), setting.beta, setting.penalty_H)
        if setting.tol > 0 and n_iter % CHECKED == 0:
            error = np.sqrt(2 * (yield from rows.error(setting, H)))
            note_loss(error, "root of twice the divergence")
            if before - error < setting.tol * first:
                return H, n_iter, True
            before = error
    return H, setting.max_iter, False

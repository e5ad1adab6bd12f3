"""What is watched over the epochs of a training: when it ends, and when the rate of learning changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from daskml_kit.neural_network.held_out import Judged
from daskml_kit.parameter_server.training.history import History
from daskml_kit.typing import Array

LEAST_RATE = 1e-6
"""An adaptive rate at or below this ends the training, as in scikit-learn."""

Judge = Callable[[dict[str, Array]], Judged]
"""Scores parameters on the rows held out."""


@dataclass
class Progress:
    """The losses so far, and scikit-learn's rules of stopping.

    Parameters
    ----------
    model : perceptron
        Whose parameters say when to stop.
    rate : float
        The rate of learning of the epochs to come.
    judge : callable, optional
        Where rows are held out.
    losses, scores, best_loss, seen : what earlier fits left, where this one goes on from them
    """

    model: Any
    rate: float
    judge: Judge | None = None
    losses: list[float] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    best_loss: float = np.inf
    seen: int = 0
    best_score: float = -np.inf
    best: dict[str, Array] | None = None
    epochs: int = 0
    stopped: bool = False
    """Whether it ended because it became no better."""
    _bad: int = 0

    def goes_on(self, history: History, params: dict[str, Array]) -> bool:
        """Take note of an epoch; return whether the next has the same rate, and there is one."""
        self.epochs += 1
        self.seen += history.epochs[-1].n_rows
        self.losses.append(float(history.epochs[-1].loss))
        is_better = self._scored(params) if self.judge else self._loss_fell()
        self._bad = 0 if is_better else self._bad + 1
        before = self.rate
        if self.model.learning_rate == "invscaling":
            self.rate = self.model.learning_rate_init / (self.seen + 1) ** self.model.power_t
        if self._bad > self.model.n_iter_no_change:
            self._bad = 0
            self.stopped = self.model.learning_rate != "adaptive" or self.rate <= LEAST_RATE
            self.rate /= 1 if self.stopped else 5
        goes_on: bool = not self.stopped and self.rate == before
        return goes_on

    def _loss_fell(self) -> bool:
        fell: bool = self.losses[-1] <= self.best_loss - self.model.tol
        self.best_loss = min(self.best_loss, self.losses[-1])
        return fell

    def _scored(self, params: dict[str, Array]) -> bool:
        score, n_rows = self.judge(params) if self.judge else Judged(np.nan, 0)
        if n_rows < 2:
            raise ValueError(
                "The validation set is too small. Increase 'validation_fraction' or the size of your dataset: a share "
                f"of each block is held out, {n_rows} rows in all"
            )
        self.scores.append(score)
        rose: bool = not score < self.best_score + self.model.tol
        if score > self.best_score:
            self.best_score, self.best = score, {name: array.copy() for name, array in params.items()}
        return rose

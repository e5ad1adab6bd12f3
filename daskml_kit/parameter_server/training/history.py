"""What a training was like: losses, pace, staleness, and where trainers waited."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from daskml_kit.parameter_server.training.worker_loop import Leg, Report


def plot_history(history: History) -> Any:
    """Draw what `History.plot` says."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("History.plot needs matplotlib: pip install 'daskml_kit[plot]'") from error
    figure = Figure(figsize=(11, 6.5), layout="constrained")
    axes = figure.subplots(2, 2)
    _losses(axes[0, 0], history, [epoch.seconds for epoch in history.epochs], "seconds")
    _losses(axes[0, 1], history, list(np.cumsum([epoch.pushes for epoch in history.epochs])), "pushes")
    lags = sorted(history.lags)
    axes[1, 0].bar(range(len(lags)), [history.lags[lag] for lag in lags], tick_label=[str(lag) for lag in lags])
    axes[1, 0].set(xlabel="updates missed by the parameters of a push", ylabel="pushes", title="staleness")
    workers = sorted(history.idle)
    axes[1, 1].barh(workers, [100 * history.idle[worker] for worker in workers])
    axes[1, 1].set(xlabel="% of the time", xlim=(0, 100), title="workers waiting")
    return figure


def _losses(axes: Any, history: History, places: list[Any], label: str) -> None:
    axes.plot(places, [epoch.loss for epoch in history.epochs], "o-", label="training, as it went")
    held = [epoch.validation_loss for epoch in history.epochs]
    if np.isfinite(held).any():
        axes.plot(places, held, "s-", label="held out")
    axes.set(xlabel=label, ylabel="loss")
    axes.legend()


class Epoch(NamedTuple):
    """One epoch, when it had ended.

    Parameters
    ----------
    epoch : int
    loss : float
        The mean over the rows of the epoch, each at the parameters that it was visited with.
    validation_loss : float
        Of the rows held out, at the parameters of the end; NaN where there are none.
    seconds : float
        Since the training began.
    n_rows, pushes : int
    """

    epoch: int
    loss: float
    validation_loss: float
    seconds: float
    n_rows: int
    pushes: int


class Moment(NamedTuple):
    """The mean loss of the rows of one leg, and how long after the beginning it ended."""

    seconds: float
    epoch: int
    loss: float
    n_rows: int
    pushes: int
    worker: str


@dataclass
class History:
    """The course of a training.

    Attributes
    ----------
    epochs : list of Epoch
    moments : list of Moment
        A finer record: of each leg of a trainer.
    lags : Counter
        How many pushes were computed with parameters that had missed so many updates.
    idle : dict
        The share of its time that each worker waited, from 0 to 1.
    skipped, late, losses : int
        Gradients left out for a NaN; pieces that came too late; servers that were lost, whose replica took over.
    """

    epochs: list[Epoch] = field(default_factory=list)
    moments: list[Moment] = field(default_factory=list)
    lags: Counter[int] = field(default_factory=Counter)
    skipped: int = 0
    late: int = 0
    losses: int = 0
    started: float = field(default_factory=time.monotonic)
    _busy: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    _waited: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    _sums: dict[int, Report] = field(default_factory=lambda: defaultdict(Report))

    @property
    def idle(self) -> dict[str, float]:
        total = {worker: self._busy[worker] + self._waited[worker] for worker in self._busy}
        return {worker: self._waited[worker] / seconds if seconds else 0.0 for worker, seconds in total.items()}

    @property
    def seconds(self) -> float:
        """How long the training took up to the end of its last epoch."""
        return self.epochs[-1].seconds if self.epochs else 0.0

    @property
    def throughput(self) -> float:
        """Rows a second."""
        return sum(epoch.n_rows for epoch in self.epochs) / self.seconds if self.seconds else 0.0

    def add(self, leg: Leg, report: Report) -> None:
        """Count what a trainer did."""
        seconds = time.monotonic() - self.started
        self._busy[report.worker] += report.computing
        self._waited[report.worker] += report.waiting
        self.skipped += report.skipped
        before = self._sums[leg.epoch]
        self._sums[leg.epoch] = before._replace(
            loss=before.loss + report.loss,
            weight=before.weight + report.weight,
            n_rows=before.n_rows + report.n_rows,
            pushes=before.pushes + report.pushes,
            lanes=before.lanes + report.lanes,
        )
        if report.weight:
            mean = report.loss / report.weight
            self.moments.append(Moment(seconds, leg.epoch, mean, report.n_rows, report.pushes, report.worker))

    def end(self, epoch: int, validation_loss: float) -> Epoch:
        """Close an epoch."""
        sums = self._sums.pop(epoch)
        if sums.lanes:  # one by one in their order: it must not show in the bits which trainer had which
            lanes = sorted(sums.lanes)
            sums = sums._replace(loss=sum(lane.loss for lane in lanes), weight=sum(lane.weight for lane in lanes))
        loss = sums.loss / sums.weight if sums.weight else float("nan")
        seconds = time.monotonic() - self.started
        self.epochs.append(Epoch(epoch, loss, validation_loss, seconds, sums.n_rows, sums.pushes))
        return self.epochs[-1]

    def plot(self) -> Any:
        """Draw the loss against seconds and pushes, the staleness of pushes, and the workers' idle shares.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        ImportError
            Without matplotlib: ``pip install "daskml_kit[plot]"``.
        """
        return plot_history(self)

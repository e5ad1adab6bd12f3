"""History of a training: losses, pace, staleness of pushes, and idle time of workers."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from daskml_kit.parameter_server.protocol import LossSums
from daskml_kit.parameter_server.training.worker_loop import Assignment, WorkerReport
from daskml_kit.representation import as_html, as_line, short


class EpochRecord(NamedTuple):
    """Record of one epoch.

    Parameters
    ----------
    epoch : int
    loss : float
        The mean over the rows of the epoch, each at the parameters that it was visited with.
    validation_loss : float
        Mean loss of the validation rows at the end of the epoch; NaN where there are none.
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


class AssignmentRecord(NamedTuple):
    """Record of one assignment of blocks: its mean loss, the Dask worker, and when it ended."""

    seconds: float
    epoch: int
    loss: float
    n_rows: int
    pushes: int
    worker: str


@dataclass(repr=False)
class History:
    """History of a training, which `train` returns and estimators keep as ``history_``.

    Parameters
    ----------
    epochs : list of EpochRecord
        Loss, validation loss, seconds, rows and pushes of each epoch.
    assignments : list of AssignmentRecord
        A finer record: of each assignment of blocks to a worker.
    staleness_counts : Counter
        Number of pushes by their staleness, the updates that the parameters they were computed with had missed.
    skipped : int
        Gradients left out for a NaN or an infinity.
    late : int
        Contributions of stragglers that came after their step had gone on without them.
    failovers : int
        Servers that were lost, whose replica took over.
    started : float
        When the training began, by the monotonic clock.

    See Also
    --------
    train : Returns one.

    Examples
    --------
    >>> from daskml_kit.linear_model import SGDClassifier
    >>> X = np.random.default_rng(0).normal(size=(500, 2))
    >>> model = SGDClassifier(max_iter=3, tol=None, random_state=0).fit(X, X[:, 0] > 0)
    >>> [epoch.n_rows for epoch in model.history_.epochs]
    [500, 500, 500]
    """

    epochs: list[EpochRecord] = field(default_factory=list)
    assignments: list[AssignmentRecord] = field(default_factory=list)
    staleness_counts: Counter[int] = field(default_factory=Counter)
    skipped: int = 0
    late: int = 0
    failovers: int = 0
    started: float = field(default_factory=time.monotonic)
    _busy: dict[str, float] = field(init=False, default_factory=lambda: defaultdict(float))
    _waited: dict[str, float] = field(init=False, default_factory=lambda: defaultdict(float))
    _sums: dict[int, WorkerReport] = field(init=False, default_factory=lambda: defaultdict(WorkerReport))

    def __repr__(self) -> str:
        return as_line("History", self._facts())

    def _repr_html_(self) -> str:
        columns = ["epoch", "loss", "validation loss", "seconds", "rows", "pushes"]
        rows = ([short(value) if value == value else "" for value in record] for record in self.epochs)
        return as_html("History of a training", self._facts(), columns, rows)

    def _facts(self) -> dict[str, Any]:
        facts: dict[str, Any] = {"epochs": len(self.epochs)}
        if self.epochs:
            losses = {"loss": self.epochs[-1].loss, "validation loss": self.epochs[-1].validation_loss}
            facts |= {name: short(loss) for name, loss in losses.items() if loss == loss}
        facts |= {"seconds": short(self.seconds), "rows a second": short(self.throughput)}
        counted = {"gradients skipped": self.skipped, "late contributions": self.late, "servers lost": self.failovers}
        return facts | {name: number for name, number in counted.items() if number}

    @property
    def idle(self) -> dict[str, float]:
        """Share of its time that each Dask worker waited, from 0 to 1, by its address."""
        total = {worker: self._busy[worker] + self._waited[worker] for worker in self._busy}
        return {worker: self._waited[worker] / seconds if seconds else 0.0 for worker, seconds in total.items()}

    @property
    def seconds(self) -> float:
        """Seconds of the training up to the end of its last epoch."""
        return self.epochs[-1].seconds if self.epochs else 0.0

    @property
    def throughput(self) -> float:
        """Rows a second."""
        return sum(epoch.n_rows for epoch in self.epochs) / self.seconds if self.seconds else 0.0

    def add(self, assignment: Assignment, report: WorkerReport) -> None:
        """Record an assignment that has ended.

        Parameters
        ----------
        assignment : Assignment
            The blocks that were visited.
        report : WorkerReport
            Sums over their rows.
        """
        self._busy[report.address] += report.computing
        self._waited[report.address] += report.waiting
        self.skipped += report.skipped
        before = self._sums[assignment.epoch]
        self._sums[assignment.epoch] = before._replace(
            loss=before.loss + report.loss,
            weight=before.weight + report.weight,
            n_rows=before.n_rows + report.n_rows,
            pushes=before.pushes + report.pushes,
        )
        if report.weight:
            seconds, mean = time.monotonic() - self.started, report.loss / report.weight
            record = AssignmentRecord(seconds, assignment.epoch, mean, report.n_rows, report.pushes, report.address)
            self.assignments.append(record)

    def end(self, epoch: int, validation_loss: float, sums: LossSums | None = None) -> EpochRecord:
        """Record the end of an epoch.

        Parameters
        ----------
        epoch : int
            Its number.
        validation_loss : float
            Mean loss of the validation rows; NaN where there are none.
        sums : LossSums, optional
            Sums over the epoch's rows as the servers have them; by default those of the reports.

        Returns
        -------
        EpochRecord
            The record that is added.
        """
        reported = self._sums.pop(epoch)
        if sums is None:
            sums = LossSums(reported.loss, reported.weight, reported.n_rows, reported.pushes)
        loss = sums.loss / sums.weight if sums.weight else float("nan")
        seconds = time.monotonic() - self.started
        self.epochs.append(EpochRecord(epoch, loss, validation_loss, seconds, sums.n_rows, sums.pushes))
        return self.epochs[-1]

    def forget_begun(self) -> None:
        """Forget the sums of epochs that have not ended: they are to begin anew."""
        self._sums.clear()

    def plot(self) -> Any:
        """Plot the loss against seconds and pushes, the staleness of pushes, and the workers' idle shares.

        Returns
        -------
        matplotlib.figure.Figure
            A panel for each of these that the training has; staleness only where pushes may be late.

        Raises
        ------
        ImportError
            Without matplotlib: ``pip install matplotlib``.
        """
        try:
            from matplotlib.figure import Figure
        except ImportError as error:
            raise ImportError("History.plot needs matplotlib: pip install matplotlib") from error
        panels = [self._plot_loss_in_time, self._plot_loss_of_pushes]
        panels += [self._plot_staleness] if any(self.staleness_counts) else []  # 0 alone is no staleness
        panels += [self._plot_idle] if self.idle else []
        figure = Figure(figsize=(3.7 * len(panels), 3.2), layout="constrained")
        for panel, axes in zip(panels, figure.subplots(1, len(panels)), strict=True):
            panel(axes)
        return figure

    def _plot_loss_in_time(self, axes: Any) -> None:
        self._plot_losses(axes, [epoch.seconds for epoch in self.epochs], "seconds")

    def _plot_loss_of_pushes(self, axes: Any) -> None:
        self._plot_losses(axes, list(np.cumsum([epoch.pushes for epoch in self.epochs])), "pushes")

    def _plot_staleness(self, axes: Any) -> None:
        missed = sorted(self.staleness_counts)
        axes.bar(missed, [self.staleness_counts[n] for n in missed], color="0.4")
        axes.set(xlabel="updates missed", ylabel="pushes", title="staleness of pushes")
        axes.xaxis.get_major_locator().set_params(integer=True)

    def _plot_idle(self, axes: Any) -> None:
        workers = sorted(self.idle)
        axes.barh(range(len(workers)), [100 * self.idle[worker] for worker in workers], color="0.4")
        axes.set(xlabel="% of the time", xlim=(0, 100), ylabel="worker", title="workers waiting")
        axes.set(ylim=(-0.6, max(len(workers), 4) - 0.4), yticks=range(0, len(workers), 1 + len(workers) // 10))

    def _plot_losses(self, axes: Any, places: list[Any], label: str) -> None:
        axes.plot(places, [epoch.loss for epoch in self.epochs], "o-", label="training, as it went")
        validation = [epoch.validation_loss for epoch in self.epochs]
        if np.isfinite(validation).any():
            axes.plot(places, validation, "s-", label="validation")
        axes.set(xlabel=label, ylabel="loss")
        axes.legend()

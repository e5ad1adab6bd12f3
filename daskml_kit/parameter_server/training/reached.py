"""State that a training has reached at the end of an epoch, and its file in a checkpoint."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from daskml_kit.engines.checkpoint import Transcript
from daskml_kit.engines.engine import Engine
from daskml_kit.exceptions import CheckpointError
from daskml_kit.optim import State, Update
from daskml_kit.parameter_server.server import ParameterServer, write_checkpoint
from daskml_kit.parameter_server.snapshots import FILE, read_snapshot
from daskml_kit.parameter_server.state_machine import StateMachine
from daskml_kit.parameter_server.training.config import TrainingConfig
from daskml_kit.parameter_server.training.history import EpochRecord, History
from daskml_kit.typing import Array

PROGRESS = "progress_"
"""Before the names of what a `TrainingProgress` keeps."""


class TrainingProgress(ABC):
    """Progress of a training as an estimator sees it: it takes note of each epoch, and decides on the next.

    What it keeps, numbers, lists of these and arrays by name, is part of a checkpoint.
    """

    @abstractmethod
    def goes_on(self, history: History, params: dict[str, Array]) -> bool:
        """Take note of an epoch that has ended; return whether the next may follow as it is."""

    @abstractmethod
    def kept(self) -> dict[str, Any]:
        """Return what it has noted."""

    @abstractmethod
    def take_up(self, kept: Mapping[str, Any]) -> None:
        """Go on from what was noted before."""


@dataclass
class Reached:
    """All that a training has reached at the end of its last epoch, and goes on from.

    Parameters
    ----------
    params : dict of str to array
    state : tuple of arrays
        Of the update rule.
    epoch : int
        The next.
    history : History
    is_done : bool
        Whether the training has ended before its last epoch.
    best : float
        The lowest loss.
    bad_epochs : int
        Epochs since the loss has become better.
    """

    params: dict[str, Array]
    state: State = ()
    epoch: int = 0
    history: History = field(default_factory=History)
    is_done: bool = False
    best: float = np.inf
    bad_epochs: int = 0


@dataclass(frozen=True)
class TrainingCheckpoint:
    """Checkpoint of a training: one file, a snapshot of its servers, put in place at the end of each epoch.

    Parameters
    ----------
    folder : path
    seed : int
        Of the orders of rows, which may have been drawn.
    progress : TrainingProgress, optional
    """

    folder: Path
    seed: int
    progress: TrainingProgress | None = None

    @classmethod
    def of(
        cls, engine: Engine, config: TrainingConfig, progress: TrainingProgress | None = None
    ) -> TrainingCheckpoint | None:
        """Return the checkpoint that an engine was opened with, if it was."""
        return cls(engine.folder, config.random_state, progress) if isinstance(engine, Transcript) else None

    def write(self, server: ParameterServer, machines: list[StateMachine], reached: Reached) -> None:
        """Write what is reached, by machines of the server that are the parameters and the state.

        Raises
        ------
        CheckpointError
            Where it cannot be written; that of the epoch before is left.
        """
        history, counts = reached.history, machines[0].counts()
        noted = {} if self.progress is None else self.progress.kept()
        training = {
            "epoch": reached.epoch,
            "is_done": reached.is_done,
            "best": reached.best,
            "bad_epochs": reached.bad_epochs,
            "seed": self.seed,
            "epochs": [[*record] for record in history.epochs],
            "staleness_counts": dict(history.staleness_counts + machines[-1].counts().staleness_counts),
            "skipped": history.skipped,
            "late": history.late + counts.late,
            "failovers": history.failovers + server.failovers,
            **{f"{PROGRESS}{name}": value for name, value in noted.items()},
        }
        write_checkpoint(server, self.folder, machines, training)

    def read(self, update: Update) -> tuple[Reached, int] | None:
        """Return what was reached, and the seed; None where no epoch had ended.

        Raises
        ------
        CheckpointError
            Where the file is damaged, or of no training.
        """
        if not (self.folder / FILE).exists():
            return None
        found = read_snapshot(self.folder, update)
        training = found.training
        if not training:
            raise CheckpointError(f"checkpoint: {self.folder / FILE} is of no training; name another folder")
        epochs = [EpochRecord(*record) for record in training["epochs"]]
        history = History(
            epochs,
            staleness_counts=Counter({int(missed): n for missed, n in training["staleness_counts"].items()}),
            skipped=training["skipped"],
            late=training["late"],
            failovers=training["failovers"],
            started=time.monotonic() - epochs[-1].seconds,
        )
        if self.progress is not None:
            noted = {n.removeprefix(PROGRESS): value for n, value in training.items() if n.startswith(PROGRESS)}
            self.progress.take_up(noted)
        reached = Reached(found.params, found.state, training["epoch"], history)
        reached.is_done, reached.best, reached.bad_epochs = (training[n] for n in ("is_done", "best", "bad_epochs"))
        return reached, training["seed"]


def resumed(
    engine: Engine, update: Update, config: TrainingConfig, reached: Reached, progress: TrainingProgress | None = None
) -> tuple[Reached, TrainingConfig]:
    """Return what the engine's checkpoint has reached, and the configuration with its seed; else those given."""
    checkpoint = TrainingCheckpoint.of(engine, config, progress)
    found = None if checkpoint is None else checkpoint.read(update)
    if found is None:
        return reached, config
    reached, seed = found
    return reached, config._replace(random_state=seed)

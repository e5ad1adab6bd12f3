"""One training, from open blocks to parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from daskml_kit.engines.engine import Engine, LocalEngine
from daskml_kit.engines.futures import FuturesEngine
from daskml_kit.errors import DataError
from daskml_kit.parameter_server.server import ParameterServer
from daskml_kit.parameter_server.training.agenda import Agenda
from daskml_kit.parameter_server.training.batches import Order
from daskml_kit.parameter_server.training.crews import ClusterCrew, Crew, LocalCrew
from daskml_kit.parameter_server.training.drive import Free, InStep
from daskml_kit.parameter_server.training.held_out import HeldOutLoss, Sizes
from daskml_kit.parameter_server.training.history import History
from daskml_kit.parameter_server.training.legs import Course
from daskml_kit.parameter_server.training.setting import Setting
from daskml_kit.parameter_server.training.steps import Step
from daskml_kit.solvers.updates import State, Update
from daskml_kit.typing import Array


class Trained(NamedTuple):
    """The parameters at the end, the course of the training, and the state of the rule."""

    params: dict[str, Array]
    history: History
    state: State = ()


class Start(NamedTuple):
    """Where a training goes on from: the epoch that is its first, the state of the rule, and the history so far."""

    epoch: int = 0
    state: State = ()
    history: History | None = None


NEW = Start()
GoOn = Callable[[History, dict[str, Array]], bool]
"""Is called with history and parameters after each epoch; returns whether training goes on."""


def train_on(
    engine: Engine,
    step: Step,
    params: Mapping[str, Array],
    rule: Update,
    setting: Setting,
    go_on: GoOn | None = None,
    start: Start = NEW,
    sizes: Sequence[int] | None = None,
) -> Trained:
    """Train on the blocks of an engine, from an epoch up to ``setting.epochs``; see `train`.

    The blocks' ``sizes`` are asked for unless they are given.
    """
    sizes = engine.answer(Sizes())[0] if sizes is None else sizes
    if not sum(sizes):
        raise DataError("X: expected at least one row, got none")
    sync = setting.mode == "sync"
    lanes = min(setting.lanes, len(sizes)) if sync else 1
    batch_size = max(setting.batch_size // lanes, 1)
    order = Order(setting.random_state, batch_size, setting.validation_fraction, setting.shuffle)
    on_cluster = isinstance(engine, FuturesEngine)
    with ParameterServer(
        params,
        rule,
        setting.bound,
        setting.servers if on_cluster else "auto",
        setting.replicas,
        lanes=lanes,
        backup=setting.backup,
        on_nan=setting.on_nan,
        state=start.state,
        client=engine.client if isinstance(engine, FuturesEngine) else "local",
    ) as server:
        course = Course(step, order, setting.push_every, server.address, server.terms, top_k=setting.top_k)
        crew, course = _crew(engine, course, sync)
        history = start.history or History()
        return Run(engine, crew, course, server, setting, sizes, go_on, start.epoch, history).run()


def _crew(engine: Engine, course: Course, sync: bool) -> tuple[Crew, Course]:
    """Return the trainers, and the course with the share that each has in where all go."""
    n_trainers = engine.profile.n_threads
    if not sync and course.step.local:
        course = replace(course, share=1 / n_trainers)
    if isinstance(engine, FuturesEngine):
        return ClusterCrew(engine, course), course
    if isinstance(engine, LocalEngine):
        return LocalCrew(engine, course, n_trainers), course
    raise TypeError(f"{type(engine).__name__} has no blocks to train on")


@dataclass
class Run:
    """A training that has all it needs."""

    engine: Engine
    crew: Crew
    course: Course
    server: ParameterServer
    setting: Setting
    sizes: Sequence[int]
    go_on: GoOn | None
    first_epoch: int = 0
    history: History = field(default_factory=History)
    _best: float = np.inf
    _bad_epochs: int = 0

    def run(self) -> Trained:
        """Carry it out."""
        setting = self.setting
        n_rows = sum(n - self.course.order.n_held_out(n) for n in self.sizes)
        total = n_rows * (setting.epochs - self.first_epoch)
        with tqdm(total=total, unit="row", unit_scale=True, disable=setting.verbose < 1) as self._bar:
            try:
                if setting.mode == "sync":
                    in_step = InStep(self.crew, self.course, self.sizes, self.history, self._ended)
                    in_step.run(setting.epochs, self.first_epoch)
                else:
                    agenda = Agenda(len(self.sizes), setting.epochs, setting.random_state, self.first_epoch)
                    free = Free(self.crew, self.course, agenda, self.history, self._ended, self.server.leave)
                    free.run(self.first_epoch)
            except BaseException:
                self.server.close()  # trainers that wait for others end
                raise
            finally:
                self.crew.stop()
        params = self.server.pull()
        self.history.lags += self.server.lags
        self.history.late += self.server.late
        self.history.losses += self.server.losses
        return Trained(params, self.history, self.server.state)

    def _ended(self, epoch: int) -> bool:
        """Judge an epoch that has ended, and return whether training goes on."""
        judged = self.setting.validation_fraction > 0 or self.go_on is not None
        params = self.server.pull() if judged else {}
        record = self.history.end(epoch, self._held_out(params))
        if self.setting.snapshot is not None:
            self.server.snapshot(self.setting.snapshot)
        self._bar.update(record.n_rows)
        self._bar.set_postfix(epoch=epoch + 1, loss=f"{record.loss:.4g}", held_out=f"{record.validation_loss:.4g}")
        if not np.isfinite(record.loss):
            raise DataError(f"the loss is {record.loss} in epoch {epoch}: smaller steps, or scaled features, may help")
        goes_on = self.go_on is None or self.go_on(self.history, params)
        return goes_on and self._improves(record.validation_loss if judged and self._holds_out else record.loss)

    @property
    def _holds_out(self) -> bool:
        return self.setting.validation_fraction > 0

    def _held_out(self, params: dict[str, Array]) -> float:
        if not self._holds_out:
            return float("nan")
        (total,) = self.engine.answer(HeldOutLoss(self.course.step, self.course.order, params))
        return total.loss / total.weight if total.weight else float("nan")

    def _improves(self, loss: float) -> bool:
        """Return whether the loss has become better by ``tol`` within ``patience`` epochs."""
        if self.setting.patience is None:
            return True
        self._bad_epochs = 0 if loss < self._best - self.setting.tol else self._bad_epochs + 1
        self._best = min(self._best, loss)
        return self._bad_epochs < self.setting.patience

    _bar: Any = None

"""What SGDClassifier and SGDRegressor have in common: their parameters, checked, and the training."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
import scipy.sparse as sp
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import validate_data

from daskml_kit.data.collections import is_dask
from daskml_kit.engines.engine import Engine
from daskml_kit.exceptions import DataError
from daskml_kit.linear_model.base import LinearModel, check_choice, check_number
from daskml_kit.linear_model.sgd_step import (
    OPTIMIZERS,
    Coordinates,
    LinearSteps,
    Readable,
    even,
    named_rule,
    own_rule,
    plain,
)
from daskml_kit.numerics.losses import Loss
from daskml_kit.numerics.penalties import shrinkage
from daskml_kit.optim import Update
from daskml_kit.parameter_server import History, add
from daskml_kit.parameter_server.training.config import Setting, checked
from daskml_kit.parameter_server.training.coordinator import train_on
from daskml_kit.parameter_server.training.evaluation import Sizes
from daskml_kit.reductions.reduction import Joint
from daskml_kit.reductions.summary import DataSummary, Summary
from daskml_kit.typing import Array
from daskml_kit.validation import Inputs, check_features, check_fit

RATES = ("auto", "optimal", "constant", "invscaling")
MISSING_RATES = {
    "adaptive": "a rate that falls when training stalls is",
    "pa1": "passive-aggressive steps are",
    "pa2": "passive-aggressive steps are",
}


def check_numbers(model: Any) -> None:
    """Raise where a parameter that is a number is none, or out of its range."""
    for name in ("alpha", "epsilon", "power_t"):
        check_number(name, getattr(model, name), low=0)
    for name in ("max_iter", "n_iter_no_change", "lanes"):
        check_number(name, getattr(model, name), low=1, integer=True)
    if model.tol is not None:
        check_number("tol", model.tol, low=0)
    if model.batch_size is not None:
        check_number("batch_size", model.batch_size, low=1, integer=True)
    if model.eta0 is not None:
        check_number("eta0", model.eta0, low=0, strict=True)
    if not isinstance(model.average, (bool, np.bool_)):
        check_number("average", model.average, low=0, integer=True)
    if model.early_stopping:
        check_number("validation_fraction", model.validation_fraction, low=0, strict=True)


def check_rate(optimizer: str, learning_rate: str) -> None:
    """Raise unless the optimizer takes the learning rate."""
    check_choice("optimizer", optimizer, OPTIMIZERS)
    if learning_rate in MISSING_RATES:
        raise ValueError(
            f"learning_rate={learning_rate!r} is not supported: {MISSING_RATES[learning_rate]} missing here"
        )
    check_choice("learning_rate", learning_rate, RATES)
    if learning_rate != "auto" and optimizer not in ("auto", "sgd"):
        raise ValueError(
            f"learning_rate: expected 'auto' with optimizer={optimizer!r}, whose rate is its own or eta0, "
            f"got {learning_rate!r}; optimizer='sgd' takes it"
        )


def check_held_out(fraction: float, sizes: Sequence[int]) -> None:
    """Raise where no block has a row to hold out."""
    if fraction and not any(int(size * fraction) for size in sizes):
        raise DataError(
            f"validation_fraction={fraction} of {sum(sizes)} samples in {len(sizes)} blocks led to an empty set: "
            "increase it, or disable early_stopping"
        )


BATCH, MOST_BATCHES = 512, 64
HELD_BYTES = 32 * 2**20
"""What the mini-batches between two pushes may hold."""
STEPS, PUSHES = 16, 4
"""The least steps of a lane in an epoch where rows are few, and its pushes where they are many."""


class Plan(NamedTuple):
    """Rows of a mini-batch of one trainer, the lanes of synchronous steps, and mini-batches between pushes.

    Parameters
    ----------
    batch_size, lanes : int
    push_every : int
        In synchronous mode.
    most_batches : int
        What it may grow to in the others.
    """

    batch_size: int
    lanes: int
    push_every: int
    most_batches: int


def make_plan(summary: DataSummary, sizes: Sequence[int], lanes: int, batch_size: int | None) -> Plan:
    """Return a plan for blocks of these ``sizes``; ``batch_size`` is decided here where it is None.

    Measured on a million rows of 28 features: an epoch of 4 pushes a lane ends at the loss of 32 pushes to 1e-5.
    """
    lanes = min(lanes, len(sizes))
    rows = max(summary.n_rows // lanes, 1)
    batch = batch_size or int(np.clip(rows // STEPS, 8, BATCH))
    most = int(np.clip(HELD_BYTES // (batch * _row_bytes(summary)), 1, MOST_BATCHES))
    pushes = PUSHES if lanes > 1 else 1
    return Plan(batch, lanes, int(np.clip(-(-rows // (batch * pushes)), 1, most)), most)


def _row_bytes(summary: DataSummary) -> int:
    X = summary.sample_X
    size = X.data.nbytes + X.indices.nbytes if sp.issparse(X) else X.nbytes
    return max(int(size // max(X.shape[0], 1)), 1)


SAMPLE = 4_000
"""Rows from which the size of the features is taken."""


class Look(NamedTuple):
    """What is known of the data of a call."""

    summary: DataSummary
    sizes: Sequence[int]


class Ground(NamedTuple):
    """Where steps are made: the coordinates, and the standard deviation of targets where the loss is of their size."""

    coordinates: Coordinates
    spread: float = 1.0


class Memory(NamedTuple):
    """What training goes on from: the ground, and parameters with the state of an optimizer."""

    ground: Ground
    kind: tuple[str, bool]
    params: dict[str, Array]


class StochasticModel(LinearModel):
    """Base of the linear models that are trained by stochastic gradients."""

    asks_questions = False
    default_rate: ClassVar[str]

    n_iter_: int
    t_: float
    history_: History
    _memory: Memory

    def _look(self, engine: Engine, *, labeled: bool) -> Look:
        """Summary the data in one pass."""
        rows = min(SAMPLE, max(HELD_BYTES // (8 * self.n_features_in_), 100))
        survey = Summary(labeled, rows, engine.n_blocks)
        look = Look(*engine.answer(Joint((survey, Sizes())))[0])
        self._require_rows(look.summary.n_rows, look.summary.weight)
        return look

    def _even_ground(self, summary: DataSummary, spread: float = 1.0) -> Ground:
        """Return coordinates in which features are of one size; for plain descent those of the features.

        Then what learning rates mean is what they mean in scikit-learn.
        """
        if self._kind[0] == "sgd":
            return Ground(plain(self.n_features_in_))
        return Ground(even(summary.sample_X, summary.sample_weight, centered=bool(self.fit_intercept)), spread)

    def _train(
        self, engine: Engine, look: Look, row_loss: Loss, target: Readable, begin: tuple[Ground, Array], *, more: bool
    ) -> Array:
        """Return the coefficients that training leads to; with ``more``, that of one epoch after the last training."""
        plan = make_plan(*look, self.lanes, self.batch_size)
        setting = self._setting(plan)
        check_held_out(setting.validation_fraction, look.sizes)
        if more:
            setting = setting._replace(epochs=1, patience=None)
        memory = self._recalled() if more else None
        ground, coef = begin if memory is None else (memory.ground, begin[1])
        step = self._step(ground, row_loss, target, plan)
        params = step.start(coef) if memory is None else memory.params
        trained = train_on(engine, step, params, add(), setting, sizes=look.sizes)
        self._memory = Memory(ground, self._kind, trained.params)
        self.history_, self.n_iter_, self.profile_ = trained.history, len(trained.history.epochs), engine.profile
        self.t_ = getattr(self, "t_", 1.0) + self.n_iter_ * look.summary.n_rows
        return step.end(trained.params).astype(look.summary.precision)

    def _recalled(self) -> Memory | None:
        """Return the last training, unless it was with another optimizer, whose state is of no use."""
        memory: Memory | None = getattr(self, "_memory", None)
        return memory if memory is not None and memory.kind == self._kind else None

    def _start(self, n_columns: int, coef_init: Any, intercept_init: Any) -> Array | None:
        """Return the coefficients that a fit is told to begin with, if it is."""
        last = self._last() if self.warm_start else None
        if coef_init is None and intercept_init is None:
            return last
        shape = (n_columns, self.n_features_in_)
        start = np.zeros((n_columns, self.n_features_in_ + 1)) if last is None else last
        if coef_init is not None:
            start[:, :-1] = _shaped("coef_init", coef_init, shape)
        if intercept_init is not None:
            start[:, -1] = _shaped("intercept_init", intercept_init, shape[:1])
        return start

    def _last(self) -> Array | None:
        """Return the coefficients as they are, a column for the intercept."""
        if not hasattr(self, "coef_"):
            return None
        coef = np.atleast_2d(self.coef_).astype(np.float64)
        if coef.shape[1] != self.n_features_in_:
            raise DataError(f"warm_start: expected {coef.shape[1]} features as before, got {self.n_features_in_}")
        return np.hstack([coef, np.reshape(self.intercept_, (-1, 1)).astype(np.float64)])

    def _check_more(self, X: Any, y: Any, sample_weight: Any, *, labeled: bool = False) -> Inputs:
        """Check the inputs of ``partial_fit``, which must have the features of those before."""
        if self.early_stopping:
            raise ValueError("early_stopping should be False with partial_fit")
        if hasattr(self, "n_features_in_"):
            if is_dask(X):
                check_features(self, X)
            else:
                validate_data(self, X, reset=False, skip_check_array=True)
        return check_fit(self, X, y, sample_weight, labeled=labeled)

    def _step(self, ground: Ground, row_loss: Loss, target: Readable, plan: Plan) -> LinearSteps:
        return LinearSteps(
            row_loss,
            target,
            shrinkage(self.penalty, self.alpha, self.l1_ratio),
            self._rule(ground),
            ground.coordinates,
            bool(self.fit_intercept),
            max(int(self.average) / plan.batch_size, 1.0) if self.average else None,
            plan.most_batches,
        )

    def _rule(self, ground: Ground) -> Update:
        optimizer, _ = self._kind
        if optimizer == "sgd":
            return named_rule(self._rate, 0.01 if self.eta0 is None else self.eta0, self.power_t, self.alpha)
        return own_rule(optimizer, self.eta0, ground.coordinates.size, ground.spread)

    def _setting(self, plan: Plan) -> Setting:
        sync = self.mode == "sync"
        draw = check_random_state(self.random_state).randint(2**31 - 1)
        return Setting(
            mode=self.mode,
            staleness=self.staleness,
            epochs=self.max_iter,
            batch_size=plan.batch_size * (plan.lanes if sync else 1),
            push_every=plan.push_every if sync and self.push_every is None else self.push_every,
            lanes=self.lanes,
            backup=self.backup,
            shuffle=bool(self.shuffle),
            validation_fraction=self.validation_fraction if self.early_stopping else 0.0,
            patience=None if self.tol is None else self.n_iter_no_change,
            tol=self.tol or 0.0,
            snapshot=self.snapshot,
            random_state=int(draw + getattr(self, "t_", 1.0) - 1),
            verbose=int(self.verbose),
        )

    @property
    def _kind(self) -> tuple[str, bool]:
        """The optimizer, Adagrad by default and plain descent where a learning rate is named; whether it averages."""
        named = "adagrad" if self.learning_rate == "auto" else "sgd"
        return named if self.optimizer == "auto" else self.optimizer, bool(self.average)

    @property
    def _rate(self) -> str:
        return self.default_rate if self.learning_rate == "auto" else self.learning_rate

    def _warn_unless_converged(self) -> None:
        if self.tol is not None and self.n_iter_ == self.max_iter:
            warnings.warn(
                f"Maximum number of iteration reached before convergence (max_iter={self.max_iter}, tol={self.tol}). "
                "Consider increasing max_iter to improve the fit.",
                ConvergenceWarning,
                stacklevel=3,
            )

    def _check_parameters(self, losses: tuple[str, ...]) -> None:
        check_choice("loss", self.loss, losses)
        check_numbers(self)
        shrinkage(self.penalty, self.alpha, self.l1_ratio)
        check_rate(self.optimizer, self.learning_rate)
        if self._kind[0] == "sgd" and self._rate == "optimal" and not self.alpha:
            raise ValueError("alpha: expected a number above 0, of which learning_rate='optimal' is made, got 0")
        checked(self._setting(Plan(1, 1, 1, 1)))

    def _twin_settings(self, twin: type) -> dict[str, Any]:
        """Return the parameters that scikit-learn's estimator has too."""
        shared = {name: value for name, value in self.get_params().items() if name in twin().get_params()}
        return {**shared, "learning_rate": self._rate, "eta0": 0.01 if self.eta0 is None else self.eta0}


def _shaped(name: str, values: Any, shape: tuple[int, ...]) -> Array:
    array = np.asarray(values, np.float64)
    if array.size != np.prod(shape):
        raise ValueError(f"Provided {name} does not match dataset: expected shape {shape}, got {array.shape}")
    return array.reshape(shape)

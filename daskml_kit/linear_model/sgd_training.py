"""Training of SGDClassifier and SGDRegressor: parameters, preconditioner, minibatches, and the parameter server."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar, NamedTuple

import numpy as np
import scipy.sparse as sp
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import validate_data

from daskml_kit.data.collections import is_dask
from daskml_kit.engines.engine import Engine
from daskml_kit.exceptions import DataError
from daskml_kit.linear_model.sgd_base import LinearModel, check_choice, check_number
from daskml_kit.linear_model.sgd_step import (
    OPTIMIZERS,
    LinearSgdStep,
    Preconditioner,
    TargetReader,
    identity,
    named_rule,
    standardized,
    tuned_rule,
)
from daskml_kit.numerics.losses import Loss
from daskml_kit.numerics.penalties import shrinkage
from daskml_kit.optim import Update
from daskml_kit.parameter_server import History, add
from daskml_kit.parameter_server.training.config import (
    VIRTUAL_WORKERS,
    Synchronous,
    TrainingConfig,
    check_training,
    checked,
)
from daskml_kit.parameter_server.training.coordinator import train_on
from daskml_kit.parameter_server.training.evaluation import BlockSizes
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
    for name in ("max_iter", "n_iter_no_change"):
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


def check_validation_rows(fraction: float, sizes: Sequence[int]) -> None:
    """Raise where no block has a row to hold out."""
    if fraction and not any(int(size * fraction) for size in sizes):
        raise DataError(
            f"validation_fraction={fraction} of {sum(sizes)} samples in {len(sizes)} blocks led to an empty set: "
            "increase it, or disable early_stopping"
        )


BATCH, MOST_BATCHES = 512, 64
HELD_BYTES = 32 * 2**20
"""Memory that the minibatches between two pushes may hold."""
STEPS, PUSHES = 16, 4
"""Least steps of a virtual worker in an epoch where rows are few, and its pushes where they are many."""


class MinibatchPlan(NamedTuple):
    """Rows of a minibatch of one worker, virtual workers of synchronous steps, and minibatches between pushes.

    Parameters
    ----------
    batch_size, virtual_workers : int
    push_every : int
        In synchronous mode.
    most_batches : int
        What it may grow to in the others.
    """

    batch_size: int
    virtual_workers: int
    push_every: int
    most_batches: int


def plan_minibatches(
    summary: DataSummary, sizes: Sequence[int], virtual_workers: int, batch_size: int | None
) -> MinibatchPlan:
    """Return a plan for blocks of these ``sizes``; ``batch_size`` is decided here where it is None.

    Measured on a million rows of 28 features: with 4 pushes a virtual worker an epoch ends at the loss of 32 to 1e-5.
    """
    virtual_workers = min(virtual_workers, len(sizes))
    rows = max(summary.n_rows // virtual_workers, 1)
    batch = batch_size or int(np.clip(rows // STEPS, 8, BATCH))
    most = int(np.clip(HELD_BYTES // (batch * _row_bytes(summary)), 1, MOST_BATCHES))
    pushes = PUSHES if virtual_workers > 1 else 1
    return MinibatchPlan(batch, virtual_workers, int(np.clip(-(-rows // (batch * pushes)), 1, most)), most)


def _row_bytes(summary: DataSummary) -> int:
    X = summary.sample_X
    size = X.data.nbytes + X.indices.nbytes if sp.issparse(X) else X.nbytes
    return max(int(size // max(X.shape[0], 1)), 1)


SAMPLE = 4_000
"""Rows from which the scale of the features is taken."""


class BlockSummary(NamedTuple):
    """Summary of the data, and the number of rows of each block."""

    summary: DataSummary
    sizes: Sequence[int]


class SgdState(NamedTuple):
    """State that training resumes from: the preconditioner, the optimizer, and parameters with the rule's state."""

    preconditioner: Preconditioner
    optimizer: tuple[str, bool]
    params: dict[str, Array]


class StochasticModel(LinearModel):
    """Base of the linear models that are trained by stochastic gradients."""

    asks_questions = False
    default_rate: ClassVar[str]

    n_iter_: int
    t_: float
    history_: History
    _state: SgdState

    def _summarize(self, engine: Engine, *, labeled: bool) -> BlockSummary:
        """Summarize the data in one pass."""
        rows = min(SAMPLE, max(HELD_BYTES // (8 * self.n_features_in_), 100))
        summary = Summary(labeled, rows, engine.n_blocks)
        found = BlockSummary(*(answer for (answer,) in engine.answer(Joint((summary, BlockSizes())))))
        self._require_rows(found.summary.n_rows, found.summary.weight)
        return found

    def _precondition(self, summary: DataSummary, target_scale: float = 1.0) -> Preconditioner:
        """Return the preconditioner that standardizes features; for plain descent none, as in scikit-learn."""
        if self._optimizer[0] == "sgd":
            return identity(self.n_features_in_)
        X, weight = summary.sample_X, summary.sample_weight
        return standardized(X, weight, centered=bool(self.fit_intercept), target_scale=target_scale)

    def _train(
        self,
        engine: Engine,
        data: BlockSummary,
        row_loss: Loss,
        target: TargetReader,
        start: tuple[Preconditioner, Array],
        *,
        more: bool,
    ) -> Array:
        """Return the coefficients that training leads to; with ``more``, after one epoch from the last training."""
        plan = plan_minibatches(*data, self._virtual_workers, self.batch_size)
        config = self._config(plan)
        check_validation_rows(config.validation_fraction, data.sizes)
        if more:
            config = config._replace(epochs=1, patience=None)
        state = self._resumed() if more else None
        preconditioner, coef = start if state is None else (state.preconditioner, start[1])
        step = self._step(preconditioner, row_loss, target, plan)
        params = step.start(coef) if state is None else state.params
        trained = train_on(engine, step, params, add(), config, sizes=data.sizes)
        self._state = SgdState(preconditioner, self._optimizer, trained.params)
        self.history_, self.n_iter_, self.profile_ = trained.history, len(trained.history.epochs), engine.profile
        self.t_ = getattr(self, "t_", 1.0) + self.n_iter_ * data.summary.n_rows
        return step.end(trained.params).astype(data.summary.precision)

    def _resumed(self) -> SgdState | None:
        """Return the state of the last training, unless it was with another optimizer, whose state is of no use."""
        state: SgdState | None = getattr(self, "_state", None)
        return state if state is not None and state.optimizer == self._optimizer else None

    def _start(self, n_columns: int, coef_init: Any, intercept_init: Any) -> Array | None:
        """Return the initial coefficients that a fit is given, if any."""
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

    def _step(
        self, preconditioner: Preconditioner, row_loss: Loss, target: TargetReader, plan: MinibatchPlan
    ) -> LinearSgdStep:
        return LinearSgdStep(
            row_loss,
            target,
            shrinkage(self.penalty, self.alpha, self.l1_ratio),
            self._rule(preconditioner),
            preconditioner,
            bool(self.fit_intercept),
            max(int(self.average) / plan.batch_size, 1.0) if self.average else None,
            plan.most_batches,
        )

    def _rule(self, preconditioner: Preconditioner) -> Update:
        optimizer, _ = self._optimizer
        if optimizer == "sgd":
            return named_rule(self._rate, 0.01 if self.eta0 is None else self.eta0, self.power_t, self.alpha)
        return tuned_rule(optimizer, self.eta0, preconditioner)

    @property
    def _virtual_workers(self) -> int:
        training = check_training(self.training)
        return (isinstance(training, Synchronous) and training.virtual_workers) or VIRTUAL_WORKERS

    def _config(self, plan: MinibatchPlan) -> TrainingConfig:
        training, batch_size = check_training(self.training), plan.batch_size
        if isinstance(training, Synchronous):
            batch_size *= plan.virtual_workers
            if training.push_every is None:
                training = replace(training, push_every=plan.push_every)
        draw = check_random_state(self.random_state).randint(2**31 - 1)
        return TrainingConfig(
            training=training,
            epochs=self.max_iter,
            batch_size=batch_size,
            shuffle=bool(self.shuffle),
            validation_fraction=self.validation_fraction if self.early_stopping else 0.0,
            patience=None if self.tol is None else self.n_iter_no_change,
            tol=self.tol or 0.0,
            random_state=int(draw + getattr(self, "t_", 1.0) - 1),
            verbose=int(self.verbose),
        )

    @property
    def _optimizer(self) -> tuple[str, bool]:
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
        if self._optimizer[0] == "sgd" and self._rate == "optimal" and not self.alpha:
            raise ValueError("alpha: expected a number above 0, of which learning_rate='optimal' is made, got 0")
        checked(self._config(MinibatchPlan(1, 1, 1, 1)))

    def _twin_settings(self, twin: type) -> dict[str, Any]:
        """Return the parameters that scikit-learn's estimator has too."""
        shared = {name: value for name, value in self.get_params().items() if name in twin().get_params()}
        return {**shared, "learning_rate": self._rate, "eta0": 0.01 if self.eta0 is None else self.eta0}


def _shaped(name: str, values: Any, shape: tuple[int, ...]) -> Array:
    array = np.asarray(values, np.float64)
    if array.size != np.prod(shape):
        raise ValueError(f"Provided {name} does not match dataset: expected shape {shape}, got {array.shape}")
    return array.reshape(shape)

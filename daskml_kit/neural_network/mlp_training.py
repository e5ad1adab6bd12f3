"""Training of multi-layer perceptrons: parameters, stopping rules, and the parameter server."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import validate_data

from daskml_kit.base import SklearnTwin
from daskml_kit.data.collections import is_dask
from daskml_kit.engines.engine import Engine
from daskml_kit.engines.open import open_engine
from daskml_kit.neural_network.scores import ValidationScore, ValidationScorer
from daskml_kit.numerics.feed_forward import ACTIVATIONS, NetworkLoss, glorot
from daskml_kit.optim import State, Update, adam, momentum
from daskml_kit.parameter_server.training.config import (
    VIRTUAL_WORKERS,
    Synchronous,
    TrainingConfig,
    check_training,
    checked,
)
from daskml_kit.parameter_server.training.coordinator import ResumePoint, train_on
from daskml_kit.parameter_server.training.history import History
from daskml_kit.parameter_server.training.minibatches import MinibatchOrder
from daskml_kit.parameter_server.training.updates import GradientStep
from daskml_kit.reductions.summary import DataSummary, Summary
from daskml_kit.typing import Array
from daskml_kit.validation import check_choice, check_features, check_fit, check_number

SCHEDULES = ("constant", "invscaling", "adaptive")
SOLVERS = ("adam", "sgd")
AUTO_BATCH = 200
ROWS_PER_VIRTUAL_WORKER = 100
UNUSED: dict[str, tuple[Any, str, Callable[[Any], bool]]] = {
    "learning_rate": ("constant", "solver='sgd'", lambda model: model.solver == "sgd"),
    "momentum": (0.9, "solver='sgd'", lambda model: model.solver == "sgd"),
    "nesterovs_momentum": (True, "solver='sgd'", lambda model: model.solver == "sgd"),
    "power_t": (0.5, "learning_rate='invscaling'", lambda model: model.learning_rate == "invscaling"),
    "beta_1": (0.9, "solver='adam'", lambda model: model.solver == "adam"),
    "beta_2": (0.999, "solver='adam'", lambda model: model.solver == "adam"),
    "epsilon": (1e-8, "solver='adam'", lambda model: model.solver == "adam"),
    "validation_fraction": (0.1, "early_stopping=True", lambda model: model.early_stopping),
    "max_fun": (15000, "solver='lbfgs', which is not supported", lambda model: False),
}
"""Parameters that only some settings use: their defaults, what uses them, and whether it does."""


def check_parameters(model: Any) -> None:
    """Raise a ValueError where a parameter of a perceptron cannot be used, or has no use beside the others."""
    if model.solver == "lbfgs":
        raise ValueError("solver='lbfgs' is not supported: training goes by minibatches; use 'adam' or 'sgd'")
    check_choice("solver", model.solver, SOLVERS)
    check_choice("activation", model.activation, tuple(ACTIVATIONS))
    check_choice("learning_rate", model.learning_rate, SCHEDULES)
    for name in ("alpha", "tol", "power_t"):
        check_number(name, getattr(model, name), low=0)
    for name in ("learning_rate_init", "epsilon"):
        check_number(name, getattr(model, name), low=0, strict=True)
    for name in ("momentum", "beta_1", "beta_2"):
        _check_below_one(name, getattr(model, name))
    if model.early_stopping:
        check_number("validation_fraction", model.validation_fraction, low=0, strict=True)
        _check_below_one("validation_fraction", model.validation_fraction)
    check_number("max_iter", model.max_iter, low=1, integer=True)
    check_number("n_iter_no_change", model.n_iter_no_change, low=1, integer=model.n_iter_no_change != np.inf)
    if model.batch_size != "auto":
        check_number("batch_size", model.batch_size, low=1, integer=True)
    for name, (default, used_by, is_used) in UNUSED.items():
        value = getattr(model, name)
        if value != default and not is_used(model):
            raise ValueError(f"{name}: expected {default!r}, since it is used with {used_by} only, got {value!r}")
    config_of(model, batch_size=AUTO_BATCH, seed=0, epochs=1)


def layer_sizes(model: Any) -> list[int]:
    """Return the units of each hidden layer."""
    sizes = model.hidden_layer_sizes
    given = list(sizes) if hasattr(sizes, "__iter__") else [sizes]
    for size in given:
        if not isinstance(size, (int, np.integer)) or isinstance(size, bool) or size <= 0:
            raise ValueError(f"hidden_layer_sizes must be > 0, whole numbers, got {sizes!r}")
    return [int(size) for size in given]


def config_of(model: Any, *, batch_size: int, seed: int, epochs: int) -> TrainingConfig:
    """Return the configuration of the training."""
    training = check_training(model.training)
    if isinstance(training, Synchronous):
        given = training.virtual_workers
        most = VIRTUAL_WORKERS if given is None else given
        rows = ROWS_PER_VIRTUAL_WORKER if given is None else 1
        training = replace(training, virtual_workers=max(min(batch_size // rows, most), 1))
    return checked(
        TrainingConfig(
            training=replace(training, push_every=training.push_every or 1),
            epochs=epochs,
            batch_size=batch_size,
            shuffle=bool(model.shuffle),
            validation_fraction=float(model.validation_fraction) if model.early_stopping else 0.0,
            random_state=seed,
            n_jobs=model.n_jobs,
            verbose=int(model.verbose),
        )
    )


def rule_of(model: Any, rate: float) -> Update:
    """Return the update rule of the servers."""
    if model.solver == "adam":
        return adam(rate, model.beta_1, model.beta_2, model.epsilon)
    return momentum(rate, model.momentum, bool(model.nesterovs_momentum))


def batch_rows(model: Any, n_rows: int) -> int:
    """Return the rows of a minibatch where so many are trained on."""
    return min(AUTO_BATCH if model.batch_size == "auto" else int(model.batch_size), max(n_rows, 1))


def _check_below_one(name: str, value: Any) -> None:
    check_number(name, value, low=0)
    if not value < 1:
        raise ValueError(f"{name}: expected a number from 0 to below 1, got {value!r}")


LEAST_RATE = 1e-6
"""An adaptive rate at or below this ends the training, as in scikit-learn."""

Scorer = Callable[[dict[str, Array]], ValidationScore]
"""Scores parameters on the validation rows."""


@dataclass
class MlpProgress:
    """Losses and validation scores so far, and scikit-learn's stopping rules.

    Parameters
    ----------
    model : perceptron
        Whose parameters say when to stop.
    rate : float
        The learning rate of the epochs to come.
    scorer : callable, optional
        Where rows are held out.
    losses, scores, best_loss, seen : results of earlier fits, where this one goes on from them
    """

    model: Any
    rate: float
    scorer: Scorer | None = None
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
        is_better = self._scored(params) if self.scorer else self._loss_fell()
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
        score, n_rows = self.scorer(params) if self.scorer else ValidationScore(np.nan, 0)
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


OURS = ("training", "n_jobs")
"""Parameters that scikit-learn's perceptrons have not."""
ATTRIBUTES = (
    *("coefs_", "intercepts_", "loss_", "loss_curve_", "best_loss_", "n_iter_", "t_", "n_layers_", "n_outputs_"),
    *("out_activation_", "validation_scores_", "best_validation_score_"),
)


class OptimizerState(NamedTuple):
    """State that `partial_fit` resumes from beside the coefficients: that of the rule, and the learning rate."""

    state: State
    rate: float


class Perceptron(SklearnTwin, BaseEstimator):  # type: ignore[misc]
    """Base of the multi-layer perceptrons."""

    coefs_: list[Array]
    intercepts_: list[Array]
    n_features_in_: int
    history_: History
    _scorer: type[ValidationScorer]
    _labeled: bool

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    @property
    def _precision(self) -> Any:
        return self.coefs_[0].dtype if hasattr(self, "coefs_") else np.float64

    def _open(self, engine: Engine, summary: DataSummary, known: Any, *, exactly: bool) -> tuple[int, str]:
        """Make the targets ready; return the number of outputs, and their activation.

        ``known`` are the classes, if they are; ``exactly`` says that all have to be there.
        """
        raise NotImplementedError

    def _fit(self, X: Any, y: Any, sample_weight: Any, *, goes_on: bool, classes: Any = None) -> Self:
        check_parameters(self)
        if goes_on and self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True")
        anew = not hasattr(self, "coefs_") or not (goes_on or self.warm_start)
        with self._fitting():
            if not anew:
                self._check_known(X)
            inputs = check_fit(
                self, X, y, sample_weight, labeled=self._labeled, multi_output=not self._labeled, finite=True
            )
            with open_engine(*inputs, n_jobs=self.n_jobs) as engine:
                summary: DataSummary = engine.answer(Summary(self._labeled, 1, engine.n_blocks, 0))[0]
                self._require_rows(summary)
                known = classes if anew else getattr(self, "classes_", None)
                opened = self._open(engine, summary, known, exactly=not (anew or goes_on))
                self.n_outputs_, self.out_activation_ = opened
                self._train(engine, summary, anew=anew, goes_on=goes_on)
        return self

    def _train(self, engine: Engine, summary: DataSummary, *, anew: bool, goes_on: bool) -> None:
        rng = check_random_state(self.random_state)
        sizes = [self.n_features_in_, *layer_sizes(self), self.n_outputs_]
        drawn = glorot(sizes, self.activation, rng, summary.precision)
        params = drawn if anew else self._known(drawn)
        loss = NetworkLoss(self.activation, self.out_activation_, float(self.alpha))
        batch_size = batch_rows(self, summary.n_rows)
        first = 0 if anew else len(self.loss_curve_)
        last = first + (1 if goes_on else self.max_iter)
        config = config_of(self, batch_size=batch_size, seed=int(rng.randint(2**31 - 1)), epochs=last)
        progress = self._progress(params, anew=anew, goes_on=goes_on)
        if self.early_stopping:
            order = MinibatchOrder(config.random_state, batch_size, config.validation_fraction, config.shuffle)
            progress.scorer = partial(self._score, engine, order, loss)
        state, history = self._resume_from.state if goes_on and not anew else (), History()
        while progress.epochs < last - first and not progress.stopped:
            start, rule = ResumePoint(first + progress.epochs, state, history), rule_of(self, progress.rate)
            params, history, state = train_on(engine, GradientStep(loss), params, rule, config, progress.goes_on, start)
        self._remember(params, progress, history, OptimizerState(state, progress.rate))
        if not (goes_on or progress.stopped):
            warnings.warn(
                f"Stochastic Optimizer: Maximum iterations ({self.max_iter}) reached and the optimization hasn't "
                "converged yet.",
                ConvergenceWarning,
                stacklevel=4,
            )

    def _progress(self, params: dict[str, Array], *, anew: bool, goes_on: bool) -> MlpProgress:
        """Return where the training stands before its first epoch."""
        rate = float(self.learning_rate_init) if anew or not goes_on else self._resume_from.rate
        if anew:
            return MlpProgress(self, rate)
        losses, scores = list(self.loss_curve_), list(self.validation_scores_ or [])
        progress = MlpProgress(self, rate, None, losses, scores, seen=self.t_)
        if self.best_loss_ is not None:
            progress.best_loss = self.best_loss_
        if self.early_stopping and self.best_validation_score_ is not None:
            progress.best_score, progress.best = self.best_validation_score_, params
        return progress

    def _score(
        self, engine: Engine, order: MinibatchOrder, loss: NetworkLoss, params: dict[str, Array]
    ) -> ValidationScore:
        found: ValidationScore = engine.answer(self._scorer(order, loss, params))[0]
        return found

    def _known(self, drawn: dict[str, Array]) -> dict[str, Array]:
        """Return the coefficients of the last fit by the names of those drawn."""
        held = {f"coefs_{i}": coef for i, coef in enumerate(self.coefs_)}
        held |= {f"intercepts_{i}": intercept for i, intercept in enumerate(self.intercepts_)}
        shapes = {name: array.shape for name, array in drawn.items()}
        if {name: array.shape for name, array in held.items()} != shapes:
            raise ValueError(f"expected the last fit's coefficients to have shapes {shapes}: the layers have changed")
        return {name: held[name].astype(array.dtype, copy=False) for name, array in drawn.items()}

    def _remember(
        self, params: dict[str, Array], progress: MlpProgress, history: History, optimizer: OptimizerState
    ) -> None:
        best = params if progress.best is None else progress.best
        layers = range(len(best) // 2)
        self.coefs_ = [np.array(best[f"coefs_{i}"]) for i in layers]
        self.intercepts_ = [np.array(best[f"intercepts_{i}"]) for i in layers]
        self.n_layers_, self.n_iter_, self.t_ = len(layers) + 1, progress.epochs, progress.seen
        self.loss_curve_, self.loss_ = progress.losses, progress.losses[-1]
        stops = self.early_stopping
        self.best_loss_ = None if stops else progress.best_loss
        self.validation_scores_ = progress.scores if stops else None
        self.best_validation_score_ = progress.best_score if stops else None
        self.history_, self._resume_from = history, optimizer

    def _check_known(self, X: Any) -> None:
        """Check that X has the features of the last fit."""
        if is_dask(X):
            check_features(self, X)
        else:
            validate_data(self, X, reset=False, skip_check_array=True)

    def _require_rows(self, summary: DataSummary) -> None:
        if summary.n_rows == 0:
            shape = (0, self.n_features_in_)
            raise ValueError(f"Found array with 0 sample(s) (shape={shape}) while a minimum of 1 is required.")
        if not summary.weight > 0:
            raise ValueError("sample_weight: expected some positive weights: sample weights are zero")

    def _shaped(self, theirs: type, *args: Any, **options: Any) -> Any:
        """Return scikit-learn's estimator with all that a fit of this shape makes, and the fitted attributes.

        One step on rows of zeros makes what is private to it, such as its encoder of labels.
        """
        shared = {name: value for name, value in self.get_params(deep=False).items() if name not in OURS}
        first = {"random_state": 0, "early_stopping": False, "batch_size": "auto", "verbose": False}
        twin = theirs(**{**shared, **first}).partial_fit(*args, **options).set_params(**shared)
        return self._hand_over(twin, *ATTRIBUTES)

    @contextmanager
    def _fitting(self) -> Iterator[None]:
        """Leave the estimator as it was if the fit fails or is interrupted."""
        before = dict(self.__dict__)
        try:
            yield
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise

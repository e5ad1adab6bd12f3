"""Training of multi-layer perceptrons: parameters, stopping rules, and the parameter server."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple, Self

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted, validate_data

from daskml_kit.base import DaskEstimator, fitting, genuine_class, parameters_of
from daskml_kit.data.collections import is_dask
from daskml_kit.engines.engine import Engine
from daskml_kit.engines.open import open_engine
from daskml_kit.engines.runtime import computing
from daskml_kit.neural_network.full_batch import minimize_network
from daskml_kit.neural_network.scores import ValidationScore, ValidationScorer
from daskml_kit.numerics.feed_forward import ACTIVATIONS, NetworkLoss, glorot
from daskml_kit.optim import State, Update, adam, momentum
from daskml_kit.parameter_server.training.config import (
    VIRTUAL_WORKERS,
    Synchronous,
    TrainingConfig,
    check_training,
    checked,
    random_state_of,
)
from daskml_kit.parameter_server.training.coordinator import ResumePoint, train_on
from daskml_kit.parameter_server.training.history import History
from daskml_kit.parameter_server.training.minibatches import MinibatchOrder
from daskml_kit.parameter_server.training.updates import GradientStep
from daskml_kit.reductions.summary import DataSummary, Summary
from daskml_kit.typing import Array
from daskml_kit.validation import Inputs, check_choice, check_features, check_fit, check_number

SCHEDULES = ("constant", "invscaling", "adaptive")
SOLVERS = ("adam", "sgd", "lbfgs")
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
    "early_stopping": (False, "solver='adam' or 'sgd'", lambda model: model.solver != "lbfgs"),
    "training": (None, "solver='adam' or 'sgd'", lambda model: model.solver != "lbfgs"),
    "batch_size": ("auto", "solver='adam' or 'sgd'", lambda model: model.solver != "lbfgs"),
    "shuffle": (True, "solver='adam' or 'sgd'", lambda model: model.solver != "lbfgs"),
    "learning_rate_init": (0.001, "solver='adam' or 'sgd'", lambda model: model.solver != "lbfgs"),
    "n_iter_no_change": (10, "solver='adam' or 'sgd'", lambda model: model.solver != "lbfgs"),
    "max_fun": (15000, "solver='lbfgs'", lambda model: model.solver == "lbfgs"),
}
"""Parameters that only some settings use: their defaults, what uses them, and whether it does."""


def check_parameters(model: Any) -> None:
    """Raise a ValueError where a parameter of a perceptron cannot be used, or has no use beside the others."""
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
    check_number("max_fun", model.max_fun, low=1, integer=True)
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
    """Return whether it ended because it became no better."""
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


class OptimizerState(NamedTuple):
    """State that `partial_fit` resumes from beside the coefficients: that of the rule, and the learning rate."""

    state: State
    rate: float


def is_stochastic(model: Any) -> bool:
    """Return True where the solver has epochs, and raise an AttributeError where it has none."""
    if model.solver == "lbfgs":
        raise AttributeError("partial_fit is only available for stochastic optimizers, not for solver='lbfgs'")
    return True


OURS = ("history_", "profile_")


def fitted_attributes(model: Any) -> dict[str, Any]:
    """Return the public fitted attributes of an estimator by name."""
    return {name: value for name, value in vars(model).items() if name.endswith("_") and name[0] != "_"}


class MultiLayerPerceptron(DaskEstimator):
    """Base of the multi-layer perceptrons: training by minibatches, or by L-BFGS on all rows."""

    hidden_layer_sizes: Any
    activation: str
    solver: str
    alpha: float
    learning_rate_init: float
    max_iter: int
    max_fun: int
    tol: float
    random_state: Any
    early_stopping: bool
    warm_start: bool
    n_jobs: int | None

    coefs_: list[Array]
    intercepts_: list[Array]
    n_features_in_: int
    history_: History
    _scorer: type[ValidationScorer]

    def to_sklearn(self) -> Any:
        """Return the scikit-learn estimator with the same parameters and fitted state, free of Dask.

        Returns
        -------
        estimator
            `sklearn.neural_network.MLPClassifier` or `MLPRegressor`, whose ``partial_fit`` goes on from here.
        """
        check_is_fitted(self)
        plain = {"solver": "adam", "random_state": 0, "early_stopping": False, "batch_size": "auto", "verbose": False}
        twin = self._unfitted()
        shared = twin.get_params()
        # one step on made-up rows sets what is private to scikit-learn, such as its encoder of labels
        twin.set_params(**plain).partial_fit(*self._made_up_rows()).set_params(**shared)
        vars(twin).update({name: value for name, value in fitted_attributes(self).items() if name not in OURS})
        return twin

    def _unfitted(self) -> Any:
        """Return the scikit-learn estimator with the same parameters."""
        genuine = genuine_class(type(self))
        shared = {name: getattr(self, name) for name in parameters_of(genuine)}
        if isinstance(self.random_state, np.random.Generator):  # which scikit-learn does not take
            shared["random_state"] = random_state_of(self.random_state)
        return genuine(**shared)

    def _fit_by_sklearn(self, inputs: Inputs, *, anew: bool) -> Self:
        """Fit data in memory by scikit-learn's own L-BFGS."""
        twin = self._unfitted() if anew else self.to_sklearn()
        with computing():
            vars(self).update(fitted_attributes(twin.fit(*inputs)))
        self.history_, self._optimizer_state = History(), OptimizerState((), float(self.learning_rate_init))
        return self

    def _made_up_rows(self) -> tuple[Any, ...]:
        """Return rows and targets like those of the fit, as arguments of scikit-learn's ``partial_fit``."""
        raise NotImplementedError

    def _open(self, engine: Engine, summary: DataSummary, known: Any, *, exactly: bool) -> tuple[int, str]:
        """Make the targets ready; return the number of outputs, and their activation.

        ``known`` are the classes, if they are; ``exactly`` says that all have to be there.
        """
        raise NotImplementedError

    def _fit_rows(
        self, X: Any, y: Any, sample_weight: Any, *, labeled: bool, goes_on: bool = False, classes: Any = None
    ) -> Self:
        """Check and open the data, and train: from the start, or where the last fit ended."""
        check_parameters(self)
        if goes_on and self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True")
        anew = not hasattr(self, "coefs_") or not (goes_on or self.warm_start)
        with fitting(self):
            if not anew:
                self._check_known(X)
            inputs = check_fit(self, X, y, sample_weight, labeled=labeled, multi_output=not labeled, finite=True)
            if self.solver == "lbfgs" and not any(is_dask(part) for part in inputs):
                return self._fit_by_sklearn(inputs, anew=anew)
            with open_engine(*inputs, n_jobs=self.n_jobs) as engine:
                summary: DataSummary = engine.answer(Summary(labeled, 1, engine.n_blocks, 0))[0]
                self._require_rows(summary)
                known = classes if anew else getattr(self, "classes_", None)
                opened = self._open(engine, summary, known, exactly=not (anew or goes_on))
                self.n_outputs_, self.out_activation_ = opened
                self._train(engine, summary, anew=anew, goes_on=goes_on)
                self.profile_ = engine.profile
        return self

    def _train(self, engine: Engine, summary: DataSummary, *, anew: bool, goes_on: bool) -> None:
        rng = random_state_of(self.random_state)
        sizes = [self.n_features_in_, *layer_sizes(self), self.n_outputs_]
        drawn = glorot(sizes, self.activation, rng, summary.precision)
        params = drawn if anew else self._known(drawn)
        loss = NetworkLoss(self.activation, self.out_activation_, float(self.alpha))
        progress = self._progress(params, anew=anew, goes_on=goes_on)
        if self.solver == "lbfgs":
            self._minimize(engine, loss, params, progress)
        else:
            epochs = len(progress.losses) + (1 if goes_on else self.max_iter)
            batch_size, seed = batch_rows(self, summary.n_rows), int(rng.randint(2**31 - 1))
            config = config_of(self, batch_size=batch_size, seed=seed, epochs=epochs)
            state = self._optimizer_state.state if goes_on and not anew else ()
            self._descend(engine, loss, params, progress, config, state)
        if not (goes_on or progress.stopped):
            name = "lbfgs" if self.solver == "lbfgs" else "Stochastic Optimizer"
            warnings.warn(
                f"{name}: Maximum iterations ({self.max_iter}) reached and the optimization hasn't converged yet.",
                ConvergenceWarning,
                stacklevel=4,
            )

    def _minimize(self, engine: Engine, loss: NetworkLoss, params: dict[str, Array], progress: MlpProgress) -> None:
        """Train on all rows at once."""
        limits: dict[str, Any] = {"tol": self.tol, "max_iter": self.max_iter, "max_fun": self.max_fun}
        found = minimize_network(engine, loss, params, **limits)
        progress.epochs, progress.stopped, progress.best = found.n_iter, found.converged, found.params
        self._remember(progress, History(), OptimizerState((), progress.rate))
        self.loss_ = found.loss

    def _descend(
        self,
        engine: Engine,
        loss: NetworkLoss,
        params: dict[str, Array],
        progress: MlpProgress,
        config: TrainingConfig,
        state: State,
    ) -> None:
        """Train by minibatches, with the rate of the moment, until the stopping rule ends it."""
        if self.early_stopping:
            order = MinibatchOrder(config.random_state, config.batch_size, config.validation_fraction, config.shuffle)
            progress.scorer = partial(self._score_validation, engine, order, loss)
        history, step = History(), GradientStep(loss)
        while len(progress.losses) < config.epochs and not progress.stopped:
            start, rule = ResumePoint(len(progress.losses), state, history), rule_of(self, progress.rate)
            params, history, state = train_on(engine, step, params, rule, config, progress.goes_on, start)
        progress.best = params if progress.best is None else progress.best
        self._remember(progress, history, OptimizerState(state, progress.rate))

    def _progress(self, params: dict[str, Array], *, anew: bool, goes_on: bool) -> MlpProgress:
        """Return the progress before the first epoch."""
        if anew:
            return MlpProgress(self, float(self.learning_rate_init))
        rate = self._optimizer_state.rate if goes_on else float(self.learning_rate_init)
        progress = MlpProgress(
            self, rate, None, list(self.loss_curve_), list(self.validation_scores_ or []), seen=self.t_
        )
        if self.best_loss_ is not None:
            progress.best_loss = self.best_loss_
        if self.early_stopping and self.best_validation_score_ is not None:
            progress.best_score, progress.best = self.best_validation_score_, params
        return progress

    def _score_validation(
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

    def _remember(self, progress: MlpProgress, history: History, optimizer: OptimizerState) -> None:
        best: dict[str, Array] = progress.best or {}
        layers = range(len(best) // 2)
        self.coefs_ = [np.array(best[f"coefs_{i}"]) for i in layers]
        self.intercepts_ = [np.array(best[f"intercepts_{i}"]) for i in layers]
        self.n_layers_, self.n_iter_, self.t_ = len(layers) + 1, progress.epochs, progress.seen
        self.loss_curve_ = progress.losses
        self.loss_ = progress.losses[-1] if progress.losses else np.inf
        stops = self.early_stopping
        self.best_loss_ = None if stops else progress.best_loss
        self.validation_scores_ = progress.scores if stops else None
        self.best_validation_score_ = progress.best_score if stops else None
        self.history_, self._optimizer_state = history, optimizer

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

"""Training of multi-layer perceptrons: parameters, stopping rules, and the parameter server."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, NamedTuple, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted, validate_data

from daskml_kit.arguments import check_choice, check_number, random_state_of
from daskml_kit.base import DaskEstimator, check_common, fitting, genuine_class, parameters_of
from daskml_kit.data.collections import is_dask
from daskml_kit.engines.checkpoint import unlogged
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
    apart_from_places,
    check_training,
    checked,
)
from daskml_kit.parameter_server.training.coordinator import train_on
from daskml_kit.parameter_server.training.history import History
from daskml_kit.parameter_server.training.minibatches import MinibatchOrder
from daskml_kit.parameter_server.training.reached import Reached, TrainingProgress, resumed
from daskml_kit.parameter_server.training.updates import BlockSizes, GradientStep
from daskml_kit.reductions.summary import DataSummary, Summary
from daskml_kit.typing import Array
from daskml_kit.validation import Inputs, check_features, check_fit

SCHEDULES = ("constant", "invscaling", "adaptive")
SOLVERS = ("adam", "sgd", "lbfgs")
AUTO_BATCH = 200
ROWS_PER_VIRTUAL_WORKER = 100
UNUSED: dict[str, tuple[tuple[str, ...], Callable[[Any], bool]]] = {
    "solver='sgd'": (("learning_rate", "momentum", "nesterovs_momentum"), lambda model: model.solver == "sgd"),
    "learning_rate='invscaling'": (("power_t",), lambda model: model.learning_rate == "invscaling"),
    "solver='adam'": (("beta_1", "beta_2", "epsilon"), lambda model: model.solver == "adam"),
    "early_stopping=True": (("validation_fraction",), lambda model: model.early_stopping),
    "solver='adam' or 'sgd'": (
        ("early_stopping", "training", "batch_size", "shuffle", "learning_rate_init", "n_iter_no_change"),
        lambda model: model.solver != "lbfgs",
    ),
    "solver='lbfgs'": (("max_fun",), lambda model: model.solver == "lbfgs"),
}
"""Settings that parameters are used with only: these parameters, and whether a model has the setting."""


def check_parameters(model: Any) -> None:
    """Raise a ValueError where a parameter of a perceptron cannot be used; warn of one that has no use here."""
    check_common(model)
    check_choice("solver", model.solver, SOLVERS)
    check_choice("activation", model.activation, tuple(ACTIVATIONS))
    check_choice("learning_rate", model.learning_rate, SCHEDULES)
    for name in ("alpha", "tol", "power_t"):
        check_number(name, getattr(model, name), low=0)
    for name in ("learning_rate_init", "epsilon"):
        check_number(name, getattr(model, name), low=0, strict=True)
    for name in ("momentum", "beta_1", "beta_2"):
        check_number(name, getattr(model, name), low=0, below=1)
    check_number("validation_fraction", model.validation_fraction, low=0, below=1, strict=bool(model.early_stopping))
    check_number("max_iter", model.max_iter, low=1, integer=True)
    check_number("max_fun", model.max_fun, low=1, integer=True)
    check_number("n_iter_no_change", model.n_iter_no_change, low=1, integer=model.n_iter_no_change != np.inf)
    if model.batch_size != "auto":
        check_number("batch_size", model.batch_size, low=1, integer=True)
    defaults = type(model)().get_params()
    for setting, (names, is_set) in UNUSED.items():
        for name in names:
            value, default = getattr(model, name), defaults[name]
            if value != default and not is_set(model):
                told = f"{name}={value!r} has no effect: it is used with {setting} only"
                if name == "training":
                    raise ValueError(told)
                warnings.warn(told, UserWarning, stacklevel=5)  # programs for scikit-learn, which says nothing, go on
    config_of(model, batch_size=AUTO_BATCH, seed=0, epochs=1)


def layer_sizes(model: Any) -> list[int]:
    """Return the units of each hidden layer."""
    sizes = model.hidden_layer_sizes
    given = list(sizes) if hasattr(sizes, "__iter__") else [sizes]
    for size in given:
        if not isinstance(size, (int, np.integer)) or isinstance(size, bool) or size <= 0:
            raise ValueError(f"hidden_layer_sizes must be > 0, whole numbers, got {sizes!r}")
    return [int(size) for size in given]


SHORT_STEP = 1e8
"""Operations of a step, below which it takes no longer than a round trip to a cluster: some milliseconds."""


def has_short_steps(model: Any, n_features: int) -> bool:
    """Return whether steps by minibatches, of which nobody said where to make them, are too short for a cluster."""
    sizes = [n_features, *layer_sizes(model)]
    products = sum(a * b for a, b in pairwise(sizes))
    chosen = model.training is None and model.solver != "lbfgs"
    return chosen and 6 * products * batch_rows(model, 2**62) <= SHORT_STEP


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


LEAST_RATE = 1e-6
"""An adaptive rate at or below this ends the training, as in scikit-learn."""

Scorer = Callable[[dict[str, Array]], ValidationScore]
"""Scores parameters on the validation rows."""


NOTED = ("n_iter_", "t_", "loss_", "loss_curve_", "best_loss_", "validation_scores_", "best_validation_score_")
"""Fitted attributes that change with epochs."""
BEST = "at_best_"
"""Before the names of the best parameters in a checkpoint."""


@dataclass
class MlpProgress(TrainingProgress):
    """Training between its epochs: scikit-learn's stopping rules, and the fitted attributes that change with epochs.

    Parameters
    ----------
    model : perceptron
        Whose parameters say when to stop, and whose attributes are kept up to date.
    rate : float
        The learning rate of the epochs to come.
    scorer : callable, optional
        Where rows are held out.
    best : dict of arrays, optional
        The parameters with the highest validation score.
    """

    model: Any
    rate: float
    scorer: Scorer | None = None
    best: dict[str, Array] | None = None
    stopped: bool = False
    """Whether training ended because it became no better."""
    _bad: int = 0

    def kept(self) -> dict[str, Any]:
        noted = {name: getattr(self.model, name) for name in NOTED}
        best = {f"{BEST}{name}": array for name, array in (self.best or {}).items()}
        return {**noted, **best, "rate": self.rate, "stopped": self.stopped, "bad": self._bad}

    def take_up(self, kept: Mapping[str, Any]) -> None:
        vars(self.model).update({name: kept[name] for name in NOTED})
        self.rate, self.stopped, self._bad = (kept[name] for name in ("rate", "stopped", "bad"))
        self.best = {n.removeprefix(BEST): array for n, array in kept.items() if n.startswith(BEST)} or None

    def goes_on(self, history: History, params: dict[str, Array]) -> bool:
        """Take note of an epoch; return whether the next has the same rate, and there is one."""
        model, record = self.model, history.epochs[-1]
        model.n_iter_ += 1
        model.t_ += record.n_rows
        model.loss_ = np.float64(record.loss)
        model.loss_curve_.append(model.loss_)
        self._bad = 0 if self._is_better(params) else self._bad + 1
        before = self.rate
        if model.learning_rate == "invscaling":
            self.rate = model.learning_rate_init / (model.t_ + 1) ** model.power_t
        if self._bad > model.n_iter_no_change:
            self._bad = 0
            self.stopped = model.learning_rate != "adaptive" or self.rate <= LEAST_RATE
            self.rate /= 1 if self.stopped else 5
        return not self.stopped and self.rate == before

    def _is_better(self, params: dict[str, Array]) -> bool:
        model = self.model
        if self.scorer is None:
            best, model.best_loss_ = model.best_loss_, min(model.best_loss_, model.loss_)
            return bool(model.loss_ <= best - model.tol)
        score, n_rows = self.scorer(params)
        if n_rows < 2:
            raise ValueError(
                "The validation set is too small. Increase 'validation_fraction' or the size of your dataset: a share "
                f"of each block is held out, {n_rows} rows in all"
            )
        model.validation_scores_.append(score)
        best = model.best_validation_score_
        if score > best:
            model.best_validation_score_, self.best = score, {name: array.copy() for name, array in params.items()}
        return not score < best + model.tol


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


class MultiLayerPerceptron(DaskEstimator, BaseEstimator):  # type: ignore[misc]
    """Base of the multi-layer perceptrons: training by minibatches, or by L-BFGS on all rows.

    Parameters
    ----------
    hidden_layer_sizes : int or sequence of int, default (100,)
        Units of each hidden layer.
    activation : {"relu", "tanh", "logistic", "identity"}, default "relu"
        Of the hidden units.
    solver : {"adam", "sgd", "lbfgs"}, default "adam"
        Rule of the steps by minibatches; or L-BFGS on all rows, a pass over Dask data for each evaluation of the loss,
        and scikit-learn's own on data in memory.
    alpha : float, default 0.0001
        Strength of the l2 penalty, divided by the rows of a minibatch.
    batch_size : int or "auto", default "auto"
        Rows of a minibatch, "auto" is 200, at most all. It never has rows of two blocks; of a synchronous step,
        each virtual worker has its share, rounded down. In asynchronous training it is that of one worker.
    learning_rate : {"constant", "invscaling", "adaptive"}, default "constant"
        With ``solver="sgd"``; the others change the rate between epochs, by scikit-learn's rules.
    learning_rate_init : float, default 0.001
        The first learning rate.
    power_t : float, default 0.5
        With ``learning_rate="invscaling"``.
    max_iter : int, default 200
        The most epochs, or iterations of L-BFGS.
    shuffle : bool, default True
        Whether rows are visited in an order drawn anew each epoch, block by block.
    random_state : int, RandomState, Generator or None, optional
        Of the first coefficients, which are scikit-learn's, of the order of rows, and of what is held out.
    tol : float, default 1e-4
        Least improvement of the loss or score that counts; with "lbfgs" the bound of the gradient.
    verbose : bool, default False
        Show a bar with loss and rows a second.
    warm_start : bool, default False
        Start from the last fit's coefficients.
    momentum : float, default 0.9
        With ``solver="sgd"``, from 0 to below 1.
    nesterovs_momentum : bool, default True
        With ``solver="sgd"``.
    early_stopping : bool, default False
        Hold rows out, stop by their score, and keep the coefficients that have the best.
    validation_fraction : float, default 0.1
        The share of each block's rows that is held out, drawn at random.
    beta_1 : float, default 0.9
        With ``solver="adam"``: decay of the mean of gradients.
    beta_2 : float, default 0.999
        With ``solver="adam"``: decay of the mean of their squares.
    epsilon : float, default 1e-8
        With ``solver="adam"``: that of the paper's algorithm 1; scikit-learn's is not corrected for bias.
    n_iter_no_change : int, default 10
        Training ends when more epochs than this in a row were no better by ``tol``.
    max_fun : int, default 15000
        With ``solver="lbfgs"``: evaluations of the loss at most.
    training : Synchronous or Asynchronous, default ``Synchronous()``
        Whether workers train in step, with the same bits for any number of them, or each at its own pace. By default
        each minibatch's gradient is pushed, and a synchronous step has one virtual worker for each 100 rows, at most 8.
    n_jobs : int, optional
        Threads of a fit that needs no cluster; by default one a processor.

    Attributes
    ----------
    coefs_ : list of arrays of shape (inputs, units)
        Weights of each layer.
    intercepts_ : list of arrays of shape (units,)
        Intercepts of each layer.
    n_layers_ : int
        Layers, the input's included.
    n_outputs_ : int
        Output units.
    out_activation_ : str
        Activation of the output units.
    n_iter_ : int
        Epochs of the last fit.
    t_ : int
        Rows trained on in all epochs.
    loss_ : float
        The last loss.
    best_loss_ : float or None
        The lowest; None with ``early_stopping``.
    loss_curve_ : list of float
        The mean loss over each epoch, each minibatch's at the coefficients that it met.
    validation_scores_ : list of float or None
        With ``early_stopping``: the score after each epoch.
    best_validation_score_ : float or None
        With ``early_stopping``: the highest.
    history_ : daskml_kit.parameter_server.History
        Of the last fit: losses, pace, staleness, idle shares; ``history_.plot()`` draws them.
    profile_ : daskml_kit.engines.engine.Profile
        Passes over the data.
    """

    loss_curve_: list[float]
    validation_scores_: list[float] | None
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
        fitted = {name: value for name, value in fitted_attributes(self).items() if name not in OURS}
        vars(twin).update(deepcopy(fitted))  # its fits write into what they go on from
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
            self.__dict__.update(fitted_attributes(twin.fit(*inputs)))
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
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        *,
        labeled: bool,
        goes_on: bool = False,
        classes: Any = None,
        checkpoint: Any = None,
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
                if checkpoint is not None:
                    raise ValueError("checkpoint: expected None with solver='lbfgs' on data in memory, give Dask data")
                return self._fit_by_sklearn(inputs, anew=anew)
            short = has_short_steps(self, self.n_features_in_)
            before = None if anew else (self.coefs_, self.intercepts_)
            setting = {**self.get_params(), "training": apart_from_places(self.training)}, before
            options = {"n_jobs": self.n_jobs, "checkpoint": checkpoint, "setting": setting}
            with open_engine(*inputs, **options, short_steps=short) as engine:
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
        progress = self._begin(params, anew=anew, goes_on=goes_on)
        if self.solver == "lbfgs":
            self._minimize(engine, loss, params, progress)
        else:
            epochs = len(self.loss_curve_) + (1 if goes_on else self.max_iter)
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
        self.n_iter_, self.loss_, progress.stopped = found.n_iter, found.loss, found.converged
        self._remember(found.params, History(), OptimizerState((), progress.rate))

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
            progress.scorer = lambda params: unlogged(engine).answer(self._scorer(order, loss, params))[0]
        step, sizes = GradientStep(loss), engine.answer(BlockSizes())[0]
        reached = Reached(params, state, len(self.loss_curve_))
        reached, config = resumed(engine, rule_of(self, progress.rate), config, reached, progress)
        while len(self.loss_curve_) < config.epochs and not progress.stopped:
            rule = rule_of(self, progress.rate)
            params, history, state = train_on(engine, step, rule, config, reached, progress, sizes)
            reached = Reached(params, state, len(self.loss_curve_), history)
        optimizer = OptimizerState(reached.state, progress.rate)
        self._remember(reached.params if progress.best is None else progress.best, reached.history, optimizer)

    def _begin(self, params: dict[str, Array], *, anew: bool, goes_on: bool) -> MlpProgress:
        """Give the attributes that epochs change the values before the first, and return the progress."""
        if anew:
            self.loss_curve_, self.validation_scores_, self.t_ = [], [], 0
            self.best_loss_ = self.best_validation_score_ = None
        scored = self.early_stopping and self.best_validation_score_ is not None
        self.n_iter_, self.loss_curve_ = 0, [*self.loss_curve_]
        self.loss_ = self.loss_curve_[-1] if self.loss_curve_ else np.inf
        if self.early_stopping:
            self.best_loss_, self.validation_scores_ = None, [*(self.validation_scores_ or ())]
            self.best_validation_score_ = self.best_validation_score_ if scored else -np.inf
        else:
            self.best_loss_ = np.inf if self.best_loss_ is None else self.best_loss_
            self.validation_scores_ = self.best_validation_score_ = None
        rate = self._optimizer_state.rate if goes_on and not anew else float(self.learning_rate_init)
        return MlpProgress(self, rate, best=params if scored else None)

    def _known(self, drawn: dict[str, Array]) -> dict[str, Array]:
        """Return the coefficients of the last fit by the names of those drawn."""
        held = {f"coefs_{i}": coef for i, coef in enumerate(self.coefs_)}
        held |= {f"intercepts_{i}": intercept for i, intercept in enumerate(self.intercepts_)}
        shapes = {name: array.shape for name, array in drawn.items()}
        if {name: array.shape for name, array in held.items()} != shapes:
            raise ValueError(f"expected the last fit's coefficients to have shapes {shapes}: the layers have changed")
        return {name: held[name].astype(array.dtype, copy=False) for name, array in drawn.items()}

    def _remember(self, params: dict[str, Array], history: History, optimizer: OptimizerState) -> None:
        layers = range(len(params) // 2)
        self.coefs_ = [np.array(params[f"coefs_{i}"]) for i in layers]
        self.intercepts_ = [np.array(params[f"intercepts_{i}"]) for i in layers]
        self.n_layers_, self.history_, self._optimizer_state = len(layers) + 1, history, optimizer

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

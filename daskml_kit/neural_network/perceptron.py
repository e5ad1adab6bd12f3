"""What multi-layer perceptrons have in common: how a fit goes, and what is left of it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import validate_data

from daskml_kit.engines.blocks import is_dask
from daskml_kit.engines.engine import Engine
from daskml_kit.engines.opening import open_engine
from daskml_kit.neural_network.held_out import HeldOut, Judged
from daskml_kit.neural_network.plan import batch_rows, check_parameters, layer_sizes, rule_of, setting_of
from daskml_kit.neural_network.progress import Progress
from daskml_kit.numerics.network import NetworkLoss, glorot
from daskml_kit.parameter_server.training.batches import Order
from daskml_kit.parameter_server.training.history import History
from daskml_kit.parameter_server.training.run import Start, train_on
from daskml_kit.parameter_server.training.steps import Gradients
from daskml_kit.queries.survey import Overview, Survey
from daskml_kit.solvers.updates import State
from daskml_kit.twin import SklearnTwin
from daskml_kit.typing import Array
from daskml_kit.validation import check_features, check_fit

OURS = ("mode", "staleness", "push_every", "lanes", "backup", "n_jobs")
"""Parameters that scikit-learn's perceptrons have not."""
ATTRIBUTES = (
    *("coefs_", "intercepts_", "loss_", "loss_curve_", "best_loss_", "n_iter_", "t_", "n_layers_", "n_outputs_"),
    *("out_activation_", "validation_scores_", "best_validation_score_"),
)


class Kept(NamedTuple):
    """What `partial_fit` goes on from beside the coefficients: the state of the rule, and the rate of learning."""

    state: State
    rate: float


class Perceptron(SklearnTwin, BaseEstimator):  # type: ignore[misc]
    """Base of the multi-layer perceptrons."""

    coefs_: list[Array]
    intercepts_: list[Array]
    n_features_in_: int
    history_: History
    _held_out: type[HeldOut]
    _labelled: bool

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    @property
    def _precision(self) -> Any:
        return self.coefs_[0].dtype if hasattr(self, "coefs_") else np.float64

    def _open(self, engine: Engine, overview: Overview, known: Any, *, exactly: bool) -> tuple[int, str]:
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
                self, X, y, sample_weight, labelled=self._labelled, multi_output=not self._labelled, finite=True
            )
            with open_engine(*inputs, n_jobs=self.n_jobs) as engine:
                overview: Overview = engine.answer(Survey(self._labelled, 1, engine.n_blocks, 0))[0]
                self._require_rows(overview)
                known = classes if anew else getattr(self, "classes_", None)
                opened = self._open(engine, overview, known, exactly=not (anew or goes_on))
                self.n_outputs_, self.out_activation_ = opened
                self._train(engine, overview, anew=anew, goes_on=goes_on)
        return self

    def _train(self, engine: Engine, overview: Overview, *, anew: bool, goes_on: bool) -> None:
        rng = check_random_state(self.random_state)
        sizes = [self.n_features_in_, *layer_sizes(self), self.n_outputs_]
        drawn = glorot(sizes, self.activation, rng, overview.precision)
        params = drawn if anew else self._known(drawn)
        loss = NetworkLoss(self.activation, self.out_activation_, float(self.alpha))
        batch_size = batch_rows(self, overview.n_rows)
        first = 0 if anew else len(self.loss_curve_)
        last = first + (1 if goes_on else self.max_iter)
        setting = setting_of(self, batch_size=batch_size, seed=int(rng.randint(2**31 - 1)), epochs=last)
        progress = self._progress(params, anew=anew, goes_on=goes_on)
        if self.early_stopping:
            order = Order(setting.random_state, batch_size, setting.validation_fraction, setting.shuffle)
            progress.judge = partial(self._judge, engine, order, loss)
        state, history = self._kept.state if goes_on and not anew else (), History()
        while progress.epochs < last - first and not progress.stopped:
            start, rule = Start(first + progress.epochs, state, history), rule_of(self, progress.rate)
            params, history, state = train_on(engine, Gradients(loss), params, rule, setting, progress.goes_on, start)
        self._remember(params, progress, history, Kept(state, progress.rate))
        if not (goes_on or progress.stopped):
            warnings.warn(
                f"Stochastic Optimizer: Maximum iterations ({self.max_iter}) reached and the optimization hasn't "
                "converged yet.",
                ConvergenceWarning,
                stacklevel=4,
            )

    def _progress(self, params: dict[str, Array], *, anew: bool, goes_on: bool) -> Progress:
        """Return where the training stands before its first epoch."""
        rate = float(self.learning_rate_init) if anew or not goes_on else self._kept.rate
        if anew:
            return Progress(self, rate)
        losses, scores = list(self.loss_curve_), list(self.validation_scores_ or [])
        progress = Progress(self, rate, None, losses, scores, seen=self.t_)
        if self.best_loss_ is not None:
            progress.best_loss = self.best_loss_
        if self.early_stopping and self.best_validation_score_ is not None:
            progress.best_score, progress.best = self.best_validation_score_, params
        return progress

    def _judge(self, engine: Engine, order: Order, loss: NetworkLoss, params: dict[str, Array]) -> Judged:
        judged: Judged = engine.answer(self._held_out(order, loss, params))[0]
        return judged

    def _known(self, drawn: dict[str, Array]) -> dict[str, Array]:
        """Return the coefficients of the last fit by the names of those drawn."""
        held = {f"coefs_{i}": coef for i, coef in enumerate(self.coefs_)}
        held |= {f"intercepts_{i}": intercept for i, intercept in enumerate(self.intercepts_)}
        shapes = {name: array.shape for name, array in drawn.items()}
        if {name: array.shape for name, array in held.items()} != shapes:
            raise ValueError(f"expected the last fit's coefficients to have shapes {shapes}: the layers have changed")
        return {name: held[name].astype(array.dtype, copy=False) for name, array in drawn.items()}

    def _remember(self, params: dict[str, Array], progress: Progress, history: History, kept: Kept) -> None:
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
        self.history_, self._kept = history, kept

    def _check_known(self, X: Any) -> None:
        """Check that X has the features of the last fit."""
        if is_dask(X):
            check_features(self, X)
        else:
            validate_data(self, X, reset=False, skip_check_array=True)

    def _require_rows(self, overview: Overview) -> None:
        if overview.n_rows == 0:
            shape = (0, self.n_features_in_)
            raise ValueError(f"Found array with 0 sample(s) (shape={shape}) while a minimum of 1 is required.")
        if not overview.weight > 0:
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

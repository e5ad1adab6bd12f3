"""Training of SGDClassifier and SGDRegressor: parameters, preconditioner, minibatches, and the parameter server."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator, is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import validate_data

from daskml_kit.arguments import check_choice, check_number, check_share, random_state_of
from daskml_kit.base import DaskEstimator, check_common, fitting, parameters_of
from daskml_kit.data.collections import is_dask
from daskml_kit.engines.engine import Engine
from daskml_kit.engines.open import open_engine
from daskml_kit.exceptions import DataError
from daskml_kit.linear_model.base import require_rows
from daskml_kit.linear_model.sgd_rows import RowSgdStep
from daskml_kit.linear_model.sgd_step import (
    OPTIMIZERS,
    LinearSgdStep,
    PassiveAggressive,
    Preconditioner,
    TargetReader,
    identity,
    named_rule,
    standardized,
    tuned_rule,
)
from daskml_kit.numerics.losses import Loss
from daskml_kit.numerics.penalties import shrinkage
from daskml_kit.parameter_server import History, Synchronous, add
from daskml_kit.parameter_server.training.config import (
    VIRTUAL_WORKERS,
    TrainingConfig,
    apart_from_places,
    check_training,
    checked,
)
from daskml_kit.parameter_server.training.coordinator import train_on
from daskml_kit.parameter_server.training.reached import Reached, TrainingProgress, resumed
from daskml_kit.parameter_server.training.updates import BlockSizes
from daskml_kit.reductions.reduction import Joint
from daskml_kit.reductions.summary import DataSummary, Summary
from daskml_kit.typing import Array
from daskml_kit.validation import check_features, check_fit

RATES = ("auto", "optimal", "constant", "invscaling", "adaptive", "pa1", "pa2")
PASSIVE_AGGRESSIVE = ("pa1", "pa2")


def check_parameters(model: Any) -> None:
    """Raise where a parameter is unknown, out of its range, or of no use beside the others."""
    check_common(model)
    check_choice("loss", model.loss, model.losses)
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
    check_number("validation_fraction", model.validation_fraction, low=0, below=1, strict=True)
    if model.l1_ratio is not None:
        check_share("l1_ratio", model.l1_ratio)
    model._penalty()
    check_choice("optimizer", model.optimizer, OPTIMIZERS)
    check_choice("learning_rate", model.learning_rate, RATES)
    if model.learning_rate != "auto" and model.optimizer not in ("auto", "sgd"):
        raise ValueError(
            f"learning_rate: expected 'auto' with optimizer={model.optimizer!r}, whose rate is its own or eta0, "
            f"got {model.learning_rate!r}; optimizer='sgd' takes it"
        )
    if model._rule_name == "sgd" and model._rate == "optimal" and not model.alpha:
        raise ValueError("alpha: expected a number above 0, of which learning_rate='optimal' is made, got 0")
    only = model.passive_aggressive_loss
    if model.learning_rate in PASSIVE_AGGRESSIVE and model.loss != only:
        raise ValueError(f"learning_rate={model.learning_rate!r}: expected loss={only!r}, got {model.loss!r}")
    checked(model._config(MinibatchPlan(1, 1, 1, 1)))


def check_validation_rows(fraction: float, sizes: Sequence[int]) -> None:
    """Raise where no block has a row to hold out."""
    if fraction and not any(int(size * fraction) for size in sizes):
        raise DataError(
            f"validation_fraction={fraction} of {sum(sizes)} samples in {len(sizes)} blocks led to an empty set: "
            "increase it, or disable early_stopping"
        )


BATCH, ROW_BATCH, MOST_BATCHES = 512, 8_192, 64
HELD_BYTES = 32 * 2**20
"""Memory that the minibatches between two pushes may hold."""
WIDE, MANY_ZEROS, ROWS_OF_ONE = 100, 1e8, 200_000
"""Features for each number of a row, and coefficients in all minibatches, from which steps of rows pay; and the rows
that a virtual worker then visits."""
STEPS, PUSHES = 16, 4
"""Least steps of a virtual worker in an epoch where rows are few, and its pushes where they are many."""


class MinibatchPlan(NamedTuple):
    """Rows of a minibatch of one worker, virtual workers of synchronous steps, and minibatches between pushes.

    Parameters
    ----------
    batch_size, virtual_workers : int
    push_every : int
        In synchronous training.
    most_batches : int
        Bound of ``push_every`` in asynchronous training.
    """

    batch_size: int
    virtual_workers: int
    push_every: int
    most_batches: int


class BlockSummary(NamedTuple):
    """Summary of the data, and the number of rows of each block."""

    data: DataSummary
    sizes: Sequence[int]

    def steps_by_row(self, n_columns: int) -> bool:
        """Return whether steps of single rows pay: rows are sparse, and minibatches would go over many zeros.

        Where they would go over few, this is not so that nothing is compiled.
        """
        X, steps = self.data.sample_X, self.data.n_rows / BATCH
        row = X.nnz / max(X.shape[0], 1) if sp.issparse(X) else X.shape[1]
        return bool(X.shape[1] > WIDE * row and steps * X.shape[1] * n_columns > MANY_ZEROS)

    def plan(self, virtual_workers: int | None, batch_size: int | None, *, by_row: bool = False) -> MinibatchPlan:
        """Return the minibatches of an epoch; ``batch_size`` is decided here where it is None.

        Measured on a million rows of 28 features: with 4 pushes a virtual worker an epoch ends at the loss of 32 to
        1e-5. Of many sparse features most are seen by few virtual workers, of which the mean shortens the steps: on
        500,000 words an epoch of 8 ends 5 percent above that of 2.
        """
        default = max(min(self.data.n_rows // ROWS_OF_ONE, VIRTUAL_WORKERS), 1) if by_row else VIRTUAL_WORKERS
        virtual_workers = min(virtual_workers or default, len(self.sizes))
        rows = max(self.data.n_rows // virtual_workers, 1)
        batch = batch_size or int(np.clip(rows // STEPS, 8, ROW_BATCH if by_row else BATCH))
        X = self.data.sample_X
        held = X.data.nbytes + X.indices.nbytes if sp.issparse(X) else X.nbytes
        row_bytes = max(int(held // max(X.shape[0], 1)), 1)
        most = int(np.clip(HELD_BYTES // (batch * row_bytes), 1, MOST_BATCHES))
        pushes = PUSHES if virtual_workers > 1 else 1
        return MinibatchPlan(batch, virtual_workers, int(np.clip(-(-rows // (batch * pushes)), 1, most)), most)


SAMPLE = 4_000
"""Rows from which the scale of the features is taken."""
LEAST_RATE = 1e-6
"""An adaptive rate at or below this ends the training where it stalls, as in scikit-learn."""


class SgdState(NamedTuple):
    """State that training resumes from: the preconditioner, the optimizer, and parameters with the rule's state."""

    preconditioner: Preconditioner
    optimizer: tuple[str, bool]
    params: dict[str, Array]


@dataclass
class AdaptiveRate(TrainingProgress):
    """Adaptive learning rate, divided by 5 where training has stalled.

    Parameters
    ----------
    rate : float
    tol : float, optional
        None never stalls.
    patience : int
        Epochs without a loss that is lower by ``tol``, after which training has stalled.
    """

    rate: float
    tol: float | None
    patience: int
    stopped: bool = False
    _best: float = np.inf
    _bad_epochs: int = 0

    def kept(self) -> dict[str, Any]:
        return asdict(self)

    def take_up(self, kept: Mapping[str, Any]) -> None:
        vars(self).update(kept)

    def goes_on(self, history: History, params: dict[str, Array]) -> bool:
        """Return whether training goes on with the same rate after an epoch."""
        record = history.epochs[-1]
        loss = record.loss if np.isnan(record.validation_loss) else record.validation_loss
        if self.tol is None:
            return True
        self._bad_epochs = self._bad_epochs + 1 if loss > self._best - self.tol else 0
        self._best = min(self._best, loss)
        if self._bad_epochs < self.patience:
            return True
        self.stopped = self.rate <= LEAST_RATE
        self.rate, self._bad_epochs = self.rate / 5, 0
        return False


class LinearProblem(NamedTuple):
    """Problem of a fit: the loss of a row, its targets, the preconditioner, and the first coefficients."""

    row_loss: Loss
    target: TargetReader
    preconditioner: Preconditioner
    coef: Array


class StochasticModel(DaskEstimator, BaseEstimator):  # type: ignore[misc]
    """Base of the linear models that are trained by stochastic gradients.

    Parameters
    ----------
    penalty : {"l2", "l1", "elasticnet", None}, default "l2"
        Penalty of the coefficients; the l1 norm is a proximal step after each step.
    alpha : float, default 0.0001
        Strength of the penalty.
    l1_ratio : float, default 0.15
        :math:`\\rho` above with ``penalty="elasticnet"``; it is 0 with "l2", 1 with "l1".
    fit_intercept : bool, default True
        Whether there is an intercept, which is not penalized.
    max_iter : int, default 1000
        Epochs at most.
    tol : float or None, default 1e-3
        Training ends when an epoch's mean objective has not become better by ``tol`` in ``n_iter_no_change`` epochs.
    shuffle : bool, default True
        Whether rows are visited in an order drawn anew each epoch, within their blocks.
    verbose : int, default 0
        Above 0, print passes and a progress bar with loss and rows a second.
    epsilon : float, default 0.1
        Where "huber" and the losses that are insensitive change, in units of the target.
    n_jobs : int, optional
        Threads where there is no cluster; by default one a processor.
    random_state : int, RandomState, Generator or None, optional
        Seed of the orders of rows, and of the choice of validation rows.
    learning_rate : str, default "auto"
        "optimal", "constant", "invscaling", "adaptive", "pa1" or "pa2" with ``optimizer="sgd"``, as in scikit-learn; a
        step is the mean of a minibatch, so ``batch_size=1`` is scikit-learn's. "auto" is scikit-learn's default there;
        the other optimizers have rates of their own.
    eta0 : float, optional
        With ``optimizer="sgd"`` as in scikit-learn, 0.01 by default. With another, its rate, in place of the one that
        the scale of the data gives.
    early_stopping : bool, default False
        Whether the loss of validation rows decides in place of the objective.
    validation_fraction : float, default 0.1
        The share of each block that is held out then.
    n_iter_no_change : int, default 5
        Epochs without improvement after which training ends, or an adaptive rate is divided by 5.
    warm_start : bool, default False
        Start from the last fit's coefficients.
    average : bool or int, default False
        Whether the coefficients are the mean over all steps, or those after so many rows. Each worker goes on with
        the running mean from where the servers have it.
    optimizer : {"auto", "sgd", "momentum", "adagrad", "adam"}, default "auto"
        "auto" is Adagrad, and plain descent where ``learning_rate`` is given.
    batch_size : int, optional
        Rows of a minibatch of one worker; by default 512, fewer where there are few rows, and one where many rows are
        sparse and have many features, as texts have: Adagrad's steps then cost what a row has numbers.
    training : Synchronous or Asynchronous, default ``Synchronous()``
        Whether workers train in step, with the same bits for any number of them, or each at its own pace. See
        `daskml_kit.parameter_server.Synchronous`.

    Attributes
    ----------
    n_iter_ : int
        Epochs.
    t_ : float
        One more than the rows visited.
    history_ : daskml_kit.parameter_server.History
        Losses, pace and staleness of the training.
    profile_ : daskml_kit.engines.engine.Profile
        Passes over the data.
    """

    losses: ClassVar[tuple[str, ...]]
    default_rate: ClassVar[str]
    passive_aggressive_loss: ClassVar[str]

    def to_sklearn(self) -> Any:
        """Return the scikit-learn estimator with the same parameters and fitted state, free of Dask.

        Returns
        -------
        estimator
            `sklearn.linear_model.SGDClassifier` or `SGDRegressor`; its ``partial_fit`` goes on from here.
        """
        twin = super().to_sklearn()
        for name in ("history_", "_state"):
            vars(twin).pop(name, None)
        if twin.average and hasattr(self, "coef_"):  # its partial_fit goes on averaging
            twin._standard_coef, twin._standard_intercept = twin.coef_.copy(), twin.intercept_.copy()
            twin._average_coef, twin._average_intercept = twin.coef_.copy(), twin.intercept_.copy()
        return twin

    def _sklearn_parameters(self, genuine: type[Any]) -> dict[str, Any]:
        shared = {name: getattr(self, name) for name in parameters_of(genuine)}
        return {**shared, "learning_rate": self._rate, "eta0": 0.01 if self.eta0 is None else self.eta0}

    def _summarize(self, engine: Engine, *, labeled: bool) -> BlockSummary:
        """Summarize the data in one pass."""
        rows = min(SAMPLE, max(HELD_BYTES // (8 * self.n_features_in_), 100))
        summaries = Joint((Summary(labeled, rows, engine.n_blocks), BlockSizes()))
        found = BlockSummary(*(answer for (answer,) in engine.answer(summaries)))
        require_rows(found.data.n_rows, found.data.weight, self.n_features_in_)
        return found

    def _precondition(self, summary: DataSummary, target_scale: float = 1.0) -> Preconditioner:
        """Return the preconditioner that standardizes features; for plain descent none, as in scikit-learn."""
        if self._rule_name == "sgd":
            return identity(self.n_features_in_)
        X, weight = summary.sample_X, summary.sample_weight
        return standardized(X, weight, centered=bool(self.fit_intercept), target_scale=target_scale)

    def _problem(self, engine: Engine, summary: DataSummary, classes: Any) -> LinearProblem:
        """Make the targets ready, whose classes are known beforehand or None, and return what is to be minimized."""
        raise NotImplementedError

    def _fit_rows(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        coef_init: Any = None,
        intercept_init: Any = None,
        *,
        more: bool = False,
        classes: Any = None,
        checkpoint: Any = None,
    ) -> Self:
        """Check and open the data, and train: from the start, or with ``more`` for one epoch from the last training."""
        check_parameters(self)
        with fitting(self):
            if more:
                self._check_more(X)
            else:
                self.t_ = 1.0
            labeled = is_classifier(self)
            inputs = check_fit(self, X, y, sample_weight, labeled=labeled)
            last = self._last() if self.warm_start else None
            own = {**self.get_params(), "training": apart_from_places(self.training)}
            setting = own, coef_init, intercept_init, last
            options = {"n_jobs": self.n_jobs, "checkpoint": checkpoint, "setting": setting}
            with open_engine(*inputs, **options) as engine:
                summary = self._summarize(engine, labeled=labeled)
                problem = self._problem(engine, summary.data, classes)
                start = self._last() if more else self._start(len(problem.coef), coef_init, intercept_init)
                coef = self._train(engine, summary, problem if start is None else problem._replace(coef=start), more)
            self.coef_ = coef[:, :-1].copy() if labeled else coef[0, :-1].copy()
            self.intercept_ = coef[:, -1].copy()
        if not more and self.tol is not None and self.n_iter_ == self.max_iter:
            warnings.warn(
                f"Maximum number of iteration reached before convergence (max_iter={self.max_iter}, tol={self.tol}). "
                "Consider increasing max_iter to improve the fit.",
                ConvergenceWarning,
                stacklevel=3,
            )
        return self

    def _train(self, engine: Engine, summary: BlockSummary, problem: LinearProblem, more: bool) -> Array:
        """Return the coefficients that training leads to."""
        by_row = self._may_step_by_row and summary.steps_by_row(len(problem.coef))
        plan = summary.plan(self._virtual_workers, self.batch_size, by_row=by_row)
        config = self._config(plan)
        check_validation_rows(config.validation_fraction, summary.sizes)
        adaptive = AdaptiveRate(self._eta0, self.tol, self.n_iter_no_change) if self._rate == "adaptive" else None
        if more:
            config = config._replace(epochs=1)
        if more or adaptive:
            config = config._replace(patience=None)
        # the state of the last training is of no use to another optimizer
        optimizer, state = (self._rule_name, bool(self.average)), getattr(self, "_state", None) if more else None
        if state is not None and state.optimizer == optimizer:
            step = self._step(problem._replace(preconditioner=state.preconditioner), plan, by_row)
            params = state.params
        else:
            step = self._step(problem, plan, by_row)
            params = step.start(problem.coef)
        reached, config = resumed(engine, add(), config, Reached(params), adaptive)
        while True:
            if adaptive is not None and adaptive.rate != self._eta0:
                step = replace(step, rule=named_rule("constant", adaptive.rate, 0.0, 0.0))
            params, history, _ = train_on(engine, step, add(), config, reached, adaptive, summary.sizes)
            if adaptive is None or adaptive.stopped or len(history.epochs) == config.epochs:
                break
            reached = Reached(params, epoch=len(history.epochs), history=history)
        self._state = SgdState(step.preconditioner, optimizer, params)
        self.history_, self.n_iter_, self.profile_ = history, len(history.epochs), engine.profile
        self.t_ = getattr(self, "t_", 1.0) + self.n_iter_ * summary.data.n_rows
        return step.end(params).astype(summary.data.precision)

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
        held: Any = self.coef_
        coef = np.atleast_2d(held.toarray() if sp.issparse(held) else held).astype(np.float64)
        if coef.shape[1] != self.n_features_in_:
            raise DataError(f"warm_start: expected {coef.shape[1]} features as before, got {self.n_features_in_}")
        return np.hstack([coef, np.reshape(self.intercept_, (-1, 1)).astype(np.float64)])

    def _check_more(self, X: Any) -> None:
        """Check the X of ``partial_fit``, which must have the features of those before."""
        if self.early_stopping:
            raise ValueError("early_stopping should be False with partial_fit")
        if hasattr(self, "n_features_in_"):
            if is_dask(X):
                check_features(self, X)
            else:
                validate_data(self, X, reset=False, skip_check_array=True)

    def _step(self, problem: LinearProblem, plan: MinibatchPlan, by_row: bool) -> LinearSgdStep:
        row_loss, target, preconditioner, _ = problem
        if self._rule_name == "sgd":
            rule = named_rule(self._rate, self._eta0, self.power_t, self.alpha)
        else:
            rule = tuned_rule(self._rule_name, self.eta0, preconditioner, by_row=by_row)
        passive = PassiveAggressive(self._rate, self._eta0) if self._rate in PASSIVE_AGGRESSIVE else None
        first_averaged = max(int(self.average) / plan.batch_size, 1.0) if self.average else None
        penalty, intercept = self._penalty(), bool(self.fit_intercept)
        kind = RowSgdStep if by_row else LinearSgdStep
        return kind(
            row_loss, target, penalty, rule, preconditioner, intercept, first_averaged, plan.most_batches, passive
        )

    def _penalty(self) -> Any:
        return shrinkage(self.penalty, self.alpha, 0.0 if self.l1_ratio is None else self.l1_ratio)

    def _config(self, plan: MinibatchPlan) -> TrainingConfig:
        training, batch_size = check_training(self.training), plan.batch_size
        if isinstance(training, Synchronous):
            batch_size *= plan.virtual_workers
            training = replace(
                training,
                virtual_workers=plan.virtual_workers,
                push_every=plan.push_every if training.push_every is None else training.push_every,
            )
        draw = random_state_of(self.random_state).randint(2**31 - 1)
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
    def _virtual_workers(self) -> int | None:
        training = check_training(self.training)
        return training.virtual_workers if isinstance(training, Synchronous) else None

    @property
    def _may_step_by_row(self) -> bool:
        return self._rule_name == "adagrad" and self.batch_size is None and not self.average

    @property
    def _rule_name(self) -> str:
        """The optimizer: by default Adagrad, and plain descent where a learning rate is named."""
        if self.optimizer != "auto":
            return str(self.optimizer)
        return "adagrad" if self.learning_rate == "auto" else "sgd"

    @property
    def _rate(self) -> str:
        return self.default_rate if self.learning_rate == "auto" else str(self.learning_rate)

    @property
    def _eta0(self) -> float:
        return 0.01 if self.eta0 is None else float(self.eta0)


def _shaped(name: str, values: Any, shape: tuple[int, ...]) -> Array:
    array = np.asarray(values, np.float64)
    if array.size != np.prod(shape):
        raise ValueError(f"Provided {name} does not match dataset: expected shape {shape}, got {array.shape}")
    return array.reshape(shape)

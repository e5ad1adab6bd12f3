"""Linear classification by stochastic gradients."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
import sklearn.linear_model
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.metaestimators import available_if

from daskml_kit.engines.engine import Engine
from daskml_kit.engines.open import open_engine
from daskml_kit.exceptions import DataError
from daskml_kit.linear_model.sgd_base import LinearClassifier, LinearRegressor, encode_targets
from daskml_kit.linear_model.sgd_step import Preconditioner, ResidualTargets, TargetReader
from daskml_kit.linear_model.sgd_training import BlockSummary, StochasticModel
from daskml_kit.numerics.losses import MARGIN_LOSSES, RESIDUAL_LOSSES, classifier_loss, regressor_loss
from daskml_kit.numerics.targets import Numbers, OneVsRest
from daskml_kit.parameter_server.training.config import Training
from daskml_kit.reductions.summary import DataSummary
from daskml_kit.typing import Array, Labels
from daskml_kit.validation import check_fit

LOSSES = (*MARGIN_LOSSES, *RESIDUAL_LOSSES)


def _has_probabilities(model: SGDClassifier) -> bool:
    if model.loss not in ("log_loss", "modified_huber"):
        raise AttributeError(f"probability estimates are not available for loss={model.loss!r}")
    return True


class SGDClassifier(LinearClassifier, StochasticModel):
    r"""One class against the rest by stochastic gradients, on one machine or a parameter server.

    .. math:: \frac1n \sum_i s_i \, \ell(y_i, x_i^\top w + b) +
        \alpha \left(\rho \|w\|_1 + \tfrac{1 - \rho}{2} \|w\|_2^2\right)

    with scikit-learn's losses and parameters. Workers beside the blocks make a local step for each minibatch; servers
    average them (local SGD). All classes are trained at once. By default steps are Adagrad's on standardized features,
    so that neither scaled data nor a learning rate needs to be given; the objective is that of the features as they
    are.

    Parameters
    ----------
    loss : str, default "hinge"
        "hinge", "log_loss", "modified_huber", "squared_hinge", "perceptron", or a loss of `SGDRegressor`.
    penalty : {"l2", "l1", "elasticnet", None}, default "l2"
        The l1 norm is a proximal step after each step.
    alpha : float, default 0.0001
    l1_ratio : float, default 0.15
        :math:`\rho` above with ``penalty="elasticnet"``; it is 0 with "l2", 1 with "l1".
    fit_intercept : bool, default True
    max_iter : int, default 1000
        Epochs at most.
    tol : float, optional, default 1e-3
        Training ends when an epoch's mean objective has not become better by ``tol`` in ``n_iter_no_change`` epochs.
    shuffle : bool, default True
        Whether rows are visited in an order drawn anew each epoch, within their blocks.
    verbose : int, default 0
        Above 0, print passes and a bar with loss and rows a second.
    epsilon : float, default 0.1
        Of the losses of `SGDRegressor`.
    n_jobs : int, optional
        Threads where there is no cluster.
    random_state : int or RandomState, optional
    learning_rate : {"auto", "optimal", "constant", "invscaling"}, default "auto"
        With ``optimizer="sgd"``, as in scikit-learn, where "auto" is "optimal"; a step is the mean of a minibatch, so
        ``batch_size=1`` is scikit-learn's. The other optimizers have rates of their own.
    eta0 : float, optional
        With ``optimizer="sgd"`` as in scikit-learn, 0.01 by default. With another, its rate, in place of the one that
        the size of the data gives.
    power_t : float, default 0.5
        Of "invscaling".
    early_stopping : bool, default False
        Whether the loss of rows held out decides in place of the objective.
    validation_fraction : float, default 0.1
        The share of each block that is held out then.
    n_iter_no_change : int, default 5
    class_weight : dict or "balanced", optional
    warm_start : bool, default False
        ResumePoint from the last fit's coefficients.
    average : bool or int, default False
        Whether the coefficients are the mean over all steps, or those after so many rows. Each worker goes on with
        the running mean from where the servers have it.
    optimizer : {"auto", "sgd", "momentum", "adagrad", "adam"}, default "auto"
        "auto" is Adagrad, and plain descent where ``learning_rate`` is given.
    batch_size : int, optional
        Rows of a minibatch of one worker; by default 512, fewer where there are few rows.
    training : Synchronous or Asynchronous, default ``Synchronous()``
        Whether workers train in step, with the same bits for any number of them, or each at its own pace. See
        `daskml_kit.parameter_server.Synchronous`.

    Attributes
    ----------
    coef_ : array of shape (1, n_features) or (n_classes, n_features)
    intercept_ : array of shape (1,) or (n_classes,)
    classes_ : array of shape (n_classes,)
    n_iter_ : int
        Epochs.
    t_ : float
        One more than the rows visited.
    history_ : daskml_kit.parameter_server.History
    profile_ : daskml_kit.engines.profile.Profile

    References
    ----------
    J. Duchi, E. Hazan & Y. Singer, Adaptive subgradient methods for online learning and stochastic optimization,
    JMLR 12, 2011.
    S. Stich, Local SGD converges fast and communicates little, ICLR 2019.

    Examples
    --------
    >>> import dask.array as da
    >>> X = da.random.default_rng(0).normal(100, 3, size=(4000, 2), chunks=1000)
    >>> y = da.where(X[:, 0] > X[:, 1], "left", "right")
    >>> model = SGDClassifier(loss="log_loss", random_state=0).fit(X, y)
    >>> model.score(X, y) > 0.99
    True
    """

    default_rate: ClassVar[str] = "optimal"

    def __init__(
        self,
        loss: str = "hinge",
        *,
        penalty: str | None = "l2",
        alpha: float = 0.0001,
        l1_ratio: float = 0.15,
        fit_intercept: bool = True,
        max_iter: int = 1000,
        tol: float | None = 1e-3,
        shuffle: bool = True,
        verbose: int = 0,
        epsilon: float = 0.1,
        random_state: Any = None,
        learning_rate: str = "auto",
        eta0: float | None = None,
        power_t: float = 0.5,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 5,
        class_weight: Any = None,
        warm_start: bool = False,
        average: bool | int = False,
        n_jobs: int | None = None,
        optimizer: str = "auto",
        batch_size: int | None = None,
        training: Training | None = None,
    ) -> None:
        self.loss = loss
        self.penalty = penalty
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.fit_intercept = fit_intercept
        self.max_iter = max_iter
        self.tol = tol
        self.shuffle = shuffle
        self.verbose = verbose
        self.epsilon = epsilon
        self.random_state = random_state
        self.learning_rate = learning_rate
        self.eta0 = eta0
        self.power_t = power_t
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.class_weight = class_weight
        self.warm_start = warm_start
        self.average = average
        self.n_jobs = n_jobs
        self.optimizer = optimizer
        self.batch_size = batch_size
        self.training = training

    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, *, coef_init: Any = None, intercept_init: Any = None
    ) -> Self:
        """Fit the model to X of shape (n_samples, n_features) and labels y of shape (n_samples,).

        ``coef_init`` and ``intercept_init`` are where training starts.
        """
        self._check_parameters(LOSSES)
        with self._fitting():
            self.t_ = 1.0
            inputs = check_fit(self, X, y, sample_weight, labeled=True)
            with open_engine(*inputs, n_jobs=self.n_jobs) as engine:
                data = self._summarize(engine, labeled=True)
                classes = self._classes(data.summary)
                start = self._start(_columns(classes), coef_init, intercept_init)
                self._run(engine, data, classes, start, more=False)
        self._warn_unless_converged()
        return self

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Train for one epoch on some rows, from where the last call ended: coefficients and the optimizer's state.

        Parameters
        ----------
        X, y, sample_weight : as in `fit`
        classes : array, optional
            All labels there will be; the first call needs them.
        """
        self._check_parameters(LOSSES)
        if isinstance(self.class_weight, str):
            raise ValueError(
                f"class_weight {self.class_weight!r} is not supported for partial_fit, which does not know how many "
                "rows of each class will come: give a dict"
            )
        with self._fitting():
            known = self._known_classes(classes)
            inputs = self._check_more(X, y, sample_weight, labeled=True)
            with open_engine(*inputs, n_jobs=self.n_jobs) as engine:
                self._run(engine, self._summarize(engine, labeled=True), known, self._last(), more=True)
        return self

    @available_if(_has_probabilities)  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> Any:
        """Return the probability of each class, of shape (n_samples, n_classes), in the order of ``classes_``."""
        return self._apply("predict_proba", X, self._empty_scores(binary_columns=2))

    @available_if(_has_probabilities)  # type: ignore[untyped-decorator]
    def predict_log_proba(self, X: Any) -> Any:
        """Return the logarithm of `predict_proba`."""
        return self._apply("predict_log_proba", X, self._empty_scores(binary_columns=2))

    def to_sklearn(self) -> Any:
        """Return the fitted `sklearn.linear_model.SGDClassifier`."""
        twin = sklearn.linear_model.SGDClassifier(**self._twin_settings(sklearn.linear_model.SGDClassifier))
        return self._hand_over(twin, "coef_", "intercept_", "classes_", "n_iter_", "t_")

    def _run(self, engine: Engine, data: BlockSummary, classes: Labels, start: Array | None, *, more: bool) -> None:
        """Train on data that was looked at, and keep what comes of it."""
        found_labels = data.summary.labels
        if found_labels is None or not np.isin(found_labels, classes).all():
            raise DataError(f"y: expected labels among classes, {classes.tolist()}, got {found_labels}")
        target = self._target(classes, encode_targets(engine, data.summary._replace(labels=classes)), data.summary)
        coef = np.zeros((_columns(classes), self.n_features_in_ + 1)) if start is None else start
        loss = classifier_loss(self.loss, self.epsilon)
        found = self._train(engine, data, loss, target, (self._precondition(data.summary), coef), more=more)
        self.classes_ = classes
        self.coef_, self.intercept_ = found[:, :-1].copy(), found[:, -1].copy()

    def _target(self, classes: Labels, stored: DataSummary, summary: DataSummary) -> TargetReader:
        """Return how the targets are read, as the blocks have them now."""
        if stored.labels is None:
            raise TypeError("the summary was not asked for labels")
        labels, pair = (stored.labels[1:] if len(classes) == 2 else stored.labels), None
        if self.class_weight is not None:
            weights = compute_class_weight(
                self.class_weight, classes=classes, y=summary.labels, sample_weight=summary.label_rows
            )
            # as in scikit-learn, the rest of more than two classes weighs one
            pair = np.array([weights]) if len(classes) == 2 else np.column_stack([np.ones(len(classes)), weights])
        signs = OneVsRest(labels, pair)
        return signs if self.loss in MARGIN_LOSSES else ResidualTargets(signs)

    def _known_classes(self, classes: Any) -> Labels:
        """Return the labels of this and all later calls."""
        before: Labels | None = getattr(self, "classes_", None)
        if classes is None and before is None:
            raise ValueError("classes must be passed on the first call to partial_fit.")
        given = before if classes is None else np.unique(np.asarray(classes))
        if given is None or len(given) < 2:
            raise ValueError(f"The number of classes has to be greater than one; got {given}")
        if before is not None and not np.array_equal(before, given):
            raise ValueError(f"`classes={classes!r}` is not the same as on last call to partial_fit, was: {before!r}")
        return given


def _columns(classes: Labels) -> int:
    return 1 if len(classes) == 2 else len(classes)


TARGET = Numbers(np.zeros(1, np.int64))


class SGDRegressor(LinearRegressor, StochasticModel):
    r"""Linear regression by stochastic gradients, on one machine or on a parameter server, with scikit-learn's losses.

    .. math:: \frac1n \sum_i s_i \, \ell(y_i, x_i^\top w + b) +
        \alpha \left(\rho \|w\|_1 + \tfrac{1 - \rho}{2} \|w\|_2^2\right)

    Training is described at `SGDClassifier`.

    Parameters
    ----------
    loss : {"squared_error", "huber", "epsilon_insensitive", "squared_epsilon_insensitive"}
    penalty, alpha, l1_ratio, fit_intercept, max_iter, tol, shuffle, verbose : see `SGDClassifier`
    epsilon : float, default 0.1
        Where the last three losses change, in units of the target.
    random_state : see `SGDClassifier`
    learning_rate : {"auto", "invscaling", "constant", "optimal"}, default "auto"
        With ``optimizer="sgd"`` "auto" is "invscaling".
    eta0, power_t, early_stopping, validation_fraction, n_iter_no_change, warm_start, average, n_jobs, optimizer, \
batch_size, training : see `SGDClassifier`

    Attributes
    ----------
    coef_ : array of shape (n_features,)
    intercept_ : array of shape (1,)
    n_iter_ : int
    t_ : float
    history_ : daskml_kit.parameter_server.History
    profile_ : daskml_kit.engines.profile.Profile

    Examples
    --------
    >>> import dask.array as da
    >>> X = da.random.default_rng(0).normal(5, 3, size=(4000, 2), chunks=1000)
    >>> model = SGDRegressor(random_state=0).fit(X, X @ np.array([1.0, -2.0]) + 7)
    >>> model.coef_.round(1), model.intercept_.round(1)
    (array([ 1., -2.]), array([7.]))
    """

    default_rate: ClassVar[str] = "invscaling"

    def __init__(
        self,
        loss: str = "squared_error",
        *,
        penalty: str | None = "l2",
        alpha: float = 0.0001,
        l1_ratio: float = 0.15,
        fit_intercept: bool = True,
        max_iter: int = 1000,
        tol: float | None = 1e-3,
        shuffle: bool = True,
        verbose: int = 0,
        epsilon: float = 0.1,
        random_state: Any = None,
        learning_rate: str = "auto",
        eta0: float | None = None,
        power_t: float = 0.25,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 5,
        warm_start: bool = False,
        average: bool | int = False,
        n_jobs: int | None = None,
        optimizer: str = "auto",
        batch_size: int | None = None,
        training: Training | None = None,
    ) -> None:
        self.loss = loss
        self.penalty = penalty
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.fit_intercept = fit_intercept
        self.max_iter = max_iter
        self.tol = tol
        self.shuffle = shuffle
        self.verbose = verbose
        self.epsilon = epsilon
        self.random_state = random_state
        self.learning_rate = learning_rate
        self.eta0 = eta0
        self.power_t = power_t
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.warm_start = warm_start
        self.average = average
        self.n_jobs = n_jobs
        self.optimizer = optimizer
        self.batch_size = batch_size
        self.training = training

    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, *, coef_init: Any = None, intercept_init: Any = None
    ) -> Self:
        """Fit the model to X of shape (n_samples, n_features) and y of shape (n_samples,).

        ``coef_init`` and ``intercept_init`` are where training starts.
        """
        self._check_parameters(tuple(RESIDUAL_LOSSES))
        with self._fitting():
            self.t_ = 1.0
            inputs = check_fit(self, X, y, sample_weight)
            with open_engine(*inputs, n_jobs=self.n_jobs) as engine:
                data = self._summarize(engine, labeled=False)
                begin = self._begin(data.summary, self._start(1, coef_init, intercept_init))
                loss = regressor_loss(self.loss, self.epsilon)
                found = self._train(engine, data, loss, TARGET, begin, more=False)
            self._keep(found)
        self._warn_unless_converged()
        return self

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train for one epoch on some rows, from where the last call ended: coefficients and the optimizer's state."""
        self._check_parameters(tuple(RESIDUAL_LOSSES))
        with self._fitting():
            inputs = self._check_more(X, y, sample_weight)
            with open_engine(*inputs, n_jobs=self.n_jobs) as engine:
                data = self._summarize(engine, labeled=False)
                begin = self._begin(data.summary, self._last())
                loss = regressor_loss(self.loss, self.epsilon)
                found = self._train(engine, data, loss, TARGET, begin, more=True)
            self._keep(found)
        return self

    def to_sklearn(self) -> Any:
        """Return the fitted `sklearn.linear_model.SGDRegressor`."""
        twin = sklearn.linear_model.SGDRegressor(**self._twin_settings(sklearn.linear_model.SGDRegressor))
        return self._hand_over(twin, "coef_", "intercept_", "n_iter_", "t_")

    def _begin(self, summary: DataSummary, start: Array | None) -> tuple[Preconditioner, Array]:
        """Return the preconditioner and the initial coefficients, by default with the mean of the targets."""
        y, weight = np.asarray(summary.sample_y, np.float64), summary.sample_weight
        mean = float(weight @ y / weight.sum()) if self.fit_intercept else 0.0
        spread = float(np.sqrt(weight @ (y - mean) ** 2 / weight.sum()))
        preconditioner = self._precondition(summary, spread or 1.0)
        if start is not None:
            return preconditioner, start
        coef = np.zeros((1, self.n_features_in_ + 1))
        coef[0, -1] = mean if self._optimizer[0] != "sgd" else 0.0
        return preconditioner, coef

    def _keep(self, found: Array) -> None:
        self.coef_, self.intercept_ = found[0, :-1].copy(), found[0, -1:].copy()

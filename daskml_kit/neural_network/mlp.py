"""Multi-layer perceptrons: classifier and regressor."""

from __future__ import annotations

from functools import partial
from typing import Any, Self

import numpy as np
import sklearn.neural_network
from sklearn.base import ClassifierMixin, MultiOutputMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets, unique_labels
from sklearn.utils.validation import check_is_fitted

from daskml_kit.data.collections import is_dask
from daskml_kit.engines.engine import Engine
from daskml_kit.exceptions import DataError
from daskml_kit.metrics import accuracy_score, r2_score
from daskml_kit.neural_network.mlp_training import Perceptron
from daskml_kit.neural_network.scores import ValidationAccuracy, ValidationR2
from daskml_kit.parameter_server.training.config import Training
from daskml_kit.reductions.summary import DataSummary
from daskml_kit.typing import Array, Labels
from daskml_kit.validation import check_choice


class MLPClassifier(ClassifierMixin, Perceptron):  # type: ignore[misc]
    r"""Multi-layer perceptron that minimizes the log-loss, with scikit-learn's parameters.

    On Dask data under a client, workers are tasks beside the blocks; in memory they are threads.

    Parameters
    ----------
    hidden_layer_sizes : int or sequence of int, default (100,)
    activation : {"relu", "tanh", "logistic", "identity"}, default "relu"
        Of the hidden units.
    solver : {"adam", "sgd"}, default "adam"
        The rule of the steps. scikit-learn's "lbfgs" is not supported.
    alpha : float, default 0.0001
        Strength of the l2 penalty, divided by the rows of a minibatch.
    batch_size : int or "auto", default "auto"
        Rows of a minibatch, "auto" is 200, at most all. It never has rows of two blocks; of a synchronous step,
        each virtual worker has its share, rounded down. In asynchronous training it is that of one worker.
    learning_rate : {"constant", "invscaling", "adaptive"}, default "constant"
        With ``solver="sgd"``; the others change the rate between epochs, by scikit-learn's rules.
    learning_rate_init : float, default 0.001
    power_t : float, default 0.5
        With ``learning_rate="invscaling"``.
    max_iter : int, default 200
        The most epochs.
    shuffle : bool, default True
        Whether rows are visited in an order drawn anew each epoch, block by block.
    random_state : int or RandomState, optional
        Of the first coefficients, which are scikit-learn's, of the order of rows, and of what is held out.
    tol : float, default 1e-4
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
    beta_1, beta_2, epsilon : float, default 0.9, 0.999, 1e-8
        With ``solver="adam"``; epsilon is that of the paper's algorithm 1, scikit-learn's is not corrected for bias.
    n_iter_no_change : int, default 10
        Training ends when more epochs than this in a row were no better by ``tol``.
    max_fun : int
        Belongs to "lbfgs": other values than the default are refused.
    training : Synchronous or Asynchronous, default ``Synchronous()``
        Whether workers train in step, with the same bits for any number of them, or each at its own pace. By default
        each minibatch's gradient is pushed, and a synchronous step has one virtual worker for each 100 rows, at most 8.
    n_jobs : int, optional
        Threads of a fit that needs no cluster; by default one a processor.

    Attributes
    ----------
    classes_ : array of shape (n_classes,)
    coefs_, intercepts_ : list of arrays
    n_layers_, n_outputs_, n_iter_, t_ : int
        ``t_`` is the number of rows trained on in all epochs.
    out_activation_ : str
    loss_, best_loss_ : float
    loss_curve_ : list of float
        The mean loss over each epoch, each minibatch's at the coefficients that it met.
    validation_scores_, best_validation_score_ : list of float, float
        With ``early_stopping``.
    history_ : daskml_kit.parameter_server.History
        Of the last fit: losses, pace, staleness, idle shares; ``history_.plot()`` draws them.

    Examples
    --------
    >>> import dask.array as da
    >>> X = da.random.default_rng(0).normal(size=(2000, 4), chunks=(500, 4))
    >>> y = da.where(X[:, 0] * X[:, 1] > 0, "alike", "opposed")
    >>> model = MLPClassifier(hidden_layer_sizes=32, learning_rate_init=0.01, tol=1e-3, random_state=0).fit(X, y)
    >>> model.predict(X[:3]).compute().shape, model.score(X, y) > 0.95
    ((3,), True)
    """

    classes_: Labels
    _scorer = ValidationAccuracy
    _labeled = True

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: str = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        training: Training | None = None,
        n_jobs: int | None = None,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun
        self.training = training
        self.n_jobs = n_jobs

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit the model.

        Parameters
        ----------
        X : Dask array or DataFrame, NumPy array, pandas DataFrame or sparse matrix, of shape (n_samples, n_features)
        y : array or Series of shape (n_samples,)
            Labels of any one type.
        sample_weight : array of shape (n_samples,), optional

        Raises
        ------
        DataError
            Where the data cannot be used; it names the argument and the block.
        """
        return self._fit(X, y, sample_weight, goes_on=False)

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None) -> Self:
        """Go through the rows once, from where the last call ended; see `fit`.

        ``classes`` are all labels that are to come, which the first call has to know.
        """
        known = getattr(self, "classes_", None)
        if classes is None and known is None:
            raise ValueError("classes must be passed on the first call to partial_fit.")
        wanted = None if classes is None else unique_labels(classes)
        if wanted is not None and known is not None and not np.array_equal(wanted, known):
            raise ValueError(f"`classes={classes!r}` is not the same as on last call to partial_fit, was: {known!r}")
        return self._fit(X, y, sample_weight, goes_on=True, classes=wanted)

    def predict(self, X: Any) -> Any:
        """Return the label of each row, of shape (n_samples,); lazily on Dask input."""
        return self._apply("predict", X, np.empty(0, getattr(self, "classes_", np.empty(0)).dtype))

    def predict_proba(self, X: Any) -> Any:
        """Return the probability of each class, of shape (n_samples, n_classes), in the order of ``classes_``."""
        return self._apply("predict_proba", X, self._empty())

    def predict_log_proba(self, X: Any) -> Any:
        """Return the logarithm of `predict_proba`."""
        return self._apply("predict_log_proba", X, self._empty())

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the accuracy on the given data, a float also on Dask input."""
        if not is_dask(X) and not is_dask(y):
            return float(super().score(X, y, sample_weight))
        return float(accuracy_score(y, self.predict(X), sample_weight=sample_weight))

    def to_sklearn(self) -> Any:
        """Return the fitted `sklearn.neural_network.MLPClassifier`, whose `partial_fit` can go on."""
        check_is_fitted(self)
        zeros = np.zeros((len(self.classes_), self.n_features_in_), self._precision)
        return self._shaped(sklearn.neural_network.MLPClassifier, zeros, self.classes_, classes=self.classes_)

    def _empty(self) -> Array:
        return np.empty((0, len(getattr(self, "classes_", ()))), self._precision)

    def _open(self, engine: Engine, summary: DataSummary, known: Any, *, exactly: bool) -> tuple[int, str]:
        found = summary.labels
        if found is None:
            raise TypeError("the summary was not asked for labels")
        check_classification_targets(found)
        classes = found if known is None else known
        if set(found) - set(classes) or (exactly and len(found) != len(classes)):
            raise ValueError(f"y: expected {'the' if exactly else 'some of the'} classes {classes}, got {found}")
        if len(classes) < 2:
            raise ValueError(
                f"MLPClassifier needs samples of at least 2 classes in the data, but the data contains only one class: "
                f"{classes[0]!r}"
            )
        engine.relabel(partial(position_of, classes))
        self.classes_ = classes
        return (1, "logistic") if len(classes) == 2 else (len(classes), "softmax")


def position_of(labels: Labels, y: Array) -> Array:
    """Return the position of each target among the sorted ``labels``."""
    return np.searchsorted(labels, np.asarray(y, dtype=labels.dtype)).astype(np.int32)


class MLPRegressor(MultiOutputMixin, RegressorMixin, Perceptron):  # type: ignore[misc]
    r"""Multi-layer perceptron that minimizes the squared error, with scikit-learn's parameters.

    On Dask data under a client, workers are tasks beside the blocks; in memory they are threads. The losses of
    several outputs are summed, as they are in scikit-learn's gradients, also in ``loss_``, where it has their mean.

    Parameters
    ----------
    loss : {"squared_error", "poisson"}, default "squared_error"
        Half the squared error, or half the Poisson deviance of ``y >= 0`` with a log link.
    hidden_layer_sizes : int or sequence of int, default (100,)
    activation : {"relu", "tanh", "logistic", "identity"}, default "relu"
        Of the hidden units.
    solver : {"adam", "sgd"}, default "adam"
        The rule of the steps. scikit-learn's "lbfgs" is not supported.
    alpha : float, default 0.0001
        Strength of the l2 penalty, divided by the rows of a minibatch.
    batch_size : int or "auto", default "auto"
        Rows of a minibatch, "auto" is 200, at most all. It never has rows of two blocks; of a synchronous step,
        each virtual worker has its share, rounded down. In asynchronous training it is that of one worker.
    learning_rate : {"constant", "invscaling", "adaptive"}, default "constant"
        With ``solver="sgd"``; the others change the rate between epochs, by scikit-learn's rules.
    learning_rate_init : float, default 0.001
    power_t : float, default 0.5
        With ``learning_rate="invscaling"``.
    max_iter : int, default 200
        The most epochs.
    shuffle : bool, default True
        Whether rows are visited in an order drawn anew each epoch, block by block.
    random_state : int or RandomState, optional
        Of the first coefficients, which are scikit-learn's, of the order of rows, and of what is held out.
    tol : float, default 1e-4
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
    beta_1, beta_2, epsilon : float, default 0.9, 0.999, 1e-8
        With ``solver="adam"``; epsilon is that of the paper's algorithm 1, scikit-learn's is not corrected for bias.
    n_iter_no_change : int, default 10
        Training ends when more epochs than this in a row were no better by ``tol``.
    max_fun : int
        Belongs to "lbfgs": other values than the default are refused.
    training : Synchronous or Asynchronous, default ``Synchronous()``
        Whether workers train in step, with the same bits for any number of them, or each at its own pace. By default
        each minibatch's gradient is pushed, and a synchronous step has one virtual worker for each 100 rows, at most 8.
    n_jobs : int, optional
        Threads of a fit that needs no cluster; by default one a processor.

    Attributes
    ----------
    coefs_, intercepts_ : list of arrays
    n_layers_, n_outputs_, n_iter_, t_ : int
        ``t_`` is the number of rows trained on in all epochs.
    out_activation_ : str
    loss_, best_loss_ : float
    loss_curve_ : list of float
        The mean loss over each epoch, each minibatch's at the coefficients that it met.
    validation_scores_, best_validation_score_ : list of float, float
        With ``early_stopping``.
    history_ : daskml_kit.parameter_server.History
        Of the last fit: losses, pace, staleness, idle shares; ``history_.plot()`` draws them.

    Examples
    --------
    >>> import dask.array as da
    >>> X = da.random.default_rng(0).normal(size=(2000, 2), chunks=(500, 2))
    >>> model = MLPRegressor(hidden_layer_sizes=32, learning_rate_init=0.01, random_state=0)
    >>> model.fit(X, X[:, 0] * X[:, 1]).score(X, X[:, 0] * X[:, 1]) > 0.95
    True
    """

    _scorer = ValidationR2
    _labeled = False

    def __init__(
        self,
        loss: str = "squared_error",
        hidden_layer_sizes: Any = (100,),
        activation: str = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        training: Training | None = None,
        n_jobs: int | None = None,
    ) -> None:
        self.loss = loss
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun
        self.training = training
        self.n_jobs = n_jobs

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit the model.

        Parameters
        ----------
        X : Dask array or DataFrame, NumPy array, pandas DataFrame or sparse matrix, of shape (n_samples, n_features)
        y : array, Series or frame of shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array of shape (n_samples,), optional

        Raises
        ------
        DataError
            Where the data cannot be used; it names the argument and the block.
        """
        check_choice("loss", self.loss, ("squared_error", "poisson"))
        return self._fit(X, y, sample_weight, goes_on=False)

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Go through the rows once, from where the last call ended; see `fit`."""
        check_choice("loss", self.loss, ("squared_error", "poisson"))
        return self._fit(X, y, sample_weight, goes_on=True)

    def predict(self, X: Any) -> Any:
        """Return predictions of shape (n_samples,) or (n_samples, n_outputs); lazily on Dask input."""
        n_outputs = getattr(self, "n_outputs_", 1)
        return self._apply("predict", X, np.empty(0 if n_outputs == 1 else (0, n_outputs), self._precision))

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the coefficient of determination on the given data, a float also on Dask input."""
        if not is_dask(X) and not is_dask(y):
            return float(super().score(X, y, sample_weight))
        return float(r2_score(y, self.predict(X), sample_weight=sample_weight))

    def to_sklearn(self) -> Any:
        """Return the fitted `sklearn.neural_network.MLPRegressor`, whose `partial_fit` can go on."""
        check_is_fitted(self)
        zeros = np.zeros((1, self.n_features_in_), self._precision)
        targets = np.zeros(1 if self.n_outputs_ == 1 else (1, self.n_outputs_), self._precision)
        return self._shaped(sklearn.neural_network.MLPRegressor, zeros, targets)

    def _open(self, engine: Engine, summary: DataSummary, known: Any, *, exactly: bool) -> tuple[int, str]:
        if self.loss == "poisson" and summary.low.min() < 0:
            raise DataError(f"y: expected no number below 0 with loss='poisson', got {summary.low.min()}")
        return len(summary.low), "identity" if self.loss == "squared_error" else "exp"

"""Linear regression by stochastic gradients."""

from __future__ import annotations

import os
from typing import Any, ClassVar, Self

import numpy as np
import sklearn.linear_model

from daskml_kit.engines.opening import open_engine
from daskml_kit.linear_model.regressor import LinearRegressor
from daskml_kit.linear_model.stochastic.model import Ground, StochasticModel
from daskml_kit.numerics.stochastic import RESIDUAL_LOSSES, regressor_loss
from daskml_kit.numerics.targets import Numbers
from daskml_kit.queries.survey import Overview
from daskml_kit.typing import Array
from daskml_kit.validation import check_fit

TARGET = Numbers(np.zeros(1, np.int64))


class SGDRegressor(LinearRegressor, StochasticModel):
    r"""Linear regression by stochastic gradients, on one machine or on a parameter server, with scikit-learn's losses.

    .. math:: \frac1n \sum_i s_i \, \ell(y_i, x_i^\top w + b) +
        \alpha \left(\rho \|w\|_1 + \tfrac{1 - \rho}{2} \|w\|_2^2\right)

    How it is trained is told at `SGDClassifier`.

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
mode, staleness, batch_size, push_every, lanes, backup, snapshot : see `SGDClassifier`

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
        mode: str = "sync",
        staleness: int | None = None,
        batch_size: int | None = None,
        push_every: int | None = None,
        lanes: int = 8,
        backup: int = 0,
        snapshot: str | os.PathLike[str] | None = None,
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
        self.mode = mode
        self.staleness = staleness
        self.batch_size = batch_size
        self.push_every = push_every
        self.lanes = lanes
        self.backup = backup
        self.snapshot = snapshot

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
                look = self._look(engine, labelled=False)
                begin = self._begin(look.overview, self._start(1, coef_init, intercept_init))
                loss = regressor_loss(self.loss, self.epsilon)
                found = self._train(engine, look, loss, TARGET, begin, more=False)
            self._keep(found)
        self._warn_unless_converged()
        return self

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train for one epoch on some rows, from where the last call ended: coefficients and the optimizer's state."""
        self._check_parameters(tuple(RESIDUAL_LOSSES))
        with self._fitting():
            inputs = self._check_more(X, y, sample_weight)
            with open_engine(*inputs, n_jobs=self.n_jobs) as engine:
                look = self._look(engine, labelled=False)
                begin = self._begin(look.overview, self._last())
                loss = regressor_loss(self.loss, self.epsilon)
                found = self._train(engine, look, loss, TARGET, begin, more=True)
            self._keep(found)
        return self

    def to_sklearn(self) -> Any:
        """Return the fitted `sklearn.linear_model.SGDRegressor`."""
        twin = sklearn.linear_model.SGDRegressor(**self._twin_settings(sklearn.linear_model.SGDRegressor))
        return self._hand_over(twin, "coef_", "intercept_", "n_iter_", "t_")

    def _begin(self, overview: Overview, start: Array | None) -> tuple[Ground, Array]:
        """Return the ground, and where to begin: by default with the mean of the targets."""
        y, weight = np.asarray(overview.sample_y, np.float64), overview.sample_weight
        middle = float(weight @ y / weight.sum()) if self.fit_intercept else 0.0
        spread = float(np.sqrt(weight @ (y - middle) ** 2 / weight.sum()))
        ground = self._even_ground(overview, spread or 1.0)
        if start is not None:
            return ground, start
        coef = np.zeros((1, self.n_features_in_ + 1))
        coef[0, -1] = middle if self._kind[0] != "sgd" else 0.0
        return ground, coef

    def _keep(self, found: Array) -> None:
        self.coef_, self.intercept_ = found[0, :-1].copy(), found[0, -1:].copy()

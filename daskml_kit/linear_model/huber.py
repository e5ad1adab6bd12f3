"""Huber regression, robust to outliers."""

from __future__ import annotations

import numpy as np
import sklearn.linear_model

from daskml_kit.arguments import check_number
from daskml_kit.linear_model.base import LinearModel
from daskml_kit.numerics.losses import Huber
from daskml_kit.numerics.targets import Numbers
from daskml_kit.reductions.summary import DataSummary
from daskml_kit.solvers.objective import Problem
from daskml_kit.solvers.types import DataSpec, Fit


class HuberRegressor(LinearModel, sklearn.linear_model.HuberRegressor):  # type: ignore[misc]
    r"""Linear regression with the Huber loss and its scale, which is fitted too (Owen 2007).

    .. math:: \min_{w, b, \sigma} \sum_i s_i \left(\sigma +
        H_\epsilon\!\left(\tfrac{y_i - x_i^\top w - b}{\sigma}\right) \sigma\right) + \alpha \|w\|_2^2

    Parameters
    ----------
    epsilon : float, default 1.35
        Residuals beyond this many scales count linearly; at least 1.
    max_iter : int, default 100
    alpha : float, default 1e-4
        Strength of the penalty; the intercept is not penalized.
    warm_start : bool, default False
        Start from the last fit's coefficients.
    fit_intercept : bool, default True
    tol : float, default 1e-5
        On the gradients of the mean objective; see `LogisticRegression`.

    Attributes
    ----------
    coef_ : array of shape (n_features,)
    intercept_ : float
    scale_ : float
        :math:`\sigma` above.
    n_iter_ : int
    profile_ : daskml_kit.engines.engine.Profile
        Passes, seconds and solver of the last fit.

    See Also
    --------
    Ridge : The squared loss.

    References
    ----------
    Huber, "Robust statistics", 1981. Owen, "A robust hybrid of lasso and ridge regression", 2007.

    Notes
    -----
    scikit-learn's ``outliers_`` has the length of the data, and is not kept: it is
    ``abs(y - model.predict(X)) > model.scale_ * model.epsilon``.

    Examples
    --------
    >>> import dask.array as da
    >>> X = da.arange(20, chunks=5).reshape(20, 1)
    >>> y = (2.0 * X[:, 0] + da.sin(X[:, 0])).compute()
    >>> y[3] = 1000
    >>> HuberRegressor().fit(X, y).coef_.round(1)
    array([2.])
    """

    _merges_rows = False

    def _fit_steps(self, spec: DataSpec) -> Fit:
        summary = yield from self._summarize(spec)
        problem = self._problem(spec, summary)
        result = (yield from self._minimize({None: problem}, summary, spec))[None]
        model, scale = problem.unravel(result.w)
        coef = model.astype(summary.precision)
        return {
            "coef_": coef[:-1],
            "intercept_": coef[-1] if self.fit_intercept else 0.0,
            "scale_": scale[-1],
            "n_iter_": result.n_iter,
        }

    def _check_parameters(self) -> None:
        check_number("epsilon", self.epsilon, low=1)
        check_number("alpha", self.alpha, low=0)
        check_number("tol", self.tol, low=0)
        check_number("max_iter", self.max_iter, low=0, integer=True)

    def _problem(self, spec: DataSpec, summary: DataSummary) -> Problem:
        """Return the problem of two outputs: the predictor, and the scale, an intercept without features."""
        d = spec.n_features
        fitted = np.zeros((2, d + 1), bool)
        fitted[0, :d], fitted[0, d], fitted[1, d] = True, self.fit_intercept, True
        free = np.flatnonzero(fitted)
        start = np.zeros((2, d + 1))
        start[1, d] = 1.0
        if self.warm_start and hasattr(self, "coef_"):
            start[0], start[1, d] = np.append(self.coef_, self.intercept_), self.scale_
        elif summary.sample_y is not None:
            middle = float(np.median(summary.sample_y)) if self.fit_intercept else 0.0
            spread = 1.4826 * float(np.median(np.abs(summary.sample_y - middle)))
            start[0, d], start[1, d] = middle, spread or 1.0
        l2 = np.zeros((2, d + 1))
        l2[0, :d] = 2 * self.alpha / summary.weight
        log_floor = float(np.log(1e-9 * start[1, d]))  # the scale of data that a line fits exactly is zero
        start[1, d] = np.log(start[1, d])
        return Problem(
            Huber(self.epsilon),
            Numbers(np.zeros(1, np.int64)),
            (2, d + 1),
            free,
            l2.ravel()[free],
            np.zeros(len(free)),
            1 / summary.weight,
            start.ravel()[free],
            log_floor,
        )

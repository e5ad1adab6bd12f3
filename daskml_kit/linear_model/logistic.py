"""Logistic regression."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import sklearn.linear_model

from daskml_kit.engines.open import open_engine
from daskml_kit.linear_model.base import (
    LinearClassifier,
    check_choice,
    check_number,
    check_share,
    class_weights,
    encode_targets,
    free_coefficients,
    spread_penalty,
)
from daskml_kit.linear_model.solve import SOLVERS
from daskml_kit.numerics.losses import Logistic, Softmax
from daskml_kit.numerics.targets import Codes, OneVsRest
from daskml_kit.reductions.summary import DataSummary
from daskml_kit.solvers.objective import Problem
from daskml_kit.typing import Labels
from daskml_kit.validation import check_fit

PENALTIES = ("deprecated", "l2", "l1", "elasticnet", "elastic_net", None)


class LogisticRegression(LinearClassifier):
    r"""Logistic regression, binary and multinomial, with scikit-learn's objective.

    .. math:: C \sum_i s_i \, \ell(y_i, x_i^\top w + b) + \tfrac{1 - \rho}{2} \|w\|_2^2 + \rho \|w\|_1

    with the log-loss of the binomial, or for more than two classes the multinomial. The intercept is never penalized.

    Parameters
    ----------
    penalty : {"l2", "l1", "elasticnet", None}, optional
        By default ``l1_ratio`` and ``C`` decide, as in scikit-learn since 1.8: ``l1_ratio=0`` is l2, 1 is l1, and
        ``C=numpy.inf`` is no penalty.
    C : float, default 1.0
        Inverse strength of the penalty.
    l1_ratio : float, default 0.0
        :math:`\rho` above, from 0 to 1.
    dual : bool, default False
        True is not supported.
    tol : float, default 1e-4
        It has converged when no gradient of the mean loss is above ``tol`` and the next step would gain less than a
        thousandth of ``tol`` of the objective.
    fit_intercept : bool, default True
    intercept_scaling : float, default 1
        Other values belong to liblinear, which penalizes the intercept: not supported.
    class_weight : dict or "balanced", optional
    random_state : int, optional
        Seed of the sample of rows that the first guess is made from.
    solver : {"auto", "lbfgs", "newton-cholesky", "fista"}, default "auto"
        All find the same minimum. "auto": quasi-Newton from a fit of a sample, or L-BFGS where there are more than
        about a thousand coefficients. With an l1 norm, "newton-cholesky" is proximal Newton, and "lbfgs" refused.
    max_iter : int, default 100
    verbose : int, default 0
        Above 0, print a line for each pass.
    warm_start : bool, default False
        Start from the last fit's coefficients.
    n_jobs : int, optional
        Threads of a fit that needs no cluster; by default one a processor.

    Attributes
    ----------
    coef_ : array of shape (1, n_features) or (n_classes, n_features)
    intercept_ : array of shape (1,) or (n_classes,)
    classes_ : array of shape (n_classes,)
    n_iter_ : array of shape (1,)
    profile_ : daskml_kit.engines.profile.Profile
        Passes, seconds, and the share of overhead of the last fit.

    Examples
    --------
    >>> import dask.array as da
    >>> X = da.from_array([[0.0], [1.0], [2.0], [3.0]], chunks=(2, 1))
    >>> y = da.from_array(["no", "no", "yes", "yes"], chunks=2)
    >>> LogisticRegression().fit(X, y).predict(X).compute().tolist()
    ['no', 'no', 'yes', 'yes']
    """

    def __init__(
        self,
        penalty: Any = "deprecated",
        *,
        C: float = 1.0,
        l1_ratio: float = 0.0,
        dual: bool = False,
        tol: float = 1e-4,
        fit_intercept: bool = True,
        intercept_scaling: float = 1,
        class_weight: Any = None,
        random_state: int | None = None,
        solver: str = "auto",
        max_iter: int = 100,
        verbose: int = 0,
        warm_start: bool = False,
        n_jobs: int | None = None,
    ) -> None:
        self.penalty = penalty
        self.C = C
        self.l1_ratio = l1_ratio
        self.dual = dual
        self.tol = tol
        self.fit_intercept = fit_intercept
        self.intercept_scaling = intercept_scaling
        self.class_weight = class_weight
        self.random_state = random_state
        self.solver = solver
        self.max_iter = max_iter
        self.verbose = verbose
        self.warm_start = warm_start
        self.n_jobs = n_jobs

    def fit(self, X: Any, y: Any, sample_weight: Any = None, *, checkpoint: Any = None) -> Self:
        """Fit the model.

        Parameters
        ----------
        X : Dask array or DataFrame, NumPy array, pandas DataFrame or sparse matrix, of shape (n_samples, n_features)
        y : array or Series of shape (n_samples,)
            Labels of any one type.
        sample_weight : array of shape (n_samples,), optional
        checkpoint : path, optional
            A folder that keeps each pass's answer: called again with the same data, an interrupted fit resumes there.

        Raises
        ------
        DataError
            Where the data cannot be used; it names the argument and the block.
        """
        l1, l2 = self._strengths()
        with self._fitting():
            inputs = check_fit(self, X, y, sample_weight, labeled=True)
            with open_engine(*inputs, n_jobs=self.n_jobs, checkpoint=checkpoint, setting=self.get_params()) as engine:
                summary = self._survey(engine, labeled=True, seed=self.random_state or 0)
                classes = self._classes(summary)
                summary = encode_targets(engine, summary)
                problem = self._problem(summary, classes, l1, l2)
                result = self._minimize(engine, {None: problem}, summary)[None]
            coef = problem.unravel(result.w).astype(summary.precision)
            self.classes_, self.n_iter_, self.profile_ = classes, np.array([result.n_iter], np.int32), engine.profile
            self.coef_, self.intercept_ = coef[:, :-1], coef[:, -1]
        return self

    def predict_proba(self, X: Any) -> Any:
        """Return the probability of each class, of shape (n_samples, n_classes), in the order of ``classes_``."""
        return self._apply("predict_proba", X, self._empty_scores(binary_columns=2))

    def predict_log_proba(self, X: Any) -> Any:
        """Return the logarithm of `predict_proba`."""
        return self._apply("predict_log_proba", X, self._empty_scores(binary_columns=2))

    def to_sklearn(self) -> Any:
        """Return the fitted `sklearn.linear_model.LogisticRegression`."""
        keep = ("C", "l1_ratio", "tol", "fit_intercept", "class_weight", "random_state", "max_iter", "warm_start")
        twin = sklearn.linear_model.LogisticRegression(**{name: getattr(self, name) for name in keep})
        return self._hand_over(twin, "coef_", "intercept_", "classes_", "n_iter_")

    def _problem(self, summary: DataSummary, classes: Labels, l1: float, l2: float) -> Problem:
        stored, counted = summary.labels, summary.label_weight
        if stored is None or counted is None:
            raise TypeError("the survey was not asked for labels")
        d, k = self.n_features_in_, 1 if len(classes) == 2 else len(classes)
        weights = class_weights(self.class_weight, classes, summary)
        factors = np.ones(len(classes)) if weights is None else weights
        scale = 1 / float(factors @ counted)
        target: OneVsRest | Codes = Codes(stored, weights)
        if k == 1:
            target = OneVsRest(stored[1:], None if weights is None else weights[None])
        free = free_coefficients(k, d, self.fit_intercept)
        start = np.zeros(len(free))
        if self.warm_start and hasattr(self, "coef_"):
            start = self._start(k, d)[free]
        ridge, lasso = (spread_penalty(strength * scale, k, d, self.fit_intercept) for strength in (l2, l1))
        loss = Logistic() if k == 1 else Softmax(k)
        return Problem(loss, target, (k, d + 1), free, ridge, lasso, scale, start)

    def _start(self, n_outputs: int, n_features: int) -> Any:
        wanted = (n_outputs, n_features)
        if self.coef_.shape != wanted:
            raise ValueError(f"warm_start: expected the last coef_ to have shape {wanted}, got {self.coef_.shape}")
        return np.hstack([self.coef_, self.intercept_[:, None]]).astype(np.float64).ravel()

    def _strengths(self) -> tuple[float, float]:
        """Return the weights of the l1 norm and of half the squared l2 norm, once the parameters are checked."""
        check_number("C", self.C, low=0, strict=True)
        check_number("tol", self.tol, low=0)
        check_number("max_iter", self.max_iter, low=0, integer=True)
        check_choice("penalty", self.penalty, PENALTIES)
        check_choice("solver", self.solver, SOLVERS)
        check_share("l1_ratio", self.l1_ratio)
        if self.dual:
            raise ValueError("dual=True is not supported: the dual problem has no solver here; use dual=False")
        if self.intercept_scaling != 1:
            raise ValueError("intercept_scaling: expected 1, since the intercept is never penalized here")
        ratio = {"l2": 0.0, "l1": 1.0}.get(self.penalty, float(self.l1_ratio))
        if self.penalty in ("l2", "l1") and self.l1_ratio not in (0.0, ratio):
            raise ValueError(f"penalty={self.penalty!r} and l1_ratio={self.l1_ratio} contradict each other")
        if self.penalty is None or np.isinf(self.C):
            return 0.0, 0.0
        if self.solver == "lbfgs" and ratio:
            raise ValueError("solver='lbfgs' does not support an l1 norm: use 'auto', 'newton-cholesky' or 'fista'")
        return ratio / self.C, (1 - ratio) / self.C

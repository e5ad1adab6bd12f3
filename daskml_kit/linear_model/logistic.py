"""Logistic regression."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import sklearn.linear_model

from daskml_kit.arguments import check_choice, check_number, check_share
from daskml_kit.base import constructor
from daskml_kit.linear_model.base import Classes, LinearClassifier, free_coefficients, spread_penalty, warm_start_of
from daskml_kit.linear_model.solve import check_solver
from daskml_kit.numerics.losses import Logistic, Softmax
from daskml_kit.numerics.targets import Codes, OneVsRest
from daskml_kit.solvers.objective import Problem
from daskml_kit.solvers.types import DataSpec, Fit

PENALTIES = ("deprecated", "l2", "l1", "elasticnet", "elastic_net", None)


class LogisticRegression(LinearClassifier, sklearn.linear_model.LogisticRegression):  # type: ignore[misc]
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
        Factors of the weights of each class's rows.
    random_state : int, RandomState, Generator or None, optional
        Seed of the sample of rows that the first guess is made from.
    solver : {"auto", "lbfgs", "newton-cholesky", "fista"}, default "auto"
        All find the same minimum. "auto": quasi-Newton from a fit of a sample; with more than about a thousand
        coefficients Newton by conjugate gradients on sparse rows, or in the space of few rows, and L-BFGS on dense
        ones. With an l1 norm, "newton-cholesky" is proximal Newton, and "lbfgs" refused; "auto" is proximal Newton in
        the active columns of wide sparse rows, FISTA on wide dense ones.
        scikit-learn's "newton-cg", "sag", "saga" and "liblinear" and dask-ml's "admm", "newton", "gradient_descent"
        stand for "auto", "proximal_grad" for "fista".
    max_iter : int, default 100
    verbose : int, default 0
        Above 0, show a bar of the passes.
    warm_start : bool, default False
        Start from the last fit's coefficients.
    n_jobs : int, optional
        Threads of a fit that needs no cluster; by default one a processor.
    solver_kwargs : dict, optional
        Of dask-ml's solvers; not used, which a warning says.

    Attributes
    ----------
    coef_ : array of shape (1, n_features) or (n_classes, n_features)
    intercept_ : array of shape (1,) or (n_classes,)
    classes_ : array of shape (n_classes,)
    n_iter_ : array of shape (1,)
    profile_ : daskml_kit.engines.engine.Profile
        Passes, seconds, the share of overhead, and the solver of the last fit, with the reason why it was chosen.

    See Also
    --------
    LinearSVC : The squared hinge in place of the log-loss.
    SGDClassifier : Small steps, for data of very many rows.

    References
    ----------
    Byrd, Chin, Neveitt and Nocedal, "On the use of stochastic Hessian information in optimization methods for machine
    learning", 2011: Newton steps with the Hessian of a sample. Liu and Nocedal, "On the limited memory BFGS method for
    large scale optimization", 1989.

    Examples
    --------
    >>> import dask.array as da
    >>> X = da.from_array([[0.0], [1.0], [2.0], [3.0]], chunks=(2, 1))
    >>> y = da.from_array(["no", "no", "yes", "yes"], chunks=2)
    >>> LogisticRegression().fit(X, y).predict(X).compute().tolist()
    ['no', 'no', 'yes', 'yes']
    """

    __init__ = constructor(sklearn.linear_model.LogisticRegression, solver="auto", solver_kwargs=None)

    def _fit_steps(self, spec: DataSpec) -> Fit:
        l1, l2 = self._strengths()
        summary, classes = yield from self._summarize_classes(spec)
        problem = self._problem(spec, classes, l1, l2)
        result = (yield from self._minimize({None: problem}, summary, spec))[None]
        coef = problem.unravel(result.w)
        if len(coef) > 1:  # what is added to the predictors of all classes changes none of their probabilities
            moved = slice(-1, None) if l1 else slice(None)
            coef[:, moved] -= coef[:, moved].mean(axis=0)
        coef = coef.astype(summary.precision)
        n_iter = np.array([result.n_iter], np.int32)
        return {"classes_": classes.labels, "coef_": coef[:, :-1], "intercept_": coef[:, -1], "n_iter_": n_iter}

    def _require_share(self) -> None:
        if self.penalty == "elasticnet" and self.l1_ratio is None:
            raise ValueError("l1_ratio: expected a share between 0 and 1 with penalty='elasticnet', got None")

    def _sklearn_parameters(self, genuine: type[Any]) -> dict[str, Any]:
        keep = super()._sklearn_parameters(genuine)
        self._require_share()
        ratio = {"l2": 0.0, "l1": 1.0}.get(self.penalty, self.l1_ratio)
        changed = {"solver": "saga" if ratio else "lbfgs", "penalty": "deprecated", "l1_ratio": ratio}
        if self.penalty is None:
            changed["C"] = np.inf
        return {**keep, **{name: value for name, value in changed.items() if name in keep}}

    def _problem(self, spec: DataSpec, classes: Classes, l1: float, l2: float) -> Problem:
        d, k = spec.n_features, 1 if len(classes.labels) == 2 else len(classes.labels)
        weights = classes.factors(self.class_weight)
        factors = np.ones(len(classes.labels)) if weights is None else weights
        scale = 1 / float(factors @ classes.weight)
        target: OneVsRest | Codes = Codes(classes.stored, weights)
        if k == 1:
            target = OneVsRest(classes.stored[1:], None if weights is None else weights[None])
        free = free_coefficients(k, d, self.fit_intercept)
        start = warm_start_of(self, k, d).ravel()[free]
        ridge, lasso = (spread_penalty(strength * scale, k, d, self.fit_intercept) for strength in (l2, l1))
        loss = Logistic() if k == 1 else Softmax(k)
        return Problem(loss, target, (k, d + 1), free, ridge, lasso, scale, start)

    def _strengths(self) -> tuple[float, float]:
        """Return the weights of the l1 norm and of half the squared l2 norm, once the parameters are checked."""
        check_number("C", self.C, low=0, strict=True, infinite=True)
        check_number("tol", self.tol, low=0)
        check_number("max_iter", self.max_iter, low=0, integer=True)
        check_choice("penalty", self.penalty, PENALTIES)
        check_solver(self)
        check_share("l1_ratio", 0.0 if self.l1_ratio is None else self.l1_ratio)
        if self.dual:
            raise ValueError("dual=True is not supported: the dual problem has no solver here; use dual=False")
        if self.intercept_scaling != 1:
            raise ValueError("intercept_scaling: expected 1, since the intercept is never penalized here")
        if self.solver == "liblinear" and self.fit_intercept:
            warnings.warn(
                "solver='liblinear': scikit-learn's would penalize the intercept, which is not done here", stacklevel=4
            )
        self._require_share()
        ratio = {"l2": 0.0, "l1": 1.0}.get(self.penalty, float(self.l1_ratio or 0.0))
        if self.penalty in ("l2", "l1") and self.l1_ratio not in (None, 0.0, ratio):
            raise ValueError(f"penalty={self.penalty!r} and l1_ratio={self.l1_ratio} contradict each other")
        if self.penalty is None or np.isinf(self.C):
            return 0.0, 0.0
        if self.solver == "lbfgs" and ratio:
            raise ValueError("solver='lbfgs' does not support an l1 norm: use 'auto', 'newton-cholesky' or 'fista'")
        return ratio / self.C, (1 - ratio) / self.C

    def _check_parameters(self) -> None:
        self._strengths()

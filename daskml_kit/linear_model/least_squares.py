"""Linear models that the Gram matrix decides: least squares and ridge regression, in one pass over the data."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, ClassVar, NamedTuple

import numpy as np
import sklearn.linear_model

from daskml_kit.arguments import check_choice, check_number, check_numbers
from daskml_kit.base import constructor
from daskml_kit.linear_model.base import LinearClassifier, LinearModel, free_coefficients, require_rows, spread_penalty
from daskml_kit.linear_model.solve import check_solver
from daskml_kit.numerics.linalg import solve_least_norm, solve_nonnegative
from daskml_kit.numerics.losses import Squared
from daskml_kit.numerics.targets import Numbers
from daskml_kit.reductions.gram import ClassTargets, Gram, IndicatorColumns, IndicatorTargets, Scatter, Triangle
from daskml_kit.reductions.moments import Moments
from daskml_kit.reductions.summary import DataSummary
from daskml_kit.solvers.objective import Problem
from daskml_kit.solvers.types import DataSpec, Fit
from daskml_kit.typing import Array, Labels
from daskml_kit.validation import is_multilabel

GRAM_FEATURES = 4000
"""Up to this many features the Gram matrix (here 128 MB a thread) is made; beyond, the fit is iterative."""
ITERATIONS = 10_000
"""The limit of an iterative fit whose ``max_iter`` is not given."""


ILL_CONDITIONED = 1e-9
"""Below this ratio of eigenvalues the Gram matrix has lost too many digits."""
DIRECT_SOLVERS = ("cholesky", "svd")
RIDGE_SOLVERS = ("auto", *DIRECT_SOLVERS, "lbfgs", "lsqr", "sparse_cg", "sag", "saga")


class Normal(NamedTuple):
    """The normal equations: the moments that decide a least-squares fit, the intercept already taken out."""

    weight: float
    XX: Array
    Xy: Array
    yy: Array
    X_mean: Array
    y_mean: Array

    def intercept(self, coef: Array) -> Array:
        """Return the intercept of each output, for ``coef`` of shape (n_outputs, n_features)."""
        return np.asarray(self.y_mean - coef @ self.X_mean)


class Iterated(NamedTuple):
    """An iterative fit: coefficients (n_outputs, n_features), intercepts (n_outputs,), and iterations."""

    coef: Array
    intercept: Array
    n_iter: int


def normal_equations(scatter: Scatter, n_features: int, fit_intercept: bool) -> Normal:
    """Cut the scatter of [X, y] into the parts of the normal equations."""
    d = n_features
    product = scatter.product if fit_intercept else scatter.about_zero()
    mean = scatter.mean if fit_intercept else np.zeros_like(scatter.mean)
    return Normal(scatter.weight, product[:d, :d], product[:d, d:], np.diag(product)[d:], mean[:d], mean[d:])


class LeastSquares(LinearModel):
    """Base of the regressions that the Gram matrix decides."""

    _column_is_vector: ClassVar[bool] = True
    """Whether a target of one column has coefficients without an axis of outputs, as scikit-learn's have."""
    fit_intercept: bool
    n_features_in_: int

    @property
    def many_passes(self) -> bool:
        """Return whether the Gram matrix is too large to decide a fit in one pass."""
        return self.n_features_in_ > GRAM_FEATURES

    def _gather(self, reduction: Any, spec: DataSpec) -> Generator[Any, Scatter, Scatter]:
        """Ask for the moments of the data in one pass, and refuse data without rows."""
        scatter = yield reduction
        require_rows(scatter.n_rows, scatter.weight, spec.n_features)
        self._tell(spec, f"normal equations: {scatter.n_rows:,} rows, {spec.n_features:,} features")
        return scatter

    def _iterate(self, spec: DataSpec, summary: DataSummary, l1: Array, l2: Array) -> Generator[Any, Any, Iterated]:
        """Fit where the Gram matrix is too large; ``l1`` and ``l2`` (n_outputs,) penalize the mean squared error."""
        d = spec.n_features
        free = free_coefficients(1, d, self.fit_intercept)
        problems = {
            output: Problem(
                Squared(),
                Numbers(np.array([output])),
                (1, d + 1),
                free,
                spread_penalty(l2[output], 1, d, self.fit_intercept),
                spread_penalty(l1[output], 1, d, self.fit_intercept),
                1 / summary.weight,
                np.zeros(len(free)),
            )
            for output in range(len(l2))
        }
        limit = getattr(self, "max_iter", None) or ITERATIONS
        results = yield from self._minimize(problems, summary, spec, max_iter=limit)
        rows = np.array([problems[key].unravel(result.w)[0] for key, result in results.items()])
        return Iterated(rows[:, :-1], rows[:, -1], max(result.n_iter for result in results.values()))

    def _shaped(self, coef: Array, intercept: Array, spec: DataSpec) -> dict[str, Any]:
        """Return fitted coefficients in the shapes of the target and the precision of X."""
        single = spec.n_outputs is None
        vector = single or (spec.n_outputs == 1 and self._column_is_vector)
        return {
            "coef_": (coef[0] if vector else coef).astype(spec.dtype, copy=False),
            "intercept_": (intercept[0] if single else intercept).astype(spec.dtype) if self.fit_intercept else 0.0,
        }


class LinearRegression(LeastSquares, sklearn.linear_model.LinearRegression):  # type: ignore[misc]
    r"""Ordinary least squares, :math:`\min \sum_i s_i (y_i - x_i^\top w - b)^2`.

    One pass gathers the Gram matrix. Where that is so ill conditioned that it has lost digits, a second pass makes the
    triangular factor of the data, which has not (TSQR, Demmel et al. 2012); of several solutions the one of least norm
    is taken, as in scikit-learn.

    Parameters
    ----------
    fit_intercept : bool, default True
    copy_X : bool, default True
        X is never written to, whatever this says.
    tol : float, default 1e-6
        Singular values below ``tol`` times the largest count as zero; beyond 4000 features, where the fit iterates, it
        is the gradient at which it has converged.
    n_jobs : int, optional
        Threads of a fit that needs no cluster; by default one a processor.
    positive : bool, default False
        Keep the coefficients at or above zero.
    solver : str, default "auto"
        Of dask-ml; not used, which a warning says.
    solver_kwargs : dict, optional
        Of dask-ml; not used, which a warning says.

    Attributes
    ----------
    coef_ : array of shape (n_features,) or (n_outputs, n_features)
    intercept_ : float or array of shape (n_outputs,)
    rank_ : int
        Only for dense data of up to 4000 features.
    singular_ : array
        Singular values of the centered data, as far as `rank_` is there.
    profile_ : daskml_kit.engines.engine.Profile
        Passes, seconds and solver of the last fit.

    See Also
    --------
    Ridge : The same with an l2 penalty.

    References
    ----------
    Demmel, Grigori, Hoemmen and Langou, "Communication-optimal parallel and sequential QR and LU factorizations", 2012.

    Examples
    --------
    >>> import dask.array as da
    >>> X = da.from_array([[0.0], [1.0], [2.0]], chunks=(1, 1))
    >>> model = LinearRegression().fit(X, 3 * X[:, 0] + 1)
    >>> round(float(model.coef_[0]), 9), round(float(model.intercept_), 9)
    (3.0, 1.0)
    """

    __init__ = constructor(sklearn.linear_model.LinearRegression, solver="auto", solver_kwargs=None)
    _column_is_vector = False

    def _check_parameters(self) -> None:
        check_number("tol", self.tol, low=0)
        check_solver(self)

    def _fit_steps(self, spec: DataSpec) -> Fit:
        d = spec.n_features
        extra: dict[str, Any] = {}
        if d > GRAM_FEATURES and not self.positive:
            summary, none = (yield from self._summarize(spec)), np.zeros(spec.n_outputs or 1)
            coef, intercept, _ = yield from self._iterate(spec, summary, none, none)
        else:
            scatter = yield from self._gather(Gram(), spec)
            if self.positive or scatter.sparse:  # else the factor of rows whose squares overflow is finite
                scatter.require_finite()
            normal = normal_equations(scatter, d, self.fit_intercept)
            coef, extra = yield from self._solve(normal, scatter.sparse, spec)
            intercept = normal.intercept(coef)
        return {**self._shaped(coef, intercept, spec), **extra}

    def _solve(self, normal: Normal, sparse: bool, spec: DataSpec) -> Generator[Any, Any, tuple[Array, dict[str, Any]]]:
        if self.positive:
            return np.array([solve_nonnegative(normal.XX, right) for right in normal.Xy.T]), {}
        if sparse:
            return solve_least_norm(normal.XX, normal.Xy).T, {}
        values = np.linalg.eigvalsh(normal.XX) if np.isfinite(normal.XX).all() else np.zeros(len(normal.XX))
        if values[0] > ILL_CONDITIONED * values[-1]:
            return solve_least_norm(normal.XX, normal.Xy).T, {"rank_": len(values), "singular_": np.sqrt(values[::-1])}
        self._tell(spec, "triangular factor: the normal equations are too ill conditioned")
        R = yield Triangle()
        d = len(values)
        first = 1 if self.fit_intercept else 0
        coef, _, rank, singular = np.linalg.lstsq(R[first:, 1 : d + 1], R[first:, d + 1 :], rcond=self.tol)
        return coef.T, {"rank_": int(rank), "singular_": singular}


class PenalizedLeastSquares(LeastSquares):
    """Base of ridge regression and of the classifier on it."""

    alpha: Any
    solver: str
    positive: bool

    def _check_parameters(self) -> None:
        check_number("tol", self.tol, low=0)
        if self.max_iter is not None:
            check_number("max_iter", self.max_iter, low=1, integer=True)
        check_choice("solver", self.solver, RIDGE_SOLVERS)
        check_numbers("alpha", self.alpha)

    def _fit_ridge(self, spec: DataSpec, gram: Any, n_targets: int) -> Fit:
        """Solve for each of ``n_targets`` targets of the rows that ``gram`` multiplies."""
        alphas, d = self._alphas(n_targets), spec.n_features
        iterative = self._iterates(d)
        if iterative and self.positive:
            raise ValueError(f"positive=True: more than {GRAM_FEATURES} features need solver='cholesky', got {d}")
        n_iter = None
        if iterative:
            summary = yield from self._summarize(spec)
            coef, intercept, steps = yield from self._iterate(
                spec, summary, np.zeros(len(alphas)), alphas / summary.weight
            )
            n_iter = np.full(len(alphas), steps, np.int32)
        else:
            scatter = yield from self._gather(gram, spec)
            scatter.require_finite()
            normal = normal_equations(scatter, d, self.fit_intercept)
            solve = solve_nonnegative if self.positive else solve_least_norm
            coef = np.array([solve(normal.XX + a * np.eye(d), b) for a, b in zip(alphas, normal.Xy.T, strict=True)])
            intercept = normal.intercept(coef)
        return coef, intercept, n_iter, "lbfgs" if iterative else "cholesky"

    def _iterates(self, n_features: int) -> bool:
        """Return whether the fit is not direct. With bounds it is: scikit-learn's "lbfgs" then is its only solver."""
        if self.solver == "lbfgs" and not self.positive:
            return True
        return self.solver not in DIRECT_SOLVERS and n_features > GRAM_FEATURES

    def _alphas(self, n_outputs: int) -> Array:
        alphas = check_numbers("alpha", self.alpha)
        if len(alphas) not in (1, n_outputs):
            raise ValueError(
                f"alpha: Number of targets and number of penalties do not correspond: {len(alphas)} != {n_outputs}"
            )
        return np.broadcast_to(alphas, n_outputs)


def with_known_solver(parameters: dict[str, Any]) -> dict[str, Any]:
    """Return parameters with a solver that scikit-learn takes: its "lbfgs" is for bounds, and only that one is.

    Examples
    --------
    >>> with_known_solver({"positive": True, "solver": "svd"})
    {'positive': True, 'solver': 'auto'}
    """
    known = (parameters["solver"] == "lbfgs") == parameters["positive"]
    return parameters if known else {**parameters, "solver": "auto"}


class Ridge(PenalizedLeastSquares, sklearn.linear_model.Ridge):  # type: ignore[misc]
    r"""Ridge regression, :math:`\min \sum_i s_i (y_i - x_i^\top w - b)^2 + \alpha \|w\|_2^2`, in one pass.

    Parameters
    ----------
    alpha : float or array of shape (n_outputs,), default 1.0
        Strength of the penalty; the intercept is not penalized.
    fit_intercept : bool, default True
    copy_X : bool, default True
        X is never written to, whatever this says.
    max_iter : int, optional
        Of the iterative solver, by default 10000.
    tol : float, default 1e-4
        Of the iterative solver.
    solver : {"auto", "cholesky", "lbfgs"}, default "auto"
        "cholesky" factors the Gram matrix; "lbfgs" iterates; "auto" iterates beyond 4000 features. scikit-learn's "svd"
        stands for "cholesky", and "lsqr", "sparse_cg", "sag" and "saga", and "lbfgs" with ``positive``, for "auto":
        the minimum is the same.
    positive : bool, default False
        Keep the coefficients at or above zero.
    random_state : int, RandomState, Generator or None, optional
        Seed of the sample of rows that scales the iterative solver.

    Attributes
    ----------
    coef_ : array of shape (n_features,) or (n_outputs, n_features)
    intercept_ : float or array of shape (n_outputs,)
    n_iter_ : array of shape (n_outputs,), or None
        None where the solution is direct, as in scikit-learn.
    solver_ : str
        The solver that "auto" chose.
    profile_ : daskml_kit.engines.engine.Profile
        Passes, seconds and solver of the last fit.

    See Also
    --------
    RidgeClassifier : Classification with the same penalty.
    Lasso, ElasticNet : An l1 penalty.

    References
    ----------
    Hoerl and Kennard, "Ridge regression: biased estimation for nonorthogonal problems", 1970.

    Examples
    --------
    >>> import dask.array as da
    >>> X = da.from_array([[0.0], [1.0], [2.0]], chunks=(1, 1))
    >>> Ridge(alpha=2.0).fit(X, 3 * X[:, 0] + 1).coef_.round(6)
    array([1.5])
    """

    def _fit_steps(self, spec: DataSpec) -> Fit:
        coef, intercept, n_iter, solver = yield from self._fit_ridge(spec, Gram(), spec.n_outputs or 1)
        return {**self._shaped(coef, intercept, spec), "n_iter_": n_iter, "solver_": solver}

    def _sklearn_parameters(self, genuine: type[Any]) -> dict[str, Any]:
        return with_known_solver(super()._sklearn_parameters(genuine))


class RidgeClassifier(PenalizedLeastSquares, LinearClassifier, sklearn.linear_model.RidgeClassifier):  # type: ignore[misc]
    r"""Classification by ridge regression on targets of -1 and 1, one column a class, in two passes.

    A target of several columns of 0 and 1 is multilabel: each column is a label that rows have or have not.

    Parameters
    ----------
    alpha : float, default 1.0
        Strength of the penalty; the intercept is not penalized.
    fit_intercept : bool, default True
    copy_X : bool, default True
        X is never written to, whatever this says.
    max_iter : int, optional
        Not used: the solution is direct.
    tol : float, default 1e-4
        Not used: the solution is direct.
    class_weight : dict or "balanced", optional
        Factors of the weights of each class's rows; of several columns of labels only "balanced".
    solver : {"auto", "cholesky"}, default "auto"
        scikit-learn's other names stand for "auto".
    positive : bool, default False
        Keep the coefficients at or above zero.
    random_state : int, RandomState, Generator or None, optional
        Not used: the solution is direct.

    Attributes
    ----------
    coef_ : array of shape (1, n_features) or (n_classes, n_features)
    intercept_ : array of shape (1,) or (n_classes,), or 0.0
    classes_ : array of shape (n_classes,)
        Of a multilabel target the numbers of its columns.
    n_iter_ : None
        The solution is direct.
    solver_ : str
    profile_ : daskml_kit.engines.engine.Profile

    See Also
    --------
    Ridge : Regression with the same penalty.

    Examples
    --------
    >>> import dask.array as da
    >>> X = da.from_array([[0.0], [1.0], [2.0], [3.0]], chunks=(2, 1))
    >>> RidgeClassifier().fit(X, da.from_array(["a", "a", "b", "b"], chunks=2)).predict(X).compute().tolist()
    ['a', 'a', 'b', 'b']
    """

    many_passes = True

    def _fit_steps(self, spec: DataSpec) -> Fit:
        if self._iterates(spec.n_features) or spec.n_features > GRAM_FEATURES:
            raise ValueError(f"RidgeClassifier is solved directly: up to {GRAM_FEATURES} features, and not by 'lbfgs'")
        n_columns = spec.n_outputs or 1
        several = n_columns > 1
        labels, targets = yield from self._indicators(n_columns) if several else self._targets(spec)
        n_targets = 1 if len(labels) == 2 and not several else len(labels)
        coef, intercept, n_iter, solver = yield from self._fit_ridge(spec, targets, n_targets)
        intercept = intercept.astype(spec.dtype) if self.fit_intercept else 0.0
        return {
            "coef_": coef.astype(spec.dtype, copy=False),
            "intercept_": intercept,
            "_labels": labels,
            "_multilabel": several,
            "n_iter_": n_iter,
            "solver_": solver,
        }

    def _targets(self, spec: DataSpec) -> Generator[Any, Any, tuple[Labels, ClassTargets]]:
        """Return the labels, and the reduction with a column for each of them."""
        summary, classes = yield from self._summarize_classes(spec)
        rows = classes._replace(weight=np.asarray(summary.label_rows))  # "balanced" counts rows here, not their weights
        return classes.labels, ClassTargets(Gram(), classes.stored, rows.factors(self.class_weight))

    def _indicators(self, n_labels: int) -> Generator[Any, Any, tuple[Labels, IndicatorTargets]]:
        """Return the numbers of the columns of a multilabel target, and the reduction with these."""
        factors = None
        if self.class_weight is not None:
            if self.class_weight != "balanced":
                raise ValueError(
                    "class_weight: expected 'balanced' or None where y has several columns of labels, got "
                    f"{self.class_weight!r}"
                )
            ones = yield IndicatorColumns(Moments())
            rows = np.round(np.stack([1 - ones.mean, ones.mean]) * ones.n_rows)
            seen = (rows > 0).sum(axis=0)
            factors = np.divide(ones.n_rows, seen * rows, out=np.zeros_like(rows), where=rows > 0)
        return np.arange(n_labels), IndicatorTargets(Gram(), factors)

    def _takes_columns(self, y: Any) -> bool:
        return is_multilabel(y)

    def _sklearn_parameters(self, genuine: type[Any]) -> dict[str, Any]:
        return with_known_solver(super()._sklearn_parameters(genuine))

    @property
    def classes_(self) -> Labels:
        """Labels of shape (n_classes,), sorted."""
        labels: Labels = self._labels
        return labels

    def _made_up(self) -> tuple[Any, ...] | None:
        labels = getattr(self, "_labels", None)
        if labels is None:
            return None
        y = np.eye(len(labels), dtype=int) if self._multilabel else labels
        return np.zeros((len(labels), self.n_features_in_)), y

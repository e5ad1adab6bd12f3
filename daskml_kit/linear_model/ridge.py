"""Ridge regression, in one pass over the data."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import sklearn.linear_model

from daskml_kit.engines.opening import open_engine
from daskml_kit.linear_model import least_squares
from daskml_kit.linear_model.least_squares import LeastSquares, normal_equations
from daskml_kit.linear_model.model import check_choice, check_number
from daskml_kit.linear_model.regressor import output_count
from daskml_kit.numerics.linalg import solve_nonnegative, solve_positive
from daskml_kit.typing import Array
from daskml_kit.validation import check_fit


class Ridge(LeastSquares):
    r"""Ridge regression, :math:`\min \sum_i s_i (y_i - x_i^\top w - b)^2 + \alpha \|w\|_2^2`, in one pass.

    Parameters
    ----------
    alpha : float or array of shape (n_outputs,), default 1.0
    fit_intercept : bool, default True
    copy_X : bool, default True
        X is never written to, whatever this says.
    max_iter : int, optional
        Of the iterative solver, by default 10000.
    tol : float, default 1e-4
        Of the iterative solver.
    solver : {"auto", "cholesky", "lbfgs"}, default "auto"
        "cholesky" factors the Gram matrix; "lbfgs" iterates; "auto" iterates beyond 4000 features.
    positive : bool, default False
        Keep the coefficients at or above zero.
    random_state : int, optional
        Seed of the sample of rows that scales the iterative solver.

    Attributes
    ----------
    coef_ : array of shape (n_features,) or (n_outputs, n_features)
    intercept_ : float or array of shape (n_outputs,)
    n_iter_ : array of shape (n_outputs,)
        1 where the solution is direct.
    solver_ : str
    profile_ : daskml_kit.engines.profile.Profile

    Examples
    --------
    >>> import dask.array as da
    >>> X = da.from_array([[0.0], [1.0], [2.0]], chunks=(1, 1))
    >>> Ridge(alpha=2.0).fit(X, 3 * X[:, 0] + 1).coef_.round(6)
    array([1.5])
    """

    def __init__(
        self,
        alpha: Any = 1.0,
        *,
        fit_intercept: bool = True,
        copy_X: bool = True,
        max_iter: int | None = None,
        tol: float = 1e-4,
        solver: str = "auto",
        positive: bool = False,
        random_state: int | None = None,
    ) -> None:
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.copy_X = copy_X
        self.max_iter = max_iter
        self.tol = tol
        self.solver = solver
        self.positive = positive
        self.random_state = random_state

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit the model to X of shape (n_samples, n_features) and y of shape (n_samples,) or (n_samples, n_outputs)."""
        check_number("tol", self.tol, low=0)
        check_choice("solver", self.solver, ("auto", "cholesky", "lbfgs"))
        with self._fitting():
            inputs = check_fit(self, X, y, sample_weight, multi_output=True)
            n_outputs, d = output_count(inputs.y), self.n_features_in_
            alphas = self._alphas(n_outputs or 1)
            iterative = self.solver == "lbfgs" or (self.solver == "auto" and d > least_squares.GRAM_FEATURES)
            if iterative and self.positive:
                raise ValueError("positive=True needs solver='cholesky': the iterative solver has no bounds")
            with open_engine(*inputs) as engine:
                n_iter = 1
                if iterative:
                    overview = self._survey(engine, labelled=False, seed=self.random_state or 0)
                    none = np.zeros(len(alphas))
                    coef, intercept, n_iter = self._iterate(engine, overview, none, alphas / overview.weight)
                else:
                    normal = normal_equations(self._gather(engine), d, self.fit_intercept)
                    solve = solve_nonnegative if self.positive else solve_positive
                    coef = np.array(
                        [solve(normal.XX + a * np.eye(d), b) for a, b in zip(alphas, normal.Xy.T, strict=True)]
                    )
                    intercept = normal.intercept(coef)
            self._keep(coef, intercept, n_outputs, X)
            self.n_iter_ = np.full(len(alphas), n_iter, np.int32)
            self.solver_ = "lbfgs" if iterative else "cholesky"
            self.profile_ = engine.profile
        return self

    def to_sklearn(self) -> Any:
        """Return the fitted `sklearn.linear_model.Ridge`."""
        keep = ("alpha", "fit_intercept", "max_iter", "tol", "positive", "random_state")
        twin = sklearn.linear_model.Ridge(**{name: getattr(self, name) for name in keep})
        return self._hand_over(twin, "coef_", "intercept_", "n_iter_", "solver_")

    def _alphas(self, n_outputs: int) -> Array:
        alphas = np.atleast_1d(np.asarray(self.alpha, dtype=np.float64))
        if (alphas < 0).any() or alphas.ndim != 1:
            raise ValueError(f"alpha: expected numbers of at least 0, got {self.alpha!r}")
        if len(alphas) not in (1, n_outputs):
            raise ValueError(
                f"alpha: Number of targets and number of penalties do not correspond: {len(alphas)} != {n_outputs}"
            )
        return np.broadcast_to(alphas, n_outputs)

"""Random problems that are hard (offset, collinear, constant, separable, few rows) reach scikit-learn's objective."""

from __future__ import annotations

import warnings

import dask.array as da
import numpy as np
import pytest
import sklearn.linear_model
from numpy.testing import assert_allclose
from sklearn.datasets import load_digits

from benchmarks.sparse import WORSE, hard_problem
from daskml_kit.linear_model import GammaRegressor, HuberRegressor, Lasso, LogisticRegression


@pytest.mark.parametrize("seed", [*range(0, 200, 5), 128, 288])
def test_no_objective_is_above_scikit_learns(seed):
    problem = hard_problem(seed)
    ours = problem.objective(problem.ours.fit(problem.X, problem.y))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn's, where features are far from zero or collinear
        theirs = problem.objective(problem.theirs.fit(problem.X, problem.y))
    assert ours - theirs <= WORSE * abs(theirs), problem.name


@pytest.mark.parametrize(
    "model", [LogisticRegression(l1_ratio=0.5, tol=1e-8), GammaRegressor(tol=1e-8), LogisticRegression(solver="fista")]
)
@pytest.mark.parametrize("lazy", [False, True], ids=["memory", "dask"])
def test_an_offset_of_the_features_moves_the_intercept_alone(model, lazy):
    draw = np.random.default_rng(0)
    X, offset = draw.normal(size=(200, 4)), np.array([1e4, 0.0, -1e3, 1e2])
    raw = X @ [1.0, -1.0, 0.5, 0.0] + 0.5
    y = np.exp(raw / 4) if isinstance(model, GammaRegressor) else (raw + draw.logistic(size=200) > 0).astype(int)
    near = model.fit(X, y).coef_, model.intercept_
    far = model.fit(da.from_array(X + offset, chunks=(60, 4)) if lazy else X + offset, y)
    assert_allclose(far.coef_, near[0], rtol=1e-4, atol=1e-4)
    assert_allclose(far.intercept_, near[1] - near[0] @ offset, rtol=1e-4)


def test_collinear_features_do_not_creep():
    draw = np.random.default_rng(0)
    X = np.cumsum(draw.normal(size=(500, 60)), axis=1) / np.sqrt(np.arange(1, 61))
    X[:, 30:] = X[:, :30] @ draw.normal(size=(30, 30))
    model = Lasso(alpha=1e-5, max_iter=3000).fit(X, X[:, 0] + draw.normal(size=500))
    assert model.n_iter_ < 1000
    assert model.dual_gap_ < 1e-8


def test_some_hundred_coefficients_of_few_rows_end_at_the_minimum():
    X, y = load_digits(return_X_y=True)
    X, y = X[:600] / 16, y[:600]
    near = sklearn.linear_model.LogisticRegression(solver="newton-cholesky", tol=1e-8).fit(X, y)
    assert_allclose(LogisticRegression().fit(X, y).coef_, near.coef_, atol=1e-3)  # L-BFGS is 0.1 off after 100 steps


@pytest.mark.filterwarnings("ignore:HuberRegressor did not converge")
def test_steps_without_curvature_have_a_length():
    X = np.linspace(-1, 1, 20)[:, None]
    y = 10 * X[:, 0] + np.sin(np.arange(20.0) ** 2)
    model = HuberRegressor(alpha=0.0, epsilon=1.0).fit(X, y)  # as its scale vanishes, the loss becomes absolute errors
    least = sklearn.linear_model.QuantileRegressor(alpha=0.0, quantile=0.5).fit(X, y)
    assert_allclose(np.abs(model.predict(X) - y).sum(), np.abs(least.predict(X) - y).sum(), rtol=1e-3)

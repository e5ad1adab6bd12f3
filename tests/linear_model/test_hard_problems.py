"""Random problems that are hard (offset, collinear, constant, separable, few rows) reach scikit-learn's objective."""

from __future__ import annotations

import warnings

import dask.array as da
import numpy as np
import pytest
from numpy.testing import assert_allclose

from benchmarks.sparse import WORSE, hard_problem
from daskml_kit.linear_model import GammaRegressor, Lasso, LogisticRegression


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

"""The numbers are scikit-learn's to 1e-6: estimator x penalty x weights x dtype x storage x chunking."""

from __future__ import annotations

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import sklearn.linear_model as skl
import sklearn.svm
from numpy.testing import assert_allclose
from scipy.optimize import minimize
from sklearn.base import clone

from daskml_kit import linear_model as ours

TIGHT = {"tol": 1e-12, "max_iter": 20_000}
LIBLINEAR = {"tol": 1e-10, "max_iter": 1_000_000}
ROWS = (170, 1, 29, 0, 200, 200)


def in_memory(X, *others):
    return X, *others


def dask_arrays(X, *others):
    return da.from_array(X, chunks=(ROWS, -1)), *(
        None if o is None else da.from_array(o, chunks=(ROWS,)) for o in others
    )


def unlike_chunks(X, *others):
    return da.from_array(X, chunks=(150, 3)), *(None if o is None else da.from_array(o, chunks=77) for o in others)


def unknown_chunks(X, *others):
    frame = pd.DataFrame(X, columns=[f"x{i}" for i in range(X.shape[1])])
    frame["_row"] = np.arange(len(X))
    frame = dd.from_pandas(frame, npartitions=4)
    frame = frame[frame["_row"] >= 0]
    picks = [None if o is None else da.from_array(o, chunks=230) for o in others]
    return frame.drop(columns="_row"), *picks


def csr_in_memory(X, *others):
    return sp.csr_array(X), *others


def csr_blocks(X, *others):
    return dask_arrays(X)[0].map_blocks(sp.csr_matrix), *(
        None if o is None else da.from_array(o, chunks=77) for o in others
    )


LAYOUTS = [in_memory, dask_arrays, unlike_chunks, unknown_chunks, csr_in_memory, csr_blocks]


def assert_same(model, reference, tolerance=1e-6):
    scale = max(np.abs(reference.coef_).max(), 1e-3)
    assert_allclose(model.coef_, reference.coef_, rtol=tolerance, atol=tolerance * scale)
    assert_allclose(model.intercept_, reference.intercept_, rtol=tolerance, atol=tolerance * scale)
    assert np.shape(model.intercept_) == np.shape(reference.intercept_)


def saga(**parameters):
    return skl.LogisticRegression(solver="saga", tol=1e-13, max_iter=200_000, **parameters)


class Huber(skl.HuberRegressor):
    """scikit-learn's stops where its objective changes by 2e-9; this goes on to its minimum from there."""

    def fit(self, X, y, sample_weight=None):
        super().fit(X, y, sample_weight)
        s = np.ones(len(y)) if sample_weight is None else sample_weight

        def objective(w):
            residual = np.abs(y - X @ w[:-2] - w[-2])
            far = residual > self.epsilon * w[-1]
            inside, outside = residual**2 / w[-1], 2 * self.epsilon * residual - self.epsilon**2 * w[-1]
            return s.sum() * w[-1] + s @ np.where(far, outside, inside) + self.alpha * w[:-2] @ w[:-2]

        def gradient(w):
            r = X @ w[:-2] + w[-2] - y
            u = np.clip(r / w[-1], -self.epsilon, self.epsilon)
            return np.concatenate([2 * X.T @ (s * u) + 2 * self.alpha * w[:-2], [2 * s @ u, s @ (1 - u**2)]])

        start = np.array([*self.coef_, self.intercept_, self.scale_])
        found = minimize(
            objective, start, jac=gradient, method="trust-constr", options={"gtol": 1e-9, "maxiter": 5000}
        ).x
        self.coef_, self.intercept_, self.scale_ = found[:-2], found[-2], found[-1]
        return self


def newton(**parameters):
    return skl.LogisticRegression(solver="newton-cholesky", **TIGHT, **parameters)


TABLE = {
    "logistic": (ours.LogisticRegression(**TIGHT), newton(), "binary"),
    "logistic, weak": (ours.LogisticRegression(C=1e3, **TIGHT), newton(C=1e3), "binary"),
    "logistic, no penalty": (ours.LogisticRegression(penalty=None, **TIGHT), newton(C=np.inf), "binary"),
    "logistic, no intercept": (
        ours.LogisticRegression(fit_intercept=False, **TIGHT),
        skl.LogisticRegression(fit_intercept=False, **TIGHT),
        "binary",
    ),
    "logistic, balanced": (
        ours.LogisticRegression(class_weight="balanced", **TIGHT),
        skl.LogisticRegression(class_weight="balanced", **TIGHT),
        "binary",
    ),
    "logistic, lbfgs": (ours.LogisticRegression(solver="lbfgs", **TIGHT), newton(), "binary"),
    "logistic, newton": (ours.LogisticRegression(solver="newton-cholesky", **TIGHT), newton(), "binary"),
    "multinomial": (ours.LogisticRegression(**TIGHT), newton(), "labels"),
    "multinomial, no penalty": (ours.LogisticRegression(C=np.inf, **TIGHT), newton(C=np.inf), "labels"),
    "multinomial, weighted classes": (
        ours.LogisticRegression(class_weight={0: 2, 1: 1, 2: 0.5}, **TIGHT),
        newton(class_weight={0: 2, 1: 1, 2: 0.5}),
        "labels",
    ),
    "least squares": (ours.LinearRegression(), skl.LinearRegression(), "number"),
    "least squares, no intercept": (
        ours.LinearRegression(fit_intercept=False),
        skl.LinearRegression(fit_intercept=False),
        "number",
    ),
    "least squares, positive": (ours.LinearRegression(positive=True), skl.LinearRegression(positive=True), "number"),
    "ridge": (ours.Ridge(alpha=3.0), skl.Ridge(alpha=3.0, tol=1e-12), "number"),
    "ridge, lbfgs for bounds": (
        ours.Ridge(alpha=3.0, solver="lbfgs", positive=True),
        skl.Ridge(alpha=3.0, solver="lbfgs", positive=True, tol=1e-12),
        "number",
    ),
    "ridge, lbfgs": (ours.Ridge(alpha=3.0, solver="lbfgs", tol=1e-11), skl.Ridge(alpha=3.0, tol=1e-12), "number"),
    "ridge, no intercept": (
        ours.Ridge(fit_intercept=False),
        skl.Ridge(fit_intercept=False, tol=1e-12, solver="cholesky"),
        "number",
    ),
    "lasso": (ours.Lasso(alpha=0.05, **TIGHT), skl.Lasso(alpha=0.05, **TIGHT), "number"),
    "lasso, positive": (
        ours.Lasso(alpha=0.05, positive=True, **TIGHT),
        skl.Lasso(alpha=0.05, positive=True, **TIGHT),
        "number",
    ),
    "elastic net": (ours.ElasticNet(alpha=0.1, **TIGHT), skl.ElasticNet(alpha=0.1, **TIGHT), "number"),
    "elastic net, random order": (
        ours.ElasticNet(alpha=0.1, selection="random", random_state=0, **TIGHT),
        skl.ElasticNet(alpha=0.1, **TIGHT),
        "number",
    ),
    "poisson": (ours.PoissonRegressor(alpha=0.1, **TIGHT), skl.PoissonRegressor(alpha=0.1, **TIGHT), "count"),
    "poisson, lbfgs": (
        ours.PoissonRegressor(alpha=0.1, solver="lbfgs", **TIGHT),
        skl.PoissonRegressor(alpha=0.1, **TIGHT),
        "count",
    ),
    "gamma": (ours.GammaRegressor(alpha=0.1, **TIGHT), skl.GammaRegressor(alpha=0.1, **TIGHT), "positive"),
    "tweedie 1.5": (
        ours.TweedieRegressor(power=1.5, alpha=0.1, **TIGHT),
        skl.TweedieRegressor(power=1.5, alpha=0.1, **TIGHT),
        "count",
    ),
    "tweedie 3": (
        ours.TweedieRegressor(power=3, alpha=0.5, **TIGHT),
        skl.TweedieRegressor(power=3, alpha=0.5, **TIGHT),
        "positive",
    ),
    "tweedie normal": (ours.TweedieRegressor(alpha=0.1, **TIGHT), skl.TweedieRegressor(alpha=0.1, **TIGHT), "number"),
    "tweedie normal, log": (
        ours.TweedieRegressor(power=0, link="log", alpha=0.1, **TIGHT),
        skl.TweedieRegressor(power=0, link="log", alpha=0.1, **TIGHT),
        "positive",
    ),
    "huber": (ours.HuberRegressor(**TIGHT), Huber(**TIGHT), "number"),
    "huber, strong": (
        ours.HuberRegressor(alpha=5.0, epsilon=1.1, **TIGHT),
        Huber(alpha=5.0, epsilon=1.1, **TIGHT),
        "number",
    ),
    "linear svc": (
        ours.LinearSVC(fit_intercept=False, **TIGHT),
        sklearn.svm.LinearSVC(fit_intercept=False, dual=False, **LIBLINEAR),
        "binary",
    ),
    "linear svc, l1": (
        ours.LinearSVC(fit_intercept=False, penalty="l1", C=0.1, **TIGHT),
        sklearn.svm.LinearSVC(fit_intercept=False, dual=False, penalty="l1", C=0.1, **LIBLINEAR),
        "binary",
    ),
    "linear svc, classes": (
        ours.LinearSVC(fit_intercept=False, class_weight="balanced", **TIGHT),
        sklearn.svm.LinearSVC(fit_intercept=False, dual=False, class_weight="balanced", **LIBLINEAR),
        "labels",
    ),
    "logistic, l1": (ours.LogisticRegression(penalty="l1", C=0.1, **TIGHT), saga(l1_ratio=1, C=0.1), "binary"),
    "logistic, l1, fista": (
        ours.LogisticRegression(penalty="l1", C=0.1, solver="fista", **TIGHT),
        saga(l1_ratio=1, C=0.1),
        "binary",
    ),
    "logistic, elastic net": (
        ours.LogisticRegression(penalty="elasticnet", l1_ratio=0.3, C=0.1, **TIGHT),
        saga(l1_ratio=0.3, C=0.1),
        "binary",
    ),
    "multinomial, l1": (ours.LogisticRegression(l1_ratio=1, C=0.1, **TIGHT), saga(l1_ratio=1, C=0.1), "labels"),
}


@pytest.fixture(scope="session")
def reference(data):
    """scikit-learn's fit of a row of the table, made once a row."""
    fitted = {}

    def fit(name, weighted):
        if (name, weighted) not in fitted:
            model, y = clone(TABLE[name][1]), target(data, TABLE[name][2])
            fitted[name, weighted] = model.fit(data.X, y, sample_weight=data.weight if weighted else None)
        return fitted[name, weighted]

    return fit


def target(data, kind):
    return (data.labels > 0).astype(int) if kind == "binary" else getattr(data, kind)


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("name", TABLE)
def test_coefficients_are_those_of_scikit_learn(data, reference, name, layout, weighted):
    model, _, kind = TABLE[name]
    X, y, weight = layout(data.X, target(data, kind), data.weight if weighted else None)
    model.fit(X, y, sample_weight=weight)
    assert_same(model, reference(name, weighted))


@pytest.mark.parametrize(
    "name", ["logistic", "multinomial", "least squares", "ridge", "elastic net", "poisson", "huber"]
)
def test_float32_stays_float32_and_is_close(data, reference, name):
    model, _, kind = TABLE[name]
    tolerance = {"tol": 1e-5} if "tol" in model.get_params() and name != "least squares" else {}
    loose = type(model)(**{**model.get_params(), **tolerance})
    X, y = dask_arrays(data.X.astype(np.float32), target(data, kind))
    loose.fit(X, y)
    assert loose.coef_.dtype == np.float32
    expected = reference(name, False).coef_
    assert_allclose(loose.coef_, expected, atol=2e-3 * np.abs(expected).max())
    assert loose.predict(X).dtype == loose.predict(X).compute().dtype


def test_the_evidence_of_a_bayesian_ridge_is_that_of_scikit_learn(data):
    cases = ((600, data.weight, {}), (600, None, {"fit_intercept": False, "lambda_init": 0.1}), (5, None, {}))
    for rows, weight, options in cases:  # more and fewer than features
        X, y = data.X[:rows], data.number[:rows]
        model = ours.BayesianRidge(compute_score=True, **options).fit(da.from_array(X, chunks=(100, 3)), y, weight)
        expected = skl.BayesianRidge(compute_score=True, **options).fit(X, y, weight)
        for name in ("coef_", "intercept_", "alpha_", "lambda_", "sigma_", "scores_", "n_iter_", "X_offset_"):
            assert_allclose(getattr(model, name), getattr(expected, name), rtol=1e-6, err_msg=name)
        assert_allclose(model.predict(X, return_std=True), expected.predict(X, return_std=True), rtol=1e-6)
        assert model.profile_.passes == 1
    with pytest.raises(ValueError, match="return_std: expected False on Dask input"):
        model.predict(da.from_array(X, chunks=(100, 7)), return_std=True)
    with pytest.raises(ValueError, match="alpha_init: expected a finite number above 0, got 0"):
        ours.BayesianRidge(alpha_init=0).fit(X, y)


@pytest.mark.parametrize(
    "model",
    [ours.LinearRegression(), ours.Ridge(alpha=[0.5, 2.0]), ours.ElasticNet(alpha=0.1, **TIGHT)],
    ids=lambda m: type(m).__name__,
)
def test_several_outputs(data, model):
    Y = np.column_stack([data.number, data.count]).astype(float)
    expected = model.to_sklearn().fit(data.X, Y)
    model.fit(da.from_array(data.X, chunks=(100, 7)), da.from_array(Y, chunks=(250, 1)))
    assert_same(model, expected)
    assert model.predict(da.from_array(data.X, chunks=(90, 7))).compute().shape == Y.shape


def test_least_squares_of_nearly_dependent_columns_has_the_accuracy_of_a_qr(data):
    X = np.column_stack([data.X, data.X[:, 0] + 1e-6 * np.sin(np.arange(600))])
    expected = skl.LinearRegression(tol=1e-12).fit(X, data.number)
    model = ours.LinearRegression(tol=1e-12).fit(da.from_array(X, chunks=(100, 8)), data.number)
    assert model.profile_.passes == 2
    assert_allclose(model.coef_, expected.coef_, rtol=1e-5)
    assert model.rank_ == 8


def test_least_squares_of_dependent_columns_has_the_least_norm(data):
    X = np.column_stack([data.X, data.X[:, 0] + data.X[:, 1]])
    expected = skl.LinearRegression().fit(X, data.number)
    model = ours.LinearRegression().fit(da.from_array(X, chunks=(100, 8)), data.number)
    assert model.rank_ == 7
    assert_allclose(model.coef_, expected.coef_, rtol=1e-6, atol=1e-8)


def test_more_features_than_the_gram_matrix_takes(data, monkeypatch):
    from daskml_kit.linear_model import least_squares

    monkeypatch.setattr(least_squares, "GRAM_FEATURES", 3)
    X, y = dask_arrays(data.X, data.number)
    pairs = [
        (ours.LinearRegression(tol=1e-11), skl.LinearRegression()),
        (ours.Ridge(tol=1e-11), skl.Ridge(tol=1e-12)),
        (ours.ElasticNet(alpha=0.1, **TIGHT), skl.ElasticNet(alpha=0.1, **TIGHT)),
    ]
    for model, expected in pairs:
        assert_same(model.fit(X, y), expected.fit(data.X, data.number))


def test_many_coefficients_use_the_limited_memory_metric(data, monkeypatch):
    from daskml_kit.linear_model import pilot, solve

    monkeypatch.setattr(solve, "DENSE_COEFFICIENTS", 3)
    monkeypatch.setattr(solve, "CHEAP_HESSIANS", 3)
    monkeypatch.setattr(pilot, "CHEAP_HESSIANS", 3)
    y = target(data, "binary")
    for parameters in ({}, {"l1_ratio": 1.0, "C": 0.1}):
        model = ours.LogisticRegression(**parameters, **TIGHT).fit(*dask_arrays(data.X, y))
        expected = saga(**parameters).fit(data.X, y)
        assert_same(model, expected)


@pytest.mark.parametrize("parameters", [{}, {"l1_ratio": 1.0, "C": 0.02}, {"l1_ratio": 0.5, "C": 0.02}], ids=str)
@pytest.mark.parametrize("classes", [2, 4])
def test_a_fit_that_starts_from_a_sample_ends_at_the_same_minimum(parameters, classes, monkeypatch):
    from daskml_kit.linear_model import base as model_module

    monkeypatch.setattr(model_module, "sample_rows", lambda p: 2000)
    rng = np.random.default_rng(3)
    X = rng.normal(size=(20_000, 5)) * [1, 10, 0.1, 1, 1] + 1
    y = np.digitize(X @ [1, 0.1, 5, 0, 0.5] + rng.logistic(size=len(X)), np.linspace(0.5, 4, classes - 1))
    solver = ours.LogisticRegression(**parameters, tol=1e-10).fit(da.from_array(X, chunks=(3000, 5)), y)
    newton = ours.LogisticRegression(**parameters, tol=1e-10, solver="newton-cholesky").fit(X, y)
    assert solver.profile_.passes > 3
    assert_allclose(solver.coef_, newton.coef_, rtol=1e-6, atol=1e-7)
    assert_allclose(solver.intercept_, newton.intercept_, rtol=1e-6, atol=1e-7)


def test_poisson_regression_under_its_dask_ml_name(data):
    weight = len(data.X)
    expected = skl.PoissonRegressor(alpha=1 / (0.5 * weight), **TIGHT).fit(data.X, data.count)
    assert_same(ours.PoissonRegression(C=0.5, **TIGHT).fit(*dask_arrays(data.X, data.count)), expected)


def test_linear_svc_leaves_the_intercept_alone(data):
    y = target(data, "binary")
    loose = sklearn.svm.LinearSVC(intercept_scaling=1e4, dual=False, C=0.01, tol=1e-10, max_iter=100_000).fit(data.X, y)
    model = ours.LinearSVC(C=0.01, tol=1e-10).fit(*dask_arrays(data.X, y))
    assert_allclose(model.coef_, loose.coef_, rtol=1e-3)
    assert_allclose(model.intercept_, loose.intercept_, rtol=1e-3)

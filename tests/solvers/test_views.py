"""Views give fits what they would see on standardized, imputed and transformed rows."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import sklearn.decomposition
import sklearn.impute
import sklearn.preprocessing
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from daskml_kit.data.block import Block
from daskml_kit.decomposition import PCA
from daskml_kit.engines.engine import LocalEngine
from daskml_kit.exceptions import DataError
from daskml_kit.numerics.losses import Logistic, Softmax, Squared
from daskml_kit.numerics.targets import Codes, Numbers, OneVsRest
from daskml_kit.reductions.frames import PerFold
from daskml_kit.reductions.gram import Gram, Triangle
from daskml_kit.reductions.loss import LossAt
from daskml_kit.reductions.missing_counts import gaps_of
from daskml_kit.reductions.moments import Moments
from daskml_kit.reductions.summary import Summary
from daskml_kit.solvers.run import Driver
from daskml_kit.solvers.types import DataSpec
from daskml_kit.solvers.views import Filling, ImputedView, StandardizedView, seen, through, unscaling

N_ROWS, WIDTH = 40, 3


def ask(reduction):
    return (yield reduction)


def asked(driver, view, *reductions):
    """Return the answers that a fit sees through a view."""
    views = view if isinstance(view, tuple) else (view,)
    found = []
    for reduction in reductions:
        fit = ask(reduction)
        for own in views:
            fit = seen(own, fit)
        (returned,) = driver.run({None: fit}).values()
        if returned.error is not None:
            raise returned.error
        found.append(returned.value)
    return found


def assert_same_loss(found, expected):
    assert found.value == pytest.approx(expected.value, rel=1e-9)
    assert_allclose(found.grad, expected.grad, rtol=1e-9, atol=1e-9)
    assert_allclose(found.hess, expected.hess, rtol=1e-9, atol=1e-8)


TARGETS = {
    "squared": (Squared(), Numbers(np.zeros(1, np.int64)), 1),
    "logistic": (Logistic(), OneVsRest(np.array([1])), 1),
    "softmax": (Softmax(3), Codes(np.arange(3)), 3),
}


def dense(weighted=False):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N_ROWS, WIDTH)) * [1, 10, 0.1] + [5, -3, 0]
    y, weight = rng.integers(0, 3, N_ROWS), rng.integers(1, 4, N_ROWS).astype(float) if weighted else None
    cuts = [slice(0, 15), slice(15, 15), slice(15, 40)]
    blocks = [Block(X[c], y[c], None if weight is None else weight[c], i) for i, c in enumerate(cuts)]
    return X, y, weight, LocalEngine(blocks)


@pytest.mark.parametrize("with_mean", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("name", TARGETS)
def test_standardized_losses(name, weighted, with_mean):
    loss, target, k = TARGETS[name]
    X, y, weight, engine = dense(weighted)
    mean, scale = X.mean(axis=0) * with_mean, X.std(axis=0)
    reduction = LossAt(loss, target, np.random.default_rng(1).normal(size=(1, k, WIDTH + 1)), 2)
    (expected,) = LocalEngine([Block((X - mean) / scale, y, weight)]).answer(reduction)
    (found,) = asked(Driver(engine), StandardizedView(mean, scale, None), reduction)
    assert_same_loss(found, expected)


@pytest.mark.parametrize("kind", ["standardized", "components", "whitened", "through"])
def test_products_samples_and_other_reductions(kind):
    X, y, weight, engine = dense(weighted=True)
    spec = DataSpec(WIDTH)
    if kind in ("standardized", "through"):
        model = sklearn.preprocessing.StandardScaler().fit(X)
        view = StandardizedView(model.mean_, model.scale_, model) if kind == "standardized" else through(model)
    else:
        model = sklearn.decomposition.PCA(2, whiten=kind == "whitened").fit(X)
        view = PCA(2, whiten=kind == "whitened").fit(X)._view(spec)
    Z = model.transform(X)
    plain = LocalEngine([Block(Z, y, weight)])
    gram, summary, triangle = asked(Driver(engine), view, Gram(), Summary(True, 1000), Triangle())
    expected = plain.answer(Gram())[0]
    assert_allclose(gram.mean, expected.mean, atol=1e-11)
    assert_allclose(gram.product, expected.product, rtol=1e-9, atol=1e-8)
    if kind != "through":
        assert_allclose(summary.sample_X, Z, rtol=1e-9, atol=1e-9)
    assert_allclose(np.abs(triangle), np.abs(plain.answer(Triangle())[0]), rtol=1e-7, atol=1e-7)
    assert engine.profile.passes == 3


def test_sparse_features_are_scaled_but_not_centered():
    X, y, *_ = dense()
    driver = Driver(LocalEngine([Block(sp.csr_array(X), y)]))
    scale = np.array([1.0, 2.0, 4.0])
    (summary,) = asked(driver, StandardizedView(np.zeros(WIDTH), scale, None), Summary(True, 1000))
    assert_allclose(summary.sample_X.toarray(), X / scale)
    with pytest.raises(ValueError, match="Cannot center sparse matrices"):
        asked(driver, StandardizedView(X.mean(axis=0), scale, None), Summary(True, 1000))


def test_coefficients_of_scaled_features_are_those_of_the_features():
    rng = np.random.default_rng(0)
    X, mean, scale, v = rng.normal(size=(5, 2)), np.array([1.0, -2.0]), np.array([3.0, 0.5]), np.array([2.0, -1.0, 7.0])
    w = unscaling(mean, scale) @ v
    assert_allclose(X @ w[:2] + w[2], (X - mean) / scale @ v[:2] + v[2])


def test_fits_on_the_same_rows_share_a_standardized_sample():
    X, y, *_ = dense()
    driver = Driver(LocalEngine([Block(X, y, fold=np.arange(N_ROWS)[:, None] % 3)]), [3])
    subsets = dict(enumerate([driver.subset(0, (0, 1)), driver.subset(0, (0, 1)), driver.subset(0, (2,))]))
    fits = {
        number: seen(
            StandardizedView(np.ones(WIDTH), np.full(WIDTH, 2.0), None, driver.shared[subset]), ask(Summary(True, 10))
        )
        for number, subset in subsets.items()
    }
    first, again, other = (returned.value.sample_X for returned in driver.run(fits, subsets).values())
    assert first is again
    assert other.shape[0] < first.shape[0]
    assert driver.engine.profile.passes == 1


LOGISTIC = LossAt(Logistic(), OneVsRest(np.array([1])), np.zeros((2, 1, WIDTH + 1)), 2)
SOFTMAX = LossAt(Softmax(3), Codes(np.arange(3)), np.zeros((2, 3, WIDTH + 1)), 2)


def with_missing(seed, share, columns):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(N_ROWS, WIDTH)) * [1, 5, 0.1] + [0, 100, 1]
    for column in columns:
        X[rng.random(N_ROWS) < share, column] = np.nan
    return X, rng.integers(0, 3, N_ROWS), rng


def driver_of(X, y, cut):
    driver = Driver(LocalEngine([Block(X[:cut], y[:cut]), Block(X[cut:], y[cut:], index=1)]))
    driver.gaps = gaps_of(driver.engine.answer(Moments())[0])
    return driver


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    st.integers(0, 9),
    st.sampled_from([0.0, 0.2, 0.9]),
    st.sets(st.integers(0, WIDTH - 1)),
    st.sampled_from(["mean", "median", "constant"]),
    st.booleans(),
    st.booleans(),
    st.integers(0, N_ROWS),
)
def test_answers_are_those_of_imputed_rows(seed, share, columns, strategy, indicated, sparse, cut):
    X, y, rng = with_missing(seed, share, columns)
    imputer = sklearn.impute.SimpleImputer(strategy=strategy, add_indicator=indicated).fit(X)
    Z = imputer.transform(X).astype(np.float64)
    features = imputer.indicator_.features_ if indicated else np.empty(0, int)
    driver = driver_of(sp.csr_array(X) if sparse else X, y, cut)
    filling = Filling(np.asarray(imputer.statistics_, np.float64), features)
    assert filling.width == Z.shape[1]
    view, plain = ImputedView(driver.gaps, filling, imputer), LocalEngine([Block(Z, y)])
    for reduction in (LOGISTIC, SOFTMAX):
        coef = rng.normal(size=(2, reduction.coef.shape[1], Z.shape[1] + 1)) / 10
        losses = LossAt(reduction.loss, reduction.target, coef, 2)
        (found,) = asked(driver, view, losses)
        for ours, theirs in zip(found, plain.answer(losses), strict=True):
            assert_same_loss(ours, theirs)
    gram, moments, summary = asked(driver, view, Gram(), Moments(), Summary(True, 1000))
    theirs = plain.answer(Gram())[0]
    assert_allclose(gram.mean, theirs.mean, rtol=1e-10, atol=1e-12)
    assert_allclose(gram.product, theirs.product, rtol=1e-9, atol=1e-7)
    for own, other in zip(moments[1:], plain.answer(Moments())[0][1:], strict=True):
        assert_allclose(own, other, rtol=1e-9, atol=1e-10)
    sample = summary.sample_X
    assert sp.issparse(sample) == sparse
    assert_allclose(sample.toarray() if sparse else sample, Z, rtol=1e-12)


def test_large_means_cost_no_digits():
    X, y, _ = with_missing(0, 0.3, [0, 1])
    X += 1e7
    Z = sklearn.impute.SimpleImputer().fit_transform(X)
    driver = driver_of(X, y, 20)
    filling = Filling(np.nanmean(X, axis=0), np.empty(0, int))
    (found,) = asked(driver, ImputedView(driver.gaps, filling, None), Gram())
    centered = Z - Z.mean(axis=0)
    assert_allclose(found.product[:WIDTH, :WIDTH], centered.T @ centered, rtol=1e-6, atol=1e-6)


def test_standardization_after_imputation():
    X, y, rng = with_missing(1, 0.3, [1, 2])
    Z = sklearn.impute.SimpleImputer().fit_transform(X)
    driver = driver_of(X, y, 20)
    imputed = ImputedView(driver.gaps, Filling(np.nanmean(X, axis=0), np.empty(0, int)), None)
    (spread,) = asked(driver, imputed, Moments())
    mean, scale = spread.mean, np.sqrt(spread.variance)
    losses = LossAt(Logistic(), OneVsRest(np.array([1])), rng.normal(size=(1, 1, WIDTH + 1)), 2)
    (ours,) = asked(driver, (StandardizedView(mean, scale, None), imputed), losses)
    assert_same_loss(ours, LocalEngine([Block((Z - mean) / scale, y)]).answer(losses)[0])


def test_infinity_is_named_where_it_lies():
    X, y, _ = with_missing(2, 0.3, [0])
    X[7, 2] = np.inf
    driver = Driver(LocalEngine([Block(X, y, fold=np.arange(N_ROWS)[:, None] % 2)]))
    with np.errstate(invalid="ignore"):
        driver.gaps = gaps_of(driver.engine.answer(Moments())[0])
    losses = LossAt(LOGISTIC.loss, LOGISTIC.target, np.ones((1, 1, WIDTH + 2)))
    for reduction in (Gram(), PerFold(Gram(), 0, 2), losses):
        with pytest.raises(DataError, match="X contains infinity in block 0, row 7 of the block, column 2"):
            driver.ask([reduction])

"""Engines that answer for imputed features give what imputed features give."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import sklearn.impute
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from daskml_kit.data.block import Block
from daskml_kit.engines.engine import LocalEngine
from daskml_kit.engines.imputed import Filling, ImputedEngine
from daskml_kit.engines.indicating import IndicatingEngine, gaps_behind
from daskml_kit.engines.scaled import ScaledEngine
from daskml_kit.exceptions import DataError
from daskml_kit.numerics.losses import Logistic, Softmax
from daskml_kit.numerics.missing import NO_GAPS
from daskml_kit.numerics.targets import Codes, OneVsRest
from daskml_kit.reductions.gram import Gram, Triangle
from daskml_kit.reductions.loss import LossAt
from daskml_kit.reductions.missing_counts import gaps_of
from daskml_kit.reductions.moments import Moments
from daskml_kit.reductions.per_fold import PerFold
from daskml_kit.reductions.summary import Summary

N_ROWS, WIDTH = 40, 3
LOGISTIC = LossAt(Logistic(), OneVsRest(np.array([1])), np.zeros((2, 1, WIDTH + 1)), 2)
SOFTMAX = LossAt(Softmax(3), Codes(np.arange(3)), np.zeros((2, 3, WIDTH + 1)), 2)


def make(seed, share, columns):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(N_ROWS, WIDTH)) * [1, 5, 0.1] + [0, 100, 1]
    for column in columns:
        X[rng.random(N_ROWS) < share, column] = np.nan
    return X, rng.integers(0, 3, N_ROWS), rng


def engine_of(X, y, cut):
    engine = LocalEngine([Block(X[:cut], y[:cut]), Block(X[cut:], y[cut:], index=1)])
    gaps = gaps_of(engine.answer(Moments())[0])
    return IndicatingEngine(engine, gaps) if len(gaps.columns) else engine


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
    X, y, rng = make(seed, share, columns)
    imputer = sklearn.impute.SimpleImputer(strategy=strategy, add_indicator=indicated).fit(X)
    Z = imputer.transform(X).astype(np.float64)
    features = imputer.indicator_.features_ if indicated else np.empty(0, int)
    engine = engine_of(sp.csr_array(X) if sparse else X, y, cut)
    filling = Filling(np.asarray(imputer.statistics_, np.float64), features)
    assert filling.width == Z.shape[1]
    imputed, plain = ImputedEngine(engine, gaps_behind(engine), filling), LocalEngine([Block(Z, y)])
    for reduction in (LOGISTIC, SOFTMAX):
        coef = rng.normal(size=(2, reduction.coef.shape[1], Z.shape[1] + 1)) / 10
        asked = LossAt(reduction.loss, reduction.target, coef, 2)
        for ours, theirs in zip(imputed.answer(asked), plain.answer(asked), strict=True):
            assert ours.value == pytest.approx(theirs.value, rel=1e-9)
            assert_allclose(ours.grad, theirs.grad, rtol=1e-9, atol=1e-9)
            assert_allclose(ours.hess, theirs.hess, rtol=1e-9, atol=1e-8)
    ours, theirs = imputed.answer(Gram())[0], plain.answer(Gram())[0]
    assert_allclose(ours.mean, theirs.mean, rtol=1e-10, atol=1e-12)
    assert_allclose(ours.product, theirs.product, rtol=1e-9, atol=1e-7)
    ours, theirs = imputed.answer(Moments())[0], plain.answer(Moments())[0]
    for own, other in zip(ours[1:], theirs[1:], strict=True):
        assert_allclose(own, other, rtol=1e-9, atol=1e-10)
    sample = imputed.answer(Summary(True, 1000))[0].sample_X
    assert sp.issparse(sample) == sparse
    assert_allclose(sample.toarray() if sparse else sample, Z, rtol=1e-12)


def test_large_means_cost_no_digits():
    X, y, _ = make(0, 0.3, [0, 1])
    X += 1e7
    Z = sklearn.impute.SimpleImputer().fit_transform(X)
    engine = engine_of(X, y, 20)
    filling = Filling(np.nanmean(X, axis=0), np.empty(0, int))
    found = ImputedEngine(engine, gaps_behind(engine), filling).answer(Gram())[0]
    centered = Z - Z.mean(axis=0)
    assert_allclose(found.product[:WIDTH, :WIDTH], centered.T @ centered, rtol=1e-6, atol=1e-6)


def test_scaling_after_imputation():
    X, y, rng = make(1, 0.3, [1, 2])
    Z = sklearn.impute.SimpleImputer().fit_transform(X)
    engine = engine_of(X, y, 20)
    imputed = ImputedEngine(engine, gaps_behind(engine), Filling(np.nanmean(X, axis=0), np.empty(0, int)))
    spread = imputed.answer(Moments())[0]
    mean, scale = spread.mean, np.sqrt(spread.variance)
    both = ScaledEngine(imputed, mean, scale)
    asked = LossAt(Logistic(), OneVsRest(np.array([1])), rng.normal(size=(1, 1, WIDTH + 1)), 2)
    ours, theirs = both.answer(asked)[0], LocalEngine([Block((Z - mean) / scale, y)]).answer(asked)[0]
    assert ours.value == pytest.approx(theirs.value)
    assert_allclose(ours.hess, theirs.hess, rtol=1e-9, atol=1e-9)


def test_what_is_asked_of_the_rows_as_they_are():
    X, y, _ = make(2, 0.3, [0])
    engine = engine_of(X, y, 20)
    assert gaps_behind(engine.engine) == NO_GAPS
    assert len(engine.answer(Gram())[0].mean) == WIDTH + 2
    assert engine.answer(Moments())[0].count[0] < N_ROWS
    with pytest.raises(TypeError, match="Triangle is not asked of imputed features"):
        ImputedEngine(engine, engine.gaps, Filling(np.zeros(WIDTH), np.empty(0, int))).answer(Triangle())


def test_infinity_is_named_where_it_lies():
    X, y, _ = make(2, 0.3, [0])
    X[7, 2] = np.inf
    fold = np.arange(N_ROWS)[:, None] % 2
    engine = LocalEngine([Block(X, y, fold=fold)])
    with np.errstate(invalid="ignore"):
        gaps = gaps_of(engine.answer(Moments())[0])
    for reduction in (Gram(), PerFold(Gram(), 0, 2), LOGISTIC):
        if reduction is LOGISTIC:
            reduction = LossAt(reduction.loss, reduction.target, np.ones((1, 1, WIDTH + 2)))
        with pytest.raises(DataError, match="X contains infinity in block 0, row 7 of the block, column 2"):
            IndicatingEngine(engine, gaps).answer(reduction)

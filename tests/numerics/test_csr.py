"""Compiled loops over CSR matrices, and slices of their rows, against SciPy."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from daskml_kit.data.block import Block
from daskml_kit.numerics import csr
from daskml_kit.numerics.losses import Huber, Logistic, Poisson, Softmax, SquaredHinge
from daskml_kit.numerics.targets import Codes, Numbers, OneVsRest
from daskml_kit.reductions import loss as loss_module
from daskml_kit.reductions.gram import Gram
from daskml_kit.reductions.loss import LossAt, Within

FOLD = np.arange(60)[:, None] % 3


def random_csr(seed, n_rows, n_features, dtype, canonical):
    draw = np.random.default_rng(seed)
    X = sp.random_array((n_rows, n_features), density=0.3, format="csr", dtype=dtype, rng=draw)
    if canonical:
        return X
    # every row's numbers backwards, and each as the sum of two
    backwards = [np.arange(b - 1, a - 1, -1) for a, b in pairwise(X.indptr)]
    order = np.concatenate([np.empty(0, int), *backwards])
    data, indices = np.repeat(X.data[order] / 2, 2), np.repeat(X.indices[order], 2)
    return sp.csr_array((data, indices, 2 * X.indptr), shape=X.shape)


@settings(deadline=None)  # the first call compiles
@given(
    seed=st.integers(0, 99),
    n_rows=st.integers(0, 30),
    n_features=st.integers(1, 12),
    dtype=st.sampled_from([np.float64, np.float32]),
    canonical=st.booleans(),
)
def test_the_compiled_sandwich_is_scipys(seed, n_rows, n_features, dtype, canonical):
    X = random_csr(seed, n_rows, n_features, dtype, canonical)
    weight = np.random.default_rng(seed).normal(size=n_rows)
    given_X = [part.copy() for part in (X.data, X.indices, X.indptr)]
    expected = csr.sandwich(X, weight)
    found = np.zeros((n_features, n_features))
    csr.add_upper(X, weight, found)
    csr.mirror(found)
    assert_allclose(found, expected, rtol=1e-5 if dtype == np.float32 else 1e-12, atol=1e-6)
    assert_array_equal(found, found.T)
    for before, part in zip(given_X, (X.data, X.indices, X.indptr), strict=True):
        assert_array_equal(part, before)


@settings(deadline=None)
@given(seed=st.integers(0, 20), start=st.integers(0, 9), stop=st.integers(0, 12), canonical=st.booleans())
def test_rows_that_follow_each_other(seed, start, stop, canonical):
    X = random_csr(seed, 10, 5, np.float64, canonical)
    part = csr.row_slice(X, slice(start, max(start, stop)))
    assert_array_equal(part.toarray(), X[start : max(start, stop)].toarray())
    assert part.has_canonical_format == X.has_canonical_format


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_reductions_are_the_same_compiled(monkeypatch, n_classes, weighted):
    draw = np.random.default_rng(0)
    X, y = random_csr(1, 400, 9, np.float64, False), draw.integers(0, n_classes, 400)
    block = Block(X, y, draw.random(400) if weighted else None)
    if n_classes == 2:
        asked = LossAt(Logistic(), OneVsRest(np.array([1])), draw.normal(size=(3, 1, 10)), 2)
    else:
        asked = LossAt(Softmax(n_classes), Codes(np.arange(n_classes)), draw.normal(size=(2, n_classes, 10)), 2)
    expected, gram = asked.chunk(block), Gram().chunk(block)
    monkeypatch.setattr(csr, "MANY_PAIRS", 0)
    found, compiled = asked.chunk(block), Gram().chunk(block)
    for a, b in zip(found, expected, strict=True):
        assert_allclose(a, b, rtol=1e-10, atol=1e-12)
    assert_allclose(compiled.product, gram.product, rtol=1e-10, atol=1e-10)


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 20),
    dtype=st.sampled_from([np.float32, np.float64]),
    n_columns=st.integers(1, 4),
    canonical=st.booleans(),
)
def test_products_are_those_of_scipy(seed, dtype, n_columns, canonical):
    X, draw = random_csr(seed, 30, 6, dtype, canonical), np.random.default_rng(seed)
    right, left = (draw.normal(size=(size, n_columns)).astype(dtype) for size in (6, 30))
    exact = 1e-5 if dtype == np.float32 else 1e-12
    assert_allclose(csr.multiply(X, right, np.empty_like(left)), X @ right, rtol=exact, atol=exact)
    out = np.ones((6, n_columns))
    csr.add_transposed(X, left, out)
    assert_allclose(out, 1 + X.T @ left, rtol=exact, atol=exact)


LOSSES = {
    "logistic": (Logistic(), OneVsRest(np.array([1])), 1),
    "three margins": (SquaredHinge(), OneVsRest(np.array([0, 1, 2])), 1),
    "softmax": (Softmax(3), Codes(np.arange(3)), 3),
    "poisson": (Poisson(), Numbers(np.zeros(1, int)), 1),
    "huber": (Huber(1.3), Numbers(np.zeros(1, int)), 2),
}


@pytest.mark.parametrize("rows", ["all", "some"])
@pytest.mark.parametrize("kind", ["dense", "sparse", "compiled"])
@pytest.mark.parametrize("name", LOSSES)
def test_products_along_directions_are_those_of_the_hessian(monkeypatch, name, kind, rows):
    loss, target, k = LOSSES[name]
    draw = np.random.default_rng(0)
    X = random_csr(2, 60, 5, np.float64, True)
    block = Block(X.toarray() if kind == "dense" else X, draw.integers(0, 3, 60), draw.random(60), fold=FOLD)
    n_points = 3 if name == "three margins" else 1
    coef, along = (draw.normal(size=(n_points, k, 6)) for _ in range(2))
    if name == "huber":
        coef[:, 1] = np.append(np.zeros(5), 0.7)
    within = None if rows == "all" else Within(np.zeros(n_points, int), ((0, 2),) * n_points)
    asked = LossAt(loss, target, coef, 2, within)
    hessians = [answer.hess for answer in asked.finalize(asked.chunk(block))]
    monkeypatch.setattr(loss_module, "MANY_PRODUCTS", 0 if kind == "compiled" else np.inf)
    product = replace(asked, order=1, along=along)
    for answer, hess, direction in zip(product.finalize(product.chunk(block)), hessians, along, strict=True):
        assert_allclose(answer.grad, hess @ direction.ravel(), rtol=1e-9, atol=1e-11)
        assert_allclose(answer.value, direction.ravel() @ hess @ direction.ravel(), rtol=1e-9)
    plain = replace(asked, order=1)
    found = plain.finalize(plain.chunk(block))
    monkeypatch.setattr(loss_module, "MANY_PRODUCTS", np.inf)
    for one, other in zip(found, plain.finalize(plain.chunk(block)), strict=True):
        assert_allclose(one.value, other.value, rtol=1e-12)
        assert_allclose(one.grad, other.grad, rtol=1e-10, atol=1e-12)


def test_columns_without_numbers_are_left_out():
    draw = np.random.default_rng(0)
    X, columns = random_csr(2, 60, 5, np.float64, False), np.array([1, 4, 6, 7, 9])
    wide = sp.csr_array((X.data, columns[X.indices], X.indptr), shape=(60, 12))
    y, coef = draw.integers(0, 2, 60), draw.normal(size=(1, 1, 6))
    asked = LossAt(Logistic(), OneVsRest(np.array([1])), coef)
    chosen = replace(asked, columns=columns)
    for block in (Block(wide, y), Block(wide.toarray(), y)):
        for found, expected in zip(chosen.chunk(block)[:2], asked.chunk(Block(X, y))[:2], strict=True):
            assert_allclose(found, expected, rtol=1e-10)


def test_little_work_needs_no_compiler():
    X = random_csr(1, 400, 9, np.float64, True)
    assert not csr.has_many_pairs(X)
    assert csr.has_many_pairs(sp.csr_array((np.ones(2_000_000), np.zeros(2_000_000, int), np.arange(2_000_001))))


def test_taken_columns_are_remembered_while_that_is_asked_for():
    X, other = (random_csr(seed, 20, 6, np.float64, True) for seed in (0, 1))
    columns, fewer = np.array([0, 2, 3, 5]), np.array([1, 4])
    with csr.remembering_columns([X, np.ones((2, 2))]):
        first = csr.take_columns(X, columns)
        assert csr.take_columns(X, columns) is first
        assert_array_equal(csr.take_columns(X, fewer).toarray(), X.toarray()[:, fewer])
        again = csr.take_columns(X, columns)
        assert again is not first
        assert_array_equal(again.toarray(), X.toarray()[:, columns])
        assert csr.take_columns(other, columns) is not csr.take_columns(other, columns)
    assert csr.take_columns(X, columns) is not again
    assert not {"last_taken"} & (vars(X).keys() | vars(other).keys())

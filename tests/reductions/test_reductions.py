"""Reductions: any chunking gives the same answer, and the tree is fixed."""

from __future__ import annotations

import itertools

import numpy as np
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_allclose, assert_array_equal

from daskml_kit.data.block import Block
from daskml_kit.engines.engine import LocalEngine
from daskml_kit.numerics.losses import Logistic, Softmax, Squared
from daskml_kit.numerics.targets import Codes, Numbers, OneVsRest
from daskml_kit.reductions.gram import Gram, Triangle
from daskml_kit.reductions.loss import LossAt
from daskml_kit.reductions.moments import Moments
from daskml_kit.reductions.reduction import Node, SingleReduction, Tree, reduce_nodes
from daskml_kit.reductions.summary import Summary

NUMBERS = st.floats(-100, 100, allow_nan=False, width=32)


@st.composite
def blocks(draw, missing=False):
    """Rows cut anywhere, empty blocks among them, dense or sparse, weighted or not."""
    n, d = draw(st.integers(1, 30)), draw(st.integers(1, 4))
    elements = st.one_of(NUMBERS, st.just(np.nan)) if missing else NUMBERS
    X = draw(hnp.arrays(np.float64, (n, d), elements=elements))
    y = draw(hnp.arrays(np.int64, n, elements=st.integers(0, 2)))
    weight = draw(st.none() | hnp.arrays(np.float64, n, elements=st.floats(0.125, 4)))
    cuts = [0, *sorted(draw(st.lists(st.integers(0, n), max_size=6))), n]
    store = sp.csr_array if draw(st.booleans()) else np.asarray
    parts = [
        Block(store(X[a:b]), y[a:b], None if weight is None else weight[a:b], index)
        for index, (a, b) in enumerate(itertools.pairwise(cuts))
    ]
    return X, y, np.ones(n) if weight is None else weight, parts


def answer(parts, reduction):
    with LocalEngine(parts) as engine:
        answers = engine.answer(reduction)
    return answers[0] if len(answers) == 1 else answers


@given(blocks())
@settings(max_examples=150, deadline=None)
def test_gram_is_the_scatter_about_the_mean(case):
    X, y, weight, parts = case
    Z = np.column_stack([X, y])
    mean = weight @ Z / weight.sum()
    got = answer(parts, Gram())
    scale = max(1, np.abs(Z).max()) ** 2 * weight.sum()
    assert got.n_rows == len(X)
    assert_allclose(got.mean, mean, atol=1e-9 * scale)
    assert_allclose(got.product, (Z - mean).T * weight @ (Z - mean), atol=1e-9 * scale)
    assert_allclose(got.about_zero(), Z.T * weight @ Z, atol=1e-9 * scale)


@given(blocks(missing=True))
@settings(max_examples=150, deadline=None)
def test_moments_leave_missing_values_out(case):
    X, _, weight, parts = case
    got = answer(parts, Moments())
    here = ~np.isnan(X)
    assert_array_equal(got.count, here.sum(axis=0))
    filled = np.where(here, X, 0)
    share = np.where(here, weight[:, None], 0)
    total = share.sum(axis=0)
    safe = np.where(total > 0, total, 1)
    mean = (share * filled).sum(axis=0) / safe
    variance = (share * (filled - mean) ** 2).sum(axis=0) / safe
    assert_allclose(got.mean, mean, atol=1e-8)
    assert_allclose(np.where(total > 0, got.variance, 0), np.where(total > 0, variance, 0), atol=1e-6)


@given(blocks(), st.sampled_from([0, 1, 2]))
@settings(max_examples=150, deadline=None)
def test_loss_gradient_and_hessian_do_not_depend_on_chunks(case, order):
    X, y, weight, parts = case
    coef = np.linspace(-0.02, 0.03, 3 * (X.shape[1] + 1))
    for reduction in (
        LossAt(Logistic(), OneVsRest(np.array([1, 2])), coef.reshape(3, 1, -1)[:2], order),
        LossAt(Softmax(3), Codes(np.arange(3), np.array([1.0, 2, 0.5])), coef.reshape(1, 3, -1), order),
        LossAt(Squared(), Numbers(np.zeros(3, int)), coef.reshape(3, 1, -1), order),
    ):
        whole = answer([Block(X, y, weight, 0)], reduction)
        pieces = answer(parts, reduction)
        for a, b in zip(*([w] if not isinstance(w, list) else w for w in (whole, pieces)), strict=True):
            assert_allclose(a.value, b.value, rtol=1e-9, atol=1e-9)
            assert_allclose(a.grad, b.grad, rtol=1e-7, atol=1e-6)
            assert (a.hess is None) == (b.hess is None) == (order < 2)
            if order == 2:
                assert_allclose(a.hess, b.hess, rtol=1e-7, atol=1e-5)
                assert_allclose(a.hess, a.hess.T, rtol=1e-7, atol=1e-5)


def test_fused_questions_get_the_answers_they_get_alone():
    rng = np.random.default_rng(0)
    block = Block(rng.normal(size=(50, 3)), rng.integers(0, 3, 50))
    reductions = [LossAt(Logistic(), OneVsRest(np.array([k])), rng.normal(size=(1, 1, 4)), 2) for k in range(3)]
    together = answer([block], reductions[0].fuse(reductions[1:]))
    for reduction, got in zip(reductions, together, strict=True):
        alone = answer([block], reduction)
        assert_allclose(got.value, alone.value)
        assert_allclose(got.grad, alone.grad)
        assert_allclose(got.hess, alone.hess)


def test_triangle_has_the_gram_matrix_of_the_data():
    rng = np.random.default_rng(0)
    X, y, weight = rng.normal(size=(90, 4)), rng.normal(size=90), rng.random(90)
    parts = [Block(X[a:b], y[a:b], weight[a:b], i) for i, (a, b) in enumerate([(0, 2), (2, 2), (2, 60), (60, 90)])]
    Z = np.column_stack([np.ones(90), X, y])
    R = answer(parts, Triangle())
    assert_allclose(R.T @ R, Z.T * weight @ Z, atol=1e-10)


@given(blocks())
@settings(max_examples=100, deadline=None)
def test_a_survey_counts_all_rows_and_samples_without_bias(case):
    X, y, weight, parts = case
    got = answer(parts, Summary(True, 8, len(parts)))
    assert got.n_rows == len(X)
    assert_allclose(got.weight, weight.sum())
    labels, counts = np.unique(y, return_counts=True)
    assert_array_equal(got.labels, labels)
    assert_array_equal(got.label_rows, counts)
    assert_allclose(got.label_weight, [weight[y == label].sum() for label in labels])
    assert len(got.sample_weight) == sum(min(p.n_rows, -(-8 // len(parts))) for p in parts)


class Concatenate(SingleReduction):
    def combine(self, a, b):
        return f"({a}{b})"


def reference(reduction, nodes, n_blocks):
    """The tree written plainly: level after level, each left child with the sibling that is there."""
    known = {(node.level, node.position): node.partial for node in nodes}
    level = 0
    while (n_blocks - 1) >> level:
        last = (n_blocks - 1) >> level
        for position in sorted(p for (at, p) in known if at == level and p % 2 == 0):
            if position == last:
                known[level + 1, position // 2] = known.pop((level, position))
            elif (level, position + 1) in known:
                left, right = known.pop((level, position)), known.pop((level, position + 1))
                known[level + 1, position // 2] = reduction.combine(left, right)
        level += 1
    return [Node(at, position, known[at, position]) for at, position in sorted(known)]


@given(st.integers(1, 200), st.data())
def test_the_tree_is_that_of_the_plain_reference(n, data):
    order = data.draw(st.lists(st.integers(0, n - 1), unique=True, min_size=1))
    nodes = [Node(0, i, f"{i},") for i in order]
    tree = Tree(Concatenate(), n)
    for node in nodes:
        tree.add(node)
    assert tree.nodes() == reduce_nodes(Concatenate(), nodes, n) == reference(Concatenate(), nodes, n)


def test_the_tree_takes_as_many_steps_as_blocks():
    combined = []

    class Count(SingleReduction):
        def combine(self, a, b):
            combined.append(None)
            return a + b

    tree = Tree(Count(), 5000)
    for position in range(5000):
        tree.add(Node(0, position, 1))
        assert len(tree.nodes()) <= 13
    assert tree.nodes()[0].partial == 5000
    assert len(combined) == 4999


@given(st.integers(1, 40), st.data())
def test_the_tree_depends_on_the_number_of_blocks_alone(n, data):
    nodes = [Node(0, i, str(i % 10)) for i in range(n)]
    (root,) = reduce_nodes(Concatenate(), nodes, n)
    share = data.draw(st.lists(st.integers(0, 3), min_size=n, max_size=n))
    parts = [
        reduce_nodes(Concatenate(), [node for node, s in zip(nodes, share, strict=True) if s == k], n) for k in range(4)
    ]
    assert reduce_nodes(Concatenate(), [node for part in parts for node in part], n) == [root]
    assert root.partial.replace("(", "").replace(")", "") == "".join(node.partial for node in nodes)

"""Reductions asked of some rows give what the same reductions give of blocks that hold only these."""

from __future__ import annotations

from functools import reduce
from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import (
    accuracy_score,
    brier_score_loss,
    log_loss,
    mean_absolute_error,
    mean_squared_error,
    r2_score,
)

from daskml_kit.data.block import Block
from daskml_kit.engines.engine import LocalEngine
from daskml_kit.exceptions import DataError
from daskml_kit.numerics.losses import Gamma, Huber, Logistic, Poisson, Softmax, Squared, SquaredHinge, Tweedie
from daskml_kit.numerics.targets import Codes, Numbers, OneVsRest
from daskml_kit.reductions.frames import PerFold, answer_for, rows_of
from daskml_kit.reductions.gram import Gram
from daskml_kit.reductions.linear_scores import Judged, LinearScores
from daskml_kit.reductions.loss import LossAt, Within
from daskml_kit.reductions.moments import Moments
from daskml_kit.reductions.picked_rows import CountRows, rows_drawn
from daskml_kit.reductions.summary import Summary
from daskml_kit.solvers.run import Driver
from daskml_kit.solvers.types import Subset

N_ROWS, WIDTH, N_IDS = 60, 3, 4


def blocks_of(X, y, weight, fold, cuts):
    edges = [0, *sorted(cuts), X.shape[0]]
    return [
        Block(X[a:b], y[a:b], None if weight is None else weight[a:b], i, fold[a:b])
        for i, (a, b) in enumerate(pairwise(edges))
    ]


def asked(reduction, blocks):
    return reduce(reduction.combine, [reduction.chunk(block) for block in blocks])


def make(seed, *, sparse=False):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(N_ROWS, WIDTH)) + 3
    fold = rng.integers(0, N_IDS, (N_ROWS, 2)).astype(np.int16)
    weight = rng.integers(0, 3, N_ROWS).astype(float)
    return sp.csr_array(X) if sparse else X, rng.integers(0, 3, N_ROWS), weight, fold


seeds = st.integers(0, 1000)
some_cuts = st.lists(st.integers(0, N_ROWS), max_size=4)
some_ids = st.sets(st.integers(0, N_IDS - 1), min_size=1).map(lambda ids: tuple(sorted(ids)))


@settings(max_examples=40, deadline=None)
@given(seeds, some_cuts, some_ids, st.integers(0, 1))
@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize(
    "reduction", [Moments(), Gram(), Summary(True, 1000)], ids=lambda reduction: type(reduction).__name__
)
def test_answers_of_ids_are_those_of_their_rows(reduction, sparse, seed, cuts, ids, column):
    X, y, weight, fold = make(seed, sparse=sparse)
    rows = np.flatnonzero(np.isin(fold[:, column], ids))
    partials = asked(PerFold(reduction, column, N_IDS), blocks_of(X, y, weight, fold, cuts))
    answer = answer_for(reduction, partials, ids)
    (expected,) = reduction.finalize(reduction.chunk(Block(X[rows], y[rows], weight[rows])))
    for name, value in expected._asdict().items():
        found = getattr(answer, name)
        if value is None:
            assert found is None
            continue
        if name.startswith("sample"):  # the rows come in the order of the ids
            found, value = (np.sort(part.toarray() if sp.issparse(part) else part, axis=0) for part in (found, value))
        assert_allclose(found, value, rtol=1e-9, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("kind", ["runs", "mixed"])
def test_samples_of_ids_are_together_as_large_as_one_of_the_block(kind):
    X, y, _, _ = make(0)
    ids = np.arange(N_ROWS) * N_IDS // N_ROWS if kind == "runs" else np.arange(N_ROWS) % N_IDS
    blocks = blocks_of(X, y, None, ids[:, None], [30])
    survey = Summary(True, 24, len(blocks))
    whole = answer_for(survey, asked(PerFold(survey, 0, N_IDS), blocks), range(N_IDS))
    assert len(whole.sample_weight) == pytest.approx(24, abs=len(blocks) * N_IDS / 2)
    assert whole.sample_weight.sum() == pytest.approx(N_ROWS)
    few = whole.thinned(3)
    assert_array_equal(few.sample_X, whole.sample_X[::3])
    assert few.sample_weight.sum() == pytest.approx(N_ROWS, rel=0.3)


@pytest.mark.parametrize("sparse", [False, True])
def test_a_sample_of_a_subset_is_that_of_its_rows_in_any_blocks(sparse):
    X, y, weight, _ = make(0)
    X = sp.csr_array(np.where(X > 3, X, 0)) if sparse else X
    fold = np.random.default_rng(1).integers(0, N_IDS, N_ROWS)
    whole, own = blocks_of(X, y, weight, fold[:, None], [30]), fold != 1
    alone = blocks_of(X[own], y[own], weight[own], fold[own, None], [7, 8, 40])
    subset = Subset(0, tuple(i for i in range(N_IDS) if i != 1), N_IDS)
    found = []
    for blocks, rows in ((whole, subset), (alone, None)):
        with LocalEngine(blocks) as engine:
            driver = Driver(engine, [N_IDS] if rows else [])
            drawn = rows_drawn(driver.answer(CountRows(), rows), 20, WIDTH, 3)
            found.append(driver.run({0: _ask(drawn)}, {0: rows})[0].value)
    assert len(found[0].weight) == 20
    assert_array_equal(found[0].weight, found[1].weight)
    assert_array_equal(*(sample.X.toarray() if sparse else sample.X for sample in found))


def _ask(reduction):
    return (yield reduction)


def test_a_row_with_nan_is_named_as_the_block_has_it():
    X, y, weight, fold = make(0)
    X[17, 1] = np.nan
    fold[:, 0] = np.arange(N_ROWS) % 2
    with pytest.raises(DataError, match="NaN in block 3, row 17 of the block, column 1"):
        PerFold(Summary(True, 1000), 0, 2).chunk(Block(X, y, weight, 3, fold))
    reduction = LossAt(
        Squared(), Numbers(np.zeros(1, int)), np.ones((1, 1, WIDTH + 1)), 1, Within(np.zeros(1, int), ((1,),))
    )
    with pytest.raises(DataError, match="NaN in block 3, row 17 of the block, column 1"):
        reduction.chunk(Block(X, y, weight, 3, fold))


def test_blocks_without_folds_are_refused():
    X, y, weight, _ = make(0)
    block = Block(X, y, weight)
    within = Within(np.zeros(1, int), ((0,),))
    reductions = [
        PerFold(Moments(), 0, 1),
        LossAt(Squared(), Numbers(np.zeros(1, int)), np.zeros((1, 1, WIDTH + 1)), 1, within),
        LinearScores(np.zeros((1, 1, WIDTH + 1)), [Judged(0, (0,), (0,))], None, False, False),
    ]
    for reduction in reductions:
        with pytest.raises(TypeError, match="folds"):
            reduction.chunk(block)


NUMBERS = Numbers(np.zeros(1, np.int64))
LOSSES = [
    (Squared(), NUMBERS, 1),
    (Poisson(), NUMBERS, 1),
    (Gamma(), NUMBERS, 1),
    (Tweedie(1.5), NUMBERS, 1),
    (Logistic(), OneVsRest(np.array([1])), 1),
    (SquaredHinge(), OneVsRest(np.array([2]), np.array([[1.0, 3.0]])), 1),
    (Softmax(3), Codes(np.arange(3), np.array([1.0, 2.0, 0.5])), 3),
    (Huber(1.35), NUMBERS, 2),
]


@settings(max_examples=15, deadline=None)
@given(seeds, st.lists(st.tuples(st.integers(0, 1), some_ids), min_size=1, max_size=4), st.booleans(), st.booleans())
@pytest.mark.parametrize("order", [0, 1, 2])
@pytest.mark.parametrize(("loss", "target", "k"), LOSSES, ids=[type(loss).__name__ for loss, _, _ in LOSSES])
def test_points_on_sides_are_points_of_their_rows(loss, target, k, order, seed, sides, sparse, weighted):
    X, y, weight, fold = make(seed, sparse=sparse)
    y, weight = y + 1 if target is NUMBERS else y, weight if weighted else None
    coef = np.random.default_rng(seed).normal(size=(len(sides), k, WIDTH + 1)) / 4
    if isinstance(loss, Huber):  # the second output is the scale
        coef[:, 1] = [0, 0, 0, 0.7]
    first, *others = [
        LossAt(loss, target, point[None], order, Within(np.array([column]), (ids,)))
        for point, (column, ids) in zip(coef, sides, strict=True)
    ]
    fused = first.fuse(others)
    answers = fused.finalize(fused.chunk(Block(X, y, weight, 0, fold)))
    assert len(answers) == len(sides)
    for answer, point, (column, ids) in zip(answers, coef, sides, strict=True):
        rows = np.flatnonzero(np.isin(fold[:, column], ids))
        alone = LossAt(loss, target, point[None], order)
        block = Block(X[rows], y[rows], None if weight is None else weight[rows])
        (expected,) = alone.finalize(alone.chunk(block))
        assert answer.value == pytest.approx(expected.value, rel=1e-9, abs=1e-9)
        if order:
            assert_allclose(answer.grad, expected.grad, rtol=1e-9, atol=1e-9)
        if order > 1:
            assert_allclose(answer.hess, expected.hess, rtol=1e-9, atol=1e-9)


def test_rows_left_out_may_overflow():
    X, y, _, fold = make(0)
    fold[:, 0] = np.arange(N_ROWS) == 5
    X[5] = 1e200
    point = np.ones((1, 1, WIDTH + 1))
    reduction = LossAt(Poisson(), NUMBERS, point, 2, Within(np.array([0]), ((0,),)))
    (answer,) = reduction.finalize(reduction.chunk(Block(X, y, None, 0, fold)))
    assert np.isfinite(answer.value)
    assert np.isfinite(answer.grad).all()


def whole(model):
    coef = np.atleast_2d(model.coef_)
    return np.hstack([coef, np.reshape(model.intercept_, (-1, 1))])


@settings(max_examples=15, deadline=None)
@given(seeds, some_cuts, some_ids, st.booleans(), st.booleans())
@pytest.mark.parametrize("n_classes", [2, 3])
def test_scores_of_classes(n_classes, seed, cuts, ids, sparse, weighted):
    X, y, weight, fold = make(seed, sparse=sparse)
    y, weight = y % n_classes, weight + 1
    models = [LogisticRegression(C=C).fit(X, y) for C in (0.1, 10.0)]
    coef = np.stack([whole(model) for model in models])
    reduction = LinearScores(coef, [Judged(1, ids, (0, 1))], models[0].classes_, True, weighted)
    (total,) = asked(reduction, blocks_of(X, y, weight, fold, cuts))
    rows = np.flatnonzero(np.isin(fold[:, 1], ids))
    counted = weight[rows] if weighted else np.ones(len(rows))
    assert (total.n_rows, total.weight) == (len(rows), counted.sum())
    if len(rows) == 0:
        return
    options = {"sample_weight": counted, "labels": models[0].classes_}
    for position, model in enumerate(models):
        truth, likely = y[rows], model.predict_proba(X[rows])
        hits = accuracy_score(truth, model.predict(X[rows]), sample_weight=counted)
        assert total.hits[position] / total.weight == pytest.approx(hits)
        assert total.log_losses[position] / total.weight == pytest.approx(log_loss(truth, likely, **options))
        if n_classes == 3 or len(set(truth)) == 2:
            positive = likely[:, 1] if n_classes == 2 else likely
            expected = brier_score_loss(truth, positive, **options)
            assert total.brier[position] / total.weight == pytest.approx(expected)


@settings(max_examples=15, deadline=None)
@given(seeds, some_cuts, some_ids, st.booleans())
@pytest.mark.parametrize("n_outputs", [1, 2])
def test_scores_of_numbers(n_outputs, seed, cuts, ids, weighted):
    X, _, weight, fold = make(seed)
    y = np.random.default_rng(seed).normal(size=(N_ROWS, n_outputs)) + 100
    y, weight = y[:, 0] if n_outputs == 1 else y, weight + 1
    model = LinearRegression().fit(X, y)
    reduction = LinearScores(whole(model)[None], [Judged(0, ids, (0,))], None, False, weighted)
    (total,) = asked(reduction, blocks_of(X, y, weight, fold, cuts))
    rows = np.flatnonzero(np.isin(fold[:, 0], ids))
    if len(rows) < 2:
        return
    options = {"sample_weight": weight[rows] if weighted else None, "multioutput": "raw_values"}
    predicted = model.predict(X[rows])
    deviance, absolute = total.deviance[0], total.absolute[0]
    assert_allclose(deviance / total.weight, mean_squared_error(y[rows], predicted, **options))
    assert_allclose(absolute / total.weight, mean_absolute_error(y[rows], predicted, **options))
    assert_allclose(1 - deviance / total.squares, r2_score(y[rows], predicted, **options), rtol=1e-9, atol=1e-9)


def test_labels_that_models_do_not_know_are_no_hits_and_have_no_loss():
    X = np.array([[-1.0], [1.0], [1.0], [-1.0]])
    fold = np.array([[0], [0], [0], [1]])
    reduction = LinearScores(
        np.array([[[9.0, 0.0]]]), [Judged(0, (0,), (0,)), Judged(0, (1,), (0,))], np.array([1, 5]), True, False
    )
    known, unknown = reduction.chunk(Block(X, np.array([1, 5, 1, 3]), None, 0, fold))
    assert_array_equal(known.hits, [2])
    assert np.isfinite(known.log_losses).all()
    assert_array_equal(unknown.hits, [0])
    assert np.isnan([*unknown.log_losses, *unknown.brier]).all()


def test_rows_of_a_block_keep_all_that_belongs_to_them():
    X, y, weight, fold = make(0)
    part = rows_of(Block(X, y, weight, 7, fold), np.array([4, 2]))
    assert_array_equal(part.X, X[[4, 2]])
    assert_array_equal(part.y, y[[4, 2]])
    assert_array_equal(part.weight, weight[[4, 2]])
    assert_array_equal(part.fold, fold[[4, 2]])
    assert part.index == 7

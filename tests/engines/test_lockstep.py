"""Fits in lock step: fibres that wait, reductions that are shared, features that are scaled without being touched."""

from __future__ import annotations

import contextvars
import threading

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

from daskml_kit.data.block import Block
from daskml_kit.engines import lockstep
from daskml_kit.engines.engine import LocalEngine
from daskml_kit.engines.fibre import Asked, Fibre, Returned
from daskml_kit.engines.given import given_engine, giving
from daskml_kit.engines.lockstep import Fit, Lockstep, identity
from daskml_kit.engines.open import open_engine
from daskml_kit.engines.scaled import ScaledEngine, unscaling
from daskml_kit.exceptions import DataError
from daskml_kit.linear_model import LogisticRegression
from daskml_kit.numerics.losses import Logistic, Softmax, Squared
from daskml_kit.numerics.targets import Codes, Numbers, OneVsRest
from daskml_kit.reductions.gram import Gram, Triangle
from daskml_kit.reductions.loss import LossAt
from daskml_kit.reductions.moments import Moments
from daskml_kit.reductions.summary import Summary

N_ROWS, WIDTH = 90, 3


def waiting():
    return [thread for thread in threading.enumerate() if thread.name == "daskml-kit-fit"]


def test_a_fibre_asks_until_it_returns():
    fibre = Fibre(lambda ask: [ask(number) for number in range(3)])
    news = fibre.advance(None)
    for number in range(3):
        assert news == Asked(number)
        news = fibre.advance(number * 10)
    assert news == Returned([0, 10, 20], None)
    fibre.stop()
    assert waiting() == []


def test_a_fibre_hands_over_what_it_raised():
    def fail(ask):
        raise OSError(ask("which?"))

    fibre = Fibre(fail)
    fibre.advance(None)
    news = fibre.advance("the disk is gone")
    assert isinstance(news.error, OSError)
    assert str(news.error) == "the disk is gone"
    fibre.stop()


@pytest.mark.parametrize("started", [False, True])
def test_a_stopped_fibre_cleans_up_and_ends(started):
    left = []

    def work(ask):
        try:
            ask("go on?")
        finally:
            left.append(True)

    fibre = Fibre(work)
    if started:
        fibre.advance(None)
    fibre.stop()
    assert left == [True] * started
    assert waiting() == []


def test_a_fibre_sees_the_context_of_who_made_it():
    color = contextvars.ContextVar("color", default="none")
    color.set("green")
    fibre = Fibre(lambda ask: color.get())
    color.set("red")
    assert fibre.advance(None).value == "green"


def make(weighted=False):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N_ROWS, WIDTH)) * [1, 10, 0.1] + [5, -3, 0]
    y = rng.integers(0, 3, N_ROWS)
    fold = np.column_stack([np.arange(N_ROWS) % 3, rng.integers(0, 2, N_ROWS)])
    weight = rng.integers(1, 4, N_ROWS).astype(float) if weighted else None
    parts = [slice(0, 20), slice(20, 20), slice(20, 65), slice(65, 90)]
    blocks = [
        Block(X[rows], y[rows], None if weight is None else weight[rows], i, fold[rows]) for i, rows in enumerate(parts)
    ]
    return X, y, weight, fold, LocalEngine(blocks)


def ask(*reductions):
    """Return a fit that asks, and returns the answers."""

    def run():
        with open_engine(np.empty((0, WIDTH))) as engine:
            return [engine.answer(reduction) for reduction in reductions]

    return run


def point(value, order=1, m=1):
    return LossAt(Squared(), Numbers(np.zeros(m, np.int64)), np.full((m, 1, WIDTH + 1), value), order)


SIDES = [(0, (0, 1)), (0, (1, 2)), (0, (2,)), (1, (0,))]


def test_each_side_has_the_answers_of_its_rows():
    X, y, weight, fold, engine = make(weighted=True)
    steps = Lockstep(engine, [3, 2])
    asked = [Summary(True, 50), Gram(), point(0.5), point(0.5, 2), point(0.1, m=3)]
    fits = {side: Fit(ask(*asked), steps.side(*side), {}) for side in SIDES}
    found = steps.run(fits)
    for column, ids in SIDES:
        rows = np.isin(fold[:, column], ids)
        with LocalEngine([Block(X[rows], y[rows], weight[rows])]) as alone:
            survey, gram, at, curved, three = (alone.answer(reduction) for reduction in asked)
        news = found[column, ids]
        assert news.error is None
        assert_allclose(news.value[0][0].label_weight, survey[0].label_weight)
        assert_allclose(news.value[1][0].product, gram[0].product, rtol=1e-9)
        for answer, expected in zip(news.value[2:], (at, curved, three), strict=True):
            assert len(answer) == len(expected)
            for one, other in zip(answer, expected, strict=True):
                assert one.value == pytest.approx(other.value)
                assert_allclose(one.grad, other.grad, rtol=1e-9)
        assert_allclose(news.value[3][0].hess, curved[0].hess, rtol=1e-9)


def test_questions_of_all_fits_are_few_passes():
    *_, engine = make()
    steps = Lockstep(engine, [3, 2])
    sides = [(0, (0, 1)), (0, (0, 2)), (0, (1, 2))]
    fits = {
        (number, side): Fit(ask(Summary(True, 50), Gram(), point(number), point(0.7)), steps.side(*side), {})
        for number in range(5)
        for side in sides
    }
    steps.run(fits)
    assert engine.profile.passes == 2 + 2  # survey and products, then the points of each step
    steps.run(fits)
    assert engine.profile.passes == 2 + 2  # what was asked of the rows of each id is kept
    assert steps.recalled(Gram(), steps.side(*sides[0])) is not None
    assert steps.recalled(Gram(), steps.side(1, (0,))) is None


@pytest.mark.parametrize(("room", "passes"), [(2**24, 1), (1, 2)], ids=["kept", "no room"])
def test_fits_start_for_nothing_where_fits_on_all_rows_ended(monkeypatch, room, passes):
    X, y, _, fold, engine = make()
    monkeypatch.setattr(lockstep, "BYTES_OF_POINTS", room)
    steps = Lockstep(engine, [3, 2])
    (whole,) = steps.run({0: Fit(ask(point(0.7)), None, {})}).values()
    (expected,) = engine.answer(point(0.7))
    assert whole.value[0][0].value == pytest.approx(expected.value)
    sides = [(0, 1), (0, 2), (1, 2)]
    before = engine.profile.passes - 1
    found = steps.run({ids: Fit(ask(point(0.7)), steps.side(0, ids), {}) for ids in sides})
    assert engine.profile.passes - before == passes
    for ids, news in found.items():
        rows = np.isin(fold[:, 0], ids)
        (answer,) = point(0.7).finalize(point(0.7).chunk(Block(X[rows], y[rows])))
        assert news.value[0][0].value == pytest.approx(answer.value)
        assert_allclose(news.value[0][0].grad, answer.grad, rtol=1e-9)


def test_fits_wait_for_room(monkeypatch):
    *_, engine = make()
    at_once = []

    def run():
        with open_engine(np.empty((0, WIDTH))) as given:
            at_once.append(len(waiting()))
            given.answer(point(0.1))
            return given.answer(point(0.2))[0].value

    monkeypatch.setattr(lockstep, "FITS_AT_ONCE", 3)
    steps = Lockstep(engine, [3, 2])
    found = steps.run({number: Fit(run, steps.side(0, (0, 1)), {}) for number in range(8)})
    assert len({news.value for news in found.values()}) == 1
    assert list(found) == list(range(8))
    assert max(at_once) == 3
    assert engine.profile.passes == 2  # the points of the first three serve the others
    monkeypatch.setattr(lockstep, "BYTES_AT_ONCE", 1)
    steps.run({number: Fit(run, None, {}) for number in range(2)})
    assert engine.profile.passes == 2  # the points of the first three serve the others + 2 * 2
    assert waiting() == []


def test_what_one_fit_raises_is_its_own():
    *_, engine = make()
    steps = Lockstep(engine, [3, 2])

    def fail():
        ask(point(0.3))()
        raise ValueError("only this one")

    found = steps.run({"good": Fit(ask(point(0.3)), None, {}), "bad": Fit(fail, None, {})})
    assert found["good"].error is None
    assert str(found["bad"].error) == "only this one"


@pytest.mark.parametrize("error", [KeyboardInterrupt, DataError])
def test_what_the_engine_raises_ends_all_fits(monkeypatch, error):
    *_, engine = make()

    def interrupted(reduction):
        if isinstance(getattr(reduction, "reduction", reduction), LossAt):
            raise error
        return answer(reduction)

    answer = engine.answer
    monkeypatch.setattr(engine, "answer", interrupted)
    steps = Lockstep(engine, [3, 2])
    with pytest.raises(error):
        steps.run({number: Fit(ask(Gram(), point(number)), None, {}) for number in range(4)})
    assert waiting() == []


def test_questions_are_told_apart_by_what_they_ask():
    assert identity(Summary(True, 10)) == identity(Summary(True, 10)) != identity(Summary(True, 11))
    assert identity(Gram()) == identity(Gram()) != identity(Moments())
    assert identity(point(0.1)) != identity(point(0.1))


def test_a_given_engine_is_used_here_and_nowhere_else():
    X, y, _, _, engine = make()
    assert given_engine() is None
    with giving(engine):
        with open_engine(np.empty((0, WIDTH))) as used:
            assert used is engine
        seen = []
        thread = threading.Thread(target=lambda: seen.append(given_engine()))
        thread.start()
        thread.join()
        assert seen == [None]
        with pytest.raises(DataError, match="checkpoint"):
            LogisticRegression().fit(X, y, checkpoint="somewhere")
    assert given_engine() is None


def test_targets_of_a_side_cannot_be_changed():
    *_, engine = make()
    steps = Lockstep(engine, [3, 2])

    def relabel():
        given_engine().relabel(np.sqrt)

    found = steps.run({0: Fit(relabel, None, {})})
    assert isinstance(found[0].error, TypeError)


TARGETS = {
    "squared": (Squared(), Numbers(np.zeros(1, np.int64)), 1),
    "logistic": (Logistic(), OneVsRest(np.array([1])), 1),
    "softmax": (Softmax(3), Codes(np.arange(3)), 3),
}


@pytest.mark.parametrize("with_mean", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("name", TARGETS)
def test_losses_of_scaled_features(name, weighted, with_mean):
    loss, target, k = TARGETS[name]
    X, y, weight, _, engine = make(weighted)
    mean, scale = X.mean(axis=0) * with_mean, X.std(axis=0)
    reduction = LossAt(loss, target, np.random.default_rng(1).normal(size=(1, k, WIDTH + 1)), 2)
    with LocalEngine([Block((X - mean) / scale, y, weight)]) as plain:
        (expected,) = plain.answer(reduction)
    (found,) = ScaledEngine(engine, mean, scale).answer(reduction)
    assert found.value == pytest.approx(expected.value)
    assert_allclose(found.grad, expected.grad, rtol=1e-9, atol=1e-9)
    assert_allclose(found.hess, expected.hess, rtol=1e-9, atol=1e-9)


def test_products_and_samples_of_scaled_features():
    X, y, weight, _, engine = make(weighted=True)
    mean, scale = X.mean(axis=0), X.std(axis=0)
    scaled = ScaledEngine(engine, mean, scale)
    with LocalEngine([Block((X - mean) / scale, y, weight)]) as plain:
        expected, (survey,) = plain.answer(Gram())[0], plain.answer(Summary(True, 1000))
    found = scaled.answer(Gram())[0]
    assert_allclose(found.mean, expected.mean, atol=1e-12)
    assert_allclose(found.product, expected.product, rtol=1e-9, atol=1e-9)
    assert_allclose(scaled.answer(Summary(True, 1000))[0].sample_X, survey.sample_X)
    assert scaled.profile.passes == engine.profile.passes == 2
    assert scaled.n_blocks == engine.n_blocks
    with pytest.raises(TypeError, match="Triangle is not asked of standardized features"):
        scaled.answer(Triangle())


def test_sparse_features_are_scaled_but_not_centered():
    X, y, *_ = make()
    engine = LocalEngine([Block(sp.csr_array(X), y)])
    scale = np.array([1.0, 2.0, 4.0])
    sample = ScaledEngine(engine, np.zeros(WIDTH), scale).answer(Summary(True, 1000))[0].sample_X
    assert_allclose(sample.toarray(), X / scale)
    with pytest.raises(ValueError, match="Cannot center sparse matrices"):
        ScaledEngine(engine, X.mean(axis=0), scale).answer(Summary(True, 1000))


def test_coefficients_of_scaled_features_are_those_of_the_features():
    rng = np.random.default_rng(0)
    X, mean, scale, v = rng.normal(size=(5, 2)), np.array([1.0, -2.0]), np.array([3.0, 0.5]), np.array([2.0, -1.0, 7.0])
    w = unscaling(mean, scale) @ v
    assert_allclose(X @ w[:2] + w[2], (X - mean) / scale @ v[:2] + v[2])


def test_fits_on_the_same_rows_share_a_scaled_sample():
    *_, engine = make()
    steps = Lockstep(engine, [3, 2])

    def sample():
        with open_engine(np.empty((0, WIDTH))) as given:
            return ScaledEngine(given, np.ones(WIDTH), np.full(WIDTH, 2.0)).answer(Summary(True, 10))[0].sample_X

    sides = [steps.side(0, (0, 1)), steps.side(0, (0, 1)), steps.side(0, (2,))]
    first, again, other = (
        news.value for news in steps.run(dict(enumerate(Fit(sample, s, {}) for s in sides))).values()
    )
    assert first is again
    assert other.shape[0] < first.shape[0]
    assert_array_equal(engine.profile.passes, 1)

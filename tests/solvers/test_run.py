"""Fits in lock step: generators whose reductions share passes."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from numpy.testing import assert_allclose

from daskml_kit.data.block import Block
from daskml_kit.engines.engine import LocalEngine
from daskml_kit.exceptions import DataError
from daskml_kit.numerics.losses import Squared
from daskml_kit.numerics.targets import Numbers
from daskml_kit.reductions.gram import Gram
from daskml_kit.reductions.loss import LossAt
from daskml_kit.reductions.moments import Moments
from daskml_kit.reductions.nearest import Nearest
from daskml_kit.reductions.summary import Summary
from daskml_kit.solvers import run as driving
from daskml_kit.solvers.run import Driver, identity, run
from daskml_kit.solvers.types import Encode

N_ROWS, WIDTH = 90, 3


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
    """Ask for reductions, one after another, and return the answers."""
    answers = []
    for reduction in reductions:
        answers.append((yield reduction))
    return answers


def point(value, order=1, m=1):
    return LossAt(Squared(), Numbers(np.zeros(m, np.int64)), np.full((m, 1, WIDTH + 1), value), order)


SUBSETS = [(0, (0, 1)), (0, (1, 2)), (0, (2,)), (1, (0,))]


def test_each_subset_has_the_answers_of_its_rows():
    X, y, weight, fold, engine = make(weighted=True)
    driver = Driver(engine, [3, 2])
    nearest = Nearest(X[:2], np.zeros(WIDTH))
    asked = [Summary(True, 50), Gram(), point(0.5), point(0.5, 2), point(0.1, m=3), nearest]
    subsets = {rows: driver.subset(*rows) for rows in SUBSETS}
    found = driver.run({rows: ask(*asked) for rows in SUBSETS}, subsets)
    for column, ids in SUBSETS:
        rows = np.isin(fold[:, column], ids)
        with LocalEngine([Block(X[rows], y[rows], weight[rows])]) as alone:
            summary, gram, at, curved, three, clusters = (alone.answer(reduction) for reduction in asked)
        returned = found[column, ids]
        assert returned.error is None
        assert_allclose(returned.value[0].label_weight, summary[0].label_weight)
        assert_allclose(returned.value[1].product, gram[0].product, rtol=1e-9)
        for answers, expected in zip(
            ([returned.value[2]], [returned.value[3]], returned.value[4]), (at, curved, three), strict=True
        ):
            assert len(answers) == len(expected)
            for one, other in zip(answers, expected, strict=True):
                assert one.value == pytest.approx(other.value)
                assert_allclose(one.grad, other.grad, rtol=1e-9)
        assert_allclose(returned.value[3].hess, curved[0].hess, rtol=1e-9)
        assert_allclose(returned.value[5].sums, clusters[0].sums, rtol=1e-9)


def test_reductions_of_all_fits_are_few_passes():
    *_, engine = make()
    driver = Driver(engine, [3, 2])
    subsets = {ids: driver.subset(0, ids) for ids in [(0, 1), (0, 2), (1, 2)]}
    wanted = [(number, ids) for number in range(5) for ids in subsets]

    def fits():
        asked = {key: (Summary(True, 50), Gram(), point(key[0]), point(0.7)) for key in wanted}
        return driver.run({key: ask(*asked[key]) for key in wanted}, {key: subsets[key[1]] for key in wanted})

    fits()
    assert engine.profile.passes == 2 + 2  # summary and products, then the points of each step
    fits()
    assert engine.profile.passes == 2 + 2  # what was asked of the rows of each id is kept
    assert driver.recalled(Gram(), driver.subset(0, (0, 1))) is not None
    assert driver.recalled(Gram(), driver.subset(1, (0,))) is None


def test_different_reductions_at_one_time_are_one_pass():
    X, *_, engine = make()
    driver = Driver(engine, [3, 2])
    fits = {k: ask(Nearest(X[:k], np.zeros(WIDTH)), Nearest(X[1 : k + 1], np.zeros(WIDTH))) for k in (2, 3, 4)}
    found = driver.run(fits, {2: None, 3: driver.subset(0, (0,)), 4: driver.subset(0, (1, 2))})
    assert engine.profile.passes == 2
    assert [returned.value[0].weights.sum() for returned in found.values()] == [90, 30, 60]
    with LocalEngine(engine.blocks) as plain:
        run(plain, {"both": ask((Gram(), Moments()))})
        assert plain.profile.passes == 1


@pytest.mark.parametrize(("room", "passes"), [(2**24, 1), (1, 2)], ids=["kept", "no room"])
def test_fits_start_for_nothing_where_fits_on_all_rows_ended(monkeypatch, room, passes):
    X, y, _, fold, engine = make()
    monkeypatch.setattr(driving, "BYTES_OF_POINTS", room)
    driver = Driver(engine, [3, 2])
    (whole,) = driver.run({0: ask(point(0.7))}).values()
    (expected,) = engine.answer(point(0.7))
    assert whole.value[0].value == pytest.approx(expected.value)
    subsets = {ids: driver.subset(0, ids) for ids in [(0, 1), (0, 2), (1, 2)]}
    before = engine.profile.passes - 1
    found = driver.run({ids: ask(point(0.7)) for ids in subsets}, subsets)
    assert engine.profile.passes - before == passes
    for ids, returned in found.items():
        rows = np.isin(fold[:, 0], ids)
        (answer,) = point(0.7).finalize(point(0.7).chunk(Block(X[rows], y[rows])))
        assert returned.value[0].value == pytest.approx(answer.value)
        assert_allclose(returned.value[0].grad, answer.grad, rtol=1e-9)


def test_fits_wait_for_room(monkeypatch):
    *_, engine = make()
    waiting, at_once = set(), []

    def fit(number):
        waiting.add(number)
        at_once.append(len(waiting))
        yield point(0.1)
        found = yield point(0.2)
        waiting.remove(number)
        return found.value

    threads = threading.active_count()
    monkeypatch.setattr(driving, "FITS_AT_ONCE", 3)
    driver = Driver(engine, [3, 2])
    subset = driver.subset(0, (0, 1))
    found = driver.run({number: fit(number) for number in range(8)}, dict.fromkeys(range(8), subset))
    assert len({returned.value for returned in found.values()}) == 1
    assert list(found) == list(range(8))
    assert max(at_once) == 3
    assert engine.profile.passes == 2  # the points of the first three serve the others
    at_once.clear()
    monkeypatch.setattr(driving, "BYTES_AT_ONCE", 1)
    driver.run({number: fit(number) for number in range(2)})
    assert at_once == [1, 1]
    assert engine.profile.passes == 2
    assert threading.active_count() == threads


def test_the_error_of_one_fit_is_its_own():
    *_, engine = make()
    driver = Driver(engine, [3, 2])

    def fail():
        yield point(0.3)
        raise ValueError("only this one")

    found = driver.run({"good": ask(point(0.3)), "bad": fail()})
    assert found["good"].error is None
    assert str(found["bad"].error) == "only this one"
    with pytest.raises(ValueError, match="only this one"):
        run(engine, {"bad": fail()})


@pytest.mark.parametrize("error", [KeyboardInterrupt, DataError])
def test_an_error_of_the_engine_ends_all_fits(monkeypatch, error):
    *_, engine = make()

    def interrupted(reduction):
        if isinstance(getattr(reduction, "reduction", reduction), LossAt):
            raise error
        return answer(reduction)

    answer = engine.answer
    monkeypatch.setattr(engine, "answer", interrupted)
    with pytest.raises(error):
        Driver(engine, [3, 2]).run({number: ask(Gram(), point(0.1)) for number in range(4)})


def test_reductions_are_told_apart_by_their_fields():
    assert identity(Summary(True, 10)) == identity(Summary(True, 10)) != identity(Summary(True, 11))
    assert identity(Gram()) == identity(Gram()) != identity(Moments())
    assert identity(point(0.1)) is None
    assert identity(Nearest(np.zeros((1, 1)), np.zeros(1))) is None


def test_targets_are_encoded_where_they_lie_but_not_those_of_a_subset():
    X, *_ = make()
    labels = np.array(["a", "b"])
    engine = LocalEngine([Block(X, np.array(["b", "a"])[np.arange(N_ROWS) % 2], fold=np.zeros((N_ROWS, 1), int))])
    driver = Driver(engine, [1])
    found = driver.run({0: ask(Encode(labels))}, {0: driver.subset(0, (0,))})
    assert isinstance(found[0].error, TypeError)
    (summary,) = run(engine, {0: ask(Encode(labels), Summary(True))})[0][1:]
    assert summary.labels.tolist() == [0, 1]

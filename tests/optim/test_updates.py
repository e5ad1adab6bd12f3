"""Every rule against its formula, on ranges and rows, and what it leaves alone."""

from __future__ import annotations

import io
import pickle
from itertools import pairwise

import cloudpickle
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from daskml_kit.optim import (
    adagrad,
    adam,
    add,
    apply_rows,
    chain,
    clip,
    clip_norm,
    constant,
    inverse_scaling,
    is_elementwise,
    momentum,
    optimal,
    sgd,
)

RULES = {
    "sgd": sgd(0.1),
    "sgd, inverse scaling": sgd(inverse_scaling(0.1, 0.25)),
    "momentum": momentum(0.05, 0.8),
    "nesterov": momentum(0.05, 0.8, nesterov=True),
    "adagrad": adagrad(0.3),
    "adam": adam(0.1),
    "add": add(),
    "clip and adam": chain(clip(0.5), adam(0.1, 0.8, 0.9, 1e-6)),
    "nested": chain(clip(1.0), chain(clip(0.5), sgd(0.1))),
}
each_rule = pytest.mark.parametrize("rule", RULES.values(), ids=list(RULES))


def gradients(shape, steps=5, seed=0):
    return np.random.default_rng(seed).normal(size=(steps, *shape))


def walk(rule, w, grads):
    state = rule.init(w)
    for grad in grads:
        w, state = rule.apply(grad, state, w)
    return w, state


def follow(step, w, grads):
    """Walk by formulas as their papers write them, with a memory for what they remember."""
    memory = {"m": 0, "v": 0}
    for t, grad in enumerate(grads, 1):
        w = step(w, grad, t, memory)
    return w


def momentum_step(w, g, t, memory):
    memory["v"] = 0.8 * memory["v"] - 0.05 * g
    return w + memory["v"]


def nesterov_step(w, g, t, memory):
    memory["v"] = 0.8 * memory["v"] - 0.05 * g
    return w + 0.8 * memory["v"] - 0.05 * g


def adagrad_step(w, g, t, memory):
    memory["v"] = memory["v"] + g**2
    return w - 0.3 * g / (np.sqrt(memory["v"]) + 1e-10)


def adam_step(w, g, t, memory, rate=0.1, b1=0.9, b2=0.999, eps=1e-8):
    memory["m"] = b1 * memory["m"] + (1 - b1) * g
    memory["v"] = b2 * memory["v"] + (1 - b2) * g**2
    return w - rate * (memory["m"] / (1 - b1**t)) / (np.sqrt(memory["v"] / (1 - b2**t)) + eps)


FORMULAS = {
    "sgd": lambda w, g, t, memory: w - 0.1 * g,
    "sgd, inverse scaling": lambda w, g, t, memory: w - 0.1 / t**0.25 * g,
    "momentum": momentum_step,
    "nesterov": nesterov_step,
    "adagrad": adagrad_step,
    "adam": adam_step,
    "add": lambda w, g, t, memory: w + g,
    "clip and adam": lambda w, g, t, memory: adam_step(w, g.clip(-0.5, 0.5), t, memory, 0.1, 0.8, 0.9, 1e-6),
    "nested": lambda w, g, t, memory: w - 0.1 * g.clip(-0.5, 0.5),
}


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("shape", [(), (7,), (3, 4), (20_000, 2)], ids=str)
def test_steps_are_those_of_the_formula(name, shape):
    w, grads = np.random.default_rng(1).normal(size=shape), gradients(shape)
    assert_allclose(walk(RULES[name], w.copy(), grads)[0], follow(FORMULAS[name], w, grads), rtol=1e-12, atol=1e-13)


def test_nesterov_is_the_gradient_ahead():
    """Sutskever et al. (2013), eq. 3 and 4: the gradient is taken at w + mu v, which is where this rule's w is."""
    pull, mu, rate = 2.0, 0.8, 0.05
    w, v, ahead = 1.0, 0.0, np.array(1.0)
    rule = momentum(rate, mu, nesterov=True)
    state = rule.init(ahead)
    for _ in range(6):
        v = mu * v - rate * pull * (w + mu * v)
        w += v
        ahead, state = rule.apply(pull * ahead, state, ahead)
        assert_allclose(ahead, w + mu * v, rtol=1e-12)


@pytest.mark.parametrize("name", [name for name in RULES if name not in ("add", "clip and adam")])
def test_a_quadratic_is_minimized(name):
    rule, target, pull = RULES[name], np.array([1.0, -2.0, 0.5]), np.array([0.5, 1.0, 2.0])
    w = np.zeros(3)
    state = rule.init(w)
    for _ in range(1500):
        w, state = rule.apply(pull * (w - target), state, w)
    assert_allclose(w, target, atol=1e-4)


@each_rule
@pytest.mark.parametrize(
    "cuts", [[0, 70_000], [0, 1, 2, 69_999, 70_000], [0, 3333, 32_768, 32_769, 65_535, 70_000]], ids=str
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_ranges_are_the_whole_bit_for_bit(rule, cuts, dtype):
    w, grads = np.random.default_rng(2).normal(size=70_000).astype(dtype), gradients((70_000,)).astype(dtype)
    whole = walk(rule, w.copy(), grads)[0]
    ranges = [walk(rule, w[lo:hi].copy(), grads[:, lo:hi])[0] for lo, hi in pairwise(cuts)]
    assert is_elementwise(rule)
    assert_array_equal(np.concatenate(ranges), whole)


@each_rule
def test_all_rows_are_the_whole_bit_for_bit(rule):
    w, grads = np.random.default_rng(3).normal(size=(50, 3)), gradients((50, 3))
    whole, expected = walk(rule, w.copy(), grads)
    state, order = rule.init(w), np.random.default_rng(4).permutation(50)
    for grad in grads:
        w, state = apply_rows(rule, order, grad[order], state, w)
    assert_array_equal(w, whole)
    for got, want in zip(state, expected, strict=True):
        assert_array_equal(got, want)


@each_rule
def test_other_rows_and_their_moments_stay(rule):
    w, rows = np.ones((6, 2)), np.array([1, 4])
    state = rule.init(w)
    moved, state = apply_rows(rule, rows, np.ones((2, 2)), state, w)
    assert moved is w
    others = [0, 2, 3, 5]
    assert (w[rows] != 1).all()
    assert_array_equal(w[others], 1)
    for array in state:
        if array.ndim:
            assert_array_equal(array[others], 0)
            assert (array[rows] != 0).all()
        else:
            assert array == 1


def test_a_row_that_comes_twice_moves_by_the_sum():
    w = np.zeros((4, 2))
    apply_rows(add(), np.array([3, 0, 3]), np.array([[1.0, 2.0], [5.0, 6.0], [10.0, 20.0]]), (), w)
    assert_array_equal(w, [[5, 6], [0, 0], [0, 0], [11, 22]])


def test_a_vector_has_rows_of_one_element_and_no_rows_are_a_step_too():
    rule, w = sgd(inverse_scaling(1.0, 1.0)), np.zeros(3)
    state = rule.init(w)
    apply_rows(rule, np.array([], int), np.empty(0), state, w)
    apply_rows(rule, np.array([2]), np.array([1.0]), state, w)
    assert_array_equal(w, [0, 0, -0.5])


@pytest.mark.parametrize("rows", [[-1, 2], [0, 3]], ids=str)
def test_rows_that_do_not_exist_are_refused(rows):
    w = np.zeros((3, 1))
    with pytest.raises(IndexError, match="rows: expected numbers from 0 to 2"):
        apply_rows(add(), np.array(rows), np.ones((2, 1)), (), w)
    assert_array_equal(w, 0)


@each_rule
def test_rules_and_states_are_pickled_and_saved(rule):
    assert pickle.loads(pickle.dumps(rule)) == rule
    assert cloudpickle.loads(cloudpickle.dumps(rule)) == rule
    assert hash(rule) == hash(pickle.loads(pickle.dumps(rule)))
    w, grads = np.zeros((4, 2)), gradients((4, 2))
    w, state = walk(rule, w, grads[:3])
    file = io.BytesIO()
    np.savez(file, w, *state)
    file.seek(0)
    with np.load(file) as saved:
        w_again, *state_again = (saved[name] for name in saved.files)
    for grad in grads[3:]:
        w, state = rule.apply(grad, state, w)
        w_again, state_again = rule.apply(grad, tuple(state_again), w_again)
    assert_array_equal(w_again, w)


@each_rule
@pytest.mark.parametrize("grad_dtype", [np.float32, np.float64])
def test_float32_stays_and_gradients_are_not_written_to(rule, grad_dtype):
    w, grads = np.ones(5000, np.float32), gradients((5000,)).astype(grad_dtype)
    kept = grads.copy()
    moved, state = walk(rule, w, grads)
    assert moved is w
    assert w.dtype == np.float32
    assert {array.dtype for array in state if array.ndim} <= {np.dtype(np.float32)}
    assert_array_equal(grads, kept)


@each_rule
def test_parameters_of_any_layout(rule):
    plain, grads = np.random.default_rng(5).normal(size=(30, 20)), gradients((30, 20))
    want = walk(rule, plain.copy(), grads)[0]
    turned = [np.asfortranarray(grad) for grad in grads]
    assert_array_equal(walk(rule, plain.copy(), turned)[0], want)
    assert_array_equal(walk(rule, np.asfortranarray(plain), grads)[0], want)
    assert_array_equal(walk(rule, plain.repeat(2, axis=1)[:, ::2], grads)[0], want)


@each_rule
def test_a_gradient_of_another_shape_is_refused(rule):
    w = np.zeros(3)
    for shape in [(), (1,), (2,), (3, 1)]:
        with pytest.raises(ValueError, match="grad: expected the shape of the parameters"):
            rule.apply(np.ones(shape), rule.init(w), w)
    assert_array_equal(w, 0)


def test_integers_can_be_added_and_nothing_else():
    assert_array_equal(walk(add(), np.array([1, 2]), np.array([[1, 1]]))[0], [2, 3])
    for rule in (sgd(0.1), momentum(0.1), adagrad(0.1), adam(0.1)):
        with pytest.raises(TypeError, match="expected floating point numbers, got int64"):
            rule.init(np.array([1, 2]))


def test_norms_are_clipped_of_what_is_given():
    grad = np.array([[3.0, 0.0], [0.0, 4.0]])
    assert_allclose(clip_norm(1.0)(grad), grad / 5)
    assert_array_equal(clip_norm(5.0)(grad), grad)
    assert clip_norm(1.0)(grad.astype(np.float32)).dtype == np.float32
    assert not is_elementwise(chain(clip(1.0), chain(clip_norm(1.0), sgd(0.1))))


def test_schedules():
    assert [constant(0.3)(step) for step in (1, 9)] == [0.3, 0.3]
    assert_allclose([inverse_scaling(0.3, 0.5)(step) for step in (1, 9)], [0.3, 0.1])
    assert_allclose([optimal(0.1, 5.0)(step) for step in (1, 6)], [2, 1])
    assert sgd(0.1) == sgd(constant(0.1)) != sgd(0.2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: sgd(-0.1), "learning_rate: expected a finite number of at least 0, got -0.1"),
        (lambda: sgd(float("nan")), "learning_rate"),
        (lambda: sgd("a"), "learning_rate: expected a finite number of at least 0, got 'a'"),
        (lambda: momentum(0.1, 1.0), "decay: expected a finite number from 0 to below 1"),
        (lambda: adagrad(0.1, 0.0), "eps: expected a finite number above 0"),
        (lambda: adam(0.1, b1=-0.1), "b1"),
        (lambda: adam(0.1, b2=1.5), "b2"),
        (lambda: clip(0.0), "max_value"),
        (lambda: clip_norm(-1.0), "max_norm"),
        (lambda: optimal(0.0, 1.0), "alpha"),
    ],
)
def test_settings_out_of_bounds_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("steps", [(), (clip(1.0),), (sgd(0.1), sgd(0.1)), ("clip", sgd(0.1))], ids=str)
def test_a_chain_is_transforms_and_a_rule(steps):
    with pytest.raises(TypeError, match="chain: expected"):
        chain(*steps)

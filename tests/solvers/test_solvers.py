"""Solvers on a fake engine: no data, no cluster, only reductions and answers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.testing import assert_allclose

from daskml_kit.numerics.penalties import least_slope
from daskml_kit.reductions.loss import Eval
from daskml_kit.solvers.fista import fista
from daskml_kit.solvers.kept_newton import kept_newton
from daskml_kit.solvers.lbfgs import lbfgs
from daskml_kit.solvers.newton import newton, quasi_newton
from daskml_kit.solvers.objective import last_by_logarithm, restricted, ridge
from daskml_kit.solvers.run import run as run_all


@dataclass(frozen=True, eq=False)
class Point:
    """A reduction to `Simulator`."""

    w: np.ndarray
    order: int
    along: np.ndarray | None = None

    def fusion_key(self):
        return self.order

    def fuse(self, others):
        return Fused([self, *others])


@dataclass
class Fused:
    points: list


class Simulator:
    """Answers from a function of the coefficients, and counts passes and reductions."""

    row_counts = None

    def __init__(self, function):
        self.function, self.passes, self.reductions = function, 0, 0

    def answer(self, fused):
        self.passes += 1
        self.reductions += len(fused.points)
        return [self.function(p.w, p.order) for p in fused.points]


def ask(w, order, along=None):
    return (yield Point(w, order, along))


def quadratic(seed=0, p=6):
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(2 * p, p)) * np.exp(np.linspace(-3, 3, p))
    H, c = A.T @ A, rng.normal(size=p)
    return lambda w, order: Eval(0.5 * w @ H @ w - c @ w, H @ w - c, H if order > 1 else None)


def rosenbrock(w, order):
    a, b = w
    value = (1 - a) ** 2 + 100 * (b - a * a) ** 2
    grad = np.array([-2 * (1 - a) - 400 * a * (b - a * a), 200 * (b - a * a)])
    return Eval(
        value, grad, np.array([[2 - 400 * b + 1200 * a * a, -400 * a], [-400 * a, 200.0]]) if order > 1 else None
    )


def logistic(w, order):
    X = np.array([[1.0, 2.0], [-1.0, 0.5], [0.3, -2.0], [2.0, 1.0]])
    y = np.array([1, 0, 0, 1.0])
    p = 1 / (1 + np.exp(-X @ w))
    value = np.logaddexp(0, X @ w).sum() - y @ (X @ w) + 0.05 * w @ w
    return Eval(value, X.T @ (p - y) + 0.1 * w, (X.T * (p * (1 - p))) @ X + 0.1 * np.eye(2) if order > 1 else None)


def run(function, solver):
    engine = Simulator(function)
    result = run_all(engine, {None: solver})[None]
    return result, engine


SMOOTH = {
    "newton": lambda p: newton(ask, np.zeros(p), tol=1e-9, max_iter=200),
    "quasi-newton": lambda p: quasi_newton(ask, np.zeros(p), np.eye(p), tol=1e-9, max_iter=500),
    "kept-newton": lambda p: kept_newton(ask, np.zeros(p), tol=1e-9, max_iter=200),
    "lbfgs": lambda p: lbfgs(ask, np.zeros(p), tol=1e-9, max_iter=2000),
    "lbfgs, scaled": lambda p: lbfgs(ask, np.zeros(p), tol=1e-9, max_iter=2000, inverse=1 / np.linspace(1, 2, p)),
    "lbfgs, in a metric": lambda p: lbfgs(ask, np.zeros(p), tol=1e-9, max_iter=2000, inverse=np.diag(np.ones(p))),
}


@pytest.mark.parametrize("name", SMOOTH)
@pytest.mark.parametrize(
    ("function", "p"), [(quadratic(), 6), (rosenbrock, 2), (logistic, 2)], ids=["quadratic", "rosenbrock", "logistic"]
)
def test_smooth_solvers_find_the_minimum(name, function, p):
    result, engine = run(function, SMOOTH[name](p))
    assert result.converged
    assert np.abs(function(result.w, 1).grad).max() <= 1e-8
    assert engine.passes == engine.reductions


def test_newton_needs_one_step_on_a_quadratic():
    result, engine = run(quadratic(), SMOOTH["newton"](6))
    assert result.n_iter <= 2
    assert engine.passes <= 3


def test_a_kept_hessian_serves_for_several_steps():
    orders = []

    def counted(w, order):
        orders.append(order)
        return logistic(w, order)

    result, _ = run(counted, kept_newton(ask, np.zeros(2), tol=1e-9, max_iter=50))
    assert result.converged
    assert orders[0] == 2
    assert orders.count(2) < len(orders) / 2


def test_steps_of_an_earlier_fit_correct_a_hessian_that_is_given():
    stale, options = 1.5 * logistic(np.array([0.8, 0.7]), 2).hess, {"tol": 1e-9, "max_iter": 50}
    first, alone = run(logistic, kept_newton(ask, np.ones(2), hess=stale, **options))
    again, corrected = run(logistic, kept_newton(ask, np.ones(2), hess=stale, known=first.pairs, **options))
    assert first.pairs
    assert corrected.passes < alone.passes
    for result in (first, again):  # the last step is not tested
        assert result.converged
        assert np.abs(logistic(result.w, 1).grad).max() <= 1e-6


def test_newton_goes_on_where_a_kept_hessian_is_singular():
    def flat(w, order):
        return Eval(0.5 * w[0] ** 2 - w[0], np.array([w[0] - 1, 0.0]), np.diag([1.0, 0.0]) if order > 1 else None)

    result, _ = run(flat, kept_newton(ask, np.array([0.0, 2.0]), tol=1e-9, max_iter=50))
    assert result.converged
    assert_allclose(result.w, [1, 2])


L1 = {
    "newton": lambda l1: newton(ask, np.zeros(len(l1)), tol=1e-9, max_iter=200, l1=l1),
    "quasi-newton": lambda l1: quasi_newton(ask, np.zeros(len(l1)), np.eye(len(l1)), tol=1e-9, max_iter=500, l1=l1),
    "fista": lambda l1: fista(ask, np.zeros(len(l1)), tol=1e-9, max_iter=20_000, l1=l1),
}


@pytest.mark.parametrize("name", L1)
@pytest.mark.parametrize("strength", [0.01, 0.5, 100.0])
def test_solvers_with_an_l1_norm_meet_the_optimality_conditions(name, strength):
    l1 = np.array([strength, strength])
    result, _ = run(logistic, L1[name](l1))
    assert result.converged
    assert np.abs(least_slope(result.w, logistic(result.w, 1).grad, l1)).max() <= 1e-8
    if strength == 100:
        assert not result.w.any()


def test_newton_steps_where_the_hessian_ends():
    def flat(w, order):  # far from its minimum the second coefficient has a gradient, and a hessian below all digits
        gradient = np.tanh(w[1] - 3)
        value = 0.5 * w[0] ** 2 + np.logaddexp(w[1] - 3, 3 - w[1])
        return Eval(value, np.array([w[0], gradient]), np.diag([1.0, 1 - gradient**2]) if order > 1 else None)

    assert flat(np.array([1.0, -400.0]), 2).hess[1, 1] == 0
    result, _ = run(flat, newton(ask, np.array([1.0, -400.0]), tol=1e-8, max_iter=500))
    assert_allclose(result.w, [0, 3], atol=1e-6)


def test_a_limit_of_iterations_is_reported():
    result, _ = run(rosenbrock, lbfgs(ask, np.zeros(2), tol=1e-9, max_iter=3))
    assert not result.converged
    assert result.n_iter == 3


def test_questions_that_are_alike_share_passes():
    functions = Simulator(logistic)
    solvers = {C: newton(ridge(ask, np.full(2, C)), np.zeros(2), tol=1e-10, max_iter=50) for C in (0.01, 1.0, 100.0)}
    results = run_all(functions, solvers)
    alone = [run(logistic, newton(ridge(ask, np.full(2, C)), np.zeros(2), tol=1e-10, max_iter=50)) for C in results]
    assert functions.passes == max(engine.passes for _, engine in alone)
    for result, (expected, _) in zip(results.values(), alone, strict=True):
        assert_allclose(result.w, expected.w)


def finite_differences(oracle, function, w, step=1e-6):
    def at(v, order=1):
        asking = oracle(v, order)
        reduction = next(asking)
        try:
            asking.send(function(reduction.w, reduction.order))
        except StopIteration as stop:
            return stop.value
        raise AssertionError("an oracle asks once")

    here, eye = at(w, 2), np.eye(len(w)) * step
    gradient = [(at(w + e).value - at(w - e).value) / (2 * step) for e in eye]
    bend = [(at(w + e).grad - at(w - e).grad) / (2 * step) for e in eye]
    return here, np.array(gradient), np.array(bend)


def test_transforms_of_oracles_keep_derivatives():
    w = np.array([0.3, -0.2])
    here, gradient, bend = finite_differences(ridge(ask, np.array([0.0, 2.0])), logistic, w)
    assert_allclose(here.grad, gradient, rtol=1e-5)
    assert_allclose(here.hess, bend, rtol=1e-5)
    here, gradient, bend = finite_differences(restricted(ask, np.array([1]), 2), logistic, w[1:])
    assert_allclose(here.grad, gradient, rtol=1e-5)
    assert_allclose(here.hess, bend, rtol=1e-5)
    here, gradient, _ = finite_differences(last_by_logarithm(ask, -20), logistic, w)
    assert_allclose(here.grad, gradient, rtol=1e-5)

"""Every loss against finite differences, its formula, and extreme predictors."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import expit, xlogy

from daskml_kit.numerics.losses import (
    Gamma,
    Huber,
    Logistic,
    Poisson,
    Softmax,
    Squared,
    SquaredHinge,
    Tweedie,
    TweedieIdentity,
)

RNG = np.random.default_rng(0)
ROWS = 40
PLAIN = RNG.normal(size=(1, ROWS)) * 2
POSITIVE = np.exp(RNG.normal(size=(1, ROWS)))
SIGNS = np.where(RNG.random((1, ROWS)) < 0.5, -1.0, 1.0)
CASES = {
    "squared": (Squared(), PLAIN, POSITIVE),
    "logistic": (Logistic(), PLAIN, SIGNS),
    "squared hinge": (SquaredHinge(), PLAIN, SIGNS),
    "poisson": (Poisson(), PLAIN, POSITIVE),
    "gamma": (Gamma(), PLAIN, POSITIVE),
    "tweedie 1.5": (Tweedie(1.5), PLAIN, POSITIVE),
    "tweedie 3": (Tweedie(3.0), PLAIN, POSITIVE),
    "identity 1": (TweedieIdentity(1.0), POSITIVE + 0.1, POSITIVE[:, ::-1]),
    "identity 2": (TweedieIdentity(2.0), POSITIVE + 0.1, POSITIVE[:, ::-1]),
    "identity 3": (TweedieIdentity(3.0), POSITIVE + 0.1, POSITIVE[:, ::-1]),
    "identity 0": (TweedieIdentity(0.0), PLAIN, POSITIVE),
}


@pytest.mark.parametrize("name", CASES)
def test_slope_and_curvature_are_derivatives(name):
    loss, raw, y = CASES[name]
    step = 1e-6
    up, down = loss.terms(raw + step, y, 1), loss.terms(raw - step, y, 1)
    here = loss.terms(raw.copy(), y, 2)
    assert_allclose(here.gradient, (up.value - down.value) / (2 * step), rtol=1e-5, atol=1e-7)
    assert_allclose(here.hessian, (up.gradient - down.gradient) / (2 * step), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("loss", [Huber(1.35), Softmax(3)], ids=lambda loss: type(loss).__name__)
def test_coupled_slopes_and_curvatures_are_derivatives(loss):
    k = 2 if isinstance(loss, Huber) else 3
    raw, step = RNG.normal(size=(k, ROWS)), 1e-6
    y = RNG.integers(0, 3, size=(1, ROWS))
    if isinstance(loss, Huber):
        raw[1], y = 0.7, RNG.normal(size=(1, ROWS))
    here = loss.terms(raw.copy(), y, 2)
    for output in range(k):
        move = np.zeros((k, 1))
        move[output] = step
        up, down = loss.terms(raw + move, y, 1), loss.terms(raw - move, y, 1)
        assert_allclose(here.gradient[output], (up.value - down.value)[0] / (2 * step), rtol=1e-5, atol=1e-7)
        assert_allclose(here.hessian[output], (up.gradient - down.gradient) / (2 * step), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [30.0, 500.0, 1e4, 1e30])
def test_logistic_does_not_overflow(dtype, size):
    raw = np.array([[size, -size, size, -size, 0.5]], dtype)
    sign = np.array([[1, 1, -1, -1, 1]], dtype)
    with np.errstate(all="ignore"):
        value, gradient, hessian = Logistic().terms(raw.copy(), sign, 2)
    assert_allclose(value, np.logaddexp(0, raw * sign), rtol=1e-6, atol=1e-12)
    assert_allclose(gradient, sign * expit(raw * sign), rtol=1e-6, atol=1e-12)
    assert np.isfinite(hessian).all()


def test_values_differ_from_half_the_deviance_by_a_constant():
    y, a, b = POSITIVE, PLAIN, PLAIN[:, ::-1]

    def half_poisson(z):
        return xlogy(y, y / np.exp(z)) - y + np.exp(z)

    assert_allclose(
        Poisson().terms(a.copy(), y, 1).value - Poisson().terms(b.copy(), y, 1).value, half_poisson(a) - half_poisson(b)
    )

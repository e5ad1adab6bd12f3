"""Coordinate descent meets the conditions of a minimum."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from daskml_kit.numerics import penalties
from daskml_kit.numerics.linalg import solve_nonnegative, solve_positive
from daskml_kit.numerics.penalties import duality_gap, least_slope, minimize_quadratic


def problem(seed, p, rows):
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(rows, p)) @ (np.eye(p) + rng.normal(size=(p, p)) / np.sqrt(p)) * np.exp(rng.normal(size=p))
    return A.T @ A / rows, A.T @ rng.normal(size=rows) / rows


@pytest.mark.slow
@given(st.integers(0, 10_000), st.integers(1, 12), st.floats(0, 1), st.booleans())
@settings(max_examples=200, deadline=None)
def test_it_ends_at_a_minimum(seed, p, share, shuffled):
    hess, linear = problem(seed, p, 3 * p)
    l1 = np.full(p, share * np.abs(linear).max())
    l1[0] = 0.0  # as an intercept's
    shuffle = np.random.default_rng(seed) if shuffled else None
    tol = 1e-11  # rounding leaves up to 1e-12 where the condition is 1e10
    fit = minimize_quadratic(hess, linear, l1, np.zeros(p), tol=tol, max_sweeps=100_000, shuffle=shuffle)
    assert fit.settled
    assert np.abs(least_slope(fit.u, hess @ fit.u - linear, l1)).max() <= 1e-9 * max(1, np.abs(linear).max())


@given(st.integers(0, 10_000), st.integers(1, 12))
@settings(max_examples=100, deadline=None)
def test_positive_coefficients_are_those_of_active_sets(seed, p):
    hess, linear = problem(seed, p, 3 * p)
    fit = minimize_quadratic(hess, linear, np.zeros(p), np.zeros(p), tol=1e-12, max_sweeps=100_000, positive=True)
    assert_allclose(fit.u, solve_nonnegative(hess, linear), atol=1e-6 * max(1, np.abs(fit.u).max()))
    assert (fit.u >= 0).all()


def test_correlated_features_need_few_sweeps():
    rng = np.random.default_rng(0)
    A = rng.normal(size=(500, 1)) + 1e-2 * rng.normal(size=(500, 30))
    hess, linear = A.T @ A / 500, A.T @ (A @ rng.normal(size=30)) / 500
    fit = minimize_quadratic(hess, linear, np.full(30, 1e-5), np.zeros(30), tol=1e-10)
    assert fit.settled
    assert fit.sweeps < 400


def test_a_column_of_zeros_gets_no_coefficient():
    fit = minimize_quadratic(np.diag([1.0, 0.0]), np.array([1.0, 0.0]), np.zeros(2), np.array([0.0, 5.0]), tol=1e-12)
    assert_array_equal(fit.u, [1.0, 0.0])


@pytest.mark.parametrize("positive", [False, True])
def test_the_duality_gap_closes_at_the_minimum(positive):
    rng = np.random.default_rng(1)
    A, y = rng.normal(size=(50, 6)), rng.normal(size=50)
    hess, linear, size = A.T @ A / 50 + 0.1 * np.eye(6), A.T @ y / 50, y @ y / 50
    u = minimize_quadratic(hess, linear, np.full(6, 0.05), np.zeros(6), tol=1e-14, positive=positive).u
    assert abs(duality_gap(u, hess, linear, size, 0.05, 0.1, positive)) < 1e-12
    assert duality_gap(u + 0.01, hess, linear, size, 0.05, 0.1, positive) > 1e-5


def test_a_singular_system_is_solved_with_the_least_norm():
    A = np.array([[1.0, 1.0], [1.0, 1.0]])
    assert_allclose(solve_positive(A, np.array([2.0, 2.0])), [1.0, 1.0])
    assert_allclose(solve_positive(A, np.array([[2.0, 4.0], [2.0, 4.0]])), [[1.0, 2.0], [1.0, 2.0]])


@pytest.mark.parametrize("shuffled", [False, True])
def test_compiled_sweeps_change_no_bits(monkeypatch, shuffled):
    hess, linear = problem(3, 40, 60)
    l1 = np.full(40, 0.1 * np.abs(linear).max())

    def fit():
        shuffle = np.random.default_rng(0) if shuffled else None
        return minimize_quadratic(hess, linear, l1, np.zeros(40), tol=1e-10, shuffle=shuffle)

    expected = fit()
    monkeypatch.setattr(penalties, "MANY_STEPS", 0)
    found = fit()
    assert found.sweeps == expected.sweeps > 1
    assert_array_equal(found.u, expected.u)


def test_collinear_columns_are_left_along_a_straight_way():
    draw = np.random.default_rng(0)
    A = draw.normal(size=(40, 6))
    A = np.hstack([A, A @ draw.normal(size=(6, 6))])  # half of the equations have no solution
    hess, linear = A.T @ A / 40, A.T @ draw.normal(size=40) / 40
    fit = minimize_quadratic(hess, linear, np.full(12, 1e-6), np.ones(12), tol=1e-12)
    assert fit.settled
    assert fit.sweeps < 100
    assert np.count_nonzero(fit.u) <= 6
    assert np.abs(least_slope(fit.u, hess @ fit.u - linear, np.full(12, 1e-6))).max() < 1e-9


def test_a_start_from_which_no_coefficient_is_left():
    fit = minimize_quadratic(np.eye(2), np.ones(2), np.full(2, 5.0), np.ones(2), tol=1e-12)
    assert fit.settled
    np.testing.assert_array_equal(fit.u, 0)

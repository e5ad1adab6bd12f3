"""Compiled loops over codes at several points do what NumPy does with the matrix."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from daskml_kit.data.coded import coded
from daskml_kit.numerics.csr import add_gradients, add_logistic, predict_points
from daskml_kit.numerics.losses import Logistic, compiled_terms
from daskml_kit.numerics.targets import Read

WIDTH = 12


def rows(n_rows=1300):
    """Return rows of codes, some of which are none, and of two numbers; and the same as a dense matrix."""
    draw = np.random.default_rng(0)
    codes = np.stack([draw.integers(0, 4, n_rows), draw.integers(6, 13, n_rows)], axis=1).astype(np.uint16)
    spans = np.array([[0, 4], [6, 12]])
    matrix = coded(sp.csr_array, codes, draw.normal(size=(n_rows, 2)), np.array([4, 5]), WIDTH, spans)
    return matrix, matrix.copy().toarray()


@pytest.mark.parametrize("n_points", [1, 3, 4, 6])
def test_predictors_and_gradients(n_points):
    X, dense = rows()
    table = np.random.default_rng(1).normal(size=(WIDTH + 1, n_points))
    raw = predict_points(X, table, np.empty((n_points, len(dense))))
    np.testing.assert_allclose(raw, (dense @ table[:-1] + table[-1]).T, atol=1e-12)
    out = np.ones((WIDTH + 1, n_points))
    add_gradients(X, raw, out)
    np.testing.assert_allclose(out, 1 + np.vstack([dense.T @ raw.T, raw.sum(axis=1)]), atol=1e-9)


def test_logistic_terms():
    margins = np.concatenate([np.linspace(-900, 900, 1801), np.linspace(-3, 3, 101)])[None]
    value, slope, hessian = compiled_terms(Logistic(), margins.copy(), np.ones((1, 1902)), 2)
    with np.errstate(over="ignore"):
        chance = 1 / (1 + np.exp(-margins))
    np.testing.assert_allclose(value, np.logaddexp(0, margins), rtol=1e-14, atol=1e-15)
    np.testing.assert_allclose(slope, chance, rtol=1e-14, atol=1e-15)
    np.testing.assert_allclose(hessian, chance * (1 - chance), rtol=1e-12, atol=1e-15)


def test_missing_predictors_stay_missing():
    value, _, _ = compiled_terms(Logistic(), np.array([[np.nan, 1.0, np.nan, 0.0, 2.0]]), np.ones((1, 5)), 1)
    np.testing.assert_array_equal(np.isnan(value[0]), [True, False, True, False, False])


@pytest.mark.parametrize("weighted", [False, True])
def test_logistic_losses(weighted):
    X, dense = rows()
    draw = np.random.default_rng(2)
    table, sign = draw.normal(size=(WIDTH + 1, 5)), np.where(draw.random((1, len(dense))) < 0.5, -1.0, 1.0)
    weight = draw.random(len(dense)) if weighted else None
    value, out = np.zeros(5), np.zeros((WIDTH + 1, 5))
    curvature = np.empty((5, len(dense)))
    add_logistic(X, table, Read(sign, weight), value, out, curvature)
    raw = (dense @ table[:-1] + table[-1]).T
    mass = np.ones(len(dense)) if weight is None else weight
    np.testing.assert_allclose(value, np.logaddexp(0, raw * sign) @ mass, rtol=1e-12)
    slopes = sign / (1 + np.exp(-raw * sign)) * mass
    np.testing.assert_allclose(out, np.vstack([dense.T @ slopes.T, slopes.sum(axis=1)]), atol=1e-10)
    np.testing.assert_allclose(curvature, mass / (2 + np.exp(raw) + np.exp(-raw)), rtol=1e-10)

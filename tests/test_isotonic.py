"""Isotonic regression against scikit-learn's, of one dimension and in ranges."""

from __future__ import annotations

import pickle

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import sklearn.isotonic
import sklearn.model_selection
from numpy.testing import assert_allclose, assert_array_equal

from daskml_kit.engines.engine import watching
from daskml_kit.isotonic import IsotonicRegression, isotonic_regression
from daskml_kit.model_selection import GridSearchCV

rng = np.random.default_rng(0)
N_ROWS = 1500
X = rng.random(N_ROWS)
Y = X + 0.3 * rng.normal(size=N_ROWS)
WEIGHT = rng.integers(0, 3, N_ROWS).astype(float)


def blocks(values, sizes=(400, 0, 700, 400)):
    return da.concatenate([da.from_array(part, chunks=part.shape) for part in np.split(values, np.cumsum(sizes)[:-1])])


def assert_same(x, y, weight=None, **options):
    """Fit both; compare thresholds and predictions, also outside; return ours."""
    options = {"out_of_bounds": "clip", **options}
    data = [None if part is None else blocks(part) for part in (x, y, weight)]
    model = IsotonicRegression(**options).fit(*data)
    expected = sklearn.isotonic.IsotonicRegression(**options).fit(x, y, weight)
    for name in ("X_thresholds_", "y_thresholds_", "X_min_", "X_max_", "increasing_"):
        assert_allclose(getattr(model, name), getattr(expected, name), rtol=1e-6, atol=1e-12, err_msg=name)
    inside = options["out_of_bounds"] == "raise"
    at = np.clip(x, 0.1, 0.9) if inside else np.linspace(x.min() - 1, x.max() + 1, 501).astype(x.dtype)
    ours, theirs = model.predict(da.from_array(at, chunks=100)).compute(), expected.predict(at)
    assert ours.dtype == theirs.dtype
    assert_allclose(ours, theirs, rtol=1e-6)
    if options["out_of_bounds"] == "clip":
        assert model.score(*data) == pytest.approx(expected.score(x, y, weight), abs=1e-6)
    return model


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"increasing": False},
        {"increasing": "auto"},
        {"y_min": 0.2, "y_max": 0.8},
        {"out_of_bounds": "nan"},
        {"out_of_bounds": "raise"},
    ],
    ids=str,
)
def test_agreement_with_scikit_learn(options):
    assert assert_same(X, Y, **options).profile_.passes == 1
    assert_same(X, Y, WEIGHT, **options)
    assert_same(np.round(X, 2), -Y, WEIGHT, **options)


def test_hard_columns():
    assert_same(np.full(N_ROWS, 3.0), Y)
    assert_same(X, np.full(N_ROWS, 2.0))
    assert_same(X, Y + 1e9)
    assert_same(X + 1e9, Y)
    assert_same(X, X**2)  # all points are kept
    assert_same(X.astype(np.float32), Y)
    assert_same((1e-4 * X).astype(np.float32), Y)  # many are closer than single precision is taken to tell apart


def test_ranges_of_many_points_change_nothing(monkeypatch):
    monkeypatch.setattr(isotonic_regression, "MOST_POINTS", 200)
    for x in (X, (1e-4 * X).astype(np.float32)):
        assert 10 < assert_same(x, Y).profile_.passes < 30
        assert_same(x, -Y, WEIGHT, increasing=False)
    assert assert_same(np.round(X, 2), Y).profile_.passes == 1


def test_any_collection_of_one_column():
    expected = sklearn.isotonic.IsotonicRegression().fit(X, Y)
    frame = dd.from_pandas(pd.DataFrame({"x": X, "y": Y}), npartitions=4)
    unknown = blocks(np.c_[X, Y])[blocks(X) >= 0]
    for x, y in ((frame["x"], frame["y"]), (frame[["x"]], frame["y"]), (unknown[:, 0], unknown[:, 1]), (X, Y)):
        model = IsotonicRegression().fit(x, y)
        assert_allclose(model.y_thresholds_, expected.y_thresholds_)
        for method in (model.predict, model.transform):
            assert_allclose(np.asarray(method(x)), expected.predict(X))
    assert type(model.to_sklearn()) is sklearn.isotonic.IsotonicRegression
    assert_array_equal(pickle.loads(pickle.dumps(model)).predict(X), model.predict(X))


def test_a_fused_search():
    grid, cv = {"increasing": [True, False], "y_max": [None, 0.5]}, sklearn.model_selection.KFold(3)
    passes = []
    with watching(lambda profile: passes.append(profile.passes)):
        found = GridSearchCV(IsotonicRegression(out_of_bounds="clip"), grid, cv=cv).fit(blocks(X)[:, None], blocks(Y))
    theirs = sklearn.isotonic.IsotonicRegression(out_of_bounds="clip")
    expected = sklearn.model_selection.GridSearchCV(theirs, grid, cv=cv).fit(X[:, None], Y)
    assert found.plan_.alone == {}
    assert max(passes) <= 4
    assert_allclose(found.cv_results_["mean_test_score"], expected.cv_results_["mean_test_score"], rtol=1e-6)


@pytest.mark.parametrize(
    ("fit", "message"),
    [
        (lambda: IsotonicRegression().fit(blocks(np.c_[X, X]), blocks(Y)), "1d array or 2d array with 1 feature"),
        (lambda: IsotonicRegression().fit(X, blocks(Y)), "X: expected a Dask array or Series beside Dask targets"),
        (lambda: IsotonicRegression().fit(blocks(X), Y[:5]), "y: .*expected 1500 rows as in X, got 5"),
        (lambda: IsotonicRegression().fit(blocks(X), blocks(Y), 0 * WEIGHT), "0 sample.s. of positive weight"),
        (lambda: IsotonicRegression().fit(blocks(X), np.full(N_ROWS, "a")), "y: expected numbers, got <U1 in block 0"),
        (lambda: IsotonicRegression().fit(blocks(np.log(X - 0.5)), Y), "Input X contains NaN in block 0"),
        (lambda: IsotonicRegression(out_of_bounds="no").fit(X, Y), "out_of_bounds: expected one of"),
        (lambda: IsotonicRegression(increasing="no").fit(X, Y), "increasing: expected one of"),
        (lambda: IsotonicRegression(y_min="no").fit(X, Y), "y_min: expected a number or None, got 'no'"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value encountered in log")
def test_wrong_input_is_named(fit, message):
    with pytest.raises(ValueError, match=message):
        fit()


def test_predictions_outside_name_the_block():
    model = IsotonicRegression(out_of_bounds="raise").fit(blocks(X), blocks(Y))
    with pytest.raises(ValueError, match=r"above the interpolation range.*in block 2"):
        model.predict(da.concatenate([blocks(X), da.from_array([2.0])])[350:].rechunk(500)).compute()

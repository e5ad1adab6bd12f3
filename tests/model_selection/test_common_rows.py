"""Folds behind encoders share rows that are encoded once, and score as scikit-learn's searches do."""

from __future__ import annotations

import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import sklearn.compose
import sklearn.linear_model
import sklearn.model_selection
import sklearn.preprocessing
from sklearn.pipeline import make_pipeline

import daskml_kit.model_selection.search.common_rows
import daskml_kit.model_selection.search.task_search
from daskml_kit.compose import make_column_transformer
from daskml_kit.linear_model import LogisticRegression, Ridge
from daskml_kit.model_selection import GridSearchCV
from daskml_kit.preprocessing import OneHotEncoder, RobustScaler, StandardScaler

N_ROWS = 600


@pytest.fixture
def fitted(monkeypatch):
    """The (candidate, split) that were fitted on common rows, one list a search."""
    module, seen = daskml_kit.model_selection.search.task_search, []
    own = module.fit_on_common_rows

    def noted(*args):
        found = own(*args)
        seen.append(sorted(found))
        return found

    monkeypatch.setattr(module, "fit_on_common_rows", noted)
    monkeypatch.setattr(daskml_kit.model_selection.search.common_rows, "FEW_ROWS", 0)
    return seen


def table(levels):
    """Return rows ordered by city, of which folds without shuffling lack some."""
    draw = np.random.default_rng(0)
    city = np.sort(draw.integers(0, levels, N_ROWS))
    frame = pd.DataFrame({"city": pd.Categorical([f"city {i}" for i in city])})
    frame["kind"] = draw.integers(0, 4, N_ROWS)
    frame["wind"], frame["rain"] = draw.normal(7, 3, N_ROWS), draw.normal(-50, 1, N_ROWS)
    return frame, draw.normal(size=levels)[city] + frame["wind"] / 3 + draw.normal(size=N_ROWS) - 2


def pipeline(model, *, dask, **options):
    source = sklearn.preprocessing
    make = make_column_transformer if dask else sklearn.compose.make_column_transformer
    encoder, standard, robust = (
        (OneHotEncoder, StandardScaler, RobustScaler)
        if dask
        else (source.OneHotEncoder, source.StandardScaler, source.RobustScaler)
    )
    columns = make((encoder(**options), ["city", "kind"]), (standard(), ["wind"]), (robust(), ["rain"]))
    return make_pipeline(columns, model)


def both(models, grid, levels, target, scoring, **options):
    frame, y = table(levels)
    y = target(y)
    given = {"scoring": scoring, "refit": False, "return_train_score": True, "cv": 3}
    ours, theirs = (pipeline(model, dask=dask, **options) for model, dask in zip(models, (True, False), strict=True))
    blocks = dd.from_pandas(frame, npartitions=4), dd.from_pandas(y, npartitions=4)
    expected = sklearn.model_selection.GridSearchCV(theirs, grid, **given).fit(frame, y).cv_results_
    found = GridSearchCV(ours, grid, **given).fit(*blocks).cv_results_
    return [(found[name], expected[name]) for name in expected if name.startswith(("split", "mean_t"))]


@pytest.mark.parametrize(
    ("n_classes", "levels"), [(2, 9), *(pytest.param(*case, marks=pytest.mark.slow) for case in ((2, 1500), (3, 60)))]
)
def test_a_classifier(n_classes, levels, fitted):
    models = LogisticRegression(tol=1e-10), sklearn.linear_model.LogisticRegression(solver="newton-cg", tol=1e-12)
    grid = {"logisticregression__C": [0.1, 1.0, 10.0, 100.0]}

    def target(y):
        return pd.Series(np.digitize(y, np.linspace(-1, 1, n_classes + 1)[1:-1]))

    scores = both(models, grid, levels, target, ["neg_log_loss", "accuracy"], handle_unknown="ignore")
    assert fitted == [[(candidate, split) for candidate in range(4) for split in range(3)]]
    for found, expected in scores:
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_regressor(fitted):
    grid = {"ridge__alpha": [0.1, 10.0]}
    models = Ridge(tol=1e-10), sklearn.linear_model.Ridge(tol=1e-10)
    scores = both(models, grid, 60, lambda y: y, "r2", handle_unknown="ignore")
    assert len(fitted[0]) == 6
    for found, expected in scores:
        np.testing.assert_allclose(found, expected, atol=1e-8)


@pytest.mark.filterwarnings("ignore:Found unknown categories")
@pytest.mark.parametrize("options", [{"min_frequency": 30}, {"drop": "first"}], ids=["rare", "drop"])
def test_encoders_that_depend_on_the_fold_are_fitted_on_each(options, fitted):
    grid = {"ridge__alpha": [0.1, 10.0]}
    models = Ridge(tol=1e-10), sklearn.linear_model.Ridge(tol=1e-10)
    scores = both(models, grid, 9, lambda y: y, "r2", handle_unknown="ignore", **options)
    assert fitted == [[]]
    for found, expected in scores:
        np.testing.assert_allclose(found, expected, atol=1e-8)

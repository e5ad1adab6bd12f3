"""Models behind transformers that candidates have in common share passes, and score as scikit-learn's searches do."""

from __future__ import annotations

import logging

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
from daskml_kit.preprocessing import OneHotEncoder, StandardScaler

COLUMNS = ["city", "kind"]


def table(n_rows=240, levels=9):
    draw = np.random.default_rng(0)
    city = pd.Categorical.from_codes(draw.integers(0, levels, n_rows), [f"city {i}" for i in range(levels)])
    frame = pd.DataFrame({"city": city, "kind": pd.Categorical(draw.choice(list("xyz"), n_rows))})
    frame["wind"] = draw.normal(size=n_rows)
    target = draw.normal(size=levels)[frame["city"].cat.codes] + frame["wind"] + draw.normal(size=n_rows)
    return frame, target.rename("late")


def pipeline(model, *, dask, **options):
    make = make_column_transformer if dask else sklearn.compose.make_column_transformer
    encoder, scaler = (
        (OneHotEncoder, StandardScaler)
        if dask
        else (sklearn.preprocessing.OneHotEncoder, sklearn.preprocessing.StandardScaler)
    )
    return make_pipeline(make((encoder(**options), COLUMNS), (scaler(), ["wind"])), model)


@pytest.fixture
def groups(monkeypatch):
    """The numbers of candidates that were fitted in common passes, one list a split."""
    module, seen = daskml_kit.model_selection.search.task_search, []
    own = module.fit_fused_models

    def noted(*args):
        found = own(*args)
        seen.append(sorted(found))
        return found

    monkeypatch.setattr(module, "fit_fused_models", noted)
    monkeypatch.setattr(module, "fit_on_common_rows", lambda *given: {})  # which would leave nothing
    monkeypatch.setattr(daskml_kit.model_selection.search.common_rows, "FEW_ROWS", 0)
    return seen


def both(ours, theirs, grid, y, scoring, **options):
    frame, _ = table()
    given = {"scoring": scoring, "refit": False, "return_train_score": True, "cv": 3, **options}
    blocks = dd.from_pandas(frame, npartitions=4), dd.from_pandas(y, npartitions=4)
    expected = sklearn.model_selection.GridSearchCV(theirs, grid, **given).fit(frame, y)
    return GridSearchCV(ours, grid, **given).fit(*blocks).cv_results_, expected.cv_results_


def assert_same_scores(found, expected):
    for name in expected:
        if name.endswith("_score"):
            np.testing.assert_allclose(found[name], expected[name], atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("labels", [[0, 1], ["late", "on time"]], ids=["numbers", "words"])
def test_a_classifier(labels, groups):
    y = pd.Series(np.where(table()[1] > 0, *labels))
    grid = {"logisticregression__C": [0.1, 1.0, 10.0], "columntransformer__onehotencoder__min_frequency": [None, 20]}
    options = {"handle_unknown": "ignore"}
    ours = pipeline(LogisticRegression(tol=1e-9), dask=True, **options)
    theirs = pipeline(sklearn.linear_model.LogisticRegression(tol=1e-9, max_iter=1000), dask=False, **options)
    found, expected = both(ours, theirs, grid, y, ["neg_log_loss", "accuracy"])
    assert groups == [list(range(6))] * 3
    assert_same_scores(found, expected)


def test_a_regressor_on_a_cluster(client, groups):
    ours = pipeline(Ridge(tol=1e-10), dask=True)
    theirs = pipeline(sklearn.linear_model.Ridge(tol=1e-10), dask=False)
    found, expected = both(ours, theirs, {"ridge__alpha": [0.1, 10.0]}, table()[1], "r2", cv=2)
    assert groups == [[0, 1]] * 2
    assert_same_scores(found, expected)


def test_a_category_that_training_rows_lack_fails_as_it_does_one_by_one(groups, caplog):
    frame, y = table()
    frame["city"] = frame["city"].cat.add_categories("once")
    frame.loc[0, "city"] = "once"
    blocks = dd.from_pandas(frame, npartitions=4), dd.from_pandas(y, npartitions=4)
    search = GridSearchCV(pipeline(Ridge(), dask=True), {"ridge__alpha": [0.1, 10.0]}, cv=3, refit=False)
    caplog.set_level(logging.DEBUG, logger="daskml_kit.model_selection")
    with pytest.warns(UserWarning, match="Scoring failed|non-finite"):
        search.fit(*blocks)
    assert "candidates [0, 1] are fitted one by one: DataError: Found unknown categories" in caplog.text
    assert groups == [[], [0, 1], [0, 1]]
    assert np.isnan(search.cv_results_["split0_test_score"]).all()
    assert np.isfinite(search.cv_results_["split1_test_score"]).all()


@pytest.mark.parametrize("given", ["one candidate", "a score of one's own"])
def test_others_are_fitted_one_by_one(given, groups):
    def score(model, X, y):
        return 1.0

    grid = {"ridge__alpha": [0.1] if given == "one candidate" else [0.1, 1.0]}
    scoring = "r2" if given == "one candidate" else score
    frame, y = table()
    search = GridSearchCV(pipeline(Ridge(), dask=True), grid, cv=2, refit=False, scoring=scoring)
    search.fit(dd.from_pandas(frame, npartitions=2), dd.from_pandas(y, npartitions=2))
    assert groups == [[]] * 2
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_what_is_no_fault_of_the_user_is_raised(groups, monkeypatch):
    def broken(*given):
        raise TypeError("of the package itself")

    monkeypatch.setattr(daskml_kit.model_selection.search.common_rows, "_ids", broken)
    frame, y = table()
    blocks = dd.from_pandas(frame, npartitions=4), dd.from_pandas(y, npartitions=4)
    with pytest.raises(TypeError, match="of the package itself"):
        GridSearchCV(pipeline(Ridge(), dask=True), {"ridge__alpha": [1.0, 2.0]}, cv=3).fit(*blocks)

"""Scorers whose metric takes one reduction share the passes of a search, with the numbers of scikit-learn."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import sklearn.linear_model
import sklearn.metrics
import sklearn.model_selection
import sklearn.naive_bayes
from sklearn.datasets import make_classification

from daskml_kit import metrics
from daskml_kit.linear_model import LogisticRegression, PoissonRegressor, Ridge
from daskml_kit.model_selection import GridSearchCV
from daskml_kit.naive_bayes import GaussianNB

X, CODES = make_classification(240, 6, n_informative=4, n_classes=3, random_state=0)
Y = np.array(["a", "b", "c"])[CODES]
AMOUNTS = np.abs(X @ np.arange(6)) + 1
BETA, BOUND = {"beta": 2, "average": "macro"}, {"alpha": 0.9}
LABELS = ["f1_macro", "balanced_accuracy", "matthews_corrcoef", "precision_weighted", "jaccard_micro", "accuracy"]
NUMBERS = [
    "neg_mean_absolute_percentage_error",
    "neg_mean_squared_log_error",
    "neg_root_mean_squared_log_error",
    "neg_max_error",
    "explained_variance",
    "r2",
]


def lazy(values):
    return da.from_array(values, chunks=(70, *values.shape[1:]))


@pytest.mark.parametrize(
    ("ours", "theirs", "grid", "y", "names", "own"),
    [
        (
            GaussianNB(),
            sklearn.naive_bayes.GaussianNB(),
            {"var_smoothing": [1e-9, 0.1]},
            Y,
            LABELS,
            (metrics.fbeta_score, sklearn.metrics.fbeta_score, BETA),
        ),
        (
            Ridge(),
            sklearn.linear_model.Ridge(),
            {"alpha": [0.1, 10.0]},
            AMOUNTS,
            NUMBERS,
            (metrics.mean_pinball_loss, sklearn.metrics.mean_pinball_loss, BOUND),
        ),
    ],
    ids=["labels", "numbers"],
)
def test_searches_share_passes(ours, theirs, grid, y, names, own):
    metric, same, options = own
    cv = sklearn.model_selection.KFold(3)
    scoring = {**{name: name for name in names}, "own": metrics.make_scorer(metric, **options)}
    peers = {**{name: name for name in names}, "own": sklearn.metrics.make_scorer(same, **options)}
    found = GridSearchCV(ours, grid, cv=cv, scoring=scoring, refit=False).fit(lazy(X), lazy(y))
    expected = sklearn.model_selection.GridSearchCV(theirs, grid, cv=cv, scoring=peers, refit=False).fit(X, y)
    assert "share passes" in str(found.plan_)
    for name in scoring:
        key = f"mean_test_{name}"
        np.testing.assert_allclose(found.cv_results_[key], expected.cv_results_[key], rtol=1e-9, err_msg=name)


@pytest.mark.parametrize("name", ["mean_squared_error", "mean_absolute_error", "r2_score", "d2_tweedie_score"])
def test_our_metrics_of_numbers_share_passes_too(name):
    scorer = metrics.make_scorer(getattr(metrics, name), greater_is_better="score" in name)
    found = GridSearchCV(Ridge(), {"alpha": [1.0]}, cv=2, scoring=scorer).fit(lazy(X), lazy(AMOUNTS))
    peer = sklearn.metrics.make_scorer(getattr(sklearn.metrics, name), greater_is_better="score" in name)
    grid = sklearn.model_selection.GridSearchCV(sklearn.linear_model.Ridge(), {"alpha": [1.0]}, cv=2, scoring=peer)
    assert "share passes" in str(found.plan_)
    assert found.best_score_ == pytest.approx(grid.fit(X, AMOUNTS).best_score_, rel=1e-9)


def test_a_score_that_the_labels_do_not_have():
    search = GridSearchCV(LogisticRegression(), {"C": [1.0]}, cv=2, scoring="f1")
    with (
        pytest.warns(UserWarning, match="average='binary'"),
        pytest.warns(UserWarning, match="non-finite"),
    ):
        search.fit(lazy(X), lazy(Y))


def task_of(name):
    """Return a model and targets that suit a scorer."""
    if "deviance" in name or "log_error" in name:
        return PoissonRegressor(), AMOUNTS
    if name.startswith(("neg_m", "neg_root", "d2_a", "r2", "explained")):
        return Ridge(), AMOUNTS
    return LogisticRegression(), CODES if "ov" in name or name == "top_k_accuracy" else (CODES > 0).astype(int)


@pytest.mark.parametrize("name", sorted(name for name in metrics.SCORERS if "samples" not in name))
def test_scorers_on_dask_data_equal_those_of_scikit_learn(name):
    model, y = task_of(name)
    model.fit(X, y)
    expected = sklearn.metrics.get_scorer(name)(model, X, y)
    assert metrics.get_scorer(name)(model, X, y) == pytest.approx(expected, rel=1e-12)
    assert metrics.get_scorer(name)(model, lazy(X), lazy(y)) == pytest.approx(expected, rel=1e-9)


def test_scorers_by_name():
    assert set(metrics.SCORERS) <= set(metrics.get_scorer_names())
    assert metrics.get_scorer("neg_negative_likelihood_ratio") is not None
    with pytest.raises(ValueError, match="'f2' is not a valid scoring value"):
        metrics.get_scorer("f2")
    several = metrics.check_scoring(LogisticRegression(), ["accuracy", "f1_macro"])
    model = LogisticRegression().fit(X, Y)
    assert set(several(model, X, Y)) == {"accuracy", "f1_macro"}

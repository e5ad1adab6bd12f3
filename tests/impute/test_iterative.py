from __future__ import annotations

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import sklearn.linear_model
from numpy.testing import assert_allclose
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer as Theirs
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline

from daskml_kit.engines.engine import watching
from daskml_kit.impute import IterativeImputer
from daskml_kit.linear_model import Lasso, LinearRegression, LogisticRegression, Ridge
from daskml_kit.model_selection import GridSearchCV
from daskml_kit.reductions import round_robin

pytestmark = pytest.mark.filterwarnings("ignore:Skipping features without any observed values")
N_ROWS, WIDTH = 400, 6


def rows():
    draw = np.random.default_rng(0)
    X = draw.normal(size=(N_ROWS, 2)) @ draw.normal(size=(2, WIDTH)) + draw.normal(size=(N_ROWS, WIDTH)) * 0.3
    X += [0, 1, 2, 3, 4, 50]
    X[:, :4][draw.random((N_ROWS, 4)) < 0.15] = np.nan
    return X


X = rows()
EMPTY = np.where(np.arange(WIDTH) == 2, np.nan, X)


def lazily(X):
    return da.from_array(X, chunks=((150, 0, 250), (4, 2)))


def fitted(ours, theirs, X=X):
    """Fit both, see that they impute the same, and return ours and its passes."""
    passes = []
    with watching(lambda profile: passes.append(profile.passes)):
        ours.fit(lazily(X))
    theirs.fit(X)
    got = ours.transform(lazily(X))
    wanted = theirs.transform(X)
    assert got.dtype == wanted.dtype
    assert_allclose(got.compute(), wanted, atol=1e-6 if X.dtype == np.float64 else 1e-4)
    assert ours.n_iter_ == theirs.n_iter_
    assert list(ours.get_feature_names_out()) == list(theirs.get_feature_names_out())
    for own, other in zip(ours.imputation_sequence_, theirs.imputation_sequence_, strict=True):
        assert own.feat_idx == other.feat_idx
        np.testing.assert_array_equal(own.neighbor_feat_idx, other.neighbor_feat_idx)
    return ours, max(passes)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"initial_strategy": "median", "imputation_order": "descending"},
        {"imputation_order": "random", "random_state": 3},
        {"imputation_order": "arabic", "skip_complete": True},
        {"imputation_order": "roman", "skip_complete": True, "n_nearest_features": 2, "random_state": 1, "tol": 0.05},
    ],
    ids=str,
)
def test_two_passes_give_the_rounds_of_scikit_learn(options):
    _, passes = fitted(IterativeImputer(**options), Theirs(**options))
    assert passes == 2


@pytest.mark.parametrize("max_iter", [3, 7])
def test_rounds_that_do_not_suffice_warn(max_iter):
    options = {"max_iter": max_iter, "tol": 1e-9}
    with pytest.warns(ConvergenceWarning, match="Early stopping criterion not reached"):
        _, passes = fitted(IterativeImputer(**options), Theirs(**options))
    assert passes == 1 + (max_iter + 4) // 5


@pytest.mark.filterwarnings("ignore:invalid value encountered in matmul")  # NumPy's, of finite float32 numbers
@pytest.mark.parametrize(
    ("options", "X"),
    [
        ({"add_indicator": True}, EMPTY),
        ({"keep_empty_features": True, "initial_strategy": "constant", "fill_value": 3}, EMPTY),
        ({"missing_values": -99}, np.nan_to_num(X, nan=-99)),
        ({"max_iter": 0}, X),
        ({}, X.astype(np.float32)),
        ({}, np.nan_to_num(X)),
    ],
)
def test_other_data(options, X):
    fitted(IterativeImputer(**options), Theirs(**options), X)


def test_bounds_and_many_patterns_take_a_pass_a_step(monkeypatch):
    for options in ({"min_value": [0, 1, 2, 3, 4, 5], "max_value": 60}, {"min_value": 0}):
        ours, passes = fitted(IterativeImputer(**options), Theirs(**options))
        assert passes == 1 + ours.n_iter_ * 6  # of two columns without missing values at once, four others, a change
    monkeypatch.setattr(round_robin, "MOST_BYTES", 0)
    ours, passes = fitted(IterativeImputer(), Theirs())
    assert passes == 1 + ours.n_iter_ * 6
    options = {"n_nearest_features": 2, "random_state": 1, "max_iter": 2, "tol": 0.1}
    fitted(IterativeImputer(**options), Theirs(**options))


def test_other_estimators():
    module = sklearn.linear_model
    for own, theirs, passes in (
        (LinearRegression(), module.LinearRegression(), 2),
        (Ridge(alpha=2.0), module.Ridge(alpha=2.0), 2),
        (Lasso(alpha=0.01, tol=1e-10), module.Lasso(alpha=0.01, tol=1e-10), 2),
    ):
        _, found = fitted(IterativeImputer(own), Theirs(theirs))
        assert found == passes
    options = {"max_iter": 1, "tol": 1.0, "skip_complete": True}
    _, passes = fitted(
        IterativeImputer(Ridge(alpha=2.0, solver="lbfgs", tol=1e-9), **options),
        Theirs(module.Ridge(alpha=2.0), **options),
    )
    assert passes > 5


def test_the_plain_imputer_holds_nothing_of_ours():
    frame = pd.DataFrame(X, columns=list("abcdef"))
    lazy = dd.from_pandas(frame, npartitions=3)
    ours = IterativeImputer(Ridge()).set_output(transform="pandas").fit(lazy)
    plain = ours.to_sklearn()
    assert type(plain) is Theirs
    parts = [plain.estimator, plain.initial_imputer_, *(step.estimator for step in plain.imputation_sequence_)]
    assert {type(part).__module__.partition(".")[0] for part in parts} == {"sklearn"}
    pd.testing.assert_frame_equal(ours.transform(lazy).compute(), plain.transform(frame), rtol=1e-12)
    expected = Theirs(sklearn.linear_model.Ridge()).set_output(transform="pandas").fit_transform(frame)
    pd.testing.assert_frame_equal(ours.fit_transform(lazy).compute(), expected, rtol=1e-6)


def test_in_a_search():
    target = np.nan_to_num(X) @ np.arange(6.0)
    ours = GridSearchCV(make_pipeline(IterativeImputer(), Ridge()), {"ridge__alpha": [0.1, 1e4]}, cv=KFold(2))
    found = ours.fit(lazily(X), target).cv_results_["mean_test_score"]
    pipeline = make_pipeline(Theirs(), sklearn.linear_model.Ridge())
    expected = [
        np.mean(
            [
                pipeline.set_params(ridge__alpha=alpha).fit(X[train], target[train]).score(X[test], target[test])
                for train, test in KFold(2).split(X)
            ]
        )
        for alpha in (0.1, 1e4)
    ]
    assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("imputer", "message"),
    [
        (IterativeImputer(sklearn.linear_model.Ridge()), "estimator: Ridge cannot fit on Dask data"),
        (IterativeImputer(LogisticRegression()), "estimator: expected a regressor on Dask input"),
        (IterativeImputer(Ridge(alpha=-1)), "alpha: expected finite numbers of at least 0"),
        (IterativeImputer(sample_posterior=True), "sample_posterior: expected False on Dask input"),
        (IterativeImputer(max_iter=-1), "max_iter: expected an integer of at least 0"),
        (IterativeImputer(imputation_order="up"), "imputation_order: expected one of"),
        (IterativeImputer(initial_strategy="x"), "initial_strategy: expected one of"),
        (IterativeImputer(n_nearest_features=0), "n_nearest_features: expected an integer of at least 1"),
        (IterativeImputer(min_value=3, max_value=2), "One .or more. features have min_value >= max_value"),
        (IterativeImputer(min_value=[1, 2]), "'min_value' should be of shape"),
        (IterativeImputer(missing_values=-1), "Input X contains NaN in block 0"),
    ],
)
def test_wrong_parameters_are_named(imputer, message):
    with pytest.raises(ValueError, match=message):
        imputer.fit(lazily(X))
    assert not [name for name in vars(imputer) if name.endswith("_")]

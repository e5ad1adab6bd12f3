"""A fit that fails leaves the estimator as it was: whole or as before."""

from __future__ import annotations

from typing import Any

import cloudpickle
import dask.array as da
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import SGDClassifier as TheirSGDClassifier
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from daskml_kit.cluster import KMeans
from daskml_kit.compose import ColumnTransformer
from daskml_kit.datasets import make_counts
from daskml_kit.decomposition import PCA
from daskml_kit.impute import SimpleImputer
from daskml_kit.linear_model import LogisticRegression, Ridge, SGDClassifier, SGDRegressor
from daskml_kit.model_selection import (
    ASHASearchCV,
    GridSearchCV,
    HyperbandSearchCV,
    IncrementalSearchCV,
    InverseDecaySearchCV,
    RandomizedSearchCV,
    SuccessiveHalvingSearchCV,
)
from daskml_kit.model_selection.adaptive.base import AdaptiveSearchCV
from daskml_kit.naive_bayes import GaussianNB
from daskml_kit.neural_network import MLPClassifier, MLPRegressor
from daskml_kit.preprocessing import OneHotEncoder, StandardScaler
from daskml_kit.recommendation import ALS, MatrixFactorization

pytestmark = pytest.mark.filterwarnings("ignore")

rng = np.random.default_rng(0)
X = rng.integers(0, 4, size=(120, 2)).astype(float)
Y = (X.sum(axis=1) > 3).astype(int)
THEIRS = TheirSGDClassifier(random_state=0)
ALPHAS = {"alpha": [1e-4, 1e-2, 1.0]}
ADAPTIVE = {"random_state": 0, "test_size": 0.2}
COLUMNS = [("one", OneHotEncoder(), [0]), ("num", StandardScaler(), [1])]
MODELS = {
    "KMeans": KMeans(2, n_init=1),
    "PCA": PCA(1),
    "GaussianNB": GaussianNB(),
    "LogisticRegression": LogisticRegression(),
    "Ridge": Ridge(),
    "SGDClassifier": SGDClassifier(max_iter=2),
    "SGDRegressor": SGDRegressor(max_iter=2),
    "MLPClassifier": MLPClassifier((3,), max_iter=2),
    "MLPRegressor": MLPRegressor(hidden_layer_sizes=(3,), max_iter=2),
    "MLPClassifier, lbfgs": MLPClassifier((3,), max_iter=2, solver="lbfgs", warm_start=True),
    "MatrixFactorization": MatrixFactorization(2, max_iter=2),
    "ALS": ALS(2, max_iter=2),
    "StandardScaler": StandardScaler(),
    "OneHotEncoder": OneHotEncoder(),
    "SimpleImputer": SimpleImputer(),
    "ColumnTransformer": ColumnTransformer(COLUMNS),
}
SEARCHES = {
    "GridSearchCV": GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, cv=2),
    "GridSearchCV of another": GridSearchCV(DecisionTreeClassifier(), {"max_depth": [1, 2]}, cv=2),
    "RandomizedSearchCV": RandomizedSearchCV(Ridge(), ALPHAS, n_iter=2, cv=2, random_state=0),
    "IncrementalSearchCV": IncrementalSearchCV(THEIRS, ALPHAS, 2, max_iter=2, **ADAPTIVE),
    "InverseDecaySearchCV": InverseDecaySearchCV(THEIRS, ALPHAS, 2, max_iter=2, **ADAPTIVE),
    "SuccessiveHalvingSearchCV": SuccessiveHalvingSearchCV(THEIRS, ALPHAS, 3, n_initial_iter=1, **ADAPTIVE),
    "HyperbandSearchCV": HyperbandSearchCV(THEIRS, ALPHAS, max_iter=3, **ADAPTIVE),
    "ASHASearchCV": ASHASearchCV(THEIRS, ALPHAS, 3, max_iter=3, **ADAPTIVE),
}
ESTIMATORS = {**MODELS, **SEARCHES}


def in_blocks(values):
    return da.from_array(values, chunks=(40, *values.shape[1:]))


LAYOUTS = {"memory": lambda values: values, "dask": in_blocks}


def fresh(name: str) -> Any:
    model = ESTIMATORS[name]
    return type(model)(**model.get_params(deep=False))


def state_of(model: Any) -> dict[str, tuple[int, bytes]]:
    return {name: (id(value), cloudpickle.dumps(value)) for name, value in vars(model).items()}


def bad_data() -> dict[str, tuple[Any, Any]]:
    hollow, infinite, words = X.copy(), X.copy(), X.astype(object)
    hollow[70, 0], infinite[70, 1], words[70, 0] = np.nan, np.inf, "word"
    empty = np.empty((0, 2)), np.empty(0, int)
    return {
        "NaN in X": (hollow, Y),
        "infinity in X": (infinite, Y),
        "words in X": (words, Y),
        "halves in X": (X + 0.5, Y),
        "a vector": (X[:, 0], Y),
        "a cube": (X[:, :, None], Y),
        "no columns": (X[:, :0], Y),
        "no rows": empty,
        "another width": (np.hstack([X, X]), Y),
        "no y": (X, None),
        "a short y": (X, Y[:90]),
        "NaN in y": (X, np.where(Y == 1, np.nan, 0.0)),
        "one class": (X, np.zeros_like(Y)),
        "a continuous y": (X, Y + 0.3 * X[:, 0]),
        "many columns of y": (X, np.column_stack([Y, Y + 1])),
        "a cube as y": (X, np.zeros((120, 2, 2))),
        "words in y": (X, np.where(Y == 1, "word", "other")),
    }


def fails_as_before(model: Any, method: str, *given: Any) -> bool:
    """Return whether a method failed, after which the model must be as before."""
    before = state_of(model)
    options = {"classes": [0, 1]} if isinstance(model, AdaptiveSearchCV) else {}
    try:
        getattr(model, method)(*given, **options)
    except Exception:
        assert state_of(model) == before
        return True
    return False


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ESTIMATORS)
def test_bad_data_leaves_no_attributes(name, layout):
    failed = 0
    for data in bad_data().values():
        bad = [part if part is None else LAYOUTS[layout](part) for part in data]
        for method in ("fit", "partial_fit", "fit_transform"):
            failed += hasattr(fresh(name), method) and fails_as_before(fresh(name), method, *bad)
    assert failed >= 3


@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_failed_refit_leaves_the_last_fit(name):
    failed = 0
    options = {"classes": [0, 1]} if isinstance(ESTIMATORS[name], AdaptiveSearchCV) else {}
    for data in bad_data().values():
        model = fresh(name).fit(X, Y, **options)
        failed += fails_as_before(model, "fit", *data)
        failed += hasattr(model, "partial_fit") and fails_as_before(model, "partial_fit", *data)
    assert failed >= 3


class BrittleTree(DecisionTreeRegressor):
    """Fails on all rows, as when memory runs out in the refit."""

    failure = MemoryError

    def fit(self, X, y):
        if X.shape[0] == len(Y):
            raise self.failure("all rows")
        return super().fit(X, y)


class InterruptedTree(BrittleTree):
    """Is interrupted in the refit."""

    failure = KeyboardInterrupt


def broken_refit(results):
    raise ZeroDivisionError("refit")


BROKEN = {
    "an unknown parameter": {"param_grid": {"bet": [1]}},
    "no grid": {"param_grid": 3},
    "all candidates fail": {"param_grid": {"alpha": ["word"]}},
    "an unknown score": {"scoring": "tallness"},
    "no splits": {"cv": 1},
    "too many splits": {"cv": 500},
    "a word as cv": {"cv": "word"},
    "an unknown refit": {"scoring": ["r2", "neg_mean_squared_error"], "refit": "tallness"},
    "a refit that fails": {"refit": broken_refit},
    "a refit that gives a word": {"refit": lambda results: "word"},
    "a refit that is out of range": {"refit": lambda results: 99},
    "an unknown error_score": {"error_score": "word"},
    "a failing fit": {"error_score": "raise", "param_grid": {"alpha": [1.0, -1.0]}},
    "pre_dispatch": {"pre_dispatch": "all"},
    "a failing refit": {"estimator": BrittleTree(), "param_grid": {"max_depth": [1, 2]}},
}


@pytest.mark.parametrize("settings", BROKEN.values(), ids=BROKEN)
def test_a_search_that_fails_is_as_before(settings):
    search = GridSearchCV(Ridge(), {"alpha": [0.1, 1.0]}, cv=2).fit(X, Y).set_params(**settings)
    assert fails_as_before(search, "fit", X, Y)
    assert search.predict(X).shape == (120,)
    search = GridSearchCV(Ridge(), {"alpha": [0.1, 1.0]}, cv=2).set_params(**settings)
    assert fails_as_before(search, "fit", X, Y)
    assert not hasattr(search, "cv_results_")


ADAPTIVE_BROKEN = {
    "no parameters": {"parameters": 3},
    "an unknown parameter": {"parameters": {"bet": [1]}, "error_score": "raise"},
    "all candidates fail": {"parameters": {"alpha": ["word"]}},
    "an unknown score": {"scoring": "tallness"},
    "a negative share": {"test_size": -0.5},
    "max_iter": {"max_iter": 0},
    "patience": {"patience": 1},
    "no partial_fit": {"estimator": DecisionTreeClassifier()},
    "verbose": {"verbose": 7},
    "random_state": {"random_state": "word"},
}


@pytest.mark.parametrize("settings", ADAPTIVE_BROKEN.values(), ids=ADAPTIVE_BROKEN)
@pytest.mark.parametrize("name", ["IncrementalSearchCV", "HyperbandSearchCV", "SuccessiveHalvingSearchCV"])
def test_an_adaptive_search_that_fails_is_as_before(name, settings):
    search = fresh(name).fit(X, Y, classes=[0, 1]).set_params(**settings)
    assert fails_as_before(search, "fit", X, Y)
    search = fresh(name).set_params(**settings)
    assert fails_as_before(search, "fit", X, Y)


def test_a_refit_that_is_interrupted_leaves_scores_and_no_older_model():
    search = GridSearchCV(Ridge(), {"alpha": [0.1, 1.0]}, cv=2).fit(X, Y)
    search.set_params(estimator=InterruptedTree(), param_grid={"max_depth": [1, 2]})
    with pytest.raises(KeyboardInterrupt):
        search.fit(X, Y)
    assert search.best_params_
    assert not hasattr(search, "best_estimator_")


def test_a_search_forgets_what_the_last_one_found():
    frame = pd.DataFrame(X, columns=["a", "b"])
    search = GridSearchCV(Ridge(), {"alpha": [0.1, 1.0]}, cv=2).fit(frame, Y)
    assert list(search.feature_names_in_) == ["a", "b"]
    search.fit(X, Y)
    assert not hasattr(search, "feature_names_in_")
    search.set_params(refit=False).fit(X, Y)
    assert not hasattr(search, "best_estimator_")
    both = search.set_params(scoring=["r2", "neg_mean_squared_error"]).fit(X, Y)
    assert not hasattr(both, "best_index_")


def test_a_network_of_scikit_learns_shares_no_coefficients():
    model = MLPRegressor(hidden_layer_sizes=(3,), max_iter=2, random_state=0).fit(X, Y)
    before = state_of(model)
    model.to_sklearn().partial_fit(X, Y)
    assert state_of(model) == before


ADAPTIVE_SEARCHES = [name for name, search in SEARCHES.items() if isinstance(search, AdaptiveSearchCV)]


@pytest.mark.parametrize("name", ADAPTIVE_SEARCHES)
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"parameters": 3}, r"parameters: Parameter (grid|distribution) is not a dict or a list"),
        ({"parameters": {"alpha": 3}}, "parameters: Parameter (grid|distribution)"),
        ({"random_state": "x"}, "random_state: 'x' cannot be used to seed"),
    ],
)
def test_parameters_of_adaptive_searches_are_named(name, settings, message):
    with pytest.raises((TypeError, ValueError), match=message):
        fresh(name).set_params(**settings).fit(X, Y, classes=[0, 1])


def test_grids_and_distributions_are_named():
    with pytest.raises(TypeError, match="param_grid: Parameter grid should be a dict or a list"):
        GridSearchCV(Ridge(), 3).fit(X, Y)
    with pytest.raises(TypeError, match="param_distributions: Parameter distribution is not a dict or a list"):
        RandomizedSearchCV(Ridge(), 3).fit(X, Y)
    with pytest.raises(ValueError, match="random_state: 'x' cannot be used to seed"):
        RandomizedSearchCV(Ridge(), ALPHAS, random_state="x").fit(X, Y)


def test_users_above_their_number_are_named():
    with pytest.raises(ValueError, match=r"X: expected numbers of users from 0 to 1 \(n_users=2\), got 3 in block 0"):
        MatrixFactorization(2, n_users=2).fit(X, Y)


def test_counts_have_no_negative_scale():
    with pytest.raises(ValueError, match=r"scale: expected a finite number of at least 0, got -1.0"):
        make_counts(10, scale=-1.0)

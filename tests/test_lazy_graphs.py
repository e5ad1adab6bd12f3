"""Dask's own check of graphs passes on whatever models, splits and metrics give lazily.

For partition functions and data sets it is in ``tests/partition/test_graphs.py``.
"""

from __future__ import annotations

from functools import cache

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from dask.array.utils import assert_eq
from dask.dataframe.utils import assert_eq as assert_frames_equal
from sklearn.base import clone
from sklearn.linear_model import SGDClassifier as TheirSGDClassifier
from sklearn.tree import DecisionTreeClassifier

from daskml_kit import metrics
from daskml_kit.cluster import KMeans
from daskml_kit.compose import ColumnTransformer
from daskml_kit.decomposition import PCA
from daskml_kit.impute import SimpleImputer
from daskml_kit.linear_model import LogisticRegression, PoissonRegressor, Ridge, SGDClassifier
from daskml_kit.model_selection import (
    GridSearchCV,
    GroupKFold,
    GroupShuffleSplit,
    IncrementalSearchCV,
    KFold,
    LeaveOneGroupOut,
    LeaveOneOut,
    LeavePGroupsOut,
    LeavePOut,
    PredefinedSplit,
    RepeatedKFold,
    RepeatedStratifiedKFold,
    ShuffleSplit,
    StratifiedGroupKFold,
    StratifiedKFold,
    StratifiedShuffleSplit,
    TimeSeriesSplit,
    cross_val_predict,
    train_test_split,
)
from daskml_kit.naive_bayes import GaussianNB
from daskml_kit.neural_network import MLPClassifier
from daskml_kit.preprocessing import OneHotEncoder, StandardScaler
from daskml_kit.recommendation import ALS, MatrixFactorization

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

N_ROWS = 24
rng = np.random.default_rng(0)
ROWS = rng.integers(0, 4, size=(N_ROWS, 2)).astype(float)
CODES = np.arange(N_ROWS) % 2
X, Y = da.from_array(ROWS, chunks=(7, 2)), da.from_array(CODES, chunks=7)
GROUPS = da.from_array(np.arange(N_ROWS) % 6, chunks=7)
OTHER_Y = da.from_array(CODES, chunks=5)
UNKNOWN = X[X[:, 0] > -1]
FRAME = dd.from_pandas(pd.DataFrame(ROWS, columns=["a", "b"]), npartitions=3)
INPUTS = {"dense": X, "in two column blocks": X.rechunk((7, 1)), "unknown sizes": UNKNOWN, "frame": FRAME}
SPLITTERS = {
    "KFold": KFold(2),
    "KFold, shuffled": KFold(2, shuffle=True, random_state=0),
    "RepeatedKFold": RepeatedKFold(n_splits=2, n_repeats=1, random_state=0),
    "RepeatedStratifiedKFold": RepeatedStratifiedKFold(n_splits=2, n_repeats=1, random_state=0),
    "StratifiedKFold": StratifiedKFold(2),
    "TimeSeriesSplit": TimeSeriesSplit(2),
    "PredefinedSplit": PredefinedSplit(CODES),
    "LeaveOneOut": LeaveOneOut(),
    "LeavePOut": LeavePOut(23),
    "GroupKFold": GroupKFold(2),
    "StratifiedGroupKFold": StratifiedGroupKFold(2),
    "LeaveOneGroupOut": LeaveOneGroupOut(),
    "LeavePGroupsOut": LeavePGroupsOut(5),
    "ShuffleSplit": ShuffleSplit(1, random_state=0),
    "StratifiedShuffleSplit": StratifiedShuffleSplit(1, random_state=0),
    "GroupShuffleSplit": GroupShuffleSplit(1, random_state=0),
}
MODELS = {
    "LogisticRegression": LogisticRegression(),
    "Ridge": Ridge(),
    "PoissonRegressor": PoissonRegressor(),
    "SGDClassifier": SGDClassifier("log_loss", max_iter=2),
    "MLPClassifier": MLPClassifier((2,), max_iter=1),
    "GaussianNB": GaussianNB(),
    "KMeans": KMeans(2, n_init=1, random_state=0),
    "PCA": PCA(1),
    "StandardScaler": StandardScaler(),
    "OneHotEncoder": OneHotEncoder(),
    "SimpleImputer": SimpleImputer(),
    "ColumnTransformer": ColumnTransformer([("num", StandardScaler(), [0]), ("one", OneHotEncoder(), [1])]),
    "GridSearchCV": GridSearchCV(LogisticRegression(), {"C": [1.0]}, cv=2),
    "GridSearchCV of a tree": GridSearchCV(DecisionTreeClassifier(), {"max_depth": [1]}, cv=2),
    "IncrementalSearchCV": IncrementalSearchCV(
        TheirSGDClassifier("log_loss"), {"alpha": [0.1]}, 1, max_iter=1, random_state=0
    ),
    "MatrixFactorization": MatrixFactorization(2, max_iter=1),
    "ALS": ALS(2, max_iter=1),
}
METHODS = (
    "predict",
    "predict_proba",
    "predict_log_proba",
    "predict_joint_log_proba",
    "decision_function",
    "transform",
    "score_samples",
)
SCORES = {
    "accuracy_score": (metrics.accuracy_score, Y),
    "brier_score_loss": (metrics.brier_score_loss, Y * 0.5),
    "log_loss": (metrics.log_loss, Y * 0.5 + 0.1),
    "d2_tweedie_score": (metrics.d2_tweedie_score, Y * 0.5),
    "mean_absolute_error": (metrics.mean_absolute_error, Y * 0.5),
    "mean_squared_error": (metrics.mean_squared_error, Y * 0.5),
    "r2_score": (metrics.r2_score, Y * 0.5),
    "root_mean_squared_error": (metrics.root_mean_squared_error, Y * 0.5),
}


def assert_valid(*collections):
    """Check graphs, and of arrays chunks, types and metas, as Dask does."""
    for collection in collections:
        if isinstance(collection, da.Array):
            sparse = sp.issparse(collection._meta)
            dense = collection.map_blocks(sp.csr_array.toarray, meta=np.empty((0, 0))) if sparse else collection
            assert_eq(dense, dense)
        elif isinstance(collection, (dd.DataFrame, dd.Series)):
            assert_frames_equal(collection, collection)
        else:
            collection.__dask_graph__().validate()


@cache
def fitted(name, kind):
    options = {"classes": [0, 1]} if name == "IncrementalSearchCV" else {}
    return clone(MODELS[name]).fit(INPUTS[kind], Y, **options)


@pytest.mark.parametrize("kind", INPUTS)
@pytest.mark.parametrize("name", MODELS)
def test_of_models(name, kind):
    model, checked = fitted(name, kind), 0
    for method in METHODS:
        if hasattr(model, method):
            result = getattr(model, method)(INPUTS[kind])
            assert_valid(result)
            checked += 1
    if name in ("PCA", "StandardScaler"):
        assert_valid(model.inverse_transform(model.transform(INPUTS[kind])))
    assert checked


def test_fewer_components_are_transformed_back():
    model = fitted("PCA", "dense")
    back = model.inverse_transform(model.transform(X))
    np.testing.assert_allclose(back.compute(), model.to_sklearn().inverse_transform(model.transform(ROWS)))
    with pytest.raises(ValueError, match="X has 2 columns, expected the 1 of transform"):
        model.inverse_transform(X)


@pytest.mark.parametrize("kind", ["dense", "unknown sizes"])
@pytest.mark.parametrize("name", SPLITTERS)
def test_of_splitters(name, kind):
    groups = (GROUPS,) if "Group" in name else ()
    train, test = next(iter(SPLITTERS[name].split(INPUTS[kind], Y, *groups)))
    assert_valid(*(rows for rows in (train, test) if isinstance(rows, da.Array)))


SPLITS = {
    "over all rows": {},
    "in order": {"shuffle": False},
    "by labels": {"stratify": Y},
    "within blocks": {"blockwise": True},
}


@pytest.mark.parametrize("options", SPLITS.values(), ids=SPLITS)
@pytest.mark.parametrize("kind", INPUTS)
def test_of_train_test_split(kind, options):
    random = {} if options.get("shuffle", True) is False else {"random_state": 0}
    assert_valid(*train_test_split(INPUTS[kind], Y, OTHER_Y, CODES, test_size=0.3, **random, **options))


@pytest.mark.parametrize("kind", INPUTS)
@pytest.mark.parametrize("model", [LogisticRegression(), DecisionTreeClassifier()], ids=["fused", "tasks"])
@pytest.mark.parametrize("method", ["predict", "predict_proba"])
def test_of_cross_val_predict(model, method, kind):
    assert_valid(cross_val_predict(model, INPUTS[kind], Y, cv=2, method=method))


@pytest.mark.parametrize(("score", "predictions"), SCORES.values(), ids=SCORES)
def test_of_metrics(score, predictions):
    assert_valid(score(Y, predictions, compute=False))
    assert_valid(score(OTHER_Y, predictions, sample_weight=GROUPS, compute=False))

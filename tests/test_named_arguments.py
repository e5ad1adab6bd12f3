"""Arguments of every kind of public call are refused by an error that names them, and seeds of every kind are taken."""

from __future__ import annotations

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import ClusterMixin

from daskml_kit.cluster import KMeans, MiniBatchKMeans, SpectralClustering
from daskml_kit.compose import ColumnTransformer, TransformedTargetRegressor
from daskml_kit.datasets import make_blobs, make_classification, make_ratings, make_regression
from daskml_kit.ensemble import StackingClassifier
from daskml_kit.feature_selection import f_regression
from daskml_kit.linear_model import LogisticRegression, Ridge
from daskml_kit.model_selection import (
    GridSearchCV,
    ShuffleSplit,
    compute_n_splits,
    cross_val_predict,
    cross_validate,
    learning_curve,
    permutation_test_score,
    train_test_split,
    validation_curve,
)
from daskml_kit.pipeline import FeatureUnion
from daskml_kit.preprocessing import Categorizer, DummyEncoder, KBinsDiscretizer, QuantileTransformer, TargetEncoder
from daskml_kit.recommendation import split_at_time
from daskml_kit.stat import corr, describe
from daskml_kit.wrappers import Incremental, ParallelPostFit

VALUES = np.random.default_rng(0).integers(0, 5, size=(40, 2)).astype(float)
X, Y = da.from_array(VALUES, chunks=(20, 2)), da.from_array((VALUES[:, 0] > 2).astype(int), chunks=20)
FRAME = dd.from_pandas(pd.DataFrame({"a": pd.Categorical(list("xyxy")), "b": [1.0, 2.0, 3.0, 4.0]}), npartitions=2)
PAIR = "expected a pair"


def predict_with(meta):
    return ParallelPostFit(LogisticRegression().fit(X, Y), predict_meta=meta).predict(X)


REFUSED = {
    "params": lambda: cross_validate(Ridge(), X, Y, params=3),
    "verbose": lambda: cross_validate(Ridge(), X, Y, verbose="much"),
    "error_score": lambda: cross_validate(Ridge(), X, Y, error_score="word"),
    "return_indices": lambda: cross_validate(Ridge(), X, Y, return_indices=1),
    "estimator": lambda: cross_val_predict(object(), X, Y),
    "n_permutations": lambda: permutation_test_score(Ridge(), X, Y, n_permutations=-1),
    "param_name": lambda: validation_curve(Ridge(), X, Y, param_name="bet", param_range=[1]),
    "param_range": lambda: validation_curve(Ridge(), X, Y, param_name="alpha", param_range=3),
    "train_sizes": lambda: learning_curve(Ridge(), X, Y, train_sizes=np.nan),
    "cv": lambda: compute_n_splits(-1),
    "refit": lambda: GridSearchCV(Ridge(), {"alpha": [1]}, refit=3).fit(X, Y),
    "scheduler": lambda: GridSearchCV(Ridge(), {"alpha": [1]}, scheduler="word").fit(X, Y),
    "blockwise": lambda: train_test_split(X, Y, blockwise="yes"),
    "blockwise ": lambda: next(iter(ShuffleSplit(blockwise=3).split(X))),
    "transformers": lambda: ColumnTransformer(3).fit(X),
    "transformer_list": lambda: FeatureUnion(["word"]).fit(X),
    "transformer_weights": lambda: FeatureUnion([("bins", KBinsDiscretizer())], transformer_weights=3).fit(X),
    "regressor": lambda: TransformedTargetRegressor(regressor=3).fit(X, Y),
    "transformer": lambda: TransformedTargetRegressor(Ridge(), transformer="word").fit(X, Y),
    "final_estimator": lambda: StackingClassifier([("one", LogisticRegression())], final_estimator=3).fit(X, Y),
    "tol": lambda: Incremental(MiniBatchKMeans(2), tol=-1).fit(X),
    "predict_meta": lambda: predict_with(3),
    "columns": lambda: Categorizer(columns=3).fit(FRAME),
    "drop_first": lambda: DummyEncoder(drop_first="word").fit(FRAME),
    "quantiles": lambda: describe(FRAME, quantiles=3),
    "X": lambda: corr(3.0),
    "y": lambda: f_regression(X, 3.0),
    "center": lambda: f_regression(X, Y, center="word"),
    "cut": lambda: split_at_time(pd.DataFrame({"time": [1, 2]}), "word"),
    "center_box": lambda: make_blobs(center_box=3),
    "rating_range": lambda: make_ratings(rating_range=3),
    "weights": lambda: make_classification(weights=3),
    "bias": lambda: make_regression(bias="word"),
    "sample_weight": lambda: MiniBatchKMeans(2).fit(VALUES, sample_weight=-np.ones(40)),
}


@pytest.mark.parametrize("argument", REFUSED)
def test_a_bad_value_is_refused_by_name(argument):
    with pytest.raises((TypeError, ValueError), match=rf"\b{argument.strip()}\b"):
        REFUSED[argument]()


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize(
    "kind", [KMeans, MiniBatchKMeans, SpectralClustering, KBinsDiscretizer, QuantileTransformer, TargetEncoder]
)
@pytest.mark.filterwarnings("ignore")  # of scikit-learn, of few rows and of a deprecated seed
def test_a_generator_is_a_random_state(kind, lazy):
    options = {"encode": "ordinal"} if kind is KBinsDiscretizer else {}
    options |= {"n_clusters": 2} if issubclass(kind, ClusterMixin) else {}
    data = (X, Y) if lazy else (VALUES, np.asarray(Y))
    found = []
    for _ in range(2):
        own = np.random.default_rng(3)
        model = kind(random_state=own, **options).fit(*data)
        assert model.random_state is own
        assert not isinstance(model.to_sklearn().random_state, np.random.Generator)
        found.append(np.asarray(model.labels_ if issubclass(kind, ClusterMixin) else model.transform(data[0])))
    assert_array_equal(*found)


@pytest.mark.parametrize("dtype", ["Int64", "boolean", "int64[pyarrow]"])
def test_a_target_of_nullable_type_is_encoded_by(dtype):
    labels = pd.Series([0, 1, 0, 1], dtype="int64").astype(dtype)
    encoder = TargetEncoder(smooth=0).fit(FRAME[["a"]], dd.from_pandas(labels, npartitions=2))
    assert [value.tolist() for value in encoder.encodings_] == [[0.0, 1.0]]

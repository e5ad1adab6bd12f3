"""Containers, names and routed metadata of transformers and compositions, as scikit-learn has them."""

from __future__ import annotations

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import sklearn.compose
import sklearn.linear_model
import sklearn.pipeline
import sklearn.preprocessing
from numpy.testing import assert_allclose
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

import daskml_kit.compose
import daskml_kit.linear_model
import daskml_kit.pipeline
import daskml_kit.preprocessing
from daskml_kit import decomposition, feature_extraction, feature_selection, impute, preprocessing
from daskml_kit.base import genuine_class
from daskml_kit.exceptions import DataError
from daskml_kit.feature_extraction import text
from daskml_kit.linear_model import Ridge

draw = np.random.default_rng(0)
FRAME = pd.DataFrame(draw.random((60, 4)) + 0.1, columns=list("abcd"))
TARGET = (FRAME["a"] > 0.6).astype(int)
LAZY, LAZY_TARGET = dd.from_pandas(FRAME, npartitions=3), dd.from_pandas(TARGET, npartitions=3)
TRANSFORMERS = [
    preprocessing.StandardScaler(),
    preprocessing.OrdinalEncoder(),
    preprocessing.TargetEncoder(),
    preprocessing.PolynomialFeatures(),
    impute.IterativeImputer(),
    decomposition.PCA(2),
    decomposition.NMF(2, solver="mu"),
    feature_selection.SelectKBest(k=2),
    feature_selection.SelectFromModel(Ridge()),
    daskml_kit.compose.ColumnTransformer([("scale", preprocessing.StandardScaler(), ["a", "c"])]),
    daskml_kit.pipeline.make_union(preprocessing.StandardScaler(), preprocessing.MinMaxScaler()),
]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning", "ignore:The number of unique classes")
@pytest.mark.parametrize("transformer", TRANSFORMERS, ids=lambda transformer: type(transformer).__name__)
def test_frames_of_either_library(transformer):
    model = clone(transformer).fit(LAZY, LAZY_TARGET)
    plain = model.transform(LAZY).compute()
    rows = model.set_output(transform="pandas").transform(LAZY)
    assert isinstance(rows, dd.DataFrame)
    names = list(model.get_feature_names_out())
    assert (
        list(rows.columns) == list(rows.compute().columns) == names == list(model.to_sklearn().get_feature_names_out())
    )
    assert_allclose(rows.compute(), plain)
    with sklearn.config_context(transform_output="pandas"):
        again = clone(transformer).fit(LAZY, LAZY_TARGET).transform(LAZY)
    assert_allclose(again.compute(), plain)
    polars = model.set_output(transform="polars").transform(FRAME)
    assert (type(polars).__module__.partition(".")[0], list(polars.columns)) == ("polars", names)
    with pytest.raises(DataError, match="set_output: expected 'default' or 'pandas' for Dask input, got 'polars'"):
        model.transform(LAZY)


def test_what_has_set_output_and_names_in_scikit_learn_has_them_here():
    modules = (preprocessing, impute, decomposition, feature_selection, feature_extraction, text)
    kinds = [kind for module in modules for kind in (getattr(module, name) for name in module.__all__)]
    ours = [kind for kind in kinds if isinstance(kind, type) and kind.__name__ not in ("Categorizer", "DummyEncoder")]
    assert len(ours) > 35
    for kind in ours:
        for name in ("set_output", "get_feature_names_out"):
            given = [None] if kind.__name__ in feature_selection.__all__ or kind.__name__ == "BlockTransformer" else []
            assert hasattr(kind(*given), name) == hasattr(genuine_class(kind)(*given), name), (kind, name)


WEIGHT = draw.integers(1, 4, 60).astype(float)


def compositions(kit):
    """Return compositions of a package whose parts ask for weights, each with whether it predicts."""
    scaler = kit.preprocessing.StandardScaler().set_fit_request(sample_weight=True)
    model = kit.linear_model.Ridge().set_fit_request(sample_weight=True)
    columns = kit.compose.ColumnTransformer([("scale", scaler, ["a", "b"])], remainder="passthrough")
    return [
        columns,
        kit.pipeline.FeatureUnion([("scale", scaler), ("low", kit.preprocessing.MinMaxScaler())]),
        make_pipeline(scaler, model),
        make_pipeline(columns, model),
        kit.compose.TransformedTargetRegressor(model, transformer=kit.preprocessing.StandardScaler()),
    ]


def test_metadata_is_routed_as_in_scikit_learn():
    with sklearn.config_context(enable_metadata_routing=True):
        for ours, theirs in zip(compositions(daskml_kit), compositions(sklearn), strict=True):
            method = "predict" if hasattr(theirs, "predict") else "transform"
            expected = getattr(theirs.fit(FRAME, FRAME["d"], sample_weight=WEIGHT), method)(FRAME)
            assert_allclose(getattr(clone(ours).fit(FRAME, FRAME["d"], sample_weight=WEIGHT), method)(FRAME), expected)
            weight = da.from_array(WEIGHT, chunks=20)
            first = ours[0] if isinstance(ours, sklearn.pipeline.Pipeline) else ours
            if isinstance(first, (daskml_kit.compose.ColumnTransformer, daskml_kit.pipeline.FeatureUnion)):
                with pytest.raises((DataError, TypeError), match="sample_weight"):  # not on Dask input
                    ours.fit(LAZY, LAZY["d"], sample_weight=weight)
                continue
            assert_allclose(getattr(ours.fit(LAZY, LAZY["d"], sample_weight=weight), method)(LAZY).compute(), expected)
        with pytest.raises(sklearn.exceptions.UnsetMetadataPassedError, match="sample_weight"):
            make_pipeline(preprocessing.StandardScaler(), Ridge()).fit(LAZY, LAZY["d"], sample_weight=WEIGHT)

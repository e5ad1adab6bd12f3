"""Unions of transformers, and regression on transformed targets."""

from __future__ import annotations

import warnings

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import sklearn.cluster
import sklearn.compose
import sklearn.decomposition
import sklearn.feature_selection
import sklearn.impute
import sklearn.linear_model
import sklearn.pipeline
import sklearn.preprocessing
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from daskml_kit.cluster import KMeans
from daskml_kit.compose import (
    ColumnTransformer,
    TransformedTargetRegressor,
    make_column_selector,
    make_column_transformer,
)
from daskml_kit.decomposition import PCA
from daskml_kit.engines.engine import watching
from daskml_kit.exceptions import DataError
from daskml_kit.feature_selection import SelectKBest, f_regression
from daskml_kit.impute import MissingIndicator, SimpleImputer
from daskml_kit.linear_model import Ridge
from daskml_kit.pipeline import FeatureUnion, make_union
from daskml_kit.preprocessing import (
    FunctionTransformer,
    MinMaxScaler,
    OneHotEncoder,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
    TargetEncoder,
)

theirs = sklearn.preprocessing
rng = np.random.default_rng(0)
N_ROWS = 200
FRAME = pd.DataFrame({"a": rng.normal(size=N_ROWS), "b": rng.integers(0, 5, N_ROWS) / 2})
FRAME.loc[rng.random(N_ROWS) < 0.1, "a"] = np.nan
X = FRAME.to_numpy()
Y = np.exp(rng.normal(size=N_ROWS) / 3 + X[:, 1])


def blocks(values, sizes=(50, 0, 80, 70)):
    return da.concatenate([da.from_array(part, chunks=part.shape) for part in np.split(values, np.cumsum(sizes)[:-1])])


LAYOUTS = {
    "memory": (lambda: X, X),
    "blocks": (lambda: blocks(X), X),
    "unknown sizes": (lambda: blocks(X)[blocks(X)[:, 1] > -1], X),
    "frame": (lambda: dd.from_pandas(FRAME, npartitions=3), FRAME),
}


def computed(value):
    value = value.compute() if hasattr(value, "compute") else value
    return np.asarray(value.toarray() if hasattr(value, "toarray") else value)


def union(kind, own, minimum, robust):
    filled = make_pipeline(own(), robust())
    parts = [("low", minimum()), ("filled", filled), ("none", "drop"), ("all", "passthrough")]
    return kind(parts, transformer_weights={"low": 2})


@pytest.mark.parametrize("layout", LAYOUTS)
def test_unions_are_scikit_learns_and_share_passes(layout):
    make, plain = LAYOUTS[layout]
    model = union(FeatureUnion, SimpleImputer, MinMaxScaler, RobustScaler)
    kinds = sklearn.impute.SimpleImputer, theirs.MinMaxScaler, theirs.RobustScaler
    expected = union(sklearn.pipeline.FeatureUnion, *kinds).fit(plain)
    passes = [0]
    with watching(lambda profile: passes.append(profile.passes)):
        result = model.fit_transform(make())
    assert max(passes) == (2 if layout != "memory" else 0)
    assert_allclose(computed(result), expected.transform(plain), atol=1e-12)
    assert list(model.get_feature_names_out()) == list(expected.get_feature_names_out())
    assert_allclose(model.to_sklearn().transform(plain), expected.transform(plain), atol=1e-12)
    named = model.set_output(transform="pandas").fit_transform(make())
    assert list(named.columns) == list(expected.get_feature_names_out())


NUMBERS = pd.DataFrame(np.random.default_rng(1).normal(size=(90, 4)) * [9, 5, 3, 1], columns=list("abcd")).round(1)
NUMBERS["kind"] = pd.Categorical(np.array(list("uvwxy"))[np.repeat(range(5), (30, 25, 18, 12, 5))])
TARGET = NUMBERS["b"] - NUMBERS["d"]


@pytest.mark.parametrize(
    "name", ["components", "clusters", "selected", "selected behind a scaler", "components of kinds"]
)
def test_estimators_of_numbers_take_columns_of_frames(name):
    components = sklearn.decomposition.PCA(2), PCA(2)
    encoder = (
        sklearn.preprocessing.OneHotEncoder(sparse_output=False),
        OneHotEncoder(sparse_output=False),
    )
    scaler = sklearn.preprocessing.StandardScaler(), StandardScaler()
    selector = (
        sklearn.feature_selection.SelectKBest(sklearn.feature_selection.f_regression, k=2),
        SelectKBest(f_regression, k=2),
    )
    start = NUMBERS[list("abcd")].to_numpy()[:3]
    plain, own = {
        "components": components,
        "clusters": (sklearn.cluster.KMeans(3, init=start), KMeans(3, init=start)),
        "selected": selector,
        "selected behind a scaler": tuple(map(make_pipeline, scaler, selector)),
        "components of kinds": tuple(map(make_pipeline, encoder, (sklearn.decomposition.PCA(3), PCA(3)))),
    }[name]
    columns = ["kind"] if name == "components of kinds" else list("abcd")
    rows, target = dd.from_pandas(NUMBERS, npartitions=3), dd.from_pandas(TARGET, npartitions=3)
    expected = sklearn.compose.make_column_transformer((plain, columns), (scaler[0], ["a"]))
    found = make_column_transformer((own, columns), (scaler[1], ["a"]))
    cases = [(expected, found, list(NUMBERS.columns))]
    if name != "components of kinds":
        cases.append((sklearn.pipeline.make_union(plain, scaler[0]), make_union(own, scaler[1]), columns))
    for before, after, used in cases:
        values = before.fit_transform(NUMBERS[used], TARGET)
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # such as those of scikit-learn that names are missing
            assert_allclose(after.fit_transform(rows[used], target).compute(), values, atol=1e-8)
        assert_array_equal(after.get_feature_names_out(), before.get_feature_names_out())


def test_unions_in_other_compositions():
    both = make_union(MinMaxScaler(), RobustScaler())
    assert [name for name, _ in both.transformer_list] == ["minmaxscaler", "robustscaler"]
    model = make_pipeline(SimpleImputer(), both, Ridge()).fit(blocks(X), blocks(Y))
    expected = make_pipeline(
        sklearn.impute.SimpleImputer(),
        sklearn.pipeline.make_union(theirs.MinMaxScaler(), theirs.RobustScaler()),
        sklearn.linear_model.Ridge(),
    ).fit(X, Y)
    assert_allclose(model.predict(blocks(X)).compute(), expected.predict(X), rtol=1e-6)
    columns = ColumnTransformer([("both", make_union(MinMaxScaler(), RobustScaler()), ["b"])])
    assert columns.fit_transform(dd.from_pandas(FRAME, npartitions=2)).compute().shape == (N_ROWS, 2)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("parameters", [{}, {"features": "all"}, {"sparse": True}], ids=str)
def test_indicators_are_scikit_learns(layout, parameters):
    make, plain = LAYOUTS[layout]
    model = MissingIndicator(**parameters).fit(make())
    expected = sklearn.impute.MissingIndicator(**parameters).fit(plain)
    result = model.transform(make())
    assert_array_equal(computed(result), computed(expected.transform(plain)))
    assert result.dtype == bool
    assert list(model.get_feature_names_out()) == list(expected.get_feature_names_out())


@pytest.mark.parametrize("known", [True, False])
def test_columns_are_selected_by_every_type(known):
    plain = FRAME.assign(
        size=pd.Categorical(rng.choice(["s", "l"], N_ROWS)),
        city=rng.choice(["Oslo", "Rome"], N_ROWS),
        day=pd.date_range("2026-01-01", periods=N_ROWS),
        zone=pd.date_range("2026-01-01", periods=N_ROWS, tz="Europe/Oslo"),
        count=pd.array(rng.integers(0, 4, N_ROWS), "Int64"),
        flag=rng.random(N_ROWS) < 0.5,
    )
    frame = dd.from_pandas(plain, npartitions=3)
    if not known:
        frame = frame.assign(size=frame["size"].cat.as_unknown())
    for kind in ("category", "number", "bool", "datetime", "datetimetz", "Int64"):
        selector = make_column_selector(dtype_include=kind)
        ours = ColumnTransformer([("chosen", FunctionTransformer(feature_names_out="one-to-one"), selector)])
        names = [name.removeprefix("chosen__") for name in ours.fit(frame).get_feature_names_out()]
        assert names == selector(plain) != []


TARGETS = {
    "functions": ({"func": np.log, "inverse_func": np.exp},) * 2,
    "none": ({}, {}),
    "power": ({"transformer": PowerTransformer()}, {"transformer": theirs.PowerTransformer()}),
    "quantiles": (
        {"transformer": QuantileTransformer(n_quantiles=20)},
        {"transformer": theirs.QuantileTransformer(n_quantiles=20)},
    ),
    "scikit-learn's function": ({"transformer": theirs.FunctionTransformer(np.log, np.exp)},) * 2,
}


@pytest.mark.parametrize("name", TARGETS)
def test_targets_are_transformed_and_back(name):
    ours, plain = TARGETS[name]
    rows, data = X[:, [1]], blocks(X[:, [1]])
    model = TransformedTargetRegressor(Ridge(), **ours).fit(data, blocks(Y))
    expected = sklearn.compose.TransformedTargetRegressor(sklearn.linear_model.Ridge(), **plain).fit(rows, Y)
    result = model.predict(data)
    assert isinstance(result, da.Array)
    assert_allclose(result.compute(), expected.predict(rows), rtol=1e-6)
    assert_allclose(model.predict(rows), expected.predict(rows), rtol=1e-6)
    assert_allclose(model.to_sklearn().predict(rows), expected.predict(rows), rtol=1e-6)
    assert type(model.to_sklearn().regressor_) is sklearn.linear_model.Ridge
    assert model.score(data, blocks(Y)) == pytest.approx(expected.score(rows, Y))
    assert model.n_features_in_ == 1


def test_targets_of_frames_and_of_several_columns():
    frame = dd.from_pandas(FRAME[["b"]], npartitions=3)
    model = TransformedTargetRegressor(transformer=MinMaxScaler()).fit(
        frame, dd.from_pandas(pd.Series(Y), npartitions=3)
    )
    expected = sklearn.compose.TransformedTargetRegressor(transformer=theirs.MinMaxScaler()).fit(FRAME[["b"]], Y)
    assert_allclose(model.predict(frame).compute(), expected.predict(FRAME[["b"]]))
    assert list(model.feature_names_in_) == ["b"]
    two = np.column_stack([Y, Y + 1])
    several = TransformedTargetRegressor(Ridge(), func=np.log, inverse_func=np.exp).fit(blocks(X[:, [1]]), blocks(two))
    assert several.predict(blocks(X[:, [1]])).compute().shape == two.shape


@pytest.mark.parametrize(
    ("use", "error", "message"),
    [
        (lambda: make_union(theirs.QuantileTransformer()).fit(blocks(X)), DataError, "transformer_list: 'quantile"),
        (lambda: make_union(MinMaxScaler(), n_jobs=2).fit(blocks(X)), DataError, "n_jobs: expected None on Dask"),
        (lambda: make_union(MinMaxScaler(), verbose=True).fit(blocks(X)), DataError, "verbose: expected False"),
        (lambda: MissingIndicator(features="some").fit(blocks(X)), ValueError, "The 'features' parameter"),
        (
            lambda: MissingIndicator().fit(blocks(X)).transform(da.from_array(np.full((4, 2), np.nan))).compute(),
            DataError,
            "have missing values in transform but have no missing values in fit",
        ),
        (
            lambda: TransformedTargetRegressor(transformer=theirs.StandardScaler()).fit(blocks(X), blocks(Y)),
            DataError,
            "transformer: StandardScaler cannot fit on Dask data",
        ),
        (
            lambda: TransformedTargetRegressor(func=np.log).fit(blocks(X), blocks(Y)),
            ValueError,
            "When 'func' is provided",
        ),
        (
            lambda: TransformedTargetRegressor(func=np.log, transformer=FunctionTransformer()).fit(X, blocks(Y)),
            ValueError,
            "cannot both be set",
        ),
        (
            lambda: (
                ColumnTransformer([("mean", TargetEncoder(), [1])])
                .set_output(transform="pandas")
                .fit_transform(blocks(X), blocks(Y))
            ),
            DataError,
            "set_output: expected 'default' where rows are cross-fitted",
        ),
    ],
)
def test_wrong_compositions_are_named(use, error, message):
    with pytest.raises(error, match=message):
        use()


def test_functions_that_are_no_inverse_are_warned_of():
    with pytest.warns(UserWarning, match="not strictly inverse of each other"):
        TransformedTargetRegressor(Ridge(), func=np.log, inverse_func=np.sqrt).fit(blocks(X[:, [1]]), blocks(Y))


@parametrize_with_checks([MissingIndicator(), TransformedTargetRegressor()])
def test_scikit_learns_checks(estimator, check):
    check(estimator)


def test_pandas_output_of_dask_input_stays_lazy():
    frame = dd.from_pandas(FRAME, npartitions=2)
    columns = ColumnTransformer([("low", MinMaxScaler(), ["a"])], remainder="passthrough")
    for model in (columns, make_union(MinMaxScaler()), MissingIndicator(), PowerTransformer()):
        result = model.set_output(transform="pandas").fit_transform(frame)
        assert isinstance(result, dd.DataFrame)
        assert list(result.compute().columns) == list(model.get_feature_names_out())
    with pytest.raises(DataError, match="set_output: expected 'default' where rows are cross-fitted"):
        TargetEncoder().set_output(transform="pandas").fit_transform(frame, blocks(Y))


@pytest.mark.filterwarnings("ignore:The `numpy.may_share_memory` function is not implemented:FutureWarning")
def test_rows_that_a_plain_transformer_has_read_are_warned_of():
    model = make_pipeline(sklearn.preprocessing.MinMaxScaler(), Ridge())
    with pytest.warns(UserWarning, match=r"take the class of the same name in daskml_kit, as .*preprocessing.MinMaxSc"):
        model.fit(da.from_array(X[:, [1]], chunks=70), blocks(Y))

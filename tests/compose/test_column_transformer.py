from __future__ import annotations

import pickle

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import sklearn.compose
import sklearn.impute
import sklearn.preprocessing
from distributed import Client
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import make_column_selector
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, KBinsDiscretizer, Normalizer, QuantileTransformer
from sklearn.utils.estimator_checks import parametrize_with_checks

import daskml_kit.compose
import daskml_kit.impute
import daskml_kit.preprocessing
from daskml_kit.base import DaskEstimator
from daskml_kit.compose import ColumnTransformer, make_column_transformer
from daskml_kit.composition import to_sklearn
from daskml_kit.datasets.flights import flights_path
from daskml_kit.exceptions import DataError
from daskml_kit.preprocessing import OneHotEncoder, StandardScaler

WORD = "a transformer of some columns"
EXPECTED = dict.fromkeys(  # those that scikit-learn excuses its own ColumnTransformer from
    [
        "check_estimators_empty_data_messages",
        "check_estimators_nan_inf",
        "check_estimator_sparse_array",
        "check_estimator_sparse_matrix",
        "check_fit1d",
        "check_fit2d_predict1d",
    ],
    WORD,
)


@parametrize_with_checks(
    [ColumnTransformer([("scale", StandardScaler(), [0])])], expected_failed_checks=lambda estimator: EXPECTED
)
def test_scikit_learns_checks(estimator, check):
    check(estimator)


class Theirs:
    Columns = sklearn.compose.ColumnTransformer
    Scaler = sklearn.preprocessing.StandardScaler
    OneHot = sklearn.preprocessing.OneHotEncoder
    Imputer = sklearn.impute.SimpleImputer


class Ours:
    Columns = daskml_kit.compose.ColumnTransformer
    Scaler = daskml_kit.preprocessing.StandardScaler
    OneHot = daskml_kit.preprocessing.OneHotEncoder
    Imputer = daskml_kit.impute.SimpleImputer


def table(n_rows=150):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "age": rng.normal(40, 9, n_rows),
            "city": rng.choice(["Oslo", "Rome", "Bern", "Riga"], n_rows),
            "rooms": rng.integers(1, 6, n_rows),
            "kind": rng.choice(["flat", "house"], n_rows),
            "old": rng.random(n_rows) < 0.5,
        }
    )
    frame.loc[::6, "age"] = np.nan
    frame.loc[3::9, "city"] = np.nan
    return frame


def prepare(of, numbers, words, **options):
    numeric = make_pipeline(of.Imputer(strategy="median", add_indicator=True), of.Scaler())
    text = make_pipeline(of.Imputer(strategy="most_frequent"), of.OneHot(handle_unknown="ignore", min_frequency=20))
    return of.Columns([("numbers", numeric, numbers), ("words", text, words)], **options)


SELECTORS = {
    "names": (["age", "rooms"], ["city", "kind"]),
    "positions": ([0, 2], [1, -2]),
    "slices": (slice(0, 1), slice("city", "kind")),
    "masks": ([True, False, True, False, False], [False, True, False, True, False]),
    "callables": (make_column_selector(dtype_include="number"), make_column_selector(pattern="city|kind")),
    "none": ([], ["kind"]),
}


def assert_same(ours, theirs, lazy, frame):
    result, wanted = ours.transform(lazy), theirs.transform(frame)
    got = result.compute()
    assert ours.sparse_output_ == theirs.sparse_output_
    assert list(ours.get_feature_names_out()) == list(theirs.get_feature_names_out())
    assert ours.output_indices_ == theirs.output_indices_
    assert sp.issparse(got) == sp.issparse(wanted)
    if isinstance(wanted, pd.DataFrame):
        assert isinstance(result, dd.DataFrame)
        return pd.testing.assert_frame_equal(got, wanted)
    if sp.issparse(wanted):
        got, wanted = got.toarray(), wanted.toarray()
    return pd.testing.assert_frame_equal(pd.DataFrame(got), pd.DataFrame(wanted))


@pytest.mark.filterwarnings("ignore:.*SettingWithCopy")
@pytest.mark.parametrize("remainder", ["drop", "passthrough"])
@pytest.mark.parametrize("how", SELECTORS)
def test_every_way_to_select_columns(how, remainder):
    frame = table() if how != "slices" else table().drop(columns="rooms")
    if how == "masks":
        assert len(frame.columns) == 5
    numbers, words = SELECTORS[how]
    lazy = dd.from_pandas(frame, npartitions=4)
    theirs = prepare(Theirs, numbers, words, remainder=remainder).fit(frame)
    ours = prepare(Ours, numbers, words, remainder=remainder).fit(lazy)
    assert_same(ours, theirs, lazy, frame)
    assert ours.n_features_in_ == theirs.n_features_in_


@pytest.mark.parametrize(
    "options",
    [
        {"remainder": "scale"},
        {"sparse_threshold": 0},
        {"sparse_threshold": 1.0},
        {"transformer_weights": {"one": 3.0, "two": 0.5}},
        {"verbose_feature_names_out": False},
        {"verbose_feature_names_out": "{feature_name}-{transformer_name}"},
    ],
    ids=str,
)
@pytest.mark.parametrize("output", ["default", "pandas"])
def test_options(options, output):
    frame = table().dropna()[["rooms", "city", "kind", "age"]]
    lazy = dd.from_pandas(frame, npartitions=3)

    def build(of):
        given = {**options, "remainder": of.Scaler()} if "remainder" in options else options
        words = of.OneHot(sparse_output=output == "default")
        parts = [("one", of.Scaler(), ["rooms"]), ("two", words, ["city", "kind"])]
        return of.Columns(parts, **given).set_output(transform=output)

    assert_same(build(Ours).fit(lazy), build(Theirs).fit(frame), lazy, frame)


@pytest.mark.parametrize("drop", ["first", "if_binary"])
@pytest.mark.parametrize("threshold", [0.2, 0.3, 0.35, 0.4, 0.5])
def test_the_threshold_counts_all_rows(drop, threshold):
    frame = table()[["city", "kind"]].fillna("none")
    frame.loc[20:, "city"] = "Bern"  # a dropped category: the first rows are fuller than the rest
    lazy = dd.from_pandas(frame, npartitions=5)

    def build(of):
        return of.Columns([("words", of.OneHot(drop=drop), ["city", "kind"])], sparse_threshold=threshold)

    assert_same(build(Ours).fit(lazy), build(Theirs).fit(frame), lazy, frame)


def test_other_transformers_that_learn_nothing():
    frame = table().dropna()
    lazy = dd.from_pandas(frame, npartitions=3)

    def build(of):
        union = FeatureUnion([("scaled", of.Scaler()), ("logs", FunctionTransformer(np.log1p))])
        fitted = sklearn.preprocessing.MinMaxScaler().fit(frame[["age"]])
        return of.Columns(
            [
                ("union", union, ["age", "rooms"]),
                ("unit", Normalizer(), ["age", "rooms"]),
                ("known", FrozenEstimator(fitted), ["age"]),
                ("gone", "drop", ["old"]),
                ("hashed", HashingVectorizer(n_features=4), "city"),
            ],
            remainder="drop",
            sparse_threshold=0,
        )

    ours, theirs = build(Ours).fit(lazy), build(Theirs).fit(frame)
    np.testing.assert_allclose(ours.transform(lazy).compute(), theirs.transform(frame), rtol=1e-9)
    np.testing.assert_allclose(ours.to_sklearn().transform(frame), theirs.transform(frame), rtol=1e-9)


class Centered(DaskEstimator, TransformerMixin, BaseEstimator):
    """Fits on Dask data, but not by reductions."""

    def fit(self, X, y):
        assert isinstance(X, dd.DataFrame)
        self.mean_ = dask.compute(X.mean(), y)[0].to_numpy()
        return self

    def transform(self, X):
        return X - self.mean_

    def to_sklearn(self):
        twin = sklearn.preprocessing.StandardScaler(with_std=False).fit(np.zeros((2, len(self.mean_))))
        twin.mean_ = self.mean_
        return twin


@pytest.mark.filterwarnings("ignore:X has feature names")
def test_our_transformers_that_see_the_data_themselves():
    frame = table().dropna()
    reads = []

    def read(number):
        reads.append(number)
        return frame.iloc[number * 30 : (number + 1) * 30] if number < 2 else frame.iloc[60:]

    lazy = dd.from_map(read, range(3), meta=frame[:0])
    parts = [("own", Centered(), ["age"]), ("scale", StandardScaler(), ["rooms"])]
    ours = ColumnTransformer(parts).fit(lazy, frame["old"])
    assert sorted(reads) == [0, 1, 2]
    wanted = np.stack([frame["age"] - frame["age"].mean(), sklearn.preprocessing.scale(frame["rooms"])], axis=1)
    np.testing.assert_allclose(ours.transform(lazy).compute(), wanted)
    with pytest.raises(DataError, match="'own' cannot fit on Dask data inside another"):
        ColumnTransformer([("inner", ColumnTransformer([("own", Centered(), [0])]), ["age"])]).fit(lazy)


def test_dask_arrays_dense_and_csr():
    X = np.random.default_rng(0).normal(size=(60, 4))
    X[:, 3] = np.arange(60) % 4
    lazy = da.from_array(X, chunks=(17, 3))

    def build(of):
        parts = [("scale", of.Scaler(with_mean=False), [0, 1]), ("one", of.OneHot(), [3])]
        return of.Columns(parts, remainder="passthrough")

    assert_same(build(Ours).fit(lazy), build(Theirs).fit(X), lazy, X)
    S = sp.csr_array(np.where(X > 0.6, X, 0))
    blocks = [da.from_delayed(dask.delayed(S[a : a + 20]), (20, 4), meta=S[:0]) for a in (0, 20, 40)]
    sparse = da.concatenate(blocks)

    def plain(of):
        return of.Columns([("scale", of.Scaler(with_mean=False), [0, 1])], remainder="passthrough")

    assert_same(plain(Ours).fit(sparse), plain(Theirs).fit(S), sparse, S)


def test_a_column_transformer_in_another_and_in_a_pipeline():
    frame = table()
    lazy = dd.from_pandas(frame, npartitions=3)

    def build(of):
        inner = prepare(of, ["age"], ["city"], remainder="passthrough")
        parts = [("inner", inner, ["age", "city", "rooms"]), ("one", of.OneHot(), ["kind"])]
        return Pipeline([("columns", of.Columns(parts, sparse_threshold=0)), ("again", of.Scaler())])

    ours, theirs = build(Ours).fit(lazy), build(Theirs).fit(frame)
    np.testing.assert_allclose(ours.transform(lazy).compute(), theirs.transform(frame), rtol=1e-9, atol=1e-12)
    twin = pickle.loads(pickle.dumps(to_sklearn(ours)))
    np.testing.assert_allclose(twin.transform(frame), theirs.transform(frame), rtol=1e-9, atol=1e-12)


def test_the_twin_is_scikit_learns_own_without_a_trace_of_dask():
    frame = table().drop(columns="old").assign(floor=3)
    ours = prepare(Ours, *SELECTORS["names"], remainder=Ours.Imputer(strategy="constant"))
    ours.fit(dd.from_pandas(frame, npartitions=3))
    for fitted in (ours, prepare(Ours, *SELECTORS["callables"]).fit(frame)):
        twin = fitted.to_sklearn()
        pickled = pickle.dumps(twin)
        assert b"dask" not in pickled
        assert type(twin) is sklearn.compose.ColumnTransformer
        assert type(twin.named_transformers_["numbers"][0]) is sklearn.impute.SimpleImputer
        assert not isinstance(twin.transformers[0][1], FrozenEstimator)
        result, wanted = pickle.loads(pickled).transform(frame), fitted.transform(frame)
        np.testing.assert_array_equal(np.asarray(result), np.asarray(wanted))
    assert type(ours.named_transformers_["numbers"][1]) is StandardScaler
    ours.set_params(remainder="drop").fit(frame)  # and it fits in memory after


@pytest.mark.parametrize("numbers", [1, 2])
def test_the_source_is_read_once(numbers):
    frame, reads = table(), []

    def read(number):
        reads.append(number)
        return frame.iloc[number * 50 : (number + 1) * 50]

    lazy = dd.from_map(read, range(3), meta=frame[:0])
    steps = [Ours.Imputer(strategy="mean"), Ours.Scaler()][:numbers]
    parts = [("numbers", make_pipeline(*steps), ["age", "rooms"]), ("words", Ours.OneHot(), ["city", "kind"])]
    Ours.Columns(parts).fit(lazy)
    assert sorted(reads) == [0, 1, 2]


def refuse(block):
    raise AssertionError("computed")


def test_transform_computes_nothing_and_the_callers_frame_stays():
    frame = table()
    before = frame.copy()
    lazy = dd.from_pandas(frame, npartitions=3)
    ours = prepare(Ours, ["age"], ["city"], remainder="passthrough").fit(lazy)
    trap = ours.transform(lazy.map_partitions(refuse, meta=frame[:0]))
    with pytest.raises(AssertionError, match="computed"):
        trap.compute()
    ours.transform(lazy.persist()).compute()
    pd.testing.assert_frame_equal(frame, before)


def test_other_columns_at_transform():
    frame = table()
    lazy = dd.from_pandas(frame, npartitions=3)
    ours, theirs = prepare(Ours, ["age"], ["city"]).fit(lazy), prepare(Theirs, ["age"], ["city"]).fit(frame)
    more = frame.assign(new=1)[["new", "city", "age"]]
    assert_same(ours, theirs, dd.from_pandas(more, npartitions=2), more)
    with pytest.raises(ValueError, match=r"columns are missing: \{'city'\}"):
        ours.transform(lazy[["age", "rooms"]])


def test_what_cannot_be_is_named():
    lazy = dd.from_pandas(table(), npartitions=3)
    for name, transformer in {"bins": KBinsDiscretizer(), "deep": make_pipeline(QuantileTransformer())}.items():
        with pytest.raises(DataError, match=f"'{name}' .* cannot fit on Dask data"):
            ColumnTransformer([(name, transformer, ["rooms"])]).fit(lazy)
    with pytest.raises(TypeError, match="'odd'"):
        ColumnTransformer([("odd", object(), ["rooms"])]).fit(lazy)
    with pytest.raises(ValueError, match="nowhere"):
        ColumnTransformer([("gone", StandardScaler(), ["nowhere"])]).fit(lazy)
    with pytest.raises(DataError, match=r"'city' \(str\) in block \d"):
        ColumnTransformer([("scale", StandardScaler(), ["city"])]).fit(lazy)
    with pytest.raises(DataError, match="n_jobs"):
        ColumnTransformer([("scale", StandardScaler(), ["rooms"])], n_jobs=2).fit(lazy)
    with pytest.raises(DataError, match="verbose"):
        ColumnTransformer([("scale", StandardScaler(), ["rooms"])], verbose=True).fit(lazy)
    with pytest.raises(DataError, match="n_jobs"):
        ColumnTransformer([("scale", StandardScaler(), ["rooms"])], n_jobs=1).fit(table()).transform(lazy)
    with pytest.raises(ValueError, match="not unique"):
        ColumnTransformer([("scale", StandardScaler(), ["rooms"]), ("scale", StandardScaler(), ["age"])]).fit(lazy)


def test_made_by_name():
    named = make_column_transformer((StandardScaler(), ["age"]), (OneHotEncoder(), ["kind"]), sparse_threshold=0.1)
    assert isinstance(named, ColumnTransformer)
    assert [name for name, _, _ in named.transformers] == ["standardscaler", "onehotencoder"]
    assert named.sparse_threshold == 0.1


@pytest.fixture(scope="module")
def flights() -> pd.DataFrame:
    return pd.read_csv(flights_path())


NUMBERS, WORDS = ["dep_time", "sched_dep_time", "distance", "air_time"], ["carrier", "origin", "dest", "tailnum"]


@pytest.mark.slow
def test_flights(flights):
    lazy = dd.from_pandas(flights, npartitions=7)
    theirs = prepare(Theirs, NUMBERS, WORDS).fit(flights)
    ours = prepare(Ours, NUMBERS, WORDS).fit(lazy)
    assert list(ours.get_feature_names_out()) == list(theirs.get_feature_names_out())
    assert abs(ours.transform(lazy).compute() - theirs.transform(flights)).max() < 1e-9


@pytest.mark.slow
def test_flights_on_the_cluster(flights, client: Client):
    flights = flights[NUMBERS + WORDS].head(60_000)
    lazy = dd.from_pandas(flights, npartitions=9)
    theirs = prepare(Theirs, NUMBERS, WORDS).fit(flights)
    ours = prepare(Ours, NUMBERS, WORDS).fit(lazy)
    assert list(ours.get_feature_names_out()) == list(theirs.get_feature_names_out())
    assert abs(ours.transform(lazy).compute() - theirs.transform(flights)).max() < 1e-9


@pytest.mark.parametrize("other", [StandardScaler(), OneHotEncoder()], ids=["dense", "sparse"])
def test_encodings_by_a_target_are_cross_fitted(other):
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({"x": draw.integers(0, 3, 400), "city": draw.integers(0, 90, 400)})
    lazy, noise = dd.from_pandas(frame, npartitions=3), da.from_array(draw.normal(size=400), chunks=130)
    encoder = daskml_kit.preprocessing.TargetEncoder(random_state=1)
    alone = encoder.fit_transform(lazy[["city"]], noise).compute()
    parts = [("mean", encoder, ["city"]), ("other", other, ["x"])]
    model = ColumnTransformer(parts, sparse_threshold=1.0, transformer_weights={"mean": 2.0})
    crossed, plain = model.fit_transform(lazy, noise).compute(), model.transform(lazy).compute()
    assert sp.issparse(crossed) == isinstance(other, OneHotEncoder)
    crossed, plain = (rows.toarray() if sp.issparse(rows) else rows for rows in (crossed, plain))
    np.testing.assert_allclose(crossed[:, :1], 2 * alone)
    np.testing.assert_array_equal(crossed[:, 1:], plain[:, 1:])
    assert (
        abs(np.corrcoef(crossed[:, 0], noise.compute())[0, 1]) < 0.2 < np.corrcoef(plain[:, 0], noise.compute())[0, 1]
    )
    inside = ColumnTransformer([("mean", make_pipeline(encoder, StandardScaler()), ["city"])])
    found = inside.fit_transform(lazy, noise).compute()
    assert abs(np.corrcoef(found[:, 0], alone[:, 0])[0, 1]) > 0.999

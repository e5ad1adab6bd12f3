"""The table of column-wise transformers: a row each, and what every row is put through."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import sklearn.preprocessing
from numpy.testing import assert_allclose
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from daskml_kit import preprocessing as ours
from daskml_kit.engines.engine import watching
from daskml_kit.exceptions import DataError
from daskml_kit.linear_model import Ridge
from daskml_kit.model_selection import GridSearchCV
from daskml_kit.reductions import quantiles

theirs = sklearn.preprocessing
rng = np.random.default_rng(0)
N_ROWS = 240
X = np.column_stack([rng.normal(size=N_ROWS), rng.gamma(2, 50, N_ROWS), rng.integers(1, 9, N_ROWS) / 4])
X[:, 2] += 1
Y = X @ [1.0, 0.01, -1.0] + rng.normal(size=N_ROWS)
WEIGHT = rng.integers(0, 3, N_ROWS).astype(float)


@dataclass
class Row:
    """A class by its name, its parameters, and what it takes."""

    kind: str
    parameters: dict[str, Any]
    attributes: tuple[str, ...] = ()
    passes: int = 1
    missing: bool = True
    sparse: bool = False
    weighted: bool = False
    absorbed: bool = False
    """Whether a search makes it part of the model."""
    inverse: bool = True

    def ours(self):
        return getattr(ours, self.kind)(**self.parameters)

    def theirs(self):
        return getattr(theirs, self.kind)(**self.parameters)


SCALER = ("scale_", "n_samples_seen_")
TABLE = {
    "MinMaxScaler": Row("MinMaxScaler", {"feature_range": (-1, 2)}, ("min_", *SCALER, "data_range_"), absorbed=True),
    "MinMaxScaler, clipped": Row("MinMaxScaler", {"clip": True}, ("data_min_", "data_max_")),
    "MaxAbsScaler": Row("MaxAbsScaler", {}, ("max_abs_", *SCALER), sparse=True, absorbed=True),
    "RobustScaler": Row("RobustScaler", {"unit_variance": True}, ("center_", "scale_"), absorbed=True),
    "RobustScaler, not centered": Row(
        "RobustScaler", {"with_centering": False, "quantile_range": (60, 95.5)}, ("scale_",), sparse=True, absorbed=True
    ),
    "Normalizer": Row("Normalizer", {"norm": "l1"}, passes=0, missing=False, sparse=True),
    "Binarizer": Row("Binarizer", {"threshold": 1.5}, passes=0, missing=False, sparse=True),
    "PolynomialFeatures": Row("PolynomialFeatures", {"degree": (1, 3)}, ("powers_",), 0, missing=False, sparse=True),
    "FunctionTransformer": Row("FunctionTransformer", {"func": np.abs}, passes=0, sparse=True),
    "OrdinalEncoder": Row("OrdinalEncoder", {"encoded_missing_value": -1}),
    "OrdinalEncoder, grouped": Row("OrdinalEncoder", {"max_categories": 4, "encoded_missing_value": -1}, inverse=False),
    "QuantileTransformer": Row(
        "QuantileTransformer", {"n_quantiles": 50}, ("quantiles_", "references_", "n_quantiles_"), sparse=True
    ),
    "QuantileTransformer, all rows": Row(
        "QuantileTransformer",
        {"n_quantiles": 50, "subsample": None, "output_distribution": "normal"},
        ("quantiles_",),
        sparse=True,
    ),
    "KBinsDiscretizer": Row("KBinsDiscretizer", {"strategy": "kmeans"}, ("n_bins_",), missing=False, weighted=True),
    "KBinsDiscretizer, all rows": Row("KBinsDiscretizer", {"subsample": None}, ("n_bins_",), missing=False),
    "KBinsDiscretizer, equal widths": Row(
        "KBinsDiscretizer",
        {"subsample": None, "strategy": "uniform", "encode": "ordinal", "n_bins": [2, 3, 4]},
        missing=False,
        weighted=True,
    ),
    "PowerTransformer": Row("PowerTransformer", {}, ("lambdas_",)),
    "SplineTransformer": Row("SplineTransformer", {"handle_missing": "zeros"}, ("n_features_out_",), weighted=True),
    "SplineTransformer, quantiles": Row(
        "SplineTransformer", {"knots": "quantile", "sparse_output": True, "extrapolation": "linear"}, missing=False
    ),
}
if "handle_missing" not in theirs.SplineTransformer().get_params():  # before scikit-learn 1.9
    TABLE["SplineTransformer"] = Row("SplineTransformer", {}, missing=False, weighted=True)
ROWS = pytest.mark.parametrize("row", TABLE.values(), ids=TABLE)


def blocks(values, sizes=(70, 0, 100, 70)):
    return da.concatenate([da.from_array(part, chunks=part.shape) for part in np.split(values, np.cumsum(sizes)[:-1])])


def csr(values):
    return blocks(values).map_blocks(sp.csr_array, meta=sp.csr_array((0, 0)))


LAYOUTS = {
    "uneven blocks": blocks,
    "unknown sizes": lambda X: blocks(X)[blocks(X)[:, 2] > -99],
    "blocks of columns": lambda X: da.from_array(X, chunks=(64, 2)),
    "frame": lambda X: dd.from_pandas(pd.DataFrame(X, columns=list("abc")), npartitions=3),
}


def dense(value):
    value = value.compute() if hasattr(value, "compute") else value
    return np.asarray(value.toarray() if sp.issparse(value) else value)


def assert_same(model, expected, row, data, plain, rtol=1e-7):
    for name in row.attributes:
        assert_allclose(getattr(model, name), getattr(expected, name), rtol=rtol, err_msg=name)
    result, wanted = model.transform(data), expected.transform(plain)
    if isinstance(result, da.Array):
        assert result.dtype == wanted.dtype
        found = result.compute()
        assert type(found) is type(wanted) or found.format == "csr"
    assert_allclose(dense(result), dense(wanted), rtol=rtol, atol=rtol)
    if row.inverse and hasattr(expected, "inverse_transform") and not sp.issparse(plain):
        assert_allclose(
            dense(model.inverse_transform(result)), dense(expected.inverse_transform(wanted)), rtol=1e-6, atol=1e-5
        )


@pytest.mark.parametrize("layout", LAYOUTS)
@ROWS
def test_agreement_on_every_layout(row, layout):
    data, passes = LAYOUTS[layout](X), [0]
    with watching(lambda profile: passes.append(profile.passes)):
        model = row.ours().fit(data)
    assert max(passes) == row.passes
    assert_same(model, row.theirs().fit(X), row, data, X)
    assert type(model.to_sklearn()) is type(row.theirs())


@ROWS
def test_single_precision_missing_values_weights_and_sparse_blocks(row):
    single = X.astype(np.float32)
    assert_same(row.ours().fit(blocks(single)), row.theirs().fit(single), row, blocks(single), single, rtol=1e-4)
    hollow = np.where(rng.random(X.shape) < 0.1, np.nan, X)
    if row.missing:
        assert_same(row.ours().fit(blocks(hollow)), row.theirs().fit(hollow), row, blocks(hollow), hollow)
    elif row.passes:
        with pytest.raises(DataError, match="contains NaN in block"):
            row.ours().fit(blocks(hollow))
    if row.weighted:
        weighted = row.ours().fit(blocks(X), sample_weight=blocks(WEIGHT))
        assert_same(weighted, row.theirs().fit(X, sample_weight=WEIGHT), row, blocks(X), X)
    if row.sparse:
        some = np.where(X > 1.4, X, 0)
        plain = sp.csr_array(some)
        assert_same(row.ours().fit(csr(some)), row.theirs().fit(plain), row, csr(some), plain)


@ROWS
def test_a_frame_with_pandas_output_has_names(row):
    if row.kind in ("FunctionTransformer",) or row.parameters.get("sparse_output") or "discretizer" in row.kind:
        return
    if row.kind == "KBinsDiscretizer" and "encode" not in row.parameters:
        return
    frame = LAYOUTS["frame"](X)
    model = row.ours().set_output(transform="pandas")
    result = model.fit_transform(frame)
    assert list(result.columns) == list(row.theirs().fit(frame.compute()).get_feature_names_out())
    pd.testing.assert_index_equal(result.compute().columns, result.columns)


@pytest.mark.parametrize("name", [name for name, row in TABLE.items() if row.absorbed])
def test_searches_make_scalers_part_of_the_model(name):
    row, cv = TABLE[name], KFold(3)
    found = GridSearchCV(make_pipeline(row.ours(), Ridge()), {"ridge__alpha": [0.1, 30.0]}, cv=cv).fit(blocks(X), Y)
    expected = sklearn.model_selection.GridSearchCV(
        make_pipeline(row.theirs(), sklearn.linear_model.Ridge()), {"ridge__alpha": [0.1, 30.0]}, cv=cv
    ).fit(X, Y)
    assert found.plan_.alone == {}
    assert_allclose(found.cv_results_["mean_test_score"], expected.cv_results_["mean_test_score"], rtol=1e-6)


@pytest.mark.filterwarnings("ignore:n_quantiles", "ignore:Can't check dok")
@parametrize_with_checks(
    [row.ours() for name, row in TABLE.items() if "," not in name and row.kind != "KBinsDiscretizer"]
)
def test_scikit_learns_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("name", ["MinMaxScaler", "MaxAbsScaler"])
def test_fits_of_parts_go_on(name):
    row, data = TABLE[name], blocks(X)
    model = row.ours().partial_fit(data[:100]).partial_fit(X[100:150]).partial_fit(data[150:])
    assert_same(model, row.theirs().fit(X), row, data, X)
    with pytest.raises(ValueError, match="X has 2 features, but"):
        model.partial_fit(data[:, :2])


def test_more_rows_than_a_power_is_sampled_from(monkeypatch):
    from daskml_kit.preprocessing import power

    rows = np.column_stack([np.exp(rng.normal(size=3000)), rng.gamma(3, 1, 3000), np.full(3000, 4.0)])
    monkeypatch.setattr(power, "SAMPLE", 500)
    for method, columns in (("yeo-johnson", [0, 1, 2]), ("box-cox", [0, 1])):
        passes = []
        plain = rows[:, columns] - (2 if method == "yeo-johnson" else 0)
        with watching(lambda profile, passes=passes: passes.append(profile.passes)):
            model = ours.PowerTransformer(method=method).fit(blocks(plain, (1000, 0, 2000)))
        expected = theirs.PowerTransformer(method=method).fit(plain)
        assert max(passes) <= 5
        assert_allclose(model.lambdas_, expected.lambdas_, atol=1e-6)
        assert_allclose(model.transform(plain), expected.transform(plain), atol=1e-6)
    with pytest.raises(DataError, match=r"strictly positive data, and column 1 of X has -"):
        ours.PowerTransformer(method="box-cox").fit(blocks(rows[:, :2] - [0, 9], (1000, 0, 2000)))


def test_a_sample_of_rows_does_not_depend_on_workers_and_is_of_all_blocks():
    rows = np.arange(4000.0)[:, None]
    model = ours.QuantileTransformer(n_quantiles=5, subsample=1000, random_state=3)
    first = model.fit(blocks(rows, (1500, 500, 2000))).quantiles_.copy()
    assert_allclose(first.ravel(), [0, 1000, 2000, 3000, 4000], atol=150)
    assert_allclose(model.fit(blocks(rows, (1500, 500, 2000))).quantiles_, first, rtol=0)
    assert (model.set_params(random_state=4).fit(blocks(rows, (1500, 500, 2000))).quantiles_ != first).any()


def test_functions_of_blocks():
    frame = LAYOUTS["frame"](X)
    rounded = clone(ours.BlockTransformer(np.round, decimals=1)).fit_transform(frame)
    pd.testing.assert_frame_equal(rounded.compute(), frame.compute().round(1))
    assert ours.BlockTransformer(np.round, decimals=1).set_params(decimals=2).fit_transform(blocks(X)).compute()[
        0, 0
    ] == round(X[0, 0], 2)
    with pytest.raises(DataError, match="expected some to try func on"):
        ours.FunctionTransformer(np.abs).fit(blocks(X)[:0])


MIXED = pd.DataFrame(
    {
        "nullable": pd.array([1, None, 3, 4], "Int64"),
        "arrow": pd.array([1.5, 2.5, None, 4], "double[pyarrow]"),
        "flag": [True, False, True, True],
        "category": pd.Categorical(["x", "y", "x", "z"]),
        "zone": pd.date_range("2026-01-01", periods=4, tz="Europe/Oslo"),
        "day": pd.date_range("2026-01-01", periods=4),
        "text": ["a", "b", None, "a"],
    }
)


@pytest.mark.parametrize(
    "kind", ["StandardScaler", "MinMaxScaler", "RobustScaler", "QuantileTransformer", "Normalizer"]
)
def test_columns_of_all_types_are_numbers_or_named(kind):
    frame = dd.from_pandas(MIXED, npartitions=2)
    parameters = {"n_quantiles": 2} if kind == "QuantileTransformer" else {}
    numbers = ["nullable", "arrow", "flag"] if kind != "Normalizer" else ["flag"]
    plain = MIXED[numbers].astype(float).to_numpy(na_value=np.nan)
    model = getattr(ours, kind)(**parameters).fit(frame[numbers])
    expected = getattr(theirs, kind)(**parameters).fit(plain)
    assert_allclose(model.transform(frame[numbers]).compute(), expected.transform(plain))
    for name in ("category", "zone", "day", "text"):
        with pytest.raises(DataError, match=f"X: expected numeric columns, got '{name}'"):
            getattr(ours, kind)(**parameters).fit(frame[["flag", name]])


def test_encoding_of_columns_of_all_types():
    frame = dd.from_pandas(MIXED, npartitions=2)
    found = ours.OrdinalEncoder(encoded_missing_value=-1).fit(frame)
    assert [len(categories) for categories in found.categories_] == [4, 4, 2, 3, 4, 4, 3]
    assert_allclose(found.transform(frame).compute()[:, 3], [0, 1, 0, 2])


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (ours.MinMaxScaler((1, 1)), "Minimum of desired feature range must be smaller"),
        (ours.MinMaxScaler(copy=False), "copy=False is not possible on Dask data"),
        (ours.RobustScaler(quantile_range=(90, 10)), "quantile_range: expected two from 0 to 100, got .90, 10."),
        (ours.Normalizer("l3"), "The 'norm' parameter of Normalizer"),
        (ours.QuantileTransformer(n_quantiles=0), "n_quantiles: expected an integer of at least 1, got 0"),
        (ours.QuantileTransformer(subsample="all"), "subsample: expected an integer of at least 1, got 'all'"),
        (
            ours.QuantileTransformer(subsample=None, ignore_implicit_zeros=True),
            "ignore_implicit_zeros: expected False where subsample=None",
        ),
        (ours.KBinsDiscretizer(subsample=None, strategy="kmeans"), "strategy: expected one of"),
        (ours.KBinsDiscretizer([2, 2, 2], subsample=None), "n_bins: expected an integer where subsample=None"),
        (ours.KBinsDiscretizer(subsample=None, quantile_method="hazen"), "quantile_method: expected one of"),
        (ours.SplineTransformer(n_knots=1), "n_knots: expected an integer of at least 2, got 1"),
        (ours.PowerTransformer("log"), "method: expected one of"),
        (ours.OrdinalEncoder(min_frequency=-1), "The 'min_frequency' parameter of OrdinalEncoder"),
        (ours.OrdinalEncoder(unknown_value=3), "unknown_value should only be set when handle_unknown"),
    ],
    ids=str,
)
def test_wrong_parameters_are_named(model, message):
    with pytest.raises((ValueError, TypeError), match=message):
        model.fit(blocks(X))
    assert not [name for name in vars(model) if name.endswith("_") and not name.startswith("_")]
    if not isinstance(model, ours.Normalizer):
        with pytest.raises(NotFittedError):
            model.transform(blocks(X))


def test_weights_that_cannot_be_used_are_refused():
    for model in (ours.KBinsDiscretizer(subsample=None), ours.SplineTransformer(knots="quantile")):
        with pytest.raises(ValueError, match="sample_weight: not supported"):
            model.fit(blocks(X), sample_weight=WEIGHT)
    with pytest.raises(TypeError, match="sample_weight not possible on Dask input"):
        ours.RobustScaler().fit(blocks(X), sample_weight=WEIGHT)


def test_exact_quantiles_of_more_rows_than_a_sample_holds(monkeypatch):
    monkeypatch.setattr(quantiles, "SAMPLE", 300)
    monkeypatch.setattr(quantiles, "SAMPLED_LIMIT", 1024)
    draw = np.random.default_rng(0)
    rows = np.column_stack([draw.normal(size=20_000), np.round(draw.normal(size=20_000), 1), np.full(20_000, 7.0)])
    rows[:9_000, 1] = -50.0  # in order: blocks are not alike
    rows[draw.random(20_000) < 0.5, 2] = np.nan
    data, passes = blocks(rows, (2_000, 0, 8_000, 10_000)), []
    with watching(lambda profile: passes.append(profile.passes)):
        model = ours.RobustScaler(quantile_range=(10, 99)).fit(data)
    expected = theirs.RobustScaler(quantile_range=(10, 99)).fit(rows)
    assert_allclose(model.center_, expected.center_, rtol=1e-12)
    assert_allclose(model.scale_, expected.scale_, rtol=1e-12)
    assert 2 <= max(passes) <= 4
    monkeypatch.setattr(quantiles, "DEVIATIONS", 0.01)  # brackets that miss
    assert_allclose(ours.RobustScaler(quantile_range=(10, 99)).fit(data).scale_, expected.scale_, rtol=1e-12)
    monkeypatch.setattr(quantiles, "TOTAL_LIMIT", 900)
    monkeypatch.setattr(quantiles, "LEAST_LIMIT", 300)
    with pytest.raises(DataError, match="1000 exact quantiles of each column need more values"):
        ours.QuantileTransformer(subsample=None).fit(data)

"""Targets and weights of any pandas type are what scikit-learn takes them for."""

from __future__ import annotations

import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import sklearn.linear_model
from numpy.testing import assert_allclose, assert_array_equal

from daskml_kit.exceptions import DataError
from daskml_kit.linear_model import LinearRegression, LogisticRegression, Ridge

NUMBERS = ("int64", "Int64", "float64", "Float64", "int64[pyarrow]", "double[pyarrow]")
LABELS = (*NUMBERS, "bool", "boolean", "bool[pyarrow]", "string", "str", "string[pyarrow]", "category", "object")


def table():
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({"a": draw.normal(size=90), "b": draw.normal(size=90)})
    return frame, (frame["a"] + draw.normal(size=90) > 0).rename("t")


def on_dask(*parts):
    return [dd.from_pandas(part, npartitions=3) for part in parts]


@pytest.mark.parametrize("dtype", LABELS)
def test_labels(dtype):
    frame, late = table()
    texts = dtype.startswith("str") or dtype in ("category", "object")
    target = (late.map({True: "late", False: "no"}) if texts else late).astype(dtype)
    model = LogisticRegression().fit(*on_dask(frame.convert_dtypes(), target))
    expected = sklearn.linear_model.LogisticRegression(tol=1e-8).fit(frame, target)
    assert_array_equal(model.classes_, expected.classes_)
    assert model.classes_.dtype == expected.classes_.dtype
    assert_allclose(model.coef_, expected.coef_, rtol=1e-4)
    assert_array_equal(model.predict(on_dask(frame)[0]).compute(), expected.predict(frame))


@pytest.mark.parametrize("dtype", NUMBERS)
def test_numbers_and_weights(dtype):
    frame, late = table()
    target, weight = (part.astype(dtype) for part in (late.astype("int64"), pd.Series(np.arange(90) % 4)))
    X, y, sample_weight = on_dask(frame, target, weight)
    expected = sklearn.linear_model.Ridge().fit(frame, target.astype(float), sample_weight=weight.astype(float))
    assert_allclose(Ridge().fit(X, y, sample_weight=sample_weight).coef_, expected.coef_, rtol=1e-8)


@pytest.mark.parametrize("dtype", ["Int64", "boolean", "int64[pyarrow]"])
def test_missing_targets_are_told(dtype):
    frame, late = table()
    target = late.astype(dtype)
    target[40] = pd.NA
    with pytest.raises(DataError, match=r"y contains NaN.* block 1, row 10"):
        LogisticRegression().fit(*on_dask(frame, target))


@pytest.mark.parametrize("model", [LinearRegression(), Ridge(), LogisticRegression()], ids=str)
def test_negative_weights_are_told(model):
    frame, late = table()
    weight = pd.Series(np.where(np.arange(90) < 3, -1.0, 1.0))
    X, y, sample_weight = on_dask(frame, late.astype(int), weight)
    with pytest.raises(DataError, match="Negative values in data passed to `sample_weight`: block 0"):
        model.fit(X, y, sample_weight=sample_weight)

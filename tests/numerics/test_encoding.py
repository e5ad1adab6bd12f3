"""Blocks transformed by the distinct values of their columns, against scikit-learn's own transform."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import sklearn
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from sklearn.compose import ColumnTransformer
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from daskml_kit.numerics import encoding
from daskml_kit.numerics.encoding import transform_rows

KINDS = {
    "strings": lambda v: pd.Series([f"c{i}" for i in v], dtype="str"),
    "objects": lambda v: pd.Series([f"c{i}" for i in v], dtype=object),
    "objects with None": lambda v: pd.Series([None if i == 2 else f"c{i}" for i in v], dtype=object),
    "categories": lambda v: pd.Series(pd.Categorical.from_codes(v, ["z", "y", "x", "w", "v", "u"])),
    "categories, some missing": lambda v: pd.Series(pd.Categorical.from_codes(np.array(v) - 1, list("edcba"))),
    "categories of integers": lambda v: pd.Series(pd.Categorical.from_codes(v, [9, 7, 8, 1, 2, 3])),
    "integers": lambda v: pd.Series(v, dtype="int64"),
    "floats, some missing": lambda v: pd.Series([np.nan if i == 1 else float(i) for i in v]),
    "booleans": lambda v: pd.Series([i > 2 for i in v]),
}


def outcome(transform):
    try:
        return transform()
    except ValueError as error:
        return re.sub(r"(np\.float64\(nan\))(, \1)+", r"\1", str(error))  # scikit-learn names each NaN of floats


def assert_same(found, expected):
    if isinstance(expected, str):  # an error, which names categories in the order of a set
        assert sorted(found) == sorted(expected)
        return
    assert isinstance(found, type(expected))
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    assert_array_equal(found.toarray(), expected.toarray())
    assert found.has_canonical_format


@settings(deadline=None)
@given(
    kinds=st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=3),
    seen=st.lists(st.integers(0, 4), min_size=1, max_size=12),
    others=st.lists(st.integers(0, 5), min_size=1, max_size=12),
    options=st.fixed_dictionaries(
        {
            "handle_unknown": st.sampled_from(["error", "ignore", "infrequent_if_exist"]),
            "drop": st.sampled_from([None, "first", "if_binary"]),
            "min_frequency": st.sampled_from([None, 2, 0.3]),
            "max_categories": st.sampled_from([None, 2]),
            "dtype": st.sampled_from([np.float64, np.float32]),
        }
    ),
)
@pytest.mark.filterwarnings("ignore:Found unknown categories")
def test_encoded_rows_are_scikit_learns(kinds, seen, others, options):
    names = [f"x{j}" for j in range(len(kinds))]
    frame, block = (
        pd.concat([KINDS[kind](values) for kind in kinds], axis=1).set_axis(names, axis=1) for values in (seen, others)
    )
    encoder = OneHotEncoder(**options).fit(frame)
    assert_same(outcome(lambda: transform_rows(encoder, block)), outcome(lambda: encoder.transform(block)))


def made_frame():
    draw = np.random.default_rng(0)
    city = pd.Categorical.from_codes(draw.integers(0, 3, 50), ["Oslo", "Rome", "Bonn"])
    return pd.DataFrame({"wind": draw.normal(size=50), "city": city, "rain": draw.integers(0, 9, 50), "no": "no"})


@pytest.mark.parametrize("remainder", ["drop", "passthrough"])
@pytest.mark.parametrize("threshold", [0.0, 1.0])
@pytest.mark.parametrize("options", [{}, {"transformer_weights": {"one": 2.0}}], ids=str)
def test_columns_side_by_side_are_scikit_learns(remainder, threshold, options):
    frame = made_frame().drop(columns="no" if remainder == "passthrough" else [])
    parts = [("one", OneHotEncoder(dtype=np.float32), ["city"]), ("number", StandardScaler(), ["wind"])]
    model = ColumnTransformer(parts, remainder=remainder, sparse_threshold=threshold, **options).fit(frame)
    found, expected = transform_rows(model, frame), model.transform(frame)
    if sp.issparse(expected):
        assert_same(found, expected)
    else:
        assert_array_equal(found, expected)
    with sklearn.config_context(transform_output="pandas"):
        assert isinstance(transform_rows(ColumnTransformer(parts[1:]).fit(frame), frame), pd.DataFrame)


def test_columns_in_another_order_are_found_by_name():
    frame = made_frame()
    parts = [("one", OneHotEncoder(), ["city"]), ("number", StandardScaler(), ["wind"])]
    model = ColumnTransformer(parts, sparse_threshold=1.0).fit(frame)
    assert_same(transform_rows(model, frame[frame.columns[::-1]]), model.transform(frame))
    with pytest.raises(ValueError, match="columns are missing"):
        transform_rows(model, frame[["wind"]])


def test_words_are_looked_up_without_the_transformer(monkeypatch):
    frame = pd.concat([made_frame()[["city"]]] * 20)
    encoder = OneHotEncoder().fit(frame)
    expected = encoder.transform(frame)
    monkeypatch.setattr(OneHotEncoder, "transform", None)
    assert_same(encoding.transform_rows(encoder, frame), expected)


@pytest.mark.parametrize("n_parts", [1, 2])
def test_one_hot_parts_alone_are_looked_up_too(monkeypatch, n_parts):
    frame = pd.DataFrame({"sky": pd.Categorical(["gray", "blue", "gray"]), "town": ["Oslo", "Rome", "Rome"]})
    parts = [("sky", OneHotEncoder(), ["sky"]), ("town", OneHotEncoder(), ["town"])][:n_parts]
    model = ColumnTransformer(parts, sparse_threshold=1).fit(frame)
    expected = model.transform(frame)
    monkeypatch.setattr(ColumnTransformer, "transform", None)
    assert_same(transform_rows(model, frame), expected)

"""Columns of every type that a data frame may have: scikit-learn's values, or an error that names the column."""

from __future__ import annotations

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import sklearn.impute
import sklearn.preprocessing
from numpy.testing import assert_allclose
from sklearn.experimental import enable_iterative_imputer  # noqa: F401

import daskml_kit.impute
import daskml_kit.preprocessing
from daskml_kit.preprocessing import KBinsDiscretizer

N_ROWS = 24
NUMBERS = np.arange(N_ROWS) % 5
WORDS = np.array(["a", "b", "c"])[NUMBERS % 3]
GAPS = [None if number == 0 else int(number) for number in NUMBERS]
COLUMNS = {
    "Int64": pd.array(NUMBERS, "Int64"),
    "Int64 with gaps": pd.array(GAPS, "Int64"),
    "Float64 with gaps": pd.array(GAPS, "Float64"),
    "boolean": pd.array(NUMBERS > 2, "boolean"),
    "Arrow integers": pd.array(NUMBERS.tolist(), pd.ArrowDtype(pa.int64())),
    "Arrow numbers with gaps": pd.array(GAPS, pd.ArrowDtype(pa.float64())),
    "Arrow strings": pd.array(WORDS.tolist(), pd.ArrowDtype(pa.string())),
    "categories": pd.Categorical(WORDS),
    "categories of numbers": pd.Categorical(NUMBERS),
    "time zone": pd.date_range("2024-01-01", periods=N_ROWS, tz="Europe/Oslo"),
    "times": pd.date_range("2024-01-01", periods=N_ROWS),
    "durations": pd.to_timedelta(NUMBERS, unit="h"),
    "strings": pd.Series(WORDS, dtype=object),
}
TRANSFORMERS = {
    "StandardScaler": {},
    "QuantileTransformer": {"n_quantiles": 5},
    "PolynomialFeatures": {},
    "OneHotEncoder": {"sparse_output": False},
    "OrdinalEncoder": {},
    "SimpleImputer": {"strategy": "most_frequent"},
    "IterativeImputer": {},
    "MissingIndicator": {"features": "all"},
}


def result(transformer, frame):
    """Return the transformed rows as objects, or the message of the error."""
    try:
        rows = transformer.fit(frame).transform(frame)
        return np.asarray(rows.compute() if hasattr(rows, "compute") else rows, object)
    except (TypeError, ValueError) as error:
        return str(error)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", COLUMNS)
def test_columns_of_every_type(kind):
    frame = pd.DataFrame({"plain": np.linspace(1, 9, N_ROWS), "other": COLUMNS[kind]})
    for name, options in TRANSFORMERS.items():
        module = "impute" if hasattr(daskml_kit.impute, name) else "preprocessing"
        ours = getattr(getattr(daskml_kit, module), name)(**options)
        theirs = getattr(getattr(sklearn, module), name)(**options)
        found, expected = result(ours, dd.from_pandas(frame, npartitions=2)), result(theirs, frame)
        if isinstance(found, str):
            refused = isinstance(expected, str) or (kind == "categories of numbers" and name == "PolynomialFeatures")
            assert refused, (name, found)
            assert "'other'" in found or "Input X contains NaN." in found, (name, found)
            continue
        gone = pd.isna(expected)
        np.testing.assert_array_equal(pd.isna(found), gone, err_msg=name)
        if not all(isinstance(value, (bool, int, float, np.generic)) for value in expected[~gone]):
            assert found[~gone].tolist() == expected[~gone].tolist(), name
        else:
            assert_allclose(found[~gone].astype(float), expected[~gone].astype(float), rtol=1e-9, err_msg=name)


def test_missing_and_infinite_values_are_told_by_column():
    for value, word in ((np.nan, "NaN"), (np.inf, "infinity or a value too large")):
        rows = np.ones((6, 3))
        rows[4, 1] = value
        frame = dd.from_pandas(pd.DataFrame(rows, columns=["a", "b", "c"]), npartitions=2)
        for data, column in ((frame, "'b'"), (da.from_array(rows, chunks=3), "1")):
            with pytest.raises(ValueError, match=f"Input X contains {word} in block 1, column {column}"):
                KBinsDiscretizer().fit(data)

from __future__ import annotations

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

from daskml_kit.exceptions import DataError
from daskml_kit.preprocessing import Categorizer, DummyEncoder

FRAME = pd.DataFrame(
    {
        "city": ["Rome", "Oslo", None, "Rome", "Bonn", "Oslo"],
        "wind": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
        "code": [3, 1, 1, 2, 3, 1],
        "size": pd.Categorical(["s", "l", "s", None, "l", "s"], categories=["s", "m", "l"], ordered=True),
    }
)


def lazy(frame=FRAME):
    return dd.from_pandas(frame, npartitions=3)


@pytest.mark.parametrize("make", [lambda: FRAME, lazy], ids=["pandas", "Dask"])
def test_categories_of_all_rows(make):
    model = Categorizer().fit(make())
    assert list(model.columns_) == ["city", "size"]
    assert model.categories_["city"].categories.tolist() == ["Bonn", "Oslo", "Rome"]
    assert model.categories_["size"] == FRAME["size"].dtype
    found = model.transform(lazy()).compute()
    assert found["city"].astype(object).fillna("").tolist() == FRAME["city"].fillna("").tolist()
    assert Categorizer(columns=["code"]).fit(make()).categories_["code"].categories.tolist() == [1, 2, 3]
    known = pd.CategoricalDtype(["Rome"])
    only = clone(Categorizer(categories={"city": known}, columns=["city"])).fit_transform(make())
    assert only.dtypes["city"] == known
    assert make_pipeline(Categorizer(), DummyEncoder()).fit(make()).transform(make()).shape[1] == 8


@pytest.mark.parametrize("drop_first", [False, True])
def test_dummies_are_those_of_pandas_and_go_back(drop_first):
    plain = Categorizer().fit_transform(FRAME)
    model = DummyEncoder(drop_first=drop_first).fit(lazy(plain))
    found = model.transform(lazy(plain))
    expected = pd.get_dummies(plain, drop_first=drop_first)
    assert list(found.columns) == list(model.transformed_columns_) == list(expected.columns)
    pd.testing.assert_frame_equal(found.compute(), expected)
    back = plain if not drop_first else plain.fillna({"city": "Bonn", "size": "s"})
    pd.testing.assert_frame_equal(model.inverse_transform(found).compute(), back)
    values = da.from_array(expected.to_numpy(np.float64), chunks=(4, 8))
    pd.testing.assert_frame_equal(model.inverse_transform(values).compute()[["city"]], back[["city"]])
    pd.testing.assert_frame_equal(model.transform(plain), expected)
    assert DummyEncoder(columns=["city"]).fit(lazy(plain)).transform(lazy(plain)).compute()["size"].dtype == "category"


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda: Categorizer().fit(FRAME.to_numpy()), "X: expected a pandas or Dask DataFrame, got ndarray"),
        (lambda: Categorizer(columns=["town"]).fit(lazy()), "columns: expected columns of the frame, got .'town'."),
        (lambda: Categorizer({"city": ["Rome"]}).fit(lazy()), "categories: expected a CategoricalDtype for 'city'"),
        (lambda: DummyEncoder(columns=["city"]).fit(lazy()), "X: expected a categorical column .* got 'city'"),
        (
            lambda: DummyEncoder().fit(lazy(FRAME[["size"]])).transform(lazy(FRAME[["size"]].astype(object))),
            "X: expected CategoricalDtype",
        ),
        (
            lambda: DummyEncoder().fit(lazy(FRAME[["size"]])).transform(lazy(FRAME[["wind"]])),
            "X: expected the columns .'size'., got .'wind'.",
        ),
        (
            lambda: DummyEncoder().fit(lazy(FRAME[["code"]]).astype("category")),
            "with known categories, got 'code'",
        ),
    ],
)
def test_wrong_frames_are_named(use, message):
    with pytest.raises((DataError, ValueError), match=message):
        use()

"""Rows of Arrow streams, Spark and xarray."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pandas as pd
import polars as pl
import pytest
import xarray as xr
from sklearn.pipeline import make_pipeline

from daskml_kit.cluster import KMeans
from daskml_kit.compose import make_column_transformer
from daskml_kit.exceptions import DataError
from daskml_kit.interchange import from_arrow, from_spark, from_xarray, to_xarray
from daskml_kit.linear_model import LogisticRegression
from daskml_kit.model_selection import GridSearchCV, cross_val_predict
from daskml_kit.preprocessing import OneHotEncoder, StandardScaler


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    a = rng.normal(size=300)
    town = rng.choice(["Ulm", "Bonn"], 300)
    return pl.DataFrame({"a": a, "b": rng.normal(size=300), "town": town, "y": ((a > 0) | (town == "Ulm")) * 1})


@pytest.mark.parametrize("stream", [lambda t: t, pl.DataFrame.to_arrow, lambda t: t.to_arrow().to_reader(50)])
def test_arrow_streams_become_partitions(rows, stream):
    frame = from_arrow(stream(rows), npartitions=4)
    assert [len(part) for part in frame.partitions] == [75, 75, 75, 75]
    pd.testing.assert_frame_equal(frame.compute().reset_index(drop=True), rows.to_pandas(), check_dtype=False)
    prepare = make_column_transformer((StandardScaler(), ["a", "b"]), (OneHotEncoder(), ["town"]))
    model = make_pipeline(prepare, LogisticRegression()).fit(frame, frame["y"])
    expected = make_pipeline(prepare, LogisticRegression()).fit(rows.to_pandas(), rows["y"].to_numpy())
    np.testing.assert_allclose(model[-1].coef_, expected[-1].coef_, atol=1e-6)


def test_categories_and_empty_tables_are_kept(rows):
    frame = from_arrow(rows.with_columns(pl.col("town").cast(pl.Categorical)), npartitions=2)
    assert isinstance(frame["town"].compute().dtype, pd.CategoricalDtype)
    assert len(from_arrow(rows.clear())) == 0
    for wrong in ([1], pl.DataFrame(), 3):
        with pytest.raises(DataError, match="source"):
            from_arrow(wrong)
    with pytest.raises(ValueError, match="npartitions"):
        from_arrow(rows, npartitions=0)


@pytest.mark.parametrize("kind", ["polars", "arrow"])
def test_searches_take_frames_of_other_libraries(rows, kind):
    X, y = rows[["a", "b"]], rows["y"]
    if kind == "arrow":
        X, y = X.to_arrow(), y.to_arrow()
    expected = GridSearchCV(LogisticRegression(), {"C": [0.1, 1]}, cv=3).fit(rows[["a", "b"]].to_pandas(), np.array(y))
    search = GridSearchCV(LogisticRegression(), {"C": [0.1, 1]}, cv=3).fit(X, y)
    np.testing.assert_array_equal(search.cv_results_["mean_test_score"], expected.cv_results_["mean_test_score"])
    assert search.feature_names_in_.tolist() == ["a", "b"]
    assert cross_val_predict(LogisticRegression(), X, y, cv=3).shape == (300,)


@pytest.mark.parametrize("lazy", [True, False])
def test_pixels_of_an_image_are_clustered_where_they_are(lazy):
    values = np.random.default_rng(0).normal(size=(3, 6, 8)) + np.where(np.arange(8) < 4, 0, 20)
    data = da.from_array(values, chunks=(1, 3, 8)) if lazy else values
    image = xr.DataArray(data, dims=("band", "y", "x"), coords={"x": np.arange(8) * 10, "band": [1, 2, 3]})
    X = from_xarray(image, ["y", "x"])
    np.testing.assert_array_equal(X.compute(), values.reshape(3, 48).T)
    labels = KMeans(2, random_state=0, n_init=1).fit(X).predict(X)
    mapped = to_xarray(labels, image, ["y", "x"], name="cluster")
    assert (mapped.dims, mapped.name, list(mapped.coords)) == (("y", "x"), "cluster", ["x"])
    assert mapped.chunks is not None
    assert (mapped.sel(x=0) != mapped.sel(x=70)).all()
    assert from_xarray(image[0], ["x", "y"]).shape == (48,)
    assert to_xarray(X, image, ["y", "x"]).dims == ("y", "x", "output")


def test_wrong_arrays_are_named():
    image = xr.DataArray(np.zeros((2, 3)), dims=("y", "x"))
    for dim in ("z", [], ["x", "x"]):
        with pytest.raises(DataError, match="sample_dim: expected dimensions of"):
            from_xarray(image, dim)
    with pytest.raises(DataError, match="array: expected an xarray DataArray"):
        from_xarray(np.zeros(3), "x")
    with pytest.raises(DataError, match="values: expected results for 3 samples"):
        to_xarray(np.zeros(2), image, "x")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_rows_of_spark_are_read_without_the_driver(tmp_path):
    sql = pytest.importorskip(
        "pyspark.sql", reason="Spark is no dependency of the tests: pip install pyspark, and Java"
    )
    session = sql.SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").getOrCreate()
    try:
        spark = session.range(1_000).selectExpr("id", "id % 7 as a", "cast(id % 7 > 2 as int) as y").repartition(3)
        frame = from_spark(spark, tmp_path / "rows")
    finally:
        session.stop()
    assert frame.npartitions == 3
    assert sorted(frame["id"].compute()) == list(range(1_000))
    assert LogisticRegression(C=1e4).fit(frame[["a"]], frame["y"]).score(frame[["a"]], frame["y"]) == 1

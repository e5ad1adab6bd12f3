"""Rows of any numeric type, order of bytes and layout give the fit of the same rows as float64."""

from __future__ import annotations

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import sklearn.linear_model
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.pipeline import Pipeline, make_pipeline

from daskml_kit.cluster import BisectingKMeans, KMeans, MiniBatchKMeans
from daskml_kit.decomposition import PCA
from daskml_kit.exceptions import DataError
from daskml_kit.feature_selection import VarianceThreshold
from daskml_kit.linear_model import (
    LinearRegression,
    LinearSVC,
    LogisticRegression,
    Ridge,
    RidgeClassifier,
    SGDClassifier,
)
from daskml_kit.mixture import GaussianMixture
from daskml_kit.model_selection import GridSearchCV
from daskml_kit.naive_bayes import GaussianNB
from daskml_kit.neighbors import NearestCentroid
from daskml_kit.preprocessing import (
    Categorizer,
    DummyEncoder,
    LabelBinarizer,
    MaxAbsScaler,
    OneHotEncoder,
    OrdinalEncoder,
    StandardScaler,
)
from daskml_kit.recommendation import ALS, MatrixFactorization

ROWS = np.random.default_rng(0).integers(0, 120, size=(150, 4))
LABELS = (ROWS[:, 0] + ROWS[:, 2] > 110).astype(int)
SGD = {"max_iter": 2, "tol": None, "random_state": 0}


def in_blocks(values):
    return da.from_array(values, chunks=(50, *values.shape[1:]))


LAYOUTS = {
    "memory": lambda rows: rows,
    "blocks": in_blocks,
    "sparse blocks": lambda rows: in_blocks(rows).map_blocks(sp.csr_array),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["i1", "u8"])
@pytest.mark.parametrize("kind", [KMeans, BisectingKMeans, MiniBatchKMeans])
def test_clusters_of_whole_numbers(kind, dtype, layout):
    lay = LAYOUTS[layout]
    expected = kind(3, random_state=0).fit(lay(ROWS.astype(float)))
    found = kind(3, random_state=0).fit(lay(ROWS.astype(dtype)))
    assert_allclose(found.cluster_centers_, expected.cluster_centers_, rtol=1e-9)
    assert_allclose(found.inertia_, expected.inertia_, rtol=1e-9)


@pytest.mark.parametrize(
    ("last", "grid"),
    [(KMeans(3, random_state=0), {"kmeans__tol": [1e-4]}), (GaussianNB(), {"gaussiannb__var_smoothing": [0.1]})],
)
@pytest.mark.parametrize("first", [StandardScaler(), PCA(2)])
def test_searches_behind_a_transformer_of_whole_numbers(first, last, grid):
    search = GridSearchCV(make_pipeline(first, last), grid, cv=3, error_score="raise")
    expected, found = (
        search.fit(in_blocks(ROWS.astype(kind)), in_blocks(LABELS)).cv_results_["mean_test_score"]
        for kind in (float, "i1")
    )
    assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("solver", ["full", "randomized"])
def test_components_of_sparse_rows_in_memory_as_on_dask_whatever_the_solver(solver):
    rows, sparse = ROWS.astype(float), sp.csr_array(ROWS.astype(float))
    expected = PCA(2, svd_solver="full").fit(rows)
    for X in (sparse, in_blocks(rows).map_blocks(sp.csr_array)):
        model = PCA(2, svd_solver=solver).fit(X)
        assert_allclose(model.components_, expected.components_, atol=1e-9)
    assert_allclose(model.transform(sparse), expected.transform(rows), atol=1e-6)
    assert_allclose(model.to_sklearn().transform(sparse), expected.transform(rows), atol=1e-6)


LARGE = ROWS * np.array([1.0, 1e160, 1.0, 1.0])
"""Rows with values whose squares are infinite."""


@pytest.mark.parametrize(
    "model",
    [
        StandardScaler(),
        GaussianNB(),
        NearestCentroid(),
        GaussianMixture(covariance_type="diag"),
        LinearRegression(positive=True),
        make_pipeline(MaxAbsScaler(), StandardScaler(), GaussianNB()),
    ],
    ids=lambda model: type(model).__name__,
)
def test_squares_that_overflow_are_refused_by_name(model):
    X, y = in_blocks(LARGE), in_blocks(LABELS)
    if isinstance(model, Pipeline):
        assert model.fit(X, y).score(X, y) > 0.5  # divided, as the message says
        return
    with pytest.raises(DataError, match=r"^X(, y)?: values are so large that their squares overflow float64: divide"):
        model.fit(X, y)


def test_squares_that_overflow_where_they_are_not_needed():
    X, y = in_blocks(LARGE), in_blocks(LABELS)
    for intercept in (False, True):
        ours = LinearRegression(fit_intercept=intercept).fit(X, y)
        theirs = sklearn.linear_model.LinearRegression(fit_intercept=intercept).fit(LARGE, LABELS)
        assert_allclose(ours.predict(X), theirs.predict(LARGE), rtol=1e-6)
    assert_allclose(StandardScaler(with_std=False).fit(X).mean_, LARGE.mean(axis=0))
    assert VarianceThreshold(0.5).fit(X).get_support().all()


@pytest.mark.parametrize("lay", [LAYOUTS["memory"], in_blocks])
@pytest.mark.parametrize("model", [LogisticRegression(), LinearSVC(), RidgeClassifier(), SGDClassifier(**SGD)])
def test_big_endian_rows_labels_and_weights(model, lay):
    weight = np.linspace(1, 2, len(ROWS))
    expected = model.fit(lay(ROWS.astype("f8")), lay(LABELS), sample_weight=lay(weight)).coef_
    big = (ROWS.astype(">f8"), LABELS.astype(">i4")), {"sample_weight": lay(weight.astype(">f8"))}
    assert_allclose(model.fit(*map(lay, big[0]), **big[1]).coef_, expected, rtol=1e-9)


@pytest.mark.parametrize("lay", [in_blocks, lambda rows: dd.from_dask_array(in_blocks(rows), columns=list("abcd"))])
@pytest.mark.parametrize("encoder", [OneHotEncoder(sparse_output=False), OrdinalEncoder()])
def test_big_endian_categories(encoder, lay):
    codes = ROWS % 3
    encoder.fit(lay(codes.astype(">i4")))
    assert_array_equal(np.stack(encoder.categories_), [[0, 1, 2]] * 4)
    assert_array_equal(*dask.compute(encoder.transform(lay(codes.astype(">i4"))), encoder.transform(lay(codes))))


@pytest.mark.parametrize("model", [Ridge(), GaussianNB()])
def test_a_list_of_targets_beside_rows_on_dask(model):
    expected = model.fit(in_blocks(ROWS), in_blocks(LABELS)).score(in_blocks(ROWS), in_blocks(LABELS))
    found = model.fit(in_blocks(ROWS), LABELS.tolist(), sample_weight=[1.0] * len(ROWS))
    assert found.score(in_blocks(ROWS), in_blocks(LABELS)) == pytest.approx(expected)


TIMES = pd.DataFrame({"t": pd.date_range("2020-03-28", periods=6, freq="12h", tz="Europe/Berlin"), "x": range(6)})


def test_times_are_categories_and_no_numbers():
    frame = dd.from_pandas(TIMES, npartitions=2)
    assert_array_equal(dask.compute(OrdinalEncoder().fit_transform(frame[["t"]]))[0][:, 0], np.arange(6))
    with pytest.raises(DataError, match="X: expected numeric columns, got 't'"):
        StandardScaler().fit(frame)
    with pytest.raises(DataError, match=r"X: expected numbers, got dtype datetime64\[s\] in block 0"):
        Ridge().fit(in_blocks(ROWS.astype("M8[s]")), in_blocks(LABELS))
    for y, what in (
        (in_blocks(ROWS[:6, 0].astype(complex)), "complex numbers"),
        (TIMES["t"].dt.tz_localize(None), "times"),
    ):
        with pytest.raises(DataError, match=f"y: expected numbers or labels, got {what}"):
            Ridge().fit(frame[["x"]], dd.from_pandas(y, npartitions=2) if isinstance(y, pd.Series) else y)


@pytest.mark.parametrize("model", [Ridge(), StandardScaler(), OrdinalEncoder(), Categorizer(), DummyEncoder()])
def test_two_columns_of_one_name_are_refused(model):
    frame = dd.from_pandas(pd.DataFrame(ROWS, columns=list("abca")), npartitions=2)
    with pytest.raises(DataError, match="X: expected columns of different names, got 'a' more than once"):
        model.fit(frame, LABELS)


def test_big_endian_and_nullable_ids_of_ratings():
    users = pd.DataFrame(ROWS[:, :2] % 8, columns=["user", "item"])
    ratings, big = LABELS.astype(float), in_blocks(users.to_numpy().astype(">i4"))
    found = ALS(2, max_iter=2, random_state=0).fit(big, in_blocks(ratings.astype(">f8")))
    expected = ALS(2, max_iter=2, random_state=0).fit(in_blocks(users.to_numpy()), in_blocks(ratings))
    assert_array_equal(found.item_factors_, expected.item_factors_)
    nullable = dd.from_pandas(users.astype("Int64"), npartitions=3)
    model = MatrixFactorization(2, max_iter=1, random_state=0).fit(nullable, in_blocks(ratings))
    assert_array_equal(model.predict(nullable), model.predict(in_blocks(users.to_numpy())))


def test_labels_that_cannot_be_transformed_leave_the_last_fit():
    encoder = LabelBinarizer().fit(in_blocks(LABELS))
    classes = encoder.classes_
    with pytest.raises(ValueError, match="y: expected one or two dimensions, got 3"):
        encoder.fit_transform(in_blocks(ROWS[:, :, None]))
    assert encoder.classes_ is classes

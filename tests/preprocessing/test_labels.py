from __future__ import annotations

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import sklearn.preprocessing
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from daskml_kit.exceptions import DataError
from daskml_kit.linear_model import Ridge
from daskml_kit.preprocessing import LabelBinarizer, LabelEncoder, MultiLabelBinarizer, TargetEncoder

theirs = sklearn.preprocessing
rng = np.random.default_rng(0)
N_ROWS = 200
CODES = rng.integers(5, 8, N_ROWS)
LABELS = {
    "strings": rng.choice(["ash", "birch", "cedar"], N_ROWS),
    "numbers": CODES,
    "two": np.where(CODES > 6, "x", "y"),
    "one": np.full(N_ROWS, 3),
}
FRAME = pd.DataFrame(
    {
        "tree": rng.choice(list("abcd"), N_ROWS),
        "code": rng.integers(0, 5, N_ROWS),
        "rare": np.where(rng.random(N_ROWS) < 0.1, np.nan, rng.integers(0, 4, N_ROWS)),
    }
)
NUMBERS = (FRAME["code"] + rng.normal(size=N_ROWS)).to_numpy()


def blocks(values, sizes=(50, 0, 80, 70)):
    return da.concatenate([da.from_array(part, chunks=part.shape) for part in np.split(values, np.cumsum(sizes)[:-1])])


LAYOUTS = {
    "memory": lambda y: y,
    "blocks": blocks,
    "unknown sizes": lambda y: blocks(y)[blocks(CODES) > 0],
    "Series": lambda y: dd.from_pandas(pd.Series(y), npartitions=3),
}
ENCODERS = {
    "LabelEncoder": (LabelEncoder(), theirs.LabelEncoder()),
    "LabelBinarizer": (LabelBinarizer(neg_label=-1), theirs.LabelBinarizer(neg_label=-1)),
    "LabelBinarizer, sparse": (LabelBinarizer(sparse_output=True), theirs.LabelBinarizer(sparse_output=True)),
}


def dense(value):
    return np.asarray(value.toarray() if sp.issparse(value) else value)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("name", ENCODERS)
def test_labels_are_encoded_as_by_scikit_learn(name, labels, layout):
    model, expected = ENCODERS[name]
    y = LABELS[labels]
    data = LAYOUTS[layout](y)
    wanted = expected.fit_transform(y)
    result = model.fit_transform(data)
    found, back = dask.compute(result, model.inverse_transform(result))
    assert_array_equal(model.classes_, expected.classes_)
    assert_array_equal(dense(found), dense(wanted))
    assert (type(found), found.dtype) == (type(wanted), wanted.dtype)
    assert_array_equal(back, y)
    assert type(model.to_sklearn()) is type(expected)
    if layout != "memory":
        assert isinstance(result, da.Array)
        assert result.dtype == wanted.dtype


def test_indicators_and_collections_of_labels():
    rows = (rng.random((N_ROWS, 3)) < 0.3).astype(int)
    model = LabelBinarizer().fit(blocks(rows))
    assert_array_equal(model.transform(blocks(rows)).compute(), rows)
    assert_array_equal(model.inverse_transform(blocks(rows)).compute(), rows)
    plain = pd.Series([["a"], ["b", "c"], [], ["a", "c"]] * 5)
    with dask.config.set({"dataframe.convert-string": False}):
        series = dd.from_pandas(plain, npartitions=3)
    for options in ({}, {"sparse_output": True}, {"classes": ["c", "b", "a"]}):
        several, expected = MultiLabelBinarizer(**options), theirs.MultiLabelBinarizer(**options).fit(plain)
        found = several.fit_transform(series)
        assert_array_equal(dense(found.compute()), dense(expected.transform(plain)))
        assert several.inverse_transform(found).compute().tolist() == expected.inverse_transform(
            expected.transform(plain)
        )


@pytest.mark.parametrize(
    ("use", "error", "message"),
    [
        (lambda: LabelEncoder().fit(blocks(np.eye(N_ROWS))), DataError, r"y should be a 1d array, got Array of shape"),
        (lambda: LabelEncoder().transform(blocks(CODES)), NotFittedError, "not fitted yet"),
        (
            lambda: LabelEncoder().fit(blocks(CODES)).transform(blocks(CODES + 9)).compute(),
            DataError,
            "previously unseen labels",
        ),
        (lambda: LabelBinarizer(neg_label=2).fit(blocks(CODES)), ValueError, "neg_label=2 must be strictly less"),
        (lambda: MultiLabelBinarizer().fit(blocks(CODES)), DataError, "y: expected a collection of labels in each row"),
        (lambda: TargetEncoder().fit(blocks(np.eye(N_ROWS))), ValueError, "requires y to be passed"),
        (lambda: TargetEncoder(cv=1).fit_transform(blocks(CODES[:, None]), NUMBERS), ValueError, "cv: expected"),
        (
            lambda: TargetEncoder(target_type="binary").fit(blocks(CODES[:, None]), CODES),
            DataError,
            "y: expected two labels for target_type='binary', got 3",
        ),
        (
            lambda: TargetEncoder(target_type="binary").fit(blocks(CODES[:, None]), NUMBERS),
            DataError,
            "y: expected labels for target_type='binary', got numbers with fractions",
        ),
        (lambda: TargetEncoder(smooth=-1).fit(blocks(CODES[:, None]), NUMBERS), ValueError, "'smooth' parameter"),
    ],
)
def test_wrong_labels_are_refused(use, error, message):
    with pytest.raises(error, match=message):
        use()


@pytest.mark.parametrize(
    ("target", "smooth"), [("numbers", "auto"), ("numbers", 7.0), ("strings", "auto"), ("two", 7.0), ("codes", 0.0)]
)
def test_encodings_by_the_target_are_scikit_learns(target, smooth):
    y = NUMBERS if target == "numbers" else CODES if target == "codes" else LABELS[target]
    expected = theirs.TargetEncoder(smooth=smooth).fit(FRAME, y)
    frame = dd.from_pandas(FRAME, npartitions=2)
    for data in (y, blocks(y)) if target == "numbers" else (blocks(y),):
        model = TargetEncoder(smooth=smooth).fit(frame, data)
        assert model.target_type_ == expected.target_type_
        for found, wanted in zip(model.encodings_, expected.encodings_, strict=True):
            assert_allclose(found, wanted, rtol=1e-9)
        assert_allclose(model.target_mean_, expected.target_mean_)
        assert_array_equal(model.classes_, expected.classes_)
        assert_allclose(model.transform(frame).compute(), expected.transform(FRAME), rtol=1e-9)
        assert list(model.get_feature_names_out()) == list(expected.get_feature_names_out())


def test_rows_are_encoded_by_other_folds():
    pairs, noise = blocks(np.arange(N_ROWS)[:, None] // 4), rng.normal(size=N_ROWS)
    model = TargetEncoder(random_state=1)
    apart, again = model.fit_transform(pairs, blocks(noise)), model.fit_transform(pairs, blocks(noise))
    leaking = model.transform(pairs).compute()[:, 0]
    assert np.corrcoef(leaking, noise)[0, 1] > 0.4
    assert np.corrcoef(apart.compute()[:, 0], noise)[0, 1] < 0.2
    assert_array_equal(apart.compute(), again.compute())
    pipeline = make_pipeline(TargetEncoder(), Ridge()).fit(pairs, blocks(noise))
    assert pipeline.predict(pairs).compute().shape == (N_ROWS,)


@pytest.mark.filterwarnings("ignore:The number of unique classes", "ignore:`TargetEncoder.shuffle`")
@parametrize_with_checks([TargetEncoder()])
def test_scikit_learns_checks(estimator, check):
    check(estimator)


def test_scores_are_decoded_at_a_threshold():
    y = np.array(["a", "b", "a"])
    binarizer, twin = LabelBinarizer().fit(da.from_array(y, chunks=2)), sklearn.preprocessing.LabelBinarizer().fit(y)
    scores = np.array([[0.2], [0.35], [0.9]])
    for threshold in (None, 0.3):
        found = binarizer.inverse_transform(da.from_array(scores, chunks=2), threshold)
        np.testing.assert_array_equal(found, twin.inverse_transform(scores, threshold))
        np.testing.assert_array_equal(binarizer.inverse_transform(scores, threshold), found)


def test_labels_of_an_iterator_are_read_once():
    assert MultiLabelBinarizer().fit_transform(iter([(1, 2), (3,)])).tolist() == [[1, 1, 0], [0, 0, 1]]

"""Voting ensembles of a model for each block, against scikit-learn's of the same models."""

from __future__ import annotations

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.tree import DecisionTreeClassifier

from daskml_kit.ensemble import BlockwiseVotingClassifier, BlockwiseVotingRegressor
from daskml_kit.exceptions import DataError

rng = np.random.default_rng(0)
X = rng.normal(size=(600, 3))
LABELS = np.where(X[:, 0] > 0.8, "high", np.where(X[:, 1] > 0, "mid", "low"))
WEIGHT = rng.uniform(0.5, 2, 600)
SIZES = (200, 0, 300, 100)
CUTS = np.cumsum(SIZES)[:-1]


def blocks(values):
    return da.concatenate([da.from_array(part, chunks=part.shape) for part in np.split(values, CUTS)])


def one_by_one(model, y, weight=None):
    parts = zip(np.split(X, CUTS), np.split(y, CUTS), np.split(WEIGHT, CUTS), strict=True)
    return [
        type(model)(**model.get_params()).fit(part, target, None if weight is None else weights)
        for part, target, weights in parts
        if len(part)
    ]


def test_classifiers_vote():
    inner = LogisticRegression()
    models = one_by_one(inner, LABELS)
    soft = BlockwiseVotingClassifier(inner, voting="soft").fit(blocks(X), blocks(LABELS))
    expected = np.mean([model.predict_proba(X) for model in models], axis=0)
    assert_allclose(soft.predict_proba(blocks(X)).compute(), expected)
    assert_array_equal(soft.predict(X), soft.classes_[expected.argmax(axis=1)])
    hard = BlockwiseVotingClassifier(inner).fit(blocks(X), LABELS, sample_weight=WEIGHT)
    votes = np.stack([model.predict(X) for model in one_by_one(inner, LABELS, WEIGHT)])
    most = [max(sorted(set(row)), key=list(row).count) for row in votes.T]
    assert_array_equal(hard.predict(blocks(X)).compute(), most)
    assert hard.score(blocks(X), blocks(LABELS)) == np.mean(most == LABELS)
    assert not hasattr(hard, "predict_proba")
    frame = dd.from_pandas(pd.DataFrame(X, columns=list("abc")), npartitions=3)
    on_frames = BlockwiseVotingClassifier(inner, "soft").fit(frame, dd.from_pandas(pd.Series(LABELS), npartitions=3))
    assert on_frames.predict_proba(frame).compute().shape == (600, 3)


class Taught(DecisionTreeClassifier):
    """A tree that insists on being told of all classes."""

    def fit(self, X, y, classes):
        return super().fit(X, y)


def test_a_block_may_lack_a_label():
    y = LABELS.copy()
    y[:200][y[:200] == "high"] = "mid"
    model = BlockwiseVotingClassifier(DecisionTreeClassifier(random_state=0), "soft").fit(blocks(X), blocks(y))
    assert model.classes_.tolist() == ["high", "low", "mid"]
    assert_allclose(model.predict_proba(X).sum(axis=1), 1)
    given = BlockwiseVotingClassifier(DecisionTreeClassifier(), classes=["high", "low", "mid", "none"])
    assert given.fit(blocks(X), blocks(y)).classes_.tolist() == ["high", "low", "mid", "none"]
    taught = BlockwiseVotingClassifier(Taught()).fit(blocks(X), blocks(y), classes=["high", "low", "mid"])
    assert taught.classes_.tolist() == ["high", "low", "mid"]
    with pytest.raises(ValueError, match="classes: expected all labels of y"):
        given.set_params(classes=["low", "mid"]).fit(blocks(X), blocks(y))


def test_regressors_are_averaged_and_errors_name_the_block():
    model = BlockwiseVotingRegressor(Ridge()).fit(blocks(X), blocks(X[:, 0]))
    expected = np.mean([one.predict(X) for one in one_by_one(Ridge(), X[:, 0])], axis=0)
    assert_allclose(model.predict(blocks(X)).compute(), expected)
    assert model.score(blocks(X), blocks(X[:, 0])) > 0.99
    with pytest.raises(DataError, match=r"NaN.*\(in block 2\)"):
        model.fit(blocks(np.where(np.arange(600)[:, None] > 550, np.nan, X)), blocks(X[:, 0]))
    assert len(model.estimators_) == 3
    with pytest.raises(TypeError, match="estimator: expected an estimator with 'fit', got None"):
        BlockwiseVotingRegressor().fit(X, X[:, 0])

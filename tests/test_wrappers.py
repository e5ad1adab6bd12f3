"""Models of scikit-learn that predict on Dask data, and that train on it block by block."""

from __future__ import annotations

import os
import signal

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression, SGDClassifier, SGDRegressor
from sklearn.naive_bayes import MultinomialNB
from sklearn.preprocessing import StandardScaler

from daskml_kit.datasets import make_classification
from daskml_kit.ensemble import BlockwiseVotingRegressor
from daskml_kit.exceptions import DataError
from daskml_kit.model_selection import GridSearchCV, HyperbandSearchCV, train_test_split
from daskml_kit.wrappers import Incremental, ParallelPostFit

rng = np.random.default_rng(0)
X = rng.normal(size=(600, 3))
LABELS = np.where(X[:, 0] + X[:, 1] > 0, "up", "down")
WEIGHT = rng.uniform(0.5, 2, 600)


def blocks(values):
    return da.from_array(values, chunks=(150, *values.shape[1:]))


def test_a_model_in_memory_predicts_lazily():
    inner = RandomForestClassifier(10, random_state=0)
    model, expected = ParallelPostFit(inner).fit(X, LABELS), clone(inner).fit(X, LABELS)
    assert not hasattr(inner, "classes_")
    assert_array_equal(model.classes_, expected.classes_)
    assert_array_equal(model.predict(blocks(X)).compute(), expected.predict(X))
    assert_array_equal(model.predict_proba(blocks(X)).compute(), expected.predict_proba(X))
    assert_array_equal(model.predict(X), expected.predict(X))
    assert model.score(blocks(X), blocks(LABELS)) == model.score(X, LABELS) == expected.score(X, LABELS)
    losses = ParallelPostFit(expected, scoring="neg_log_loss")
    assert losses.score(blocks(X), LABELS) == pytest.approx(losses.score(X, LABELS))
    frame = pd.DataFrame(X, columns=list("abc"))
    on_frames = ParallelPostFit(clone(inner)).fit(dd.from_pandas(frame, npartitions=3), pd.Series(LABELS))
    assert_array_equal(on_frames.predict(dd.from_pandas(frame, npartitions=2)).compute(), expected.predict(X))
    scaler = ParallelPostFit(StandardScaler().fit(X))
    assert_allclose(scaler.transform(blocks(X)).compute(), scaler.transform(X))
    assert not hasattr(scaler, "predict")
    with pytest.raises(NotFittedError):
        ParallelPostFit(inner).predict(blocks(X))
    with pytest.raises(TypeError, match="estimator: expected an estimator with 'fit', got None"):
        ParallelPostFit().fit(X, LABELS)


def one_by_one(model, visits, weights=None):
    for at in visits:
        rows = slice(150 * at, 150 * at + 150)
        weighted = {} if weights is None else {"sample_weight": weights[rows]}
        model.partial_fit(X[rows], LABELS[rows], classes=["down", "up"], **weighted)
    return model


def test_blocks_are_visited_in_order_each_epoch():
    inner = SGDClassifier(random_state=0)
    model = Incremental(inner, shuffle_blocks=False, max_iter=2).fit(blocks(X), blocks(LABELS))
    assert_array_equal(model.coef_, one_by_one(clone(inner), [*range(4), *range(4)]).coef_)
    weighted = Incremental(inner, shuffle_blocks=False).fit(blocks(X), LABELS, sample_weight=WEIGHT)
    assert_array_equal(weighted.coef_, one_by_one(clone(inner), range(4), WEIGHT).coef_)
    shuffled = Incremental(inner, random_state=3).fit(blocks(X), blocks(LABELS))
    order = np.random.RandomState(3).permutation(4)
    assert_array_equal(shuffled.coef_, one_by_one(clone(inner), order).coef_)
    before = shuffled.coef_.copy()
    assert_array_equal(shuffled.partial_fit(blocks(X), LABELS).coef_.shape, before.shape)
    assert (shuffled.coef_ != before).any()
    assert shuffled.score(blocks(X), blocks(LABELS)) > 0.9
    counts = abs(blocks(X)).map_blocks(np.floor, dtype=float)
    assert Incremental(MultinomialNB()).fit(counts, blocks(LABELS)).class_count_.sum() == 600
    assert Incremental(SGDRegressor(random_state=0)).fit(X, X[:, 0]).score(X, X[:, 0]) > 0.5


def test_validation_rows_end_a_training():
    inner = SGDClassifier(random_state=0)
    options = {"early_stopping": True, "validation_fraction": 0.2, "n_iter_no_change": 2, "random_state": 0}
    model = Incremental(inner, max_iter=50, **options).fit(blocks(X), blocks(LABELS), sample_weight=blocks(WEIGHT))
    assert 2 <= model.n_iter_ == len(model.validation_scores_) < 50
    assert model.best_validation_score_ == max(model.validation_scores_)
    seed = np.random.RandomState(0).randint(2**31 - 1)
    parts = train_test_split(blocks(X), blocks(LABELS), test_size=0.2, random_state=seed, stratify=blocks(LABELS))
    assert model.score(parts[1], parts[3]) == pytest.approx(model.best_validation_score_)
    again = Incremental(inner, max_iter=50, **options).fit(blocks(X), blocks(LABELS), sample_weight=blocks(WEIGHT))
    assert_array_equal(again.coef_, model.coef_)
    for scoring in ("neg_mean_absolute_error", None):
        number = Incremental(SGDRegressor(random_state=0), scoring, max_iter=50, **options).fit(X, X[:, 0])
        assert 2 < number.n_iter_ < 50
    assert not hasattr(model.set_params(early_stopping=False, max_iter=1).fit(blocks(X), LABELS), "validation_scores_")
    for name, value in {"n_iter_no_change": 0, "tol": -1, "validation_fraction": 1.0, "early_stopping": "yes"}.items():
        with pytest.raises(ValueError, match=f"{name}: expected"):
            Incremental(inner, **{**options, name: value}).fit(blocks(X), LABELS)


def test_wrong_input_is_named_and_nothing_changes():
    with pytest.raises(TypeError, match="expected an estimator with 'partial_fit', got LinearRegression"):
        Incremental(LinearRegression()).fit(blocks(X), blocks(X[:, 0]))
    with pytest.raises(ValueError, match="max_iter: expected an integer of at least 1, got 0"):
        Incremental(SGDClassifier(), max_iter=0).fit(blocks(X), blocks(LABELS))
    model = Incremental(SGDClassifier(random_state=0)).fit(blocks(X), blocks(LABELS))
    before = model.estimator_
    with pytest.raises(DataError, match="y: "):
        model.fit(blocks(X), LABELS[:-1])
    assert model.estimator_ is before
    assert not hasattr(Incremental(LinearRegression()), "partial_fit")


def test_candidates_of_a_search_are_wrapped_models():
    search = GridSearchCV(ParallelPostFit(SGDClassifier(random_state=0)), {"estimator__alpha": [1e-4, 10.0]}, cv=3)
    search.fit(blocks(X), blocks(LABELS))
    assert search.best_params_ == {"estimator__alpha": 1e-4}
    assert search.predict(blocks(X)).compute().shape == (600,)


class Copies(SGDClassifier):
    """A large model that counts how often it is unpickled in a process."""

    count = 0

    def __setstate__(self, state):
        super().__setstate__(state)
        type(self).count += 1


def test_on_a_cluster_workers_get_a_model_once_and_may_die(doomed):
    data = da.random.default_rng(0).normal(size=(40_000, 3), chunks=(BLOCK, 3))
    labels = (data[:, 0] > 0).astype(int)
    local = Incremental(SGDClassifier(random_state=0), random_state=0)
    with dask.config.set(scheduler="threads"):
        rows, targets = dask.compute(data, labels)
    expected = one_block_after_another(rows, targets)
    data, labels = doomed.persist([data, labels])
    early = Incremental(SGDClassifier(random_state=0), random_state=0, early_stopping=True, max_iter=2)
    votes = BlockwiseVotingRegressor(LinearRegression())
    assert_array_equal(local.fit(data, labels).coef_, expected.coef_)
    scores, lines = early.fit(data, labels).validation_scores_, votes.fit(data, labels).estimators_
    os.kill(next(iter(doomed.run(os.getpid).values())), signal.SIGKILL)
    assert_array_equal(local.fit(data, labels).coef_, expected.coef_)
    assert early.fit(data, labels).validation_scores_ == scores
    again = votes.fit(data, labels).estimators_
    assert_array_equal([line.coef_ for line in again], [line.coef_ for line in lines])
    for given in (data, dd.from_dask_array(data, columns=list("abc"))):
        model = ParallelPostFit(Copies(random_state=0)).fit(given, targets)
        model.estimator_.ballast = np.zeros(2**18)
        before = doomed.run(unpickled)
        assert model.predict(given).compute().shape == (40_000,)
        after = doomed.run(unpickled)
        assert all(after[worker] - before.get(worker, 0) <= 2 for worker in after), (before, after)


BLOCK = 4_000


def unpickled():
    return Copies.count


def one_block_after_another(rows, targets):
    model = SGDClassifier(random_state=0)
    for at in np.random.RandomState(0).permutation(len(rows) // BLOCK):
        part = slice(BLOCK * at, BLOCK * at + BLOCK)
        model.partial_fit(rows[part], targets[part], classes=[0, 1])
    return model


def test_an_adaptive_search_trains_what_predicts_in_parallel():
    X, y = make_classification(n_samples=600, n_features=5, chunks=100, random_state=0)
    model = ParallelPostFit(SGDClassifier(random_state=0))
    search = HyperbandSearchCV(model, {"estimator__alpha": np.logspace(-4, 1, 20)}, max_iter=3, random_state=0)
    search.fit(X, y, classes=[0, 1])
    plain = HyperbandSearchCV(
        SGDClassifier(random_state=0), {"alpha": np.logspace(-4, 1, 20)}, max_iter=3, random_state=0
    )
    assert search.best_score_ == plain.fit(X, y, classes=[0, 1]).best_score_
    assert isinstance(search.best_estimator_.predict(X), da.Array)
    with pytest.raises(TypeError, match="Incremental trains on Dask data"):
        model.partial_fit(X, y)
    assert not hasattr(ParallelPostFit(LinearRegression()), "partial_fit")

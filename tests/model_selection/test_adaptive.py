"""Adaptive searches: on every kind of data, on threads and on a cluster, interrupted and with workers killed."""

from __future__ import annotations

import logging
import os
import signal
import threading

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from distributed import Client
from numpy.testing import assert_array_equal
from scipy.stats import loguniform
from sklearn.cluster import MiniBatchKMeans
from sklearn.decomposition import IncrementalPCA
from sklearn.exceptions import FitFailedWarning, NotFittedError
from sklearn.linear_model import LinearRegression, SGDClassifier, SGDRegressor
from sklearn.model_selection import ParameterSampler
from sklearn.naive_bayes import MultinomialNB

from daskml_kit.data import collections as capacity
from daskml_kit.exceptions import AsynchronousClientError
from daskml_kit.model_selection import (
    ASHASearchCV,
    HyperbandSearchCV,
    IncrementalSearchCV,
    InverseDecaySearchCV,
    SuccessiveHalvingSearchCV,
)
from daskml_kit.model_selection.adaptive import model_pool as on_cluster
from daskml_kit.model_selection.adaptive.partial_fit import block_order

PARAMETERS = {"alpha": loguniform(1e-6, 1e2), "average": [True, False]}
MODEL = SGDClassifier(random_state=0)
ROWS, BLOCK = 1_200, 200


def data():
    rng = np.random.default_rng(3)
    X = rng.normal(size=(ROWS, 4))
    return X, (X[:, 0] + X[:, 1] ** 2 + 0.3 * rng.normal(size=ROWS) > 0.5).astype(int)


def lazily(X, y):
    return da.from_array(X, chunks=(BLOCK, -1)), da.from_array(y, chunks=BLOCK)


def as_frames(X, y):
    frame = pd.DataFrame(X, columns=list("abcd"))
    return dd.from_pandas(frame, npartitions=6), dd.from_pandas(pd.Series(y, name="y"), npartitions=6)


KINDS = {
    "numpy": lambda X, y: (X, y),
    "pandas": lambda X, y: (pd.DataFrame(X, columns=list("abcd")), pd.Series(y)),
    "csr": lambda X, y: (sp.csr_array(X), y),
    "dask": lazily,
    "dask frames": as_frames,
    "dask csr": lambda X, y: (lazily(X, y)[0].map_blocks(sp.csr_array), lazily(X, y)[1]),
    "dask, y in memory": lambda X, y: (lazily(X, y)[0], y),
}
SEARCHES = {
    "incremental": lambda **k: IncrementalSearchCV(MODEL, PARAMETERS, 4, max_iter=4, random_state=0, **k),
    "decay": lambda **k: InverseDecaySearchCV(MODEL, PARAMETERS, 12, random_state=0, **k),
    "halving": lambda **k: SuccessiveHalvingSearchCV(MODEL, PARAMETERS, 9, 1, random_state=0, **k),
    "hyperband": lambda **k: HyperbandSearchCV(MODEL, PARAMETERS, max_iter=9, random_state=0, **k),
    "asha": lambda **k: ASHASearchCV(MODEL, PARAMETERS, 9, max_iter=9, random_state=0, **k),
}


def scores(search):
    return {m: [(r["partial_fit_calls"], r["score"]) for r in records] for m, records in search.model_history_.items()}


@pytest.fixture
def threads():
    with dask.config.set(scheduler="threads"):
        yield


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["incremental", "hyperband", "asha"])
def test_every_kind_of_data(threads, kind, name):
    X, y = KINDS[kind](*data())
    search = SEARCHES[name]().fit(X, y, classes=[0, 1])
    assert 0.5 < search.best_score_ <= 1
    assert 0.5 < search.score(X, y) <= 1
    predicted = search.predict(X)
    assert isinstance(predicted, np.ndarray) is not kind.startswith("dask")
    assert_array_equal(np.asarray(predicted), search.best_estimator_.predict(dask.compute(X)[0]))


def test_classes_are_found_where_they_are_not_given(threads):
    for X, y in (data(), lazily(*data())):
        assert scores(SEARCHES["incremental"]().fit(X, y)) == scores(
            SEARCHES["incremental"]().fit(X, y, classes=[0, 1])
        )


@pytest.mark.parametrize("name", SEARCHES)
def test_attributes_agree_with_each_other(threads, name):
    search = SEARCHES[name]().fit(*lazily(*data()), classes=[0, 1])
    table = search.cv_results_
    best = search.best_index_
    assert table["rank_test_score"][best] == 1
    assert search.best_score_ == table["test_score"][best] == max(table["test_score"])
    assert search.best_params_ == table["params"][best]
    assert search.best_estimator_.get_params()["alpha"] == search.best_params_["alpha"] == table["param_alpha"][best]
    assert search.best_estimator_.t_ > 1
    assert {len(column) for column in table.values()} == {len(search.model_history_)}
    assert sum(map(len, search.model_history_.values())) == len(search.history_)
    assert [r["elapsed_wall_time"] for r in search.history_] == sorted(r["elapsed_wall_time"] for r in search.history_)
    assert search.n_features_in_ == 4
    assert_array_equal(search.classes_, [0, 1])
    assert not hasattr(MODEL, "coef_")
    pd.DataFrame(table)


@pytest.mark.parametrize("name", ["hyperband", "decay"])
def test_the_same_on_threads_on_a_cluster_and_larger_than_memory(client, monkeypatch, name):
    X, y = lazily(*data())
    with dask.config.set(scheduler="threads"):
        expected = SEARCHES[name]().fit(X, y, classes=[0, 1])
    runs = [SEARCHES[name]().fit(X, y, classes=[0, 1]), SEARCHES[name]().fit(*client.persist([X, y]), classes=[0, 1])]
    monkeypatch.setattr(on_cluster, "SMALL_STATE", 0)
    runs.append(SEARCHES[name]().fit(X, y, classes=[0, 1]))
    monkeypatch.setattr(capacity, "FIT_FRACTION", 0)
    runs.append(SEARCHES[name]().fit(X, y, classes=[0, 1]))
    with dask.config.set(scheduler="threads"):
        runs.append(SEARCHES[name]().fit(X, y, classes=[0, 1]))
    for run in runs:
        assert scores(run) == scores(expected)
        assert run.best_params_ == expected.best_params_
        assert_array_equal(run.best_estimator_.coef_, expected.best_estimator_.coef_)


def test_asha_on_a_cluster(client):
    X, y = lazily(*data())
    search = SEARCHES["asha"]().fit(X, y, classes=[0, 1])
    assert search.metadata_["n_models"] == 9
    assert search.metadata_["max_iter"] == 9
    assert search.score(X, y) == pytest.approx(np.mean((search.predict(X) == y).compute()))


def test_asha_on_one_thread_is_repeatable():
    X, y = lazily(*data())
    with dask.config.set(scheduler="sync"):
        runs = [SEARCHES["asha"]().fit(X, y, classes=[0, 1]) for _ in range(2)]
    assert scores(runs[0]) == scores(runs[1])


def test_a_search_inside_of_tasks_leaves_them_their_threads(client):
    def fit():
        return scores(SEARCHES["halving"]().fit(*lazily(*data()), classes=[0, 1]))

    inside = client.gather([client.submit(fit, pure=False) for _ in range(3)])
    assert inside[0] == inside[1] == inside[2] == scores(SEARCHES["halving"]().fit(*lazily(*data()), classes=[0, 1]))


def test_larger_than_memory_computes_a_block_when_it_is_visited(threads, monkeypatch):
    monkeypatch.setattr(capacity, "FIT_FRACTION", 0)
    reads = []
    X, y = data()
    X = da.from_array(X, chunks=(BLOCK, -1)).map_blocks(lambda block: reads.append(1) or block, meta=np.empty((0, 4)))
    search = SEARCHES["incremental"]().fit(X, da.from_array(y, chunks=BLOCK), classes=[0, 1])
    calls = sum(search.cv_results_["partial_fit_calls"])
    assert len(reads) == calls + 6  # and each block once more for the rows held out


def test_larger_than_memory_on_a_cluster_models_share_the_blocks_they_visit(client, monkeypatch, tmp_path):
    monkeypatch.setattr(capacity, "FIT_FRACTION", 0)
    log = str(tmp_path / "log")

    def read(block):
        with open(log, "a") as file:
            file.write("1\n")
        return block

    X, y = lazily(*data())
    search = SEARCHES["hyperband"]().fit(X.map_blocks(read, meta=np.empty((0, 4))), y, classes=[0, 1])
    with open(log) as file:
        n_reads = len(file.readlines())
    assert n_reads < search.metadata["partial_fit_calls"]


def test_each_call_is_one_block_and_all_are_visited_in_turn():
    seen = [list(block_order((1, model), 5, 0, 12)) for model in range(3)]
    for order in seen:
        assert sorted(order[:5]) == sorted(order[5:10]) == list(range(5))
    assert seen[0] != seen[1]
    assert list(block_order((1, 0), 5, 3, 9)) == seen[0][3:9]


def logging_class():
    class Logging(SGDClassifier):
        """Writes the rows of each call down, and may die once. Workers receive the class itself, as it is local."""

        def partial_fit(self, X, y, classes=None, log=None, die_at=None):
            with open(log, "a") as file:
                file.write(f"{len(X)}\n")
            with open(log) as file:
                n_calls = len(file.readlines())
            if die_at and n_calls >= die_at and not os.path.exists(f"{log}-died"):
                open(f"{log}-died", "w").close()
                os.kill(os.getpid(), signal.SIGKILL)
            return super().partial_fit(X, y, classes=classes)

    return Logging


@pytest.mark.parametrize("patience", [False, True])
def test_hyperband_makes_the_calls_of_its_metadata(threads, tmp_path, patience):
    log = tmp_path / "log"
    X, y = lazily(*data())
    model = logging_class()(random_state=0)
    search = HyperbandSearchCV(model, PARAMETERS, max_iter=27, patience=patience, random_state=0, tol=0.05)
    planned = search.metadata
    search.fit(X, y, classes=[0, 1], log=str(log))
    rows = [int(line) for line in log.read_text().split()]
    assert len(rows) == search.metadata_["partial_fit_calls"]
    assert set(rows) <= {ROWS * 5 // 6 // 6, ROWS * 5 // 6 // 6 + 1}  # a sixth of each block is held out
    assert planned["n_models"] == search.metadata_["n_models"] == len(search.cv_results_["model_id"]) == 49
    if patience:
        assert len(rows) < planned["partial_fit_calls"]
    else:
        assert search.metadata_ == planned
    one = search.metadata_["brackets"][2]
    assert {"n_initial_parameters": one["n_models"], "max_iter": 27}.items() <= one[
        "SuccessiveHalvingSearchCV params"
    ].items()
    SuccessiveHalvingSearchCV(model, PARAMETERS, **one["SuccessiveHalvingSearchCV params"])


def test_parameters_are_drawn_as_scikit_learn_draws_them(threads):
    search = IncrementalSearchCV(MODEL, PARAMETERS, 5, max_iter=1, random_state=7).fit(*data(), classes=[0, 1])
    assert list(search.cv_results_["params"]) == list(ParameterSampler(PARAMETERS, 5, random_state=7))


def test_grid_and_several_spaces(threads):
    spaces = [{"alpha": [1e-4, 1e2]}, {"loss": ["log_loss"]}]
    search = IncrementalSearchCV(MODEL, spaces, "grid", max_iter=2, random_state=0).fit(*data(), classes=[0, 1])
    assert search.cv_results_["param_loss"].mask.tolist() == [True, True, False]
    assert search.predict_proba is not None if search.best_index_ == 2 else not hasattr(search, "predict_proba")


def test_regressors_clusterers_and_transformers(client):
    X, _ = lazily(*data())
    number = X[:, 0] * 2 + 1
    regressor = IncrementalSearchCV(SGDRegressor(random_state=0), {"alpha": [1e-4, 10]}, "grid", max_iter=6)
    assert regressor.set_params(scoring="neg_mean_squared_error").fit(X, number).best_params_ == {"alpha": 1e-4}
    assert -0.1 < regressor.best_score_ < 0
    clusters = IncrementalSearchCV(MiniBatchKMeans(random_state=0), {"n_clusters": [2, 5]}, "grid", max_iter=2).fit(X)
    assert clusters.best_params_ == {"n_clusters": 5}
    assert clusters.transform(X).compute().shape == (ROWS, 5)
    pca = IncrementalSearchCV(
        IncrementalPCA(), {"n_components": [1, 3]}, "grid", max_iter=2, scoring=lambda model, X: model.n_components
    ).fit(X)
    assert pca.transform(X).shape == (ROWS, 3)
    assert not hasattr(pca, "predict")


def test_a_meta_that_is_given_is_used(threads):
    X, y = lazily(*data())
    search = SEARCHES["incremental"](predict_meta=np.empty(0, np.int8)).fit(X, y, classes=[0, 1])
    assert search.predict(X).dtype == np.int8


@pytest.mark.parametrize(
    ("search", "message"),
    [
        (
            lambda: HyperbandSearchCV(MODEL, PARAMETERS, max_iter=0),
            "max_iter: expected an integer of at least 1, got 0",
        ),
        (lambda: HyperbandSearchCV(MODEL, PARAMETERS, aggressiveness=1), "aggressiveness: .* at least 2, got 1"),
        (lambda: HyperbandSearchCV(MODEL, PARAMETERS, aggressiveness=2.5), "aggressiveness: .* integer .* got 2.5"),
        (lambda: ASHASearchCV(MODEL, PARAMETERS, aggressiveness=1.5), "aggressiveness: .* at least 2, got 1.5"),
        (lambda: ASHASearchCV(MODEL, PARAMETERS, n_initial_iter=9, max_iter=3), "n_initial_iter: .* 1 to 3, got 9"),
        (lambda: SuccessiveHalvingSearchCV(MODEL, PARAMETERS), "n_initial_iter: .* integer .* got None"),
        (lambda: IncrementalSearchCV(MODEL, PARAMETERS, 0), "n_initial_parameters: .* at least 1, got 0"),
        (lambda: IncrementalSearchCV(MODEL, PARAMETERS, "gird"), "n_initial_parameters: .* or 'grid', got 'gird'"),
        (lambda: IncrementalSearchCV(MODEL, PARAMETERS, patience=1), "patience=1 <= 1 will always detect"),
        (lambda: IncrementalSearchCV(MODEL, PARAMETERS, patience=2.5), "patience: .* integer .* got 2.5"),
        (lambda: IncrementalSearchCV(MODEL, PARAMETERS, fits_per_score=0), "fits_per_score: .* at least 1, got 0"),
        (lambda: IncrementalSearchCV(MODEL, PARAMETERS, decay_rate=1.0), "decay_rate: InverseDecaySearchCV has it"),
        (lambda: IncrementalSearchCV(MODEL, PARAMETERS, scores_per_fit=2), "scores_per_fit: .* fits_per_score"),
        (lambda: InverseDecaySearchCV(MODEL, PARAMETERS, decay_rate=-1), "decay_rate: .* at least 0, got -1"),
        (lambda: IncrementalSearchCV(MODEL, PARAMETERS, scoring="acuracy"), "scoring: .*acuracy"),
        (lambda: IncrementalSearchCV(MODEL, PARAMETERS, scoring=["accuracy", "f1"]), "scoring: expected one scorer"),
        (lambda: IncrementalSearchCV(MODEL, PARAMETERS, scoring=lambda *_: [1, 2]), "scoring: expected one number"),
        (lambda: IncrementalSearchCV(MODEL, PARAMETERS, verbose=2), "verbose=2 does not satisfy"),
        (lambda: IncrementalSearchCV(MODEL, PARAMETERS, test_size=1.5), "test_size"),
        (lambda: IncrementalSearchCV(MODEL, PARAMETERS, error_score="ignore"), "error_score: .* got 'ignore'"),
        (lambda: IncrementalSearchCV(MODEL, {"alhpa": [1]}, 1), "alhpa"),
    ],
)
def test_wrong_parameters_are_named(threads, search, message):
    with pytest.raises(ValueError, match=message):
        search().fit(*lazily(*data()), classes=[0, 1])


def test_what_cannot_be_searched_is_said(threads):
    X, y = lazily(*data())
    with pytest.raises(TypeError, match="estimator: expected one with partial_fit, got LinearRegression"):
        IncrementalSearchCV(LinearRegression(), {"fit_intercept": [True]}, 1).fit(X, y)
    with pytest.raises(ValueError, match="sample_weight: not supported"):
        SEARCHES["incremental"]().fit(X, y, sample_weight=np.ones(ROWS))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        SEARCHES["incremental"]().fit(X, y[:-1], classes=[0, 1])
    with pytest.raises(NotFittedError):
        SEARCHES["incremental"]().predict(X)


def failing_class():
    class Failing(SGDClassifier):
        """Some of them raise at a call, or where they are scored. Workers receive the class itself, as it is local."""

        def __init__(self, fails_at=0, unscored=False, alpha=1e-4, random_state=None):
            super().__init__(alpha=alpha, random_state=random_state)
            self.fails_at, self.unscored = fails_at, unscored

        def partial_fit(self, X, y, classes=None):
            self.n_calls_ = getattr(self, "n_calls_", 0) + 1
            if self.n_calls_ == self.fails_at:
                raise RuntimeError(f"no call {self.fails_at} today")
            return super().partial_fit(X, y, classes=classes)

        def score(self, X, y):
            if self.unscored:
                raise RuntimeError("no score today")
            return super().score(X, y)

    return Failing


FAILING = {
    "incremental": lambda m, p, **k: IncrementalSearchCV(m, p, 12, max_iter=9, fits_per_score=3, random_state=0, **k),
    "decay": lambda m, p, **k: InverseDecaySearchCV(m, p, 12, random_state=0, **k),
    "halving": lambda m, p, **k: SuccessiveHalvingSearchCV(m, p, 12, 2, random_state=0, patience=2, **k),
    "hyperband": lambda m, p, **k: HyperbandSearchCV(m, p, max_iter=9, random_state=0, **k),
    "asha": lambda m, p, **k: ASHASearchCV(m, p, 12, max_iter=9, random_state=0, **k),
}


@pytest.mark.parametrize(
    ("name", "error_score", "where"),
    [
        *((name, np.nan, "threads") for name in FAILING),
        ("decay", 2.0, "threads"),
        ("hyperband", 2.0, "cluster"),
        ("asha", np.nan, "cluster"),
    ],
)
def test_a_model_that_fails_ends_nothing_but_itself(client, name, error_score, where):
    parameters = {"fails_at": [0, 0, 1, 2, 5], "unscored": [False, False, True], "alpha": loguniform(1e-6, 1e2)}
    search = FAILING[name](failing_class()(random_state=0), parameters, error_score=error_score)
    scheduler = dask.config.set(scheduler="threads" if where == "threads" else None)
    with scheduler, pytest.warns(FitFailedWarning) as warned:
        search.fit(*lazily(*data()), classes=[0, 1])
    table = search.cv_results_
    failed = np.isnan(table["test_score"]) if np.isnan(error_score) else table["test_score"] == error_score
    assert 0 < failed.sum() < len(failed)
    assert len(warned) == 1
    assert f"{failed.sum()} fits failed out of a total of {len(failed)}" in str(warned[0].message)
    assert "in partial_fit of Failing(" in str(warned[0].message)
    assert min(table["rank_test_score"][failed]) > max(table["rank_test_score"][~failed])
    assert search.best_score_ == max(table["test_score"][~failed])
    assert search.best_estimator_.score(*data()) > 0.5
    for params, calls, did in zip(table["params"], table["partial_fit_calls"], failed, strict=True):
        assert not params["unscored"] or did
        assert did or params["fails_at"] == 0 or calls < params["fails_at"]
        assert not did or params["fails_at"] == calls or params["unscored"]
    for records in search.model_history_.values():
        assert not any(r["score"] == error_score or np.isnan(r["score"]) for r in records[:-1])


def test_failures_are_the_same_on_threads_and_on_a_cluster(client):
    parameters = {"fails_at": [0, 2, 5, 7], "alpha": loguniform(1e-6, 1e2)}
    runs = []
    for scheduler in ("threads", None):
        search = FAILING["hyperband"](failing_class()(random_state=0), parameters, error_score=-1)
        with dask.config.set(scheduler=scheduler), pytest.warns(FitFailedWarning):
            search.fit(*lazily(*data()), classes=[0, 1])
        runs.append(scores(search))
    assert runs[0] == runs[1]


@pytest.mark.parametrize("where", ["threads", "cluster"])
def test_failures_are_raised_where_asked_for_or_where_nothing_is_left(client, where):
    model, X_y = failing_class()(random_state=0), lazily(*data())
    with dask.config.set(scheduler="threads" if where == "threads" else None):
        for parameters, message in (({"fails_at": [2, 0]}, "no call 2 today"), ({"unscored": [True]}, "no score")):
            search = IncrementalSearchCV(model, parameters, "grid", max_iter=4, error_score="raise")
            with pytest.raises(RuntimeError, match=message):
                search.fit(*X_y, classes=[0, 1])
            assert not hasattr(search, "history_")
        search = IncrementalSearchCV(model, {"fails_at": [1, 2]}, "grid", max_iter=4)
        with pytest.raises(ValueError, match=r"All the 2 fits failed[\s\S]*no call 2 today"):
            search.fit(*X_y, classes=[0, 1])


def test_an_error_on_a_worker_comes_back(client):
    X, y = lazily(*data())
    with pytest.raises(ValueError, match="Negative values"):
        IncrementalSearchCV(MultinomialNB(), {"alpha": [1.0, 2.0]}, 2).fit(X, y, classes=[0, 1])


def test_an_asynchronous_client_is_refused(cluster):
    async def fit():
        async with Client(cluster.scheduler_address, asynchronous=True):
            with pytest.raises(AsynchronousClientError, match="asynchronous"):
                SEARCHES["incremental"]().fit(*lazily(*data()), classes=[0, 1])

    with Client(cluster, set_as_default=False) as outside:
        outside.sync(fit)


def test_small_patience_in_hyperband_is_warned_of(threads):
    with pytest.warns(UserWarning, match="patience=2 stops models early"):
        HyperbandSearchCV(MODEL, PARAMETERS, max_iter=9, patience=2, random_state=0).fit(*data(), classes=[0, 1])


def test_scores_are_printed(threads, capsys):
    SEARCHES["incremental"](verbose=0.25, prefix=", mine").fit(*data(), classes=[0, 1])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert all(line.startswith("[CV, mine] validation score of 0.") for line in lines)
    SEARCHES["incremental"]().fit(*data(), classes=[0, 1])
    assert not capsys.readouterr().out


class After(logging.Handler):
    """Does something at the n-th score."""

    def __init__(self, n, action):
        super().__init__()
        self.n, self.action = n, action

    def emit(self, record):
        self.n -= 1
        if self.n == 0:
            self.action()

    def __enter__(self):
        logger = logging.getLogger("daskml_kit.model_selection")
        self.level = logger.level
        logger.addHandler(self)
        logger.setLevel(logging.INFO)
        return self

    def __exit__(self, *details):
        logger = logging.getLogger("daskml_kit.model_selection")
        logger.removeHandler(self)
        logger.setLevel(self.level)


def interrupt():
    os.kill(os.getpid(), signal.SIGINT)
    threading.Event().wait(10)  # until the signal has come


@pytest.mark.parametrize("where", ["threads", "cluster"])
def test_an_interrupted_search_keeps_what_it_has(client, where):
    X, y = lazily(*data())
    search = SEARCHES["hyperband"]()
    scheduler = dask.config.set(scheduler="threads" if where == "threads" else None)
    with scheduler, After(8, interrupt), pytest.raises(KeyboardInterrupt):
        search.fit(X, y, classes=[0, 1])
    assert len(search.history_) >= 8  # the signal may come a score late
    assert search.best_score_ == max(search.cv_results_["test_score"])
    assert 0 < search.score(X, y) < 1
    assert search.metadata_["partial_fit_calls"] < search.metadata["partial_fit_calls"]
    assert all(future.status in ("finished", "cancelled") for future in client.futures.values())


def test_a_killed_worker_repeats_only_what_it_was_doing(doomed, monkeypatch, tmp_path):
    monkeypatch.setattr(capacity, "FIT_FRACTION", 0)  # models meet blocks that are read again, not held
    X, y = lazily(*data())
    log = tmp_path / "log"
    search = HyperbandSearchCV(logging_class()(random_state=0), PARAMETERS, max_iter=9, random_state=0)
    with dask.config.set(scheduler="threads"):
        expected = SEARCHES["hyperband"]().fit(X, y, classes=[0, 1])
    search.fit(X, y, classes=[0, 1], log=str(log), die_at=50)
    assert os.path.exists(f"{log}-died")
    assert scores(search) == scores(expected)
    assert_array_equal(search.best_estimator_.coef_, expected.best_estimator_.coef_)
    repeated = len(log.read_text().split()) - search.metadata["partial_fit_calls"]
    assert 1 <= repeated <= 2 * on_cluster.CHUNKS_A_THREAD * on_cluster.CHUNK_CALLS

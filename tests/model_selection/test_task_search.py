"""Graph search against scikit-learn's own searches: scores, shared work, failures, and what is left behind."""

from __future__ import annotations

import logging
import os
import signal
from pathlib import Path

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin, clone
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.metrics import get_scorer
from sklearn.model_selection import GridSearchCV, ParameterGrid, cross_validate
from sklearn.model_selection import KFold as SkKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, OneHotEncoder, StandardScaler

import daskml_kit.linear_model
import daskml_kit.preprocessing
from daskml_kit.model_selection import KFold, cross_val_score
from daskml_kit.model_selection.search.search_plan import EvaluationData, EvaluationSpec, RoutedParams
from daskml_kit.model_selection.search.task_pool import ClusterFitPool
from daskml_kit.model_selection.search.task_search import run_tasks

N_ROWS, N_SPLITS = 240, 3
NAMES = ("accuracy", "roc_auc")
SCORERS = {name: get_scorer(name) for name in NAMES}
ON_CLUSTER = pytest.param("cluster", marks=pytest.mark.slow)


def problem(n_rows=N_ROWS):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows, 6))
    return X, (X[:, 0] + X[:, 1] + rng.normal(size=n_rows) > 0).astype(np.int64)


def table():
    X, y = problem()
    frame = pd.DataFrame(X[:, :3], columns=["a", "b", "c"])
    frame["kind"] = np.array(["x", "y", "z"])[np.arange(N_ROWS) % 3]
    return frame, pd.Series(y, name="target")


def search(estimator, candidates, X, y, folds=None, finished=None, **options):
    folds = KFold(N_SPLITS).assign(X, y) if folds is None else folds
    params = RoutedParams({}, options.pop("fit_params", {}), options.pop("score_params", {}))
    known = options.pop("known", frozenset())
    spec = EvaluationSpec(estimator, candidates, SCORERS, **{"error_score": "raise", **options})
    found = {}

    def keep(place, outcome):
        found[place] = outcome
        if finished is not None:
            finished(place, outcome)

    run_tasks(spec, EvaluationData(X, y, folds, params), keep, known=known)
    return found


def assert_like_sklearn(outcomes, estimator, grid, X, y, **params):
    theirs = GridSearchCV(
        estimator, grid, cv=SkKFold(N_SPLITS), scoring=list(NAMES), refit=False, return_train_score=True
    )
    expected = theirs.fit(X, y, **params).cv_results_
    assert len(outcomes) == N_SPLITS * len(expected["params"])
    for (number, split), outcome in outcomes.items():
        for name in NAMES:
            assert outcome.test[name] == pytest.approx(expected[f"split{split}_test_{name}"][number], abs=1e-12)
            assert outcome.train[name] == pytest.approx(expected[f"split{split}_train_{name}"][number], abs=1e-12)


class Counted(TransformerMixin, BaseEstimator):
    """Writes a line for each fit, which processes can do together."""

    def __init__(self, path=None, shift=0.0):
        self.path, self.shift = path, shift

    def fit(self, X, y=None):
        with open(self.path, "a") as file:
            file.write(f"{self.shift} {X.shape} {float(np.asarray(X).sum()):.6f}\n")
        self.fitted_ = True
        return self

    def transform(self, X):
        return np.asarray(X) + self.shift


class Failing(ClassifierMixin, BaseEstimator):
    def __init__(self, fails=False):
        self.fails = fails

    def fit(self, X, y):
        if self.fails:
            raise RuntimeError("no fit today")
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.zeros(len(X), int)

    def decision_function(self, X):
        return X[:, 0]


class Killer(LogisticRegression):
    """Kills the worker that it is fitted on, once."""

    def __init__(self, path=None, C=1.0):
        super().__init__(C=C)
        self.path = path

    def fit(self, X, y):
        try:
            Path(self.path).touch(exist_ok=False)
        except FileExistsError:
            return super().fit(X, y)
        os.kill(os.getpid(), signal.SIGKILL)


class Spoiler(TransformerMixin, BaseEstimator):
    """Writes to what it is given."""

    def fit(self, X, y=None):
        X *= 2
        self.fitted_ = True
        return self

    def transform(self, X):
        return X


UNION = Pipeline(
    [
        ("parts", FeatureUnion([("scale", StandardScaler()), ("pca", PCA(2, random_state=0))])),
        ("range", MinMaxScaler()),
        ("inner", make_pipeline(StandardScaler(), SelectKBest(k=3))),
        ("model", LogisticRegression()),
    ]
)
CASES = {
    "linear": (LogisticRegression(), {"C": [0.01, 1.0]}),
    "boosting": (HistGradientBoostingClassifier(max_iter=10), {"max_depth": [2, 3]}),
    "neighbors": (KNeighborsClassifier(), {"n_neighbors": [3, 5]}),
    "seeded": (SGDClassifier(random_state=0), [{"alpha": [1e-3]}, {"penalty": ["l1"]}]),
    "union": (
        UNION,
        {
            "parts__pca__n_components": [2, 3],
            "range": ["passthrough", MinMaxScaler()],
            "inner__selectkbest__k": [2, 4],
            "model__C": [0.1, 1.0],
        },
    ),
    "dropped": (UNION, {"parts__scale": ["drop", "passthrough", MinMaxScaler()], "inner__selectkbest__k": [2]}),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("lazy", "where"), [(False, "threads"), (True, "cluster")], ids=["memory", "cluster"])
def test_scores_are_those_of_scikit_learn(case, lazy, where, request):
    if where == "cluster":
        request.getfixturevalue("client")
    estimator, grid = CASES[case]
    X, y = problem()
    data = (da.from_array(X, chunks=(70, 6)), da.from_array(y, chunks=70)) if lazy else (X, y)
    outcomes = search(estimator, ParameterGrid(grid), *data, with_train=True)
    assert_like_sklearn(outcomes, estimator, grid, X, y)


@pytest.mark.slow
@pytest.mark.parametrize(("lazy", "where"), [(True, "threads"), (False, "cluster")], ids=["threads", "cluster"])
def test_frames_stay_frames_with_their_columns(lazy, where, request):
    if where == "cluster":
        request.getfixturevalue("client")
    frame, y = table()
    columns = ColumnTransformer([("numbers", StandardScaler(), ["a", "b"]), ("words", OneHotEncoder(), ["kind"])])
    model = Pipeline([("columns", columns), ("model", LogisticRegression())])
    grid = {"columns__numbers": [StandardScaler(), "passthrough"], "columns__remainder": ["drop", "passthrough"]}
    data = (dd.from_pandas(frame, npartitions=4), dd.from_pandas(y, npartitions=4)) if lazy else (frame, y)
    outcomes = search(model, ParameterGrid(grid), *data, with_train=True, with_models=True)
    assert_like_sklearn(outcomes, model, grid, frame, y)
    for number, params in enumerate(ParameterGrid(grid)):
        train = [rows for rows, _ in SkKFold(N_SPLITS).split(frame)][1]
        expected = clone(model).set_params(**params).fit(frame.iloc[train], y.iloc[train])
        kept = outcomes[number, 1].estimator
        assert list(kept[:-1].get_feature_names_out()) == list(expected[:-1].get_feature_names_out())
        np.testing.assert_allclose(kept.predict_proba(frame), expected.predict_proba(frame), atol=1e-12)
        assert type(kept.named_steps["columns"]) is ColumnTransformer


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["array", "frame"])
def test_workers_that_see_no_files_of_the_client_are_sent_its_data(kind, client, monkeypatch):
    monkeypatch.setattr(ClusterFitPool, "_visible_folder", lambda self: None)
    before = files_of(client)
    X, y = problem() if kind == "array" else (table()[0][["a", "b"]], table()[1])
    outcomes = search(LogisticRegression(), ParameterGrid({"C": [0.1, 1.0]}), X, y, with_train=True)
    assert_like_sklearn(outcomes, LogisticRegression(), {"C": [0.1, 1.0]}, X, y)
    assert files_of(client) <= before


@pytest.mark.parametrize("where", ["threads", "cluster"])
def test_csr_blocks_make_a_csr_matrix(where, request):
    if where == "cluster":
        request.getfixturevalue("client")
    X, y = problem()
    rows = sp.csr_array(np.where(X > 0.5, X, 0))
    lazy = da.from_array(np.asarray(rows.todense()), chunks=(80, 6)).map_blocks(sp.csr_array)
    estimator, grid = LogisticRegression(), {"C": [0.1, 1.0]}
    outcomes = search(estimator, ParameterGrid(grid), lazy, da.from_array(y, chunks=80), with_train=True)
    assert_like_sklearn(outcomes, estimator, grid, rows, y)


@pytest.mark.parametrize("lazy", [False, True], ids=["memory", "dask"])
def test_weights_are_split_with_the_rows(lazy, client):
    X, y = problem()
    weight = np.random.default_rng(1).random(N_ROWS)
    data = [da.from_array(part, chunks=(100, *part.shape[1:])) if lazy else part for part in (X, y, weight)]
    outcomes = search(
        LogisticRegression(),
        [{"C": 0.1}, {"C": 1.0}],
        *data[:2],
        fit_params={"sample_weight": data[2]},
        score_params={"sample_weight": data[2]},
        with_train=True,
    )
    assert_like_sklearn(outcomes, LogisticRegression(), {"C": [0.1, 1.0]}, X, y, sample_weight=weight)


def test_parameters_of_other_lengths_go_to_the_fit_as_they_are():
    class Told(Failing):
        def fit(self, X, y, words=None, weights=None):
            assert words == ["a", "b"]
            assert len(weights) == len(X)
            return super().fit(X, y)

    X, y = problem()
    outcomes = search(Told(), [{}], X, y, fit_params={"words": ["a", "b"], "weights": list(range(N_ROWS))})
    assert all(outcome.error is None for outcome in outcomes.values())


@pytest.mark.parametrize("where", ["threads", ON_CLUSTER])
def test_a_step_is_fitted_once_for_all_that_share_it(where, request, tmp_path):
    if where == "cluster":
        request.getfixturevalue("client")
    X, y = problem()
    log = tmp_path / "fits"
    first, second = Counted(str(log)), Counted(str(log))
    model = Pipeline([("first", first), ("second", second), ("model", LogisticRegression())])
    grid = {"first__shift": [0.0, 1.0], "second__shift": [2.0, 3.0, 4.0], "model__C": [0.1, 1.0, 10.0]}
    search(model, ParameterGrid(grid), X, y)
    lines = log.read_text().splitlines()
    assert len(lines) == len(set(lines)) == N_SPLITS * (2 + 2 * 3)


@pytest.mark.parametrize("where", ["threads", ON_CLUSTER])
def test_parts_are_fitted_once_for_all_that_share_them(where, request, tmp_path):
    if where == "cluster":
        request.getfixturevalue("client")
    frame, y = table()
    log = str(tmp_path / "fits")
    nested = Pipeline([("range", MinMaxScaler()), ("counted", Counted(log))])
    union = FeatureUnion([("nested", nested), ("plain", Counted(log, -1.0))])
    columns = ColumnTransformer([("union", union, ["a", "b"]), ("rest", Counted(log, -2.0), ["c"])])
    model = Pipeline([("columns", columns), ("model", LogisticRegression())])
    grid = {
        "columns__union__nested__counted__shift": [0.0, 1.0, 2.0],
        "columns__rest__shift": [-2.0, -3.0],
        "model__C": [0.1, 1.0],
    }
    outcomes = search(model, ParameterGrid(grid), frame, y)
    lines = Path(log).read_text().splitlines()
    assert len(lines) == len(set(lines)) == N_SPLITS * (3 + 1 + 2)
    assert len(outcomes) == N_SPLITS * 12


@pytest.mark.filterwarnings("ignore:Persisting input arguments took:UserWarning")  # joblib's, on a busy machine
def test_a_pipeline_with_a_cache_of_its_own_keeps_it(tmp_path):
    X, y = problem()
    model = Pipeline([("scale", StandardScaler()), ("model", LogisticRegression())], memory=str(tmp_path))
    outcomes = search(model, ParameterGrid({"model__C": [0.1, 1.0]}), X, y, with_train=True)
    assert_like_sklearn(outcomes, model, {"model__C": [0.1, 1.0]}, X, y)
    assert any(tmp_path.iterdir())


@pytest.mark.parametrize("where", ["threads", "cluster"])
@pytest.mark.parametrize("step", [Spoiler(), StandardScaler(copy=False)], ids=["spoiler", "in-place"])
def test_a_step_that_writes_to_its_input_spoils_nobody_elses(step, where, request):
    if where == "cluster":
        request.getfixturevalue("client")
    X, y = problem()
    before = X.copy()
    model = make_pipeline(step, LogisticRegression())
    grid = {"logisticregression__C": [0.1, 1.0, 2.0]}
    outcomes = search(model, ParameterGrid(grid), X, y, with_train=True)
    np.testing.assert_array_equal(X, before)
    params = {name: grid[name] for name in grid}
    for number, candidate in enumerate(ParameterGrid(params)):
        theirs = cross_validate(clone(model).set_params(**candidate), X.copy(), y, cv=SkKFold(N_SPLITS))
        ours = [outcomes[number, split].test["accuracy"] for split in range(N_SPLITS)]
        np.testing.assert_allclose(ours, theirs["test_score"])


@pytest.mark.parametrize("where", ["threads", "cluster"])
def test_a_fit_that_fails_is_told_with_its_traceback(where, request):
    if where == "cluster":
        request.getfixturevalue("client")
    X, y = problem()
    candidates = [{"fails": False}, {"fails": True}]
    outcomes = search(Failing(), candidates, X, y, error_score=-1.0, with_train=True)
    assert outcomes[0, 0].error is None
    assert not outcomes[1, 2].test  # whoever knows the names of all scores fills in the error_score
    assert not outcomes[1, 2].train
    assert "no fit today" in outcomes[1, 2].error
    assert "Traceback" in outcomes[1, 2].error
    with pytest.raises(RuntimeError, match="no fit today"):
        search(Failing(), candidates, X, y)


@pytest.mark.parametrize("where", ["threads", "cluster"])
def test_a_score_that_fails_is_warned_about(where, request):
    if where == "cluster":
        request.getfixturevalue("client")
    X, y = problem()
    y = np.where(y, 2, np.arange(N_ROWS) % 2)  # roc_auc wants two classes, or says how
    with pytest.warns(UserWarning, match="Scoring failed"):
        outcomes = search(Failing(), [{}], X, y, error_score=float("nan"))
    assert np.isnan(outcomes[0, 0].test["roc_auc"])
    assert outcomes[0, 0].test["accuracy"] > 0


def test_an_unsupervised_estimator_needs_no_target():
    X, _ = problem()
    folds = KFold(N_SPLITS).assign(X)
    scorers = {"score": PCA.score}
    spec = EvaluationSpec(PCA(), [{"n_components": 2}], scorers, "raise", with_train=True)
    outcomes = {}
    run_tasks(spec, EvaluationData(X, None, folds), outcomes.__setitem__)
    expected = cross_validate(PCA(2), X, cv=SkKFold(N_SPLITS), return_train_score=True)
    np.testing.assert_allclose([outcomes[0, i].test["score"] for i in range(N_SPLITS)], expected["test_score"])
    np.testing.assert_allclose([outcomes[0, i].train["score"] for i in range(N_SPLITS)], expected["train_score"])


@pytest.mark.parametrize("where", ["threads", "cluster"])
def test_outcomes_are_handed_over_as_they_come_and_kept_when_interrupted(where, request):
    client = request.getfixturevalue("client") if where == "cluster" else None
    before = set() if client is None else files_of(client)
    X, y = problem()
    seen = {}

    def finished(key, outcome):
        seen[key] = outcome
        if len(seen) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(LogisticRegression(), ParameterGrid({"C": np.logspace(-3, 3, 50)}), X, y, finished=finished)
    assert len(seen) == 4
    assert all(outcome.test["accuracy"] > 0.4 for outcome in seen.values())
    if client is not None:
        assert files_of(client) <= before


def files_of(client):
    """Return the folders of folds on the workers; a test asks for those that it has left itself."""
    return {name for names in client.run(fold_folders).values() for name in names}


def fold_folders(dask_worker):
    return [path.name for path in Path(dask_worker.local_directory).glob("daskml-fold-*")]


@pytest.mark.slow
def test_no_file_is_left_on_workers(client):
    before = files_of(client)
    X, y = problem()
    X, y = da.from_array(X, chunks=(50, 6)), da.from_array(y, chunks=50)
    search(LogisticRegression(), ParameterGrid({"C": np.logspace(-3, 3, 9)}), X, y)
    assert files_of(client) <= before


class Lazily:
    """A sequence of candidates that are made when they are asked for; it knows how many are alive."""

    def __init__(self, n):
        self.n, self.asked = n, []

    def __len__(self):
        return self.n

    def __getitem__(self, number):
        self.asked.append(number)
        return {"fails": number >= 0 and False}


@pytest.mark.slow
@pytest.mark.parametrize("where", ["threads", "cluster"])
def test_candidates_are_asked_for_a_window_at_a_time(where, request):
    if where == "cluster":
        request.getfixturevalue("client")
    X, y = problem(30)
    candidates, ahead = Lazily(400), []
    done = []

    def finished(key, outcome):
        done.append(key)
        ahead.append(len(candidates.asked) - len(done))

    outcomes = search(Failing(), candidates, X, y, finished=finished)
    assert len(outcomes) == 3 * len(candidates)
    assert max(ahead) < len(candidates)


def test_a_killed_worker_costs_only_what_it_was_doing(doomed, tmp_path):
    X, y = problem()
    grid = {"C": [0.1, 0.3, 1.0, 3.0]}
    done = []
    with dask.config.set({"distributed.comm.timeouts.connect": "5s"}):
        data = doomed.persist([da.from_array(X, chunks=(60, 6)), da.from_array(y, chunks=60)])
        killer = Killer(str(tmp_path / "killed"))
        outcomes = search(killer, ParameterGrid(grid), *data, with_train=True, finished=lambda key, _: done.append(key))
    assert (tmp_path / "killed").exists()
    assert sorted(done) == sorted(set(done)) == sorted(outcomes)
    assert_like_sklearn(outcomes, LogisticRegression(), grid, X, y)


@pytest.mark.parametrize("where", ["threads", ON_CLUSTER])
def test_distributed_estimators_are_given_dask_data(where, request):
    if where == "cluster":
        request.getfixturevalue("client")
    X, y = problem()
    lazy = da.from_array(X, chunks=(70, 6)), da.from_array(y, chunks=70)
    ours = Pipeline(
        [
            ("scale", daskml_kit.preprocessing.StandardScaler()),
            ("model", daskml_kit.linear_model.LogisticRegression(tol=1e-10)),
        ]
    )
    theirs = make_pipeline(StandardScaler(), LogisticRegression(tol=1e-10, solver="newton-cholesky"))
    outcomes = search(ours, ParameterGrid({"model__C": [0.1, 1.0]}), *lazy, with_train=True)
    assert_like_sklearn(outcomes, theirs, {"logisticregression__C": [0.1, 1.0]}, X, y)


class OursOnDask(daskml_kit.linear_model.LogisticRegression):
    """One of ours, that is to be given Dask data."""

    def fit(self, X, y):
        assert isinstance(X, da.Array)
        return super().fit(X, y)


class TheirsInMemory(LogisticRegression):
    """One of scikit-learn's, that is to be given a fold in memory."""

    def fit(self, X, y):
        assert isinstance(X, np.ndarray)
        return super().fit(X, y)


@pytest.mark.slow
@pytest.mark.parametrize(("first", "where"), [(OursOnDask, "threads"), (TheirsInMemory, "cluster")])
def test_a_grid_that_swaps_steps_is_decided_candidate_by_candidate(first, where, request):
    if where == "cluster":
        request.getfixturevalue("client")
    X, y = problem()
    lazy = da.from_array(X, chunks=(70, 6)), da.from_array(y, chunks=70)
    scalers = [daskml_kit.preprocessing.StandardScaler(), StandardScaler(), "passthrough"]
    ours, theirs = OursOnDask(tol=1e-10), TheirsInMemory(tol=1e-10, solver="newton-cholesky")
    grid = [
        {"scale": scalers[::2], "model": [ours], "model__C": [0.1, 1.0]},
        {"scale": scalers, "model": [theirs], "model__C": [0.1, 1.0]},
    ]
    base = Pipeline([("scale", scalers[0]), ("model", first())])
    known = {(0, 0), (4, 2), (5, 0), (5, 1), (5, 2)}
    outcomes = search(base, ParameterGrid(grid), *lazy, with_train=True)
    others = search(base, ParameterGrid(grid), *lazy, known=known)
    assert {place: outcome.test for place, outcome in others.items()} == {
        place: outcome.test for place, outcome in outcomes.items() if place not in known
    }
    plain = LogisticRegression(tol=1e-10, solver="newton-cholesky")
    swapped = [
        {"scale": [StandardScaler(), "passthrough"], "model": [plain], "model__C": [0.1, 1.0]},
        {"scale": [StandardScaler(), StandardScaler(), "passthrough"], "model": [plain], "model__C": [0.1, 1.0]},
    ]
    assert_like_sklearn(outcomes, Pipeline([("scale", StandardScaler()), ("model", plain)]), swapped, X, y)


def test_a_search_inside_a_task_does_not_wait_for_its_own_thread(client):
    X, y = problem()
    lazy = da.from_array(X, chunks=(70, 6)), da.from_array(y, chunks=70)
    tasks = [client.submit(search, LogisticRegression(), [{"C": 0.1}], *data, pure=False) for data in (lazy, (X, y))]
    found = [task.result(timeout=60) for task in tasks]
    assert {key: outcome.test for key, outcome in found[0].items()} == {
        key: outcome.test for key, outcome in found[1].items()
    }


def test_settings_of_scikit_learn_hold_in_threads():
    import sklearn

    frame, y = table()
    model = make_pipeline(StandardScaler(), FunctionTransformer(needs_frame), LogisticRegression())
    with sklearn.config_context(transform_output="pandas"):
        outcomes = search(model, [{}], frame[["a", "b"]], y)
    assert len(outcomes) == N_SPLITS


def needs_frame(X):
    assert isinstance(X, pd.DataFrame)
    return X


@pytest.mark.slow
def test_tasks_of_one_name_are_the_same_in_all_graphs(client, caplog):
    """Else the scheduler warns, as it may keep those that nobody wants."""
    X = pd.DataFrame(np.random.default_rng(0).normal(size=(90, 3)), columns=list("abc"))
    rows = dd.from_pandas(X, npartitions=2)
    model = make_pipeline(daskml_kit.preprocessing.QuantileTransformer(n_quantiles=9), daskml_kit.linear_model.Ridge())
    scheduler = logging.getLogger("distributed.scheduler")
    scheduler.addHandler(caplog.handler)
    try:
        cross_val_score(model, rows, rows["a"] + rows["b"], cv=KFold(3))
    finally:
        scheduler.removeHandler(caplog.handler)
    assert "different `run_spec`" not in caplog.text

"""Searches that are interrupted, resumed and watched."""

from __future__ import annotations

import json
import os
import signal
import threading
import warnings

import dask.array as da
import numpy as np
import pytest
import sklearn.linear_model
import sklearn.model_selection
from numpy.testing import assert_array_equal
from sklearn.exceptions import FitFailedWarning
from sklearn.model_selection import ShuffleSplit
from sklearn.pipeline import Pipeline

from daskml_kit.engines.engine import watching
from daskml_kit.exceptions import CheckpointError
from daskml_kit.linear_model import Ridge
from daskml_kit.model_selection import GridSearchCV, RandomizedSearchCV
from daskml_kit.model_selection.search import dispatcher
from daskml_kit.model_selection.search.cv_results import Outcome
from daskml_kit.model_selection.search.progress import CheckpointLog, FitProgress, listening

ALPHAS = [0.1, 1.0, 10.0, 100.0]
FITS: list[float] = []


class Counted(sklearn.linear_model.Ridge):
    """Notes each fit, and can be told to interrupt the main thread in one."""

    interrupt_at: int | None = None

    def fit(self, X, y):
        FITS.append(self.alpha)
        if len(FITS) == Counted.interrupt_at:
            os.kill(os.getpid(), signal.SIGINT)
            interrupted.wait(10)
        return super().fit(X, y)


interrupted = threading.Event()


@pytest.fixture(autouse=True)
def _no_fits():
    FITS.clear()
    interrupted.clear()
    Counted.interrupt_at = None


def make(lazy=False):
    X = da.random.default_rng(0).normal(size=(300, 3), chunks=(100, 3))
    y = X.sum(axis=1) + da.random.default_rng(1).normal(size=300, chunks=100)
    return (X, y) if lazy else (X.compute(), y.compute())


def lines(folder):
    return (folder / "fits.jsonl").read_text().splitlines()


def assert_same_scores(search, other):
    for name, values in other.cv_results_.items():
        if "time" not in name:
            assert_array_equal(search.cv_results_[name], values)
    assert search.best_index_ == other.best_index_


@pytest.mark.parametrize("lazy", [False, True], ids=["memory", "dask"])
@pytest.mark.parametrize("estimator", [Counted(), Ridge()], ids=["graph", "fused"])
def test_nothing_is_done_again(tmp_path, estimator, lazy):
    X, y = make(lazy)
    search = GridSearchCV(estimator, {"alpha": ALPHAS}, cv=3, return_train_score=True)
    first = search.fit(X, y, checkpoint=tmp_path / "new" / "folder")
    times = first.cv_results_["mean_fit_time"]
    n_fits, written = len(FITS), lines(tmp_path / "new" / "folder")
    assert len(written) == 1 + 12
    passes = []
    with watching(lambda profile: passes.append(profile)):
        again = GridSearchCV(estimator, {"alpha": ALPHAS}, cv=3, return_train_score=True, refit=False)
        again.fit(X, y, checkpoint=tmp_path / "new" / "folder")
    assert len(FITS) == n_fits
    assert passes == []
    assert lines(tmp_path / "new" / "folder") == written
    assert_same_scores(again, first)
    assert_array_equal(again.cv_results_["mean_fit_time"], times)


@pytest.mark.parametrize("kept", [0, 1, 5, 11])
def test_only_what_is_missing_is_done(tmp_path, kept):
    X, y = make()
    search = GridSearchCV(Counted(), {"alpha": ALPHAS}, cv=3, n_jobs=1, refit=False)
    full = search.fit(X, y, checkpoint=tmp_path)
    text = "\n".join(lines(tmp_path)[: 1 + kept]) + '\n{"candidate": 3, "spl'
    (tmp_path / "fits.jsonl").write_text(text)
    FITS.clear()
    resumed = GridSearchCV(Counted(), {"alpha": ALPHAS}, cv=3, n_jobs=1, refit=False).fit(X, y, checkpoint=tmp_path)
    assert len(FITS) == 12 - kept
    assert_same_scores(resumed, full)
    places = [(line["candidate"], line["split"]) for line in map(json.loads, lines(tmp_path)[1:])]
    assert len(places) == len(set(places)) == 12


def test_fused_and_others_resume_together(tmp_path):
    X, y = make(lazy=True)
    grid = [{"estimator": [Counted(), Ridge()], "estimator__alpha": ALPHAS}]
    model = Pipeline([("estimator", Ridge())])
    full = GridSearchCV(model, grid, cv=3, refit=False).fit(X, y, checkpoint=tmp_path)
    assert sorted(full.plan_.fused) == [4, 5, 6, 7]
    written = lines(tmp_path)
    fused = [line for line in written[1:] if json.loads(line)["candidate"] >= 4]
    alone = [line for line in written[1:] if json.loads(line)["candidate"] < 4]
    (tmp_path / "fits.jsonl").write_text("\n".join([written[0], *fused[:5], *alone[:7]]) + "\n")
    FITS.clear()
    resumed = GridSearchCV(model, grid, cv=3, refit=False).fit(X, y, checkpoint=tmp_path)
    assert len(FITS) == 12 - 7
    assert resumed.best_index_ == full.best_index_
    np.testing.assert_allclose(resumed.cv_results_["mean_test_score"], full.cv_results_["mean_test_score"], rtol=1e-10)


def test_our_estimators_in_turn_resume(tmp_path, monkeypatch):
    X, y = make(lazy=True)
    fitted = []
    monkeypatch.setattr(Ridge, "fit", lambda self, *data, fit=Ridge.fit: fitted.append(self.alpha) or fit(self, *data))
    search = GridSearchCV(Ridge(), {"alpha": ALPHAS}, cv=3, scoring="neg_median_absolute_error", refit=False)
    full = search.fit(X, y, checkpoint=tmp_path)
    assert not full.plan_.fused
    (tmp_path / "fits.jsonl").write_text("\n".join(lines(tmp_path)[:6]) + "\n")
    fitted.clear()
    search.fit(X, y, checkpoint=tmp_path)
    assert len(fitted) == 12 - 5


def test_a_failed_fit_is_remembered(tmp_path):
    X, y = make()
    grid = {"solver": ["svd", "unknown"]}
    for _ in range(2):
        with pytest.warns(FitFailedWarning, match="unknown"), pytest.warns(UserWarning, match="non-finite"):
            search = GridSearchCV(Counted(), grid, cv=3, refit=False).fit(X, y, checkpoint=tmp_path)
        assert len(FITS) == 6
        assert np.isnan(search.cv_results_["mean_test_score"]).tolist() == [False, True]


def test_another_search_is_refused(tmp_path):
    X, y = make()
    grid = {"alpha": ALPHAS}
    GridSearchCV(Counted(), grid, cv=3).fit(X, y, checkpoint=tmp_path)
    n_fits = len(FITS)
    others = [
        (GridSearchCV(Counted(), grid, cv=3), X + 1),
        (GridSearchCV(Counted(), grid, cv=4), X),
        (GridSearchCV(Counted(), grid, cv=ShuffleSplit(3)), X),
        (GridSearchCV(Counted(), {"alpha": ALPHAS[::-1]}, cv=3), X),
        (GridSearchCV(Counted(tol=0.1), grid, cv=3), X),
        (GridSearchCV(Counted(), grid, cv=3, scoring="neg_mean_squared_error"), X),
        (RandomizedSearchCV(Counted(), grid, n_iter=2, cv=3), X),
    ]
    for search, data in others:
        with pytest.raises(CheckpointError, match="other data, splits or parameters; name another folder"):
            search.fit(data, y, checkpoint=tmp_path)
    assert len(FITS) == n_fits


def test_what_is_no_journal_is_refused(tmp_path):
    X, y = make()
    (tmp_path / "fits.jsonl").write_text('{"finger": 1}\n')
    with pytest.raises(CheckpointError, match=r"fits\.jsonl cannot be read: its first line"):
        GridSearchCV(Counted(), {"alpha": ALPHAS}, cv=3).fit(X, y, checkpoint=tmp_path)
    with pytest.raises(CheckpointError, match="cannot tell this search from others"):
        GridSearchCV(Counted(), {"copy_X": [object()]}, cv=3).fit(X, y, checkpoint=tmp_path / "new")


def test_a_journal_gives_back_what_it_was_given(tmp_path):
    outcome = Outcome({"a": 1 / 3, "b": float("inf")}, {"a": -0.1}, 1e-9, 2.5, 7, "Traceback\n…", estimator=object())
    with CheckpointLog(tmp_path, "it") as log:
        log.write({(0, 1): outcome, (5, 0): Outcome({"a": np.float32(0.1)})})
    with CheckpointLog(tmp_path, "it") as log:
        assert log.outcomes[0, 1] == outcome._replace(estimator=None)
        assert log.outcomes[5, 0].test == {"a": float(np.float32(0.1))}


@pytest.mark.parametrize(("at", "n_kept"), [(1, 0), (7, 2), (9, 4)], ids=["at once", "on the way", "in the refit"])
def test_an_interrupt_keeps_finished_candidates(tmp_path, monkeypatch, at, n_kept):
    monkeypatch.setattr(dispatcher, "MAX_BATCH", 1)
    X, y = make()
    search = GridSearchCV(Counted(), {"alpha": ALPHAS}, cv=2, n_jobs=1)
    full = sklearn.model_selection.GridSearchCV(sklearn.linear_model.Ridge(), {"alpha": ALPHAS}, cv=2).fit(X, y)
    Counted.interrupt_at = at
    with warnings.catch_warnings(record=True, action="always") as caught, pytest.raises(KeyboardInterrupt):
        search.fit(X, y, checkpoint=tmp_path)
    interrupted.set()
    expected = [f"interrupted: cv_results_ has the {n_kept} of 4 candidates that were finished on all splits"]
    told = [text for text in (str(warning.message) for warning in caught) if text.startswith("interrupted")]
    assert told == (expected if n_kept < 4 else [])  # Python may warn of what other tests left, too
    assert not hasattr(search, "best_estimator_")
    if not n_kept:
        assert not hasattr(search, "cv_results_")
        return
    kept = [ALPHAS.index(params["alpha"]) for params in search.cv_results_["params"]]
    assert len(kept) == n_kept
    assert_array_equal(search.cv_results_["mean_test_score"], full.cv_results_["mean_test_score"][kept])
    assert search.best_params_ == search.cv_results_["params"][search.best_index_]
    assert search.best_score_ == search.cv_results_["mean_test_score"].max()
    FITS.clear()
    assert search.fit(X, y, checkpoint=tmp_path).best_params_ == full.best_params_
    assert len(FITS) == 9 - (at - 1)


@pytest.mark.filterwarnings("default")  # of what other tests left
def test_an_interrupt_where_all_failed_stays_one(monkeypatch):
    monkeypatch.setattr(dispatcher, "MAX_BATCH", 1)
    X, y = make()
    Counted.interrupt_at = 4
    search = GridSearchCV(Counted(solver="unknown"), {"alpha": ALPHAS}, cv=ShuffleSplit(1, random_state=0), n_jobs=1)
    with pytest.warns(UserWarning, match="the 3 of 4 candidates"), pytest.raises(KeyboardInterrupt):
        search.fit(X, y)
    interrupted.set()
    assert not hasattr(search, "cv_results_")


@pytest.mark.parametrize("estimator", [Counted(), Ridge()], ids=["graph", "fused"])
def test_progress_is_told(tmp_path, capsys, estimator):
    X, y = make(lazy=True)
    heard = []
    search = GridSearchCV(estimator, {"alpha": ALPHAS}, cv=3, verbose=1)
    with listening(heard.append):
        search.fit(X, y, checkpoint=tmp_path)
    assert heard[0] == FitProgress(0, 12, 0, None)
    assert heard[-1].fits == heard[-1].of == 12
    assert heard[-1].best == pytest.approx(search.best_score_, rel=1e-14)
    assert [progress.fits for progress in heard] == sorted(progress.fits for progress in heard)
    assert heard[-1].passes == (1 if isinstance(estimator, Ridge) else 0)
    bar = capsys.readouterr().err
    assert "search: 100%" in bar
    assert "12/12" in bar
    assert f"best={search.best_score_:.6g}" in bar
    heard.clear()
    with listening(heard.append):
        search.fit(X, y, checkpoint=tmp_path)
    assert [progress.fits for progress in heard] == [12]


def test_nothing_is_printed_unless_asked_for(capsys):
    X, y = make()
    GridSearchCV(Counted(), {"alpha": ALPHAS}, cv=3).fit(X, y)
    assert capsys.readouterr() == ("", "")


def test_the_best_is_that_of_the_score_that_decides():
    X, y = make()
    heard = []
    scoring = ["neg_mean_squared_error", "r2"]
    with listening(heard.append):
        search = GridSearchCV(Counted(), {"alpha": ALPHAS}, cv=3, scoring=scoring, refit="r2").fit(X, y)
    assert heard[-1].best == pytest.approx(search.best_score_, rel=1e-14)

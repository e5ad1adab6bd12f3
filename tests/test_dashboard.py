"""Dashboard: what its JSON says of fits, searches, trainings and jobs, and the page itself in a browser."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import dask
import numpy as np
import pytest
import sklearn.linear_model
from distributed import Client

from daskml_kit.activity import KEPT, note_pass, recorded
from daskml_kit.dashboard import Dashboard
from daskml_kit.engines.engine import Profile, watching
from daskml_kit.exceptions import DataError
from daskml_kit.linear_model import LogisticRegression, Ridge, SGDClassifier
from daskml_kit.model_selection import GridSearchCV, cross_val_score, submit
from daskml_kit.model_selection.search.progress import listening
from daskml_kit.parameter_server import Asynchronous, sgd, train

X = np.random.default_rng(0).normal(size=(400, 3))
y = (X[:, 0] > 0).astype(int)
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture
def page():
    with Dashboard() as page:
        yield page


@pytest.fixture
def shown(page):
    """A function that returns the activities that the page shows and that began after the test."""
    begun = time.time()

    def read():
        return [one for one in json_of(page, "activities.json")["activities"] if one["started"] >= begun]

    return read


def json_of(page, name):
    with urllib.request.urlopen(page.url + name) as answer:
        return json.load(answer)


def test_fit_is_shown_while_it_runs_and_after(shown):
    seen = []
    with watching(lambda profile: seen.append((profile.where, shown()))):
        model = LogisticRegression(solver="lbfgs").fit(X, y)
    for passes, (_, (running,)) in enumerate(seen[:-1], 1):
        assert (running["status"], running["passes"], running["stage"]) == ("running", passes, "fitting")
        assert 0 <= running["overhead"] <= 1
    (ended,) = shown()
    assert (ended["name"], ended["status"], ended["stage"]) == ("LogisticRegression", "ended", "")
    assert (ended["passes"], ended["overhead"]) == (model.profile_.passes, model.profile_.overhead())
    passes, losses = zip(*ended["loss"]["points"], strict=True)
    assert losses[0] == pytest.approx(math.log(2))
    assert losses[-1] < losses[0] / 2
    assert passes[-1] == model.profile_.passes


def test_passes_over_a_sample_do_not_count(shown):
    rows = np.random.default_rng(0).normal(size=(50_000, 3))
    model = LogisticRegression().fit(rows, rows[:, 0] > 0)
    assert "from a fit of a sample" in model.profile_.solver
    assert [one["passes"] for one in shown()] == [model.profile_.passes]


def test_failed_and_interrupted_fits_say_so(shown):
    with pytest.raises(DataError):
        LogisticRegression().fit(np.where(X > 2, np.nan, X), y)

    def interrupt(profile):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), watching(interrupt):
        Ridge().fit(X, y)
    failed, interrupted = shown()
    assert (failed["status"], interrupted["status"]) == ("failed", "interrupted")
    assert failed["error"].startswith("DataError: ")


def test_search_tells_fits_and_best_score(shown):
    seen = []
    with listening(lambda progress: seen.append(shown()[-1]["search"])):
        search = GridSearchCV(sklearn.linear_model.Ridge(), {"alpha": [1.0, 9.0]}, cv=2, n_jobs=1).fit(X, y)
    assert [now["fits"] for now in seen] == [0, 1, 2, 3, 4]
    assert seen[0] == {"fits": 0, "of": 4, "splits": 2, "best": None, "seconds_left": None}
    assert seen[-1]["best"] == search.best_score_
    assert seen[2]["seconds_left"] > seen[-1]["seconds_left"] == 0
    assert [one["name"] for one in shown()] == ["GridSearchCV of Ridge"]


def test_fits_of_a_search_are_not_listed(shown):
    grid = {"alpha": [0.1, 1.0]}
    search = GridSearchCV(SGDClassifier(max_iter=2, tol=None, random_state=0), grid, cv=2, n_jobs=2).fit(X, y)
    assert search.plan_.fused == []
    cross_val_score(LogisticRegression(), X, y, cv=2)
    names = ["GridSearchCV of SGDClassifier", "cross-validation of LogisticRegression"]
    assert [one["name"] for one in shown()] == names
    assert [one["search"]["fits"] for one in shown()] == [4, 2]


def squares(params, X, y):
    error = X @ params["w"] - y
    return (error**2).mean(), {"w": 2 * X.T @ error / len(y)}


def test_training_tells_losses_staleness_and_waiting(shown):
    options = {"epochs": 3, "batch_size": 20, "validation_fraction": 0.2, "n_jobs": 2, "update": sgd(0.01)}
    history = train(squares, {"w": np.zeros(3)}, X, y, training=Asynchronous(push_every=1), **options).history
    (found,) = shown()
    training = found["training"]
    assert (found["name"], found["status"], training["epochs"]) == ("train squares", "ended", 3)
    assert training["loss"] == [[epoch.epoch + 1, epoch.loss] for epoch in history.epochs]
    assert training["validation"] == [[epoch.epoch + 1, epoch.validation_loss] for epoch in history.epochs]
    assert training["rows"] == sum(epoch.n_rows for epoch in history.epochs)
    assert dict(training["staleness"]) == dict(history.staleness_counts)
    assert training["pushes"] == sum(history.staleness_counts.values())
    assert dict(training["waiting"]) == history.idle


def test_jobs_of_a_cluster_are_shown(client):
    other = Client(client.scheduler.address, set_as_default=False)
    job = submit(GridSearchCV(Ridge(), {"alpha": [1.0, 9.0]}, cv=2), X, y, name="<nightly>")
    best = job.result().best_score_
    with Dashboard(client=other) as page:
        (found,) = json_of(page, "jobs.json")["jobs"]
        assert (found["name"], found["status"]) == ("<nightly>", "finished")
        assert (found["fits"], found["of"], found["best"]) == (4, 4, best)
        job.forget()
        assert json_of(page, "jobs.json")["jobs"] == []
        other.close()
        assert json_of(page, "jobs.json")["error"].startswith("LostSchedulerError: ")


def test_without_a_cluster_there_are_no_jobs(page):
    assert json_of(page, "jobs.json") == {"jobs": [], "dask": None}


def test_pages_show_the_same_until_they_are_closed(page):
    other = Dashboard()
    Ridge().fit(X, y)
    own, others = (json_of(each, "activities.json")["activities"][-1] for each in (page, other))
    assert own == others
    with pytest.raises(urllib.error.HTTPError, match="404"):  # the secret of another page
        urllib.request.urlopen(page.url.replace(page.url.split("/")[3], other.url.split("/")[3]))
    assert other.url in repr(other)
    assert f'href="{other.url}"' in other._repr_html_()
    other.close()
    other.close()
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(other.url)
    assert repr(other) == "<Dashboard: closed>"
    assert other.url not in other._repr_html_()
    assert json_of(page, "activities.json")["activities"]


def test_page_only_answers_what_it_is_made_for(page):
    with urllib.request.urlopen(page.url) as answer:
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'self'")
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    port = page.url.split("/")[2]
    for url in (f"http://{port}/", page.url[:-1], page.url + "live_page.py", page.url + "../../etc/passwd"):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(url)
    with pytest.raises(urllib.error.HTTPError, match="501"):
        urllib.request.urlopen(page.url, data=b"{}")


def test_only_the_last_activities_are_kept(shown):
    for number in range(2 * KEPT):
        with recorded(f"fit {number}"):
            note_pass(Profile())
    with recorded("no pass over data"):
        pass
    assert [one["name"] for one in shown()] == [f"fit {number}" for number in range(KEPT, 2 * KEPT)]


def test_threads_have_an_activity_each(shown):
    def fit(n_features):
        return LogisticRegression(solver="lbfgs").fit(X[:, : 1 + n_features % 3], y)

    with ThreadPoolExecutor(8) as threads:
        models = list(threads.map(fit, range(8)))
    assert {one["status"] for one in shown()} == {"ended"}
    assert sorted(one["passes"] for one in shown()) == sorted(model.profile_.passes for model in models)


def test_address_leads_through_the_proxy_of_dask_dashboards(monkeypatch):
    monkeypatch.setenv("NOTEBOOK_USER", "ann")
    link = "/user/{NOTEBOOK_USER}/proxy/{port}/status"
    with dask.config.set({"distributed.dashboard.link": link}), Dashboard() as page:
        assert page.url.startswith("/user/ann/proxy/")
    with dask.config.set({"distributed.dashboard.link": "{NOT_SET}/status"}), pytest.raises(KeyError, match="NOT_SET"):
        Dashboard()


def test_bad_arguments_are_named(page):
    with pytest.raises(ValueError, match="port: expected an integer from 0 to 65535, got -1"):
        Dashboard(port=-1)
    with pytest.raises(TypeError, match="client: expected a Dask client, got 'local'"):
        Dashboard(client="local")
    with pytest.raises(OSError, match="port"):
        Dashboard(port=int(page.url.split("/")[2].partition(":")[2]))


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")
def test_page_in_a_browser(page, tmp_path):
    LogisticRegression(solver="lbfgs").fit(X, y)
    SGDClassifier(max_iter=3, tol=None, early_stopping=True, random_state=0).fit(X, y)
    GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, cv=3).fit(X, y)
    with recorded("<img src=x onerror=alert(1)>"):
        note_pass(Profile())
        options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}"]
        command = [CHROMIUM, *options, "--virtual-time-budget=3000", "--dump-dom", page.url]
        found = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    for text in (
        ">live</span>",
        ">GridSearchCV of LogisticRegression</h3>",
        ">6 of 6 (2 candidates × 3 splits)</dd>",
        ">SGDClassifier</h3>",
        ">3 of 3</dd>",
        ">workers waiting</text>",
        ">mean loss</text>",
        ">overhead</dt>",
        ">&lt;img src=x onerror=alert(1)&gt;</h3>",
        "<title>(1) daskml_kit dashboard</title>",
    ):
        assert text in found
    assert "<img" not in found

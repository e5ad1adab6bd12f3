"""The command line, from the files that it reads to the folder that it writes."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn.metrics

from daskml_kit.__main__ import main
from daskml_kit.cli.errors import JobError
from daskml_kit.cli.models import MODELS
from daskml_kit.cli.table import load_table, open_source
from daskml_kit.cli.train_command import Stages, save
from daskml_kit.model_selection import train_test_split


def houses(n=400, seed=0):
    """Rows with missing values of every kind: price is a number, kind a name, sold a whole number."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "rooms": rng.integers(1, 9, n),
            "size": rng.normal(100, 30, n),
            "town": rng.choice(["Ulm", "Bonn", "Kiel"], n),
            "garden": rng.random(n) < 0.5,
            "empty": np.full(n, np.nan),
        }
    )
    frame["price"] = 3 * frame["size"] + 40 * frame["rooms"] + 50 * (frame["town"] == "Bonn") + rng.normal(0, 20, n)
    frame["kind"] = np.where(frame["price"] > 480, "dear", "cheap")
    frame["sold"] = (frame["price"] + rng.normal(0, 100, n) > 480).astype(int)
    frame.loc[::7, "size"] = np.nan
    frame.loc[::11, "town"] = None
    frame.loc[[3, 5, 8], ["price", "kind"]] = [np.nan, None]
    return frame


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "houses.csv"
    houses().to_csv(path, index=False)
    return path


@pytest.fixture(scope="session")
def flights(tmp_path_factory):
    """One run on all flights: the folder that it wrote, what it printed, its report."""
    out = tmp_path_factory.mktemp("flights") / "model"
    done = subprocess.run(
        [sys.executable, "-m", "daskml_kit", "train", "flights", "--out", str(out)],
        capture_output=True,
        text=True,
        check=True,
    )
    return out, done, json.loads((out / "report.json").read_text())


def report_of(out):
    return json.loads((out / "report.json").read_text())


def modes_in(out):
    return [stat.S_IMODE(path.stat().st_mode) for path in (out, *out.iterdir())]


@pytest.mark.slow
def test_flights_says_what_it_read_and_beats_the_baseline(flights):
    out, done, report = flights
    assert done.stderr == ""
    assert sorted(path.name for path in out.iterdir()) == ["model.joblib", "report.json"]
    assert report["rows"] == 336_776
    assert report["dropped"] == 9_430
    assert report["train_rows"] + report["test_rows"] == 336_776 - 9_430
    assert report["test_rows"] / (336_776 - 9_430) == pytest.approx(0.25, abs=0.005)
    assert report["columns"]["numeric"] == ["distance"]
    assert sorted(report["columns"]["categorical"]) == [
        "carrier",
        "day_of_week",
        "dest",
        "month",
        "origin",
        "sched_arr_hour",
        "sched_dep_hour",
    ]
    assert report["converged"]
    assert report["test"]["ROC AUC"]["model"] > 0.68
    assert report["test"]["log-loss"]["model"] < report["test"]["log-loss"]["baseline"] - 0.03
    for said in ("336,776 read, 9,430 dropped", "converged", "ROC AUC", "sched_dep_hour_5"):
        assert said in done.stdout


@pytest.mark.slow
def test_the_saved_pipeline_is_the_one_that_was_tested(flights):
    out, _, report = flights
    table = load_table(open_source("flights", None), None)
    _, test = train_test_split(table.frame, test_size=0.25, stratify=table.frame["late"], random_state=0)
    rows = test.compute()
    pipeline = joblib.load(out / "model.joblib")
    p = pipeline.predict_proba(rows[table.features])[:, 1]
    expected = {
        "accuracy": sklearn.metrics.accuracy_score(rows.late, pipeline.predict(rows[table.features])),
        "log-loss": sklearn.metrics.log_loss(rows.late, p),
        "ROC AUC": sklearn.metrics.roc_auc_score(rows.late, p),
    }
    assert {name: both["model"] for name, both in report["test"].items()} == pytest.approx(expected, rel=1e-9)


@pytest.mark.slow
def test_the_saved_pipeline_needs_scikit_learn_alone(flights):
    code = """
import sys
sys.modules.update(dict.fromkeys(["daskml_kit", "dask", "distributed"]))
import joblib, pandas
model = joblib.load(sys.argv[1])
row = dict(month=7, carrier="UA", origin="EWR", dest="nowhere", distance=719, day_of_week=4, sched_dep_hour=19,
           sched_arr_hour=21)
print(model.predict_proba(pandas.DataFrame([row]))[0, 1])
"""
    order = [sys.executable, "-c", code, str(flights[0] / "model.joblib")]
    done = subprocess.run(order, capture_output=True, text=True, check=True)
    assert 0.2 < float(done.stdout) < 0.8


def test_csv_with_missing_values(table, tmp_path, capsys):
    assert main(["train", str(table), "--target", "kind", "--out", str(tmp_path / "out")]) == 0
    report = report_of(tmp_path / "out")
    assert (report["rows"], report["dropped"], report["task"]) == (400, 3, "classification")
    assert report["columns"] == {
        "numeric": ["rooms", "size", "price", "sold"],
        "categorical": ["town"],
        "flags": ["garden"],
        "text": [],
    }
    assert report["unused"] == {"empty": "no values"}
    assert "empty (no values)" in capsys.readouterr().out
    pipeline = joblib.load(tmp_path / "out" / "model.joblib")
    rows = houses(50, seed=1)
    assert (pipeline.predict(rows) == rows["kind"])[rows["kind"].notna()].mean() > 0.9


@contextmanager
def dashboard_port_held():
    """Hold port 8787, as another Dask cluster would, if none does already."""
    with socket.socket() as held:
        try:
            held.bind(("127.0.0.1", 8787))
            held.listen()
        except OSError:
            pass
        yield


@pytest.mark.slow
def test_parquet_glob_and_regression_on_two_workers_beside_another_cluster(tmp_path, capsys):
    for part in range(3):
        houses(200, seed=part).drop(columns="kind").to_parquet(tmp_path / f"part{part}.parquet")
    order = ["train", str(tmp_path / "part*.parquet"), "--target", "price", "--out"]
    with dashboard_port_held():
        assert main([*order, str(tmp_path / "two"), "--workers", "2"]) == 0
    printed = capsys.readouterr()
    assert re.fullmatch(r"dashboard +http://\S+:(?!8787)\d+/status\n", printed.err)
    assert "2 worker processes" in printed.out
    assert main([*order, str(tmp_path / "here")]) == 0
    two, here = report_of(tmp_path / "two"), report_of(tmp_path / "here")
    assert (two["rows"], two["task"], two["partitions"]) == (600, "regression", 3)
    assert two["where"] == "on 2 worker processes"
    assert two["test"]["R2"]["model"] == pytest.approx(here["test"]["R2"]["model"], rel=1e-12)
    assert two["test"]["RMSE"]["model"] < two["test"]["RMSE"]["baseline"] / 2
    assert two["coefficients"][0]["feature"] in ("size", "rooms")


PROBABLE = ("logistic", "bayes", "discriminant", "mlp")


@pytest.mark.parametrize(("task", "model"), [(task, model) for task, models in MODELS.items() for model in models])
def test_every_model(table, tmp_path, task, model):
    target = "sold" if task == "classification" else "rooms"
    order = ["train", str(table), "--target", target, "--task", task, "--model", model, "--out", str(tmp_path / "out")]
    assert main([*order, "--quiet"]) == 0
    report = report_of(tmp_path / "out")
    assert report["model"].startswith(model)
    assert set(report["test"]) == {"regression": {"R2", "RMSE", "MAE"}}.get(
        task, {"accuracy", "ROC AUC"} | ({"log-loss"} if model in PROBABLE else set())
    )
    rows = houses(20)
    assert joblib.load(tmp_path / "out" / "model.joblib").predict(rows).shape == (20,)


def test_three_classes(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=300)})
    frame["y"] = pd.cut(frame["x"] + rng.normal(0, 0.1, 300), [-9, -0.5, 0.5, 9], labels=["low", "mid", "high"])
    frame["when"] = pd.date_range("2020-01-01", periods=300)
    frame["count"] = pd.array([1, None, 3] * 100, dtype="Int64")
    frame.to_parquet(tmp_path / "table.parquet")
    assert main(["train", str(tmp_path), "--target", "y", "--out", str(tmp_path / "out"), "--quiet"]) == 0
    report = report_of(tmp_path / "out")
    assert report["test"]["ROC AUC"]["model"] > 0.9
    assert report["coefficients"][0]["of"] in ("low", "mid", "high")
    assert report["columns"]["numeric"] == ["x", "count"]
    assert report["unused"]["when"] == "dates"


def test_a_table_that_does_not_fit_in_memory_is_read_in_each_pass(table, tmp_path, monkeypatch):
    order = ["train", str(table), "--target", "kind", "--quiet", "--out"]
    assert main([*order, str(tmp_path / "held")]) == 0
    monkeypatch.setattr("daskml_kit.data.collections.FIT_FRACTION", 0)
    assert main([*order, str(tmp_path / "read")]) == 0
    assert report_of(tmp_path / "read")["test"] == report_of(tmp_path / "held")["test"]


@pytest.mark.slow
def test_on_a_running_scheduler(cluster, table, tmp_path):
    order = ["train", str(table), "--target", "kind", "--quiet", "--out"]
    assert main([*order, str(tmp_path / "there"), "--scheduler", cluster.scheduler_address]) == 0
    assert main([*order, str(tmp_path / "here")]) == 0
    there, here = report_of(tmp_path / "there"), report_of(tmp_path / "here")
    assert there["where"] == f"on the cluster at {cluster.scheduler_address}"
    assert there["test"] == here["test"]


def test_an_earlier_result_is_replaced_and_a_failure_leaves_it(table, tmp_path, monkeypatch):
    out = tmp_path / "out"
    assert main(["train", str(table), "--target", "kind", "--out", str(out), "--quiet"]) == 0
    assert modes_in(out) == [0o700, 0o600, 0o600]
    out.chmod(0o755)
    assert main(["train", str(table), "--target", "sold", "--out", str(out), "--quiet"]) == 0
    assert modes_in(out) == [0o755, 0o600, 0o600]
    assert report_of(out)["target"] == "sold"
    before = sorted(tmp_path.iterdir())

    def full(value, path):
        path.write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr("daskml_kit.cli.train_command.joblib.dump", full)
    with pytest.raises(JobError, match="No space left"):
        save(out, None, {})
    assert sorted(tmp_path.iterdir()) == before
    assert report_of(out)["target"] == "sold"


def test_a_bar_on_a_terminal_only(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    for stream, shown in ((Terminal(), True), (io.StringIO(), False)):
        monkeypatch.setattr("sys.stderr", stream)
        with Stages(["read", "fit"]) as stages, stages.stage("read"):
            pass
        assert ("read" in stream.getvalue()) == shown
        assert stages.seconds["read"] >= 0


def write(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    return str(tmp_path / name)


@pytest.mark.parametrize(
    ("order", "message"),
    [
        (["TABLE", "--target", "prise"], "no column 'prise'; did you mean 'price'?"),
        (["TABLE"], "--target: expected the name of a column"),
        (["TABLE", "--target", "empty"], "column 'empty' is missing in all 400 rows"),
        (["TABLE", "--target", "town", "--task", "regression"], "regression expects numbers"),
        (["TABLE", "--target", "price", "--task", "classification"], "more than 100 classes"),
        (["TABLE", "--target", "sold", "--model", "logistc"], "no model 'logistc'; did you mean 'logistic'?"),
        (["TABLE", "--target", "sold", "--task", "classification", "--model", "gamma"], "there are logistic, svc"),
        (["TABLE", "--target", "sold", "--test-size", "2"], "--test-size: expected a share between 0 and 1"),
        (["TABLE", "--target", "sold", "--workers", "0"], "--workers: expected at least 1"),
        (["TABLE", "--target", "sold", "--scheduler", "nowhere"], "cannot reach nowhere: expected tcp://host:8786"),
        (["TABLE", "--target", "sold", "--seed", "-1"], "--seed: expected a number from 0"),
        (["TABLE", "--target", "sold", "--drop", "rom"], "--drop: there is no column 'rom'; did you mean 'rooms'"),
        (["TABLE", "--target", "sold", "--drop", "sold"], "--drop: 'sold' is the target"),
        (["TABLE", "--target", "sold", "--drop", "size", "--numeric", "size"], "is named by --numeric, too"),
        (["TABLE", "--target", "sold", "--numeric", "town"], "--numeric: column 'town' holds '"),
        (["a,y\n" + "".join(f"1,c{i}\n" for i in range(101)), "--target", "y"], "so it is no number either"),
        (["a,b,y\n1,1,0\n1,inf,1\n2,1,0\n", "--target", "y"], "column 'b' holds infinity in 1 rows"),
        (["https://nowhere.invalid/a.csv", "--target", "y"], "cannot read https://nowhere.invalid/a.csv: "),
        (["TABLE", "--target", "sold", "--scheduler", "tcp://127.0.0.1:1"], "cannot reach tcp://127.0.0.1:1"),
        (["flights", "--target", "lat"], "flights has no target 'lat'; did you mean 'late'?"),
        (["missing.csv", "--target", "y"], "cannot read missing.csv: no such file"),
        (["table.xls", "--target", "y"], "cannot read table.xls: no such file"),
        ([__file__, "--target", "y"], "expected files that end in .csv"),
        (["one,class\n1,a\n2,a\n", "--target", "class"], "column 'class' has one class only, 'a'"),
        (["a,y\n1,x\n2,z\n", "--target", "y"], "too few rows|one class only"),
        (["y\n1\n2\n", "--target", "y"], "no column is left"),
        (["", "--target", "y"], "No columns to parse"),
        (["a,y\n", "--target", "y"], "0 sample(s)"),
        (["a,y\n1,2.5\n", "--target", "y"], "too few rows"),
        (["a,y\n1,2\n3,4,5\n", "--target", "y"], "Expected 2 fields in line 3, saw 3"),
    ],
)
def test_errors_are_one_line_and_nothing_is_written(order, message, table, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("daskml_kit.cli.place.CONNECT_SECONDS", 0.3)
    data = str(table) if order[0] == "TABLE" else order[0]
    data = write(tmp_path, "data.csv", data) if "\n" in data or not data else data
    before = sorted(tmp_path.iterdir())
    assert main(["train", data, *order[1:], "--out", str(tmp_path / "out")]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("daskml-kit: error: ")
    assert printed.err.count("\n") == 1
    assert any(part in printed.err for part in message.split("|"))
    assert sorted(tmp_path.iterdir()) == before


def test_a_type_that_changes_after_the_first_rows_is_named(tmp_path, capsys):
    data = write(tmp_path, "data.csv", "a,y\n" + "1,2\n" * 100_000 + "x,2\n")
    assert main(["train", data, "--target", "y", "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.endswith("column 'a' holds str, its first rows float64\n")


@pytest.mark.parametrize(
    "order",
    [
        [],
        ["train"],
        ["train", "flights", "--task", "magic"],
        ["train", "a.csv", "--workers", "x"],
        ["train", "a.csv", "--target", "y", "--workers", "1", "--scheduler", "tcp://localhost:1"],
        ["search", "a.csv", "--target", "y"],
        ["search", "a.csv", "--target", "y", "--grid", "C"],
        ["search", "a.csv", "--target", "y", "--grid", "C=1", "--folds", "1"],
        ["search", "a.csv", "--target", "y", "--grid", "C=1", "--scoring", "accurcy"],
        ["search", "a.csv", "--target", "y", "--grid", "c=1", "--task", "classification", "--model", "logistic"],
        ["search", "a.csv", "--target", "y", "--grid-file", "gone.toml"],
        ["evaluate", "gone", "a.csv", "--target", "y"],
        ["describe", "gone.csv"],
        ["partition", "gone.csv"],
        ["submit", "a.csv", "--target", "y", "--name", "job"],
        ["attach", "job", "--workers", "1"],
        ["jobs"],
    ],
)
def test_a_wrong_order_is_one_line(order, capsys):
    assert main(order) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("daskml-kit: error: ")
    assert printed.count("\n") == 1


def test_another_folder_is_not_overwritten(table, tmp_path, capsys):
    assert main(["train", str(table), "--target", "sold", "--out", str(tmp_path)]) == 2
    assert "holds other files (houses.csv)" in capsys.readouterr().err
    for out in (table, table / "below"):
        assert main(["train", str(table), "--target", "sold", "--out", str(out)]) == 2
        assert "is a file" in capsys.readouterr().err


def test_ctrl_c_saves_nothing(table, tmp_path, capsys, monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("daskml_kit.cli.train_command.load_table", interrupted)
    assert main(["train", str(table), "--target", "sold", "--out", str(tmp_path / "out")]) == 130
    assert capsys.readouterr().err == "daskml-kit: interrupted, nothing was saved\n"
    assert not (tmp_path / "out").exists()


@pytest.fixture
def trained(table, tmp_path):
    out = tmp_path / "model"
    assert main(["train", str(table), "--target", "kind", "--drop", "price,sold", "--out", str(out), "--quiet"]) == 0
    return out


@pytest.mark.parametrize("name", ["predicted.csv", "predicted.parquet"])
def test_predictions_for_a_table_are_those_of_the_pipeline(trained, table, tmp_path, capsys, name):
    out, read = tmp_path / name, pd.read_csv if name.endswith("csv") else pd.read_parquet
    order = ["predict", str(trained), str(table), "--out", str(out), "--proba", "--keep", "town,price"]
    assert main(order) == 0
    assert capsys.readouterr().out == f"saved         {out}, on this machine's threads\n"
    found, rows = read(out), pd.read_csv(table)
    model = joblib.load(trained / "model.joblib")
    assert list(found) == ["town", "price", "prediction", "probability_cheap", "probability_dear"]
    assert found["prediction"].tolist() == model.predict(rows).tolist()
    np.testing.assert_allclose(found["probability_dear"], model.predict_proba(rows)[:, 1])
    np.testing.assert_allclose(found["price"], rows["price"])


@pytest.mark.slow
def test_predictions_of_a_table_of_many_blocks_on_processes(trained, table, tmp_path):
    rows = pd.concat([pd.read_csv(table)] * 3, ignore_index=True)
    for at in range(3):
        rows.iloc[at * 400 : at * 400 + 400 * (at != 1)].to_parquet(tmp_path / f"{at}.parquet")
    out = tmp_path / "all.parquet"
    assert main(["predict", str(trained), str(tmp_path / "*.parquet"), "--out", str(out), "--workers", "1"]) == 0
    expected = joblib.load(trained / "model.joblib").predict(rows[:400]).tolist()
    assert pd.read_parquet(out)["prediction"].tolist() == expected * 2


@pytest.mark.parametrize(
    ("order", "message"),
    [
        (["MODEL", "TABLE", "--out", "p.txt"], "--out: expected a name that ends in .csv or .parquet"),
        (["MODEL", "TABLE", "--out", "no/p.csv"], "--out: there is no folder"),
        (["MODEL", "TABLE", "--out", "houses.csv"], "exists; expected a new name"),
        (["none", "TABLE", "--out", "p.csv"], "cannot load none"),
        (["MODEL", "gone.csv", "--out", "p.csv"], "cannot read gone.csv: no such file"),
        (["MODEL", "flights", "--out", "p.csv"], "flights lacks columns of the model: rooms, size, town, garden"),
        (["MODEL", "TABLE", "--out", "p.csv", "--keep", "x"], "lacks columns of --keep: x"),
    ],
)
def test_errors_of_predictions_are_one_line_and_nothing_is_written(trained, table, tmp_path, capsys, order, message):
    places = {"MODEL": str(trained), "TABLE": str(table), order[3]: str(tmp_path / order[3])}
    before = sorted(tmp_path.iterdir())
    assert main(["predict", *(places.get(word, word) for word in order)]) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("daskml-kit: error: ")
    assert printed.count("\n") == 1
    assert message in printed
    assert sorted(tmp_path.iterdir()) == before


def test_a_model_of_somebody_else_is_not_loaded(trained, table, tmp_path, capsys):
    (trained / "model.joblib").chmod(0o666)
    assert main(["predict", str(trained), str(table), "--out", str(tmp_path / "p.csv")]) == 2
    assert "others than its owner may write to it" in capsys.readouterr().err


def test_columns_that_make_no_features_are_told(tmp_path, capsys):
    rows = pd.DataFrame(
        {
            "y": np.arange(60) % 2 == 0,
            "size": np.arange(60.0),
            "code": np.where(np.arange(60) % 3, "01234", "99x"),
            "id": [f"u{at}" for at in range(60)],
            "paid": [f"${at},000.50" for at in range(60)],
            "day": pd.date_range("2024-01-01", periods=60).astype(str),
            "note": "long text that says something about the row, again and again",
        }
    )
    rows.to_csv(tmp_path / "a.csv", index=False)
    rows.assign(day=pd.to_datetime(rows["day"])).to_parquet(tmp_path / "a.parquet")
    for number, name in enumerate(("a.csv", "a.parquet")):
        out = tmp_path / f"model{number}"
        assert main(["train", str(tmp_path / name), "--target", "y", "--out", str(out), "--test-size", "0.1"]) == 0
        report = json.loads((out / "report.json").read_text())
        assert report["columns"] == {"numeric": ["size"], "categorical": ["code"], "flags": [], "text": []}
        reasons = [reason.split(",")[0] for reason in report["unused"].values()]
        assert reasons == ["ids", "numbers as text", "dates", "text"]
        assert "few test rows of class False (3)" in capsys.readouterr().out
        assert joblib.load(out / "model.joblib").classes_.dtype == bool
    again = ["train", str(tmp_path / "a.csv"), "--target", "y", "--categorical", "id", "--out", str(out)]
    assert main(again) == 0
    assert f"the model that was in {out} before has been replaced" in capsys.readouterr().out
    assert json.loads((out / "report.json").read_text())["columns"]["categorical"] == ["code", "id"]


@pytest.mark.slow
def test_ctrl_c_of_a_terminal_ends_worker_processes_without_a_word(tmp_path):
    order = ["train", "flights", "--workers", "1", "--out", str(tmp_path / "out")]
    with subprocess.Popen(
        [sys.executable, "-m", "daskml_kit", *order], stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as running:
        dashboard = running.stderr.readline()
        os.killpg(running.pid, signal.SIGINT)  # a terminal sends it to all of the group
        printed = running.stderr.read()
    assert dashboard.startswith("dashboard ")
    assert printed == "daskml-kit: interrupted, nothing was saved\n"
    assert running.returncode == 130
    assert not (tmp_path / "out").exists()


def test_a_search_keeps_the_best_of_the_grid(table, tmp_path, capsys):
    (tmp_path / "grid.toml").write_text("C = [1e-6, 1.0]\n")
    out = tmp_path / "out"
    order = ["search", str(table), "--target", "kind", "--drop", "price,sold", "--folds", "3", "--out", str(out)]
    assert main([*order, "--grid-file", str(tmp_path / "grid.toml"), "--grid", "fit_intercept=true,false"]) == 0
    assert "the best of 4 candidates on 3 folds" in capsys.readouterr().out
    found = report_of(out)["search"]
    scores = [candidate["mean score"] for candidate in found["candidates"]]
    assert scores == sorted(scores, reverse=True)
    assert joblib.load(out / "model.joblib")["model"].C == found["candidates"][0]["C"] == 1.0


def test_words_of_a_text_column_are_features(tmp_path):
    rng = np.random.default_rng(0)
    kind = rng.choice(["fine", "broken", ""], 300)
    frame = pd.DataFrame({"size": rng.normal(size=300), "note": kind, "y": kind == "fine"})
    frame.to_csv(tmp_path / "a.csv", index=False)
    out = tmp_path / "out"
    assert main(["train", str(tmp_path / "a.csv"), "--target", "y", "--text", "note", "--out", str(out)]) == 0
    assert report_of(out)["test"]["accuracy"]["model"] == 1
    assert report_of(out)["coefficients"][0]["feature"] == "note__fine"
    model = joblib.load(out / "model.joblib")
    assert model.predict(pd.DataFrame({"size": [0.0, 0.0], "note": ["fine", None]})).tolist() == [True, False]


def test_evaluation_of_the_training_table_is_that_of_scikit_learn(trained, table, capsys):
    assert main(["evaluate", str(trained), str(table), "--target", "kind"]) == 0
    printed = capsys.readouterr().out
    rows = pd.read_csv(table).dropna(subset=["kind"])
    model = joblib.load(trained / "model.joblib")
    loss = sklearn.metrics.log_loss(rows["kind"], model.predict_proba(rows))
    assert f"{len(rows)} rows of {table}" in printed
    assert float(re.search(r"log-loss +(\S+)", printed)[1]) == pytest.approx(loss, abs=1e-4)
    assert main(["evaluate", str(trained), str(table), "--target", "price"]) == 2
    assert "column 'price' holds none of the model's classes: cheap, dear" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # Dask's, where it reads Parquet without an index
def test_a_table_is_described_and_partitioned(table, tmp_path, capsys):
    assert main(["describe", str(table)]) == 0
    assert re.search(r"town +string +363 +37", capsys.readouterr().out)
    out = tmp_path / "by_garden"
    order = ["partition", str(table), "--by", "garden", "--labels", "kind", "--npartitions", "4", "--out", str(out)]
    assert main(order) == 0
    assert "rows 400, blocks 4" in capsys.readouterr().out
    assert sum(pd.read_parquet(path)["garden"].nunique() for path in out.glob("*.parquet")) == 2
    assert main(order) == 2
    assert f"--out: {out} exists" in capsys.readouterr().err


@pytest.mark.slow
def test_a_submitted_training_is_collected_by_another_command(cluster, table, tmp_path, capsys):
    there = ["--scheduler", cluster.scheduler_address]
    order = ["submit", str(table), "--target", "kind", "--grid", "C=0.1,1", "--folds", "2", "--name", "houses"]
    assert main([*order, *there]) == 0
    assert main([*order, *there]) == 2
    assert "there is a job 'houses'" in capsys.readouterr().err
    assert main(["attach", "houses", "--out", str(tmp_path / "job"), *there]) == 0
    assert main(["search", *order[1:8], "--out", str(tmp_path / "here")]) == 0
    assert report_of(tmp_path / "job")["test"] == report_of(tmp_path / "here")["test"]
    capsys.readouterr()
    assert main(["jobs", *there]) == 0
    assert re.search(r"houses +finished", capsys.readouterr().out)
    assert main(["jobs", "--forget", "houses", *there]) == 0
    assert capsys.readouterr().out.startswith("no jobs")


@pytest.mark.slow
def test_ranks_of_mpi_are_a_cluster(table, tmp_path):
    launcher = Path(sys.executable).with_name("mpiexec")  # of the openmpi package
    order = [str(launcher), "--allow-run-as-root", "--oversubscribe", "-n", "4", sys.executable, "-m", "daskml_kit"]
    job = ["train", str(table), "--target", "kind", "--out", str(tmp_path / "ranks"), "--mpi"]
    done = subprocess.run([*order, *job], capture_output=True, text=True, timeout=300, check=True)
    assert "on 2 MPI ranks" in done.stdout
    assert main(["train", str(table), "--target", "kind", "--out", str(tmp_path / "here"), "--quiet"]) == 0
    assert report_of(tmp_path / "ranks")["test"] == report_of(tmp_path / "here")["test"]


@pytest.mark.slow
def test_completion_in_a_shell_names_the_commands():
    asked = {"_DASKML_KIT_COMPLETE": "bash_complete", "COMP_WORDS": "daskml-kit s", "COMP_CWORD": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "daskml_kit"], capture_output=True, text=True, env={**os.environ, **asked}, check=True
    )
    assert done.stdout.split() == ["plain,search", "plain,submit"]

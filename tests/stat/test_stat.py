"""Descriptions and correlations against those of pandas, on any blocks."""

from __future__ import annotations

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from pandas.testing import assert_frame_equal

from daskml_kit.engines.engine import watching
from daskml_kit.exceptions import DataError
from daskml_kit.reductions import column_summary
from daskml_kit.stat import corr, describe

N_ROWS = 5_000
draw = np.random.default_rng(0)
FRAME = pd.DataFrame(
    {
        "size": draw.normal(1e6, 2.0, N_ROWS),
        "rooms": draw.integers(0, 9, N_ROWS),
        "town": draw.choice(["Ulm", "Bonn", "Kiel"], N_ROWS, p=[0.6, 0.3, 0.1]),
        "kind": pd.Categorical(draw.choice(["a", "b"], N_ROWS)),
        "when": pd.date_range("2024-01-01", periods=N_ROWS, freq="h"),
        "flag": draw.random(N_ROWS) < 0.25,
        "nullable": pd.array(draw.integers(0, 3, N_ROWS), dtype="Int64"),
        "tags": [["x"]] * N_ROWS,
        "empty": np.full(N_ROWS, np.nan),
    }
)
FRAME.loc[::7, ["size", "town", "nullable"]] = [np.nan, None, pd.NA]
FRAME.loc[3, "size"] = np.inf


def blocks(frame, npartitions=3):
    with_empty = [frame[:100], frame[:0], frame[100:]]
    return dd.concat([dd.from_pandas(part, npartitions=min(npartitions, max(len(part), 1))) for part in with_empty])


def test_columns_of_every_type_are_described():
    found = describe(blocks(FRAME), top=2)
    assert found.index.tolist() == FRAME.columns.tolist()
    assert found["count"].tolist() == FRAME.count().tolist()
    assert found["missing"].tolist() == FRAME.isna().sum().tolist()
    assert found["infinite"].tolist() == [1] + [0] * 8
    expected = FRAME.drop(columns="tags").nunique()
    assert found["distinct"].drop(["tags", "size", "when"]).tolist() == expected.drop(["size", "when"]).tolist()
    assert_allclose(found.loc[["size", "when"], "distinct"].astype(float), expected[["size", "when"]], rtol=0.05)
    for name in ("size", "rooms", "nullable", "flag"):
        values = FRAME[name].replace([np.inf], np.nan).dropna().astype(float)
        plain = values.describe()
        for statistic in ("mean", "std", "min", "25%", "50%", "75%", "max"):
            assert found.loc[name, statistic] == pytest.approx(plain[statistic], rel=1e-9), (name, statistic)
    shares = FRAME["town"].value_counts(normalize=True)
    assert found.loc["town", "top"] == f"Ulm {100 * shares['Ulm']:.3g} %, Bonn {100 * shares['Bonn']:.3g} %"
    assert found.loc["when", ["min", "max"]].tolist() == [FRAME["when"].min(), FRAME["when"].max()]
    assert found.loc["when", "top"] == ""


def test_one_pass_and_the_same_for_any_blocks():
    passes = []
    with watching(lambda profile: passes.append(profile.passes)):
        found = describe(blocks(FRAME))
    assert passes == [1]
    columns = ["count", "missing", "distinct", "mean", "std", "50%", "top"]
    assert_frame_equal(found[columns], describe(FRAME)[columns], check_exact=False, rtol=1e-9)


def test_sketches_of_many_values(monkeypatch):
    monkeypatch.setattr(column_summary, "N_SAMPLED", 4_000)
    values = pd.DataFrame({"x": draw.normal(size=60_000), "word": [f"w{at % 30_000}" for at in range(60_000)]})
    found = describe(dd.from_pandas(values, npartitions=7), quantiles=[0.1, 0.5])
    assert found.loc["x", "distinct"] == pytest.approx(60_000, rel=0.08)
    assert found.loc["word", "distinct"] == pytest.approx(30_000, rel=0.08)
    for share in (0.1, 0.5):
        rank = (values["x"] <= found.loc["x", f"{100 * share:g}%"]).mean()
        assert abs(rank - share) < 0.04
    assert found.loc["x", "mean"] == pytest.approx(values["x"].mean(), abs=1e-12)


def test_correlations_are_those_of_numpy():
    rows = draw.normal(size=(500, 4)) @ draw.normal(size=(4, 4)) + 1e5
    rows[:, 3] = 7.0
    weight = draw.integers(1, 4, 500)
    for data in (rows, da.from_array(rows, chunks=(120, 2))):
        with np.errstate(invalid="ignore"):
            assert_allclose(corr(data), np.corrcoef(rows.T), atol=1e-9)
        repeated = np.repeat(rows[:, :3], weight, axis=0)
        assert_allclose(corr(data[:, :3], sample_weight=weight), np.corrcoef(repeated.T), atol=1e-9)
    frame = pd.DataFrame(rows[:, :3], columns=list("abc"))
    assert_frame_equal(corr(dd.from_pandas(frame, npartitions=4)), frame.corr(), atol=1e-9)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: describe(np.eye(2)), "frame: expected a Dask or pandas DataFrame, got ndarray"),
        (lambda: describe(FRAME, quantiles=[2]), "quantiles: expected"),
        (lambda: describe(FRAME, top=-1), "top: expected an integer of at least 0, got -1"),
        (lambda: describe(FRAME[["size", "size"]]), "the column 'size' comes twice"),
        (lambda: corr(da.from_array([[1.0, np.nan]], chunks=1)), "NaN"),
    ],
)
def test_what_cannot_be_described_is_named(call, message):
    with pytest.raises((DataError, ValueError), match=message):
        call()

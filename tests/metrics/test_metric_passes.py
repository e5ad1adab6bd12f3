"""A metric reads predictions once, where they lie, in bounded memory."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import sklearn.calibration
import sklearn.metrics

from daskml_kit import metrics
from daskml_kit.engines.open import open_engine
from daskml_kit.metrics import roc
from daskml_kit.numerics import auc
from daskml_kit.numerics.auc import coarsen, merge, rank
from daskml_kit.reductions.rank_counts import RankCounts

OF_LABELS = ("accuracy_score", "f1_score")


def counted(chunks, n=1000, seed=0):
    """Predictions that count how many blocks are computed."""
    calls = []

    def predict(block):
        calls.append(len(block))
        return block

    values = np.random.default_rng(seed).random(n)
    meta = np.empty(0)
    return values, da.from_array(values, chunks=chunks).map_blocks(predict, dtype=float, meta=meta), calls


@pytest.mark.parametrize(
    ("name", "chunks"),
    [
        ("mean_squared_error", 100),
        ("accuracy_score", 100),
        ("log_loss", 100),
        ("brier_score_loss", 130),
        ("roc_auc_score", 130),
        ("r2_score", 130),
        ("f1_score", 100),
        ("average_precision_score", 130),
        ("mean_pinball_loss", 100),
        ("explained_variance_score", 130),
        ("median_absolute_error", 100),
        ("calibration_curve", 130),
    ],
)
@pytest.mark.parametrize("unknown", [False, True])
def test_lazy_predictions_are_computed_once(name, chunks, unknown):
    values, lazy, calls = counted(100)
    y = (np.random.default_rng(1).random(1000) < values).astype(int)
    if name in OF_LABELS:
        values, lazy = np.round(values), da.round(lazy)
    truth = da.from_array(y, chunks=chunks)
    if unknown:
        lazy, truth = lazy[lazy > -1], truth[truth > -1]
    got = getattr(metrics, name)(truth, lazy)
    expected = getattr(sklearn.metrics, name, sklearn.calibration.calibration_curve)(y, values)
    np.testing.assert_allclose(got, expected, rtol=1e-12)
    assert len(calls) == 10 + unknown  # where sizes are unknown, one block is weighed to see if the data fit


@pytest.mark.parametrize("name", ["accuracy_score", "roc_auc_score", "median_absolute_error", "f1_score"])
def test_on_a_cluster(client, name, monkeypatch):
    monkeypatch.setattr("daskml_kit.engines.open.LOCAL_BYTES", 0)
    rng = np.random.default_rng(0)
    y, p = rng.integers(0, 2, 2000), rng.random(2000)
    p = np.round(p) if name in OF_LABELS else p
    if name == "f1_score":  # words are counted by the scheduler, numbers by tasks of ours
        words = np.array(["no", "yes"])
        lazy = (da.from_array(words[values.astype(int)], chunks=300) for values in (y, p))
        report = sklearn.metrics.classification_report(words[y], words[p.astype(int)])
        assert metrics.classification_report(*lazy) == report
    got = getattr(metrics, name)(da.from_array(y, chunks=300), da.from_array(p, chunks=500))
    assert got == pytest.approx(getattr(sklearn.metrics, name)(y, p), rel=1e-12)


def large(n=1_500_000, seed=0):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=n)
    return (rng.random(n) < 1 / (1 + np.exp(-z))).astype(np.int8), z


@pytest.mark.slow
def test_millions_of_scores_in_one_pass_within_the_bound():
    y, z = large()
    lazy_y, lazy_z = da.from_array(y, chunks=250_000), da.from_array(z, chunks=250_000)
    got = metrics.roc_auc_score(lazy_y, lazy_z)
    assert got == pytest.approx(sklearn.metrics.roc_auc_score(y, z), abs=1e-6)
    with open_engine(lazy_z[:, None], lazy_y) as engine:
        totals = engine.answer(RankCounts(roc.CAP))[0]
        assert len(totals.rankings[0].low) <= roc.CAP
        roc._areas(engine, None)
        assert engine.profile.passes == 2


def test_further_passes_reach_the_bound_where_blocks_disagree(monkeypatch):
    monkeypatch.setattr(roc, "CAP", 500)
    rng = np.random.default_rng(0)
    scores = np.concatenate([np.linspace(0, 1, 20_000), 0.5 + 1e-9 * rng.normal(size=20_000), np.full(9, 0.5)])
    y = rng.integers(0, 2, len(scores))
    y[20_000:40_000] = scores[20_000:40_000] > 0.5
    got = metrics.roc_auc_score(da.from_array(y, chunks=7_000), da.from_array(scores, chunks=9_000))
    assert got == pytest.approx(sklearn.metrics.roc_auc_score(y, scores), abs=1e-6)


def test_compiled_loops_give_the_same_cells(monkeypatch):
    found = []
    for many in (10**9, 0):
        monkeypatch.setattr(auc, "MANY", many)
        draw = np.random.default_rng(0)
        parts = [rank(np.round(draw.normal(size=900), 2), draw.integers(0, 3, 900), draw.random(900), 3) for _ in "ab"]
        found.append([*parts, merge(*parts), coarsen(merge(*parts), 100)])
    for numpy, compiled in zip(*found, strict=True):
        for x, y in zip(numpy, compiled, strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-15)


def test_grouped_cells_keep_all_the_weight_and_the_order_of_merging_is_free():
    rng = np.random.default_rng(0)
    parts = [rank(rng.normal(size=5000), rng.integers(0, 2, 5000), np.ones(5000), 2) for _ in range(3)]
    a, b, c = (coarsen(part, 1000) for part in parts)
    left, right = merge(merge(a, b), c), merge(a, merge(b, c))
    for x, y in zip(left, right, strict=True):
        np.testing.assert_array_equal(x, y)
    assert left.mass.sum() == 15_000
    assert (left.high[:-1] < left.low[1:]).all()
    assert len(coarsen(left, 1000).low) <= 1000

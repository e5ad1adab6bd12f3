"""Tests of distributions and of independence against SciPy's, on any blocks."""

from __future__ import annotations

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import scipy.stats
from numpy.testing import assert_array_equal

from daskml_kit.engines.engine import watching
from daskml_kit.exceptions import DataError
from daskml_kit.stat import chi2_contingency, chisquare, crosstab, kolmogorov_smirnov, ks_2samp, kstest

draw = np.random.default_rng(0)
PAIRS = {
    "small": (draw.normal(size=100), draw.normal(size=130) + 0.3),
    "shifted": (draw.normal(size=20_000), draw.normal(size=31_000) + 0.01),
    "few values": (draw.integers(0, 9, 20_000), draw.integers(0, 9, 30_000)),
    "rounded": (np.round(draw.normal(size=20_000), 2), np.round(draw.normal(size=20_000), 2)),
    "apart": (draw.random(20_000), draw.random(15_000) + 2),
    "infinite": (np.append(draw.normal(size=20_000), [np.inf] * 9), np.append(draw.normal(size=100), -np.inf)),
}
SAMPLES = {
    "normal": (draw.normal(size=50_000), "norm", (0.01, 1)),
    "rounded": (np.round(draw.normal(size=20_000), 1), "norm", ()),
    "function": (draw.random(20_000) ** 1.01, scipy.stats.uniform.cdf, ()),
}
ALTERNATIVES = pytest.mark.parametrize("alternative", ["two-sided", "less", "greater"])


def lazy(values):
    return da.concatenate([da.from_array(part, chunks=7_000) for part in (values[:50], values[:0], values[50:])])


def assert_same(found, expected):
    for name in ("statistic", "statistic_location", "statistic_sign"):
        assert getattr(found, name) == getattr(expected, name), name
    assert found.pvalue == pytest.approx(expected.pvalue, rel=1e-12)


@pytest.mark.parametrize("points", [2**15, 64])
@ALTERNATIVES
@pytest.mark.parametrize("name", PAIRS)
def test_two_samples(name, alternative, points, monkeypatch):
    monkeypatch.setattr(kolmogorov_smirnov, "POINTS", points)
    a, b = PAIRS[name]
    assert_same(ks_2samp(lazy(a), lazy(b), alternative), scipy.stats.ks_2samp(a, b, alternative))


@ALTERNATIVES
@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_and_a_distribution(name, alternative):
    values, cdf, args = SAMPLES[name]
    for method in ("auto", "approx", "asymp"):
        found = kstest(lazy(values), cdf, args, alternative, method)
        assert_same(found, scipy.stats.kstest(values, cdf, args, alternative=alternative, method=method))


def test_few_passes_and_frames():
    values, cdf, args = SAMPLES["normal"]
    passes = []
    with watching(lambda profile: passes.append(profile.passes)):
        found = kstest(dd.from_pandas(pd.Series(values), npartitions=3), cdf, args)
    assert_same(found, scipy.stats.kstest(values, cdf, args))
    assert passes == [1, 2, 3]
    assert_same(kstest(*PAIRS["small"]), scipy.stats.kstest(*PAIRS["small"]))


def test_labels_of_any_type():
    towns, sizes = draw.choice(["Ulm", "Bonn", "Kiel"], 500), draw.integers(3, 5, 500)
    frame = dd.from_pandas(pd.DataFrame({"town": towns, "size": sizes, "flag": sizes > 3}), npartitions=3)
    for x, y in ((frame["town"], frame["size"]), (lazy(towns), lazy(sizes)), (frame["size"], frame["flag"])):
        plain = [np.asarray(values.compute()) for values in (x, y)]
        expected = scipy.stats.contingency.crosstab(*plain)
        table = crosstab(x, y)
        assert_array_equal(table.to_numpy(), expected.count)
        assert [table.index.tolist(), table.columns.tolist()] == [list(values) for values in expected.elements]
        for options in ({}, {"correction": False}, {"lambda_": "log-likelihood"}):
            ours, theirs = chi2_contingency(x, y, **options), scipy.stats.chi2_contingency(expected.count, **options)
            assert (ours.statistic, ours.pvalue, ours.dof) == (theirs.statistic, theirs.pvalue, theirs.dof)
    counts = pd.Series(towns).value_counts().sort_index()
    assert chisquare(frame["town"]) == scipy.stats.chisquare(counts)
    given = {"Bonn": 200, "Kiel": 100, "Ulm": 190, "Rome": 10}
    assert chisquare(frame["town"], given) == scipy.stats.chisquare([*counts, 0], list(given.values()))
    assert chisquare(towns, [200, 100, 200], ddof=1) == scipy.stats.chisquare(counts, [200, 100, 200], ddof=1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ks_2samp(lazy(np.array([1.0, np.nan])), [1.0]), "data1: expected numbers, got NaN in 1 of 2 rows"),
        (lambda: ks_2samp([1.0], lazy(np.empty(0))), "data2: expected at least one number, got an empty sample"),
        (lambda: ks_2samp([[1.0]], [1.0]), "data1: expected a vector of numbers, got 2 dimension"),
        (lambda: ks_2samp(["a"], [1.0]), "data1: expected a vector of numbers"),
        (lambda: ks_2samp([1.0], [1.0], "more"), "alternative: expected one of"),
        (lambda: ks_2samp(np.zeros(10_001), [1.0], method="exact"), "method: expected 'auto' or 'asymp' of more than"),
        (lambda: kstest([1.0], "poisson"), "cdf: expected a continuous distribution"),
        (lambda: kstest([1.0], "norm", method="quick"), "method: expected one of"),
        (lambda: crosstab(lazy(np.array([0.5, 1.0])), [1, 2]), "x: expected class labels, got fractions in block 0"),
        (lambda: crosstab(lazy(np.array([1, 2, 3])), [1, 2]), "x: .* inconsistent numbers of samples"),
        (lambda: chisquare(np.array([], int)), "x: "),
        (lambda: chisquare(["a", "b"], {"a": 2}), "f_exp: expected a number for each label, got none for 'b'"),
    ],
)
def test_what_cannot_be_tested_is_named(call, message):
    with pytest.raises((DataError, ValueError), match=message):
        call()

"""Equal rows of categories that are taken as one: the sums of losses, and fits and searches, are those of all rows."""

from __future__ import annotations

import gc
import itertools
from dataclasses import replace

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

from daskml_kit.compose import make_column_transformer
from daskml_kit.data.block import Block
from daskml_kit.data.coded import coded, codes_of
from daskml_kit.engines import open as opening
from daskml_kit.engines.engine import watching
from daskml_kit.linear_model import (
    GammaRegressor,
    HuberRegressor,
    LinearSVC,
    LogisticRegression,
    PoissonRegressor,
    Ridge,
    TweedieRegressor,
)
from daskml_kit.model_selection import GridSearchCV
from daskml_kit.numerics import csr
from daskml_kit.numerics.compiled import number_rows
from daskml_kit.numerics.losses import (
    Gamma,
    Huber,
    Logistic,
    Poisson,
    Softmax,
    Squared,
    SquaredHinge,
    Tweedie,
    TweedieIdentity,
    target_powers,
)
from daskml_kit.numerics.targets import Codes, Numbers, OneVsRest
from daskml_kit.preprocessing import OneHotEncoder
from daskml_kit.reductions import equal_rows
from daskml_kit.reductions.equal_rows import count_distinct, merged_rows
from daskml_kit.reductions.loss import LossAt, Within

LEVELS = (3, 4)
SETTING = "daskml-kit.merge-rows"


@pytest.fixture(autouse=True)
def small_blocks_stay_codes(monkeypatch):
    monkeypatch.setattr(csr, "MANY_CODED_PAIRS", 0)


def encoded(n_rows, levels=LEVELS, draw=None):
    """Return rows of categories, some of them absent, as a matrix of codes."""
    draw = draw or np.random.default_rng(0)
    edges = np.cumsum([0, *levels])
    known = [start + draw.integers(0, n, n_rows) for start, n in zip(edges, levels, strict=False)]
    codes = np.stack(known, axis=1).astype(np.uint16)
    codes[draw.random(codes.shape) < 0.1] = edges[-1]
    spans = np.stack([edges[:-1], edges[1:]], axis=1)
    return coded(sp.csr_array, codes, np.empty((n_rows, 0)), np.empty(0, np.intp), int(edges[-1]), spans)


def test_numbers_of_rows_are_those_of_distinct_rows():
    draw = np.random.default_rng(1)
    codes, extra = draw.integers(0, 9, (5_000, 4), np.uint16), draw.integers(0, 2, (5_000, 1))
    ids, first = number_rows(codes, extra, 5_000)
    _, expected, inverse = np.unique(np.hstack([codes, extra]), axis=0, return_index=True, return_inverse=True)
    assert_array_equal(first, np.sort(expected))
    assert_array_equal(first[ids], expected[inverse.ravel()])
    assert len(number_rows(codes, extra, 100)[1]) == 101


NUMBERS = Numbers(np.zeros(2, np.int64))
LOSSES = [
    (Logistic(), OneVsRest(np.array([1, 1]), np.array([[1.0, 3.0], [0.5, 1.0]])), 1),
    (SquaredHinge(), OneVsRest(np.array([0, 2])), 1),
    (Softmax(3), Codes(np.arange(3), np.array([1.0, 2.0, 0.5])), 3),
    (Poisson(), NUMBERS, 1),
    (Gamma(), NUMBERS, 1),
    (Tweedie(1.5), NUMBERS, 1),
    (TweedieIdentity(1.5), NUMBERS, 1),
    (TweedieIdentity(0), NUMBERS, 1),
    (Squared(), NUMBERS, 1),
    (Huber(1.35), NUMBERS, 2),
]


@pytest.mark.parametrize("restricted", [False, True], ids=["all rows", "folds"])
@pytest.mark.parametrize(("loss", "target", "outputs"), LOSSES, ids=lambda value: type(value).__name__)
def test_losses_are_those_of_all_rows(loss, target, outputs, restricted):
    draw, n_rows = np.random.default_rng(2), 2_000
    X = encoded(n_rows)
    y = draw.integers(0, 3, n_rows) + (not isinstance(target, (OneVsRest, Codes)))
    weight, fold = draw.integers(0, 3, n_rows) / 2, draw.integers(0, 3, (n_rows, 1))
    coef = draw.random((2, outputs, X.shape[1] + 1)) / 3 + 0.1
    within = Within(np.zeros(2, int), ((0, 1), (2,))) if restricted else None
    for order, along in ((1, None), (2, None), (1, draw.normal(size=coef.shape))):
        ask = LossAt(loss, target, coef, order, within, along)
        for parts in ({}, {"weight": weight}):
            block = Block(X, y, **parts, fold=fold)
            expected, found = ask.chunk(block), replace(ask, merged=True).chunk(block)
            for ours, theirs in zip(found, expected, strict=True):
                if theirs is not None:
                    assert_allclose(ours, theirs, rtol=1e-11, atol=1e-10)
    assert merged_rows(block, ask.powers).n_rows <= n_rows / 2


def test_what_is_merged_is_kept_as_long_as_its_arrays():
    X, y = encoded(1_000), np.arange(1_000.0) % 2
    block, before = Block(X, y), len(equal_rows._kept)
    assert merged_rows(block) is merged_rows(block)
    assert merged_rows(block, 1) is not merged_rows(block)
    assert merged_rows(block._replace(y=1 - y)).y[0] == 1 - merged_rows(block).y[0]
    assert merged_rows(Block(X[:500], y[:500])).n_rows <= 40
    del X, y, block
    gc.collect()
    assert len(equal_rows._kept) == before


def test_rows_that_do_not_repeat_stay_as_they_are(monkeypatch):
    X = encoded(1_000)
    assert merged_rows(Block(X, np.arange(1_000))).X is X
    assert merged_rows(Block(X, np.arange(1_000)), powers=1).n_rows == 20
    assert merged_rows(Block(sp.csr_array(X.copy().toarray()), np.zeros(1_000))).n_rows == 1_000
    assert merged_rows(Block(X[:0], np.zeros(0))).n_rows == 0
    numbers = codes_of(X)._replace(dense=np.zeros((1_000, 1)), columns=np.array([7]), n_columns=8).matrix()
    assert merged_rows(Block(numbers, np.zeros(1_000))).n_rows == 1_000
    monkeypatch.setattr(csr, "MANY_CODED_PAIRS", np.inf)
    assert merged_rows(Block(X, np.zeros(1_000))).X is X


@pytest.mark.parametrize(("levels", "least", "most"), [((3, 4), 20, 20), ((100, 100), 7_000, 13_000)])
def test_a_sample_tells_how_many_rows_are_distinct(levels, least, most, monkeypatch):
    monkeypatch.setattr(equal_rows, "SAMPLED_ROWS", 8_000)
    block = Block(encoded(80_000, levels), np.zeros(80_000, int))
    assert least <= count_distinct(block, by_target=False) <= most
    assert count_distinct(block._replace(y=np.arange(80_000)), by_target=True) == 80_000


def tables(n_rows=3_000):
    """Return a frame of categories with targets of three kinds and weights."""
    draw = np.random.default_rng(3)
    frame = pd.DataFrame({name: draw.integers(0, n, n_rows).astype(str) for name, n in zip("ab", LEVELS, strict=True)})
    raw = frame["a"].astype(int) / 3 - frame["b"].astype(int) / 4 + draw.logistic(size=n_rows)
    targets = {
        "two": np.where(raw > 0, "late", "on time"),
        "three": np.digitize(raw, [-1, 1]),
        "amounts": draw.gamma(2, np.exp(raw / 4)) + 1e-6,
    }
    return frame, targets, draw.integers(0, 3, n_rows) / 2.0


MODELS = {
    "logistic": (LogisticRegression(tol=1e-9), "two"),
    "balanced": (LogisticRegression(tol=1e-9, class_weight="balanced"), "two"),
    "l1": (LogisticRegression(tol=1e-9, l1_ratio=1.0, C=0.1), "two"),
    "classes": (LogisticRegression(tol=1e-9), "three"),
    "newton": (LogisticRegression(tol=1e-9, solver="newton-cholesky"), "three"),
    "hinge": (LinearSVC(tol=1e-9), "three"),
    "poisson": (PoissonRegressor(alpha=0.1, tol=1e-9), "amounts"),
    "gamma": (GammaRegressor(alpha=0.1, tol=1e-9), "amounts"),
    "tweedie": (TweedieRegressor(power=1.5, alpha=0.1, tol=1e-9), "amounts"),
    "normal": (TweedieRegressor(power=0, alpha=0.1, tol=1e-9), "amounts"),
    "ridge": (Ridge(solver="lbfgs", tol=1e-9), "amounts"),
}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_fits_are_those_of_all_rows(name, weighted):
    model, which = MODELS[name]
    frame, targets, weight = tables()
    fitted = OneHotEncoder(handle_unknown="ignore").fit(dd.from_pandas(frame[frame["b"] != "3"], npartitions=2))
    cuts = [0, 1_700, 1_700, 2_300, 3_000]  # an empty block is one, too
    rows = dd.concat([dd.from_pandas(frame.iloc[a:b], npartitions=1) for a, b in itertools.pairwise(cuts)])
    X = fitted.transform(rows)
    chunks = (tuple(np.diff(cuts)),)
    y, sample_weight = (da.from_array(part, chunks=chunks) for part in (targets[which], weight))
    found = {}
    for setting in ("auto", False):
        with dask.config.set({SETTING: setting}):
            options = {"sample_weight": sample_weight} if weighted else {}
            found[setting] = clone(model).fit(X, y, **options)
    ours, expected = found["auto"], found[False]
    assert "equal rows are merged, which leaves" in ours.profile_.solver
    assert "merged" not in expected.profile_.solver
    assert_allclose(ours.coef_, expected.coef_, rtol=1e-9, atol=1e-9)
    assert_allclose(ours.intercept_, expected.intercept_, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("inside", [False, True], ids=["codes", "pipeline"])
def test_searches_are_those_of_all_rows(inside, monkeypatch):
    frame, targets, _ = tables()
    rows, y = dd.from_pandas(frame, npartitions=3), da.from_array(targets["two"], chunks=1_000)
    encode = make_column_transformer((OneHotEncoder(), ["a", "b"]))
    model = LogisticRegression(tol=1e-9)
    name = "logisticregression__C" if inside else "C"
    merged, found = [], []
    of_block = equal_rows._merge

    def merge(block, *given):
        found = of_block(block, *given)
        if block.n_rows > 100:  # no sample
            merged.append(found)
        return found

    monkeypatch.setattr(equal_rows, "_merge", merge)
    for setting in ("auto", False):
        with dask.config.set({SETTING: setting}):
            search = GridSearchCV(
                make_pipeline(encode, model) if inside else model,
                {name: [0.01, 1.0, 10.0]},
                cv=3,
                scoring="neg_log_loss",
            )
            search.fit(rows if inside else encode.fit_transform(rows), y)
        found.append(search.cv_results_["mean_test_score"])
        assert len(merged) > 0
        if setting == "auto":
            n_merged = len(merged)
    assert n_merged == len(merged)
    assert all(block is not None and block.n_rows < 200 for block in merged)
    assert_allclose(*found, rtol=1e-9)


@pytest.mark.parametrize(("setting", "merges"), [("auto", False), (True, True)])
def test_streamed_rows_are_merged_where_that_is_asked_for_only(monkeypatch, setting, merges):
    monkeypatch.setattr(opening, "fits", lambda *_: False)
    frame, targets, _ = tables()
    X = OneHotEncoder().fit_transform(dd.from_pandas(frame, npartitions=2))
    with dask.config.set({SETTING: setting}):
        model = LogisticRegression().fit(X, da.from_array(targets["two"], chunks=1_500))
    assert ("merged" in model.profile_.solver) == merges


def test_numbers_whose_loss_is_no_polynomial_are_told_apart():
    frame, targets, _ = tables()
    X = OneHotEncoder().fit_transform(dd.from_pandas(frame, npartitions=2))
    model = HuberRegressor().fit(X, da.from_array(targets["amounts"], chunks=1_500))
    assert "merged" not in model.profile_.solver
    assert target_powers(Huber(1.35)) is None


@pytest.mark.parametrize("value", ["always", 1, None])
def test_other_settings_are_refused(value):
    with (
        dask.config.set({SETTING: value}),
        pytest.raises(ValueError, match=f"{SETTING}.*expected 'auto', True or False"),
    ):
        LogisticRegression().fit(np.eye(4), [0, 1, 0, 1])


def test_rows_on_workers_are_merged_once(client, monkeypatch):
    """Of these on each of several workers the same objects are there in all passes."""
    monkeypatch.setattr(opening, "LOCAL_BYTES", 0)
    frame, targets, _ = tables(200_000)
    X = OneHotEncoder().fit_transform(dd.from_pandas(frame, npartitions=2)).persist()
    y = da.from_array(np.asarray(targets["three"]), chunks=100_000).persist()
    found, kept = [], []

    def look(profile):
        if profile.passes > 1:
            of_workers = client.run(lambda: [id(known.block) for known in equal_rows._kept.values()])
            kept.append(sorted(itertools.chain.from_iterable(of_workers.values())))

    for setting in ("auto", False):
        with dask.config.set({SETTING: setting}), watching(look):
            found.append(LogisticRegression(tol=1e-9).fit(X, y))
    assert "on the workers" in found[0].profile_.where
    assert "merged" in found[0].profile_.solver
    assert_allclose(found[0].coef_, found[1].coef_, rtol=1e-9, atol=1e-9)
    assert len({tuple(objects) for objects in kept if objects}) == 1

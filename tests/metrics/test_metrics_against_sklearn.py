"""Every metric equals scikit-learn's however the inputs are cut."""

from __future__ import annotations

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from daskml_kit import metrics

N = 60
SMALL = settings(max_examples=8, deadline=None)


@st.composite
def cuts(draw, n=N):
    """Chunks of n rows, some perhaps empty."""
    edges = sorted(draw(st.lists(st.integers(0, n), max_size=4)))
    return tuple(int(size) for size in np.diff([0, *edges, n]))


def lazy(values, chunks):
    return da.from_array(values, chunks=(chunks, *values.shape[1:]))


def draw_regression(seed, n_outputs):
    rng = np.random.default_rng(seed)
    y = 1000 + rng.normal(size=(N, n_outputs))
    prediction = y + rng.normal(size=y.shape) / 3
    return (y[:, 0], prediction[:, 0]) if n_outputs == 1 else (y, prediction)


@pytest.mark.parametrize("name", ["mean_squared_error", "root_mean_squared_error", "mean_absolute_error", "r2_score"])
@pytest.mark.parametrize("n_outputs", [1, 3])
@SMALL
@given(seed=st.integers(0, 99), a=cuts(), b=cuts(), c=cuts(), weighted=st.booleans())
def test_regression(name, n_outputs, seed, a, b, c, weighted):
    y, prediction = draw_regression(seed, n_outputs)
    weight = np.random.default_rng(seed).exponential(size=N) if weighted else None
    got = getattr(metrics, name)(lazy(y, a), lazy(prediction, b), sample_weight=lazy(weight, c) if weighted else None)
    expected = getattr(sklearn.metrics, name)(y, prediction, sample_weight=weight)
    assert isinstance(got, float)
    assert got == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", ["mean_squared_error", "root_mean_squared_error", "mean_absolute_error", "r2_score"])
@pytest.mark.parametrize("multioutput", ["raw_values", "uniform_average", [0.2, 0.3, 0.5]])
def test_multioutput(name, multioutput):
    y, prediction = draw_regression(0, 3)
    got = getattr(metrics, name)(lazy(y, (20, 40)), prediction, multioutput=multioutput)
    expected = getattr(sklearn.metrics, name)(y, prediction, multioutput=multioutput)
    np.testing.assert_allclose(got, expected, rtol=1e-12)


def test_r2_of_constant_targets_and_of_one_row():
    for multioutput in ("variance_weighted", None):
        y, prediction = draw_regression(1, 3)
        y[:, 1] = 5
        expected = sklearn.metrics.r2_score(y, prediction, multioutput=multioutput)
        assert metrics.r2_score(lazy(y, (20, 40)), prediction, multioutput=multioutput) == pytest.approx(expected)
    constant = np.ones(4)
    assert metrics.r2_score(lazy(constant, (2, 2)), constant) == 1
    assert metrics.r2_score(lazy(constant, (2, 2)), np.arange(4.0)) == 0
    assert metrics.r2_score(lazy(constant, (2, 2)), np.arange(4.0), force_finite=False) == -np.inf
    with pytest.warns(sklearn.exceptions.UndefinedMetricWarning, match="less than two"):
        assert np.isnan(metrics.r2_score(lazy(np.ones(1), (1,)), np.ones(1)))


@pytest.mark.parametrize("power", [-1.5, 0, 1, 1.5, 2, 3])
@SMALL
@given(seed=st.integers(0, 99), a=cuts(), weighted=st.booleans())
def test_d2_tweedie(power, seed, a, weighted):
    rng = np.random.default_rng(seed)
    y, prediction = rng.gamma(2, size=N), rng.gamma(2, size=N)
    if power < 2:
        y[::3] = 0
    if power < 0:
        y -= 0.5
    weight = rng.exponential(size=N) if weighted else None
    expected = sklearn.metrics.d2_tweedie_score(y, prediction, power=power, sample_weight=weight)
    got = metrics.d2_tweedie_score(lazy(y, a), prediction, power=power, sample_weight=weight)
    assert got == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("labels", [[0, 1], ["no", "yes"], ["c", "a", "b"], [3, 1, 2], [1.0, 2.0]])
@pytest.mark.parametrize("normalize", [True, False])
@SMALL
@given(seed=st.integers(0, 99), a=cuts(), b=cuts(), weighted=st.booleans())
def test_accuracy(labels, normalize, seed, a, b, weighted):
    rng = np.random.default_rng(seed)
    y, prediction = rng.choice(labels, N), rng.choice(labels, N)
    weight = rng.exponential(size=N) if weighted else None
    expected = sklearn.metrics.accuracy_score(y, prediction, normalize=normalize, sample_weight=weight)
    got = metrics.accuracy_score(lazy(y, a), lazy(prediction, b), normalize=normalize, sample_weight=weight)
    assert isinstance(got, float)
    assert got == pytest.approx(expected, rel=1e-12)


def probabilities(rng, k, dtype=np.float64):
    p = rng.dirichlet(np.ones(k), N).astype(dtype)
    p[0] = np.eye(k)[0]
    return p[:, 1] if k == 2 else p


@pytest.mark.parametrize("labels", [[0, 1], ["no", "yes"], ["c", "a", "b"], [3, 1, 2, 7]])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@SMALL
@given(seed=st.integers(0, 99), a=cuts(), b=cuts(), weighted=st.booleans(), given_labels=st.booleans())
def test_losses_of_probabilities(labels, dtype, seed, a, b, weighted, given_labels):
    rng = np.random.default_rng(seed)
    y, p = rng.choice(labels, N), probabilities(rng, len(labels), dtype)
    y[: len(labels)] = labels
    weight = rng.exponential(size=N) if weighted else None
    known = {"labels": sorted(labels)} if given_labels else {}
    tight = 1e-12 if dtype == np.float64 else 1e-5
    expected = sklearn.metrics.log_loss(y, p, sample_weight=weight, **known)
    assert metrics.log_loss(lazy(y, a), lazy(p, b), sample_weight=weight, **known) == pytest.approx(expected, rel=tight)
    if len(labels) == 2:
        known["pos_label"] = labels[1]
    expected = sklearn.metrics.brier_score_loss(y, p, sample_weight=weight, **known)
    got = metrics.brier_score_loss(lazy(y, a), lazy(p, b), sample_weight=weight, **known)
    assert got == pytest.approx(expected, rel=tight)


def test_labels_that_the_data_lack():
    y, p = np.array([0, 2, 2]), np.array([[0.6, 0.3, 0.1], [0.1, 0.1, 0.8], [0.2, 0.3, 0.5]])
    expected = sklearn.metrics.log_loss(y, p, labels=[0, 1, 2])
    assert metrics.log_loss(lazy(y, (1, 2)), p, labels=[0, 1, 2]) == pytest.approx(expected, rel=1e-12)
    expected = sklearn.metrics.brier_score_loss(y, p, labels=[0, 1, 2], scale_by_half=True)
    got = metrics.brier_score_loss(lazy(y, (1, 2)), p, labels=[0, 1, 2], scale_by_half=True)
    assert got == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("y", "pos_label"),
    [
        ([0, 1, 1], None),
        ([-1, 1, 1], None),
        ([1, 2, 2], None),
        ([5, 7, 7], 5),
        (["a", "b", "b"], "a"),
        ([0, 0, 0], None),
    ],
)
def test_positive_label_of_brier(y, pos_label):
    y, p = np.array(y), np.array([0.2, 0.9, 0.4])
    expected = sklearn.metrics.brier_score_loss(y, p, pos_label=pos_label)
    assert metrics.brier_score_loss(lazy(y, (2, 1)), p, pos_label=pos_label) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("labels", [[0, 1], ["no", "yes"]])
@SMALL
@given(seed=st.integers(0, 99), a=cuts(), b=cuts(), weighted=st.booleans(), ties=st.booleans())
def test_roc_auc(labels, seed, a, b, weighted, ties):
    rng = np.random.default_rng(seed)
    y, score = rng.choice(labels, N), rng.normal(size=N)
    y[:2] = labels
    score = np.round(score) if ties else score
    weight = rng.exponential(size=N) * rng.integers(0, 2, N) + (np.arange(N) < 2) if weighted else None
    expected = sklearn.metrics.roc_auc_score(y, score, sample_weight=weight)
    assert metrics.roc_auc_score(lazy(y, a), lazy(score, b), sample_weight=weight) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("average", ["macro", "weighted", None])
@SMALL
@given(seed=st.integers(0, 99), a=cuts(), b=cuts(), given_labels=st.booleans(), weighted=st.booleans())
def test_roc_auc_of_many_classes(average, seed, a, b, given_labels, weighted):
    rng = np.random.default_rng(seed)
    y, p = rng.choice(["a", "b", "c"], N), probabilities(rng, 3)
    y[:3] = ["a", "b", "c"]
    weight = rng.exponential(size=N) if weighted else None
    labels = ["a", "b", "c"] if given_labels else None
    expected = sklearn.metrics.roc_auc_score(y, p, average=average, multi_class="ovr", sample_weight=weight)
    got = metrics.roc_auc_score(
        lazy(y, a), lazy(p, b), average=average, multi_class="ovr", sample_weight=weight, labels=labels
    )
    np.testing.assert_allclose(got, expected, rtol=1e-12)


def test_data_frames_with_unknown_lengths():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"y": rng.choice(["no", "yes"], N), "p": rng.random(N), "w": rng.random(N)})
    frame["guess"] = np.where(frame.p > 0.5, "yes", "no")
    lazily = dd.from_pandas(frame, npartitions=4)
    assert np.isnan(lazily.p.to_dask_array().chunks[0]).all()
    weight = {"sample_weight": frame.w}
    expected = sklearn.metrics.accuracy_score(frame.y, frame.guess, **weight)
    guess = lazily.guess.astype("category")
    assert metrics.accuracy_score(lazily.y, guess, sample_weight=lazily.w) == pytest.approx(expected)
    expected = sklearn.metrics.log_loss(frame.y, frame.p, **weight)
    assert metrics.log_loss(lazily[["y"]], lazily[["p"]], sample_weight=lazily.w) == pytest.approx(expected)
    expected = sklearn.metrics.roc_auc_score(frame.y, frame.p, **weight)
    got = metrics.roc_auc_score(frame.y, lazily.p.to_dask_array(), sample_weight=lazily[["w"]])
    assert got == pytest.approx(expected)
    expected = sklearn.metrics.r2_score(frame.w, frame.p)
    assert metrics.r2_score(lazily.w, lazily.p.repartition(npartitions=2)) == pytest.approx(expected)


def test_memory_is_scikit_learns_own():
    y, p = [0, 1, 1, 0], [0.1, 0.8, 0.3, 0.2]
    assert metrics.roc_auc_score(y, p, max_fpr=0.5) == sklearn.metrics.roc_auc_score(y, p, max_fpr=0.5)
    for name in (
        "log_loss",
        "brier_score_loss",
        "mean_squared_error",
        "root_mean_squared_error",
        "mean_absolute_error",
        "r2_score",
        "d2_tweedie_score",
    ):
        assert getattr(metrics, name)(y, p) == getattr(sklearn.metrics, name)(y, p)
    assert metrics.accuracy_score(y, [0, 1, 0, 0]) == 0.75

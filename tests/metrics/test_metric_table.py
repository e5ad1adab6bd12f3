"""All metrics, one table: on Dask each equals scikit-learn's, with weights, ties, few and empty classes, any blocks."""

from __future__ import annotations

import warnings
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
import sklearn.calibration
import sklearn.metrics

from daskml_kit import metrics
from daskml_kit.metrics.label_metrics import score_pairs
from daskml_kit.reductions.distinct_pairs import PairTotals

N = 90
AVERAGES = ["micro", "macro", "weighted", None]
RNG = np.random.default_rng(0)


def labels(names: list[Any]) -> tuple[Any, Any]:
    return RNG.choice(names, N), RNG.choice(names, N)


def indicators(width: int) -> tuple[Any, Any]:
    return RNG.integers(0, 2, (N, width)), RNG.integers(0, 2, (N, width))


BINARY, STRINGS, MANY = labels([0, 1]), labels(["no", "yes"]), labels([3, 1, 7, 2])
ONE_CLASS = np.ones(N, int), np.ones(N, int)
UNSEEN = RNG.choice([0, 1], N), RNG.choice([1, 2], N)
FLOATS, BOOLEANS = labels([1.0, 2.0]), labels([False, True])
WORDS = labels(["a", "b", "c"])
MULTILABEL = indicators(4)
WIDE = indicators(40)
LABELS = [BINARY, STRINGS, MANY, ONE_CLASS, UNSEEN, FLOATS, BOOLEANS, WORDS]
FEW = [MANY, UNSEEN, WORDS, MULTILABEL]
CLUSTERS = [
    (RNG.integers(0, 4, N), RNG.integers(0, 6, N)),
    (np.zeros(N, int), np.zeros(N, int)),
    (np.zeros(N, int), RNG.integers(0, 3, N)),
    (np.arange(N), np.arange(N)),
    (WORDS[0], MANY[1]),
]
SCORES = RNG.normal(size=N)
TIES = np.round(SCORES)
CHANCES = RNG.dirichlet(np.ones(3), N)
RANKED = [(BINARY[0], SCORES), (BINARY[0], TIES), (BOOLEANS[0], TIES), (BINARY[0], SCORES.astype(np.float32))]
NAMED = [(STRINGS[0], SCORES), (WORDS[0], SCORES)]
COLUMNS = [(WORDS[0], CHANCES), (WORDS[0], np.round(CHANCES * 4) / 4)]
INDICATED = [(MULTILABEL[0], RNG.normal(size=(N, 4))), (MULTILABEL[0], RNG.integers(0, 3, (N, 4)).astype(float))]
POSITIVE = [(RNG.gamma(2, size=N), RNG.gamma(2, size=N)), (RNG.gamma(2, size=N).astype(np.float32), np.ones(N))]
OUTPUTS = [(RNG.gamma(2, size=(N, 3)), RNG.gamma(2, size=(N, 3)))]
DECISIONS = [(WORDS[0], RNG.normal(size=(N, 3))), (MANY[0], RNG.normal(size=(N, 4)))]
OF_OUTPUTS = (
    "mean_absolute_percentage_error",
    "mean_squared_log_error",
    "root_mean_squared_log_error",
    "mean_pinball_loss",
    "mean_squared_error",
    "root_mean_squared_error",
    "mean_absolute_error",
    "r2_score",
)
DEVIATIONS = ("explained_variance_score", "median_absolute_error", "d2_absolute_error_score", "d2_pinball_score")
POINTS = [(RNG.normal(size=(N, 3)), labels_) for labels_ in (MANY[0], STRINGS[0], RNG.integers(0, 9, N))]
PROBABLE = [(BINARY[0], RNG.random(N)), (BOOLEANS[0], np.round(RNG.random(N), 1)), (ONE_CLASS[0], RNG.random(N))]
OF_CHANCES = ("log_loss", "brier_score_loss", "d2_log_loss_score", "d2_brier_score")
EQUAL = {"sample_weight": np.ones(N)}
"""Without weights, scikit-learn before 1.9 takes another quantile."""
STRATEGIES = ("uniform", "quantile")
HOW = ("raw_values", "uniform_average", [0.2, 0.3, 0.5])
CURVES = ("roc_curve", "precision_recall_curve", "det_curve")
WEIGHTS = [None, RNG.integers(0, 3, N), RNG.exponential(size=N) * RNG.integers(0, 2, N)]
PER_LABEL = ("precision_score", "recall_score", "f1_score", "jaccard_score", "precision_recall_fscore_support")

Row = tuple[str, list[Any], dict[str, Any]]
TABLE: list[Row] = [
    *((name, LABELS, {}) for name in ("accuracy_score", "hamming_loss", "zero_one_loss", "confusion_matrix")),
    *((name, LABELS, {"normalize": False}) for name in ("accuracy_score", "zero_one_loss")),
    *((name, [MULTILABEL, WIDE], {}) for name in ("accuracy_score", "hamming_loss", "zero_one_loss")),
    *(("confusion_matrix", [MANY], {"normalize": how}) for how in ("true", "pred", "all")),
    ("confusion_matrix", [MANY], {"labels": [7, 3]}),
    *((name, LABELS, {}) for name in ("balanced_accuracy_score", "matthews_corrcoef", "cohen_kappa_score")),
    ("balanced_accuracy_score", [MANY], {"adjusted": True}),
    *(("cohen_kappa_score", [MANY], {"weights": kind}) for kind in ("linear", "quadratic")),
    ("class_likelihood_ratios", [BINARY, STRINGS, ONE_CLASS], {}),
    ("multilabel_confusion_matrix", [*LABELS, MULTILABEL, WIDE], {}),
    *((name, [BINARY, ONE_CLASS], {}) for name in PER_LABEL),
    *((name, [STRINGS], {"pos_label": "yes", "average": "binary"}) for name in PER_LABEL),
    *((name, FEW, {"average": how}) for name in PER_LABEL for how in AVERAGES),
    *((name, [MULTILABEL, WIDE], {"average": "samples", "zero_division": 1.0}) for name in PER_LABEL),
    *((name, [UNSEEN], {"average": None, "zero_division": zero}) for name in PER_LABEL for zero in (0, np.nan)),
    ("fbeta_score", [MANY, MULTILABEL], {"beta": 0.5, "average": "macro"}),
    ("classification_report", [*LABELS, MULTILABEL], {"output_dict": True}),
    ("classification_report", [MANY, MULTILABEL], {"labels": [1, 2], "digits": 3}),
    *(
        (name, CLUSTERS, {})
        for name in (
            "adjusted_mutual_info_score",
            "adjusted_rand_score",
            "completeness_score",
            "fowlkes_mallows_score",
            "homogeneity_completeness_v_measure",
            "homogeneity_score",
            "mutual_info_score",
            "normalized_mutual_info_score",
            "pair_confusion_matrix",
            "rand_score",
            "v_measure_score",
        )
    ),
    ("v_measure_score", CLUSTERS, {"beta": 0.5}),
    *(
        (f"{kind}_mutual_info_score", CLUSTERS[:2], {"average_method": how})
        for kind in ("adjusted", "normalized")
        for how in ("min", "max", "geometric")
    ),
    *((name, [*RANKED, (ONE_CLASS[0], SCORES)], {}) for name in (*CURVES, "average_precision_score")),
    *((name, RANKED, {"drop_intermediate": how}) for name in CURVES for how in (True, False)),
    *((name, NAMED[:1], {"pos_label": "yes"}) for name in (*CURVES, "average_precision_score")),
    *((name, NAMED[1:], {"pos_label": "b"}) for name in CURVES[:2]),
    *(("average_precision_score", [*COLUMNS, *INDICATED], {"average": how}) for how in AVERAGES),
    ("roc_auc_score", [*RANKED, *NAMED[:1]], {}),
    *(("roc_auc_score", RANKED, {"max_fpr": rate}) for rate in (0.1, 0.5, 1.0)),
    *(("roc_auc_score", COLUMNS[:1], {"multi_class": "ovr", "average": how}) for how in AVERAGES),
    *(("roc_auc_score", COLUMNS[:1], {"multi_class": "ovo", "average": how}) for how in ("macro", "weighted")),
    *(("roc_auc_score", INDICATED, {"average": how}) for how in AVERAGES),
    *((name, POSITIVE, {}) for name in (*OF_OUTPUTS, "max_error", "mean_poisson_deviance", "mean_gamma_deviance")),
    *((name, OUTPUTS, {"multioutput": how}) for name in OF_OUTPUTS for how in HOW),
    *((name, [*OUTPUTS, *POSITIVE], {}) for name in DEVIATIONS),
    *((name, OUTPUTS, {"multioutput": how}) for name in DEVIATIONS for how in HOW),
    *(("d2_pinball_score", [*OUTPUTS, *POSITIVE], {"alpha": alpha, **EQUAL}) for alpha in (0, 0.1, 0.75)),
    *((name, OUTPUTS, {"multioutput": "variance_weighted"}) for name in ("explained_variance_score", "r2_score")),
    ("mean_pinball_loss", POSITIVE, {"alpha": 0.1}),
    *(("mean_tweedie_deviance", POSITIVE, {"power": power}) for power in (-1, 0, 1.5, 3)),
    ("hinge_loss", [*RANKED, NAMED[0], *DECISIONS, (ONE_CLASS[0], SCORES)], {}),
    ("hinge_loss", DECISIONS[:1], {"labels": ["a", "b", "c"]}),
    *(
        ("top_k_accuracy_score", DECISIONS, {"k": k, "normalize": normalize})
        for k, normalize in ((1, True), (2, False))
    ),
    *(
        (name, INDICATED, {})
        for name in ("coverage_error", "label_ranking_average_precision_score", "label_ranking_loss", "dcg_score")
    ),
    *(("ndcg_score", INDICATED, {"k": k, "ignore_ties": ignore}) for k, ignore in ((2, False), (None, True))),
    *((name, [*COLUMNS, PROBABLE[0]], {}) for name in OF_CHANCES),
    *((name, COLUMNS[:1], {"labels": ["a", "b", "c"]}) for name in OF_CHANCES),
    *((name, POINTS, {}) for name in ("calinski_harabasz_score", "davies_bouldin_score", "silhouette_score")),
    ("silhouette_score", POINTS, {"metric": "manhattan"}),
    *(("calibration_curve", PROBABLE, {"n_bins": n, "strategy": how}) for n in (1, 4) for how in STRATEGIES),
    ("calibration_curve", [(STRINGS[0], PROBABLE[0][1])], {"pos_label": "yes"}),
]
UNWEIGHTED = {name for name in metrics.__all__ if "sample_weight" not in str(getattr(metrics, name).__doc__)}


def lazy(values: Any, size: int) -> Any:
    values = np.asarray(values)
    cuts = (size, 0, *[size] * ((len(values) - size) // size))
    return da.from_array(values, chunks=((*cuts, len(values) - sum(cuts)), *values.shape[1:]))


def flat(value: Any) -> list[Any]:
    """Return the numbers of a result of any form."""
    if isinstance(value, dict):
        return [number for key in sorted(value) for number in flat(value[key])]
    if isinstance(value, tuple):
        return [number for part in value for number in flat(part)]
    return [None] if value is None else [float(number) for number in np.ravel(value)]


def assert_equal(got: Any, expected: Any) -> None:
    if isinstance(expected, str):
        assert got == expected
        return
    assert type(got) is type(expected) or isinstance(got, float)
    for a, b in zip(flat(got), flat(expected), strict=True):
        assert a == b or a == pytest.approx(b, rel=1e-9, abs=1e-12, nan_ok=True)


def name_of(row: Row) -> str:
    return "-".join([row[0], *(str(value) for value in row[2].values() if not isinstance(value, np.ndarray))])


@pytest.mark.parametrize("row", TABLE, ids=name_of)
def test_agreement(row: Row) -> None:
    name, cases, options = row
    ours, theirs = getattr(metrics, name), getattr(sklearn.metrics, name, sklearn.calibration.calibration_curve)
    weights = WEIGHTS[:1] if name in UNWEIGHTED or "digits" in options else WEIGHTS
    for number, (y_true, y_pred) in enumerate([*cases, *cases[: len(weights) - 1]]):
        weight = weights[number % len(weights)]
        extra = options if weight is None else {**options, "sample_weight": weight}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                expected = theirs(y_true, y_pred, **extra)
            except ValueError:
                with pytest.raises(ValueError, match=r".{10}"):
                    ours(lazy(y_true, 31), lazy(y_pred, 17), **extra)
                continue
            assert_equal(ours(lazy(y_true, 31 + number), lazy(y_pred, 17), **extra), expected)
            if number == 0:
                assert_equal(ours(y_true, y_pred, **extra), expected)
                if "compute : bool" in str(ours.__doc__) and not (name == "roc_auc_score" and y_pred.ndim == 2):
                    got = ours(lazy(y_true, 31), y_pred, **extra, compute=False).compute(scheduler="sync")
                    assert_equal(got, expected)


def test_lazy_metrics_share_a_pass() -> None:
    calls = []

    def predict(block: Any) -> Any:
        calls.append(len(block))
        return block

    y_true, y_pred = MANY
    predicted = da.from_array(y_pred, chunks=30).map_blocks(predict, dtype=int, meta=np.empty(0, int))
    lazily = [
        metrics.f1_score(lazy(y_true, 30), predicted, average="macro", compute=False),
        metrics.confusion_matrix(lazy(y_true, 30), predicted, compute=False),
        metrics.mean_squared_error(lazy(y_true, 30), predicted, compute=False),
    ]
    own, other = (set(metric.dask) for metric in lazily[:2])
    assert len(own - other) == 1  # what is counted is counted once, too
    f1, counts, error = dask.compute(*lazily)
    assert len(calls) == 3
    assert f1 == pytest.approx(sklearn.metrics.f1_score(y_true, y_pred, average="macro"))
    assert counts.sum() == N
    assert error == pytest.approx(sklearn.metrics.mean_squared_error(y_true, y_pred))


@pytest.mark.parametrize("name", ["hinge_loss", "top_k_accuracy_score", "f1_score", "log_loss", "roc_auc_score"])
def test_blocks_of_one_class_each(name: str) -> None:
    order = np.argsort(WORDS[0], kind="stable")
    y, scores = WORDS[0][order], CHANCES[order]
    predicted = WORDS[1][order] if name == "f1_score" else scores
    options = {"f1_score": {"average": "macro"}, "roc_auc_score": {"multi_class": "ovo"}}.get(name, {})
    expected = getattr(sklearn.metrics, name)(y, predicted, **options)
    assert getattr(metrics, name)(lazy(y, 10), lazy(predicted, 10), **options) == pytest.approx(expected, rel=1e-9)


def test_a_report_of_ten_million_rows_looks_as_scikit_learns() -> None:
    pairs = PairTotals(10_000_000, np.array([0, 1, 1]), np.array([0, 0, 1]), np.array([5_000_000, 4_999_999, 1]))
    rows = score_pairs(pairs, sklearn.metrics.classification_report, {}).splitlines()
    assert [row[-9:] for row in rows[2:4] + rows[5:6]] == ["  5000000", "  5000000", " 10000000"]
    assert {len(row) for row in rows if row} == {len(rows[0])}


def test_curves_of_more_scores_than_groups_keep_to_the_full_curve(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daskml_kit.metrics.score_curves.CAP", 60)
    rng = np.random.default_rng(0)
    scores = rng.normal(size=2000)
    y = (rng.random(2000) < 1 / (1 + np.exp(-scores))).astype(int)
    for name, options in (("roc_curve", {"drop_intermediate": False}), ("precision_recall_curve", {})):
        got = getattr(metrics, name)(lazy(y, 300), lazy(scores, 700), **options)
        full = getattr(sklearn.metrics, name)(y, scores, **options)
        points, all_points = (set(zip(*np.round(curve[:2], 12), strict=True)) for curve in (got, full))
        assert points <= all_points
        assert 30 < len(points) < 70
    assert metrics.average_precision_score(lazy(y, 300), scores) == pytest.approx(
        sklearn.metrics.average_precision_score(y, scores), abs=0.01
    )


@pytest.mark.parametrize("weighted", [False, True])
def test_order_statistics_of_more_values_than_groups_are_exact(monkeypatch: pytest.MonkeyPatch, weighted: bool) -> None:
    monkeypatch.setattr("daskml_kit.metrics.order_statistics.CAP", 40)
    rng = np.random.default_rng(0)
    y, prediction = rng.normal(size=(2, 3000))
    weight = rng.exponential(size=3000) if weighted else None
    for name in ("median_absolute_error", "d2_absolute_error_score"):
        got = getattr(metrics, name)(lazy(y, 700), prediction, sample_weight=weight)
        expected = getattr(sklearn.metrics, name)(y, prediction, sample_weight=weight)
        assert got == pytest.approx(expected, rel=1e-12)

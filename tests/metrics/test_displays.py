"""Displays of Dask data show what scikit-learn's show of the same in memory."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import sklearn.calibration
import sklearn.metrics

from daskml_kit import metrics

pyplot = pytest.importorskip("matplotlib.pyplot")
RNG = np.random.default_rng(0)
Y, P, W = RNG.integers(0, 2, 80), RNG.random(80), RNG.exponential(size=80)


def lazy(values):
    return da.from_array(values, chunks=30)


@pytest.fixture(autouse=True)
def closed():
    with pyplot.rc_context({"backend": "Agg"}):
        yield
        pyplot.close("all")


@pytest.mark.parametrize(
    ("name", "shown", "options"),
    [
        ("RocCurveDisplay", ("fpr", "tpr", "roc_auc"), {"plot_chance_level": True}),
        ("DetCurveDisplay", ("fpr", "fnr"), {}),
        (
            "PrecisionRecallDisplay",
            ("precision", "recall", "average_precision", "prevalence_pos_label"),
            {"plot_chance_level": True},
        ),
        ("PrecisionRecallDisplay", ("prevalence_pos_label",), {}),
        ("ConfusionMatrixDisplay", ("confusion_matrix", "display_labels"), {"normalize": "true"}),
        ("CalibrationDisplay", ("prob_true", "prob_pred"), {"n_bins": 3, "strategy": "quantile"}),
    ],
)
@pytest.mark.parametrize("weighted", [False, True])
def test_displays(name, shown, options, weighted):
    theirs = getattr(sklearn.metrics, name, sklearn.calibration.CalibrationDisplay)
    predicted = (P > 0.5).astype(int) if name == "ConfusionMatrixDisplay" else P
    if weighted and name != "CalibrationDisplay":
        options = {**options, "sample_weight": W}
    expected = theirs.from_predictions(Y, predicted, **options)
    for given in ((lazy(Y), lazy(predicted)), (Y, predicted)):
        got = getattr(metrics, name).from_predictions(*given, **options)
        assert isinstance(got, theirs)
        for attribute in shown:
            np.testing.assert_allclose(getattr(got, attribute), getattr(expected, attribute), rtol=1e-9)
        assert len(got.ax_.lines) == len(expected.ax_.lines)


def test_errors_of_a_sample():
    display = metrics.PredictionErrorDisplay.from_predictions(lazy(P), lazy(P + W), subsample=20, random_state=0)
    assert len(display.y_true) == 20
    assert np.isin(display.y_pred - display.y_true, (P + W) - P).all()
    assert len(np.unique(display.y_true)) == 20
    again = metrics.PredictionErrorDisplay.from_predictions(lazy(P), lazy(P + W), subsample=20, random_state=0)
    np.testing.assert_array_equal(again.y_true, display.y_true)
    with pytest.raises(ValueError, match="subsample: expected a positive integer"):
        metrics.PredictionErrorDisplay.from_predictions(lazy(P), lazy(P), subsample=0.5)

"""What metrics refuse, and the arguments that they name."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import scipy.sparse as sp

from daskml_kit import metrics
from daskml_kit.exceptions import DataError


def lazy(values, chunks=2):
    return da.from_array(np.asarray(values), chunks=chunks)


CSR = da.from_array(np.eye(4, dtype=int), chunks=(2, 4)).map_blocks(sp.csr_array, meta=sp.csr_array((0, 4), dtype=int))
Y, P = lazy([0, 1, 1, 0]), lazy([0.1, 0.8, 0.3, 0.2])


@pytest.mark.parametrize(
    ("name", "args", "options", "match"),
    [
        ("mean_squared_error", (Y, lazy([1.0, 2.0, np.nan, 0.0])), {}, "y_pred contains NaN in block 1, row 0"),
        ("mean_squared_error", (lazy([1.0, np.inf, 2.0, 0.0]), P), {}, "y_true contains infinity in block 0, row 1"),
        ("mean_squared_error", (lazy([1.0, 2.0]), P), {}, "y_true: .*expected 4 rows as in y_pred, got 2"),
        ("mean_squared_error", (lazy(np.ones((4, 2))), P), {}, r"different number of output \(2!=1\)"),
        ("mean_squared_error", (lazy(list("abcd")), P), {}, "y_true: expected numbers"),
        ("mean_squared_error", (Y, P), {"sample_weight": lazy([1, -1, 1, 1])}, "sample_weight: .*negative.* block 0"),
        ("mean_squared_error", (Y, P), {"sample_weight": lazy([0, 0, 0, 0])}, "sample_weight: Weights sum to zero"),
        ("mean_squared_error", (Y, P), {"multioutput": [1.0]}, "multioutput: .*multi-output"),
        ("mean_squared_error", (lazy(np.ones((4, 2))), np.ones((4, 2))), {"multioutput": [1.0]}, "expected 2 weights"),
        ("d2_tweedie_score", (Y, P), {"power": 2}, "strictly positive y_true.* in block 0"),
        ("d2_tweedie_score", (Y, lazy([1.0, 1.0, 0.0, 1.0])), {"power": 1}, "strictly positive y_pred.* in block 1"),
        ("accuracy_score", (Y, lazy(["a", "b", "a", "b"])), {}, "y_true, y_pred: expected labels of one type"),
        ("accuracy_score", (Y, P), {}, "y_pred: expected class labels, got fractions in block 0"),
        ("accuracy_score", (lazy(np.full((4, 2), 2)), np.ones((4, 2))), {}, "y_true: expected an indicator of 0 and 1"),
        ("accuracy_score", (lazy([]), lazy([])), {}, "y_true: Found empty input"),
        ("log_loss", (Y, lazy([0.1, 0.2, 1.5, 0.3])), {}, "y_proba contains values greater than 1: 1.5 in block 1"),
        ("log_loss", (Y, lazy([0.1, -0.2, 0.5, 0.3])), {}, "y_proba contains values lower than 0: -0.2 in block 0"),
        ("log_loss", (lazy([0, 1, 2, 0]), P), {}, "y_true and y_proba contain different number of classes"),
        ("log_loss", (lazy([1, 1, 1, 1]), P), {}, "y_true contains only one label"),
        ("log_loss", (Y, P), {"labels": [0, 1, 2]}, "labels: expected 2"),
        ("log_loss", (Y, P), {"labels": [0, 2]}, r"y_true contains values \[1\] not belonging to labels"),
        ("brier_score_loss", (lazy(["a", "b", "a", "b"]), P), {}, "pos_label is not specified"),
        ("roc_auc_score", (Y, lazy([0.1, np.nan, 0.5, 0.3])), {}, "y_score contains NaN in block 0, row 1"),
        ("roc_auc_score", (lazy([0, 1, 2, 0]), P), {}, "y_score: expected shape .*multiple classes"),
        (
            "roc_auc_score",
            (lazy(np.array(["a", None, "b", "a"], object)), P),
            {},
            "y_true contains NaN: .* block 0, row 1",
        ),
        ("roc_auc_score", (lazy(np.array([1, "a", "b", "a"], object)), P), {}, "y_true: labels of one type.* block 0"),
        ("roc_auc_score", (Y, lazy(np.ones((4, 2)), (2, 2))), {}, "y_score: expected one column"),
        ("roc_auc_score", (Y, lazy(np.full((4, 3), 1 / 3), (2, 3))), {}, "multi_class must be in"),
        (
            "roc_auc_score",
            (Y, lazy(np.ones((4, 3)), (2, 3))),
            {"multi_class": "ovr", "labels": [0, 1, 2]},
            "sum up to 1.0",
        ),
        ("roc_auc_score", (Y, lazy(np.ones((4, 3)), (2, 3))), {"multi_class": "ovr"}, "labels: expected 3"),
        ("roc_auc_score", (Y, lazy(np.ones((4, 3)), (2, 3))), {"multi_class": "ovr", "labels": [2, 1, 0]}, "in order"),
    ],
)
def test_refused(name, args, options, match):
    with pytest.raises(DataError, match=match):
        getattr(metrics, name)(*args, **options)


@pytest.mark.parametrize(
    ("name", "args", "options", "match"),
    [
        ("roc_auc_score", (Y, lazy(np.full((4, 3), 1 / 3), (2, 3))), {"max_fpr": 0.5}, "max_fpr=0.5"),
        ("roc_auc_score", (Y, lazy(np.full((4, 3), 1 / 3), (2, 3))), {"multi_class": "ovr", "average": 1}, "average"),
        ("roc_auc_score", (Y, lazy(np.ones((4, 3)), (2, 3))), {"compute": False}, "compute=False: expected one column"),
        ("average_precision_score", (lazy(np.eye(4)), lazy(np.eye(4))), {"pos_label": 2}, "pos_label"),
        ("hinge_loss", ([0, 1], [0.5, 0.5]), {"sample_weight": [1, np.nan]}, "sample_weight: expected finite"),
        ("hinge_loss", ([0, 1], [0.5, 0.5]), {"sample_weight": np.eye(2)}, "sample_weight: expected one dimension"),
        ("average_precision_score", (lazy(np.eye(4)), P), {}, "y_score: expected 4 columns"),
        ("roc_curve", (lazy([0, 1, 2, 0]), P), {}, "y_score: expected shape"),
        ("f1_score", (Y, Y), {"average": "mean"}, "'average' parameter of f1_score"),
        ("multilabel_confusion_matrix", (Y, Y), {"samplewise": True}, "samplewise=True"),
        ("mean_squared_error", (Y, P), {"multioutput": "median"}, "'multioutput' parameter of"),
        ("d2_tweedie_score", (Y, P), {"power": 0.5}, "'power' parameter of"),
        ("normalized_mutual_info_score", (Y, Y), {"average_method": "mean"}, "'average_method' parameter of"),
        ("accuracy_score", (Y, Y), {"compute": "no"}, "compute: expected True or False"),
        ("rand_score", (0.5, Y), {}, "labels_true: expected one or two dimensions"),
        ("top_k_accuracy_score", (Y, P), {"k": 1}, "y_score on Dask: expected a column for each label"),
        ("f1_score", (CSR, CSR), {}, "y_true: expected a dense array, got a sparse one in block 0"),
        ("f1_score", (Y, CSR), {}, "y_pred: expected a dense array, got a sparse one in block 0"),
        ("f1_score", (lazy(list("abab")), lazy(list("aba"))), {}, "y_true: .* expected 3 rows as in y_pred, got 4"),
        ("mean_pinball_loss", (Y, P), {"alpha": 2}, "'alpha' parameter of mean_pinball_loss"),
        ("calibration_curve", (Y, P), {"strategy": "equal"}, "'strategy' parameter of"),
        ("calibration_curve", (lazy(list("abab")), P), {}, "pos_label is not specified"),
        ("silhouette_score", (lazy(np.eye(4)), Y), {"sample_size": 1}, "sample_size: expected"),
        ("silhouette_score", ([[0.0]], [0]), {"return_error": True}, "return_error=True"),
        ("davies_bouldin_score", (lazy(np.eye(4)), lazy([1, 1, 1, 1])), {}, "labels: Number of labels is 1"),
        ("d2_brier_score", (Y, lazy([2.0, 0.0, 0.0, 1.0])), {}, "y_proba contains values greater than 1"),
        ("rand_score", (Y, P), {}, "labels_pred: expected class labels, got fractions"),
        ("mutual_info_score", (Y, Y), {"contingency": np.eye(2)}, "contingency: expected None"),
    ],
)
def test_refused_options(name, args, options, match):
    with pytest.raises(ValueError, match=match):
        getattr(metrics, name)(*args, **options)


def test_one_class_has_no_area_as_in_scikit_learn():
    with pytest.warns(UserWarning, match="Only one class is present"):
        assert np.isnan(metrics.roc_auc_score(lazy([1, 1, 1, 1]), P))


def test_probabilities_that_do_not_sum_to_one():
    with pytest.warns(UserWarning, match="do not sum to one"):
        metrics.log_loss(Y, lazy(np.full((4, 2), 0.4), (2, 2)))


def test_more_labels_on_dask_than_predictions_in_memory_are_refused():
    for metric in (metrics.accuracy_score, metrics.r2_score):
        with pytest.raises(DataError, match=r"y_true: .* expected 2 rows as in y_pred, got 3"):
            metric(lazy([1, 2, 3]), np.array([1, 2]))

"""Metrics of predicted labels: one pass counts pairs of labels, and scikit-learn's own function scores the counts.

A metric of labels depends on the weight of each pair of a true and a predicted label alone. So what is scored are as
many weighted rows as there are distinct pairs, and all parameters, warnings and errors are scikit-learn's.

Examples
--------
>>> import dask.array as da
>>> y_true, y_pred = da.from_array(["a", "b", "a", "c"], chunks=2), da.from_array(["a", "b", "b", "c"], chunks=3)
>>> confusion_matrix(y_true, y_pred)
array([[1, 1, 0],
       [0, 1, 0],
       [0, 0, 1]])
>>> round(f1_score(y_true, y_pred, average="macro"), 4)
0.7778
>>> import dask
>>> dask.compute(*(metric(y_true, y_pred, compute=False) for metric in (accuracy_score, hamming_loss)))
(0.75, 0.25)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import sklearn.metrics

from daskml_kit.metrics.documented import one_pass_metric
from daskml_kit.metrics.inputs import require_rows
from daskml_kit.reductions.distinct_pairs import DistinctPairs, PairTotals
from daskml_kit.reductions.reduction import Reduction

NOTE = """On Dask collections one pass counts the distinct pairs of labels, which may be numbers or strings; of an
indicator of several labels the distinct pairs of rows, at most 2**20. Negative weights are refused."""


def score_pairs(total: PairTotals, theirs: Callable[..., Any], options: Mapping[str, Any]) -> Any:
    """Return scikit-learn's metric of the weighted pairs.

    Raises
    ------
    DataError
        Where there are no rows, or no weight to divide by.
    """
    require_rows(total.n_rows, 1)
    try:
        value = theirs(total.truth, total.predicted, sample_weight=total.mass, **options)
    except ZeroDivisionError:
        require_rows(total.n_rows, 0)
        raise
    if isinstance(value, (float, np.number)):
        return float(value)
    return value if total.weighted else _with_whole_counts(value)


def _with_whole_counts(value: Any) -> Any:
    """Return what scikit-learn counts by rows as integers, where it sums weights as floats."""
    if isinstance(value, str):  # the last column of a report is the support
        return re.sub(r" +(\d+)\.0$", lambda found: f" {found[1]:>9}", value, flags=re.MULTILINE)
    if isinstance(value, tuple) and isinstance(value[-1], np.ndarray):
        return (*value[:-1], value[-1].astype(np.int64))
    return value.astype(np.int64) if isinstance(value, np.ndarray) and value.ndim == 3 else value


def _label_metric(theirs: Callable[..., Any]) -> Callable[..., Any]:
    def parts(**options: Any) -> tuple[Reduction, Callable[[Any], Any]]:
        if options.get("samplewise"):
            raise ValueError("samplewise=True on Dask: a matrix a row is missing; matrices of labels are there")
        return DistinctPairs(), partial(score_pairs, theirs=theirs, options=options)

    return one_pass_metric(theirs, parts, NOTE)


accuracy_score = _label_metric(sklearn.metrics.accuracy_score)
balanced_accuracy_score = _label_metric(sklearn.metrics.balanced_accuracy_score)
class_likelihood_ratios = _label_metric(sklearn.metrics.class_likelihood_ratios)
classification_report = _label_metric(sklearn.metrics.classification_report)
cohen_kappa_score = _label_metric(sklearn.metrics.cohen_kappa_score)
confusion_matrix = _label_metric(sklearn.metrics.confusion_matrix)
f1_score = _label_metric(sklearn.metrics.f1_score)
fbeta_score = _label_metric(sklearn.metrics.fbeta_score)
hamming_loss = _label_metric(sklearn.metrics.hamming_loss)
jaccard_score = _label_metric(sklearn.metrics.jaccard_score)
matthews_corrcoef = _label_metric(sklearn.metrics.matthews_corrcoef)
multilabel_confusion_matrix = _label_metric(sklearn.metrics.multilabel_confusion_matrix)
precision_recall_fscore_support = _label_metric(sklearn.metrics.precision_recall_fscore_support)
precision_score = _label_metric(sklearn.metrics.precision_score)
recall_score = _label_metric(sklearn.metrics.recall_score)
zero_one_loss = _label_metric(sklearn.metrics.zero_one_loss)

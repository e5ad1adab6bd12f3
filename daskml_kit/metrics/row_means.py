"""Metrics that are means over rows: scikit-learn's own function scores each block, one pass adds them up.

Examples
--------
>>> import dask.array as da
>>> y_true, y_pred = da.from_array([3.0, 5.0, 2.5, 7.0], chunks=2), da.from_array([2.5, 5.0, 4.0, 8.0], chunks=3)
>>> round(mean_squared_log_error(y_true, y_pred), 4)
0.0397
>>> round(mean_pinball_loss(y_true, y_pred, alpha=0.1), 4)
0.575
>>> max_error(y_true, y_pred)
1.5
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from inspect import signature
from typing import Any

import numpy as np
import sklearn.metrics

from daskml_kit.metrics.documented import documented_by, one_pass_metric
from daskml_kit.metrics.inputs import column, open_scores, reduce_scores, require_rows
from daskml_kit.metrics.regression import over_outputs
from daskml_kit.reductions.block_means import BlockMeans, LargestErrors, MetricSums
from daskml_kit.reductions.reduction import Reduction
from daskml_kit.reductions.value_counts import Distinct

NOTE = """On Dask collections scikit-learn scores each block, in double precision, and one pass adds up the scores.
Negative weights are refused."""


def mean_of(total: MetricSums, multioutput: Any = None, root: bool = False, normalize: bool = True) -> Any:
    """Return the mean over rows; over outputs as ``multioutput`` says, of each its ``root``."""
    require_rows(total.n_rows, total.weight)
    mean = total.total / total.weight if normalize else total.total
    mean = np.sqrt(mean) if root else mean
    return float(mean) if multioutput is None else over_outputs(np.atleast_1d(mean), multioutput)


def _row_mean(theirs: Callable[..., Any], inner: Callable[..., Any] | None = None) -> Callable[..., Any]:
    """Return the metric; that which is the root of an ``inner`` one is the root of its mean over all rows."""
    known = signature(theirs).parameters

    def parts(**options: Any) -> tuple[Reduction, Callable[[Any], Any]]:
        finish: dict[str, Any] = {"root": inner is not None}
        if "multioutput" in known:
            finish["multioutput"] = options.pop("multioutput", "uniform_average")
            options["multioutput"] = "raw_values"
        return BlockMeans(inner or theirs, options, name=list(known)[1]), partial(mean_of, **finish)

    return one_pass_metric(theirs, parts, NOTE)


def _labeled_mean(theirs: Callable[..., Any]) -> Callable[..., Any]:
    """Return a metric that has to know all labels, of which a block may lack some."""
    known = signature(theirs).parameters
    name = list(known)[1]

    def on_dask(y_true: Any, y_pred: Any, sample_weight: Any = None, compute: bool = True, **options: Any) -> Any:
        if "k" in known and column(y_pred, name).ndim == 1:
            raise ValueError(f"{name} on Dask: expected a column for each label; of two labels use accuracy_score")
        finish = partial(mean_of, normalize=options.pop("normalize", True))
        labels = options["labels"] = _labels(y_true, y_pred, options.get("labels"), name)
        means = BlockMeans(theirs, options, labels, name)
        return reduce_scores(means, finish, y_true, y_pred, sample_weight, compute, name)

    return documented_by(theirs, on_dask, f"{NOTE} Without ``labels`` a pass before finds them.")


def _labels(y_true: Any, scores: Any, given: Any, name: str) -> Any:
    if given is not None:
        return np.asarray(given)
    decisions = column(scores, name)
    width = 2 if decisions.ndim == 1 else decisions.shape[1]
    with open_scores(y_true, decisions, None, name=name) as engine:
        return engine.answer(Distinct(width))[0]


def _max_error() -> tuple[Reduction, Callable[[Any], Any]]:
    return LargestErrors(), _largest


def _largest(total: MetricSums) -> float:
    require_rows(total.n_rows, 1)
    return float(total.total)


coverage_error = _row_mean(sklearn.metrics.coverage_error)
dcg_score = _row_mean(sklearn.metrics.dcg_score)
hinge_loss = _labeled_mean(sklearn.metrics.hinge_loss)
label_ranking_average_precision_score = _row_mean(sklearn.metrics.label_ranking_average_precision_score)
label_ranking_loss = _row_mean(sklearn.metrics.label_ranking_loss)
max_error = one_pass_metric(sklearn.metrics.max_error, _max_error, NOTE)
mean_absolute_percentage_error = _row_mean(sklearn.metrics.mean_absolute_percentage_error)
mean_gamma_deviance = _row_mean(sklearn.metrics.mean_gamma_deviance)
mean_pinball_loss = _row_mean(sklearn.metrics.mean_pinball_loss)
mean_poisson_deviance = _row_mean(sklearn.metrics.mean_poisson_deviance)
mean_squared_log_error = _row_mean(sklearn.metrics.mean_squared_log_error)
mean_tweedie_deviance = _row_mean(sklearn.metrics.mean_tweedie_deviance)
ndcg_score = _row_mean(sklearn.metrics.ndcg_score)
root_mean_squared_log_error = _row_mean(
    sklearn.metrics.root_mean_squared_log_error, sklearn.metrics.mean_squared_log_error
)
top_k_accuracy_score = _labeled_mean(sklearn.metrics.top_k_accuracy_score)

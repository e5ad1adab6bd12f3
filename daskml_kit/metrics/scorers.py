"""Scorers of our metrics: on Dask data they are computed where it lies, and searches fuse those of one pass.

Examples
--------
>>> import dask.array as da
>>> from sklearn.dummy import DummyClassifier
>>> X, y = da.zeros((4, 1), chunks=2), da.from_array([0, 1, 1, 1], chunks=2)
>>> get_scorer("f1_macro")(DummyClassifier().fit([[0], [0]], [1, 1]), X.compute(), y)
0.42857142857142855
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import sklearn.metrics

from daskml_kit.metrics import cluster_agreement, label_metrics, order_statistics, row_means, score_curves
from daskml_kit.metrics.classification import brier_score_loss, d2_brier_score, d2_log_loss_score, log_loss
from daskml_kit.metrics.regression import (
    explained_variance_score,
    mean_absolute_error,
    mean_squared_error,
    r2_score,
    root_mean_squared_error,
)
from daskml_kit.metrics.roc import roc_auc_score

DECIDES = ("decision_function", "predict_proba")
METRICS = ("sklearn.metrics.", "daskml_kit.metrics")
AVERAGES = ("macro", "micro", "samples", "weighted")


class BoundMetric(NamedTuple):
    """A metric, its options, the estimator's methods of which one is scored, and 1 or -1: the greater the better."""

    metric: Callable[..., Any]
    options: Mapping[str, Any]
    response: str | tuple[str, ...]
    sign: int


def make_scorer(
    score_func: Callable[..., Any],
    *,
    response_method: str | tuple[str, ...] = "predict",
    greater_is_better: bool = True,
    **kwargs: Any,
) -> Any:
    """Scorer of a metric: scikit-learn's, which searches fuse where the metric is one of ours and takes one pass.

    Parameters
    ----------
    score_func : callable
        A metric of y and predictions. Of `daskml_kit.metrics` it is computed on Dask collections where they lie.
    response_method : {"predict", "predict_proba", "decision_function"} or tuple of these, default="predict"
        The estimator's method that gives the predictions; of several the first that it has.
    greater_is_better : bool, default=True
        False for losses, whose sign is changed.
    **kwargs : dict
        Further arguments of ``score_func``.

    Returns
    -------
    callable
        Takes an estimator, X, y and perhaps ``sample_weight``.

    See Also
    --------
    get_scorer : Known scorers by name.

    Examples
    --------
    >>> from daskml_kit.metrics import fbeta_score
    >>> make_scorer(fbeta_score, beta=2)
    make_scorer(fbeta_score, response_method='predict', beta=2)
    """
    scorer = sklearn.metrics.make_scorer(
        score_func, response_method=response_method, greater_is_better=greater_is_better, **kwargs
    )
    scorer.bound_metric = BoundMetric(score_func, kwargs, response_method, 1 if greater_is_better else -1)
    return scorer


def _table() -> dict[str, Any]:
    labels = {
        "accuracy": label_metrics.accuracy_score,
        "balanced_accuracy": label_metrics.balanced_accuracy_score,
        "matthews_corrcoef": label_metrics.matthews_corrcoef,
        "r2": r2_score,
        "explained_variance": explained_variance_score,
        "d2_absolute_error_score": order_statistics.d2_absolute_error_score,
    }
    errors = {
        "neg_max_error": row_means.max_error,
        "neg_mean_absolute_error": mean_absolute_error,
        "neg_mean_absolute_percentage_error": row_means.mean_absolute_percentage_error,
        "neg_mean_gamma_deviance": row_means.mean_gamma_deviance,
        "neg_mean_poisson_deviance": row_means.mean_poisson_deviance,
        "neg_mean_squared_error": mean_squared_error,
        "neg_mean_squared_log_error": row_means.mean_squared_log_error,
        "neg_median_absolute_error": order_statistics.median_absolute_error,
        "neg_root_mean_squared_error": root_mean_squared_error,
        "neg_root_mean_squared_log_error": row_means.root_mean_squared_log_error,
    }
    averaged = {
        "f1": label_metrics.f1_score,
        "jaccard": label_metrics.jaccard_score,
        "precision": label_metrics.precision_score,
        "recall": label_metrics.recall_score,
    }
    found = {name: make_scorer(metric) for name, metric in labels.items()}
    found |= {name: make_scorer(metric, greater_is_better=False) for name, metric in errors.items()}
    for name, metric in averaged.items():
        found[name] = make_scorer(metric, average="binary")
        found |= {f"{name}_{how}": make_scorer(metric, pos_label=None, average=how) for how in AVERAGES}
    for name in sklearn.metrics.get_scorer_names():
        if hasattr(cluster_agreement, name):
            found[name] = make_scorer(getattr(cluster_agreement, name))
    likely: dict[str, Any] = {"response_method": "predict_proba"}
    found["neg_log_loss"] = make_scorer(log_loss, greater_is_better=False, **likely)
    found["neg_brier_score"] = make_scorer(brier_score_loss, greater_is_better=False, **likely)
    found["d2_log_loss_score"] = make_scorer(d2_log_loss_score, **likely)
    found["d2_brier_score"] = make_scorer(d2_brier_score, **likely)
    found["average_precision"] = make_scorer(score_curves.average_precision_score, response_method=DECIDES)
    found["top_k_accuracy"] = make_scorer(row_means.top_k_accuracy_score, response_method=DECIDES)
    found["roc_auc"] = make_scorer(roc_auc_score, response_method=DECIDES)
    for kind in ("ovr", "ovo"):
        found[f"roc_auc_{kind}"] = make_scorer(roc_auc_score, multi_class=kind, **likely)
        found[f"roc_auc_{kind}_weighted"] = make_scorer(roc_auc_score, multi_class=kind, average="weighted", **likely)
    return dict(sorted(found.items()))


SCORERS: Mapping[str, Any] = _table()
"""Scorers of our metrics, by the names of scikit-learn's."""


def refuse_metrics(scoring: Any) -> None:
    """Raise where a metric, or a dict with one, is given for a scorer: it would take the estimator for y.

    Raises
    ------
    ValueError
        With the call that makes a scorer of the metric.

    Examples
    --------
    >>> refuse_metrics(sklearn.metrics.f1_score)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    ValueError: scoring: expected a scorer, which takes an estimator, got the metric f1_score: ...
    """
    for value in scoring.values() if isinstance(scoring, Mapping) else [scoring]:
        if inspect.isfunction(value) and value.__module__.startswith(METRICS):
            name = value.__name__
            raise ValueError(
                f"scoring: expected a scorer, which takes an estimator, got the metric {name}: give make_scorer({name})"
            )


def get_scorer(scoring: Any) -> Any:
    """Scorer of a name, a new one each time; a callable is returned as it is.

    Parameters
    ----------
    scoring : str or callable

    Returns
    -------
    callable
        Ours where there is one of this name, on NumPy equal to scikit-learn's; else scikit-learn's.

    Raises
    ------
    ValueError
        Where the name is not known.

    See Also
    --------
    make_scorer : Of a metric.

    Examples
    --------
    >>> get_scorer("neg_mean_squared_error")
    make_scorer(mean_squared_error, greater_is_better=False, response_method='predict')
    """
    if isinstance(scoring, str) and scoring in SCORERS:
        return copy.deepcopy(SCORERS[scoring])  # set_score_request changes a scorer
    return sklearn.metrics.get_scorer(scoring)


def get_scorer_names() -> list[str]:
    """Names of all scorers, ours and scikit-learn's, sorted.

    Returns
    -------
    list of str
        What `get_scorer` takes.

    Examples
    --------
    >>> "f1_macro" in get_scorer_names()
    True
    """
    return sorted({*SCORERS, *sklearn.metrics.get_scorer_names()})


def check_scoring(
    estimator: Any = None, scoring: Any = None, *, allow_none: bool = False, raise_exc: bool = True
) -> Any:
    """Scorer of an estimator: by name, a callable, or by default its own ``score``.

    Parameters
    ----------
    estimator : estimator, optional
        Has ``fit``; not needed where several scorers are given.
    scoring : str, callable, list, tuple, set, dict or None, default=None
        Several make a scorer that returns a dict.
    allow_none : bool, default=False
        Whether None is returned for an estimator without ``score``.
    raise_exc : bool, default=True
        Whether an error of one of several scorers is raised; else its text stands for the score.

    Returns
    -------
    callable
        Takes an estimator, X and y.

    Raises
    ------
    TypeError, ValueError
        Where the estimator has no ``score``, or ``scoring`` is not known, or a metric.

    See Also
    --------
    get_scorer : Of a name.

    Examples
    --------
    >>> from sklearn.svm import SVC
    >>> check_scoring(SVC(), "accuracy")
    make_scorer(accuracy_score, response_method='predict')
    """
    refuse_metrics(scoring)
    if isinstance(scoring, str):
        scoring = get_scorer(scoring)
    elif isinstance(scoring, (list, tuple, set)) and all(isinstance(name, str) for name in scoring):
        scoring = {name: get_scorer(name) for name in scoring}
    elif isinstance(scoring, Mapping):
        scoring = {name: get_scorer(value) if isinstance(value, str) else value for name, value in scoring.items()}
    return sklearn.metrics.check_scoring(estimator, scoring, allow_none=allow_none, raise_exc=raise_exc)

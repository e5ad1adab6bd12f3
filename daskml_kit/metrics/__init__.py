"""scikit-learn's metrics: Dask in, a float out, one pass over the data."""

from daskml_kit.metrics.classification import accuracy_score, brier_score_loss, log_loss
from daskml_kit.metrics.ranking import mean_average_precision_at_k, ndcg_at_k, precision_at_k, recall_at_k
from daskml_kit.metrics.regression import (
    d2_tweedie_score,
    mean_absolute_error,
    mean_squared_error,
    r2_score,
    root_mean_squared_error,
)
from daskml_kit.metrics.roc import roc_auc_score

__all__ = [
    "accuracy_score",
    "brier_score_loss",
    "d2_tweedie_score",
    "log_loss",
    "mean_absolute_error",
    "mean_average_precision_at_k",
    "mean_squared_error",
    "ndcg_at_k",
    "precision_at_k",
    "r2_score",
    "recall_at_k",
    "roc_auc_score",
    "root_mean_squared_error",
]

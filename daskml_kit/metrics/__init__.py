"""scikit-learn's metrics: Dask in, a float out, one pass over the data.

Where a metric has a parameter ``compute``, False gives a Delayed, and those of a report share one pass:

>>> import dask
>>> import dask.array as da
>>> y_true, chances = da.from_array([0, 1, 1, 0], chunks=2), da.from_array([0.2, 0.7, 0.9, 0.6], chunks=2)
>>> found = {
...     "f1": f1_score(y_true, (chances > 0.5).astype(int), compute=False),
...     "log loss": log_loss(y_true, chances, compute=False),
...     "area": roc_auc_score(y_true, chances, compute=False),
... }
>>> {name: round(value, 3) for name, value in dask.compute(found)[0].items()}
{'f1': 0.8, 'log loss': 0.4, 'area': 1.0}

Without Dask collections each is scikit-learn's own.
"""

from daskml_kit.metrics.classification import (
    brier_score_loss,
    d2_brier_score,
    d2_log_loss_score,
    log_loss,
)
from daskml_kit.metrics.cluster_agreement import (
    adjusted_mutual_info_score,
    adjusted_rand_score,
    completeness_score,
    fowlkes_mallows_score,
    homogeneity_completeness_v_measure,
    homogeneity_score,
    mutual_info_score,
    normalized_mutual_info_score,
    pair_confusion_matrix,
    rand_score,
    v_measure_score,
)
from daskml_kit.metrics.cluster_quality import (
    calinski_harabasz_score,
    davies_bouldin_score,
    silhouette_score,
)
from daskml_kit.metrics.displays import (
    CalibrationDisplay,
    ConfusionMatrixDisplay,
    DetCurveDisplay,
    PrecisionRecallDisplay,
    PredictionErrorDisplay,
    RocCurveDisplay,
)
from daskml_kit.metrics.label_metrics import (
    accuracy_score,
    balanced_accuracy_score,
    class_likelihood_ratios,
    classification_report,
    cohen_kappa_score,
    confusion_matrix,
    f1_score,
    fbeta_score,
    hamming_loss,
    jaccard_score,
    matthews_corrcoef,
    multilabel_confusion_matrix,
    precision_recall_fscore_support,
    precision_score,
    recall_score,
    zero_one_loss,
)
from daskml_kit.metrics.order_statistics import (
    d2_absolute_error_score,
    d2_pinball_score,
    median_absolute_error,
)
from daskml_kit.metrics.pairwise import (
    euclidean_distances,
    nan_euclidean_distances,
    pairwise_distances,
    pairwise_distances_argmin,
    pairwise_distances_argmin_min,
    pairwise_kernels,
)
from daskml_kit.metrics.ranking import mean_average_precision_at_k, ndcg_at_k, precision_at_k, recall_at_k
from daskml_kit.metrics.regression import (
    d2_tweedie_score,
    explained_variance_score,
    mean_absolute_error,
    mean_squared_error,
    r2_score,
    root_mean_squared_error,
)
from daskml_kit.metrics.reliability import (
    calibration_curve,
)
from daskml_kit.metrics.roc import (
    roc_auc_score,
)
from daskml_kit.metrics.row_means import (
    coverage_error,
    dcg_score,
    hinge_loss,
    label_ranking_average_precision_score,
    label_ranking_loss,
    max_error,
    mean_absolute_percentage_error,
    mean_gamma_deviance,
    mean_pinball_loss,
    mean_poisson_deviance,
    mean_squared_log_error,
    mean_tweedie_deviance,
    ndcg_score,
    root_mean_squared_log_error,
    top_k_accuracy_score,
)
from daskml_kit.metrics.score_curves import (
    auc,
    average_precision_score,
    det_curve,
    precision_recall_curve,
    roc_curve,
)
from daskml_kit.metrics.scorers import (
    SCORERS,
    check_scoring,
    get_scorer,
    get_scorer_names,
    make_scorer,
)

__all__ = [
    "SCORERS",
    "CalibrationDisplay",
    "ConfusionMatrixDisplay",
    "DetCurveDisplay",
    "PrecisionRecallDisplay",
    "PredictionErrorDisplay",
    "RocCurveDisplay",
    "accuracy_score",
    "adjusted_mutual_info_score",
    "adjusted_rand_score",
    "auc",
    "average_precision_score",
    "balanced_accuracy_score",
    "brier_score_loss",
    "calibration_curve",
    "calinski_harabasz_score",
    "check_scoring",
    "class_likelihood_ratios",
    "classification_report",
    "cohen_kappa_score",
    "completeness_score",
    "confusion_matrix",
    "coverage_error",
    "d2_absolute_error_score",
    "d2_brier_score",
    "d2_log_loss_score",
    "d2_pinball_score",
    "d2_tweedie_score",
    "davies_bouldin_score",
    "dcg_score",
    "det_curve",
    "euclidean_distances",
    "explained_variance_score",
    "f1_score",
    "fbeta_score",
    "fowlkes_mallows_score",
    "get_scorer",
    "get_scorer_names",
    "hamming_loss",
    "hinge_loss",
    "homogeneity_completeness_v_measure",
    "homogeneity_score",
    "jaccard_score",
    "label_ranking_average_precision_score",
    "label_ranking_loss",
    "log_loss",
    "make_scorer",
    "matthews_corrcoef",
    "max_error",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_average_precision_at_k",
    "mean_gamma_deviance",
    "mean_pinball_loss",
    "mean_poisson_deviance",
    "mean_squared_error",
    "mean_squared_log_error",
    "mean_tweedie_deviance",
    "median_absolute_error",
    "multilabel_confusion_matrix",
    "mutual_info_score",
    "nan_euclidean_distances",
    "ndcg_at_k",
    "ndcg_score",
    "normalized_mutual_info_score",
    "pair_confusion_matrix",
    "pairwise_distances",
    "pairwise_distances_argmin",
    "pairwise_distances_argmin_min",
    "pairwise_kernels",
    "precision_at_k",
    "precision_recall_curve",
    "precision_recall_fscore_support",
    "precision_score",
    "r2_score",
    "rand_score",
    "recall_at_k",
    "recall_score",
    "roc_auc_score",
    "roc_curve",
    "root_mean_squared_error",
    "root_mean_squared_log_error",
    "silhouette_score",
    "top_k_accuracy_score",
    "v_measure_score",
    "zero_one_loss",
]

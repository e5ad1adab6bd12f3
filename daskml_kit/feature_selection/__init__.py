"""Selection of features, by scikit-learn's names."""

from daskml_kit.feature_selection.score_functions import chi2, f_classif, f_regression, r_regression
from daskml_kit.feature_selection.univariate import (
    GenericUnivariateSelect,
    SelectFdr,
    SelectFpr,
    SelectFwe,
    SelectKBest,
    SelectPercentile,
)
from daskml_kit.feature_selection.variance_threshold import VarianceThreshold

__all__ = [
    "GenericUnivariateSelect",
    "SelectFdr",
    "SelectFpr",
    "SelectFwe",
    "SelectKBest",
    "SelectPercentile",
    "VarianceThreshold",
    "chi2",
    "f_classif",
    "f_regression",
    "r_regression",
]

"""Selection of features, by scikit-learn's names."""

from daskml_kit.feature_selection.mutual_information import mutual_info_classif, mutual_info_regression
from daskml_kit.feature_selection.rfe import RFE, RFECV
from daskml_kit.feature_selection.score_functions import chi2, f_classif, f_regression, r_regression
from daskml_kit.feature_selection.select_from_model import SelectFromModel
from daskml_kit.feature_selection.sequential import SequentialFeatureSelector
from daskml_kit.feature_selection.univariate import (
    GenericUnivariateSelect,
    SelectFdr,
    SelectFpr,
    SelectFwe,
    SelectKBest,
    SelectPercentile,
    VarianceThreshold,
)

__all__ = [
    "RFE",
    "RFECV",
    "GenericUnivariateSelect",
    "SelectFdr",
    "SelectFpr",
    "SelectFromModel",
    "SelectFwe",
    "SelectKBest",
    "SelectPercentile",
    "SequentialFeatureSelector",
    "VarianceThreshold",
    "chi2",
    "f_classif",
    "f_regression",
    "mutual_info_classif",
    "mutual_info_regression",
    "r_regression",
]

"""Splits of rows into folds, and into training and test rows."""

from daskml_kit.model_selection.splits.folds import Folds, Split
from daskml_kit.model_selection.splits.group_k_fold import GroupKFold, StratifiedGroupKFold
from daskml_kit.model_selection.splits.k_fold import KFold, RepeatedKFold, RepeatedStratifiedKFold, StratifiedKFold
from daskml_kit.model_selection.splits.shuffle_split import GroupShuffleSplit, ShuffleSplit, StratifiedShuffleSplit
from daskml_kit.model_selection.splits.split import train_test_split
from daskml_kit.model_selection.splits.time_series import TimeSeriesSplit

__all__ = [
    "Folds",
    "GroupKFold",
    "GroupShuffleSplit",
    "KFold",
    "RepeatedKFold",
    "RepeatedStratifiedKFold",
    "ShuffleSplit",
    "Split",
    "StratifiedGroupKFold",
    "StratifiedKFold",
    "StratifiedShuffleSplit",
    "TimeSeriesSplit",
    "train_test_split",
]

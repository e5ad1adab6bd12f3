"""Splits of rows, cross-validation, and searches over parameters."""

from sklearn.model_selection import ParameterGrid, ParameterSampler, check_cv

from daskml_kit.model_selection.adaptive.hyperband import HyperbandSearchCV
from daskml_kit.model_selection.adaptive.incremental import (
    ASHASearchCV,
    IncrementalSearchCV,
    InverseDecaySearchCV,
    SuccessiveHalvingSearchCV,
)
from daskml_kit.model_selection.jobs import Job, attach, list_jobs, submit
from daskml_kit.model_selection.search.cross_val_predict import cross_val_predict
from daskml_kit.model_selection.search.cross_validation import cross_val_score, cross_validate, permutation_test_score
from daskml_kit.model_selection.search.curves import learning_curve, validation_curve
from daskml_kit.model_selection.search.evaluate import compute_n_splits
from daskml_kit.model_selection.search.grid import GridSearchCV, RandomizedSearchCV
from daskml_kit.model_selection.search.search_plan import SearchPlan
from daskml_kit.model_selection.splits.folds import Folds, Split
from daskml_kit.model_selection.splits.group_k_fold import (
    GroupKFold,
    LeaveOneGroupOut,
    LeavePGroupsOut,
    StratifiedGroupKFold,
)
from daskml_kit.model_selection.splits.k_fold import (
    KFold,
    LeaveOneOut,
    LeavePOut,
    PredefinedSplit,
    RepeatedKFold,
    RepeatedStratifiedKFold,
    StratifiedKFold,
    TimeSeriesSplit,
)
from daskml_kit.model_selection.splits.shuffle_split import (
    GroupShuffleSplit,
    ShuffleSplit,
    StratifiedShuffleSplit,
    train_test_split,
)

__all__ = [
    "ASHASearchCV",
    "Folds",
    "GridSearchCV",
    "GroupKFold",
    "GroupShuffleSplit",
    "HyperbandSearchCV",
    "IncrementalSearchCV",
    "InverseDecaySearchCV",
    "Job",
    "KFold",
    "LeaveOneGroupOut",
    "LeaveOneOut",
    "LeavePGroupsOut",
    "LeavePOut",
    "ParameterGrid",
    "ParameterSampler",
    "PredefinedSplit",
    "RandomizedSearchCV",
    "RepeatedKFold",
    "RepeatedStratifiedKFold",
    "SearchPlan",
    "ShuffleSplit",
    "Split",
    "StratifiedGroupKFold",
    "StratifiedKFold",
    "StratifiedShuffleSplit",
    "SuccessiveHalvingSearchCV",
    "TimeSeriesSplit",
    "attach",
    "check_cv",
    "compute_n_splits",
    "cross_val_predict",
    "cross_val_score",
    "cross_validate",
    "learning_curve",
    "list_jobs",
    "permutation_test_score",
    "submit",
    "train_test_split",
    "validation_curve",
]

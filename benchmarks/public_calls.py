"""Good calls of public functions and meta-estimators, of which each argument in turn is given bad values."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import product
from typing import Any, NamedTuple

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
from sklearn.linear_model import SGDClassifier as TheirSGDClassifier
from sklearn.naive_bayes import GaussianNB as TheirGaussianNB

import daskml_kit.datasets
import daskml_kit.feature_selection
import daskml_kit.metrics
import daskml_kit.model_selection
from daskml_kit import compose, ensemble, pipeline, preprocessing, wrappers
from daskml_kit.feature_extraction import DictVectorizer, FeatureHasher, text
from daskml_kit.isotonic import IsotonicRegression
from daskml_kit.linear_model import LogisticRegression, Ridge
from daskml_kit.partition import hash_partition, partition_report, random_partition
from daskml_kit.recommendation import leave_last_n_out, split_at_time
from daskml_kit.stat import corr, describe

N_ROWS = 40
_rng = np.random.default_rng(0)
X = _rng.integers(0, 5, size=(N_ROWS, 2)).astype(float)
Y = (X[:, 0] > 2).astype(int)
INDICATOR, THREE = np.eye(2, dtype=int)[Y], (X[:, 0] % 3).astype(int)


def in_blocks(values: Any) -> Any:
    return da.from_array(values, chunks=(max(len(values) // 2, 1), *values.shape[1:]))


LAZY_X, LAZY_Y = in_blocks(X), in_blocks(Y)
TEXTS = ["one two six", "two six ten", "six ten one", "one one two"]
DOCUMENTS = dd.from_pandas(pd.Series(TEXTS * (N_ROWS // len(TEXTS)), dtype=object), npartitions=2)
FRAME = dd.from_pandas(pd.DataFrame({"a": pd.Categorical(Y), "b": X[:, 1]}), npartitions=2)
VIEWS = pd.DataFrame({"user": Y, "time": X[:, 1]})


class Call(NamedTuple):
    """A function or class, good arguments by position and by name, and what is called with the object, if it is one."""

    function: Callable[..., Any]
    args: tuple[Any, ...] = ()
    options: Mapping[str, Any] = {}
    use: Callable[[Any], Any] | None = None


def fitted(*data: Any) -> Callable[[Any], Any]:
    """Return what fits an object to data, and computes what it makes of them."""

    def use(model: Any) -> None:
        model.fit(*data)
        for name in ("transform", "predict"):
            if hasattr(model, name):
                compute(getattr(model, name)(data[0]))

    return use


def compute(result: Any) -> None:
    for part in result if isinstance(result, (tuple, list)) else [result]:
        if hasattr(part, "compute"):
            part.compute()


MEMBERS = {"estimators": [("one", LogisticRegression())]}
CLASSES: tuple[Call, ...] = (
    *(
        Call(kind, options={"estimator": Ridge()}, use=fitted(LAZY_X, LAZY_Y))
        for kind in (
            daskml_kit.feature_selection.RFE,
            daskml_kit.feature_selection.RFECV,
            daskml_kit.feature_selection.SelectFromModel,
            daskml_kit.feature_selection.SequentialFeatureSelector,
            ensemble.BlockwiseVotingRegressor,
        )
    ),
    *(
        Call(getattr(daskml_kit.feature_selection, name), use=fitted(LAZY_X, LAZY_Y))
        for name in ("GenericUnivariateSelect", "SelectFdr", "SelectFpr", "SelectFwe", "SelectKBest")
    ),
    Call(daskml_kit.feature_selection.SelectPercentile, use=fitted(LAZY_X, LAZY_Y)),
    Call(daskml_kit.feature_selection.VarianceThreshold, use=fitted(LAZY_X)),
    Call(IsotonicRegression, use=fitted(LAZY_X[:, :1], LAZY_Y)),
    *(
        Call(getattr(text, name), use=fitted(DOCUMENTS))
        for name in ("CountVectorizer", "HashingVectorizer", "TfidfVectorizer")
    ),
    Call(text.TfidfTransformer, use=fitted(LAZY_X)),
    Call(DictVectorizer, use=fitted([{"a": 1}])),
    Call(FeatureHasher, use=fitted([{"a": 1}])),
    Call(ensemble.StackingClassifier, options=MEMBERS, use=fitted(LAZY_X, LAZY_Y)),
    Call(ensemble.StackingRegressor, options={"estimators": [("one", Ridge())]}, use=fitted(LAZY_X, LAZY_Y)),
    Call(ensemble.VotingClassifier, options=MEMBERS, use=fitted(LAZY_X, LAZY_Y)),
    Call(ensemble.VotingRegressor, options={"estimators": [("one", Ridge())]}, use=fitted(LAZY_X, LAZY_Y)),
    Call(ensemble.BlockwiseVotingClassifier, options={"estimator": TheirGaussianNB()}, use=fitted(LAZY_X, LAZY_Y)),
    Call(wrappers.ParallelPostFit, options={"estimator": TheirGaussianNB()}, use=fitted(LAZY_X, LAZY_Y)),
    Call(wrappers.Incremental, options={"estimator": TheirSGDClassifier()}, use=fitted(LAZY_X, LAZY_Y)),
    Call(
        compose.ColumnTransformer,
        options={"transformers": [("one", preprocessing.StandardScaler(), [0])]},
        use=fitted(LAZY_X),
    ),
    Call(compose.TransformedTargetRegressor, options={"regressor": Ridge()}, use=fitted(LAZY_X, LAZY_Y)),
    Call(
        pipeline.FeatureUnion,
        options={"transformer_list": [("one", preprocessing.StandardScaler())]},
        use=fitted(LAZY_X),
    ),
    Call(preprocessing.Categorizer, use=fitted(FRAME)),
    Call(preprocessing.DummyEncoder, use=fitted(FRAME[["a"]])),
    Call(preprocessing.LabelBinarizer, use=fitted(LAZY_Y)),
)

SELECTED = ("cross_val_predict", "cross_val_score", "cross_validate", "learning_curve")
FUNCTIONS: tuple[Call, ...] = (
    *(
        Call(getattr(daskml_kit.feature_selection, name), (LAZY_X, LAZY_Y))
        for name in ("chi2", "f_classif", "f_regression", "r_regression")
    ),
    Call(corr, (LAZY_X,)),
    Call(describe, (FRAME,)),
    Call(hash_partition, (LAZY_X,), {"by": LAZY_Y}),
    Call(random_partition, (LAZY_X,)),
    Call(partition_report, (LAZY_X,), {"labels": LAZY_Y, "by": LAZY_Y}),
    *(
        Call(getattr(daskml_kit.datasets, name))
        for name in daskml_kit.datasets.__all__
        if name.startswith(("make", "load"))
    ),
    *(Call(getattr(daskml_kit.model_selection, name), (Ridge(), LAZY_X, LAZY_Y), {"cv": 2}) for name in SELECTED),
    Call(daskml_kit.model_selection.permutation_test_score, (Ridge(), LAZY_X, LAZY_Y), {"cv": 2, "n_permutations": 2}),
    Call(
        daskml_kit.model_selection.validation_curve,
        (Ridge(), LAZY_X, LAZY_Y),
        {"cv": 2, "param_name": "alpha", "param_range": [1.0]},
    ),
    Call(daskml_kit.model_selection.train_test_split, (LAZY_X, LAZY_Y)),
    Call(leave_last_n_out, (VIEWS,)),
    Call(split_at_time, (VIEWS, 3)),
    Call(daskml_kit.metrics.get_scorer, ("r2",)),
    Call(daskml_kit.metrics.make_scorer, (daskml_kit.metrics.r2_score,)),
)

SCORED: Mapping[str, tuple[Any, Any]] = {
    **dict.fromkeys(("coverage_error", "dcg_score", "label_ranking_average_precision_score"), (INDICATOR, INDICATOR)),
    **dict.fromkeys(("label_ranking_loss", "ndcg_score"), (INDICATOR, INDICATOR)),
    "top_k_accuracy_score": (THREE, np.eye(3)[THREE]),
    **dict.fromkeys(("d2_tweedie_score", "mean_gamma_deviance", "mean_poisson_deviance"), (Y + 1, 0.25 + Y / 2)),
}
"""Truth and predictions of metrics that take others than two labels and their probabilities."""


def metrics() -> Iterator[Call]:
    """Yield the metrics of two collections of rows."""
    for name in daskml_kit.metrics.__all__:
        score = getattr(daskml_kit.metrics, name)
        names = list(inspect.signature(score).parameters) if inspect.isfunction(score) else []
        if name.endswith("_at_k") or len(names) < 2:
            continue
        if names[0] == "X":
            yield Call(score, (LAZY_X, LAZY_Y if names[1] == "labels" else LAZY_X))
        elif names[0] in ("y_true", "labels_true", "y1"):
            of_labels = hasattr(daskml_kit.metrics.label_metrics, name) or names[0] != "y_true"
            truth, predicted = SCORED.get(name, (Y, Y.astype(float) if of_labels else 0.25 + Y / 2))
            yield Call(score, (in_blocks(truth), in_blocks(predicted)), {"beta": 1.0} if name == "fbeta_score" else {})


LEGAL = {
    *product(("encoding", "token_pattern", "separator", "verbose_feature_names_out"), ["word"]),
    *product(("scoring", "predict_proba_meta", "transform_meta", "dtype"), ("object", "NaN", "inf", "-1", "word")),
    *product(("pos_label", "replace_undefined_by", "zero_division", "missing_values"), ("NaN", "inf", "-1", "word")),
    *product(("y_min", "y_max", "norm_order", "threshold", "cut"), ("inf", "-1")),
    *product(("neg_label", "power", "scale", "shift", "bias", "chunks", "n_jobs"), ["-1"]),
    *product(("beta", "max_skew"), ["inf"]),
    *product(("error_score",), ("NaN", "inf", "-1")),
    ("y_pred", "word"),
}
"""Arguments and values that look bad and are not, or that matter later (a scorer), or are NumPy's to refuse."""


def bad_calls(values: Mapping[str, Any]) -> Iterator[tuple[str, str, Callable[[], Any]]]:
    """Yield what is wrong, of which argument, and the call, for each argument of each call by its signature."""
    for call in (*CLASSES, *FUNCTIONS, *metrics()):
        known = inspect.signature(call.function).parameters
        by_position = list(known)[: len(call.args)] if "arrays" not in known and "collections" not in known else []
        for name, (what, value) in product(known, values.items()):
            if (name, what) in LEGAL or known[name].kind in (inspect.Parameter.VAR_POSITIONAL, known[name].VAR_KEYWORD):
                continue
            args = [value if own == name else arg for own, arg in zip(by_position, call.args, strict=False)]
            options = {**call.options, **({} if name in by_position else {name: value})}
            run = partial(carry_out, call, args or call.args, options)
            yield f"{call.function.__name__}({name}={what})", name, run


def carry_out(call: Call, args: Any, options: Mapping[str, Any]) -> None:
    """Make a call, and use or compute what comes."""
    result = call.function(*args, **options)
    compute(result) if call.use is None else call.use(result)

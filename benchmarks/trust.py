"""Bad inputs, each to be refused by an error that names the argument, and processes killed, to change no result.

``python -m benchmarks.trust`` prints one table; what went wrong are its notes. ``bad-inputs`` goes over the public API:
each constructor parameter of each estimator gets values of wrong type and out of range, each fit gets data that cannot
be used, and so do the public functions; the estimator has to stay as it was. ``fits``, ``servers`` and ``scheduler``
kill workers, servers and schedulers at moments that ``--seed`` draws: 40, 100 and 40 times ``--scale``. ``stopped``
stops a worker of four in a fit, and ``replaced`` replaces all workers during fits, one by one.
"""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from sklearn.linear_model import SGDClassifier as TheirSGDClassifier

import daskml_kit.cluster
import daskml_kit.compose
import daskml_kit.covariance
import daskml_kit.datasets
import daskml_kit.decomposition
import daskml_kit.discriminant_analysis
import daskml_kit.exceptions
import daskml_kit.feature_selection
import daskml_kit.impute
import daskml_kit.kernel_approximation
import daskml_kit.linear_model
import daskml_kit.metrics
import daskml_kit.mixture
import daskml_kit.model_selection
import daskml_kit.naive_bayes
import daskml_kit.neighbors
import daskml_kit.neural_network
import daskml_kit.optim
import daskml_kit.parameter_server
import daskml_kit.partition
import daskml_kit.preprocessing
import daskml_kit.recommendation
from benchmarks import absences, kills
from benchmarks.program import Setting, Work, run
from benchmarks.public_calls import N_ROWS, SCORED, VIEWS, X, Y, bad_calls, in_blocks
from benchmarks.race import Row

OWN_ERRORS = tuple(
    error for error in vars(daskml_kit.exceptions).values() if inspect.isclass(error) and issubclass(error, Exception)
)
NAMES: Mapping[str, str] = {
    "X": r"\bX\b|array|sample|feature|column|rows|could not convert",
    "y": r"\by\b|target|label|class|sample|rows",
    "sample_weight": r"weight|sample|1d array",
    "y_pred": r"y_pred|y_proba|y_score|pred_decision|y2|targets|Input contains|Found array|sample",
    "n_splits": r"n_splits|number of folds|splits",
    "n_repeats": r"n_repeats|[Nn]umber of repetitions",
}
"""What an error may call data by: scikit-learn's own checks want its words."""


class Case(NamedTuple):
    """A bad value of an argument, and the call that has to refuse it; the estimator has to stay as it was."""

    what: str
    argument: str
    call: Callable[[], Any]
    estimator: Any = None


def fault_of(case: Case) -> str | None:
    """Return what is wrong with the answer to a bad input; None where it is refused by an error that names it."""
    before = dict(vars(case.estimator)) if case.estimator is not None else {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            case.call()
    except (ValueError, TypeError, *OWN_ERRORS) as error:
        if not re.search(NAMES.get(case.argument, re.escape(case.argument)), str(error)):
            return f"{case.what}: does not name {case.argument}: {type(error).__name__}: {error}"[:300]
    except Exception as error:
        return f"{case.what}: {type(error).__name__}: {error}"[:300]
    else:
        return f"{case.what}: accepted"
    after = {} if case.estimator is None else vars(case.estimator)
    if before.keys() != after.keys() or any(before[name] is not after[name] for name in before):
        return f"{case.what}: left {sorted(before.keys() ^ after.keys())}"
    return None


VALUES: Mapping[str, Any] = {"object": object(), "NaN": np.nan, "inf": np.inf, "-1": -1, "word": "no such word"}
LEGAL = {
    ("n_jobs", "-1"),
    ("C", "inf"),
    ("power", "-1"),
    ("coef0", "-1"),
    ("binarize", "-1"),
    *product(("threshold", "encoded_missing_value"), ("NaN", "inf", "-1")),
    *product(["norm_order"], ("inf", "-1")),
    ("n_iter_no_change", "inf"),
    *product(("missing_values", "fill_value", "dtype"), VALUES),
    ("min_value", "-1"),
    *product(("max_value",), ("inf", "-1")),
}
"""Arguments and values that look bad and are not."""
MODULES = (
    daskml_kit.linear_model,
    daskml_kit.cluster,
    daskml_kit.covariance,
    daskml_kit.decomposition,
    daskml_kit.discriminant_analysis,
    daskml_kit.feature_selection,
    daskml_kit.kernel_approximation,
    daskml_kit.mixture,
    daskml_kit.naive_bayes,
    daskml_kit.neighbors,
    daskml_kit.neural_network,
    daskml_kit.preprocessing,
    daskml_kit.impute,
    daskml_kit.recommendation,
)
SMALL: Mapping[str, dict[str, Any]] = {
    "NMF": {"n_components": 1},
    "Nystroem": {"n_components": 4},
    "RBFSampler": {"gamma": "scale"},
    "MLPClassifier": {"hidden_layer_sizes": (2,)},
    "MLPRegressor": {"hidden_layer_sizes": (2,)},
    **{
        name: {"estimator": daskml_kit.linear_model.Ridge()}
        for name in ("RFE", "RFECV", "SelectFromModel", "SequentialFeatureSelector")
    },
    "SelectKBest": {"k": 1},
    "ALS": {"n_factors": 2},
    "MatrixFactorization": {"n_factors": 2},
}


OTHER_DATA = (
    "BlockTransformer",
    "Categorizer",
    "DummyEncoder",
    "LabelBinarizer",
    "LabelEncoder",
    "MultiLabelBinarizer",
)
"""Classes that need a function, or are fitted to data frames or to labels alone."""


LAYOUTS: Mapping[str, Callable[[Any], Any]] = {"memory": lambda values: values, "dask": in_blocks}


def estimators() -> Iterator[tuple[str, type[Any], dict[str, Any]]]:
    """Yield name, class, and arguments of a quick fit."""
    for module in MODULES:
        for name in sorted(set(module.__all__) - set(OTHER_DATA)):
            kind = getattr(module, name)
            if not inspect.isclass(kind):
                continue
            quick = {"max_iter": 2} if "max_iter" in inspect.signature(kind).parameters else {}
            yield name, kind, {**quick, **SMALL.get(name, {})}


def parameters() -> Iterator[Case]:
    """Each parameter of each constructor with values of wrong type and out of range."""
    for name, kind, quick in estimators():
        for parameter, (what, value) in product(inspect.signature(kind).parameters, VALUES.items()):
            if (parameter, what) not in LEGAL:
                model = kind(**{**quick, parameter: value})
                fit = partial(model.fit, in_blocks(X), in_blocks(Y + 1))
                yield Case(f"{name}({parameter}={what})", parameter, fit, model)


def bad_data() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield what is wrong, of which argument, and the arguments of a fit."""
    hollow, infinite, words = X.copy(), X.copy(), X.astype(object)
    hollow[30, 0], infinite[30, 0], words[30, 0] = np.nan, np.inf, "word"
    yield "NaN", "X", {"X": hollow}
    yield "infinity", "X", {"X": infinite}
    yield "a word", "X", {"X": words}
    yield "a vector", "X", {"X": X[:, 0]}
    yield "a cube", "X", {"X": X[:, :, None]}
    yield "no columns", "X", {"X": X[:, :0]}
    yield "no rows", "X", {"X": X[:0], "y": Y[:0]}
    yield "too few rows", "X", {"X": X[:-1]}
    yield "too short", "y", {"y": Y[:-1]}
    yield "NaN", "y", {"y": np.where(np.arange(N_ROWS) == 30, np.nan, Y)}
    yield "infinity", "y", {"y": np.where(np.arange(N_ROWS) == 30, np.inf, Y)}
    yield "a cube", "y", {"y": np.zeros((N_ROWS, 2, 2))}
    yield "nothing", "y", {"y": None}
    for what, weight in bad_weights():
        yield what, "sample_weight", {"sample_weight": weight}


def bad_weights() -> Iterator[tuple[str, Any]]:
    ones = np.ones(N_ROWS)
    yield "too short", ones[:-1]
    yield "NaN", np.where(np.arange(N_ROWS) == 30, np.nan, ones)
    yield "infinity", np.where(np.arange(N_ROWS) == 30, np.inf, ones)
    yield "two columns", np.ones((N_ROWS, 2))
    yield "words", np.full(N_ROWS, "word")


STATELESS = ("too few rows", "NaN of X", "infinity of X", "a word of X")
UNUSED_DATA: Mapping[str, tuple[str, ...]] = {
    "PCA": ("y", "sample_weight", "too few rows"),
    "TruncatedSVD": ("y", "sample_weight", "too few rows"),
    "IncrementalPCA": ("y", "sample_weight", "too few rows"),
    "NMF": ("y", "sample_weight", "too few rows"),
    "Nystroem": ("y", "sample_weight", "too few rows"),
    "RBFSampler": ("y", "sample_weight", "too few rows"),
    "KMeans": ("y", "too few rows"),
    **dict.fromkeys(daskml_kit.mixture.__all__, ("y", "sample_weight", "too few rows")),
    **dict.fromkeys(
        ("EmpiricalCovariance", "ShrunkCovariance", "LedoitWolf", "OAS"), ("y", "sample_weight", "too few rows")
    ),
    **dict.fromkeys(daskml_kit.discriminant_analysis.__all__, ("sample_weight",)),
    "NearestCentroid": ("sample_weight",),
    "MiniBatchKMeans": ("y", "too few rows"),
    "BisectingKMeans": ("y", "too few rows"),
    "SpectralClustering": ("y", "sample_weight", "too few rows"),
    "StandardScaler": ("y", "too few rows", "NaN of X"),
    "OneHotEncoder": ("y", "sample_weight", "too few rows", "NaN of X", "infinity of X", "a word of X"),
    "OrdinalEncoder": ("y", "sample_weight", "too few rows", "NaN of X", "infinity of X", "a word of X"),
    "TargetEncoder": ("sample_weight", "NaN of X", "infinity of X", "a word of X"),
    "KBinsDiscretizer": ("y", "too few rows"),
    "SplineTransformer": ("y", "too few rows"),
    **dict.fromkeys(
        ("MaxAbsScaler", "MinMaxScaler", "PowerTransformer", "QuantileTransformer", "RobustScaler"),
        ("y", "sample_weight", "too few rows", "NaN of X"),
    ),
    **dict.fromkeys(("Binarizer", "Normalizer", "PolynomialFeatures"), (*STATELESS, "y", "sample_weight", "no rows")),
    "FunctionTransformer": (*STATELESS, "y", "sample_weight", "a vector", "a cube", "no columns", "no rows"),
    **dict.fromkeys(("SimpleImputer", "IterativeImputer"), ("y", "sample_weight", "too few rows", "NaN of X")),
    "ALS": ("sample_weight", "infinity of X"),
    **dict.fromkeys(
        ("RFECV", "SequentialFeatureSelector", "GenericUnivariateSelect", "SelectFdr", "SelectFpr", "SelectFwe"),
        ("sample_weight",),
    ),
    **dict.fromkeys(("SelectKBest", "SelectPercentile"), ("sample_weight",)),
    "VarianceThreshold": ("y", "sample_weight", "too few rows", "NaN of X"),
    "MissingIndicator": ("y", "sample_weight", "too few rows", "NaN of X", "infinity of X", "a word of X"),
    "MatrixFactorization": ("sample_weight",),
}
"""What a fit does not look at, or takes."""


def data() -> Iterator[Case]:
    """Each fit with data that cannot be used, in memory and on Dask, also after a fit that went well."""
    for (name, kind, quick), (what, argument, bad), layout in product(estimators(), bad_data(), LAYOUTS):
        skipped = UNUSED_DATA.get(name, ())
        if argument in skipped or what in skipped or f"{what} of {argument}" in skipped:
            continue
        given = {"X": X, "y": Y + 1, **bad}
        model = kind(**quick)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(X, Y + 1)
        lazily = {key: value if value is None else LAYOUTS[layout](value) for key, value in given.items()}
        yield Case(f"{name}.fit({argument}: {what}, {layout})", argument, partial(model.fit, **lazily), model)


GRID = {"alpha": [0.1, 1.0]}
ADAPTIVE = {"parameters": GRID, "random_state": 0}
SEARCHES: Mapping[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "GridSearchCV": ({"param_grid": GRID, "cv": 2}, ("param_grid", "cv", "pre_dispatch", "error_score", "verbose")),
    "RandomizedSearchCV": (
        {"param_distributions": GRID, "cv": 2, "n_iter": 1},
        ("param_distributions", "n_iter", "random_state", "cv", "pre_dispatch"),
    ),
    "IncrementalSearchCV": (
        {**ADAPTIVE, "n_initial_parameters": 2, "max_iter": 1},
        ("n_initial_parameters", "parameters", "max_iter", "fits_per_score", "patience", "tol", "test_size", "verbose"),
    ),
    "InverseDecaySearchCV": ({**ADAPTIVE, "n_initial_parameters": 2, "max_iter": 1}, ("decay_rate", "random_state")),
    "SuccessiveHalvingSearchCV": (
        {**ADAPTIVE, "n_initial_parameters": 2, "n_initial_iter": 1},
        ("n_initial_iter", "aggressiveness", "max_iter", "n_initial_parameters", "error_score"),
    ),
    "HyperbandSearchCV": ({**ADAPTIVE, "max_iter": 3}, ("parameters", "max_iter", "aggressiveness", "patience")),
    "ASHASearchCV": (
        {**ADAPTIVE, "n_initial_parameters": 2, "max_iter": 3},
        ("parameters", "n_initial_iter", "aggressiveness", "scoring"),
    ),
}
LEGAL_OF_SEARCHES = set(product(["error_score"], ("NaN", "inf", "-1")))


def searches() -> Iterator[Case]:
    """Parameters of searches."""
    for name, (good, names) in SEARCHES.items():
        adaptive = "parameters" in good
        inner = TheirSGDClassifier() if adaptive else daskml_kit.linear_model.RidgeClassifier()
        options = {"classes": [0, 1]} if adaptive else {}
        for parameter, (what, value) in product(names, VALUES.items()):
            if (parameter, what) not in LEGAL_OF_SEARCHES:
                search = getattr(daskml_kit.model_selection, name)(inner, **{**good, parameter: value})
                yield Case(f"{name}({parameter}={what})", parameter, partial(search.fit, X, Y, **options), search)


SPLITTERS: Mapping[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "KFold": ({}, ("n_splits", "shuffle")),
    "StratifiedKFold": ({}, ("n_splits", "shuffle")),
    "GroupKFold": ({}, ("n_splits",)),
    "RepeatedKFold": ({}, ("n_splits", "n_repeats", "random_state")),
    "ShuffleSplit": ({}, ("n_splits", "test_size", "train_size", "random_state")),
    "StratifiedShuffleSplit": ({}, ("test_size",)),
    "TimeSeriesSplit": ({}, ("n_splits", "gap", "test_size")),
    "LeavePOut": ({"p": 39}, ("p",)),
}


def splits() -> Iterator[Case]:
    """Parameters of splitters and of `train_test_split`."""
    lazy = in_blocks(X), in_blocks(Y)
    for name, (good, names) in SPLITTERS.items():
        for parameter, (what, value) in product(names, VALUES.items()):
            make = getattr(daskml_kit.model_selection, name)
            yield Case(
                f"{name}({parameter}={what})", parameter, partial(_split, make, {**good, parameter: value}, *lazy)
            )
    split = daskml_kit.model_selection.train_test_split
    for parameter, (what, value) in product(("test_size", "train_size", "random_state"), VALUES.items()):
        yield Case(f"train_test_split({parameter}={what})", parameter, partial(split, *lazy, **{parameter: value}))


def _split(make: Callable[..., Any], given: dict[str, Any], lazy_X: Any, lazy_y: Any) -> None:
    next(iter(make(**given).split(lazy_X, lazy_y, lazy_y)))


def scored() -> Iterator[tuple[str, Callable[..., Any], Any, Any]]:
    """Yield name, function, truth and predictions of the metrics of weighted rows."""
    for name in daskml_kit.metrics.__all__:
        score = getattr(daskml_kit.metrics, name)
        if inspect.isfunction(score) and "sample_weight" in inspect.signature(score).parameters:
            of_labels = hasattr(daskml_kit.metrics.label_metrics, name)
            call = partial(score, beta=1.0) if name == "fbeta_score" else score
            yield name, call, *SCORED.get(name, (Y, Y.astype(float) if of_labels else 0.25 + Y / 2))


def scores() -> Iterator[Case]:
    """Metrics of rows that cannot be scored."""
    for (name, score, truth, good), layout in product(scored(), LAYOUTS):
        wrap = LAYOUTS[layout]
        hollow = good.astype(float)
        hollow[30] = np.nan
        for what, bad in (("too short", good[:-1]), ("NaN", hollow), ("a cube", np.ones((N_ROWS, 2, 2)))):
            yield Case(f"{name}(y_pred: {what}, {layout})", "y_pred", partial(score, wrap(truth), wrap(bad)))
        for what, weight in bad_weights():
            call = partial(score, wrap(truth), wrap(good), sample_weight=wrap(weight))
            yield Case(f"{name}(sample_weight: {what}, {layout})", "sample_weight", call)


FUNCTIONS: Sequence[tuple[Any, str, tuple[Any, ...], dict[str, Any], tuple[str, ...]]] = (
    (
        daskml_kit.datasets,
        "make_classification",
        (),
        {},
        ("n_samples", "n_features", "n_informative", "n_classes", "flip_y", "class_sep", "chunks"),
    ),
    (daskml_kit.datasets, "make_blobs", (), {}, ("n_samples", "n_features", "cluster_std", "chunks", "random_state")),
    (daskml_kit.datasets, "make_regression", (), {}, ("n_samples", "n_features", "n_targets", "noise", "chunks")),
    (daskml_kit.datasets, "make_counts", (), {}, ("n_samples", "n_features", "n_informative", "scale", "random_state")),
    (
        daskml_kit.datasets,
        "make_ratings",
        (),
        {},
        ("n_users", "n_items", "n_ratings", "n_factors", "noise", "popularity"),
    ),
    (daskml_kit.datasets, "make_classification_df", (), {}, ("n_samples", "response_rate", "predictability")),
    (daskml_kit.partition, "random_partition", (X, Y), {}, ("npartitions", "random_state")),
    (daskml_kit.partition, "hash_partition", (X, Y), {"by": Y}, ("npartitions", "by", "max_skew", "on_skew")),
    (daskml_kit.recommendation, "leave_last_n_out", (VIEWS,), {}, ("n", "user", "time")),
    (daskml_kit.recommendation, "split_at_time", (VIEWS, 3), {}, ("time",)),
    (daskml_kit.metrics, "precision_at_k", (X, [1], [[1]]), {"k": 1}, ("k",)),
    (daskml_kit.metrics, "recall_at_k", (X, [1], [[1]]), {"k": 1}, ("k",)),
    (daskml_kit.metrics, "mean_average_precision_at_k", (X, [1], [[1]]), {"k": 1}, ("k",)),
    (daskml_kit.metrics, "ndcg_at_k", (X, [1], [[1]]), {"k": 1}, ("k",)),
    (daskml_kit.optim, "sgd", (), {}, ("learning_rate",)),
    (daskml_kit.optim, "momentum", (), {"learning_rate": 0.1}, ("learning_rate", "decay")),
    (daskml_kit.optim, "adagrad", (), {"learning_rate": 0.1}, ("learning_rate", "eps")),
    (daskml_kit.optim, "adam", (), {"learning_rate": 0.1}, ("learning_rate", "b1", "b2", "eps")),
    (daskml_kit.optim, "clip", (), {}, ("max_value",)),
    (daskml_kit.optim, "clip_norm", (), {}, ("max_norm",)),
    (
        daskml_kit.parameter_server,
        "Synchronous",
        (),
        {},
        ("push_every", "servers", "replicas", "virtual_workers", "backup_workers"),
    ),
    (
        daskml_kit.parameter_server,
        "Asynchronous",
        (),
        {},
        ("push_every", "servers", "replicas", "staleness", "top_k"),
    ),
    (
        daskml_kit.parameter_server,
        "ParameterServer",
        (),
        {"params": {"w": np.zeros(2)}, "update": daskml_kit.optim.add(), "client": "local"},
        (
            "params",
            "update",
            "staleness",
            "servers",
            "replicas",
            "virtual_workers",
            "backup_workers",
            "on_nan",
            "client",
        ),
    ),
    (
        daskml_kit.parameter_server,
        "train",
        (),
        {"loss_and_grad": lambda params, X, y: (0.0, {"w": params["w"]}), "params": {"w": np.zeros(2)}, "X": X, "y": Y},
        (
            "loss_and_grad",
            "params",
            "update",
            "local",
            "training",
            "epochs",
            "batch_size",
            "validation_fraction",
            "patience",
            "tol",
            "on_nan",
            "random_state",
            "verbose",
            "checkpoint",
        ),
    ),
)
"""Module, name, arguments that are good, and the arguments that get bad values."""
LEGAL_OF_FUNCTIONS = {("staleness", "inf"), ("max_skew", "inf"), ("checkpoint", "word"), ("chunks", "-1")}


def functions() -> Iterator[Case]:
    """Public functions with arguments of wrong type and out of range."""
    for module, name, args, good, names in FUNCTIONS:
        for parameter, (what, value) in product(names, VALUES.items()):
            if (parameter, what) not in LEGAL_OF_FUNCTIONS:
                call = partial(getattr(module, name), *args, **{**good, parameter: value})
                yield Case(f"{name}({parameter}={what})", parameter, call)


def called() -> Iterator[Case]:
    """Functions and meta-estimators, each argument of their signatures with values of wrong type and out of range."""
    for what, argument, call in bad_calls(VALUES):
        yield Case(what, argument, call)


def cases() -> Iterator[Case]:
    """Yield all bad inputs."""
    for part in (parameters, data, searches, splits, scores, functions, called):
        yield from part()


def bad_inputs(setting: Setting) -> list[Row]:
    """Every case, or with a scale below 1 a share of them, evenly drawn."""
    step = max(round(1 / setting.scale), 1)
    found = [fault_of(case) for number, case in enumerate(cases()) if number % step == 0]
    faults = [fault for fault in found if fault is not None]
    return [
        Row("bad inputs not refused by name: all", len(faults), len(found), 0.0, at_most=True, unit="", notes=faults)
    ]


WORKS: dict[str, Work] = {"bad-inputs": bad_inputs, **kills.WORKS, **absences.WORKS}


def main() -> None:
    run(WORKS, __doc__)


if __name__ == "__main__":
    main()

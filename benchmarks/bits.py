"""The bits of fits, searches, splits and generated data, compared with a stored table of hashes.

``python -m benchmarks.bits`` computes every row of the table and exits with 1 where the bits of one differ;
``--only SUBSTRING`` takes the rows whose name contains it, and ``--write`` stores the table. Bits depend on the
processor, the BLAS kernel and the libraries, so the table has an entry for each combination of these. Where it has
none, each row is computed twice and compared with itself.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import platform
import re
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple, TypeAlias
from unittest import mock

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy
import scipy.sparse as sp
import scipy.stats
import sklearn
import sklearn.linear_model
from distributed import Client, LocalCluster, get_client, wait
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeClassifier
from threadpoolctl import threadpool_info

import daskml_kit
from daskml_kit import datasets, metrics, model_selection
from daskml_kit import parameter_server as ps
from daskml_kit.compose import make_column_transformer
from daskml_kit.impute import SimpleImputer
from daskml_kit.linear_model import (
    ElasticNet,
    GammaRegressor,
    HuberRegressor,
    Lasso,
    LinearRegression,
    LinearSVC,
    LogisticRegression,
    PoissonRegression,
    PoissonRegressor,
    Ridge,
    SGDClassifier,
    SGDRegressor,
    TweedieRegressor,
)
from daskml_kit.model_selection import GridSearchCV, RandomizedSearchCV
from daskml_kit.neural_network import MLPClassifier, MLPRegressor
from daskml_kit.partition import hash_partition, random_partition
from daskml_kit.preprocessing import OneHotEncoder, StandardScaler
from daskml_kit.recommendation import MatrixFactorization

TABLE = Path(__file__).with_suffix(".json")
N_ROWS, N_FEATURES = 3_000, 8
LARGE_ROWS, LARGE_FEATURES = 120_000, 20
"""Enough for a sample to be fitted first, for several tiles a block, and for passes on the workers of a cluster."""
LARGE = f"{LARGE_ROWS:,} rows"
FAILED = "failed"
"""Marks the error of a case, in place of a hash."""
ATTRIBUTES = (
    "best_loss_",
    "categories_",
    "classes_",
    "coef_",
    "coefs_",
    "dual_gap_",
    "feature_importances_",
    "feature_names_in_",
    "intercept_",
    "intercepts_",
    "item_biases_",
    "item_factors_",
    "loss_",
    "loss_curve_",
    "mean_",
    "n_features_in_",
    "n_iter_",
    "n_samples_seen_",
    "rank_",
    "scale_",
    "singular_",
    "statistics_",
    "t_",
    "user_biases_",
    "user_factors_",
    "validation_scores_",
    "var_",
)
"""The documented results of fits, where an estimator has them."""

Array: TypeAlias = npt.NDArray[Any]
Case: TypeAlias = Callable[[], Any]
"""Computes the values that a row of the table is the hash of."""
Cases: TypeAlias = dict[str, Case]


def fingerprint(value: Any) -> str:
    """Return the hash of a nested value's bits, and for the reader its first number."""
    sha, numbers = hashlib.sha256(), {"f": np.nan, "i": np.nan}
    for part in flatten(value):
        sha.update(f"{part.dtype.str}{part.shape}".encode())
        sha.update(part.tobytes())
        kind = "i" if part.dtype.kind == "u" else part.dtype.kind
        if part.size and np.isnan(numbers.get(kind, 0.0)):
            numbers[kind] = float(part.flat[0])
    return f"{sha.hexdigest()} {numbers['i'] if np.isnan(numbers['f']) else numbers['f']:.6g}"


def flatten(value: Any) -> Iterator[Array]:
    """Yield the arrays that a nested value consists of, none of which has objects."""
    if dask.is_dask_collection(value):
        (value,) = dask.compute(value)
    if isinstance(value, pd.DataFrame):
        value = ("frame", value.index.to_numpy(), [(str(name), value[name]) for name in value.columns])
    elif isinstance(value, pd.Series):
        value = ("series", str(value.dtype), value.to_numpy())
    elif sp.issparse(value):
        rows = value.tocsr()
        value = ("sparse", rows.shape, rows.data, rows.indices.astype(np.int64), rows.indptr.astype(np.int64))
    elif isinstance(value, Mapping):
        value = ("mapping", sorted(value.items()))
    if isinstance(value, (list, tuple)):
        yield np.array(f"{len(value)} parts")
        for part in value:
            yield from flatten(part)
        return
    array = np.asarray(value)
    if array.dtype != object:
        yield array
    elif array.ndim:
        yield from flatten((array.shape, array.ravel().tolist()))
    elif value is None or value is pd.NA:
        yield np.array(str(value))
    else:
        raise TypeError(f"expected numbers, strings and collections of them, got {type(value).__name__}")


class Data(NamedTuple):
    """Features and, of as many rows, several targets, weights and groups."""

    X: Array
    number: Array
    pair: Array
    binary: Array
    label: Array
    counts: Array
    positive: Array
    weight: Array
    group: Array


@cache
def make_data(n_rows: int = N_ROWS, n_features: int = N_FEATURES) -> Data:
    """Draw correlated features of unlike scales, and targets that depend on them."""
    rng = np.random.default_rng([n_rows, n_features])
    mix = rng.normal(size=(n_features, n_features)) / np.sqrt(n_features) + np.eye(n_features)
    X = (rng.normal(size=(n_rows, n_features)) @ mix + rng.normal(size=n_features)) * np.geomspace(0.3, 3, n_features)
    score = (X - X.mean(axis=0)) / X.std(axis=0) @ rng.normal(size=(n_features, 3)) / np.sqrt(n_features)
    data = Data(
        X,
        score[:, 0] + 2 + rng.normal(size=n_rows) / 2,
        score[:, :2] + rng.normal(size=(n_rows, 2)),
        (score[:, 0] + rng.logistic(size=n_rows) > 0.5).astype(np.int64),
        np.array(["ash", "birch", "cedar"])[(2 * score + rng.gumbel(size=score.shape)).argmax(axis=1)],
        rng.poisson(np.exp(score[:, 0] / 2)).astype(np.float64),
        np.exp(score[:, 1] / 2) * rng.gamma(2.0, size=n_rows) + 0.01,
        rng.uniform(0.2, 3.0, n_rows),
        rng.integers(0, 40, n_rows),
    )
    for array in data:
        array.flags.writeable = False  # all rows of the table share it
    return data


def make_large_data() -> Data:
    """Return `make_data` of many rows."""
    return make_data(LARGE_ROWS, LARGE_FEATURES)


@cache
def make_incomplete_data(n_rows: int = N_ROWS, n_features: int = N_FEATURES) -> Data:
    """Return `make_data` with a twentieth of the numbers missing, in all columns but the first."""
    data = make_data(n_rows, n_features)
    missing = np.random.default_rng(1).random(data.X.shape) < 0.05
    missing[:, 0] = False
    X = np.where(missing, np.nan, data.X)
    X.flags.writeable = False
    return data._replace(X=X)


@cache
def mixed_frame() -> pd.DataFrame:
    """Return a frame of numbers, some missing, and of categories."""
    rng, data = np.random.default_rng(2), make_data()
    frame = pd.DataFrame(make_incomplete_data().X[:, :3], columns=["x", "y", "z"])
    cities = np.array(["Bonn", "Kyiv", "Lima", "Oslo", "Rome"])
    frame["city"] = cities[rng.choice(5, N_ROWS, p=[0.4, 0.3, 0.2, 0.09, 0.01])]
    frame["month"] = rng.integers(1, 13, N_ROWS)
    return frame.assign(group=data.group, binary=data.binary)


COLUMNS = ("x", "y", "z", "city", "month")
"""The features of `mixed_frame`."""
LAYOUTS = (
    "numpy",
    "numpy float32",
    "csr",
    "pandas",
    "dask, 1 block",
    "dask, 7 blocks",
    "dask, uneven blocks",
    "dask, unknown sizes",
    "dask float32",
    "dask csr",
    "frame",
)


def arrange(layout: str, X: Array, *columns: Array) -> tuple[Any, ...]:
    """Return features and columns of as many rows in one of `LAYOUTS`."""
    if "csr" in layout:
        X = np.where(np.median(X, axis=0) < X, X, 0.0)
    elif "float32" in layout:
        X = X.astype(np.float32)
    if layout == "csr":
        return sp.csr_array(X), *columns
    if layout.startswith("numpy"):
        return X, *columns
    if layout in ("pandas", "frame"):
        frames = [pd.DataFrame(X, columns=[f"x{i}" for i in range(X.shape[1])]), *map(_as_pandas, columns)]
        return tuple(frames if layout == "pandas" else (dd.from_pandas(part, npartitions=5) for part in frames))
    return _in_blocks(layout, X, columns)


def _in_blocks(layout: str, X: Array, columns: Sequence[Array]) -> tuple[Any, ...]:
    n_rows, n_blocks = len(X), re.search(r"(\d+) block", layout)
    size = -(-n_rows // (int(n_blocks[1]) if n_blocks else 7))
    chunks: Any = size
    if layout == "dask, uneven blocks":
        chunks = (n_rows // 2, 1, n_rows // 3, n_rows - n_rows // 2 - 1 - n_rows // 3)
    parts = [da.from_array(X, chunks=(chunks, -1)), *(da.from_array(c, chunks={0: size}) for c in columns)]
    if layout == "dask, uneven blocks":
        parts[0] = parts[0].rechunk({1: 3})
    if layout == "dask csr":
        parts[0] = parts[0].map_blocks(sp.csr_array, dtype=X.dtype, meta=sp.csr_array((0, X.shape[1])))
    if layout == "dask, unknown sizes":
        every = da.ones(n_rows, chunks=size, dtype=bool)
        parts = [part[every] for part in parts]
    return tuple(parts)


def _as_pandas(column: Array) -> Any:
    return pd.Series(column, name="target") if column.ndim == 1 else pd.DataFrame(column, columns=["one", "two"])


def attributes(model: Any) -> Any:
    """Return the documented results of a fitted estimator, or of each step of a pipeline."""
    if hasattr(model, "steps"):
        return [attributes(step) for _, step in model.steps]
    if hasattr(model, "transformers_"):
        return [attributes(transformer) for _, transformer, _ in model.transformers_]
    return {name: getattr(model, name) for name in ATTRIBUTES if hasattr(model, name)}


def predict(model: Any, X: Any) -> Any:
    """Return predictions or transformed rows, by the most detailed method of a fitted estimator."""
    methods = ("predict_proba", "decision_function", "predict", "transform")
    return getattr(model, next(name for name in methods if hasattr(model, name)))(X)


def fit(model: Any, target: str | None, layout: str, *, weighted: bool = False, data: Case = make_data) -> Any:
    """Fit a copy of ``model``; return its results and predictions."""
    drawn = data()
    columns = [getattr(drawn, name) for name in ([target] if target else [])]
    X, *rest = arrange(layout, drawn.X, *columns, *([drawn.weight] if weighted else []))
    named = {"sample_weight": rest.pop()} if weighted else {}
    model = clone(model).fit(X, *rest, **named)
    return attributes(model), predict(model, X)


LINEAR: dict[str, tuple[Any, str]] = {
    "LinearRegression": (LinearRegression(), "number"),
    "LinearRegression, two targets": (LinearRegression(), "pair"),
    "LinearRegression, no intercept": (LinearRegression(fit_intercept=False), "number"),
    "LinearRegression, positive": (LinearRegression(positive=True), "number"),
    "Ridge": (Ridge(alpha=3.0), "number"),
    "Ridge, two targets": (Ridge(alpha=[0.5, 20.0]), "pair"),
    "Ridge, lbfgs": (Ridge(alpha=3.0, solver="lbfgs"), "number"),
    "Ridge, positive": (Ridge(alpha=3.0, positive=True), "number"),
    "Lasso": (Lasso(alpha=0.05), "number"),
    "ElasticNet": (ElasticNet(alpha=0.05), "number"),
    "ElasticNet, two targets": (ElasticNet(alpha=0.05, l1_ratio=0.8), "pair"),
    "ElasticNet, positive": (ElasticNet(alpha=0.05, positive=True), "number"),
    "LogisticRegression": (LogisticRegression(), "binary"),
    "LogisticRegression, no intercept": (LogisticRegression(fit_intercept=False), "binary"),
    "LogisticRegression, no penalty": (LogisticRegression(C=np.inf), "binary"),
    "LogisticRegression, l1": (LogisticRegression(C=0.02, l1_ratio=1.0), "binary"),
    "LogisticRegression, elastic net": (LogisticRegression(C=0.02, l1_ratio=0.5), "binary"),
    "LogisticRegression, balanced": (LogisticRegression(class_weight="balanced"), "binary"),
    "LogisticRegression, three classes": (LogisticRegression(C=0.1), "label"),
    "LogisticRegression, three classes, l1": (LogisticRegression(C=0.02, l1_ratio=1.0), "label"),
    "LogisticRegression, three classes, weights": (
        LogisticRegression(class_weight={"ash": 2.0, "birch": 0.5}),
        "label",
    ),
    "PoissonRegressor": (PoissonRegressor(alpha=0.1), "counts"),
    "PoissonRegression": (PoissonRegression(C=0.5), "counts"),
    "GammaRegressor": (GammaRegressor(alpha=0.1), "positive"),
    "TweedieRegressor, power 0": (TweedieRegressor(alpha=0.1), "number"),
    "TweedieRegressor, power 1.5": (TweedieRegressor(power=1.5, alpha=0.1), "counts"),
    "TweedieRegressor, power 3": (TweedieRegressor(power=3, alpha=0.1), "positive"),
    "HuberRegressor": (HuberRegressor(), "number"),
    "LinearSVC": (LinearSVC(), "binary"),
    "LinearSVC, three classes": (LinearSVC(C=0.1, class_weight="balanced"), "label"),
}
STOCHASTIC: dict[str, tuple[Any, str]] = {
    "SGDClassifier": (SGDClassifier(max_iter=5, random_state=0), "binary"),
    "SGDClassifier, log_loss": (SGDClassifier("log_loss", max_iter=5, random_state=0), "binary"),
    "SGDClassifier, sgd": (SGDClassifier("log_loss", optimizer="sgd", max_iter=5, random_state=0), "binary"),
    "SGDClassifier, adam": (SGDClassifier(optimizer="adam", max_iter=5, random_state=0), "binary"),
    "SGDClassifier, average": (SGDClassifier(average=True, max_iter=5, random_state=0), "binary"),
    "SGDClassifier, elastic net": (
        SGDClassifier(penalty="elasticnet", alpha=0.01, max_iter=5, random_state=0),
        "binary",
    ),
    "SGDClassifier, early stopping": (SGDClassifier(early_stopping=True, max_iter=20, random_state=0), "binary"),
    "SGDClassifier, three classes": (SGDClassifier("modified_huber", max_iter=5, random_state=0), "label"),
    "SGDRegressor": (SGDRegressor(max_iter=5, random_state=0), "number"),
    "SGDRegressor, sgd": (SGDRegressor(optimizer="sgd", eta0=1e-3, max_iter=5, random_state=0), "number"),
    "SGDRegressor, huber, l1": (SGDRegressor("huber", penalty="l1", alpha=0.01, max_iter=5, random_state=0), "number"),
    "MLPClassifier": (MLPClassifier((8,), max_iter=5, random_state=0), "label"),
    "MLPClassifier, sgd, tanh": (MLPClassifier((8, 4), "tanh", solver="sgd", max_iter=5, random_state=0), "binary"),
    "MLPClassifier, early stopping": (MLPClassifier((8,), early_stopping=True, max_iter=9, random_state=0), "binary"),
    "MLPRegressor": (MLPRegressor(hidden_layer_sizes=(8,), max_iter=5, random_state=0), "number"),
    "MLPRegressor, two targets": (MLPRegressor(hidden_layer_sizes=(8,), max_iter=5, random_state=0), "pair"),
}
IN_EVERY_LAYOUT = (
    "LinearRegression",
    "Ridge",
    "ElasticNet",
    "LogisticRegression",
    "LogisticRegression, three classes",
    "PoissonRegressor",
    "HuberRegressor",
    "LinearSVC",
    "SGDClassifier",
    "SGDRegressor",
    "MLPClassifier",
)


def linear_cases() -> Cases:
    """Fit each model on some layouts of the data, some models on all, with weights and without."""
    cases: Cases = {}
    unweighted = ("MLPClassifier", "MLPRegressor", "LinearRegression, positive", "Ridge, positive")
    for name, (model, target) in (LINEAR | STOCHASTIC).items():
        layouts: tuple[str, ...] = LAYOUTS if name in IN_EVERY_LAYOUT else ("numpy", "dask, 7 blocks")
        cases |= {f"{name}: {layout}": partial(fit, model, target, layout) for layout in layouts}
        if not name.startswith(unweighted):
            layouts = ("numpy", "dask, uneven blocks", "frame") if name in IN_EVERY_LAYOUT else ("dask, 7 blocks",)
            cases |= {
                f"{name}: {layout}, weighted": partial(fit, model, target, layout, weighted=True) for layout in layouts
            }
    return cases


def solver_cases() -> Cases:
    """Fit by each solver, with each kind of penalty that it takes."""
    cases: Cases = {}
    for solver in ("lbfgs", "newton-cholesky", "fista"):
        models = {
            "LogisticRegression": (LogisticRegression(solver=solver), "binary"),
            "LogisticRegression, three classes": (LogisticRegression(solver=solver), "label"),
            "PoissonRegressor": (PoissonRegressor(alpha=0.1, solver=solver), "counts"),
        }
        if solver != "lbfgs":
            models["LogisticRegression, l1"] = (LogisticRegression(C=0.02, l1_ratio=1.0, solver=solver), "binary")
        for name, (model, target) in models.items():
            cases[f"{name}, {solver}: dask, 7 blocks"] = partial(fit, model, target, "dask, 7 blocks")
    return cases


def large_cases() -> Cases:
    """Fit data that a sample is drawn of first, and wide data."""
    wide, wider = partial(make_data, 42_000, 160), partial(make_data, 2_000, 400)
    names = ("LogisticRegression", "LogisticRegression, three classes", "LogisticRegression, l1", "LinearRegression")
    more = ("Lasso", "PoissonRegressor", "HuberRegressor", "LinearSVC, three classes", "SGDClassifier", "SGDRegressor")
    large, models, cases = partial(fit, data=make_large_data), LINEAR | STOCHASTIC, Cases()
    for name in names:
        for layout in ("numpy", "dask, 16 blocks", "dask float32"):
            cases[f"{name}: {LARGE}, {layout}"] = partial(large, *models[name], layout)
    cases |= {f"{name}: {LARGE}, numpy": partial(large, *models[name], "numpy") for name in more}
    net = MLPClassifier((8,), batch_size=2_000, max_iter=1, random_state=0)
    cases[f"MLPClassifier: {LARGE}, numpy"] = partial(large, net, "label", "numpy")
    logistic = models["LogisticRegression"]
    cases[f"LogisticRegression: {LARGE}, dask csr"] = partial(large, *logistic, "dask csr")
    for name in ("LogisticRegression", "LinearRegression", "SGDClassifier"):
        cases[f"{name}: {LARGE}, streamed"] = partial(stream, partial(large, *models[name], "dask, 16 blocks"))
    for name in (*names, "HuberRegressor"):
        cases[f"{name}: 400 features"] = partial(fit, *models[name], "dask, 7 blocks", data=wider)
    cases["LogisticRegression: 160 features"] = partial(fit, *logistic, "numpy", data=wide)
    sparse = [LinearRegression(), Ridge(), Lasso(alpha=0.1)]
    return cases | {f"{type(model).__name__}: 4,100 sparse features": partial(fit_sparse, model) for model in sparse}


def fit_sparse(model: Any) -> Any:
    """Fit more features than a matrix of their products is made of."""
    rng = np.random.default_rng(3)
    X = sp.random_array((500, 4_100), density=0.01, format="csr", rng=rng)
    return attributes(clone(model).fit(X, X[:, :50].sum(axis=1) + rng.normal(size=500) / 10))


def stream(case: Case) -> Any:
    """Compute a case as if this machine had no memory that is free."""
    with mock.patch("psutil.virtual_memory", return_value=SimpleNamespace(available=0)):
        return case()


def further_cases() -> Cases:
    """Fit again from where a fit ended, or part by part, and score."""
    return {
        "LogisticRegression, warm start": partial(fit_again, LogisticRegression(warm_start=True), C=0.01),
        "ElasticNet, warm start": partial(fit_again, ElasticNet(warm_start=True, alpha=0.05), "number", alpha=0.1),
        "SGDClassifier, warm start": partial(
            fit_again, SGDClassifier(warm_start=True, max_iter=3, random_state=0), alpha=0.01
        ),
        "SGDClassifier, partial_fit": partial(fit_parts, SGDClassifier(random_state=0), "binary", classes=[0, 1]),
        "SGDRegressor, partial_fit": partial(fit_parts, SGDRegressor(random_state=0), "number"),
        "MLPClassifier, partial_fit": partial(fit_parts, MLPClassifier((8,), random_state=0), "binary", classes=[0, 1]),
        "StandardScaler, partial_fit": partial(fit_parts, StandardScaler(), "number"),
        "LogisticRegression, score: dask, 7 blocks": partial(score, LogisticRegression(), "binary"),
        "Ridge, score: dask, 7 blocks": partial(score, Ridge(), "number"),
        "PoissonRegressor, score: dask, 7 blocks": partial(score, PoissonRegressor(), "counts"),
    }


def fit_again(model: Any, target: str = "binary", **changed: Any) -> Any:
    """Fit, change a parameter, and fit again."""
    X, y = arrange("dask, 7 blocks", make_data().X, getattr(make_data(), target))
    return attributes(clone(model).fit(X, y).set_params(**changed).fit(X, y))


def fit_parts(model: Any, target: str, **options: Any) -> Any:
    """Fit the halves of the data one after the other."""
    X, y = arrange("dask, 7 blocks", make_data().X, getattr(make_data(), target))
    model = clone(model)
    for half in (slice(0, N_ROWS // 2), slice(N_ROWS // 2, N_ROWS)):
        model.partial_fit(X[half], y[half], **options)
    return attributes(model)


def score(model: Any, target: str) -> Any:
    """Return the score of a fit on its own rows, with weights and without."""
    X, y, weight = arrange("dask, 7 blocks", make_data().X, getattr(make_data(), target), make_data().weight)
    model = clone(model).fit(X, y)
    return model.score(X, y), model.score(X, y, sample_weight=weight)


def preparation_cases() -> Cases:
    """Fit the transformers on arrays and frames, with missing values and without."""
    cases: Cases = {}
    for layout in ("numpy", "dask, 7 blocks", "dask, uneven blocks", "dask float32", "frame"):
        cases[f"StandardScaler: {layout}"] = partial(fit, StandardScaler(), None, layout)
        cases[f"StandardScaler, missing: {layout}"] = partial(
            fit, StandardScaler(), None, layout, data=make_incomplete_data
        )
        for strategy in ("mean", "median", "most_frequent"):
            imputer = SimpleImputer(strategy=strategy, add_indicator=strategy == "median")
            cases[f"SimpleImputer, {strategy}: {layout}"] = partial(
                fit, imputer, None, layout, data=make_incomplete_data
            )
    cases["StandardScaler: dask csr"] = partial(fit, StandardScaler(with_mean=False), None, "dask csr")
    cases["StandardScaler: dask, 7 blocks, weighted"] = partial(
        fit, StandardScaler(), None, "dask, 7 blocks", weighted=True
    )
    cases[f"StandardScaler: {LARGE}"] = partial(fit, StandardScaler(), None, "dask, 16 blocks", data=make_large_data)
    cases[f"SimpleImputer, median: {LARGE}"] = partial(
        fit, SimpleImputer(strategy="median"), None, "dask, 16 blocks", data=make_large_data
    )
    encoders = {
        "OneHotEncoder": OneHotEncoder(),
        "OneHotEncoder, dense, first dropped": OneHotEncoder(drop="first", sparse_output=False),
        "OneHotEncoder, infrequent": OneHotEncoder(min_frequency=100, handle_unknown="infrequent_if_exist"),
    }
    for name, encoder in encoders.items():
        cases[f"{name}: frame"] = partial(fit_frame, encoder, ["city", "month"])
    cases["SimpleImputer, most_frequent: frame of categories"] = partial(
        fit_frame, SimpleImputer(strategy="most_frequent"), ["city"]
    )
    cases["ColumnTransformer: frame"] = partial(fit_frame, preparation())
    cases["ColumnTransformer, LogisticRegression: frame"] = partial(
        fit_frame, make_pipeline(preparation(), LogisticRegression())
    )
    return cases


def preparation() -> Any:
    """Return a transformer of the frame's numbers and categories."""
    return make_column_transformer(
        (make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler()), ["x", "y", "z"]),
        (OneHotEncoder(handle_unknown="ignore", min_frequency=50), ["city", "month"]),
    )


def fit_frame(model: Any, columns: Sequence[str] = COLUMNS) -> Any:
    """Fit on columns of the frame."""
    frame = dd.from_pandas(mixed_frame(), npartitions=5)
    model = clone(model).fit(frame[list(columns)], frame["binary"])
    names = model.get_feature_names_out() if hasattr(model, "transform") else None
    return attributes(model), predict(model, frame[list(columns)]), names


ALPHAS, INVERSE = np.logspace(-2, 2, 6), np.logspace(-3, 1, 5)


def pipelines() -> dict[str, Any]:
    """Return pipelines of transformers before a logistic regression."""
    scaler, model, indicating = StandardScaler(), LogisticRegression(), SimpleImputer(add_indicator=True)
    return {
        "SimpleImputer": make_pipeline(SimpleImputer(), model),
        "SimpleImputer, StandardScaler": make_pipeline(SimpleImputer(strategy="median"), scaler, model),
        "SimpleImputer, indicator": make_pipeline(indicating, model),
        "SimpleImputer, indicator, StandardScaler": make_pipeline(indicating, scaler, model),
    }


def searches() -> dict[str, tuple[Any, str]]:
    """Return searches, and the target of each."""
    return classifier_searches() | regressor_searches()


def classifier_searches() -> dict[str, tuple[Any, str]]:
    """Return searches over classifiers, one of which is scikit-learn's."""
    logistic, inverse = LogisticRegression(), {"C": INVERSE}
    scoring = ["neg_log_loss", "roc_auc", "accuracy"]
    shuffled = model_selection.StratifiedKFold(3, shuffle=True, random_state=0)
    several = GridSearchCV(logistic, inverse, cv=shuffled, scoring=scoring, refit="roc_auc")
    classes = GridSearchCV(logistic, inverse, cv=3, scoring="neg_log_loss", return_train_score=True)
    drawn = {"C": scipy.stats.loguniform(1e-3, 1e1), "class_weight": [None, "balanced"]}
    stochastic, tree = SGDClassifier(max_iter=3, random_state=0), DecisionTreeClassifier(random_state=0)
    return {
        "LogisticRegression": (GridSearchCV(logistic, inverse, cv=3), "binary"),
        "LogisticRegression, three scorers": (several, "binary"),
        "LogisticRegression, l1": (GridSearchCV(LogisticRegression(l1_ratio=1.0), inverse, cv=3), "binary"),
        "LogisticRegression, three classes": (classes, "label"),
        "LogisticRegression, random": (RandomizedSearchCV(logistic, drawn, n_iter=5, cv=3, random_state=0), "binary"),
        "LinearSVC": (GridSearchCV(LinearSVC(), inverse, cv=3), "label"),
        "SGDClassifier": (GridSearchCV(stochastic, {"alpha": [1e-4, 1e-2]}, cv=3), "binary"),
        "DecisionTreeClassifier": (GridSearchCV(tree, {"max_depth": [2, 5]}, cv=3, scoring="roc_auc"), "binary"),
    }


def regressor_searches() -> dict[str, tuple[Any, str]]:
    """Return searches over regressors."""
    ridge, alphas, few = Ridge(), {"alpha": ALPHAS}, {"alpha": [0.01, 0.1, 1.0]}
    two = GridSearchCV(ridge, alphas, scoring=["r2", "neg_mean_squared_error"], refit="r2")
    repeated = model_selection.RepeatedKFold(n_splits=3, n_repeats=2, random_state=0)
    drawn = model_selection.ShuffleSplit(3, random_state=0)
    return {
        "Ridge": (two, "number"),
        "Ridge, two targets": (GridSearchCV(ridge, alphas, cv=3), "pair"),
        "Ridge, repeated": (GridSearchCV(ridge, alphas, cv=repeated), "number"),
        "LinearRegression": (GridSearchCV(LinearRegression(), {"fit_intercept": [True, False]}, cv=4), "number"),
        "ElasticNet": (GridSearchCV(ElasticNet(), {**few, "l1_ratio": [0.2, 0.9]}, cv=3), "number"),
        "Lasso": (GridSearchCV(Lasso(), few, cv=drawn), "number"),
        "PoissonRegressor": (GridSearchCV(PoissonRegressor(), few, cv=3), "counts"),
        "GammaRegressor": (GridSearchCV(GammaRegressor(), few, cv=3), "positive"),
        "HuberRegressor": (GridSearchCV(HuberRegressor(), {"epsilon": [1.2, 1.5, 2.0]}, cv=3), "number"),
    }


def search(searching: Any, target: str, layout: str, *, data: Case = make_data, weighted: bool = False) -> Any:
    """Search; return scores, ranks and the best model's results."""
    drawn = data()
    X, y, weight = arrange(layout, drawn.X, getattr(drawn, target), drawn.weight)
    found = clone(searching).fit(X, y, **({"sample_weight": weight} if weighted else {}))
    return found.best_index_, scores(found), predict(found, X)


def scores(found: Any) -> Any:
    """Return what a search found, without times."""
    kinds = ("split", "mean_test", "std_test", "mean_train", "std_train", "rank", "test_score", "params", "partial_fit")
    results = {name: values for name, values in found.cv_results_.items() if name.startswith(kinds)}
    results = {name: values for name, values in results.items() if "time" not in name}
    return found.best_score_, results, found.best_params_, attributes(found.best_estimator_)


def search_cases() -> Cases:
    """Search over parameters of linear models, of pipelines, and of a tree."""
    cases: Cases = {}
    for name, (searching, target) in searches().items():
        more = ("dask, uneven blocks", "frame") if name in ("LogisticRegression", "Ridge") else ()
        for layout in ("numpy", "dask, 7 blocks", *more):
            cases[f"search, {name}: {layout}"] = partial(search, searching, target, layout)
    for name, model in pipelines().items():
        grid = {"logisticregression__C": INVERSE}
        for layout in ("numpy", "dask, 7 blocks", "frame"):
            searching = GridSearchCV(model, grid, cv=3, scoring="neg_log_loss")
            cases[f"search, {name}: {layout}"] = partial(search, searching, "binary", layout, data=make_incomplete_data)
    with_classes = GridSearchCV(pipelines()["SimpleImputer, StandardScaler"], {"logisticregression__C": INVERSE}, cv=3)
    cases["search, pipeline, three classes"] = partial(
        search, with_classes, "label", "dask, 7 blocks", data=make_incomplete_data
    )
    ridges = GridSearchCV(make_pipeline(StandardScaler(), Ridge()), {"ridge__alpha": ALPHAS}, cv=3)
    scaled = make_pipeline(StandardScaler(), LogisticRegression())
    scaled = GridSearchCV(scaled, {"logisticregression__C": INVERSE[::2]}, cv=3, scoring="roc_auc")
    for layout in ("numpy", "dask, 7 blocks", "frame"):
        cases[f"search, StandardScaler, Ridge: {layout}"] = partial(search, ridges, "number", layout)
        cases[f"search, StandardScaler: {layout}"] = partial(search, scaled, "binary", layout)
    for name in ("LogisticRegression", "Ridge"):
        case = partial(search, *searches()[name], "dask, 7 blocks", weighted=True)
        cases[f"search, {name}: dask, 7 blocks, weighted"] = case
        for layout in ("numpy", "dask, 16 blocks", "dask float32"):
            cases[f"search, {name}: {LARGE}, {layout}"] = partial(
                search, *searches()[name], layout, data=make_large_data
            )
    cases[f"search, StandardScaler: {LARGE}"] = partial(
        search, scaled, "binary", "dask, 16 blocks", data=make_large_data
    )
    case = partial(search, *searches()["LogisticRegression"], "dask, 7 blocks")
    cases["search, LogisticRegression: dask, 7 blocks, streamed"] = partial(stream, case)
    cases["search, ColumnTransformer: frame"] = search_frame
    return cases


def search_frame() -> Any:
    """Search behind a transformer of a frame's columns."""
    frame = dd.from_pandas(mixed_frame(), npartitions=2)
    searching = GridSearchCV(
        make_pipeline(preparation(), LogisticRegression()), {"logisticregression__C": [0.01, 1]}, cv=2
    )
    return scores(searching.fit(frame[list(COLUMNS)], frame["binary"]))


def validation_cases() -> Cases:
    """Validate models on splits of several kinds."""
    cases: Cases = {}
    for layout in ("numpy", "dask, 7 blocks", "frame"):
        cases[f"cross_validate, LogisticRegression: {layout}"] = partial(
            validate, LogisticRegression(), "binary", layout
        )
        cases[f"cross_validate, groups: {layout}"] = partial(
            validate, LogisticRegression(), "binary", layout, cv=model_selection.GroupKFold(4), grouped=True
        )
        cases[f"cross_val_predict, LogisticRegression: {layout}"] = partial(
            predict_held_out, LogisticRegression(), "label", layout, method="predict_proba"
        )
    scaled = make_pipeline(SimpleImputer(), StandardScaler(), Ridge())
    return cases | {
        "cross_validate, pipeline, Ridge": partial(validate, scaled, "number", "dask, 7 blocks", scoring=["r2"]),
        "cross_validate, TimeSeriesSplit": partial(
            validate, Ridge(), "number", "dask, 7 blocks", scoring=["r2"], cv=model_selection.TimeSeriesSplit(3)
        ),
        "cross_val_predict, Ridge": partial(predict_held_out, Ridge(), "number", "dask, 7 blocks"),
        "cross_val_predict, pipeline, Ridge": partial(predict_held_out, scaled, "number", "frame"),
        "cross_val_score, PoissonRegressor": partial(
            curve, model_selection.cross_val_score, PoissonRegressor(), "counts"
        ),
        "validation_curve, LogisticRegression": partial(
            curve, model_selection.validation_curve, LogisticRegression(), "binary", param_name="C", param_range=INVERSE
        ),
        "learning_curve, Ridge": partial(curve, model_selection.learning_curve, Ridge(), "number"),
    }


def validate(
    model: Any, target: str, layout: str, scoring: Any = ("accuracy", "roc_auc"), cv: Any = 3, grouped: bool = False
) -> Any:
    """Return the scores of each split, of test and training rows, and the models."""
    X, y, groups = arrange(layout, make_data().X, getattr(make_data(), target), make_data().group)
    options = {"groups": groups} if grouped else {}
    found = model_selection.cross_validate(
        model, X, y, cv=cv, scoring=list(scoring), return_train_score=True, return_estimator=True, **options
    )
    named = {name: values for name, values in found.items() if name.startswith(("test", "train"))}
    return named, [attributes(fitted) for fitted in found["estimator"]]


def predict_held_out(model: Any, target: str, layout: str, method: str = "predict") -> Any:
    """Return predictions of rows by the model that has not seen them."""
    X, y = arrange(layout, make_data().X, getattr(make_data(), target))
    return model_selection.cross_val_predict(model, X, y, cv=3, method=method)


def curve(function: Callable[..., Any], model: Any, target: str, **options: Any) -> Any:
    """Return what a function of cross-validation returns."""
    return function(model, *arrange("dask, 7 blocks", make_data().X, getattr(make_data(), target)), cv=3, **options)


def adaptive_cases() -> Cases:
    """Search by training models block by block, and giving up most."""
    model = sklearn.linear_model.SGDClassifier(tol=1e-3, random_state=0)
    drawn = {"alpha": scipy.stats.loguniform(1e-5, 1e0), "penalty": ["l2", "l1"]}
    options: dict[str, Any] = {"random_state": 0, "test_size": 0.25}
    searching = {
        "HyperbandSearchCV": model_selection.HyperbandSearchCV(model, drawn, max_iter=9, **options),
        "SuccessiveHalvingSearchCV": model_selection.SuccessiveHalvingSearchCV(
            model, drawn, n_initial_parameters=6, n_initial_iter=2, **options
        ),
        "IncrementalSearchCV": model_selection.IncrementalSearchCV(
            model, drawn, n_initial_parameters=4, max_iter=8, **options
        ),
        "InverseDecaySearchCV": model_selection.InverseDecaySearchCV(
            model, drawn, n_initial_parameters=4, max_iter=8, **options
        ),
    }
    return {
        f"{name}: {layout}": partial(search_blocks, one, layout)
        for name, one in searching.items()
        for layout in ("numpy", "dask, 7 blocks")
    }


def search_blocks(searching: Any, layout: str) -> Any:
    """Search over models with ``partial_fit``."""
    found = clone(searching).fit(*arrange(layout, make_data().X, make_data().binary), classes=[0, 1])
    trained = sorted((str(name), len(records)) for name, records in found.model_history_.items())
    return scores(found), trained


def factorization_cases() -> Cases:
    """Factor ratings in step, and train models of one's own."""
    options: dict[str, Any] = {"n_factors": 4, "max_iter": 4, "random_state": 0}
    models = {
        "MatrixFactorization": MatrixFactorization(**options),
        "MatrixFactorization, adagrad": MatrixFactorization(optimizer="adagrad", biases=False, **options),
    }
    cases: Cases = {name: partial(factorize, model) for name, model in models.items()}
    cases["MatrixFactorization: numpy"] = partial(factorize, models["MatrixFactorization"], in_memory=True)
    rules = {
        "adam": ps.adam(0.01),
        "adagrad": ps.adagrad(0.1),
        "momentum": ps.momentum(0.05, nesterov=True),
        "sgd, inverse_scaling": ps.sgd(ps.inverse_scaling(0.1)),
        "clip, sgd": ps.chain(ps.clip(0.1), ps.sgd(0.1)),
        "clip_norm, adam": ps.chain(ps.clip_norm(0.5), ps.adam(0.01)),
    }
    cases |= {f"train, {name}": partial(train, rule) for name, rule in rules.items()}
    cases["train, weighted, held out"] = partial(train, ps.adam(0.01), weighted=True, validation_fraction=0.2)
    cases["train, gradients of rows"] = train_rows
    cases["train, own steps"] = partial(train, None, local=ps.sgd(0.05))
    return cases


def factorize(model: Any, in_memory: bool = False) -> Any:
    """Factor a table of ratings; return the factors, predictions and recommendations."""
    ratings = datasets.make_ratings(300, 80, 6_000, n_factors=3, random_state=0, chunks=2_000)
    X, y = ratings[["user", "item"]], ratings["rating"]
    if in_memory:
        X, y = (part.compute().to_numpy() for part in (X, y))
    model = clone(model).fit(X, y)
    return attributes(model), model.predict(X), model.recommend([7, 8], k=3).items


def train(update: Any, *, weighted: bool = False, data: Case = make_data, **setting: Any) -> Any:
    """Train a network with one hidden layer by synchronous steps."""
    drawn = data()
    X, y, weight = arrange("dask, 16 blocks", drawn.X, drawn.binary, drawn.weight)
    rng = np.random.default_rng(0)
    start = {"hidden": rng.normal(size=(X.shape[1], 4)) / 3, "out": rng.normal(size=4)}
    named = {"sample_weight": weight} if weighted else {}
    trained = ps.train(network, start, X, y, update=update, **named, **{"epochs": 2, **setting})
    return trained.params, [epoch.loss for epoch in trained.history.epochs]


def network(params: Mapping[str, Array], X: Array, y: Array, weight: Array | None = None) -> Any:
    """Return the loss of a network with one hidden layer, and its gradient."""
    weight = np.ones(len(y)) if weight is None else weight
    hidden = np.tanh(X @ params["hidden"])
    probability = 1 / (1 + np.exp(-hidden @ params["out"]))
    gradient = weight * (probability - y) / weight.sum()
    back = np.outer(gradient, params["out"]) * (1 - hidden**2)
    loss = -np.average(np.where(y == 1, np.log(probability), np.log1p(-probability)), weights=weight)
    return loss, {"hidden": X.T @ back, "out": hidden.T @ gradient}


def train_rows(*, data: Case = make_data, **setting: Any) -> Any:
    """Train slopes that depend on a key of each row, by gradients of the slopes that a mini-batch touches."""
    X, y = arrange("dask, 16 blocks", data().X, data().number)
    trained = ps.train(slopes, {"slopes": np.zeros((200, 3))}, X, y, update=ps.adagrad(0.1), **{"epochs": 2, **setting})
    return trained.params, [epoch.loss for epoch in trained.history.epochs]


def slopes(params: Mapping[str, Array], X: Array, y: Array) -> Any:
    """Return the squared error of slopes, one row of them for each key, and its gradient."""
    key, factors = (50 * np.abs(X[:, 0])).astype(np.int64) % len(params["slopes"]), X[:, 1:4]
    error = (params["slopes"][key] * factors).sum(axis=1) - y
    keys, position = np.unique(key, return_inverse=True)
    gradient = np.zeros((len(keys), factors.shape[1]))
    np.add.at(gradient, position, 2 * error[:, None] * factors / len(y))
    return (error**2).mean(), {"slopes": ps.SparseRows(keys, gradient)}


METRICS: dict[str, tuple[Callable[..., Any], str, str]] = {
    "accuracy_score": (metrics.accuracy_score, "binary", "label"),
    "log_loss": (metrics.log_loss, "binary", "probability"),
    "brier_score_loss": (metrics.brier_score_loss, "binary", "probability"),
    "roc_auc_score": (metrics.roc_auc_score, "binary", "probability"),
    "roc_auc_score, ties": (metrics.roc_auc_score, "binary", "rounded"),
    "mean_squared_error": (metrics.mean_squared_error, "positive", "probability"),
    "root_mean_squared_error": (metrics.root_mean_squared_error, "positive", "probability"),
    "mean_absolute_error": (metrics.mean_absolute_error, "positive", "probability"),
    "r2_score": (metrics.r2_score, "positive", "probability"),
    "d2_tweedie_score, power 1": (partial(metrics.d2_tweedie_score, power=1), "counts", "probability"),
    "d2_tweedie_score, power 2": (partial(metrics.d2_tweedie_score, power=2), "positive", "probability"),
}


def metric_cases() -> Cases:
    """Compute each metric with weights and without, in two kinds of blocks, in memory, and on many rows."""
    cases: Cases = {}
    for name in METRICS:
        for layout in ("numpy", "dask, 7 blocks", "dask, uneven blocks"):
            cases[f"{name}: {layout}"] = partial(compute_metric, name, layout)
        cases[f"{name}: {LARGE}"] = partial(compute_metric, name, "dask, 16 blocks", data=make_large_data)
    cases["log_loss, three classes"] = partial(compute_multiclass_metric, metrics.log_loss)
    cases["roc_auc_score, three classes"] = partial(compute_multiclass_metric, metrics.roc_auc_score, multi_class="ovr")
    return cases


def compute_metric(name: str, layout: str, *, data: Case = make_data) -> Any:
    """Return a metric of predictions that a fixed function of the features makes, without weights and with."""
    function, target, predicted = METRICS[name]
    drawn = data()
    probability = 1 / (1 + np.exp(-drawn.X[:, 0]))
    made = {"probability": probability, "label": (probability > 0.5).astype(np.int64), "rounded": probability.round(2)}
    _, y, guess, weight = arrange(layout, drawn.X, getattr(drawn, target), made[predicted], drawn.weight)
    return function(y, guess), function(y, guess, sample_weight=weight)


def compute_multiclass_metric(function: Callable[..., Any], **options: Any) -> Any:
    """Return a metric of the shares of three classes."""
    raw = np.exp(make_data().X[:, :3] / 3)
    probabilities, y, weight = arrange(
        "dask, 7 blocks", raw / raw.sum(axis=1, keepdims=True), make_data().label, make_data().weight
    )
    return function(y, probabilities, **options), function(y, probabilities, sample_weight=weight, **options)


def split_cases() -> Cases:
    """Split rows in each way; what counts is which rows are on each side."""
    splitters = {
        "KFold": model_selection.KFold(4),
        "KFold, shuffled": model_selection.KFold(4, shuffle=True, random_state=0),
        "StratifiedKFold": model_selection.StratifiedKFold(4),
        "StratifiedKFold, shuffled": model_selection.StratifiedKFold(4, shuffle=True, random_state=0),
        "GroupKFold": model_selection.GroupKFold(4),
        "GroupKFold, shuffled": model_selection.GroupKFold(4, shuffle=True, random_state=0),
        "StratifiedGroupKFold": model_selection.StratifiedGroupKFold(4),
        "RepeatedKFold": model_selection.RepeatedKFold(n_splits=3, n_repeats=2, random_state=0),
        "RepeatedStratifiedKFold": model_selection.RepeatedStratifiedKFold(n_splits=3, n_repeats=2, random_state=0),
        "ShuffleSplit": model_selection.ShuffleSplit(3, test_size=0.2, random_state=0),
        "StratifiedShuffleSplit": model_selection.StratifiedShuffleSplit(3, test_size=0.2, random_state=0),
        "GroupShuffleSplit": model_selection.GroupShuffleSplit(3, test_size=0.2, random_state=0),
        "TimeSeriesSplit": model_selection.TimeSeriesSplit(3),
    }
    cases: Cases = {
        f"{name}: {layout}": partial(split, splitter, layout)
        for name, splitter in splitters.items()
        for layout in ("numpy", "dask, 7 blocks", *(("frame",) if "shuffled" in name else ()))
    }
    ways: dict[str, dict[str, Any]] = {
        "train_test_split": {},
        "train_test_split, in order": {"shuffle": False},
        "train_test_split, stratified": {"stratify": "label"},
        "train_test_split, groups": {"groups": "group"},
        "train_test_split, blockwise": {"blockwise": True},
    }
    for name, way in ways.items():
        for layout in ("dask, 7 blocks", "dask, uneven blocks", "frame"):
            cases[f"{name}: {layout}"] = partial(split_once, layout, **way)
    return cases


def split(splitter: Any, layout: str) -> Any:
    """Return the row numbers of both sides of each split."""
    return list(splitter.split(*arrange(layout, make_data().X, make_data().label, make_data().group)))


def split_once(layout: str, **way: Any) -> Any:
    """Return training and test rows."""
    X, label, group, number = arrange(layout, make_data().X, make_data().label, make_data().group, np.arange(N_ROWS))
    parts = {"label": label, "group": group}
    options = {name: parts.get(value, value) if isinstance(value, str) else value for name, value in way.items()}
    return model_selection.train_test_split(number, X, test_size=0.2, **({"random_state": 0} | options))


def partition_cases() -> Cases:
    """Deal rows out anew; blocks count as well as rows."""
    cases: Cases = {}
    for layout in ("dask, 7 blocks", "dask, uneven blocks", "dask, unknown sizes", "dask csr", "frame"):
        cases[f"random_partition: {layout}"] = partial(shuffle, layout)
        cases[f"hash_partition: {layout}"] = partial(shuffle_by_key, layout)
    cases["hash_partition, split: dask, 7 blocks"] = partial(
        shuffle_by_key, "dask, 7 blocks", max_skew=1.05, on_skew="split"
    )
    cases["hash_partition: frame, by names"] = shuffle_frame
    return cases


def shuffle(layout: str, data: Case = make_data) -> Any:
    """Return rows in a random order, block by block."""
    parts = random_partition(*arrange(layout, data().X, data().label), npartitions=5, random_state=0)
    return [block for part in parts for block in blocks_of(part)]


def shuffle_by_key(layout: str, data: Case = make_data, **options: Any) -> Any:
    """Return rows brought together by key, block by block."""
    X, y, key = arrange(layout, data().X, data().number, data().group)
    parts = hash_partition(X, y, by=key, npartitions=5, **options)
    return [block for part in parts for block in blocks_of(part)]


def shuffle_frame() -> Any:
    """Return the frame's rows brought together by two columns."""
    frame = dd.from_pandas(mixed_frame(), npartitions=4)
    return blocks_of(hash_partition(frame, by=["city", "month"], npartitions=6))


def blocks_of(collection: Any) -> list[Any]:
    """Return the computed blocks of a Dask collection."""
    return list(dask.compute(*np.ravel(collection.to_delayed())))


def data_cases() -> Cases:
    """Generate data in blocks of two sizes."""
    makers: dict[str, Callable[..., Any]] = {
        "make_classification": partial(datasets.make_classification, 2_000, 8, n_classes=2),
        "make_classification, many": partial(
            datasets.make_classification,
            2_000,
            12,
            n_informative=4,
            n_repeated=1,
            n_classes=3,
            weights=[0.5, 0.3],
            scale=2,
        ),
        "make_classification, sorted": partial(datasets.make_classification, 2_000, 8, shuffle=False),
        "make_regression": partial(datasets.make_regression, 2_000, 8, n_informative=4, noise=1.0, coef=True),
        "make_regression, low rank": partial(
            datasets.make_regression, 2_000, 8, effective_rank=3, n_targets=2, bias=1.0
        ),
        "make_blobs": partial(datasets.make_blobs, 2_000, 3, centers=4, return_centers=True),
        "make_blobs, sorted": partial(datasets.make_blobs, [500, 700, 800], 3, cluster_std=[0.5, 1, 2], shuffle=False),
        "make_counts": partial(datasets.make_counts, 2_000, 8),
        "make_classification_df": partial(datasets.make_classification_df, 2_000),
        "make_ratings": partial(datasets.make_ratings, 200, 50, 3_000, return_factors=True),
    }
    return {
        f"{name}: blocks of {size:,}": partial(maker, random_state=0, chunks=size)
        for name, maker in makers.items()
        for size in (700, 2_000)
    }


def local_cases() -> Cases:
    """Return all rows of the table that need no cluster."""
    groups = (
        linear_cases,
        solver_cases,
        large_cases,
        further_cases,
        preparation_cases,
        search_cases,
        validation_cases,
        adaptive_cases,
        factorization_cases,
        metric_cases,
        split_cases,
        partition_cases,
        data_cases,
    )
    return {name: case for group in groups for name, case in group().items()}


def cluster_cases() -> Cases:
    """Return the rows that are computed on two worker processes."""
    models, found = LINEAR | STOCHASTIC, searches()
    large: dict[str, Any] = {"data": make_large_data}
    names = ("LinearRegression", "Ridge, two targets", "LogisticRegression", "LogisticRegression, three classes")
    net = MLPClassifier((8,), batch_size=8_000, max_iter=1, random_state=0)
    imputed = pipelines()["SimpleImputer, indicator, StandardScaler"]
    imputed = GridSearchCV(imputed, {"logisticregression__C": INVERSE[::2]}, cv=3)
    incomplete, local, blocks = (
        partial(make_incomplete_data, LARGE_ROWS, LARGE_FEATURES),
        local_cases(),
        "dask, 16 blocks",
    )
    cases: Cases = {name: partial(fit_persisted, *models[name]) for name in names}
    cases |= {
        "LogisticRegression, lazy": partial(fit, *models["LogisticRegression"], blocks, **large),
        "PoissonRegressor": partial(fit_persisted, *models["PoissonRegressor"]),
        "SGDClassifier": partial(fit_persisted, SGDClassifier(max_iter=2, random_state=0), "binary"),
        "MLPClassifier": partial(fit_persisted, net, "binary"),
        "train": partial(train, ps.adam(0.01), batch_size=4_000, epochs=1, **large),
        "train, gradients of rows": partial(train_rows, batch_size=8_000, epochs=1, **large),
        "StandardScaler": local[f"StandardScaler: {LARGE}"],
        "ColumnTransformer": local["ColumnTransformer: frame"],
        "search, LogisticRegression": partial(search, *found["LogisticRegression"], blocks, **large),
        "search, Ridge": partial(search, *found["Ridge"], blocks, **large),
        "search, pipeline": partial(search, imputed, "binary", blocks, data=incomplete),
        "search, DecisionTreeClassifier": local["search, DecisionTreeClassifier: dask, 7 blocks"],
        "HyperbandSearchCV": local["HyperbandSearchCV: dask, 7 blocks"],
        "SuccessiveHalvingSearchCV": local["SuccessiveHalvingSearchCV: dask, 7 blocks"],
        "roc_auc_score": local[f"roc_auc_score: {LARGE}"],
        "random_partition": partial(shuffle, blocks, **large),
        "hash_partition": partial(shuffle_by_key, blocks, **large),
    }
    return {f"cluster: {name}": case for name, case in cases.items()}


def fit_persisted(model: Any, target: str) -> Any:
    """Fit data that the workers hold."""
    data = make_large_data()
    X, y = get_client().persist(list(arrange("dask, 16 blocks", data.X, getattr(data, target))))
    wait([X, y])
    return attributes(clone(model).fit(X, y))


@contextmanager
def workers() -> Iterator[None]:
    """Start two worker processes of one thread."""
    options: dict[str, Any] = {"threads_per_worker": 1, "dashboard_address": ":0", "silence_logs": logging.ERROR}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a port that another cluster has
        cluster = LocalCluster(n_workers=2, **options)
    with cluster, Client(cluster):
        yield


def platform_key() -> str:
    """Return what decides the bits: the processor, the BLAS kernels, and the libraries."""
    simd = np.show_config(mode="dicts")["SIMD Extensions"]  # type: ignore[call-overload, index, unused-ignore]
    blas = {
        f"{library['internal_api']} {library['version']} {library.get('architecture', '')}".strip()
        for library in threadpool_info()
        if library["user_api"] == "blas"
    }
    versions = [f"{library.__name__} {library.__version__}" for library in (np, scipy, sklearn)]
    return ", ".join([platform.machine(), *simd.get("found", [])[-1:], *sorted(blas), *versions])


def compute(case: Case) -> str:
    """Return the fingerprint of a case, or the error that it ends with."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # fits that were stopped on purpose say so
            return fingerprint(case())
    except Exception as error:
        return f"{FAILED} {type(error).__name__}: {error}"


def compute_all(only: str, *, twice: bool) -> Iterator[tuple[str, list[str]]]:
    """Yield for each row whose name has ``only`` its fingerprint, once or twice."""
    local, remote = (
        {name: case for name, case in cases.items() if only in name} for cases in (local_cases(), cluster_cases())
    )
    for name, case in local.items():
        yield name, [compute(case) for _ in range(1 + twice)]
    if remote:
        with workers():
            for name, case in remote.items():
                yield name, [compute(case) for _ in range(1 + twice)]


def describe_difference(found: Sequence[str], stored: str | None) -> str | None:
    """Return how fingerprints of a row differ from each other and from the stored one; None where they do not."""
    for one in found:
        if one.startswith(FAILED):
            return one
    if len(set(found)) > 1:
        return f"not deterministic: {', then '.join(_number(one) for one in found)}"
    if stored not in (None, found[0]):
        return f"{_number(found[0])}, was {_number(stored or '')}"
    return None


def _number(one: str) -> str:
    return one.partition(" ")[2] or "not in the table"


def read_table() -> dict[str, dict[str, str]]:
    """Return the stored fingerprints: for each `platform_key` those of its rows."""
    table: dict[str, dict[str, str]] = json.loads(TABLE.read_text()) if TABLE.exists() else {}
    return table


def write_table(found: Mapping[str, str], only: str) -> None:
    """Store the fingerprints of this machine; with ``only`` its other rows are kept."""
    table, key = read_table(), platform_key()
    table[key] = {**(table.get(key, {}) if only else {}), **found}
    TABLE.write_text(json.dumps(table, indent=1) + "\n")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="SUBSTRING", default="", help="the rows whose name has it")
    parser.add_argument("--write", action="store_true", help="store the table, each row computed twice")
    return parser.parse_args()


def main() -> int:
    options = parse()
    stored = None if options.write else read_table().get(platform_key())
    print(f"{daskml_kit.__file__}\n{platform_key()}", flush=True)
    if stored is None and not options.write:
        print("The table has no entry for this machine: each row is computed twice.", flush=True)
    started, found, n_wrong = time.perf_counter(), {}, 0
    for name, values in compute_all(options.only, twice=stored is None):
        found[name] = values[0]
        difference = describe_difference(values, None if stored is None else stored.get(name, ""))
        if difference is not None:
            n_wrong += 1
            print(f"{name}: {difference}", flush=True)
    for name in stored or ():
        if options.only in name and name not in found:
            n_wrong += 1
            print(f"{name}: no longer computed")
    print(f"{len(found)} rows, {n_wrong} differ, {time.perf_counter() - started:.0f} s")
    if options.write and found and not n_wrong:
        write_table(found, options.only)
    return 0 if found and not n_wrong else 1


if __name__ == "__main__":
    sys.exit(main())

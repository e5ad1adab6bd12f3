"""Models of the command line for each task, the preparation of columns before them, and grids of their parameters."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

from daskml_kit import discriminant_analysis, linear_model, naive_bayes, neural_network
from daskml_kit.cli.errors import JobError, did_you_mean, naming_failures
from daskml_kit.compose import ColumnTransformer
from daskml_kit.feature_extraction.text import TfidfVectorizer
from daskml_kit.impute import SimpleImputer
from daskml_kit.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

TASKS = ("classification", "regression")
MODELS: dict[str, dict[str, Callable[..., Any]]] = {
    "classification": {
        "logistic": linear_model.LogisticRegression,
        "svc": linear_model.LinearSVC,
        "ridge": linear_model.RidgeClassifier,
        "sgd": linear_model.SGDClassifier,
        "bayes": naive_bayes.GaussianNB,
        "discriminant": discriminant_analysis.LinearDiscriminantAnalysis,
        "mlp": neural_network.MLPClassifier,
    },
    "regression": {
        "ridge": linear_model.Ridge,
        "linear": linear_model.LinearRegression,
        "lasso": linear_model.Lasso,
        "elasticnet": linear_model.ElasticNet,
        "huber": linear_model.HuberRegressor,
        "poisson": linear_model.PoissonRegressor,
        "gamma": linear_model.GammaRegressor,
        "tweedie": linear_model.TweedieRegressor,
        "sgd": linear_model.SGDRegressor,
        "mlp": neural_network.MLPRegressor,
    },
}
"""By task and name; the first of a task is its default."""

RARE = 0.001
MOST_CATEGORIES = 250


def make_model(task: str, name: str | None, seed: int = 0) -> tuple[str, Any]:
    """Return the name and the unfitted model.

    Raises
    ------
    JobError
        Where the task has no model of that name.
    """
    models = MODELS[task]
    name = name or next(iter(models))
    if name not in models:
        raise JobError(f"--model: {task} has no model {name!r}{did_you_mean(name, models)}")
    model = models[name]()
    if "random_state" in model.get_params():
        model.set_params(random_state=seed)
    return name, model


def make_preparation(columns: Mapping[str, Sequence[str]]) -> ColumnTransformer:
    """Return the unfitted transformer of the columns of each kind: impute, scale and encode.

    Categories rarer than one row in a thousand share one column, so that names and numbers of things do not explode.
    """
    encoder = OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=RARE, max_categories=MOST_CATEGORIES)
    steps = {
        "numeric": make_pipeline(SimpleImputer(strategy="median"), StandardScaler()),
        "categorical": make_pipeline(SimpleImputer(strategy="most_frequent"), encoder),
        "flags": OneHotEncoder(drop="if_binary", handle_unknown="ignore"),
    }
    parts = [(kind, step, columns[kind]) for kind, step in steps.items() if columns[kind]]
    # a vectorizer wants one column of strings, an imputer a table
    words = [
        SimpleImputer(strategy="constant", fill_value=""),
        FunctionTransformer(np.ravel, feature_names_out="one-to-one"),
        TfidfVectorizer(min_df=2),
    ]
    parts += [(name, make_pipeline(*map(clone, words)), [name]) for name in columns["text"]]
    return ColumnTransformer(parts, verbose_feature_names_out=bool(columns["text"]))  # words repeat


def read_grid(given: Sequence[str], file: Path | None) -> dict[str, list[Any]]:
    """Return the values of each parameter, from ``NAME=VALUES`` and a TOML file.

    Raises
    ------
    JobError
        Where one has no values, or the file cannot be read.

    Examples
    --------
    >>> read_grid(["C=0.1,1", "fit_intercept=true,false", "penalty=l1,l2"], None)
    {'C': [0.1, 1], 'fit_intercept': [True, False], 'penalty': ['l1', 'l2']}
    """
    grid: dict[str, list[Any]] = {}
    if file is not None:
        with naming_failures(f"--grid-file: cannot read {file}", OSError, ValueError):
            grid = tomllib.loads(file.read_text())
        for name, values in grid.items():
            if not isinstance(values, list) or not values:
                raise JobError(f"--grid-file: {name}: expected a list of values, got {values!r}")
    for text in given:
        name, _, listed = text.partition("=")
        if not name.strip() or not listed.strip():
            raise JobError(f"--grid: expected NAME=VALUES, as C=0.1,1,10, got {text!r}")
        grid[name.strip()] = [_value(value.strip()) for value in listed.split(",")]
    return grid


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def check_grid(grid: Mapping[str, Sequence[Any]], model: Any) -> None:
    """Raise a `JobError` where the model has no such parameter."""
    known = model.get_params(deep=False)
    for name in grid:
        if name not in known:
            raise JobError(f"--grid: {type(model).__name__} has no parameter {name!r}{did_you_mean(name, known)}")

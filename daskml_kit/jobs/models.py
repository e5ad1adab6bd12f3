"""The models that can be trained, and the preparation of a table for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sklearn.pipeline import make_pipeline

from daskml_kit.compose import ColumnTransformer
from daskml_kit.impute import SimpleImputer
from daskml_kit.jobs.failure import JobError, did_you_mean
from daskml_kit.jobs.table import Table
from daskml_kit.linear_model import (
    ElasticNet,
    GammaRegressor,
    HuberRegressor,
    Lasso,
    LinearRegression,
    LinearSVC,
    LogisticRegression,
    PoissonRegressor,
    Ridge,
)
from daskml_kit.preprocessing import OneHotEncoder, StandardScaler

MODELS: dict[str, dict[str, Callable[..., Any]]] = {
    "classification": {"logistic": LogisticRegression, "svc": LinearSVC},
    "regression": {
        "ridge": Ridge,
        "linear": LinearRegression,
        "lasso": Lasso,
        "elasticnet": ElasticNet,
        "huber": HuberRegressor,
        "poisson": PoissonRegressor,
        "gamma": GammaRegressor,
    },
}
"""By task and name; the first of a task is its default."""

RARE = 0.001
MOST_CATEGORIES = 250


def make_model(task: str, name: str | None) -> tuple[str, Any]:
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
    return name, models[name]()


def make_preparation(table: Table) -> Any:
    """Return the unfitted transformer of the table's columns: impute, scale and encode.

    Categories rarer than one row in a thousand share one column, so that names and numbers of things do not explode.
    """
    common: dict[str, Any] = {
        "handle_unknown": "infrequent_if_exist",
        "min_frequency": RARE,
        "max_categories": MOST_CATEGORIES,
    }
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    names = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(**common))
    parts = [
        ("numeric", numbers, table.numeric),
        ("categorical", names, table.categorical),
        ("flags", OneHotEncoder(drop="if_binary", handle_unknown="ignore"), table.flags),
    ]
    return ColumnTransformer([part for part in parts if part[2]], verbose_feature_names_out=False)

"""Estimators whose fits can share passes: linear models, also behind a scaler."""

from __future__ import annotations

from typing import Any, NamedTuple

import dask.array as da
import numpy as np
import pandas as pd
import sklearn.preprocessing
from sklearn.pipeline import Pipeline

from daskml_kit.engines.given import given_engine, giving
from daskml_kit.engines.scaled import ScaledEngine, unscaling
from daskml_kit.linear_model import HuberRegressor, LinearRegression
from daskml_kit.linear_model.model import LinearModel
from daskml_kit.linear_model.regressor import is_single
from daskml_kit.preprocessing import StandardScaler
from daskml_kit.queries.moments import Moments
from daskml_kit.typing import Array

SKIPPED = ("passthrough", None)
UNABSORBED = (HuberRegressor, LinearRegression)
"""Models that ask more than `ScaledEngine` answers."""


class Parts(NamedTuple):
    """A linear model, and the name of the pipeline's step before it that scales, if there is one."""

    model: Any
    scaler: str | None


def parts_of(estimator: Any) -> Parts | str:
    """Return the parts of an estimator whose fits can share passes, or why they cannot."""
    if _asks(estimator):
        return Parts(estimator, None)
    if not isinstance(estimator, Pipeline):
        return f"{type(estimator).__name__} does not learn by questions that several fits can share"
    *before, (_, model) = estimator.steps
    working = [(name, step) for name, step in before if step not in SKIPPED]
    if not _asks(model):
        return f"its last step, {type(model).__name__}, does not learn by questions that several fits can share"
    if not working:
        return Parts(model, None)
    name, scaler = working[0]
    if len(working) > 1 or not isinstance(scaler, sklearn.preprocessing.StandardScaler):
        kinds = ", ".join(type(step).__name__ for _, step in working)
        return f"of steps before the model one StandardScaler is made part of it, not {kinds}"
    if isinstance(model, UNABSORBED):
        return f"{type(model).__name__} does not take a scaler as part of it"
    return Parts(model, name)


def _asks(estimator: Any) -> bool:
    return isinstance(estimator, LinearModel) and estimator.asks_questions


def last_step(estimator: Any) -> Any:
    """Return the last step of a pipeline, or the estimator."""
    return estimator.steps[-1][1] if isinstance(estimator, Pipeline) else estimator


def fit_given(estimator: Any, X: Any, *targets: Any) -> Any:
    """Fit an estimator on the engine that this thread is given; ``X`` says its width and names.

    The scaler of a pipeline learns from the moments of the fit's own rows.
    """
    parts = parts_of(estimator)
    if isinstance(parts, str):
        raise TypeError(parts)
    if not isinstance(estimator, Pipeline):
        return estimator.fit(X, *targets)
    if parts.scaler is None:
        parts.model.fit(X, *targets)
        return estimator
    engine = given_engine()
    if engine is None:
        raise TypeError("a scaler is made part of a model in a search only")
    scaler = estimator.named_steps[parts.scaler]
    _learn(scaler, X, engine.answer(Moments())[0])
    mean, scale = scaling_of(scaler, X.shape[1])
    unnamed = da.zeros((1, X.shape[1]), dtype=np.float32 if is_single(X) else np.float64)  # as it comes of a scaler
    with giving(ScaledEngine(engine, mean, scale)):
        parts.model.fit(unnamed, *targets)
    return estimator


def coefficients(estimator: Any) -> Array:
    """Return the (k, d + 1) coefficients, the intercept last, of the features as they are."""
    model = last_step(estimator)
    coef = np.atleast_2d(model.coef_)
    whole = np.hstack([coef, np.broadcast_to(np.reshape(model.intercept_, (-1, 1)), (len(coef), 1))])
    parts = parts_of(estimator)
    if isinstance(parts, str) or parts.scaler is None:
        return whole
    scaling = scaling_of(estimator.named_steps[parts.scaler], coef.shape[1])
    return np.asarray(whole @ unscaling(*scaling).T)


def scaling_of(scaler: Any, width: int) -> tuple[Array, Array]:
    """Return what a fitted scaler subtracts, and divides by."""
    mean = scaler.mean_ if scaler.with_mean and scaler.mean_ is not None else np.zeros(width)
    return mean, scaler.scale_ if scaler.scale_ is not None else np.ones(width)


def _learn(scaler: Any, X: Any, spread: Any) -> None:
    """Set what a scaler would learn of rows with this ``spread``."""
    ones: Any = np.ones((1, X.shape[1]))
    if hasattr(X, "columns"):
        ones = pd.DataFrame(ones, columns=list(X.columns))
    own = StandardScaler(**scaler.get_params(deep=False))
    study = own.study()
    next(study)
    try:
        study.send((ones, spread))
    except StopIteration:
        learnt = dict(vars(own))
        if not isinstance(scaler, StandardScaler):
            learnt = {name: value for name, value in learnt.items() if name.endswith("_")}
        vars(scaler).update(learnt)

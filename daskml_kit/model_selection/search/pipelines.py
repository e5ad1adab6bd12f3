"""Estimators whose fits can share passes: linear models, also behind an imputer and a scaler."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, NamedTuple

import dask.array as da
import numpy as np
import pandas as pd
import sklearn.impute
import sklearn.preprocessing
from sklearn.pipeline import Pipeline

from daskml_kit.engines.checkpoint import fingerprint_of
from daskml_kit.engines.engine import Engine
from daskml_kit.engines.given import given_engine, giving
from daskml_kit.engines.imputed import Filling, ImputedEngine, unfilling
from daskml_kit.engines.mapped import mapped_coefficients
from daskml_kit.engines.scaled import ScaledEngine, unscaling
from daskml_kit.exceptions import DataError
from daskml_kit.impute import SimpleImputer
from daskml_kit.linear_model import HuberRegressor, LinearRegression
from daskml_kit.linear_model.base import LinearModel, is_single
from daskml_kit.numerics.missing import Gaps, is_nan
from daskml_kit.preprocessing import StandardScaler
from daskml_kit.reductions.frames import Head
from daskml_kit.reductions.missing_counts import Masked
from daskml_kit.reductions.moments import Moments
from daskml_kit.reductions.quantiles import Brackets
from daskml_kit.reductions.reduction import Reduction
from daskml_kit.reductions.value_counts import Counts, Tally
from daskml_kit.typing import Array
from daskml_kit.validation import like


class Unshared(Exception):
    """A fit turns out to need more than reductions that it can share; the message says why."""


def why_not_absorbed(imputer: Any) -> str | None:
    """Return why an imputer cannot be made part of a model; None where it can."""
    if callable(imputer.strategy):
        return f"{type(imputer).__name__} with a callable strategy needs whole columns"
    marker = imputer.missing_values
    if not is_nan(marker):
        return f"{type(imputer).__name__} is made part of a model where NaN is what is missing, not {marker!r}"
    return None


def learn_imputer(imputer: Any, X: Any, engine: Engine) -> None:
    """Set what an imputer would learn of the rows of a fit; ``X`` says their width, names and types.

    Raises
    ------
    Unshared
        Where it needs all values of a column.
    """
    params = imputer.get_params(deep=False)
    shared: dict[Any, Any] = getattr(engine, "shared", {})
    key = ("imputer", fingerprint_of(params))
    if key not in shared:
        shared[key] = _learned(params, X, engine)
    own = deepcopy(shared[key])
    if not isinstance(imputer, SimpleImputer):
        own = own.to_sklearn()
    vars(imputer).update({name: value for name, value in vars(own).items() if name not in params})


def filling_of(imputer: Any) -> Filling:
    """Return what a fitted imputer fills in, and the columns of its indicators."""
    values = np.array([np.nan if pd.isna(value) else value for value in imputer.statistics_], np.float64)
    indicator = imputer.indicator_
    return Filling(values, np.empty(0, np.intp) if indicator is None else indicator.features_)


def _learned(params: dict[str, Any], X: Any, engine: Engine) -> SimpleImputer:
    """Return an imputer fitted to the rows that ``engine`` answers for."""
    own = SimpleImputer(**{**params, "missing_values": np.nan})
    head = like(None, X)
    study = own.study()
    reductions = next(study)
    try:
        while True:
            reductions = study.send(tuple(head if isinstance(q, Head) else _answered(engine, q) for q in reductions))
    except StopIteration:
        own.to_sklearn().transform(head)  # warns of columns that it drops, and refuses what it cannot fill in
    return own


def _answered(engine: Engine, reduction: Reduction) -> Any:
    """Return the answer of rows that are numbers already, so that equal reductions of other fits are known as such."""
    if isinstance(reduction, Counts):
        return _tallies(engine)
    return engine.answer(reduction.reduction if isinstance(reduction, Masked) else reduction)[0]


def _tallies(engine: Engine) -> list[Tally]:
    """Count the values of each column in bounded memory."""
    found, n_rows = engine.answer(Brackets())[0], engine.answer(Moments())[0].n_rows
    many = [j for j, column in enumerate(found) if column.error]
    if many:
        raise Unshared(
            "of columns with many distinct values the most frequent one takes them all, and column "
            f"{many[0]} has more than {len(found[many[0]].values)}"
        )
    return [
        Tally(np.append(column.values, np.nan), np.append(column.weights, n_rows - column.n_seen))
        if column.n_seen < n_rows
        else Tally(column.values, column.weights)
        for column in found
    ]


SKIPPED = ("passthrough", None)
ROLES = {"an imputer": sklearn.impute.SimpleImputer, "a scaler": sklearn.preprocessing.StandardScaler}
"""Steps before a model that are made part of it, in the order that they have there."""
UNABSORBED = (HuberRegressor, LinearRegression)
"""Models that ask more than `ImputedEngine` and `ScaledEngine` answer."""


class Parts(NamedTuple):
    """A linear model, and the names of the pipeline's steps before it that impute and then scale, where there are."""

    model: Any
    imputer: str | None = None
    scaler: str | None = None


def parts_of(estimator: Any) -> Parts | str:
    """Return the parts of an estimator whose fits can share passes, or why they cannot."""
    if _asks(estimator):
        return Parts(estimator)
    if not isinstance(estimator, Pipeline):
        return f"{type(estimator).__name__} does not learn by reductions that several fits can share"
    *before, (_, model) = estimator.steps
    working = [(name, step) for name, step in before if step not in SKIPPED]
    if not _asks(model):
        return f"its last step, {type(model).__name__}, does not learn by reductions that several fits can share"
    roles = [next((role for role, kind in ROLES.items() if isinstance(step, kind)), "") for _, step in working]
    if roles != [role for role in ROLES if role in roles]:
        kinds = ", ".join(type(step).__name__ for _, step in working)
        return f"of steps before the model a SimpleImputer and then a StandardScaler are made part of it, not {kinds}"
    if working and isinstance(model, UNABSORBED):
        return f"{type(model).__name__} does not take {' and '.join(roles)} as part of it"
    named = {role: name for role, (name, _) in zip(roles, working, strict=True)}
    imputer = named.get("an imputer")
    why = None if imputer is None else why_not_absorbed(estimator.named_steps[imputer])
    return why or Parts(model, imputer, named.get("a scaler"))


def _asks(estimator: Any) -> bool:
    return isinstance(estimator, LinearModel) and estimator.asks_questions


def last_step(estimator: Any) -> Any:
    """Return the last step of a pipeline, or the estimator."""
    return estimator.steps[-1][1] if isinstance(estimator, Pipeline) else estimator


def fit_given(estimator: Any, gaps: Gaps, X: Any, *targets: Any) -> Any:
    """Fit an estimator on the engine that this thread is given; ``X`` says its width and names.

    The imputer and the scaler of a pipeline learn from the fit's own rows.

    Raises
    ------
    DataError
        Where there are ``gaps`` that nothing fills.
    """
    parts = parts_of(estimator)
    if isinstance(parts, str):
        raise TypeError(parts)
    if parts.imputer is None and len(gaps.columns):
        raise DataError(f"Input X contains NaN, and no SimpleImputer comes before the model: column {gaps.columns[0]}.")
    engine = given_engine()
    if engine is None:
        raise TypeError("fits share passes in a search only")
    if parts.imputer is not None:
        imputer = estimator.named_steps[parts.imputer]
        learn_imputer(imputer, X, engine)
        filling = filling_of(imputer)
        X, engine = _unnamed(X, filling.width), ImputedEngine(engine, gaps, filling)
    if parts.scaler is not None:
        scaler = estimator.named_steps[parts.scaler]
        _learn(scaler, X, engine.answer(Moments())[0])
        X, engine = _unnamed(X, X.shape[1]), ScaledEngine(engine, *scaling_of(scaler, X.shape[1]))
    with giving(engine):
        parts.model.fit(X, *targets)
    return estimator


def coefficients(estimator: Any, gaps: Gaps) -> Array:
    """Return the (k, d + 1) coefficients, the intercept last, of the features as they are, with indicators of gaps."""
    model = last_step(estimator)
    coef = np.atleast_2d(model.coef_)
    whole = np.hstack([coef, np.broadcast_to(np.reshape(model.intercept_, (-1, 1)), (len(coef), 1))])
    parts = parts_of(estimator)
    if isinstance(parts, str):
        return whole
    if parts.scaler is not None:
        scaling = scaling_of(estimator.named_steps[parts.scaler], coef.shape[1])
        whole = mapped_coefficients(unscaling(*scaling), whole)
    if parts.imputer is not None:
        filling = filling_of(estimator.named_steps[parts.imputer])
        whole = mapped_coefficients(unfilling(gaps, filling), whole)
    return whole


def scaling_of(scaler: Any, width: int) -> tuple[Array, Array]:
    """Return what a fitted scaler subtracts, and divides by."""
    mean = scaler.mean_ if scaler.with_mean and scaler.mean_ is not None else np.zeros(width)
    return mean, scaler.scale_ if scaler.scale_ is not None else np.ones(width)


def _unnamed(X: Any, width: int) -> Any:
    """Return what says the width and type of rows that come of a transformer."""
    return da.zeros((1, width), dtype=np.float32 if is_single(X) else np.float64)


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
        learned = dict(vars(own))
        if not isinstance(scaler, StandardScaler):
            learned = {name: value for name, value in learned.items() if name.endswith("_")}
        vars(scaler).update(learned)

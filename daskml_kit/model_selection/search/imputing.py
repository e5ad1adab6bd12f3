"""Imputers that learn from the rows of a fit by questions, and what they fill in."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import pandas as pd

from daskml_kit.engines.engine import Engine
from daskml_kit.engines.imputed import Filling
from daskml_kit.engines.transcript import fingerprint_of
from daskml_kit.example import like
from daskml_kit.impute import SimpleImputer
from daskml_kit.numerics.missing import is_nan
from daskml_kit.queries.categories import Counts, Tally
from daskml_kit.queries.missing import Masked
from daskml_kit.queries.moments import Moments
from daskml_kit.queries.order import Brackets
from daskml_kit.queries.query import Query
from daskml_kit.queries.tables import Head


class Unshared(Exception):
    """A fit turns out to need more than questions that it can share; the message says why."""


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
        shared[key] = _learnt(params, X, engine)
    own = deepcopy(shared[key])
    if not isinstance(imputer, SimpleImputer):
        own = own.to_sklearn()
    vars(imputer).update({name: value for name, value in vars(own).items() if name not in params})


def filling_of(imputer: Any) -> Filling:
    """Return what a fitted imputer fills in, and the columns of its indicators."""
    values = np.array([np.nan if pd.isna(value) else value for value in imputer.statistics_], np.float64)
    indicator = imputer.indicator_
    return Filling(values, np.empty(0, np.intp) if indicator is None else indicator.features_)


def _learnt(params: dict[str, Any], X: Any, engine: Engine) -> SimpleImputer:
    """Return an imputer fitted to the rows that ``engine`` answers for."""
    own = SimpleImputer(**{**params, "missing_values": np.nan})
    head = like(None, X)
    study = own.study()
    questions = next(study)
    try:
        while True:
            questions = study.send(tuple(head if isinstance(q, Head) else _answered(engine, q) for q in questions))
    except StopIteration:
        own.to_sklearn().transform(head)  # warns of columns that it drops, and refuses what it cannot fill in
    return own


def _answered(engine: Engine, query: Query) -> Any:
    """Return the answer of rows that are numbers already, so that equal questions of other fits are known as such."""
    if isinstance(query, Counts):
        return _tallies(engine)
    return engine.answer(query.query if isinstance(query, Masked) else query)[0]


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

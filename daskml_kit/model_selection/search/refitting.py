"""The best candidate on all rows, and its score on others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dask

from daskml_kit.engines.blocks import is_dask
from daskml_kit.engines.opening import open_engine
from daskml_kit.engines.pieces import join
from daskml_kit.engines.rows import align_rows
from daskml_kit.errors import DataError
from daskml_kit.linear_model.model import LinearModel
from daskml_kit.model_selection.search.absorbing import parts_of
from daskml_kit.model_selection.search.distributed import Gathered, is_distributed
from daskml_kit.model_selection.search.examining import plain
from daskml_kit.model_selection.search.judges import Unscored, finished, judge_of
from daskml_kit.model_selection.search.judging import Examinee, Judging
from daskml_kit.model_selection.search.scoring import SINGLE, scorers_of


def refit_on_all(estimator: Any, X: Any, y: Any, params: Mapping[str, Any]) -> Any:
    """Fit ``estimator``; one that takes no Dask collections to the joined blocks, on a worker if there is a cluster."""
    given = {name: value for name, value in {"X": X, "y": y, **params}.items() if value is not None}
    lazy = [name for name, value in given.items() if is_dask(value)]
    if not lazy or is_distributed(estimator):
        return estimator.fit(X, y, **params) if y is not None else estimator.fit(X, **params)
    parts = {column.name: column.blocks for column in align_rows({name: given[name] for name in lazy}).columns}
    rest = {name: value for name, value in given.items() if name not in lazy}
    (fitted,) = dask.compute(dask.delayed(_fit_joined)(estimator, parts, rest))
    return fitted


def score_on(estimator: Any, X: Any, y: Any, scoring: Any) -> float:
    """Return the score of a fitted estimator on Dask collections."""
    if scoring is None and isinstance(estimator, LinearModel):
        return float(estimator.score(X, y))
    judge = None if isinstance(parts_of(estimator), str) else judge_of(scoring, estimator)
    if judge is None:
        scorer = scorers_of(estimator, {SINGLE: scoring})[SINGLE]
        if is_distributed(estimator) and not hasattr(estimator, "to_sklearn"):
            return float(scorer(Gathered(estimator, y), X, *dask.compute(*([] if y is None else [y]))))
        bare = estimator.to_sklearn() if hasattr(estimator, "to_sklearn") else estimator
        names = {"X": X} if y is None else {"X": X, "y": y}
        parts = {column.name: column.blocks for column in align_rows(names).columns}
        (score,) = dask.compute(dask.delayed(_score_joined)(scorer, bare, parts))
        return float(score)
    with open_engine(X, y) as engine:
        (answers,) = engine.answer(Judging([Examinee(plain(estimator))], {SINGLE: judge}))
    found = finished(judge, answers[0][SINGLE], getattr(estimator, "classes_", None))
    if isinstance(found, Unscored):
        raise DataError(f"score: {found.reason}")
    return found


def _fit_joined(estimator: Any, parts: Mapping[str, Any], rest: Mapping[str, Any]) -> Any:
    given = {**{name: join(blocks) for name, blocks in parts.items()}, **rest}
    X, y = given.pop("X"), given.pop("y", None)
    return estimator.fit(X, **given) if y is None else estimator.fit(X, y, **given)


def _score_joined(scorer: Any, estimator: Any, parts: Mapping[str, Any]) -> float:
    joined = {name: join(blocks) for name, blocks in parts.items()}
    return float(scorer(estimator, joined["X"], joined.get("y")))

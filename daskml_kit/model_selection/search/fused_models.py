"""Fused fits of models behind transformers that their candidates have in common, on the rows of one split."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Mapping
from contextlib import suppress
from typing import Any

import dask.array as da
import numpy as np
from sklearn.pipeline import Pipeline

from daskml_kit.base import has_fit_steps
from daskml_kit.data.collections import dask_vector, is_dask
from daskml_kit.model_selection.search.cv_results import Outcome
from daskml_kit.model_selection.search.fold import Fold
from daskml_kit.model_selection.search.fused import run_fused, why_not
from daskml_kit.model_selection.search.pipeline_cache import cache_transformers, is_cacheable
from daskml_kit.model_selection.search.search_plan import EvaluationData, EvaluationSpec, with_params
from daskml_kit.model_selection.splits.folds import TEST, TRAIN, Folds, Split

FEW_ROWS = 1_000
"""Up to so many test rows candidates are fitted each by itself: of few wide rows each in the space that these span."""


def fit_fused_models(
    spec: EvaluationSpec, candidates: Mapping[int, Mapping[str, Any]], fold: Fold
) -> dict[int, Outcome]:
    """Fit the candidates that differ in their last step only in common passes over what the steps before give.

    Candidates that cannot, or whose transformers fail, are left out.

    Parameters
    ----------
    spec : EvaluationSpec
        Of a pipeline.
    candidates : mapping of numbers to parameters
    fold : Fold
        Of Dask data, with its cache.
    """
    if not is_cacheable(spec.estimator) or spec.with_models or set(fold.sides) != {"X", "y"} or fold.constants:
        return {}
    if not all(is_dask(side) for sides in fold.sides.values() for side in sides) or fold.n_test <= FEW_ROWS:
        return {}
    outcomes: dict[int, Outcome] = {}
    for group in candidates_by_transformers(spec.estimator, candidates):
        if len(group) > 1:
            # what a transformer or the data are at fault of, fits one by one tell of each
            with suppress(TypeError, ValueError):
                outcomes |= _fit_group(spec, {number: candidates[number] for number in group}, fold)
    return outcomes


def candidates_by_transformers(estimator: Pipeline, candidates: Mapping[int, Mapping[str, Any]]) -> list[list[int]]:
    """Return the numbers of candidates that differ in parameters of the last step only."""
    groups: dict[Hashable, list[int]] = defaultdict(list)
    for number, params in candidates.items():
        # a grid has each value once: what is not the same object may be another
        before = tuple((name, id(value)) for name, value in params.items() if not sets_last_step(estimator, name))
        groups[before].append(number)
    return list(groups.values())


def sets_last_step(estimator: Pipeline, name: str) -> bool:
    return name.startswith(f"{estimator.steps[-1][0]}__")


def _fit_group(spec: EvaluationSpec, candidates: Mapping[int, Mapping[str, Any]], fold: Fold) -> dict[int, Outcome]:
    """Return the outcomes of candidates that have all transformers in common; none where models cannot be fused."""
    whole = with_params(spec.estimator, next(iter(candidates.values())))
    model, prefix = whole.steps[-1][1], f"{whole.steps[-1][0]}__"
    if not has_fit_steps(model) or why_not(model, spec.scoring, {}) is not None:
        return {}
    own = [
        {name.removeprefix(prefix): v for name, v in params.items() if sets_last_step(whole, name)}
        for params in candidates.values()
    ]
    X, y = _transformed(whole, fold)
    ids = da.concatenate(
        [_ids(side, part) for side, part in zip((TRAIN, TEST), y, strict=True)], allow_unknown_chunksizes=True
    )
    rows, target = (da.concatenate(parts, allow_unknown_chunksizes=True) for parts in (X, y))
    data = EvaluationData(rows, target, Folds((ids,), [Split(0, (TRAIN,), (TEST,))]))
    found = run_fused(spec._replace(estimator=model, candidates=own), data, from_whole=False)
    numbers, n_test = list(candidates), fold.n_test
    return {numbers[c]: outcome._replace(n_test=n_test, estimator=None) for (c, _), outcome in found.outcomes.items()}


def _transformed(estimator: Pipeline, fold: Fold) -> tuple[list[Any], list[Any]]:
    """Return training and test rows as the last step sees them, and their targets."""
    steps = [step for _, step in cache_transformers(estimator, fold.cache, "fold").steps[:-1]]
    train, test = fold.X
    y = fold.side("y", 0)
    for step in steps:
        if step not in (None, "passthrough"):
            train, test = step.fit_transform(train, y), step.transform(test)
    return [train, test], [dask_vector(part, "y") for part in fold.sides["y"]]


def _ids(side: int, y: da.Array) -> da.Array:
    """Return the id of a side for each of its rows."""
    y = y[:, 0] if y.ndim == 2 else y
    return y.map_blocks(lambda part: np.full(len(part), side, np.int16), dtype=np.int16, meta=np.empty(0, np.int16))

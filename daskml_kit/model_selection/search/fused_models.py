"""Fused fits of models behind transformers that their candidates have in common, on the rows of one split."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dask.array as da
import numpy as np
from sklearn.pipeline import Pipeline

from daskml_kit.base import has_fit_steps
from daskml_kit.data.collections import dask_vector, is_dask
from daskml_kit.model_selection.search.cv_results import Outcome
from daskml_kit.model_selection.search.fold import Fold
from daskml_kit.model_selection.search.fused import run_fused, why_not
from daskml_kit.model_selection.search.pipeline_cache import cache_transformers
from daskml_kit.model_selection.search.search_plan import EvaluationData, EvaluationSpec
from daskml_kit.model_selection.search.transformer_groups import (
    TransformerGroup,
    may_share_transformers,
    transformer_groups,
)
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
    if not may_share_transformers(spec, fold.sides, fold.constants) or fold.n_test <= FEW_ROWS:
        return {}
    if not all(is_dask(side) for sides in fold.sides.values() for side in sides):
        return {}
    outcomes: dict[int, Outcome] = {}
    for group in transformer_groups(spec.estimator, candidates):
        outcomes |= _fit_group(spec, group, fold)
    return outcomes


def _fit_group(spec: EvaluationSpec, group: TransformerGroup, fold: Fold) -> dict[int, Outcome]:
    """Return the outcomes of the candidates; none where models cannot be fused."""
    model = group.pipeline.steps[-1][1]
    if not has_fit_steps(model) or why_not(model, spec.scoring, {}) is not None:
        return {}
    transformed = group.attempt(_transformed, group.pipeline, fold)
    if transformed is None:
        return {}
    X, y = transformed
    ids = da.concatenate(
        [_ids(side, part) for side, part in zip((TRAIN, TEST), y, strict=True)], allow_unknown_chunksizes=True
    )
    rows, target = (da.concatenate(parts, allow_unknown_chunksizes=True) for parts in (X, y))
    data = EvaluationData(rows, target, Folds((ids,), [Split(0, (TRAIN,), (TEST,))]))
    found = group.attempt(run_fused, spec._replace(estimator=model, candidates=group.last), data, from_whole=False)
    if found is None:
        return {}
    return {number: outcome._replace(n_test=fold.n_test) for (number, _), outcome in group.outcomes(found).items()}


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

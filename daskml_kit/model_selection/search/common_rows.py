"""Fused fits on all splits of models behind transformers that one transformer for all rows stands for."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any

import dask
import dask.array as da
import numpy as np
import scipy.sparse as sp
from dask.array.utils import meta_from_array
from sklearn.pipeline import Pipeline

from daskml_kit.compose.subset_columns import common_columns
from daskml_kit.data.collections import dask_vector, is_dask
from daskml_kit.model_selection.search.cv_results import FitKey, Outcome
from daskml_kit.model_selection.search.fold import FoldData
from daskml_kit.model_selection.search.fused import run_fused, why_not
from daskml_kit.model_selection.search.fused_models import FEW_ROWS, candidates_by_transformers, sets_last_step
from daskml_kit.model_selection.search.fused_scores import scored_by_predictors
from daskml_kit.model_selection.search.pipeline_cache import computed_once, is_cacheable
from daskml_kit.model_selection.search.pipelines import SKIPPED
from daskml_kit.model_selection.search.search_plan import EvaluationData, EvaluationSpec, with_params


def fit_on_common_rows(
    spec: EvaluationSpec,
    candidates: Mapping[int, Mapping[str, Any]],
    data: FoldData,
    known: Collection[FitKey] = frozenset(),
) -> dict[FitKey, Outcome]:
    """Fit candidates that differ in their last step only, on all splits in common passes over rows transformed once.

    Candidates whose transformers are not of that kind (see `daskml_kit.compose.subset_columns.common_columns`), or
    fail, are left out: a linear model sees no difference between a column of zeros and one that is not there.

    Parameters
    ----------
    spec : EvaluationSpec
    candidates : mapping of numbers to parameters
    data : FoldData
    known : collection of (candidate, split)
        Fits that are not to be done.
    """
    if not is_cacheable(spec.estimator) or spec.with_models or set(data.columns) != {"X", "y"} or data.constants:
        return {}
    n_splits = len(data.folds.splits)
    if not all(map(is_dask, (*data.columns.values(), *data.folds.ids))):
        return {}
    if data.folds.ids[0].shape[0] <= FEW_ROWS * n_splits:
        return {}
    outcomes: dict[FitKey, Outcome] = {}
    for group in candidates_by_transformers(spec.estimator, candidates):
        missing = {c: candidates[c] for c in group if any((c, split) not in known for split in range(n_splits))}
        if len(missing) > 1:
            # what a transformer or the data are at fault of, fits one by one tell of each
            with suppress(TypeError, ValueError):
                outcomes |= _fit_group(spec, missing, data)
    return {key: outcome for key, outcome in outcomes.items() if key not in known}


def _fit_group(
    spec: EvaluationSpec, candidates: Mapping[int, Mapping[str, Any]], data: FoldData
) -> dict[FitKey, Outcome]:
    """Return the outcomes of candidates that have all transformers in common; none where they cannot be fused."""
    whole = with_params(spec.estimator, next(iter(candidates.values())))
    *before, (name, model) = whole.steps
    working = [step for _, step in before if step not in SKIPPED]
    if why_not(model, spec.scoring, {}) is not None or not scored_by_predictors(model, spec.scoring):
        return {}
    common = common_columns(working[0]) if len(working) == 1 else None
    if common is None:
        return {}
    X, y = data.columns["X"], data.columns["y"]
    rows = computed_once(common.transformer.fit_transform(X, y))
    if not sp.issparse(meta_from_array(rows)):
        return {}  # few columns, of which each split may have others, or dense ones
    estimator = Pipeline([("columns", common.subset_columns(common.transformer)), (name, model)])
    own = [{key: v for key, v in params.items() if sets_last_step(whole, key)} for params in candidates.values()]
    fused = _by_fold(EvaluationData(rows, dask_vector(y, "y"), data.folds))
    found = run_fused(spec._replace(estimator=estimator, candidates=own), fused, from_whole=False)
    numbers = list(candidates)
    fitted = {key: outcome for key, outcome in found.outcomes.items() if outcome.error is None}
    return {(numbers[c], split): outcome._replace(estimator=None) for (c, split), outcome in fitted.items()}


def _by_fold(data: EvaluationData) -> EvaluationData:
    """Return data with the rows of each block ordered by fold, so that passes read those of a fold where they lie."""
    parts = [np.ravel(part.to_delayed()) for part in (data.X, data.y, *data.folds.ids)]
    if len(parts) != 3 or data.y.ndim != 1 or len({len(blocks) for blocks in parts}) > 1:
        return data
    lengths, order = data.folds.ids[0].chunks[0], dask.delayed(_ordered_by, nout=3)
    wholes: list[list[da.Array]] = [[], [], []]
    for *blocks, n_rows in zip(*parts, lengths, strict=True):
        for whole, like, block in zip(wholes, (data.X, data.y, data.folds.ids[0]), order(*blocks), strict=True):
            shape, meta = (n_rows, *like.shape[1:]), meta_from_array(like)
            whole.append(da.from_delayed(block, shape, dtype=like.dtype, meta=meta))
    X, y, ids = (da.concatenate(blocks) for blocks in dask.persist(*wholes))
    return data._replace(X=X, y=y, folds=data.folds._replace(ids=(ids,), counts=()))


def _ordered_by(X: Any, y: Any, ids: Any) -> tuple[Any, Any, Any]:
    order = np.argsort(ids, kind="stable")
    return X[order], y[order], ids[order]

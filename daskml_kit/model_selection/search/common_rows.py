"""Fused fits on all splits of models behind transformers that one transformer for all rows stands for."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import dask
import dask.array as da
import numpy as np
import scipy.sparse as sp
from dask.array.utils import meta_from_array
from sklearn.pipeline import Pipeline

from daskml_kit.compose.subset_columns import common_columns
from daskml_kit.data.coded import codes_of
from daskml_kit.data.collections import dask_vector, is_dask
from daskml_kit.model_selection.search.cv_results import FitKey, Outcome
from daskml_kit.model_selection.search.fold import FoldData
from daskml_kit.model_selection.search.fused import Fused, run_fused, why_not
from daskml_kit.model_selection.search.fused_models import FEW_ROWS
from daskml_kit.model_selection.search.fused_scores import scored_by_predictors
from daskml_kit.model_selection.search.pipeline_cache import computed_once
from daskml_kit.model_selection.search.pipelines import SKIPPED
from daskml_kit.model_selection.search.search_plan import EvaluationData, EvaluationSpec
from daskml_kit.model_selection.search.transformer_groups import (
    TransformerGroup,
    may_share_transformers,
    transformer_groups,
)
from daskml_kit.model_selection.splits.folds import Folds


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
    if not may_share_transformers(spec, data.columns, data.constants):
        return {}
    n_splits = len(data.folds.splits)
    if not all(map(is_dask, (*data.columns.values(), *data.folds.ids))):
        return {}
    if data.folds.ids[0].shape[0] <= FEW_ROWS * n_splits:
        return {}
    missing = {
        c: params for c, params in candidates.items() if any((c, split) not in known for split in range(n_splits))
    }
    outcomes: dict[FitKey, Outcome] = {}
    for group in transformer_groups(spec.estimator, missing):
        outcomes |= _fit_group(spec, group, data)
    return {key: outcome for key, outcome in outcomes.items() if key not in known}


def _fit_group(spec: EvaluationSpec, group: TransformerGroup, data: FoldData) -> dict[FitKey, Outcome]:
    """Return the outcomes of the candidates; none where they cannot be fused."""
    *before, (name, model) = group.pipeline.steps
    working = [step for _, step in before if step not in SKIPPED]
    if why_not(model, spec.scoring, {}) is not None or not scored_by_predictors(model, spec.scoring):
        return {}
    common = common_columns(working[0]) if len(working) == 1 else None
    if common is None:
        return {}
    X, y = data.columns["X"], data.columns["y"]
    rows = group.attempt(common.transformer.fit_transform, X, y)
    if rows is None or not sp.issparse(meta_from_array(rows)):
        return {}  # few columns, of which each split may have others, or dense ones
    estimator = Pipeline([("columns", common.subset_columns(common.transformer)), (name, model)])
    own = [{f"{name}__{key}": value for key, value in params.items()} for params in group.last]
    found = group.attempt(_run_by_fold, spec._replace(estimator=estimator, candidates=own), rows, y, data.folds)
    return {} if found is None else group.outcomes(found)


def _run_by_fold(spec: EvaluationSpec, rows: Any, y: Any, folds: Folds) -> Fused:
    """Fit the candidates to rows that are transformed once, which may fail as they are."""
    return run_fused(spec, _by_fold(EvaluationData(computed_once(rows), dask_vector(y, "y"), folds)), from_whole=False)


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
    """Return rows in the order of their ids, those of one in that of the category with most levels.

    What is added to one of these then is so for rows that follow each other.
    """
    own = codes_of(X)
    if own is None:
        order = np.argsort(ids, kind="stable")
    else:
        order = np.lexsort((own.codes[:, np.argmax(own.spans[:, 1] - own.spans[:, 0])], ids))
    return X[order], y[order], ids[order]

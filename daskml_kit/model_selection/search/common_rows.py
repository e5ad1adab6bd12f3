"""Fused fits of models behind transformers that their candidates have in common, on a split or on all of them."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping
from typing import Any, NamedTuple, ParamSpec, TypeVar

import dask
import dask.array as da
import numpy as np
import scipy.sparse as sp
from dask.array.utils import meta_from_array
from sklearn.pipeline import Pipeline

from daskml_kit.base import has_fit_steps
from daskml_kit.compose.subset_columns import common_columns
from daskml_kit.data.coded import codes_of
from daskml_kit.data.collections import dask_vector, is_dask
from daskml_kit.model_selection.search.cv_results import FitKey, Outcome
from daskml_kit.model_selection.search.fold import Fold, FoldData
from daskml_kit.model_selection.search.fused import Fused, run_fused, why_not
from daskml_kit.model_selection.search.fused_scores import scored_by_predictors
from daskml_kit.model_selection.search.pipeline_cache import cache_transformers, computed_once, is_cacheable
from daskml_kit.model_selection.search.pipelines import SKIPPED
from daskml_kit.model_selection.search.search_plan import EvaluationData, EvaluationSpec, with_params
from daskml_kit.model_selection.splits.folds import TEST, TRAIN, Folds, Split

logger = logging.getLogger(__name__)
Given = ParamSpec("Given")
Result = TypeVar("Result")


class TransformerGroup(NamedTuple):
    """Candidates that differ in parameters of the last step only.

    Parameters
    ----------
    numbers : list of int
    pipeline : Pipeline
        Not fitted; its transformers are those of all of the candidates.
    last : list of dict
        The parameters of the last step, by candidate.
    """

    numbers: list[int]
    pipeline: Pipeline
    last: list[dict[str, Any]]

    def attempt(self, function: Callable[Given, Result], *args: Given.args, **kwargs: Given.kwargs) -> Result | None:
        """Call what runs the user's transformers and models on the user's data; None where these are at fault.

        Fits one by one then tell of each.
        """
        return _attempt(self.numbers, function, *args, **kwargs)

    def outcomes(self, found: Fused) -> dict[FitKey, Outcome]:
        """Return the outcomes of fits, by the numbers of the candidates, but for those that failed."""
        whole = {key: outcome for key, outcome in found.outcomes.items() if outcome.error is None}
        return {(self.numbers[c], split): outcome._replace(estimator=None) for (c, split), outcome in whole.items()}


def may_share_transformers(spec: EvaluationSpec, columns: Collection[str], constants: Collection[str]) -> bool:
    """Return whether candidates of ``spec`` may be fitted in groups: to rows and targets alone, to be scored only."""
    return is_cacheable(spec.estimator) and not spec.with_models and set(columns) == {"X", "y"} and not constants


def transformer_groups(estimator: Pipeline, candidates: Mapping[int, Mapping[str, Any]]) -> Iterator[TransformerGroup]:
    """Yield the groups of two candidates and more, but for those whose parameters cannot be set."""
    last = f"{estimator.steps[-1][0]}__"
    groups: dict[Hashable, list[int]] = defaultdict(list)
    for number, params in candidates.items():
        # a grid has each value once: what is not the same object may be another
        before = tuple((name, id(value)) for name, value in params.items() if not name.startswith(last))
        groups[before].append(number)
    for numbers in groups.values():
        if len(numbers) == 1:
            continue
        pipeline = _attempt(numbers, with_params, estimator, candidates[numbers[0]])
        if pipeline is not None:
            own = [
                {name.removeprefix(last): value for name, value in candidates[number].items() if name.startswith(last)}
                for number in numbers
            ]
            yield TransformerGroup(numbers, pipeline, own)


def _attempt(
    numbers: list[int], function: Callable[Given, Result], *args: Given.args, **kwargs: Given.kwargs
) -> Result | None:
    try:
        return function(*args, **kwargs)
    except (TypeError, ValueError) as error:
        logger.debug("candidates %s are fitted one by one: %s: %s", numbers, type(error).__name__, error)
        return None


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
        outcomes |= _fit_on_split(spec, group, fold)
    return outcomes


def _fit_on_split(spec: EvaluationSpec, group: TransformerGroup, fold: Fold) -> dict[int, Outcome]:
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
        outcomes |= _fit_on_all_splits(spec, group, data)
    return {key: outcome for key, outcome in outcomes.items() if key not in known}


def _fit_on_all_splits(spec: EvaluationSpec, group: TransformerGroup, data: FoldData) -> dict[FitKey, Outcome]:
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

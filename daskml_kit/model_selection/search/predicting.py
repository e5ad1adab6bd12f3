"""Predictions of the models that have not seen the rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dask
import numpy as np
import pandas as pd
from dask.base import tokenize
from dask.highlevelgraph import HighLevelGraph

from daskml_kit.engines.blocks import is_dask
from daskml_kit.engines.pieces import take
from daskml_kit.engines.rows import align_rows, check_lengths, collect
from daskml_kit.model_selection.splits.folds import Folds
from daskml_kit.typing import Array


def predict_held_out(models: Sequence[Any], folds: Folds, X: Any, method: str) -> Any:
    """Return what ``method`` of each split's model gives for the rows that the split tests, in the order of X.

    Raises
    ------
    ValueError
        Where a row is not tested once.
    """
    tested = [i for split in folds.splits for i in split.test]
    if len(folds.ids) > 1 or len(set(tested)) < len(tested) or _leaves_out(folds):
        raise ValueError("cross_val_predict only works for partitions: expected a cv that tests each row once")
    plain = [model.to_sklearn() if hasattr(model, "to_sklearn") else model for model in models]
    classes = _all_classes(plain) if method != "predict" else None
    owners = {i: number for number, split in enumerate(folds.splits) for i in split.test}
    predictor = Predictor(plain, owners, method, classes)
    if not is_dask(X):
        part = X if hasattr(X, "shape") else np.asarray(X)
        return predictor.predict(["X", "cv"], 0, part, np.asarray(folds.ids[0]))
    rows = align_rows({"X": X, "cv": folds.ids[0]})
    first = rows.columns[0]
    meta = predictor.meta(first.meta)
    name = f"daskml-held-out-{tokenize([b.key for c in rows.columns for b in c.blocks], plain, method)}"
    layer: dict[Any, Any] = {(name, "predictor"): predictor}
    for index, blocks in enumerate(zip(*(column.blocks for column in rows.columns), strict=True)):
        layer[(name, index)] = (Predictor.predict, (name, "predictor"), ["X", "cv"], index, *(b.key for b in blocks))
    graph = HighLevelGraph.from_collections(
        name, layer, dependencies=[block for column in rows.columns for block in column.blocks]
    )
    return collect(meta, graph, [(name, i) for i in range(len(rows.lengths))], rows.lengths, "daskml-predicted")


class Predictor:
    """Predicts each row by the model that owns its id.

    Parameters
    ----------
    models : list of scikit-learn estimators
    owners : dict of id to position among the models
    method : str
    classes : array, optional
        All classes, where a result has a column for each and a model may not know all.
    """

    def __init__(self, models: Sequence[Any], owners: dict[int, int], method: str, classes: Array | None) -> None:
        self.models, self.owners, self.method, self.classes = models, owners, method, classes

    def predict(self, names: Sequence[str], index: int, X: Any, ids: Array) -> Array:
        """Return the predictions of one block's rows."""
        check_lengths(names, [X, ids], index, len(ids))
        result: Array | None = None
        for i in np.unique(ids):
            rows = np.flatnonzero(ids == i)
            predicted = self._of(self.models[self.owners[int(i)]], take(X, rows))
            if result is None:
                result = np.empty((len(ids), *predicted.shape[1:]), predicted.dtype)
            result = (
                result.astype(np.result_type(result, predicted), copy=False) if _widens(result, predicted) else result
            )
            result[rows] = predicted
        return self.meta(X) if result is None else result

    def meta(self, like: Any) -> Array:
        """Return an empty result, for an X of this kind."""
        one = like.iloc[:0] if isinstance(like, pd.DataFrame) else like[:0]
        row = pd.DataFrame({n: np.zeros(1, np.float64) for n in one.columns}) if isinstance(one, pd.DataFrame) else None
        sample = row if row is not None else np.zeros((1, like.shape[1]))
        predicted = self._of(self.models[0], sample)
        return predicted[:0]

    def _of(self, model: Any, X: Any) -> Array:
        names = getattr(model, "feature_names_in_", None)
        if names is not None and not isinstance(X, pd.DataFrame):
            X = pd.DataFrame(X, columns=names)
        predicted = np.asarray(getattr(model, self.method)(X))
        if self.classes is None or predicted.ndim == 1 or len(model.classes_) == len(self.classes):
            return predicted
        fill = {"decision_function": np.finfo(predicted.dtype).min, "predict_log_proba": np.finfo(predicted.dtype).min}
        whole = np.full((len(predicted), len(self.classes)), fill.get(self.method, 0), predicted.dtype)
        whole[:, np.searchsorted(self.classes, model.classes_)] = predicted
        return whole


def _widens(result: Array, predicted: Array) -> bool:
    return result.dtype != predicted.dtype


def _leaves_out(folds: Folds) -> bool:
    tested = {i for split in folds.splits for i in split.test}
    ids = folds.ids[0]
    present = (
        np.unique(dask.compute(ids.map_blocks(np.unique, chunks=(np.nan,)))[0]) if is_dask(ids) else np.unique(ids)
    )
    return not set(present.tolist()) <= tested


def _all_classes(models: Sequence[Any]) -> Array | None:
    if not all(hasattr(model, "classes_") for model in models):
        return None
    return np.unique(np.concatenate([model.classes_ for model in models]))

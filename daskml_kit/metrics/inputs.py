"""Input of metrics: an engine over predictions (as X), truth (as y) and weights, aligned."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dask.array as da
import numpy as np

from daskml_kit.data.collections import dask_vector, is_dask
from daskml_kit.engines.engine import Engine
from daskml_kit.engines.open import open_engine
from daskml_kit.exceptions import DataError
from daskml_kit.reductions.reduction import Reduction


def any_dask(*values: Any) -> bool:
    return any(is_dask(value) for value in values)


def reduce_scores(reduction: Reduction, y_true: Any, y_pred: Any, sample_weight: Any, *, name: str = "y_pred") -> Any:
    """Return the answer of ``reduction``, whose X are the predictions, that the caller knows as ``name``."""
    with open_scores(y_true, y_pred, sample_weight, name=name) as engine:
        return engine.answer(reduction)[0]


@contextmanager
def open_scores(y_true: Any, y_pred: Any, sample_weight: Any, *, name: str = "y_pred") -> Iterator[Engine]:
    """Open an engine over the aligned blocks of truth, predictions and weights.

    Raises
    ------
    DataError
        Where they do not fit together; it uses the metrics' names of the arguments.
    """
    truth, weight = column(y_true, "y_true"), None if sample_weight is None else column(sample_weight, "sample_weight")
    predicted = column(y_pred, name)
    if predicted.ndim == 1:
        predicted = predicted[:, None]
    try:
        with open_engine(predicted, truth, weight) as engine:
            yield engine
    except DataError as error:
        raise DataError(re.sub(r"\bX\b", name, re.sub(r"^y\b", "y_true", str(error)))) from error


def column(values: Any, name: str) -> Any:
    """Return ``values`` as a Dask or NumPy array; a data frame of one column as that column."""
    array = dask_vector(values, name) if is_dask(values) else np.asarray(values)
    if array.ndim not in (1, 2):
        raise DataError(f"{name}: expected one or two dimensions, got {array.ndim}")
    if isinstance(array, da.Array) and array.ndim == 2 and array.shape[1] == 1:
        return array[:, 0]
    return array


def require_rows(n_rows: int, weight: float) -> None:
    """Raise a `DataError` where there is nothing to average over."""
    if not n_rows:
        raise DataError("y_true: Found empty input array while a minimum of 1 sample is required")
    if not weight:
        raise DataError("sample_weight: Weights sum to zero, can't be normalized")

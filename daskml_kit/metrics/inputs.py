"""Input of metrics: an engine over predictions (as X), truth (as y) and weights, aligned."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from inspect import signature
from typing import Any, ParamSpec

import dask
import dask.array as da
import numpy as np
from dask.delayed import Delayed

from daskml_kit.arguments import check_flags, naming
from daskml_kit.data.align import align_rows
from daskml_kit.data.block import as_block
from daskml_kit.data.collections import dask_vector, is_dask
from daskml_kit.engines.engine import Engine
from daskml_kit.engines.open import find_client, open_engine
from daskml_kit.exceptions import DataError
from daskml_kit.reductions.reduction import Reduction
from daskml_kit.workers.connection import released_task_thread, telling_lost_scheduler

P = ParamSpec("P")


def in_memory_by(theirs: Callable[..., Any]) -> Callable[[Callable[P, Any]], Callable[P, Any]]:
    """Decorate a metric such that data in memory is left to scikit-learn's metric of the same name.

    For data on Dask, scikit-learn's metric checks the options.
    """

    def decorate(ours: Callable[P, Any]) -> Callable[P, Any]:
        parameters = signature(ours)
        first, second = list(parameters.parameters)[:2]
        flags = [name for name, known in parameters.parameters.items() if isinstance(known.default, bool)]

        @wraps(ours)
        def metric(*args: P.args, **kwargs: P.kwargs) -> Any:
            given = parameters.bind(*args, **kwargs).arguments
            data = list(given.values())[:2]
            check_flags(**{name: given[name] for name in flags if name in given})
            if any(map(is_dask, (*data, given.get("sample_weight")))):
                _check_options(theirs, {name: given[name] for name in list(given)[2:] if name != "compute"})
                with truth_called(second if first == "X" else first):
                    return ours(*args, **kwargs)
            given.pop("compute", None)
            _check_weight(given.get("sample_weight"))
            value = theirs(*data, **{name: given[name] for name in list(given)[2:]})
            return float(value) if isinstance(value, (float, np.number)) else value

        return metric

    return decorate


def _check_options(theirs: Callable[..., Any], options: Mapping[str, Any]) -> None:
    """Raise what scikit-learn's metric says of the options; data, which it checks after them, is not asked about."""
    try:
        theirs([0, 1], [0], **{name: value for name, value in options.items() if not is_dask(value)})
    except (TypeError, ValueError, IndexError) as error:
        if re.match(r"The '\w+' parameter of", str(error)):
            raise


@contextmanager
def truth_called(name: str) -> Iterator[None]:
    """Give the truth in a `DataError` the name that the caller's argument has."""
    try:
        yield
    except DataError as error:
        if name == "y_true":
            raise
        raise DataError(re.sub(r"\by_true\b", name, str(error))) from error


def _check_weight(weight: Any) -> None:
    """Raise an error that names weights in memory that are no numbers, of which some metrics make a score of NaN."""
    if weight is None:
        return
    with naming("sample_weight"):
        values = np.asarray(weight, np.float64)
    if values.ndim != 1 and values.shape[1:] != (1,):
        raise DataError(f"sample_weight: expected one dimension, got shape {values.shape}")
    if not np.isfinite(values).all():
        raise DataError("sample_weight: expected finite numbers, got NaN or infinity")


def reduce_scores(
    reduction: Reduction,
    finish: Callable[[Any], Any],
    y_true: Any,
    y_pred: Any,
    sample_weight: Any,
    compute: bool,
    name: str = "y_pred",
) -> Any:
    """Return ``finish`` of the answer of ``reduction``, lazily where ``compute`` is False.

    Several lazy ones share a pass: `dask.compute` of all together loads each block once.

    Parameters
    ----------
    reduction : Reduction
        Its X are the predictions.
    finish : callable
    y_true, y_pred, sample_weight : array-like or Dask collection
    compute : bool
        False gives a Delayed, whose tasks combine the blocks' partials in a tree.
    name : str
        What the caller's argument of the predictions is called.
    """
    predicted = column(y_pred, name)
    if compute and predicted.dtype.kind in "fiubc":
        with open_scores(y_true, predicted, sample_weight, name=name) as engine:
            return finish(engine.answer(reduction)[0])
    named = {"X": predicted, "y": column(y_true, "y_true")}
    named |= {} if sample_weight is None else {"weight": column(sample_weight, "sample_weight")}
    total = _lazy_total(reduction, named, name)
    if not compute:
        return dask.delayed(_finished)(reduction, finish, total)
    with telling_lost_scheduler():
        client = find_client()
    with telling_lost_scheduler(), released_task_thread(client is not None):
        return _finished(reduction, finish, total.compute())


def _finished(reduction: Reduction, finish: Callable[[Any], Any], total: Any) -> Any:
    return finish(reduction.finalize(total)[0])


def _lazy_total(reduction: Reduction, named: Mapping[str, Any], name: str) -> Delayed:
    """Return the partial of all blocks; equal tasks of several metrics have equal keys, and are computed once."""
    with named_errors(name):
        rows = align_rows(named)
    blocks = zip(*(part.blocks for part in rows.columns), strict=True)
    one, join = dask.delayed(_partial, pure=True), dask.delayed(reduction.combine, pure=True)
    level = [one(reduction, list(named), name, index, *parts) for index, parts in enumerate(blocks)]
    while len(level) > 1:
        pairs = [level[i : i + 2] for i in range(0, len(level), 2)]
        level = [join(*pair) if len(pair) == 2 else pair[0] for pair in pairs]
    return level[0]


def _partial(reduction: Reduction, names: list[str], name: str, index: int, *parts: Any) -> Any:
    given = dict(zip(names, parts, strict=True))
    predicted = np.asarray(given["X"])
    predicted = predicted[:, None] if predicted.ndim == 1 else predicted
    numeric = predicted.dtype.kind in "fiubc"
    with named_errors(name):
        X = predicted if numeric else np.empty((len(predicted), 0))  # labels may be strings, features may not
        block = as_block(X, given["y"], given.get("weight"), index=index)
        return reduction.chunk(block if numeric else block._replace(X=predicted))


@contextmanager
def named_errors(name: str) -> Iterator[None]:
    """Give the arguments in a `DataError` the names that callers of metrics know."""
    try:
        yield
    except DataError as error:
        raise DataError(re.sub(r"\bX\b", name, re.sub(r"^y\b", "y_true", str(error)))) from error


@contextmanager
def open_scores(
    y_true: Any, y_pred: Any, sample_weight: Any, *, name: str = "y_pred", many_passes: bool = False
) -> Iterator[Engine]:
    """Open an engine over the aligned blocks of truth, predictions and weights, for one pass or ``many_passes``.

    Raises
    ------
    DataError
        Where they do not fit together; it uses the metrics' names of the arguments.
    """
    truth, weight = column(y_true, "y_true"), None if sample_weight is None else column(sample_weight, "sample_weight")
    predicted = column(y_pred, name)
    if predicted.ndim == 1:
        predicted = predicted[:, None]
    with named_errors(name), open_engine(predicted, truth, weight, many_passes=many_passes) as engine:
        yield engine


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

"""Fits of other packages' estimators on Dask data: in blocks that they can use, anew where a worker was lost."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import dask
from sklearn.base import clone, is_classifier

from daskml_kit.data.align import align_rows, collect
from daskml_kit.data.collections import is_dask, join
from daskml_kit.engines.open import find_client
from daskml_kit.model_selection.search.fit_and_score import fit_estimator
from daskml_kit.model_selection.search.pipelines import last_step
from daskml_kit.model_selection.splits.stratify import BlockClassRanks, count_classes

MAX_LOST = 3
"""Repetitions of a fit on Dask data that failed while a worker was lost."""
NOTICED_AFTER = 1.0
"""Seconds within which the scheduler notices that a worker is lost."""


def fit_on_dask(estimator: Any, X: Any, y: Any, **params: Any) -> Any:
    """Return an estimator that takes Dask data fitted to it, in blocks that it can use.

    LightGBM's classifiers number the classes that a worker has: where one has not all of them, they learn wrongly and
    say nothing. So each of their blocks has rows of every class. Fits of other packages do not outlive a worker: after
    one was lost they are begun anew, up to `MAX_LOST` times. That may fail again, as LightGBM does where a process
    keeps its broken connection to the lost worker; then its error is raised, with a note of what has happened.
    """
    model = last_step(estimator)
    if is_of("lightgbm", model) and is_classifier(model) and is_dask(X) and y is not None:
        rows = join_slivers({"X": X, "y": y, **{name: value for name, value in params.items() if is_dask(value)}})
        X, y = rows.pop("X"), rows.pop("y")
        params = {**params, **rows}
    if is_of("daskml_kit", model):
        return fit_estimator(estimator, X, y, **params)
    workers, n_lost = _workers(), 0
    while True:
        try:
            return fit_estimator(clone(estimator), X, y, **params)
        except Exception as error:
            if not _lost_any(workers):
                raise
            if n_lost == MAX_LOST:
                error.add_note(
                    f"a worker was lost while {type(model).__name__} trained, and beginning anew failed {MAX_LOST} "
                    "times: start the other workers anew, as by client.restart(), and fit again"
                )
                raise
            n_lost += 1


def _lost_any(workers: set[str]) -> bool:
    """Return whether one of these workers is gone, which a fit may hear before the scheduler does."""
    deadline = time.monotonic() + (NOTICED_AFTER if workers else 0)
    while workers <= _workers():
        if time.monotonic() > deadline:
            return False
        time.sleep(NOTICED_AFTER / 20)
    return True


def _workers() -> set[str]:
    client = find_client()
    return set() if client is None else set(client.nthreads())


def is_of(package: str, estimator: Any) -> bool:
    """Return whether an estimator is one of a package, or extends one.

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> is_of("sklearn", Ridge()), is_of("lightgbm", Ridge())
    (True, False)
    """
    return any(base.__module__.partition(".")[0] == package for base in type(estimator).__mro__)


def join_slivers(collections: Mapping[str, Any]) -> dict[str, Any]:
    """Return collections of the same rows, among them "y", in blocks that have rows of every class.

    Blocks that have are left as they are. It takes a pass over y.

    Examples
    --------
    >>> import dask.array as da
    >>> y = da.from_array([0, 1, 1, 1, 0, 1, 0], chunks=((2, 2, 2, 1),))
    >>> join_slivers({"X": y[:, None], "y": y})["X"].chunks
    ((2, 5), (1,))
    """
    rows = align_rows(collections)
    labels = next(column for column in rows.columns if column.name == "y")
    counted = count_classes(labels, rows.lengths)
    stops = _stops(counted.runs, len(counted.classes))
    if len(stops) == len(rows.lengths):
        return dict(collections)
    if len(stops) == 1:
        warnings.warn(
            "y: only all blocks together have rows of every class, so one worker trains alone; shuffle the rows",
            UserWarning,
            stacklevel=3,
        )
    joined, groups = dask.delayed(join, pure=True), [slice(*pair) for pair in pairwise([0, *stops])]
    lengths = [sum(rows.lengths[group]) for group in groups]
    found = {}
    for column in rows.columns:
        tasks = [joined(column.blocks[group]) for group in groups]
        graph = dask.delayed(tasks).dask
        found[column.name] = collect(column.meta, graph, [task.key for task in tasks], lengths, "daskml-joined")
    return found


def _stops(runs: list[BlockClassRanks], n_classes: int) -> list[int]:
    """Return the block behind each group of blocks that has rows of every class; the last group takes what is left."""
    stops, seen = [], set[int]()
    for number, run in enumerate(runs, 1):
        seen |= set(run.codes.tolist())
        if len(seen) == n_classes:
            stops.append(number)
            seen = set()
    return [*stops[:-1], len(runs)]

"""Peers at their best thread setting, as contestants of a race."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import dask.array as da
from sklearn.base import BaseEstimator, clone
from threadpoolctl import threadpool_limits

from benchmarks.data import Data

Contestants = dict[str, Callable[[], Any]]


def ours(model: BaseEstimator, X: Any, y: Any) -> Contestants:
    """Return a fit of our own ``model``."""
    return {"ours": lambda: clone(model).fit(X, y)}


def scikit_learn(name: str, model: BaseEstimator, data: Data, blas_threads: Iterable[int] = (1, 2)) -> Contestants:
    """Return fits of ``model``, one for each number of BLAS threads; their names start with ``name``."""

    def run(threads: int) -> Any:
        with threadpool_limits(threads, user_api="blas"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a peer's complaints are not ours to print
            return clone(model).fit(data.X, data.y)

    return {f"{name}, BLAS threads: {threads}": partial(run, threads) for threads in blas_threads}


def dask_ml(kind: str, solvers: Iterable[str], X: da.Array, y: da.Array) -> Contestants:
    """Return fits by dask-ml's linear model ``kind`` with each of the ``solvers``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from dask_ml import linear_model

    def run(solver: str) -> Any:
        with threadpool_limits(1, user_api="blas"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return getattr(linear_model, kind)(solver=solver).fit(X, y)

    return {f"dask-ml, {solver}": partial(run, solver) for solver in solvers}

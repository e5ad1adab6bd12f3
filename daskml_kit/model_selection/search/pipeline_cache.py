"""Pipelines whose transformers are fitted once for all candidates that have them in common."""

from __future__ import annotations

import copy
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from dask.base import tokenize
from sklearn import get_config
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import FeatureUnion, Pipeline

from daskml_kit.data.collections import size_of


class TransformerCache:
    """Values by key, each made by the first thread that asks; the others wait for it.

    What was not used for longest is forgotten where they take more than ``max_bytes``. `name` and `name_of` tell a
    value that comes back as an argument, so that what is made of it has a key, too.

    Parameters
    ----------
    max_bytes : float

    Examples
    --------
    >>> memo = TransformerCache(1e6)
    >>> memo.get("a", lambda: np.zeros(2)) is memo.get("a", lambda: np.ones(2))
    True
    """

    def __init__(self, max_bytes: float) -> None:
        self.max_bytes = max_bytes
        self._lock = threading.Lock()
        self._values: OrderedDict[Hashable, tuple[Any, float]] = OrderedDict()
        self._making: dict[Hashable, threading.Lock] = {}
        self._names: dict[int, tuple[weakref.ref[Any], Hashable]] = {}
        self._seconds: dict[int, float] = {}

    def get(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """Return the value of ``key``; of what `make` raises, nothing is kept."""
        with self._lock:
            making = self._making.setdefault(key, threading.Lock())
        with making:
            with self._lock:
                if key in self._values:
                    self._values.move_to_end(key)
                    return self._values[key][0]
            try:
                value = self._made(make)
                with self._lock:
                    self._values[key] = value, bytes_of(value)
                    self._trim()
            finally:
                self._making.pop(key, None)
        return value

    def take_seconds(self) -> float:
        """Return the seconds that this thread spent on making values since it last asked."""
        return self._seconds.pop(threading.get_ident(), 0.0)

    def name(self, value: Any, name: Hashable) -> Any:
        """Return ``value``, known by that name as long as it lives; what is lent cannot be written to."""
        lent = lend(value)
        try:
            reference = weakref.ref(lent)
        except TypeError:  # such as a list
            return lent
        with self._lock:
            self._names = {number: known for number, known in self._names.items() if known[0]() is not None}
            self._names[id(lent)] = reference, name
        return lent

    def name_of(self, value: Any) -> Hashable | None:
        with self._lock:
            reference, name = self._names.get(id(value), (None, None))
        return name if reference is not None and reference() is value else None

    def _made(self, make: Callable[[], Any]) -> Any:
        thread, started = threading.get_ident(), time.perf_counter()
        before = self._seconds.get(thread, 0.0)
        value = make()
        # what was made within is part of it
        self._seconds[thread] = before + time.perf_counter() - started
        return value

    def _trim(self) -> None:
        total = sum(size for _, size in self._values.values())
        while total > self.max_bytes and len(self._values) > 1:
            _, (_, size) = self._values.popitem(last=False)
            total -= size


def lend(value: Any) -> Any:
    """Return ``value`` such that whoever gets it cannot change it for others.

    Of a data frame that is a shallow copy, which pandas copies on writing; arrays become read-only.
    """
    if isinstance(value, (pd.DataFrame, pd.Series)):
        return value.copy(deep=False)
    arrays = [value.data, value.indices, value.indptr] if is_compressed(value) else [value]
    for array in arrays:
        if isinstance(array, np.ndarray):
            array.flags.writeable = False
    return value


def own(value: Any) -> Any:
    """Return a copy that may be written to."""
    return value.copy() if hasattr(value, "copy") and hasattr(value, "shape") else value


def is_compressed(value: Any) -> bool:
    return sp.issparse(value) and hasattr(value, "indptr")


def bytes_of(value: Any) -> float:
    """Return about the bytes of arrays and data frames in ``value``, that may be a tuple of things.

    Examples
    --------
    >>> bytes_of((np.zeros(3), "other"))
    24.0
    """
    if isinstance(value, tuple):
        return sum(map(bytes_of, value))
    measurable = isinstance(value, (np.ndarray, pd.DataFrame, pd.Series)) or is_compressed(value)
    return float(size_of(value)) if measurable else 0.0


class CachedTransformer:
    """Stands in a pipeline for a transformer whose fit and output are looked up by key.

    Parameters
    ----------
    transformer : estimator
    memo : TransformerCache
    key : hashable
        Tells the transformer with its parameters, and what it is fitted on.
    """

    def __init__(self, transformer: Any, memo: TransformerCache, key: Hashable) -> None:
        self.transformer, self.memo, self.key = transformer, memo, key
        self.fitted: Any = None

    def fit(self, X: Any, y: Any = None, **params: Any) -> CachedTransformer:
        self.fit_transform(X, y, **params)
        return self

    def fit_transform(self, X: Any, y: Any = None, **params: Any) -> Any:
        self.fitted, out = self.memo.get(self.key, lambda: _fit(self.transformer, X, y, params))
        return self.memo.name(out, (self.key, "fitted"))

    def transform(self, X: Any) -> Any:
        known = self.memo.name_of(X)
        if known is None:
            return self.fitted.transform(X)
        name = (self.key, known)
        return self.memo.name(self.memo.get(name, lambda: self.fitted.transform(X)), name)

    def __sklearn_clone__(self) -> CachedTransformer:
        return CachedTransformer(self.transformer, self.memo, self.key)

    def __sklearn_is_fitted__(self) -> bool:
        return self.fitted is not None

    def __getattr__(self, name: str) -> Any:
        if name in ("fitted", "transformer") or (name.startswith("__") and not name.startswith("__sklearn")):
            raise AttributeError(name)  # asked for while it is copied, before there is one
        return getattr(self.transformer if self.fitted is None else self.fitted, name)


def shares(estimator: Any) -> bool:
    """Whether candidates of ``estimator`` may have transformers in common.

    That is a `Pipeline` with a transformer in it, unless it has a cache of its own, or metadata are routed.
    """
    plain = type(estimator) is Pipeline and estimator.memory is None and len(estimator.steps) > 1
    return plain and not get_config()["enable_metadata_routing"]


def share(estimator: Any, memo: TransformerCache, source: Hashable) -> Any:
    """Return ``estimator`` with its transformers shared.

    Parameters
    ----------
    estimator : Pipeline
        Not fitted.
    memo : TransformerCache
    source : hashable
        Tells the training data.
    """
    if not shares(estimator):
        return estimator
    steps = []
    for name, step in estimator.steps[:-1]:
        shared = _shared(step, memo, source)
        source = getattr(shared, "key", source)
        steps.append((name, shared))
    name, last = estimator.steps[-1]
    return _with(estimator, steps=[*steps, (name, share(last, memo, source))])


def unshare(estimator: Any) -> Any:
    """Return a fitted estimator with the transformers themselves."""
    if isinstance(estimator, CachedTransformer):
        return unshare(estimator.fitted)
    if type(estimator) is Pipeline:
        return _with(estimator, steps=[(name, unshare(step)) for name, step in estimator.steps])
    if type(estimator) is FeatureUnion:
        return _with(estimator, transformer_list=[(name, unshare(part)) for name, part in estimator.transformer_list])
    if type(estimator) is ColumnTransformer:
        return _with(
            estimator,
            transformers=[(name, _original(part), columns) for name, part, columns in estimator.transformers],
            transformers_=[(name, unshare(part), columns) for name, part, columns in estimator.transformers_],
        )
    return estimator


def step_key(value: Any) -> Hashable:
    """Return what tells an estimator that is not fitted, or a parameter.

    Of estimators that draw without a seed, those of like parameters are the same.

    Examples
    --------
    >>> from sklearn.preprocessing import StandardScaler
    >>> step_key(StandardScaler()) == step_key(clone(StandardScaler()))
    True
    """
    if isinstance(value, CachedTransformer):
        return step_key(value.transformer)
    if hasattr(value, "get_params") and not isinstance(value, type):
        return type(value), tuple((name, step_key(part)) for name, part in sorted(vars(value).items()))
    if isinstance(value, (list, tuple)):
        return type(value), tuple(map(step_key, value))
    return type(value), tokenize(value)


def _shared(step: Any, memo: TransformerCache, source: Hashable) -> Any:
    """Return ``step``, fitted on what ``source`` tells, and its parts shared; words such as "passthrough" stay."""
    if step is None or isinstance(step, str):
        return step
    key = source, step_key(step)
    if shares(step):
        *inner, (name, last) = share(step, memo, source).steps
        at = next((part.key for _, part in reversed(inner) if isinstance(part, CachedTransformer)), source)
        step = _with(step, steps=[*inner, (name, _shared(last, memo, at))])
    elif type(step) is FeatureUnion and step.n_jobs in (None, 1):
        parts = [(name, _shared(part, memo, source)) for name, part in step.transformer_list]
        step = _with(step, transformer_list=parts)
    elif type(step) is ColumnTransformer and step.n_jobs in (None, 1):
        named = [
            (name, _shared(part, memo, (source, step_key(columns))), columns)
            for name, part, columns in step.transformers
        ]
        step = _with(step, transformers=named)
    return CachedTransformer(step, memo, key)


def _fit(transformer: Any, X: Any, y: Any, params: dict[str, Any]) -> tuple[Any, Any]:
    fitted = clone(transformer)
    if hasattr(fitted, "fit_transform"):
        out = fitted.fit_transform(X, y, **params)
    else:
        out = fitted.fit(X, y, **params).transform(X)
    return fitted, out


def _original(part: Any) -> Any:
    return part.transformer if isinstance(part, CachedTransformer) else part


def _with(estimator: Any, **attributes: Any) -> Any:
    changed = copy.copy(estimator)
    vars(changed).update(attributes)
    return changed

"""Cache of the fitted transformers that the candidates of a search have in common in their pipelines."""

from __future__ import annotations

import copy
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from typing import Any
from weakref import WeakValueDictionary

import dask
import dask.array as da
import numpy as np
import pandas as pd
import scipy.sparse as sp
from dask.base import tokenize
from sklearn import get_config
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import FeatureUnion, Pipeline

from daskml_kit.data.collections import array_bytes, fits, size_of
from daskml_kit.engines.open import find_client


class TransformerCache:
    """Cache (LRU) of values by key, each made by the first thread that asks; the others wait for it.

    The least recently used are dropped where they take more than ``max_bytes``. `name` and `name_of` recognize a
    value that comes back as an argument, so that what is made of it has a key, too.

    Parameters
    ----------
    max_bytes : float

    Examples
    --------
    >>> cache = TransformerCache(1e6)
    >>> cache.get("a", lambda: np.zeros(2)) is cache.get("a", lambda: np.ones(2))
    True
    """

    def __init__(self, max_bytes: float) -> None:
        self.max_bytes = max_bytes
        self._lock = threading.Lock()
        self._values: OrderedDict[Hashable, tuple[Any, float]] = OrderedDict()
        self._locks: dict[Hashable, threading.Lock] = {}
        self._named: WeakValueDictionary[int, Any] = WeakValueDictionary()
        self._names: dict[int, Hashable] = {}
        self._seconds: dict[int, float] = {}

    def get(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """Return the value of ``key``; of what `make` raises, nothing is kept."""
        with self._lock:
            making = self._locks.setdefault(key, threading.Lock())
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
                self._locks.pop(key, None)
        return value

    def take_seconds(self) -> float:
        """Return the seconds that this thread spent on making values since it last asked."""
        return self._seconds.pop(threading.get_ident(), 0.0)

    def name(self, value: Any, name: Hashable) -> Any:
        """Return ``value``, known by that name as long as it lives, and read-only."""
        lent = read_only(value)
        with suppress(TypeError):  # of what has no weak references, such as a list
            self._named[id(lent)] = lent
            self._names[id(lent)] = name
        return lent

    def name_of(self, value: Any) -> Hashable | None:
        return self._names.get(id(value)) if self._named.get(id(value)) is value else None

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


def read_only(value: Any) -> Any:
    """Return ``value`` such that no consumer can change it for the others.

    Of a data frame that is a shallow copy, which pandas copies on writing; arrays become read-only.
    """
    if isinstance(value, (pd.DataFrame, pd.Series)):
        return value.copy(deep=False)
    arrays = [value.data, value.indices, value.indptr] if is_compressed(value) else [value]
    for array in arrays:
        if isinstance(array, np.ndarray):
            array.flags.writeable = False
    return value


def writable_copy(value: Any) -> Any:
    """Return a copy that may be written to."""
    return value.copy() if hasattr(value, "copy") and hasattr(value, "shape") else value


def is_compressed(value: Any) -> bool:
    return sp.issparse(value) and hasattr(value, "indptr")


def bytes_of(value: Any) -> float:
    """Return about the bytes of arrays, Dask arrays and data frames in ``value``, that may be a tuple of things.

    Examples
    --------
    >>> bytes_of((np.zeros(3), "other"))
    24.0
    """
    if isinstance(value, tuple):
        return sum(map(bytes_of, value))
    if isinstance(value, da.Array):
        return array_bytes(value)
    measurable = isinstance(value, (np.ndarray, pd.DataFrame, pd.Series)) or is_compressed(value)
    return float(size_of(value)) if measurable else 0.0


class CachedTransformer:
    """Transformer of a pipeline whose fit and output are looked up in a cache.

    Parameters
    ----------
    transformer : estimator
    cache : TransformerCache
    key : hashable
        Of the transformer with its parameters, and of the data that it is fitted on.
    """

    def __init__(self, transformer: Any, cache: TransformerCache, key: Hashable) -> None:
        self.transformer, self.cache, self.key = transformer, cache, key
        self.fitted: Any = None

    def fit(self, X: Any, y: Any = None, **params: Any) -> CachedTransformer:
        self.fit_transform(X, y, **params)
        return self

    def fit_transform(self, X: Any, y: Any = None, **params: Any) -> Any:
        self.fitted, out = self.cache.get(self.key, lambda: _fit(self.transformer, X, y, params))
        return self.cache.name(out, (self.key, "fitted"))

    def transform(self, X: Any) -> Any:
        known = self.cache.name_of(X)
        if known is None:
            return self.fitted.transform(X)
        name = (self.key, known)
        return self.cache.name(self.cache.get(name, lambda: computed_once(self.fitted.transform(X))), name)

    def __sklearn_clone__(self) -> CachedTransformer:
        return CachedTransformer(self.transformer, self.cache, self.key)

    def __sklearn_is_fitted__(self) -> bool:
        return self.fitted is not None

    def __getattr__(self, name: str) -> Any:
        if name in ("fitted", "transformer") or (name.startswith("__") and not name.startswith("__sklearn")):
            raise AttributeError(name)  # asked for while it is copied, before there is one
        return getattr(self.transformer if self.fitted is None else self.fitted, name)


def is_cacheable(estimator: Any) -> bool:
    """Return whether candidates of ``estimator`` may have transformers in common.

    That is a `Pipeline` with a transformer in it, unless it has a cache of its own, or metadata are routed.
    """
    plain = type(estimator) is Pipeline and estimator.memory is None and len(estimator.steps) > 1
    return plain and not get_config()["enable_metadata_routing"]


def cache_transformers(estimator: Any, cache: TransformerCache, source: Hashable) -> Any:
    """Return ``estimator`` with its transformers cached.

    Parameters
    ----------
    estimator : Pipeline
        Not fitted.
    cache : TransformerCache
    source : hashable
        Key of the training data.
    """
    if not is_cacheable(estimator):
        return estimator
    steps, source = _cached_steps(estimator.steps[:-1], cache, source)
    name, last = estimator.steps[-1]
    return _with(estimator, steps=[*steps, (name, cache_transformers(last, cache, source))])


def restore_transformers(estimator: Any) -> Any:
    """Return a fitted estimator with the transformers themselves."""
    if isinstance(estimator, CachedTransformer):
        return restore_transformers(estimator.fitted)
    if type(estimator) is Pipeline or type(estimator) is FeatureUnion:
        return _map_parts(estimator, restore_transformers)
    if type(estimator) is ColumnTransformer:
        fitted = [(name, restore_transformers(part), *columns) for name, part, *columns in estimator.transformers_]
        given = _map_parts(estimator, lambda part, _: part.transformer if isinstance(part, CachedTransformer) else part)
        return _with(given, transformers_=fitted)
    return estimator


PARTS = {Pipeline: "steps", FeatureUnion: "transformer_list", ColumnTransformer: "transformers"}
"""The parameter that holds the parts of an estimator, as tuples of name, part and perhaps columns."""


def _map_parts(estimator: Any, function: Callable[..., Any]) -> Any:
    """Return a copy of the estimator whose parts are replaced by ``function`` of them, and of their columns if any."""
    name = PARTS[type(estimator)]
    parts = [(key, function(part, *columns), *columns) for key, part, *columns in getattr(estimator, name)]
    return _with(estimator, **{name: parts})


def step_key(value: Any) -> Hashable:
    """Return a cache key of an estimator that is not fitted, or of a parameter.

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


def _cached_steps(
    steps: Sequence[tuple[str, Any]], cache: TransformerCache, source: Hashable
) -> tuple[list[tuple[str, Any]], Hashable]:
    """Return the steps of a pipeline cached, and the key of what comes out of the last."""
    found = []
    for name, step in steps:
        cached = _cached(step, cache, source)
        source = getattr(cached, "key", source)
        found.append((name, cached))
    return found, source


def _cached(step: Any, cache: TransformerCache, source: Hashable) -> Any:
    """Return ``step`` and its parts cached, for training data of key ``source``; "passthrough" and the like stay."""
    if step is None or isinstance(step, str):
        return step
    key = source, step_key(step)
    if is_cacheable(step):
        step = _with(step, steps=_cached_steps(step.steps, cache, source)[0])
    elif type(step) in (FeatureUnion, ColumnTransformer) and step.n_jobs in (None, 1):

        def cached(part: Any, *columns: Any) -> Any:
            return _cached(part, cache, (source, *map(step_key, columns)) if columns else source)

        step = _map_parts(step, cached)
    return CachedTransformer(step, cache, key)


def _fit(transformer: Any, X: Any, y: Any, params: dict[str, Any]) -> tuple[Any, Any]:
    fitted = clone(transformer)
    if hasattr(fitted, "fit_transform"):
        out = fitted.fit_transform(X, y, **params)
    else:
        out = fitted.fit(X, y, **params).transform(X)
    return fitted, computed_once(out)


def computed_once(value: Any) -> Any:
    """Return a Dask array held in memory where it fits, so that all who read it compute it once; others as they are."""
    if isinstance(value, da.Array) and fits(find_client(), array_bytes(value)):
        (value,) = dask.persist(value)
    return value


def _with(estimator: Any, **attributes: Any) -> Any:
    changed = copy.copy(estimator)
    vars(changed).update(attributes)
    return changed

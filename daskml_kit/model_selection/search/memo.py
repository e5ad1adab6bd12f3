"""What candidates on one split have in common, made once in a process."""

from __future__ import annotations

import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from daskml_kit.engines.capacity import size_of


class Memo:
    """Values by key, each made by the first thread that asks; the others wait for it.

    What was not used for longest is forgotten where they take more than ``max_bytes``. `name` and `name_of` tell a
    value that comes back as an argument, so that what is made of it has a key, too.

    Parameters
    ----------
    max_bytes : float

    Examples
    --------
    >>> memo = Memo(1e6)
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

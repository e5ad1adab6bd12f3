"""Which columns of which collections are asked about."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, NamedTuple

import dask.dataframe as dd
import pandas as pd

from daskml_kit.errors import DataError
from daskml_kit.partition.keyed import Keys


class Question(NamedTuple):
    """What is asked of a block: where the classes and the keys are, if any are to be counted."""

    labels: Keys | None
    by: Keys | None


def find_keys(name: str, given: Any, collections: dict[str, Any]) -> Keys | None:
    """Return where ``given`` is; a collection of its own is added to ``collections``."""
    if given is None:
        return None
    if isinstance(given, (str, int, tuple)) or (
        isinstance(given, list) and all(isinstance(n, Hashable) for n in given)
    ):
        return _columns(name, given, collections)
    if not hasattr(given, "shape") or not 1 <= len(given.shape) <= 2:
        raise DataError(f"{name}: expected a column name, or a collection of one dimension or two, got {given!r}")
    if name == "labels" and given.shape[1:] not in ((), (1,)):
        raise DataError(f"labels: expected one column, got {given.shape[1]}")
    for part, collection in enumerate(collections.values()):
        if collection is given:
            return Keys(part, None)
    collections[name] = given
    return Keys(len(collections) - 1, None)


def _columns(name: str, given: Any, collections: dict[str, Any]) -> Keys:
    columns = tuple(given) if isinstance(given, list) else (given,)
    if name == "labels" and len(columns) != 1:
        raise DataError(f"labels: expected one column, got {len(columns)}")
    for part, (called, collection) in enumerate(collections.items()):
        if isinstance(collection, (dd.DataFrame, pd.DataFrame)):
            missing = [column for column in columns if column not in collection.columns]
            if missing or not columns:
                have = ", ".join(map(repr, collection.columns))
                raise DataError(f"{name}: expected columns of {called} ({have}), got {', '.join(map(repr, missing))}")
            return Keys(part, columns)
    raise DataError(f"{name}: expected an array or Series beside arrays, got {given!r}; there is no DataFrame given")


def key_names(by: Any, keys: Keys) -> list[Any]:
    """Return what the columns of the keys are called: ``by`` is what the caller gave for them."""
    if keys.columns is not None:
        return list(keys.columns)
    if hasattr(by, "columns"):
        return list(by.columns)
    width = by.shape[1] if len(by.shape) == 2 else 1
    name = getattr(by, "name", None) if isinstance(by, (dd.Series, pd.Series)) else None
    return [name if name is not None else "key"] if width == 1 else [f"key {i}" for i in range(width)]

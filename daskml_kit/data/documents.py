"""Documents, such as texts or dictionaries of features, of any collection as blocks of one dimension."""

from __future__ import annotations

from typing import Any

import dask.array as da
import dask.bag as db
import dask.dataframe as dd
import numpy as np

from daskml_kit.data.collections import dask_vector, is_dask
from daskml_kit.exceptions import DataError
from daskml_kit.typing import Array


def holds_documents(X: object) -> bool:
    """Return whether X is a Dask collection, of which a Bag is one of documents only."""
    return is_dask(X) or isinstance(X, db.Bag)


def documents_of(X: Any, name: str) -> da.Array:
    """Return a Dask collection of documents as an array of one dimension, whose blocks are those of the collection.

    Raises
    ------
    DataError
        Where it has columns; the message has the argument's ``name``.

    Examples
    --------
    >>> documents_of(db.from_sequence(["one", "two"], npartitions=2), "X").compute()
    array(['one', 'two'], dtype=object)
    """
    if isinstance(X, db.Bag):
        parts = X.map_partitions(_objects)  # whose keys are as those of an array; by way of Delayed, futures get lost
        return da.Array(parts.__dask_graph__(), parts.name, ((np.nan,) * parts.npartitions,), dtype=object)
    if isinstance(X, dd.DataFrame) or X.ndim != 1:
        raise DataError(
            f"{name}: expected documents in one dimension, as a Series, Bag or array of them, got {_described(X)}; "
            "pick the column"
        )
    return dask_vector(X, name)


def without_bag(X: Any) -> Any:
    """Return a Bag as an array of documents, and all else as it is."""
    return documents_of(X, "X") if isinstance(X, db.Bag) else X


def in_memory_documents(X: Any) -> Any:
    """Return documents in memory as scikit-learn takes them: Arrow's arrays as lists, all else as it is."""
    return X.to_pylist() if hasattr(X, "to_pylist") else X


def _described(X: Any) -> str:
    return f"a DataFrame with the columns {list(X.columns)}" if hasattr(X, "columns") else f"{X.ndim} dimensions"


def _objects(items: Any) -> Array:
    """Return the items of a partition of a Bag as an array of one dimension, also where they are sequences."""
    listed = list(items)
    array = np.empty(len(listed), dtype=object)
    array[:] = listed
    return array

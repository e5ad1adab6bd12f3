"""Rows of a key in one block."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Mapping
from numbers import Real
from typing import Any, Literal

import numpy as np
import pandas as pd
import scipy.sparse as sp

from daskml_kit.data.align import Rows, align_rows
from daskml_kit.exceptions import DataError
from daskml_kit.partition.keys import Keyed, Keys
from daskml_kit.partition.random import named, unwrapped
from daskml_kit.partition.shuffle import check_npartitions, move
from daskml_kit.partition.skew import Skew, allowed, even_out, measure

BY = "by"
N_NAMED = 5


def hash_partition(
    *collections: Any,
    by: Any,
    npartitions: int | None = None,
    max_skew: float | None = None,
    on_skew: Literal["raise", "split", "warn"] = "raise",
) -> Any:
    """Bring the rows of all collections that have the same key into the same block.

    Block h(key) mod npartitions, where h is the same on every machine, in every process and for every width of dtype:
    two data sets partitioned alike by the same keys can be joined block by block. Rows keep their order in a block.

    The result is lazy; ask for all of it in one ``dask.persist`` or ``dask.compute``. Data that does not fit in memory
    goes through Dask's own shuffle, which spills to disk.

    Parameters
    ----------
    *collections : Dask array, DataFrame or Series, NumPy array, pandas object or CSR matrix
        Of equal length. DataFrames keep their index.
    by : column name, list of column names, or collection
        Columns of the first DataFrame among ``collections``, or the keys themselves, of one column or several:
        numbers, strings, categories or times, none missing.
    npartitions : int, optional
        Blocks of the results; by default as many as the first Dask collection has.
    max_skew : float, optional
        The rows of the largest block over the mean, above 1. If given, the keys are read beforehand (twice where a
        block is too large, and again where few keys are frequent), and the lengths of the resulting blocks are known.
    on_skew : {"raise", "split", "warn"}
        What to do about a larger block: raise an error that names the hot keys; take rows of the most frequent keys
        away until it is not too large (such a key then lies in several blocks); or warn.

    Returns
    -------
    Dask collection, or a tuple of them where several are given

    Raises
    ------
    DataError
        Where a key column is not there, a key is missing (when the rows are read), lengths differ, or a block gets
        too large.

    Examples
    --------
    >>> import dask.dataframe as dd
    >>> from daskml_kit.partition import hash_partition
    >>> flights = pd.DataFrame({"dest": ["ORD", "LAX", "ORD", "SFO", "LAX"], "delay": [1, 2, 3, 4, 5]})
    >>> parts = hash_partition(dd.from_pandas(flights, npartitions=2), by="dest", npartitions=2)
    >>> sorted(len(set(part["dest"])) for part in map(lambda p: p.compute(), parts.to_delayed()))
    [1, 2]
    """
    if on_skew not in ("raise", "split", "warn"):
        raise DataError(f'on_skew: expected "raise", "split" or "warn", got {on_skew!r}')
    if max_skew is not None and not (isinstance(max_skew, Real) and max_skew > 1):
        raise DataError(f"max_skew: expected a number above 1, got {max_skew!r}")
    rows, keys = _with_keys(named(collections), by)
    route = Keyed(keys, check_npartitions(npartitions, len(rows.lengths)))
    if max_skew is not None:
        skew = measure(rows, keys, route.npartitions, max_skew, to_split=on_skew == "split")
        route = _within(route, skew, max_skew, on_skew)
    return unwrapped(move(rows, route)[: len(collections)])


def _with_keys(collections: Mapping[str, Any], by: Any) -> tuple[Rows, Keys]:
    """Return the rows, with the keys as one more column where they are a collection of their own."""
    if not isinstance(by, (str, int, tuple)) and not (
        isinstance(by, list) and all(isinstance(n, Hashable) for n in by)
    ):
        rows = align_rows({**collections, BY: by})
        meta = rows.columns[-1].meta
        if sp.issparse(meta) or meta.ndim > 2 or 0 in meta.shape[1:]:
            kind = "a sparse matrix" if sp.issparse(meta) else f"rows of shape {meta.shape[1:]}"
            raise DataError(f"by: expected keys of one column or several, got {kind}")
        return rows, Keys(len(collections), None)
    rows = align_rows(collections)
    names = tuple(by) if isinstance(by, list) else (by,)
    for part, column in enumerate(rows.columns):
        if isinstance(column.meta, pd.DataFrame):
            missing = [name for name in names if name not in column.meta.columns]
            if missing or not names:
                have = ", ".join(map(repr, column.meta.columns))
                raise DataError(
                    f"by: expected columns of {column.name} ({have}), got {', '.join(map(repr, missing)) or 'none'}"
                )
            twice = [name for name in names if column.meta.columns.tolist().count(name) > 1]
            if twice:
                raise DataError(f"by: {column.name} has several columns {twice[0]!r}: give the keys as a Series")
            return rows, Keys(part, names)
    raise DataError(f"by: expected an array or Series of keys beside arrays, got {by!r}; there is no DataFrame given")


def _within(route: Keyed, skew: Skew, max_skew: float, on_skew: str) -> Keyed:
    """Return the route with its lengths, changed where a block would be too large, or complain."""
    loads, limit = skew.loads, allowed(skew.loads, max_skew)
    if loads.max() > limit and on_skew == "split":
        loads, spread = even_out(skew, max_skew)
        route = Keyed(route.keys, route.npartitions, spread=spread)
    if loads.max() > limit:
        message = _complaint(skew, loads, max_skew)
        if on_skew != "warn":
            raise DataError(message)
        warnings.warn(message, UserWarning, stacklevel=3)
    return Keyed(route.keys, route.npartitions, tuple(int(load) for load in loads), route.spread)


def _complaint(skew: Skew, loads: Any, max_skew: float) -> str:
    total, worst, n_over = int(loads.sum()), int(np.argmax(loads)), int((loads > allowed(loads, max_skew)).sum())
    own = [key for key in skew.hot if key.home == worst]
    hot = ", ".join(f"{key.label} ({key.rows} rows, {key.rows / total:.1%})" for key in own[:N_NAMED])
    return (
        f"max_skew: expected at most {max_skew:g} times the mean of {loads.mean():.6g} rows in a block, got more in "
        f"{n_over} of {len(loads)} blocks, the most, {loads.max() / loads.mean():.3g} times, in block {worst}; its hot "
        f'keys: {hot or "none"}; on_skew="split" spreads them over blocks'
    )

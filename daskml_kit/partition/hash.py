"""Hash partitioning: all rows of a key in one block."""

from __future__ import annotations

import warnings
from dataclasses import replace
from numbers import Real
from typing import Any, Literal

import numpy as np

from daskml_kit.data.align import align_rows
from daskml_kit.exceptions import DataError
from daskml_kit.partition.keys import HashPartitioner, find_keys
from daskml_kit.partition.shuffle import check_npartitions, named, shuffle, unwrapped
from daskml_kit.partition.skew import Skew, even_out, max_rows, measure_skew

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
    npartitions : int, default=None
        Blocks of the results; by default as many as the first Dask collection has.
    max_skew : float, default=None
        The rows of the largest block over the mean, above 1. If given, the keys are read beforehand (twice where a
        block is too large, and again where few keys are frequent), and the lengths of the resulting blocks are known.
    on_skew : {"raise", "split", "warn"}, default="raise"
        What to do about a larger block: raise an error that names the hot keys; take rows of the most frequent keys
        away until it is not too large (such a key then lies in several blocks); or warn.

    Returns
    -------
    Dask collection, or a tuple of them where several are given
        The collections with their rows in the new blocks; unless ``max_skew`` is given, their lengths are not known.

    Raises
    ------
    DataError
        Where a key column is not there, a key is missing (when the rows are read), lengths differ, or a block gets
        too large.

    See Also
    --------
    random_partition : Shuffle all rows into equal blocks.
    partition_report : See the hot keys, and the skew that they make.

    Examples
    --------
    >>> import dask.dataframe as dd
    >>> import pandas as pd
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
    every = named(collections)
    keys = find_keys("by", by, every)
    rows = align_rows(every)
    partitioner = HashPartitioner(keys, check_npartitions(npartitions, len(rows.lengths)))
    if max_skew is not None:
        skew = measure_skew(rows, keys, partitioner.npartitions, max_skew, to_split=on_skew == "split")
        partitioner = _within(partitioner, skew, max_skew, on_skew)
    return unwrapped(shuffle(rows, partitioner)[: len(collections)])


def _within(partitioner: HashPartitioner, skew: Skew, max_skew: float, on_skew: str) -> HashPartitioner:
    """Return the partitioner with its lengths, changed where a block would be too large, or complain."""
    loads, limit, spread = skew.loads, max_rows(skew.loads, max_skew), None
    if loads.max() > limit and on_skew == "split":
        loads, spread = even_out(skew, max_skew)
    if loads.max() > limit:
        message = _complaint(skew, loads, max_skew)
        if on_skew != "warn":
            raise DataError(message)
        warnings.warn(message, UserWarning, stacklevel=3)
    return replace(partitioner, counted=tuple(loads.tolist()), spread=spread)


def _complaint(skew: Skew, loads: Any, max_skew: float) -> str:
    total, worst, n_over = int(loads.sum()), int(np.argmax(loads)), int((loads > max_rows(loads, max_skew)).sum())
    own = [key for key in skew.hot if key.block == worst]
    hot = ", ".join(f"{key.label} ({key.rows} rows, {key.rows / total:.1%})" for key in own[:N_NAMED])
    return (
        f"max_skew: expected at most {max_skew:g} times the mean of {loads.mean():.6g} rows in a block, got more in "
        f"{n_over} of {len(loads)} blocks, the most, {loads.max() / loads.mean():.3g} times, in block {worst}; its hot "
        f'keys: {hot or "none"}; on_skew="split" spreads them over blocks'
    )

"""Shuffles of rows between blocks, at random or by key: in memory where there is room, else through disk."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any, Literal

import numpy as np
from distributed import Client

from daskml_kit.arguments import random_state_of
from daskml_kit.data.align import Column, Rows, align_rows, collect
from daskml_kit.data.collections import blocks_bytes, fits, n_rows
from daskml_kit.engines.open import find_client
from daskml_kit.exceptions import DataError
from daskml_kit.numerics.permutation import Permutation, key_of
from daskml_kit.partition.exchange import Partitioner, exchange
from daskml_kit.partition.keys import HashPartitioner, find_keys
from daskml_kit.partition.p2p import shuffle_through_disk
from daskml_kit.partition.skew import Skew, even_out, max_rows, measure_skew
from daskml_kit.typing import Array
from daskml_kit.workers.connection import held_futures, telling_lost_scheduler

COPIES = 3
"""The rows, sorted by where they go, and joined where they came: what an exchange in memory holds at its height."""


def shuffle(rows: Rows, partitioner: Partitioner) -> list[Any]:
    """Return the collections of ``rows``, lazy, cut and ordered as ``partitioner`` says.

    Blocks without a row are what Dask's shuffle does not make: fewer rows than blocks are exchanged in memory.
    """
    with telling_lost_scheduler():
        return _shuffle(rows, partitioner, find_client())


def _shuffle(rows: Rows, partitioner: Partitioner, client: Client | None) -> list[Any]:
    n_bytes = sum(_bytes(column, rows.n_rows, client) for column in rows.columns)
    if rows.n_rows < len(partitioner.edges) or fits(client, COPIES * n_bytes):
        graph, keys = exchange(rows, partitioner, client)
    else:
        graph, keys = shuffle_through_disk(rows, partitioner)
    columns = zip(rows.columns, keys, strict=True)
    return [collect(column.meta, graph, own, partitioner.lengths, "daskml-partition") for column, own in columns]


def named(collections: tuple[Any, ...]) -> dict[str, Any]:
    """Return the collections with the names that errors call them by.

    Raises
    ------
    DataError
        Where there are none.
    """
    if not collections:
        raise DataError("collections: expected at least one array, DataFrame or Series, got none")
    return {f"collections[{number}]": collection for number, collection in enumerate(collections)}


def unwrapped(results: list[Any]) -> Any:
    """Return the only result, or all as a tuple."""
    return results[0] if len(results) == 1 else tuple(results)


def check_npartitions(npartitions: Any, default: int) -> int:
    """Return the number of blocks of the result.

    Raises
    ------
    DataError
        Where it is not a positive integer.
    """
    if npartitions is None:
        return default
    if isinstance(npartitions, bool) or not isinstance(npartitions, (int, np.integer)) or npartitions < 1:
        raise DataError(f"npartitions: expected a number of blocks, at least 1, got {npartitions!r}")
    return int(npartitions)


def _bytes(column: Column, n_rows: int, client: Client | None) -> float:
    if isinstance(column.meta, np.ndarray) and not column.meta.dtype.hasobject:
        return float(n_rows * column.meta.itemsize * np.prod(column.meta.shape[1:], dtype=float))
    held = {future.key for future in held_futures(column.blocks)}
    if client is not None and all(block.key in held for block in column.blocks):
        return float(sum(client.nbytes([block.key for block in column.blocks], summary=False).values()))
    return blocks_bytes(column.blocks)


@dataclass(frozen=True)
class RandomPartitioner:
    """Partitioner of rows into a random order, cut into blocks whose sizes differ by at most one."""

    order: Permutation
    npartitions: int

    @property
    def edges(self) -> Array:
        """Places where blocks of the result begin, and the end."""
        return self.order.n * np.arange(self.npartitions + 1) // self.npartitions

    @property
    def lengths(self) -> list[float]:
        """Rows of each block of the result."""
        return [int(length) for length in np.diff(self.edges)]

    def places(self, index: int, start: int, parts: Sequence[Any]) -> Array:
        """Return the places of the rows of a block, the first of which is row number ``start``."""
        return self.order.places(start, start + n_rows(parts[0]))


def random_partition(*collections: Any, npartitions: int | None = None, random_state: Any = None) -> Any:
    """Shuffle the rows of all collections alike, over all blocks.

    Every row may end at every place, each as likely: row r goes to place p(r), where p is a pseudo-random permutation
    that only the seed and the number of rows choose. So the result does not depend on the blocks the rows come in, on
    the workers or on what these lose on the way. Blocks are equal but for one row.

    The result is lazy. What fits in memory is exchanged there, by about two tasks a block; what does not goes through
    Dask's own shuffle, which spills to disk (on a cluster its buffers want workers of 1.5 GB or more). Ask for all
    results in one ``dask.persist`` or ``dask.compute``: each call shuffles again.

    Parameters
    ----------
    *collections : Dask array, DataFrame or Series, NumPy array, pandas object or CSR matrix
        Of equal length; unknown block lengths are counted, by a pass over the cheapest. DataFrames keep their index.
    npartitions : int, default=None
        Blocks of the results; by default as many as the first Dask collection has.
    random_state : int, RandomState instance or None, default=None
        As in scikit-learn: an int gives the same order each time.

    Returns
    -------
    Dask collection, or a tuple of them where several are given
        The collections with their rows in the new order; blocks differ by at most one row.

    Raises
    ------
    DataError
        Where lengths differ, the number of blocks is not positive, or nothing is given.

    See Also
    --------
    hash_partition : Bring the rows of a key together.
    partition_report : See how rows lie in blocks.

    References
    ----------
    J. Black, P. Rogaway: Ciphers with arbitrary finite domains, CT-RSA 2002 (the permutation).

    Examples
    --------
    >>> import dask.array as da
    >>> from daskml_kit.partition import random_partition
    >>> numbers = da.arange(10, chunks=5)
    >>> X, y = random_partition(numbers[:, None], numbers, npartitions=3, random_state=0)
    >>> y.chunks, bool((X[:, 0] == y).all())
    (((3, 3, 4),), True)
    """
    rows = align_rows(named(collections))
    seed = int(random_state_of(random_state).randint(np.iinfo(np.int32).max))
    n_blocks = check_npartitions(npartitions, len(rows.lengths))
    return unwrapped(shuffle(rows, RandomPartitioner(Permutation(rows.n_rows, key_of(seed)), n_blocks)))


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

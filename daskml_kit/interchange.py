"""Ways in and out for other libraries' data: Arrow streams (Polars, DuckDB, PyArrow), Spark, and xarray."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pyarrow as pa

from daskml_kit.arguments import check_number
from daskml_kit.exceptions import DataError

if TYPE_CHECKING:
    import xarray as xr

PARTITION_BYTES = 32 * 2**20


def from_arrow(source: Any, *, npartitions: int | None = None) -> dd.DataFrame:
    """Return a Dask DataFrame of the rows of any object with Arrow's stream interface.

    Parameters
    ----------
    source : object with ``__arrow_c_stream__``
        A Polars DataFrame, a DuckDB relation, a PyArrow Table or RecordBatchReader, ... A stream is read to its end:
        the rows lie in this process as Arrow's columns, and go to workers with the tasks that want them.
    npartitions : int, optional
        Partitions of equal numbers of rows; by default one for 32 MiB.

    Returns
    -------
    Dask DataFrame
        Partitions are made pandas when they are computed. Strings are Arrow's, dictionaries categories.

    Raises
    ------
    DataError
        Where ``source`` has no such interface, or no columns.
    ValueError
        Where ``npartitions`` is less than 1.

    See Also
    --------
    from_spark : Rows of Spark, without this process.

    References
    ----------
    The Arrow PyCapsule interface, https://arrow.apache.org/docs/format/CDataInterface/PyCapsuleInterface.html

    Examples
    --------
    >>> import pyarrow as pa
    >>> from_arrow(pa.table({"size": [1.0, 2.0, 4.0]}), npartitions=2)["size"].compute().tolist()
    [1.0, 2.0, 4.0]
    """
    if not hasattr(source, "__arrow_c_stream__"):
        raise DataError(f"source: expected an object with __arrow_c_stream__, got {type(source).__name__}")
    if npartitions is not None:
        check_number("npartitions", npartitions, low=1, integer=True)
    table = pa.table(source)
    if not table.num_columns:
        raise DataError("source: it has no columns")
    n_parts = npartitions or max(1, math.ceil(table.nbytes / PARTITION_BYTES))
    edges = np.linspace(0, table.num_rows, min(n_parts, max(table.num_rows, 1)) + 1).astype(int).tolist()
    parts = [_written(table.slice(start, stop - start)) for start, stop in pairwise(edges)]
    return dd.from_map(_read, parts, meta=as_pandas(table.slice(0, 0)))


def _written(rows: pa.Table) -> pa.Buffer:
    """Return some rows as Arrow's stream format; the pickle of a slice has the whole table."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as stream:
        stream.write_table(rows)
    return sink.getvalue()


def _read(rows: pa.Buffer) -> pd.DataFrame:
    return pa.ipc.open_stream(rows).read_pandas()


def as_pandas(table: Any) -> pd.DataFrame:
    """Return a table with Arrow's stream interface as pandas; what is pandas already as it is."""
    return table if isinstance(table, pd.DataFrame) else pa.table(table).to_pandas()


def from_spark(frame: Any, directory: str | os.PathLike[str]) -> dd.DataFrame:
    """Return a Dask DataFrame of the rows of a Spark DataFrame, which Spark's executors write and Dask's workers read.

    No row goes through this process.

    Parameters
    ----------
    frame : pyspark.sql.DataFrame
        Computed once, here.
    directory : path or URL
        New folder for Parquet files, that executors and workers both see. It is left for the caller to remove.

    Returns
    -------
    Dask DataFrame
        A partition for each file, which is one of Spark's.

    Raises
    ------
    DataError
        Where ``frame`` is no DataFrame of Spark.

    See Also
    --------
    from_arrow : Rows in memory.

    Examples
    --------
    >>> from_spark([1, 2], "rows")
    Traceback (most recent call last):
    ...
    daskml_kit.exceptions.DataError: frame: expected a Spark DataFrame, got list
    """
    if not hasattr(frame, "write") or not hasattr(frame.write, "parquet"):
        raise DataError(f"frame: expected a Spark DataFrame, got {type(frame).__name__}")
    frame.write.parquet(os.fspath(directory))
    return dd.read_parquet(os.fspath(directory))


def from_xarray(array: xr.DataArray, sample_dim: str | Sequence[str]) -> da.Array:
    """Return the samples of an xarray DataArray as rows of a Dask array.

    Parameters
    ----------
    array : xarray.DataArray
        On Dask or NumPy arrays; of a file such as Zarr it stays lazy.
    sample_dim : str or sequence of str
        The dimensions whose points are the samples, as "time", or ("time", "y", "x") for each pixel.

    Returns
    -------
    Dask array of shape (n_samples,) or (n_samples, n_features)
        The other dimensions, in their order, are the features; one dimension where there are none, as of a target.

    Raises
    ------
    DataError
        Where ``array`` is no DataArray, or has no such dimension.

    See Also
    --------
    to_xarray : Results with the coordinates of the samples.

    Examples
    --------
    >>> import xarray as xr
    >>> image = xr.DataArray(da.zeros((3, 4, 5)), dims=("band", "y", "x"))
    >>> from_xarray(image, ["y", "x"]).shape
    (20, 3)
    """
    dims = _sample_dims(array, sample_dim)
    ordered = array.transpose(*dims, ...).data
    rows = ordered if isinstance(ordered, da.Array) else da.from_array(ordered)
    n_samples = math.prod(rows.shape[: len(dims)])
    if rows.ndim == len(dims):
        return rows.reshape(n_samples)
    return rows.reshape(n_samples, math.prod(rows.shape[len(dims) :])).rechunk({1: -1})


def to_xarray(
    values: Any, array: xr.DataArray, sample_dim: str | Sequence[str], *, name: str | None = None
) -> xr.DataArray:
    """Return results for the samples of an xarray DataArray with their dimensions and coordinates.

    Parameters
    ----------
    values : array of shape (n_samples,) or (n_samples, n_outputs)
        Such as predictions for ``from_xarray(array, sample_dim)``; a Dask array stays lazy.
    array : xarray.DataArray
        Whose samples they are of.
    sample_dim : str or sequence of str
        As it was given to `from_xarray`.
    name : str, optional
        Name of the result.

    Returns
    -------
    xarray.DataArray
        With the dimensions ``sample_dim``, and "output" where there are several.

    Raises
    ------
    DataError
        Where ``values`` are not of as many samples.

    See Also
    --------
    from_xarray : Samples as rows.

    Examples
    --------
    >>> import xarray as xr
    >>> image = xr.DataArray(np.ones((3, 2, 2)), dims=("band", "y", "x"), coords={"x": [10, 20]})
    >>> to_xarray(from_xarray(image, ["y", "x"]).sum(axis=1), image, ["y", "x"]).sel(x=10).values
    array([3., 3.])
    """
    import xarray as xr

    dims = _sample_dims(array, sample_dim)
    shape = tuple(array.sizes[dim] for dim in dims)
    if np.ndim(values) not in (1, 2) or values.shape[0] != math.prod(shape):
        raise DataError(f"values: expected results for {math.prod(shape)} samples, got shape {np.shape(values)}")
    outputs = () if values.ndim == 1 else ("output",)
    coords = {key: given for key, given in array.coords.items() if set(given.dims) <= set(dims)}
    return xr.DataArray(values.reshape(shape + values.shape[1:]), coords, (*dims, *outputs), name=name)


def _sample_dims(array: Any, sample_dim: str | Sequence[str]) -> list[str]:
    """Return the dimensions of the samples, each of them once."""
    if not hasattr(array, "dims") or not hasattr(array, "transpose"):
        raise DataError(f"array: expected an xarray DataArray, got {type(array).__name__}")
    dims = [sample_dim] if isinstance(sample_dim, str) else list(sample_dim)
    unknown = [dim for dim in dims if dim not in array.dims]
    if unknown or not dims or len(set(dims)) < len(dims):
        raise DataError(f"sample_dim: expected dimensions of {tuple(array.dims)}, got {sample_dim!r}")
    return dims

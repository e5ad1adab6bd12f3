"""Pairwise distances and kernels of Dask data: lazy, a tile for each pair of blocks, by scikit-learn's own functions.

Examples
--------
>>> import dask.array as da
>>> X = da.from_array([[0.0, 1.0], [1.0, 1.0], [3.0, 1.0]], chunks=(2, 2))
>>> euclidean_distances(X)
dask.array<euclidean_distances, shape=(3, 3), dtype=float64, chunksize=(2, 2), chunktype=numpy.ndarray>
>>> euclidean_distances(X).compute()
array([[0., 1., 3.],
       [1., 0., 2.],
       [3., 2., 0.]])
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from itertools import accumulate
from typing import Any

import dask.array as da
import numpy as np
import scipy.sparse as sp
import sklearn.metrics.pairwise as theirs_of

from daskml_kit.arguments import check_mapping
from daskml_kit.data.collections import dask_matrix, is_dask, with_lengths
from daskml_kit.exceptions import DataError
from daskml_kit.metrics.documented import adapted_doc
from daskml_kit.typing import Array

NOTE = """Of Dask collections it is lazy: a task computes the tile of one block of X and one of Y. Blocks may be CSR
where scikit-learn takes sparse rows."""
OF_ALL_ROWS = {"seuclidean": "V", "mahalanobis": "VI"}
"""Metrics that scikit-learn gives a parameter estimated from all rows, where it is not given."""
UNSUPPORTED = ("Y_norm_squared", "X_norm_squared")


def _tiled(theirs: Callable[..., Any]) -> Callable[..., Any]:
    return _lazily(theirs, partial(_tiles, theirs))


def _lazily(theirs: Callable[..., Any], on_dask: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function that leaves data in memory to ``theirs``, whose signature and docstring it has."""
    signature = inspect.signature(theirs)

    def function(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind(*args, **kwargs).arguments
        options = {**given.pop("kwds", {}), **given}
        X, Y = options.pop("X"), options.pop("Y", None)
        if not is_dask(X) and not is_dask(Y):
            return theirs(*args, **kwargs)
        return on_dask(X, Y, options)

    function.__signature__ = signature  # type: ignore[attr-defined]
    function.__name__ = function.__qualname__ = theirs.__name__
    function.__module__ = "daskml_kit.metrics.pairwise"
    function.__doc__ = adapted_doc(theirs, NOTE, lazy=False)
    return function


def _matrices(X: Any, Y: Any, options: Mapping[str, Any]) -> tuple[da.Array, da.Array]:
    """Return both as Dask arrays of whole rows.

    Raises
    ------
    ValueError
        Where an option needs all rows, or the columns are not equally many.
    """
    for name in UNSUPPORTED:
        if options.get(name) is not None:
            raise ValueError(f"{name}: expected None with Dask collections: each tile computes its own norms")
    metric = options.get("metric")
    if metric == "precomputed":
        raise ValueError("metric='precomputed': expected a distance of rows with Dask collections")
    needed = OF_ALL_ROWS.get(metric) if isinstance(metric, str) else None
    if needed is not None and options.get(needed) is None:
        raise ValueError(f"{needed}: expected a value for metric={metric!r}: a tile does not see all rows")
    if options.get("dense_output") is False:
        raise ValueError("dense_output=False: tiles are dense")
    first = _matrix(X, "X")
    second = first if Y is None else _matrix(Y, "Y")
    if first.shape[1] != second.shape[1]:
        raise DataError(f"Y: expected {first.shape[1]} features as in X, got {second.shape[1]}")
    return first, second


def _matrix(rows: Any, name: str) -> da.Array:
    if is_dask(rows):
        return dask_matrix(rows)
    values = rows.tocsr() if sp.issparse(rows) else np.asarray(rows)
    if values.ndim != 2:
        raise DataError(f"{name}: expected a 2-dimensional array, got {values.ndim} dimension(s)")
    return da.from_array(values, chunks=-1, asarray=False)


def _tiles(theirs: Callable[..., Any], X: Any, Y: Any, options: Mapping[str, Any]) -> da.Array:
    first, second = _matrices(X, Y, options)
    rows, columns = (_numbers(matrix) for matrix in (first, second))
    parts = (first, "ik", second, "jk", rows, "i", columns, "j")
    kind = np.float32 if first.dtype == second.dtype == np.float32 else np.float64
    return da.blockwise(
        partial(_tile, theirs=theirs, same=Y is None, options=dict(options)),
        "ij",
        *parts,
        name=None,
        token=theirs.__name__,
        dtype=kind,
        meta=np.empty((0, 0), kind),
        align_arrays=False,
        concatenate=True,
    )


def _numbers(matrix: da.Array) -> da.Array:
    return da.arange(matrix.numblocks[0], chunks=1)


def _tile(
    X: Any, Y: Any, row: Array, column: Array, theirs: Callable[..., Any], same: bool, options: Mapping[str, Any]
) -> Array:
    if not X.shape[0] or not Y.shape[0]:
        return np.empty((X.shape[0], Y.shape[0]))
    if same and row[0] == column[0]:  # as scikit-learn, which takes a row to be at no distance from itself
        return np.asarray(theirs(X, **options))
    return np.asarray(theirs(X, Y, **options))


def _nearest(X: Any, Y: Any, options: Mapping[str, Any]) -> tuple[da.Array, da.Array]:
    """Return of each row of X the position of the nearest row of Y, and its distance."""
    known = dict(options)
    if known.pop("axis", 1) != 1:
        raise ValueError("axis: expected 1 with Dask collections: swap X and Y for the other")
    if known.get("metric_kwargs") is not None:
        check_mapping("metric_kwargs", known["metric_kwargs"])
    first, second = _matrices(X, Y, {**known, **(known.get("metric_kwargs") or {})})
    second = with_lengths(second)
    starts = da.from_array(np.array([0, *accumulate(second.chunks[0])][:-1], np.int64), chunks=1)
    tiles = da.blockwise(
        partial(_nearest_in_tile, options=known),
        "ijl",
        *(first, "ik", second, "jk", starts, "j"),
        new_axes={"l": 2},
        adjust_chunks={"j": 1},
        dtype=np.float64,
        meta=np.empty((0, 0, 0)),
        align_arrays=False,
        concatenate=True,
    )
    best = tiles.rechunk({1: -1}).map_blocks(_best, drop_axis=1, dtype=np.float64, meta=np.empty((0, 0)))
    return best[:, 0].astype(np.int64), best[:, 1]


def _nearest_in_tile(X: Any, Y: Any, start: Array, options: Mapping[str, Any]) -> Array:
    """Return position and distance of the nearest row, of shape (n_rows, 1, 2); positions are exact in doubles."""
    found = np.full((X.shape[0], 1, 2), np.inf)
    if X.shape[0] and Y.shape[0]:
        position, distance = theirs_of.pairwise_distances_argmin_min(X, Y, **options)
        found[:, 0, 0], found[:, 0, 1] = position + start[0], distance
    return found


def _best(tiles: Array) -> Array:
    return np.asarray(tiles[np.arange(len(tiles)), tiles[:, :, 1].argmin(axis=1)])


def _nearest_position(X: Any, Y: Any, options: Mapping[str, Any]) -> da.Array:
    return _nearest(X, Y, options)[0]


additive_chi2_kernel = _tiled(theirs_of.additive_chi2_kernel)
chi2_kernel = _tiled(theirs_of.chi2_kernel)
cosine_distances = _tiled(theirs_of.cosine_distances)
cosine_similarity = _tiled(theirs_of.cosine_similarity)
euclidean_distances = _tiled(theirs_of.euclidean_distances)
haversine_distances = _tiled(theirs_of.haversine_distances)
laplacian_kernel = _tiled(theirs_of.laplacian_kernel)
linear_kernel = _tiled(theirs_of.linear_kernel)
manhattan_distances = _tiled(theirs_of.manhattan_distances)
nan_euclidean_distances = _tiled(theirs_of.nan_euclidean_distances)
pairwise_distances = _tiled(theirs_of.pairwise_distances)
pairwise_distances_argmin = _lazily(theirs_of.pairwise_distances_argmin, _nearest_position)
pairwise_distances_argmin_min = _lazily(theirs_of.pairwise_distances_argmin_min, _nearest)
pairwise_kernels = _tiled(theirs_of.pairwise_kernels)
polynomial_kernel = _tiled(theirs_of.polynomial_kernel)
rbf_kernel = _tiled(theirs_of.rbf_kernel)
sigmoid_kernel = _tiled(theirs_of.sigmoid_kernel)

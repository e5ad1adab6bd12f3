"""Quality of a clustering from its rows: by moments of the clusters, or by a sample of rows.

Examples
--------
>>> import dask.array as da
>>> X = da.from_array([[0.0, 0.0], [0.0, 1.0], [4.0, 0.0], [4.0, 1.0]], chunks=(2, 2))
>>> labels = da.from_array([0, 0, 1, 1], chunks=2)
>>> calinski_harabasz_score(X, labels)
32.0
>>> davies_bouldin_score(X, labels)
0.25
>>> round(silhouette_score(X, labels), 4)
0.7538
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
import sklearn.metrics
from scipy.spatial.distance import cdist

from daskml_kit.arguments import check_flags, random_state_of
from daskml_kit.data.block import Block
from daskml_kit.data.collections import is_dask
from daskml_kit.exceptions import DataError
from daskml_kit.metrics.documented import documented_by
from daskml_kit.metrics.inputs import column, open_scores, require_rows, truth_called
from daskml_kit.numerics.targets import tile_rows, tiles
from daskml_kit.reductions.moments import Moments
from daskml_kit.reductions.per_class import ClassResults, PerClass
from daskml_kit.reductions.reduction import SingleReduction
from daskml_kit.reductions.row_sample import RowSample
from daskml_kit.typing import Array

SAMPLE = 5000
NOTE = "On Dask collections one pass finds the mean and the spread of each cluster."


@dataclass(frozen=True, eq=False)
class CenterDistances(SingleReduction):
    """The sum of the distances of each label's rows to their center.

    Parameters
    ----------
    labels : array of shape (n_labels,)
        Sorted.
    centers : array of shape (n_labels, n_features)
    """

    labels: Array
    centers: Array

    def chunk(self, block: Block) -> Array:
        codes = np.searchsorted(self.labels, np.asarray(block.y))
        sums = np.zeros(len(self.labels))
        for rows in tiles(block.n_rows, tile_rows(block.X, block.X.shape[1])):
            tile = block.X[rows]
            dense = tile.toarray() if sp.issparse(tile) else tile
            apart = dense.astype(np.float64) - self.centers[codes[rows]]
            sums += np.bincount(codes[rows], np.sqrt(np.einsum("ij,ij->i", apart, apart)), minlength=len(sums))
        return sums

    def combine(self, a: Array, b: Array) -> Array:
        return a + b


def _clusters(engine: Any) -> tuple[Array, Array, Array, Array]:
    """Return labels, rows, centers, and sums of squares about them."""
    found: ClassResults = engine.answer(PerClass(Moments()))[0]
    rows = np.array([spread.n_rows for spread in found.results], np.int64)
    require_rows(int(rows.sum()), 1)
    if not 1 < len(rows) < rows.sum():
        raise DataError(
            f"labels: Number of labels is {len(rows)}. Valid values are 2 to n_samples - 1 (inclusive), "
            f"of {rows.sum()} rows"
        )
    centers = np.array([spread.mean for spread in found.results])
    return found.labels, rows, centers, np.array([spread.squares.sum() for spread in found.results])


def _calinski_harabasz(X: Any, labels: Any) -> float:
    with open_scores(labels, X, None, name="X") as engine:
        _, rows, centers, squares = _clusters(engine)
    mean = rows @ centers / rows.sum()
    between, within = float(rows @ ((centers - mean) ** 2).sum(axis=1)), float(squares.sum())
    return between * int(rows.sum() - len(rows)) / (within * (len(rows) - 1)) if within else 1.0


def _davies_bouldin(X: Any, labels: Any) -> float:
    with open_scores(labels, X, None, name="X", many_passes=True) as engine:
        names, rows, centers, _ = _clusters(engine)
        within = engine.answer(CenterDistances(names, centers))[0] / rows
    apart = cdist(centers, centers)
    if np.allclose(within, 0) or np.allclose(apart, 0):
        return 0.0
    apart[apart == 0] = np.inf
    return float(((within[:, None] + within) / apart).max(axis=1).mean())


def silhouette_score(
    X: Any,
    labels: Any,
    *,
    metric: Any = "euclidean",
    sample_size: int | None = None,
    random_state: Any = None,
    return_error: bool = False,
    **kwds: Any,
) -> Any:
    """Mean silhouette coefficient; on Dask collections that of a uniform sample of rows, drawn in one pass.

    Parameters
    ----------
    X : array-like or Dask collection of shape (n_samples, n_features)
    labels : array-like or Dask collection of shape (n_samples,)
        Labels of the clusters.
    metric : str or callable, default="euclidean"
        As in `sklearn.metrics.pairwise_distances`; "precomputed" only on input in memory.
    sample_size : int, optional
        Rows of the sample, by default 5,000 of Dask collections, and all in memory.
    random_state : int, RandomState or None, default=None
        Draws the sample.
    return_error : bool, default=False
        Whether to return the standard error of the mean too, which is at most 1 / sqrt(sample_size): 0.014 of 5,000.
        Only with Dask collections.
    **kwds : dict
        Further parameters of the metric.

    Returns
    -------
    float, or tuple of two floats
        From -1 to 1, which is best; with ``return_error`` the standard error behind it.

    Raises
    ------
    ValueError
        Where the sample has one label only, or as many as rows.

    References
    ----------
    Rousseeuw, "Silhouettes: a graphical aid to the interpretation and validation of cluster analysis", Journal of
    Computational and Applied Mathematics 20 (1987).

    See Also
    --------
    davies_bouldin_score, calinski_harabasz_score : Of all rows.

    Examples
    --------
    >>> import dask.array as da
    >>> X = da.from_array([[0.0], [1.0], [8.0], [9.0]], chunks=(2, 1))
    >>> score, error = silhouette_score(X, da.from_array([0, 0, 1, 1], chunks=2), return_error=True)
    >>> round(score, 3), round(error, 3)
    (0.875, 0.005)
    """
    check_flags(return_error=return_error)
    options = {"metric": metric, **kwds}
    if not any(map(is_dask, (X, labels))):
        if return_error:
            raise ValueError("return_error=True: expected Dask collections")
        return float(
            sklearn.metrics.silhouette_score(X, labels, sample_size=sample_size, random_state=random_state, **options)
        )
    if isinstance(metric, str) and metric == "precomputed":
        raise ValueError("metric='precomputed': expected a distance of rows with Dask collections")
    seed = int(random_state_of(random_state).randint(2**31 - 1))
    size = SAMPLE if sample_size is None else sample_size
    if not isinstance(size, (int, np.integer)) or size < 2:
        raise ValueError(f"sample_size: expected an integer of at least 2, got {size!r}")
    with truth_called("labels"), open_scores(labels, X, None, name="X") as engine:
        sample = engine.answer(RowSample(int(size), seed))[0]
    require_rows(sample.n_rows, 1)
    found = sklearn.metrics.silhouette_samples(sample.X, column(sample.y, "labels"), **options)
    error = float(found.std(ddof=1) / np.sqrt(len(found)))
    return (float(found.mean()), error) if return_error else float(found.mean())


calinski_harabasz_score = documented_by(sklearn.metrics.calinski_harabasz_score, _calinski_harabasz, NOTE, lazy=False)
davies_bouldin_score = documented_by(
    sklearn.metrics.davies_bouldin_score, _davies_bouldin, f"{NOTE} A second one measures distances.", lazy=False
)

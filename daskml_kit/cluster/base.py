"""Base class of models that are centers of clusters."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import Any, Self

import numpy as np
import scipy.sparse as sp
from sklearn.cluster import kmeans_plusplus

from daskml_kit.activity import hidden
from daskml_kit.arguments import check_choice, check_number, naming
from daskml_kit.base import DaskEstimator, restored
from daskml_kit.data.block import Block
from daskml_kit.data.collections import memory_blocks
from daskml_kit.engines.engine import LocalEngine
from daskml_kit.engines.runtime import local_threads
from daskml_kit.exceptions import DataError
from daskml_kit.numerics.csr import MANY_PRODUCTS
from daskml_kit.numerics.targets import float_type
from daskml_kit.reductions.nearest import Nearest, labels_of
from daskml_kit.solvers.lloyd import lloyd
from daskml_kit.solvers.run import run
from daskml_kit.typing import Array, Matrix

SAMPLE_ROWS = 20_000
"""Rows from which starts are drawn, or fewer where these are many bytes."""
PILOT_SHARE, PILOT_ROWS = 8, 200
SHARED_PRODUCTS = 2**22
"""Products of a pass over a sample below which a second thread takes more time to ask than it saves."""


class CentersModel(DaskEstimator):
    """Mixin, before a scikit-learn class, of estimators that fit ``cluster_centers_`` by reductions."""

    cluster_centers_: Array
    _score_is = "sum"
    starts_from_whole = False
    draws_rows = SAMPLE_ROWS

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:  # type: ignore[override]
        """Find the clusters of the rows of X.

        Parameters
        ----------
        X : Dask array or DataFrame, NumPy array, pandas DataFrame or sparse matrix, of shape (n_samples, n_features)
        y : ignored
        sample_weight : array or Dask array of shape (n_samples,), optional

        Returns
        -------
        estimator
            Itself.

        Raises
        ------
        DataError
            Where the data cannot be used; it names the argument and the block.
        """
        with restored(self):
            self._fit_blocks(X, None, sample_weight)
            if getattr(self, "compute_labels", True):
                self.labels_ = self._labels(X)
        return self

    def _labels(self, X: Any) -> Any:
        centers = np.asarray(self.cluster_centers_, np.float64)
        if type(X) is not np.ndarray or X.dtype.kind != "f" or X.size * len(centers) < MANY_PRODUCTS:
            return self.predict(X)
        with ThreadPoolExecutor(local_threads()) as pool:
            found = list(pool.map(self._labeling(centers), memory_blocks(X, None, None)))
        return np.concatenate(found).astype(np.int32)

    def _labeling(self, centers: Array) -> Callable[[Block], Array]:
        """Return the function that gives the labels of the rows of a large block."""
        shift = centers.mean(axis=0)
        return partial(labels_of, Nearest(centers - shift, shift))

    def _prepare(self, twin: Any) -> None:
        if hasattr(self, "cluster_centers_"):
            kind: Any = type(twin)
            vars(twin).update(_of_a_fit(kind))


@cache
def _of_a_fit(kind: type[Any]) -> dict[str, Any]:
    """Return what a scikit-learn k-means has after a fit beside parameters and results, such as its threads.

    A fit takes milliseconds, even of one row: once a process.
    """
    model = kind(n_clusters=1, init=np.zeros((1, 1)), n_init=1).fit(np.zeros((1, 1)))
    return {name: value for name, value in vars(model).items() if name.startswith("_")}


def first_centers(
    init: Any, X: Matrix, weight: Array, n_clusters: int, shift: Array, draw: np.random.RandomState
) -> Array:
    """Return first centers of some rows, as scikit-learn's k-means chooses them.

    Parameters
    ----------
    init : {"k-means++", "random"}, callable or array of shape (n_clusters, n_features)
    X : array or CSR matrix of shape (n_rows, n_features)
    weight : array of shape (n_rows,)
    n_clusters : int
    shift : array of shape (n_features,)
        Subtracted from dense rows while distances are computed.
    draw : numpy.random.RandomState
    """
    if isinstance(init, str) and init == "k-means++":
        dtype = float_type(X)
        X = X.astype(dtype, copy=False) if sp.issparse(X) else X - shift.astype(dtype, copy=False)
        centers, _ = kmeans_plusplus(X, n_clusters, sample_weight=weight, random_state=draw)
        return np.asarray(centers, dtype=np.float64) + shift
    if isinstance(init, str):
        rows = X[draw.choice(len(weight), n_clusters, replace=False, p=weight / weight.sum())]
        return np.asarray(rows.toarray() if sp.issparse(rows) else rows, dtype=np.float64)
    found = init(X, n_clusters, random_state=draw) if callable(init) else init
    with naming("init"):
        centers = np.array(found, dtype=np.float64)
    if centers.shape != (n_clusters, X.shape[1]):
        raise ValueError(
            f"init: the shape of the initial centers {centers.shape} does not match the number of clusters "
            f"{n_clusters} or the number of features of the data {X.shape[1]}."
        )
    return centers


def check_row_count(n_rows: int, n_clusters: int) -> None:
    """Raise where there are fewer rows than clusters."""
    if n_rows < n_clusters:
        raise ValueError(f"n_samples={n_rows} should be >= n_clusters={n_clusters}.")


def check_rows(n_rows: int, weight: Array, n_clusters: int) -> None:
    """Raise where there are fewer rows than clusters, or none has a ``weight``, of which columns have a sum each."""
    check_row_count(n_rows, n_clusters)
    if not (weight > 0).any():
        raise DataError("Sample weights must contain at least one non-zero number.")


def starting_centers(
    init: Any,
    rows: tuple[Matrix, Array],
    n_clusters: int,
    n_starts: int,
    shift: Array,
    draw: np.random.RandomState,
    *,
    pilot_for: int | None,
    tol: float,
    max_iter: int,
) -> dict[int, Array]:
    """Return the centers that each start of a k-means begins its passes with.

    Parameters
    ----------
    init, n_clusters, shift, draw : as in `first_centers`
    rows : tuple of matrix and array
        A sample, or all rows, and their weights.
    n_starts : int
    pilot_for : int, optional
        The number of all rows, where the clusters of the sample are to be the start: they are found of as many of it
        as one in `PILOT_SHARE` of all, or `PILOT_ROWS` a cluster. By default centers are as they are drawn.
    tol, max_iter : of the k-means
    """
    X, weight = rows
    if pilot_for is not None:
        step = max(len(weight) // max(pilot_for // PILOT_SHARE, PILOT_ROWS * n_clusters, 1), 1)
        X, weight = X[::step], weight[::step]
    starts = {at: first_centers(init, X, weight, n_clusters, shift, draw) for at in range(n_starts)}
    if pilot_for is None:
        return starts
    return _pilot_centers(starts, X, weight, shift, pilot_for, tol=tol, max_iter=max_iter)


def _pilot_centers(
    starts: dict[int, Array], X: Matrix, weight: Array, shift: Array, n_rows: int, *, tol: float, max_iter: int
) -> dict[int, Array]:
    """Return the centers of the clusters of some rows, from each start: few passes over ``n_rows`` are left then."""
    compiled = n_rows * X.shape[1] * len(starts[0]) >= MANY_PRODUCTS  # as the passes over all rows will be
    fits = {at: lloyd(start, shift, tol=tol, max_iter=max_iter, compiled=compiled) for at, start in starts.items()}
    few = len(weight) * X.shape[1] * len(starts[0]) < SHARED_PRODUCTS
    cuts = [slice(None)] if few else [slice(len(weight) // 2), slice(len(weight) // 2, None)]
    blocks = [Block(X[cut], None, weight[cut], index) for index, cut in enumerate(cuts)]
    with LocalEngine(blocks) as engine, hidden("fitting a sample"):
        return {at: ended.centers for at, ended in run(engine, fits).items()}


def check_start(init: Any, n_init: Any, names: tuple[str, ...]) -> None:
    """Raise where ``init`` is a word that is none of ``names``, or ``n_init`` is neither "auto" nor a number."""
    if isinstance(init, str):
        check_choice("init", init, names)
    if not isinstance(n_init, str) or n_init != "auto":
        check_number("n_init", n_init, low=1, integer=True)

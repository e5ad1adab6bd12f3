"""K-means clustering."""

from __future__ import annotations

import warnings
from typing import Any, Self

import numpy as np
import scipy.sparse as sp
import sklearn.cluster
from sklearn.cluster import kmeans_plusplus
from sklearn.exceptions import ConvergenceWarning

from daskml_kit.arguments import check_choice, check_number, naming, random_state_of
from daskml_kit.base import DaskEstimator, restored
from daskml_kit.reductions.moments import Moments
from daskml_kit.reductions.summary import DataSummary, Summary
from daskml_kit.solvers.lloyd import lloyd
from daskml_kit.solvers.run import lockstep
from daskml_kit.solvers.types import DataSpec, Fit
from daskml_kit.typing import Array
from daskml_kit.validation import seed_of

SAMPLE_ROWS = 20_000
"""Rows of which the first centers are drawn."""


class KMeans(DaskEstimator, sklearn.cluster.KMeans):  # type: ignore[misc]
    r"""K-means clustering, :math:`\min_c \sum_i s_i \min_j \|x_i - c_j\|^2`, by Lloyd's algorithm, a pass an iteration.

    All starts advance in the same passes.

    Parameters
    ----------
    n_clusters : int, default 8
    init : {"k-means++", "random"}, callable or array of shape (n_clusters, n_features), default "k-means++"
        First centers. The first two draw from a sample of some 20,000 rows, which is all rows where there are fewer.
    n_init : "auto" or int, default "auto"
        Starts, of which the best is kept: "auto" is 10 for "random" and callables, else 1.
    max_iter : int, default 300
    tol : float, default 1e-4
        It has converged when squared moves of the centers sum to less than ``tol`` of the mean variance of features.
    verbose : int, default 0
        Above 0, print a line for each pass.
    random_state : int, RandomState or None, optional
    copy_x : bool, default True
        X is never written to, whatever this says.
    algorithm : {"lloyd", "elkan"}, default "lloyd"
        "elkan" finds the same clusters; Lloyd's algorithm does here.

    Attributes
    ----------
    cluster_centers_ : array of shape (n_clusters, n_features)
    labels_ : array or lazy Dask array of shape (n_samples,)
    inertia_ : float
        Sum of squared distances of rows to their centers.
    n_iter_ : int
    profile_ : daskml_kit.engines.engine.Profile

    See Also
    --------
    daskml_kit.decomposition.PCA : Few features instead of many, before clusters are looked for.

    References
    ----------
    Lloyd, "Least squares quantization in PCM", 1982. Arthur and Vassilvitskii, "k-means++: the advantages of careful
    seeding", 2007.

    Examples
    --------
    >>> import dask.array as da
    >>> X = da.from_array(np.array([[0.0], [1.0], [10.0], [11.0]]), chunks=(2, 1))
    >>> np.sort(KMeans(2, random_state=0).fit(X).cluster_centers_.ravel())
    array([ 0.5, 10.5])
    """

    _score_is = "sum"

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:  # type: ignore[override]
        """Find the clusters of the rows of X.

        Parameters
        ----------
        X : Dask array or DataFrame, NumPy array, pandas DataFrame or sparse matrix, of shape (n_samples, n_features)
        y : ignored
        sample_weight : array or Dask array of shape (n_samples,), optional

        Returns
        -------
        KMeans
            Itself.

        Raises
        ------
        DataError
            Where the data cannot be used; it names the argument and the block.
        """
        with restored(self):
            self._fit_blocks(X, None, sample_weight)
            self.labels_ = self.predict(X)
        return self

    def _fit_steps(self, spec: DataSpec) -> Fit:
        sample: DataSummary
        drawn = Summary(False, SAMPLE_ROWS, spec.n_blocks, seed_of(self.random_state), starts=True)
        sample, spread = yield drawn, Moments()
        if sample.n_rows < self.n_clusters:
            raise ValueError(f"n_samples={sample.n_rows} should be >= n_clusters={self.n_clusters}.")
        shift = np.zeros(spec.n_features) if sp.issparse(sample.sample_X) else spread.mean
        tol, draw = self.tol * float(np.mean(spread.variance)), random_state_of(self.random_state)
        starts = [self._start(sample, shift, draw) for _ in range(self._n_starts())]
        ended = yield from lockstep(
            {at: lloyd(start, shift, tol=tol, max_iter=self.max_iter) for at, start in enumerate(starts)}
        )
        best = min(ended.values(), key=lambda clustering: clustering.inertia)
        if best.n_used < self.n_clusters:
            warnings.warn(
                f"Number of distinct clusters ({best.n_used}) found smaller than n_clusters ({self.n_clusters}). "
                "Possibly due to duplicate points in X.",
                ConvergenceWarning,
                stacklevel=2,
            )
        centers = best.centers.astype(spec.dtype, copy=False)
        return {"cluster_centers_": centers, "inertia_": best.inertia, "n_iter_": best.n_iter}

    def _start(self, sample: DataSummary, shift: Array, draw: np.random.RandomState) -> Array:
        X, weight = sample.sample_X, sample.sample_weight
        if isinstance(self.init, str) and self.init == "k-means++":
            X = X if sp.issparse(X) else X - shift.astype(X.dtype, copy=False)
            centers, _ = kmeans_plusplus(X, self.n_clusters, sample_weight=weight, random_state=draw)
            return np.asarray(centers, dtype=np.float64) + shift
        if isinstance(self.init, str):
            rows = X[draw.choice(len(weight), self.n_clusters, replace=False, p=weight / weight.sum())]
            return np.asarray(rows.toarray() if sp.issparse(rows) else rows, dtype=np.float64)
        found = self.init(X, self.n_clusters, random_state=draw) if callable(self.init) else self.init
        with naming("init"):
            centers = np.array(found, dtype=np.float64)
        if centers.shape != (self.n_clusters, X.shape[1]):
            raise ValueError(
                f"init: the shape of the initial centers {centers.shape} does not match the number of clusters "
                f"{self.n_clusters} or the number of features of the data {X.shape[1]}."
            )
        return centers

    def _n_starts(self) -> int:
        if not isinstance(self.init, str) and not callable(self.init):
            return 1
        plus = isinstance(self.init, str) and self.init == "k-means++"
        return int(self.n_init) if self.n_init != "auto" else 1 if plus else 10

    def _made_up(self) -> tuple[Any, ...] | None:
        return (np.asarray(self.cluster_centers_),) if hasattr(self, "cluster_centers_") else None

    def _check_parameters(self) -> None:
        check_number("n_clusters", self.n_clusters, low=1, integer=True)
        check_number("max_iter", self.max_iter, low=1, integer=True)
        check_number("tol", self.tol, low=0)
        check_choice("algorithm", self.algorithm, ("lloyd", "elkan"))
        if isinstance(self.init, str):
            check_choice("init", self.init, ("k-means++", "random"))
        if self.n_init != "auto":
            check_number("n_init", self.n_init, low=1, integer=True)

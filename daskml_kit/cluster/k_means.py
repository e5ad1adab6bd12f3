"""K-means clustering."""

from __future__ import annotations

import math
import warnings
from collections.abc import Generator
from typing import Any

import numpy as np
import scipy.sparse as sp
import sklearn.cluster
from sklearn.exceptions import ConvergenceWarning

from daskml_kit.arguments import check_choice, check_number, random_state_of
from daskml_kit.base import constructor
from daskml_kit.cluster.base import SAMPLE_ROWS, CentersModel, check_rows, check_start, starting_centers
from daskml_kit.reductions.moments import Moments
from daskml_kit.reductions.picked_rows import CountRows, Picked, RowCounts, rows_drawn
from daskml_kit.solvers.lloyd import lloyd
from daskml_kit.solvers.run import lockstep
from daskml_kit.solvers.seeding import scalable_start
from daskml_kit.solvers.types import DataSpec, Fit
from daskml_kit.typing import Array
from daskml_kit.validation import seed_of

ROUNDS = 5
"""Rounds of k-means||, which are enough in the experiments of its authors."""


class KMeans(CentersModel, sklearn.cluster.KMeans):  # type: ignore[misc]
    r"""K-means clustering, :math:`\min_c \sum_i s_i \min_j \|x_i - c_j\|^2`, by Lloyd's algorithm, a pass an iteration.

    All starts advance in the same passes.

    Parameters
    ----------
    n_clusters : int, default 8
    init : {"k-means++", "k-means||", "random"}, callable or array of shape (n_clusters, n_features)
        First centers, by default "k-means++". That, "random" and callables see a sample of an eighth of the rows, at
        most some 20,000, or all rows where there are not more than that; of more, the clusters of the sample are where
        the passes over all rows start. The sample depends on the rows and the seed, not on the blocks: a search finds
        on training rows what a fit of these alone does.
        "k-means||" draws from all rows, in some passes more: for clusters too rare to be seen in a sample.
    n_init : "auto" or int, default "auto"
        Starts, of which the best is kept: "auto" is 10 for "random" and callables, else 1.
    max_iter : int, default 300
    tol : float, default 1e-4
        It has converged when squared moves of the centers sum to less than ``tol`` of the mean variance of features.
    verbose : int, default 0
        Above 0, show a bar of the passes.
    random_state : int, RandomState or None, optional
    copy_x : bool, default True
        X is never written to, whatever this says.
    algorithm : {"lloyd", "elkan"}, default "lloyd"
        "elkan" finds the same clusters; Lloyd's algorithm does here.
    oversampling_factor : float, default 2
        Rows that a round of "k-means||" draws, in times of ``n_clusters``.
    init_max_iter : int, optional
        Rounds of "k-means||", each a pass; by default 5.

    Attributes
    ----------
    cluster_centers_ : array of shape (n_clusters, n_features)
    labels_ : array or lazy Dask array of shape (n_samples,)
    inertia_ : float
        Sum of squared distances of rows to their centers.
    n_iter_ : int
        Iterations over all rows.
    profile_ : daskml_kit.engines.engine.Profile

    See Also
    --------
    daskml_kit.decomposition.PCA : Few features instead of many, before clusters are looked for.

    References
    ----------
    Lloyd, "Least squares quantization in PCM", 1982. Arthur and Vassilvitskii, "k-means++: the advantages of careful
    seeding", 2007. Bahmani et al., "Scalable k-means++", 2012. Hamerly, "Making k-means even faster", 2010, whose
    bounds tell which rows of large blocks a pass has to ask.

    Examples
    --------
    >>> import dask.array as da
    >>> X = da.from_array(np.array([[0.0], [1.0], [10.0], [11.0]]), chunks=(2, 1))
    >>> np.sort(KMeans(2, random_state=0).fit(X).cluster_centers_.ravel())
    array([ 0.5, 10.5])
    """

    __init__ = constructor(sklearn.cluster.KMeans, oversampling_factor=2, init_max_iter=None)

    def _fit_steps(self, spec: DataSpec) -> Fit:
        sample: Picked
        counts: RowCounts = yield CountRows()
        drawn = rows_drawn(counts, SAMPLE_ROWS, spec.n_features, seed_of(self.random_state))
        sample, spread = yield drawn, Moments()
        check_rows(spread.n_rows, spread.weight, self.n_clusters)
        shift = np.zeros(spec.n_features) if sp.issparse(sample.X) else spread.mean
        tol, draw = self.tol * float(np.mean(spread.variance)), random_state_of(self.random_state)
        if self._is_scalable():
            starts = yield from lockstep(
                {at: self._scalable(sample, counts, shift, draw) for at in range(self._n_starts())}
            )
        else:
            whole = spread.n_rows if self._draws_start() and len(sample.weight) < spread.n_rows else None
            given = self.init, sample, self.n_clusters, self._n_starts(), shift, draw
            starts = starting_centers(*given, pilot_for=whole, tol=tol, max_iter=self.max_iter)
        ended = yield from lockstep(
            {at: lloyd(start, shift, tol=tol, max_iter=self.max_iter) for at, start in starts.items()}
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
        fitted = {"inertia_": best.inertia, "n_iter_": best.n_iter, "_n_features_out": len(centers)}
        return {"cluster_centers_": centers, **fitted}

    def _draws_start(self) -> bool:
        return callable(self.init) or isinstance(self.init, str)

    def _is_scalable(self) -> bool:
        return isinstance(self.init, str) and self.init == "k-means||"

    def _scalable(
        self, sample: Picked, counts: RowCounts, shift: Array, draw: np.random.RandomState
    ) -> Generator[Any, Any, Array]:
        X, weight = sample
        row = X[[draw.choice(len(weight), p=weight / weight.sum())]]
        return scalable_start(
            np.asarray(row.toarray() if sp.issparse(row) else row, dtype=np.float64),
            counts,
            self.n_clusters,
            shift,
            per_round=math.ceil(self.oversampling_factor * self.n_clusters),
            n_rounds=ROUNDS if self.init_max_iter is None else self.init_max_iter,
            seed=int(draw.randint(2**31 - 1)),
        )

    def _n_starts(self) -> int:
        if not self._draws_start():
            return 1
        plus = isinstance(self.init, str) and self.init != "random"
        return int(self.n_init) if self.n_init != "auto" else 1 if plus else 10

    def _sklearn_parameters(self, genuine: type[Any]) -> dict[str, Any]:
        parameters = super()._sklearn_parameters(genuine)
        return {**parameters, "init": "k-means++"} if self._is_scalable() else parameters

    def _check_parameters(self) -> None:
        check_number("n_clusters", self.n_clusters, low=1, integer=True)
        check_number("max_iter", self.max_iter, low=1, integer=True)
        check_number("tol", self.tol, low=0)
        check_choice("algorithm", self.algorithm, ("lloyd", "elkan"))
        check_start(self.init, self.n_init, ("k-means++", "k-means||", "random"))
        check_number("oversampling_factor", self.oversampling_factor, low=0, strict=True)
        if self.init_max_iter is not None:
            check_number("init_max_iter", self.init_max_iter, low=1, integer=True)

"""K-means clustering by mini-batches."""

from __future__ import annotations

import math
import numbers
from typing import Any, Self

import numpy as np
import scipy.sparse as sp
import sklearn.cluster
from threadpoolctl import threadpool_limits

from daskml_kit.arguments import check_number, naming, random_state_of
from daskml_kit.base import DaskEstimator, check_common, genuine_class, restored, sklearn_random_state
from daskml_kit.cluster.base import SAMPLE_ROWS, CentersModel, check_rows, check_start
from daskml_kit.data.collections import is_dask
from daskml_kit.exceptions import DataError
from daskml_kit.reductions.moments import Moments
from daskml_kit.reductions.nearest import Clusters, Nearest
from daskml_kit.reductions.picked_rows import CountRows, Picked, RowCounts, rows_drawn
from daskml_kit.solvers.types import DataSpec, Fit
from daskml_kit.validation import seed_of

BATCHES = 50
"""Batches that a pass draws at least, or `SAMPLE_ROWS` if that is more."""


class MiniBatchKMeans(CentersModel, sklearn.cluster.MiniBatchKMeans):  # type: ignore[misc]
    """K-means clustering by small random batches of rows, of which some passes draw many each.

    Data in memory is scikit-learn's own affair, and Dask data of few rows has the same results. Of more, each pass
    draws a sample of some 20,000 rows, or 50 batches, from all blocks. scikit-learn's first epoch is over the first of
    these; batches of one sample after the other follow, until scikit-learn's criteria end it. So a fit reads little,
    and holds a sample. A search of data in memory fits it as scikit-learn does, each fit by itself.

    Parameters
    ----------
    n_clusters : int, default 8
    init : {"k-means++", "random"}, callable or array of shape (n_clusters, n_features), default "k-means++"
    max_iter : int, default 100
        Epochs at most.
    batch_size : int, default 1024
    verbose : int, default 0
    compute_labels : bool, default True
        Whether to make a pass over all rows in the end for ``labels_`` and ``inertia_``.
    random_state : int, RandomState or None, optional
    tol : float, default 0.0
        It has converged when squared moves of the centers sum to less than ``tol`` of the mean variance of features.
    max_no_improvement : int or None, default 10
        Batches without a gain of the smoothed inertia, after which it ends.
    init_size : int, optional
        Rows of which the first centers are drawn; by default three batches.
    n_init : "auto" or int, default "auto"
        Starts that are tried on ``init_size`` rows: "auto" is 3 for "random" and callables, else 1.
    reassignment_ratio : float, default 0.01
        Share of the largest cluster's rows below which a cluster starts anew.

    Attributes
    ----------
    cluster_centers_ : array of shape (n_clusters, n_features)
    labels_ : array or lazy Dask array of shape (n_samples,)
    inertia_ : float
        Sum of squared distances of rows to their centers; without ``compute_labels`` an estimate from the last batches.
    n_iter_ : int
        Epochs that the batches amount to.
    n_steps_ : int
        Batches.
    profile_ : daskml_kit.engines.engine.Profile
        Where the fit was on Dask data.

    See Also
    --------
    KMeans : Better clusters, by passes over all rows.

    References
    ----------
    Sculley, "Web-scale k-means clustering", 2010.

    Examples
    --------
    >>> import dask.array as da
    >>> X = da.from_array(np.array([[0.0], [1.0], [10.0], [11.0]]), chunks=(2, 1))
    >>> MiniBatchKMeans(2, random_state=0).fit(X).cluster_centers_.round().ravel().tolist()
    [10.0, 0.0]
    """

    transforms_rows = False  # as a fit in memory teaches it, of which batches are others
    fits_apart_in_memory = True

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:  # type: ignore[override]
        """Find the clusters of the rows of X.

        Parameters
        ----------
        X : Dask array or DataFrame, NumPy array, pandas DataFrame or sparse matrix, of shape (n_samples, n_features)
        y : ignored
        sample_weight : array or Dask array of shape (n_samples,), optional

        Returns
        -------
        MiniBatchKMeans
            Itself.

        Raises
        ------
        DataError
            Where the data cannot be used; it names the argument and the block.
        """
        if is_dask(X) or is_dask(sample_weight):
            return super().fit(X, y, sample_weight)
        with restored(self), sklearn_random_state(self):
            check_common(self)
            self._check_parameters()
            super(DaskEstimator, self).fit(X, y, _as_weights(sample_weight))
        return self

    def partial_fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Take one step more, by a mini-batch in memory.

        Parameters
        ----------
        X : array, data frame or sparse matrix of shape (n_samples, n_features)
            The mini-batch.
        y : ignored
        sample_weight : array of shape (n_samples,), optional

        Returns
        -------
        MiniBatchKMeans
            Itself.

        Raises
        ------
        DataError
            Where X is on Dask.
        """
        if is_dask(X) or is_dask(sample_weight):
            raise DataError(
                "X: expected a mini-batch in memory, got Dask data: fit draws batches from it, and "
                "daskml_kit.wrappers.Incremental(MiniBatchKMeans()) takes one block after the other"
            )
        with restored(self):
            check_common(self)
            self._check_parameters()
            for name, held in vars(self).items():  # which a step writes into
                if isinstance(held, np.ndarray) and name not in self.get_params():
                    setattr(self, name, held.copy())
            with sklearn_random_state(self):
                super().partial_fit(X, y, _as_weights(sample_weight))
        return self

    def _fit_steps(self, spec: DataSpec) -> Fit:
        rows = max(SAMPLE_ROWS, BATCHES * self.batch_size)
        draw = random_state_of(self.random_state)
        sample: Picked
        counts: RowCounts = yield CountRows()
        sample, spread = yield rows_drawn(counts, rows, spec.n_features, seed_of(self.random_state)), Moments()
        check_rows(spread.n_rows, spread.weight, self.n_clusters)
        n_rows = spread.n_rows
        twin = genuine_class(type(self))(**self._sklearn_parameters(genuine_class(type(self))))
        whole = len(sample.weight) == n_rows
        with threadpool_limits(1, user_api="openmp"):  # threads that wait for each other in so small steps take longer
            twin.set_params(max_iter=self.max_iter if whole else 1, compute_labels=True)  # else a single step fails
            twin.fit(sample.X, sample_weight=sample.weight)
        inertia = float(twin.inertia_)
        if not whole:
            twin.set_params(compute_labels=False)
            tol = self.tol * float(np.mean(spread.variance))
            ending = Ending(self.batch_size / n_rows, tol, self.max_no_improvement)
            n_steps = self.max_iter * n_rows // self.batch_size
            while not ending.ended and twin.n_steps_ < n_steps:
                more: Picked = yield rows_drawn(counts, rows, spec.n_features, int(draw.randint(2**31 - 1)))
                self._take_steps(twin, more, draw, ending, n_steps)
            twin.n_iter_ = math.ceil(twin.n_steps_ * self.batch_size / n_rows)
            inertia = ending.smoothed * float(spread.weight.max())
        fitted = {name: value for name, value in vars(twin).items() if name not in (*self.get_params(), "labels_")}
        if self.compute_labels:
            shift = np.zeros(spec.n_features) if sp.issparse(sample.X) else spread.mean
            found: Clusters = yield Nearest(twin.cluster_centers_ - shift, shift)
            inertia = found.inertia
        return {**fitted, "n_features_in_": spec.n_features, "inertia_": inertia}

    def _take_steps(self, twin: Any, sample: Picked, draw: np.random.RandomState, ending: Ending, n_steps: int) -> None:
        """Take the steps of a sample, as many as make an epoch of it, or fewer where the fit ends."""
        chances = sample.weight / sample.weight.sum()
        for _ in range(max(len(chances) // self.batch_size, 1)):
            batch = sample.X[draw.choice(len(chances), self.batch_size, p=chances)]
            before, inertia = twin.cluster_centers_.copy(), -float(twin.score(batch)) / self.batch_size
            twin.partial_fit(batch)
            if ending.tell(inertia, float(((twin.cluster_centers_ - before) ** 2).sum())) or twin.n_steps_ >= n_steps:
                break

    def _prepare(self, twin: Any) -> None:
        """Do nothing: the fitted attributes are all."""

    def _check_parameters(self) -> None:
        for name in ("n_clusters", "max_iter", "batch_size"):
            check_number(name, getattr(self, name), low=1, integer=True)
        for name in ("max_no_improvement", "init_size"):
            if getattr(self, name) is not None:
                check_number(name, getattr(self, name), low=0 if name == "max_no_improvement" else 1, integer=True)
        for name in ("tol", "reassignment_ratio"):
            check_number(name, getattr(self, name), low=0)
        check_start(self.init, self.n_init, ("k-means++", "random"))


def _as_weights(sample_weight: Any) -> Any:
    """Return weights as numbers; raise where they are none by an error that names them."""
    if sample_weight is None or isinstance(sample_weight, numbers.Real):
        return sample_weight
    with naming("sample_weight"):
        weights = np.asarray(sample_weight, dtype=np.float64)
    if (weights < 0).any():
        raise DataError("Negative values in data passed to `sample_weight`")
    return weights


class Ending:
    """Criteria by which steps of mini-batches end, those of scikit-learn.

    Parameters
    ----------
    share : float
        Rows of a batch, in all rows.
    tol : float
        Squared moves of the centers at which it has converged.
    patience : int, optional
        Steps without a gain of the smoothed inertia.

    Examples
    --------
    >>> ending = Ending(0.5, 0.0, 2)
    >>> [ending.tell(inertia, 1.0) for inertia in (3.0, 2.0, 2.0, 2.0)]
    [False, False, False, True]
    """

    def __init__(self, share: float, tol: float, patience: int | None) -> None:
        self.rate, self.tol, self.patience = min(2 * share, 1.0), tol, patience
        self.smoothed, self.least, self.waited, self.ended = math.nan, math.inf, 0, False

    def tell(self, inertia: float, moved: float) -> bool:
        """Take the mean inertia of a batch and the squared moves of the centers; return whether that was the last."""
        known = not math.isnan(self.smoothed)
        self.smoothed = self.smoothed * (1 - self.rate) + inertia * self.rate if known else inertia
        self.waited = self.waited + 1 if self.smoothed >= self.least else 0
        self.least = min(self.least, self.smoothed)
        still = self.tol > 0 and moved <= self.tol
        self.ended = still or (self.patience is not None and self.waited >= self.patience)
        return self.ended

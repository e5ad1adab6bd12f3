"""Lloyd's algorithm for k-means, a pass an iteration."""

from __future__ import annotations

import uuid
from collections.abc import Generator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from daskml_kit.activity import note_loss
from daskml_kit.reductions.distant_rows import Farthest
from daskml_kit.reductions.kept_rows import forget
from daskml_kit.reductions.nearest import Clusters, Nearest
from daskml_kit.typing import Array


class Clustering(NamedTuple):
    """End of Lloyd's algorithm: centers, the sum of squared distances to them, iterations, and the clusters in use."""

    centers: Array
    inertia: float
    n_iter: int
    n_used: int


def lloyd(
    centers: Array, shift: Array, *, tol: float, max_iter: int, compiled: bool = False
) -> Generator[Any, Any, Clustering]:
    """Move centers to the means of their clusters until they move no more (Lloyd 1982).

    A cluster without rows takes the row that is farthest from its center, as scikit-learn's does.

    Parameters
    ----------
    centers : array of shape (n_clusters, n_features)
    shift : array of shape (n_features,)
        Subtracted from rows and centers.
    tol : float
        Sum of squared moves at which it has converged.
    max_iter : int
    compiled : bool, default False
        Whether compiled loops are used for few rows, too.
    """
    nearest = Nearest(centers - shift, shift, fit=uuid.uuid4().hex, compiled=compiled)
    try:
        return (yield from _iterations(nearest, tol, max_iter))
    finally:
        forget(nearest.fit)  # where the last pass was not reached


def _iterations(nearest: Nearest, tol: float, max_iter: int) -> Generator[Any, Any, Clustering]:
    at, shift = nearest.centers, nearest.shift
    for n_iter in range(1, max_iter + 1):
        found: Clusters = yield replace(nearest, centers=at, measured=False)
        note_loss(found.inertia, "inertia")
        sums, weights = found.sums, found.weights
        empty = np.flatnonzero(weights == 0)
        if len(empty):
            sums, weights = yield from _relocated(Nearest(at, shift), found, empty)
        moved = np.where(weights[:, None] > 0, sums / np.maximum(weights, 1e-300)[:, None], at)
        change, at = float(((moved - at) ** 2).sum()), moved
        if change == 0 and np.isfinite(found.inertia):
            return Clustering(at + shift, found.inertia, n_iter, int((found.weights > 0).sum()))
        if change <= tol:
            break
    found = yield replace(nearest, centers=at)
    note_loss(found.inertia, "inertia")
    return Clustering(at + shift, found.inertia, n_iter, int((found.weights > 0).sum()))


def _relocated(nearest: Nearest, found: Clusters, empty: Array) -> Generator[Any, Any, tuple[Array, Array]]:
    """Return sums and weights where each empty cluster has one of the farthest rows, taken from its cluster."""
    far = yield Farthest(nearest, len(empty))
    sums, weights = found.sums.copy(), found.weights.copy()
    for cluster, row, old, weight in zip(empty, far.rows, far.labels, far.weights, strict=False):
        sums[old] -= row * weight
        weights[old] -= weight
        sums[cluster], weights[cluster] = row * weight, weight
    return sums, weights

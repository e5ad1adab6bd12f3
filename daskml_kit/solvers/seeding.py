"""First centers of k-means by k-means||, a pass a round."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
from sklearn.cluster import kmeans_plusplus

from daskml_kit.reductions.nearest import Clusters, DistanceSample, DrawnRows, Nearest
from daskml_kit.typing import Array


def scalable_start(
    first: Array, n_clusters: int, shift: Array, *, per_round: int, n_rounds: int, seed: int
) -> Generator[Any, Any, Array]:
    """Return first centers, drawn from all rows in a few passes (Bahmani et al. 2012).

    Each round draws rows with chances in proportion to their squared distances from the candidates so far, as many as
    are wanted, where the paper draws so many on average. A last pass weighs the candidates by the rows that are nearest
    to them, and weighted k-means++ chooses the centers among them.

    Parameters
    ----------
    first : array of shape (1, n_features)
        The first candidate.
    n_clusters : int
    shift : array of shape (n_features,)
        Subtracted from rows and centers.
    per_round : int
        Candidates of a round.
    n_rounds : int
    seed : int
    """
    candidates = first - shift
    for number in range(n_rounds):
        drawn: DrawnRows = yield DistanceSample(Nearest(candidates, shift), per_round, (seed, number))
        if not len(drawn.rows):  # all rows are candidates, or equal to one
            break
        candidates = np.concatenate([candidates, drawn.rows])
    if len(candidates) < n_clusters:
        return np.resize(candidates, (n_clusters, len(shift))) + shift
    found: Clusters = yield Nearest(candidates, shift)
    centers, _ = kmeans_plusplus(candidates, n_clusters, sample_weight=found.weights, random_state=seed)
    return np.asarray(centers) + shift

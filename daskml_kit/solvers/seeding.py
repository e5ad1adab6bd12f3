"""First centers of k-means by k-means||, a pass a round."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
import sklearn.cluster

from daskml_kit.reductions.distant_rows import DistanceSample, DrawnRows
from daskml_kit.reductions.nearest import Clusters, Nearest
from daskml_kit.reductions.picked_rows import RowCounts
from daskml_kit.typing import Array

STARTS = 3
"""Starts of the k-means over the candidates."""


def scalable_start(
    first: Array, counts: RowCounts, n_clusters: int, shift: Array, *, per_round: int, n_rounds: int, seed: int
) -> Generator[Any, Any, Array]:
    """Return first centers, drawn from all rows in a few passes (Bahmani et al. 2012).

    Each round draws rows with chances in proportion to their squared distances from the candidates so far, as many as
    are wanted, where the paper draws so many on average. A last pass weighs the candidates by the rows that are nearest
    to them; the centers are those of a weighted k-means over the candidates, from k-means++.

    Parameters
    ----------
    first : array of shape (1, n_features)
        The first candidate.
    counts : RowCounts
    n_clusters : int
    shift : array of shape (n_features,)
        Subtracted from rows and centers.
    per_round : int
        Candidates of a round.
    n_rounds : int
    seed : int
    """
    candidates, starts = first - shift, counts.starts
    for number in range(n_rounds):
        drawn: DrawnRows = yield DistanceSample(Nearest(candidates, shift), per_round, (seed, number), starts)
        if not len(drawn.rows):  # all rows are candidates, or equal to one
            break
        candidates = np.concatenate([candidates, drawn.rows])
    if len(candidates) < n_clusters:
        return np.resize(candidates, (n_clusters, len(shift))) + shift
    found: Clusters = yield Nearest(candidates, shift)
    few = sklearn.cluster.KMeans(n_clusters, n_init=STARTS, random_state=seed)
    return np.asarray(few.fit(candidates, sample_weight=found.weights).cluster_centers_) + shift

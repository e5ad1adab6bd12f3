"""The model of scikit-learn's classification data: Gaussian clusters at the vertices of a hypercube."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.utils.random import sample_without_replacement

from daskml_kit.datasets.groups import Groups
from daskml_kit.datasets.rows import Recipe
from daskml_kit.typing import Array

MOST_BITS = 30  # of the integers that scikit-learn samples


@dataclass(frozen=True, eq=False)
class Clusters(Recipe):
    """Rows of clusters; cluster k is of class ``k % n_classes``.

    Parameters
    ----------
    groups : Groups
        The cluster of each row.
    n_classes : int
    centroids : array of shape (n_clusters, n_informative)
    shapes : array of shape (n_clusters, n_informative, n_informative)
        What standard normal rows are multiplied by in each cluster.
    redundant : array of shape (n_informative, n_redundant)
        What informative features are multiplied by to give the redundant ones.
    repeated : int array of shape (n_repeated,)
        Which of the informative and redundant features are repeated.
    flip_y : float
        Share of the rows whose class is drawn at random.
    shift, scale : array of shape (n_features,)
        Added to the features, then multiplied by.
    columns : int array of shape (n_features,)
        The order of the features.
    """

    groups: Groups
    n_classes: int
    centroids: Array
    shapes: Array
    redundant: Array
    repeated: Array
    flip_y: float
    shift: Array
    scale: Array
    columns: Array

    @property
    def width(self) -> int:
        return len(self.columns)

    def draw(self, rng: np.random.Generator, rows: Array) -> tuple[Array, ...]:
        cluster = self.groups.of(rows)
        informative = rng.standard_normal((len(rows), self.centroids.shape[1]))
        for k in np.unique(cluster):
            own = cluster == k
            informative[own] = informative[own] @ self.shapes[k] + self.centroids[k]
        telling = np.hstack([informative, informative @ self.redundant])
        noise = rng.standard_normal((len(rows), self.width - telling.shape[1] - len(self.repeated)))
        X = np.hstack([telling, telling[:, self.repeated], noise])
        X += self.shift
        X *= self.scale
        y = cluster % self.n_classes
        flipped = rng.random(len(rows)) < self.flip_y
        y[flipped] = rng.integers(self.n_classes, size=flipped.sum())
        return np.take(X, self.columns, axis=1), y


def vertices(n_vertices: int, n_dimensions: int, state: np.random.RandomState) -> Array:
    """Return distinct vertices of the unit hypercube, of shape (n_vertices, n_dimensions), of 0 and 1.

    Examples
    --------
    >>> vertices(4, 2, np.random.RandomState(0)).sum(axis=0)
    array([2., 2.])
    """
    told_apart = min(n_dimensions, MOST_BITS)
    numbers = sample_without_replacement(2**told_apart, n_vertices, random_state=state)
    bits = (np.asarray(numbers)[:, None] >> np.arange(told_apart)) & 1
    others = state.randint(2, size=(n_vertices, n_dimensions - told_apart))
    return np.hstack([others, bits]).astype(np.float64)
